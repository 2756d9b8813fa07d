"""State and actions of the strategies page. Services come in as callables; no widgets here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import traitlets as t

from dashtrade.domain.strategy import Strategy
from dashtrade.errors import InvalidInput, NotFound
from dashtrade.pages.background import Background, inline
from dashtrade.pages.guard import Message, sentence
from dashtrade.pages.model import Job
from dashtrade.pages.strategies import draft as rows
from dashtrade.pages.strategies.comparing import Piece, compare_words
from dashtrade.pages.strategies.form import PARTS
from dashtrade.pages.strategies.preview import PreviewModel
from dashtrade.pages.strategies.sentence import describe as in_english
from dashtrade.pages.strategies.services import StrategyServices
from dashtrade.pages.strategies.using import StrategyUse
from dashtrade.services.strategies import ChangedElsewhere, StrategyLine, StrategyVersion
from dashtrade.strategies import PRESETS

TABS = {"library": "My strategies", "build": "Build", "versions": "Versions", "use": "Export and trade"}
FIRST = {"long_entry": "ema(window=9) crosses_above ema(window=21)",
         "long_exit": "ema(window=9) crosses_below ema(window=21)"}  # fmt: skip


class StrategiesModel(StrategyUse):
    """The user's library around the strategy that is under edit: opening, keeping, comparing and using it."""

    tab: str = t.Unicode("library")  # type: ignore[assignment]
    library: tuple[StrategyLine, ...] | None = t.Any(None)  # type: ignore[assignment]
    renaming: str = t.Unicode("")  # type: ignore[assignment]
    query: Mapping[str, str] = t.Any({})  # type: ignore[assignment]

    def __init__(
        self, services: StrategyServices, preview: PreviewModel, *, background: Background = inline, **traits: Any
    ) -> None:
        self._services = services
        super().__init__(preview, services.keep_draft, services.promote, background=background, **traits)
        self.observe(lambda _change: self._write_query(), ["tab", "part", "opened"])
        preview.observe(lambda _change: self._write_query(), list(preview.inputs))

    @t.validate("tab")
    def _known_tab(self, proposal: Any) -> str:
        if proposal["value"] not in TABS:
            raise InvalidInput("tab", "is not known.", allowed=TABS)
        return str(proposal["value"])

    # opening

    def restore(self, values: Mapping[str, str]) -> None:
        """Takes the values of a query or of the last visit; what is not known in them is left out."""
        for name, known in (("period", self.preview.periods), ("interval", self.preview.intervals),
                            ("source", self.preview.sources)):  # fmt: skip
            if values.get(name) in known:
                setattr(self.preview, name, values[name])
        self.preview.symbol = values.get("symbol") or self.preview.symbol
        if values.get("part") in PARTS:
            self.part = values["part"]
        self.refresh()
        wanted = values.get("strategy", "")
        if wanted in PRESETS:
            self.use_template(wanted)
        elif wanted or self._services.draft_of(""):
            self.open(wanted) if wanted else self.new()
        if values.get("tab") in TABS:
            self.tab = values["tab"]

    def refresh(self) -> None:
        self.library = tuple(self._services.list_strategies())

    def open(self, name: str, version: int | None = None) -> None:
        """A saved strategy with the unsaved changes of the last visit; with ``version`` that version as it was."""
        try:
            versions = tuple(self._services.versions(name))
        except NotFound as error:
            self.say(Message("warning", sentence(error)))
            self.tab = "library"
            return
        chosen = next((v for v in versions if version in (None, v.strategy.version)), versions[0])
        kept = self._services.draft_of(name) if version is None else {}
        self._load(name, chosen.strategy, versions)
        if kept:
            self._take(kept)
            self.say(Message("info", "Your unsaved changes of the last visit are here again.", "discard", "Drop them"))
        elif version is not None and version != versions[0].strategy.version:
            self._changed()
            self.say(Message("info", f"Version {version} is in the editor. Save to make it the newest."))
        self.tab = "build"

    def new(self) -> None:
        """An empty sheet with a first pair of rules to change, or the one begun at the last visit."""
        kept = self._services.draft_of("")
        self._load("", None, (), name="My strategy")
        self._loading = True
        self.parts = {part: rows.from_text(FIRST.get(part, "")) for part in PARTS}
        self._loading = False
        if kept:
            self._take(kept)
            self.say(
                Message("info", "The strategy you began at the last visit is here again.", "discard", "Start over")
            )
        else:
            self._changed(keep=False)
        self.tab = "build"

    def use_template(self, key: str) -> None:
        """A preset as the start of a strategy of one's own."""
        if key not in PRESETS:
            raise InvalidInput("template", f"{key[:40]!r} is not known.", allowed=PRESETS)
        preset = PRESETS[key]
        self._load("", preset.build(), (), name=self._free(f"My {preset.label}"))
        self.say(None)
        self.tab = "build"

    def discard(self) -> None:
        """Drops unsaved changes."""
        self._services.keep_draft(self.opened, {})
        if self.opened:
            self.open(self.opened)
        else:
            self.new()

    # keeping

    def save(self) -> None:
        """Checks for a look into the future, then adds a version; a strategy that fails is kept as a draft."""
        self._save(self.base)

    def save_anyway(self) -> None:
        """After another tab's save: the edit becomes the version after that one, which stays too."""
        self._save(None)

    def _save(self, base: int | None) -> None:
        strategy = self.strategy
        if strategy is None or self.blockers:
            self.say(Message("warning", " ".join(self.blockers) or "There is nothing to save yet."))
            return
        under = self.opened or self.name.strip()
        strategy = replace(strategy, name=under)

        def work(job: Job) -> tuple[list[str], list[str]]:
            job.report(0.2, "Looking for a view into the future")
            ahead = [str(f) for f in self._services.looks_ahead(strategy)]
            job.report(0.7, "Looking at the warm-up")
            return ahead, [f"{f.rule.replace('_', ' ')}: {f.condition}" for f in self._services.unsettled(strategy)]

        def done(found: tuple[list[str], list[str]]) -> None:
            self._keep(strategy, base, *found)

        self.in_background(work, done, label="Checking…")

    def _keep(self, strategy: Strategy, base: int | None, ahead: list[str], warm: list[str]) -> None:
        reason = f"it looks into the future ({ahead[0]})" if ahead else ""
        name, rename = strategy.name, self.name.strip()
        try:
            saved = self._services.save(strategy, base=base, draft=reason)
        except ChangedElsewhere as error:
            if self.opened:
                text = (
                    f"Version {error.newest} was saved elsewhere since you opened version {error.base}. Your changes "
                    f"are still here: save them as version {error.newest + 1}, or compare under Versions first."
                )
                self.versions = tuple(self._services.versions(name))
                self.say(Message("warning", text, "save_anyway", f"Save as version {error.newest + 1}"))
            else:
                self.say(Message("warning", f"You have a strategy “{name}” already. Choose another name."))
            return
        before = self.opened
        self._services.keep_draft(before, {})
        problem = ""
        if rename != name:
            try:
                name = self._services.rename(name, rename)
            except InvalidInput as error:
                problem = f" It keeps its name: {sentence(error)}"
        versions = tuple(self._services.versions(name))
        self._load(name, versions[0].strategy, versions)
        self.refresh()
        self.notes = tuple(
            f"Warm-up: {text} depends on bars far back. Test it on a period of several years." for text in warm
        )
        if reason:
            text = f"Saved as version {saved.version}, as a draft: {reason}. No bot can carry it until that is changed."
        else:
            text = f"Saved as version {saved.version}. No condition looks into the future."
        self.say(Message("warning" if reason or problem else "success", text + problem))

    def restore_version(self, version: int) -> None:
        """An old version becomes the newest again."""
        self.open(self.opened, version)
        self.save()

    def compare(self, version: int) -> None:
        """The sentences of a version beside those in the editor, word by word."""
        other = next(v for v in self.versions if v.strategy.version == version)
        pieces = compare_words(" ".join(in_english(other.strategy)), " ".join(self.sentences))
        self.compared = (f"Version {version} against the editor", pieces)

    def library_action(self, action: str, name: str) -> None:
        """A button in the table of one's own strategies."""
        if action == "open":
            self.say(None)
            self.open(name)
        elif action == "copy":
            self.copy(name)
        elif action == "rename":
            self.renaming = name
        elif action == "delete":
            self.delete(name)
        else:
            raise InvalidInput("action", f"{action!r} is not known.")

    def version_action(self, action: str, row_id: str) -> None:
        """A button in the table of versions."""
        version = int(row_id)
        if action == "open":
            self.open(self.opened, version)
        elif action == "restore":
            self.restore_version(version)
        elif action == "compare":
            self.compare(version)
        else:
            raise InvalidInput("action", f"{action!r} is not known.")

    def copy(self, name: str) -> None:
        found = self._services.versions(name)[0]
        made = self._services.save(replace(found.strategy, name=self._free(f"{name[:70]} copy")), base=0,
                                   draft=found.draft)  # fmt: skip
        self.refresh()
        self.say(Message("success", f"Copied to “{made.name}”."))

    def rename(self, new: str) -> None:
        old = self.renaming
        if not old:
            return
        kept = self._services.draft_of(old)
        name = self._services.rename(old, new)
        if kept and name != old:
            self._services.keep_draft(old, {})
            self._services.keep_draft(name, {**kept, "name": name})
        if self.opened == old:
            self._loading = True
            self.opened = self.name = name
            self.versions = tuple(self._services.versions(name))
            self._loading = False
            self._changed(keep=bool(kept))
        self.renaming = ""
        self.refresh()
        self.say(Message("success", f"Renamed to “{name}”."))

    def delete(self, name: str) -> None:
        self._services.delete(name)
        self._services.keep_draft(name, {})
        if self.opened == name:
            self._loading = True
            self.opened, self.base, self.versions, self.compared = "", 0, (), None
            self._loading = False
            self._changed()
        self.refresh()
        self.say(Message("success", f"Deleted “{name}” with all its versions."))

    def _load(
        self, opened: str, strategy: Strategy | None, versions: tuple[StrategyVersion, ...], name: str = ""
    ) -> None:
        self.made_bot = 0
        self._fill(opened, strategy, versions, name)
        self._write_query()

    def _write_query(self) -> None:
        if self._loading:
            return
        p = self.preview
        self.query = {"strategy": self.opened, "tab": self.tab if self.tab != "build" else "", "part": self.part,
                      "symbol": p.symbol, "period": p.period, "interval": p.interval, "source": p.source}  # fmt: skip
        self.attempt(self._services.remember, dict(self.query))

    def _free(self, name: str) -> str:
        taken = {line.name for line in self.library or ()} | set(PRESETS)
        free, number = name, 2
        while free in taken:
            free, number = f"{name} {number}", number + 1
        return free


__all__ = ["PARTS", "TABS", "Piece", "StrategiesModel", "StrategyServices"]
