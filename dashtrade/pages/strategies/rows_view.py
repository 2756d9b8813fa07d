"""Rows of a rule as widgets: an operand, an operator, an operand; groups of rows; the text beside them."""

from __future__ import annotations

from collections.abc import Callable
from html import escape

import ipywidgets as w

from dashtrade.domain.strategy import Operator
from dashtrade.indicators import REGISTRY
from dashtrade.pages.strategies import draft as rows
from dashtrade.pages.strategies.draft import ALONE, KINDS, OPERATORS, Group, GroupKind, PartDraft, Row, Side
from dashtrade.pages.widgets.bits import field, html, show_if, styled
from dashtrade.strategies.names import INTERVALS, LEVEL_WINDOW

Changed = Callable[[], None]
_GROUPS = (("All of these are true", "all"), ("Any of these is true", "any"), ("Not all of these are true", "not"))
_DEEPEST = 4
_TIMEFRAMES = [("same", ""), *((i, i) for i in INTERVALS)]
_PLAIN = {
    rows.INDICATOR: Side(name="ema"),
    rows.PRICE: Side(rows.PRICE, "close"),
    rows.LEVEL: Side(rows.LEVEL, "support"),
    rows.PATTERN: Side(rows.PATTERN, "hammer"),
    rows.NUMBER: Side(rows.NUMBER, "", text="50"),
    rows.FORMULA: Side(rows.FORMULA, "", text="high - low"),
}


class SideView:
    """One operand. ``side`` is what its controls say now."""

    def __init__(self, side: Side, changed: Changed, label: str) -> None:
        self._changed, self._filling = changed, False
        self.kind = w.Dropdown(options=[(text, key) for key, text in KINDS.items()])
        self.name = w.Dropdown()
        self.text = w.Text(continuous_update=False)
        self.output = w.Dropdown()
        self.offset = w.Text(continuous_update=False, placeholder="0")
        self.timeframe = w.Dropdown(options=_TIMEFRAMES)
        self.settings: dict[str, w.Widget] = {}
        self.parts = {
            "kind": field(label, self.kind),
            "name": field("Name", self.name),
            "text": field("Value", self.text),
        }
        self.more = styled(w.Box(), "dt-side-more")
        self.widget = styled(w.VBox([styled(w.Box(list(self.parts.values())), "dt-side-main"), self.more]), "dt-side")
        self._draw(side)
        self.kind.observe(lambda change: self._choose_kind(change["new"]), "value")
        self.name.observe(lambda change: self._choose_name(change["new"]), "value")
        for control in (self.text, self.output, self.offset, self.timeframe):
            control.observe(lambda _change: self._tell(), "value")

    @property
    def side(self) -> Side:
        kind = self.kind.value
        if kind in (rows.NUMBER, rows.FORMULA):
            return Side(kind, "", text=self.text.value)
        defaults = _defaults(kind, self.name.value)
        given = tuple((n, c.value) for n, c in self.settings.items() if c.value.strip() != defaults.get(n))
        return Side(kind, self.name.value, given, self.output.value or "", self.offset.value, self.timeframe.value)

    def _draw(self, side: Side) -> None:
        self._filling = True
        self.kind.value = side.kind
        typed = side.kind in (rows.NUMBER, rows.FORMULA)
        show_if(self.parts["name"], not typed)
        show_if(self.parts["text"], typed)
        show_if(self.more, not typed)
        if typed:
            self.text.value = side.text
            self.text.placeholder = "70" if side.kind == rows.NUMBER else "high - low"
            self.more.children = ()
            self.settings = {}
        else:
            options = [(text, key) for key, text in rows.names_of(side.kind).items()]
            if self.name.options != tuple(options):
                self.name.options = options
            self.name.value = side.name
            self._draw_more(side)
        self._filling = False

    def _draw_more(self, side: Side) -> None:
        given, defaults = dict(side.settings), _defaults(side.kind, side.name)
        self.settings = {}
        for name, default in defaults.items():
            value = given.get(name, default)
            choices = _choices(side.name, name)
            control: w.Widget = (
                w.Dropdown(options=choices, value=value) if value in choices else w.Text(value, continuous_update=False)
            )
            control.observe(lambda _change: self._tell(), "value")
            self.settings[name] = field(name.replace("_", " ").capitalize(), control)
        outputs = REGISTRY[side.name].outputs if side.kind == rows.INDICATOR else ()
        several = len(outputs) > 1
        self.output.options = [(o.replace("_", " "), "" if n == 0 else o) for n, o in enumerate(outputs)] or [("", "")]
        self.output.value = side.output
        self.offset.value, self.timeframe.value = side.offset, side.timeframe
        shown = [*self.settings.values()]
        shown += [field("Line", self.output)] if several else []
        self.more.children = [
            *shown, field("Bars ago", self.offset, "0 is this bar, 1 the one before"),
            field("Bars", self.timeframe, "Another timeframe, on its completed bars"),
        ]  # fmt: skip

    def _choose_kind(self, kind: str) -> None:
        if not self._filling:
            self._draw(_PLAIN[kind])
            self._changed()

    def _choose_name(self, name: str) -> None:
        if not self._filling and name:
            kept = Side(self.kind.value, name, (), "", self.offset.value, self.timeframe.value)
            self._filling = True
            self._draw_more(kept)
            self._filling = False
            self._changed()

    def _tell(self) -> None:
        if not self._filling:
            self._changed()


class RowView:
    """One condition: two operands and what lies between, and what is wrong with it."""

    def __init__(self, row: Row, changed: Changed, remove: Callable[[RowView], None]) -> None:
        self._changed, self._filling = changed, False
        self.left = SideView(row.left, self._tell, "What")
        self.right = SideView(row.right, self._tell, "Compared with")
        self.upper: SideView | None = None  # made when it is needed: most conditions have no second end
        self._upper = row.upper
        self.operator = w.Dropdown(options=[(text, key) for key, text in OPERATORS.items()])
        self.operator.value = row.operator
        self.bars = w.Text(row.bars, continuous_update=False)
        self.remove = w.Button(description="Remove", tooltip="Remove this condition")
        self.problem = html("")
        self.bars_field = field("Bars in a row", self.bars)
        middle = styled(w.VBox([field("Is", self.operator), self.bars_field, self.remove]), "dt-between")
        self.body = styled(w.Box([self.left.widget, middle, self.right.widget]), "dt-condition")
        self.widget = styled(w.VBox([self.body, self.problem]), "dt-condition-box")
        self.operator.observe(lambda _change: self._tell(), "value")
        self.bars.observe(lambda _change: self._tell(), "value")
        self.remove.on_click(lambda _button: remove(self))
        self._draw()

    @property
    def node(self) -> Row:
        upper = self.upper.side if self.upper is not None else self._upper
        return Row(self.left.side, self.operator.value, self.right.side, upper, self.bars.value)

    def _tell(self) -> None:
        if self._filling:
            return
        self._filling = True
        pattern = self.left.kind.value == rows.PATTERN
        if pattern and self.operator.value not in (Operator.OCCURS.value,):
            self.operator.value = Operator.OCCURS.value
        elif not pattern and self.operator.value == Operator.OCCURS:
            self.operator.value = Operator.ABOVE.value
        self._filling = False
        self._draw()
        self._changed()

    def _draw(self) -> None:
        operator = self.operator.value
        show_if(self.right.widget, operator not in ALONE)
        if self.upper is None and operator == Operator.BETWEEN:
            self.upper = SideView(self._upper, self._tell, "And")
            self.body.children = (*self.body.children, self.upper.widget)
        if self.upper is not None:
            show_if(self.upper.widget, operator == Operator.BETWEEN)
        show_if(self.bars_field, operator in (Operator.RISING, Operator.FALLING))
        text = rows.row_error(self.node)
        self.problem.value = f'<p class="dt-blocker">⚠ {escape(text)}</p>' if text else ""
        show_if(self.problem, bool(text))


class GroupView:
    """Conditions and groups under one word; the outermost cannot be removed."""

    def __init__(
        self, group: Group, changed: Changed, remove: Callable[[GroupView], None] | None = None, depth: int = 0
    ) -> None:
        self._changed, self._depth = changed, depth
        options = _GROUPS if remove is not None else _GROUPS[:2]
        self.kind = w.Dropdown(options=options)
        self.kind.value = group.kind
        self.children: list[RowView | GroupView] = [self._made(child) for child in group.children]
        self.body = styled(w.VBox(), "dt-group-rows")
        self.add = w.Button(description="Add condition")
        self.add_group = w.Button(description="Add group", tooltip="Conditions in brackets")
        self.kind_field = field("Group" if remove is not None else "Rule", self.kind)
        foot = [self.add, *([self.add_group] if depth < _DEEPEST else [])]
        if remove is not None:
            away = w.Button(description="Remove group")
            away.on_click(lambda _button: remove(self))
            foot.append(away)
        self.widget = styled(
            w.VBox([self.kind_field, self.body, styled(w.Box(foot), "dt-row")]),
            "dt-group",
            *(["dt-group-inner"] if remove is not None else []),
        )
        self.kind.observe(lambda _change: self._changed(), "value")
        self.add.on_click(lambda _button: self._append(Row()))
        self.add_group.on_click(lambda _button: self._append(Group("any", (Row(),))))
        self._draw()

    @property
    def node(self) -> Group:
        kind: GroupKind = self.kind.value
        return Group(kind, tuple(child.node for child in self.children))

    def _made(self, node: Row | Group) -> RowView | GroupView:
        if isinstance(node, Row):
            return RowView(node, self._changed, self._remove)
        return GroupView(node, self._changed, self._remove, self._depth + 1)

    def _append(self, node: Row | Group) -> None:
        self.children.append(self._made(node))
        self._draw()
        self._changed()

    def _remove(self, child: RowView | GroupView) -> None:
        self.children = [c for c in self.children if c is not child]
        self._draw()
        close(child.widget)
        self._changed()

    def _draw(self) -> None:
        self.body.children = [child.widget for child in self.children]
        show_if(self.kind_field, self._depth > 0 or len(self.children) > 1)


class PartView:
    """One of the four rules: its rows and its text, in step."""

    def __init__(
        self, draft: PartDraft, edit_rows: Callable[[Group], None], edit_text: Callable[[str], None], label: str
    ) -> None:
        self._edit_rows, self._draft, self._filling = edit_rows, PartDraft(), False
        self.rows = styled(w.VBox(), "dt-stack")
        self.empty = html('<p class="dt-muted">No condition: this side does nothing by itself.</p>')
        self.text = w.Textarea(continuous_update=False, rows=3, placeholder="ema(9) crosses above ema(21) and rsi < 70")
        self.problem = html("")
        self.widget = styled(
            w.VBox([self.rows, styled(field(f"{label}, as text", self.text), "dt-rule-text"), self.problem]), "dt-stack"
        )
        self.group: GroupView | None = None
        self.text.observe(lambda change: None if self._filling else edit_text(change["new"]), "value")
        self.show(draft, force=True)

    def show(self, draft: PartDraft, *, force: bool = False) -> None:
        """Draws a part; rows that made it themselves stay as they are."""
        own = self.group is not None and self.group.node == draft.tree and not force
        self._draft = draft
        if not own:
            before = self.group
            self.group = GroupView(draft.tree, self._rows_changed)
            self.rows.children = (self.empty, self.group.widget)
            if before is not None:
                close(before.widget)
        show_if(self.empty, not draft.tree.children)
        self._filling = True
        self.text.value = draft.text
        self._filling = False
        self.problem.value = error_html(draft)
        show_if(self.problem, bool(draft.error))

    def _rows_changed(self) -> None:
        if self.group is not None:
            self._edit_rows(self.group.node)


def close(widget: w.Widget) -> None:
    """Ends a widget and all inside it: rows come and go while a page is open."""
    for child in getattr(widget, "children", ()):
        close(child)
    widget.close()


def error_html(draft: PartDraft) -> str:
    """What is wrong with a text, with a mark at the place."""
    if not draft.error:
        return ""
    place = ""
    if draft.position >= 0:
        before, after = draft.text[: draft.position], draft.text[draft.position :]
        word = len(after) - len(after.lstrip(_LETTERS)) or min(1, len(after))
        marked = f"<mark>{escape(after[:word]) or '⟵'}</mark>"
        place = (
            f'<code class="dt-place" aria-label="Character {draft.position + 1}">'
            f"{escape(before[-60:])}{marked}{escape(after[word : word + 60])}</code>"
        )
    return f'<p class="dt-blocker" role="status">⚠ {escape(draft.error)}</p>{place}'


_LETTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_0123456789"


def _defaults(kind: str, name: str) -> dict[str, str]:
    """Setting → default as text."""
    if kind == rows.INDICATOR and name in REGISTRY:
        return {p.name: str(p.default) for p in REGISTRY[name].params}
    return {"window": str(LEVEL_WINDOW)} if kind == rows.LEVEL else {}


def _choices(name: str, setting: str) -> tuple[str, ...]:
    found = [p.choices for p in REGISTRY[name].params if p.name == setting] if name in REGISTRY else []
    return found[0] if found else ()


__all__ = ["GroupView", "PartView", "RowView", "SideView", "error_html"]
