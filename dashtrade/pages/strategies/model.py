"""State and actions of the strategies page. Services come in as callables; no widgets here."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal, InvalidOperation
from difflib import SequenceMatcher
from typing import TYPE_CHECKING, Any

import traitlets as t

from dashtrade.domain.strategy import Strategy
from dashtrade.errors import InvalidInput, NotFound
from dashtrade.pages.background import Background, inline
from dashtrade.pages.guard import Message, sentence
from dashtrade.pages.model import Job, PageModel
from dashtrade.pages.strategies import draft as rows
from dashtrade.pages.strategies.draft import Group, PartDraft
from dashtrade.pages.strategies.exports import Export, make_export
from dashtrade.pages.strategies.form import DEFAULTS, PARTS, same, strategy_of, texts_of, values_of
from dashtrade.pages.strategies.preview import PreviewModel
from dashtrade.pages.strategies.sentence import describe as in_english
from dashtrade.services.strategies import ChangedElsewhere, StrategyLine, StrategyVersion
from dashtrade.strategies import PRESETS

if TYPE_CHECKING:
    from dashtrade.backtest.checks import Finding

TABS = {"library": "My strategies", "build": "Build", "versions": "Versions", "use": "Export and trade"}
FIRST = {"long_entry": "ema(window=9) crosses_above ema(window=21)",
         "long_exit": "ema(window=9) crosses_below ema(window=21)"}  # fmt: skip


@dataclass(frozen=True, slots=True)
class StrategyServices:
    """What the page needs done, each for the signed-in user.

    ``save(strategy, base=, draft=)`` adds a version; ``looks_ahead`` and ``unsettled`` name conditions;
    ``keep_draft(name, values)`` keeps unsaved work, an empty mapping forgets it; ``promote(name, symbol, interval,
    dollars)`` makes a bot that is switched off and gives its number.
    """

    list_strategies: Callable[[], Sequence[StrategyLine]]
    versions: Callable[[str], Sequence[StrategyVersion]]
    save: Callable[..., Strategy]
    rename: Callable[[str, str], str]
    delete: Callable[[str], None]
    looks_ahead: Callable[[Strategy], Sequence[Finding]]
    unsettled: Callable[[Strategy], Sequence[Finding]]
    promote: Callable[[str, str, str, Decimal], int]
    keep_draft: Callable[[str, Mapping[str, str]], None]
    draft_of: Callable[[str], Mapping[str, str]]
    remember: Callable[[Mapping[str, str]], None]


@dataclass(frozen=True, slots=True)
class Piece:
    """A stretch of a comparison: ``same``, ``old`` (only before) or ``new`` (only now)."""

    kind: str
    text: str


class StrategiesModel(PageModel):
    """One strategy under edit, beside the user's library. The text of each part is what counts; rows follow it."""

    tab: str = t.Unicode("library")  # type: ignore[assignment]
    library: tuple[StrategyLine, ...] | None = t.Any(None)  # type: ignore[assignment]
    name: str = t.Unicode("")  # type: ignore[assignment]
    opened: str = t.Unicode("")  # type: ignore[assignment]
    base: int = t.Int(0)  # type: ignore[assignment]
    part: str = t.Unicode("long_entry")  # type: ignore[assignment]
    parts: Mapping[str, PartDraft] = t.Any({})  # type: ignore[assignment]
    values: Mapping[str, str] = t.Any(DEFAULTS)  # type: ignore[assignment]
    strategy: Strategy | None = t.Any(None)  # type: ignore[assignment]
    sentences: tuple[str, ...] = t.Any(())  # type: ignore[assignment]
    dirty: bool = t.Bool(False)  # type: ignore[assignment]
    versions: tuple[StrategyVersion, ...] = t.Any(())  # type: ignore[assignment]
    compared: tuple[str, tuple[Piece, ...]] | None = t.Any(None)  # type: ignore[assignment]
    notes: tuple[str, ...] = t.Any(())  # type: ignore[assignment]
    renaming: str = t.Unicode("")  # type: ignore[assignment]
    export: Export | None = t.Any(None)  # type: ignore[assignment]
    made_bot: int = t.Int(0)  # type: ignore[assignment]
    query: Mapping[str, str] = t.Any({})  # type: ignore[assignment]

    def __init__(
        self, services: StrategyServices, preview: PreviewModel, *, background: Background = inline, **traits: Any
    ) -> None:
        self._services = services
        self.preview = preview
        self._family = self._description = ""
        self._loading = True
        super().__init__(background=background, **traits)
        self.parts = {part: PartDraft() for part in PARTS}
        self.observe(lambda _change: self._changed(), ["name", "parts", "values"])
        self.observe(lambda _change: self._write_query(), ["tab", "part", "opened"])
        preview.observe(lambda _change: self._write_query(), list(preview.inputs))
        self._loading = False

    @property
    def draft_reason(self) -> str:
        """Why the newest saved version may not be promoted; empty where it may."""
        return self.versions[0].draft if self.versions else ""

    @property
    def newest(self) -> int:
        return self.versions[0].strategy.version if self.versions else 0

    @t.validate("tab")
    def _known_tab(self, proposal: Any) -> str:
        if proposal["value"] not in TABS:
            raise InvalidInput("tab", "is not known.", allowed=TABS)
        return str(proposal["value"])

    @t.validate("part")
    def _known_part(self, proposal: Any) -> str:
        if proposal["value"] not in PARTS:
            raise InvalidInput("part", "is not known.", allowed=PARTS)
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

    # editing

    def edit_text(self, part: str, text: str) -> None:
        if text != self.parts[part].text:
            self.parts = {**self.parts, part: rows.from_text(text, self.parts[part])}

    def edit_rows(self, part: str, tree: Group) -> None:
        if tree != self.parts[part].tree or self.parts[part].error:
            self.parts = {**self.parts, part: rows.from_tree(tree)}

    def edit_value(self, name: str, text: str) -> None:
        if self.values[name] != text:
            self.values = {**self.values, name: text}

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
        before = " ".join(in_english(other.strategy)).split()
        now = " ".join(self.sentences).split()
        pieces: list[Piece] = []
        for kind, a, b, c, d in SequenceMatcher(None, before, now, autojunk=False).get_opcodes():
            if kind == "equal":
                pieces.append(Piece("same", " ".join(before[a:b])))
                continue
            if b > a:
                pieces.append(Piece("old", " ".join(before[a:b])))
            if d > c:
                pieces.append(Piece("new", " ".join(now[c:d])))
        self.compared = (f"Version {version} against the editor", tuple(pieces))

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

    # using

    def make_export(self, kind: str) -> None:
        """Pine, the alert's message, a notebook or JSON, of what is in the editor."""
        if self.strategy is None:
            raise InvalidInput("strategy", " ".join(self.blockers) or "there is none in the editor.")
        p = self.preview
        self.export = make_export(kind, self.strategy, p.symbol, p.period, p.interval, p.bars)

    @property
    def why_not_promoted(self) -> str:
        """Why no bot can be made now; empty where it can."""
        if not self.opened:
            return "Save the strategy first: a bot carries a saved one."
        if self.dirty:
            return "Save your changes first: a bot carries a saved version."
        return f"The newest version is a draft: {self.draft_reason}." if self.draft_reason else ""

    def promote(self, dollars: str) -> None:
        """A bot on the simulated account, switched off, for the symbol and the bars of the preview."""
        if self.why_not_promoted:
            self.say(Message("warning", self.why_not_promoted))
            return
        try:
            amount = Decimal(dollars.replace(",", "").strip().removeprefix("$"))
        except InvalidOperation:
            raise InvalidInput("Position size $", f"{dollars[:40]!r} is not an amount, such as 1000.") from None
        number = self._services.promote(self.opened, self.preview.symbol, self.preview.interval, amount)
        self.made_bot = number
        self.say(Message("success", f"The bot for {self.preview.symbol} is there, switched off. Go on under Trading "
                                    "bot: its token, its alert, then the switch."))  # fmt: skip

    @property
    def backtest_query(self) -> dict[str, str]:
        """What the backtest page needs to test the saved strategy as it is previewed here."""
        if not self.opened:
            return {}
        p = self.preview
        found = {"strategy": self.opened, "symbols": p.symbol, "period": p.period, "interval": p.interval,
                 "source": p.source, "size": self.values["size"]}  # fmt: skip
        return {k: v for k, v in found.items() if v}

    # inside

    def _load(
        self, opened: str, strategy: Strategy | None, versions: tuple[StrategyVersion, ...], name: str = ""
    ) -> None:
        self._loading = True
        self.opened, self.name, self.versions = opened, name or opened, versions
        self.base = versions[0].strategy.version if versions else 0
        self.compared, self.export, self.notes, self.made_bot = None, None, (), 0
        self._family = strategy.family if strategy else ""
        self._description = strategy.description if strategy else ""
        texts = texts_of(strategy) if strategy else dict.fromkeys(PARTS, "")
        self.parts = {part: rows.from_text(text) for part, text in texts.items()}
        self.values = values_of(strategy) if strategy else dict(DEFAULTS)
        self._loading = False
        self._changed(keep=False)
        self._write_query()

    def _take(self, kept: Mapping[str, str]) -> None:
        """Unsaved work as it was kept."""
        self._loading = True
        self.parts = {part: rows.from_text(kept.get(part, "")) for part in PARTS}
        self.values = {name: kept.get(name, default) for name, default in DEFAULTS.items()}
        self.name = kept.get("name") or self.name
        self._family, self._description = kept.get("family", self._family), kept.get("about", self._description)
        base = kept.get("base", "")
        self.base = int(base) if base.isdigit() else self.base
        self._loading = False
        self._changed()

    def _changed(self, *, keep: bool = True) -> None:
        if self._loading:
            return
        made, problems = strategy_of(self.name, self.parts, self.values, self._family, self._description)
        if not self.name.strip():
            problems = (*problems, "Give the strategy a name.")
        self.blockers = problems
        self.strategy = made
        if made is not None:
            self.sentences = in_english(made)
        saved = self.versions[0].strategy if self.versions else None
        self.dirty = saved is None or made is None or not same(made, saved)
        self.export = None
        self.preview.draw(made)
        if keep:
            self._services.keep_draft(self.opened, self._as_kept() if self.dirty else {})

    def _as_kept(self) -> dict[str, str]:
        texts = {part: draft.text for part, draft in self.parts.items()}
        return {**texts, **self.values, "name": self.name, "base": str(self.base), "family": self._family,
                "about": self._description}  # fmt: skip

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
