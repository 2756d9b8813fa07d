"""The strategy under edit: texts and rows of its parts, its settings, and what is wrong with them. No widgets."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import traitlets as t

from dashtrade.domain.strategy import Strategy
from dashtrade.errors import InvalidInput
from dashtrade.pages.background import Background, inline
from dashtrade.pages.model import PageModel
from dashtrade.pages.strategies import draft as rows
from dashtrade.pages.strategies.comparing import Piece
from dashtrade.pages.strategies.draft import Group, PartDraft
from dashtrade.pages.strategies.exports import Export
from dashtrade.pages.strategies.form import DEFAULTS, PARTS, same, strategy_of, texts_of, values_of
from dashtrade.pages.strategies.preview import PreviewModel
from dashtrade.pages.strategies.sentence import describe as in_english
from dashtrade.services.strategies import StrategyVersion

KeepDraft = Callable[[str, Mapping[str, str]], None]


class StrategyEditor(PageModel):
    """The text of each part is what counts; rows follow it. ``keep_draft(name, values)`` keeps unsaved work."""

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
    export: Export | None = t.Any(None)  # type: ignore[assignment]

    def __init__(
        self,
        preview: PreviewModel,
        keep_draft: KeepDraft,
        *,
        background: Background = inline,
        **traits: Any,
    ) -> None:
        self.preview, self._keep_draft = preview, keep_draft
        self._family = self._description = ""
        self._loading = True
        super().__init__(background=background, **traits)
        self.parts = {part: PartDraft() for part in PARTS}
        self.observe(lambda _change: self._changed(), ["name", "parts", "values"])
        self._loading = False

    @property
    def newest(self) -> int:
        return self.versions[0].strategy.version if self.versions else 0

    @t.validate("part")
    def _known_part(self, proposal: Any) -> str:
        if proposal["value"] not in PARTS:
            raise InvalidInput("part", "is not known.", allowed=PARTS)
        return str(proposal["value"])

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

    # inside

    def _fill(
        self, opened: str, strategy: Strategy | None, versions: tuple[StrategyVersion, ...], name: str = ""
    ) -> None:
        self._loading = True
        self.opened, self.name, self.versions = opened, name or opened, versions
        self.base = versions[0].strategy.version if versions else 0
        self.compared, self.export, self.notes = None, None, ()
        self._family = strategy.family if strategy else ""
        self._description = strategy.description if strategy else ""
        texts = texts_of(strategy) if strategy else dict.fromkeys(PARTS, "")
        self.parts = {part: rows.from_text(text) for part, text in texts.items()}
        self.values = values_of(strategy) if strategy else dict(DEFAULTS)
        self._loading = False
        self._changed(keep=False)

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
            self._keep_draft(self.opened, self._as_kept() if self.dirty else {})

    def _as_kept(self) -> dict[str, str]:
        texts = {part: draft.text for part, draft in self.parts.items()}
        return {**texts, **self.values, "name": self.name, "base": str(self.base), "family": self._family,
                "about": self._description}  # fmt: skip
