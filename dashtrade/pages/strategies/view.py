"""Widgets of the strategies page, linked to its model. No services here."""

from __future__ import annotations

from functools import partial
from html import escape
from urllib.parse import urlencode

import ipywidgets as w

from dashtrade.pages.strategies import tables
from dashtrade.pages.strategies.exports import KINDS
from dashtrade.pages.strategies.form import PARTS
from dashtrade.pages.strategies.form_view import FormView
from dashtrade.pages.strategies.look import TextFile
from dashtrade.pages.strategies.model import TABS, StrategiesModel
from dashtrade.pages.strategies.preview_view import PreviewView
from dashtrade.pages.strategies.rows_view import PartView
from dashtrade.pages.widgets.bits import (
    badge_html,
    field,
    heading,
    help_panel,
    html,
    panel,
    row,
    show_if,
    stack,
    styled,
)
from dashtrade.pages.widgets.table import DataTable
from dashtrade.pages.widgets.view import PageView


class StrategiesView(PageView):
    """Tabs: the library, the workshop with its preview, the versions, and what a strategy is good for."""

    model: StrategiesModel

    def __init__(self, model: StrategiesModel, *, help_text: str = "") -> None:
        super().__init__(model, "strategies", "Strategies")
        self.tabs = {key: w.Button(description=title) for key, title in TABS.items()}
        self.library = DataTable(
            tables.LIBRARY, caption="My strategies", filename="strategies",
            empty="No strategy of your own yet. Start from a template below, or press New strategy.",
        )  # fmt: skip
        self.templates = DataTable(tables.TEMPLATES, caption="Templates", filename="templates")
        self.new_name = w.Text()
        self.save_name = w.Button(description="Save name", button_style="primary")
        self.keep_name = w.Button(description="Cancel")
        self.new = w.Button(description="New strategy", button_style="primary")
        self.name = w.Text(continuous_update=False)
        self.save = w.Button(description="Save", button_style="primary")
        self.state, self.problems, self.said, self.notes = html(""), html(""), html(""), html("")
        self.part_tabs = {part: w.Button(description=label) for part, label in PARTS.items()}
        self.parts: dict[str, PartView] = {}
        self.part_box = stack()
        self.form = FormView(model)
        self.preview = PreviewView(model.preview)
        self.backtest = html("")
        self.versions = DataTable(
            tables.VERSIONS, caption="Versions", filename="versions",
            empty="Nothing is saved yet. Each save under Build adds a version here.",
        )  # fmt: skip
        self.comparison = html("")
        self.exports = {kind: w.Button(description=label) for kind, label in KINDS.items()}
        self.export_note, self.file = html(""), TextFile()
        self.dollars = w.Text("1000")
        self.promote = w.Button(description="Make a paused bot", button_style="primary")
        self.promotion, self.bot_link = html(""), html("")
        self._build(help_text)
        self._link()

    def _build(self, help_text: str) -> None:
        self.name_box = row(field("New name", self.new_name), self.save_name, self.keep_name)
        name = styled(field("Name", self.name), "dt-name")
        rules = panel(heading("Rules"), styled(w.Box(list(self.part_tabs.values())), "dt-tabs"), self.part_box)
        workshop = styled(
            w.Box(
                [
                    stack(panel(heading("In plain English"), self.said), rules, self.form.widget),
                    self.preview.widget,
                ]
            ),
            "dt-workshop",
        )
        head = panel(row(name, self.save, self.backtest, self.state), self.progress.widget, self.problems, self.notes)
        self.sections = {
            "library": stack(row(self.new), self.name_box, panel(self.library), panel(self.templates)),
            "build": stack(head, workshop),
            "versions": stack(panel(self.versions), self.comparison),
            "use": stack(
                panel(
                    heading("Take it elsewhere"),
                    html('<p class="dt-muted">What is in the editor now, saved or not.</p>'),
                    row(*self.exports.values()), self.export_note, self.file,
                ),
                panel(
                    heading("Trade it"),
                    html('<p class="dt-muted">Makes a bot on your simulated account, switched off, for the symbol and '
                         "the bars of the preview. It acts on TradingView's alerts once you switch it on.</p>"),
                    row(field("Dollars for each entry", self.dollars), self.promote), self.promotion, self.bot_link,
                ),
            ),
        }  # fmt: skip
        bar = styled(w.Box(list(self.tabs.values())), "dt-tabs")
        self.widget = self.frame(stack(self.messages.widget, bar), *self.sections.values(), help_panel(help_text))

    def _link(self) -> None:
        model = self.model
        for key, button in self.tabs.items():
            self.click(button, partial(setattr, model, "tab", key))
        for part, button in self.part_tabs.items():
            self.click(button, partial(setattr, model, "part", part))
        for kind, button in self.exports.items():
            self.click(button, partial(model.make_export, kind))
        self.bind("name", self.name)
        self.click(self.new, model.new)
        self.click(self.save, model.save)
        self.click(self.save_name, lambda: model.rename(self.new_name.value))
        self.click(self.keep_name, partial(setattr, model, "renaming", ""))
        self.click(self.promote, lambda: model.promote(self.dollars.value))
        self.library.on_action(model.guard(model.library_action))
        self.templates.on_action(model.guard(lambda _name, key: model.use_template(key)))
        self.versions.on_action(model.guard(model.version_action))
        self.templates.show(tables.template_rows())
        self.follow("tab", self._draw_tab)
        self.follow(["part", "parts"], self._draw_part)
        self.follow("library", self._draw_library)
        self.follow("renaming", self._draw_renaming)
        self.follow("sentences", self._draw_sentence)
        self.follow(["blockers", "busy"], self._draw_problems)
        self.follow(["dirty", "versions", "opened"], self._draw_state)
        self.follow("notes", self._draw_notes)
        self.follow("versions", lambda: self.versions.show(tables.version_rows(model.versions)))
        self.follow("compared", self._draw_comparison)
        self.follow("export", self._draw_export)
        self.follow(["dirty", "versions", "opened", "made_bot", "blockers"], self._draw_promotion)
        self.follow(["opened", "values", "query"], self._draw_links)
        self.follow("query", lambda: self.shell.write_query(model.query))

    def _draw_tab(self) -> None:
        for key, button in self.tabs.items():
            on = key == self.model.tab
            (button.add_class if on else button.remove_class)("dt-on")
            show_if(self.sections[key], on)
        if self.model.tab == "build":
            self.preview.wake()

    def _draw_part(self) -> None:
        chosen = self.model.part
        for part, button in self.part_tabs.items():
            (button.add_class if part == chosen else button.remove_class)("dt-on")
            draft = self.model.parts[part]
            mark = " ⚠" if draft.error else " ●" if draft.text.strip() else ""
            button.description = PARTS[part] + mark
            button.tooltip = "Has an error" if draft.error else "Has a rule" if mark else "No rule"
        draft = self.model.parts[chosen]
        if chosen in self.parts:
            self.parts[chosen].show(draft)
        else:
            self.parts[chosen] = PartView(
                draft,
                self.model.guard(partial(self.model.edit_rows, chosen)),
                self.model.guard(partial(self.model.edit_text, chosen)),
                PARTS[chosen],
            )
        if self.part_box.children != (self.parts[chosen].widget,):
            self.part_box.children = (self.parts[chosen].widget,)

    def _draw_library(self) -> None:
        if self.model.library is not None:
            self.library.show(tables.library_rows(self.model.library))

    def _draw_renaming(self) -> None:
        show_if(self.name_box, bool(self.model.renaming))
        self.new_name.description = f"New name of {self.model.renaming}" if self.model.renaming else "New name"
        self.new_name.value = self.model.renaming

    def _draw_sentence(self) -> None:
        lines = "".join(f"<p>{escape(line)}</p>" for line in self.model.sentences)
        empty = '<p class="dt-muted">The rules in words appear here.</p>'
        self.said.value = f'<div class="dt-said" aria-live="polite">{lines or empty}</div>'

    def _draw_problems(self) -> None:
        self.save.disabled = bool(self.model.blockers) or self.model.busy
        self.problems.value = "".join(
            f'<p class="dt-blocker" role="status">⚠ {escape(text)}</p>' for text in self.model.blockers
        )
        show_if(self.problems, bool(self.model.blockers))

    def _draw_state(self) -> None:
        m = self.model
        parts = []
        if m.opened:
            parts.append(badge_html(f"version {m.base}" + (f" of {m.newest}" if m.newest > m.base else "")))
        if m.dirty:
            parts.append(badge_html("● Unsaved changes" if m.opened else "● Not saved yet", "warn"))
        elif m.draft_reason:
            parts.append(badge_html("⚠ Draft", "warn", m.draft_reason))
        elif m.opened:
            parts.append(badge_html("✓ Saved", "good"))
        self.state.value = f'<div class="dt-head" style="min-height:34px">{"".join(parts)}</div>'

    def _draw_notes(self) -> None:
        self.notes.value = "".join(f'<p class="dt-muted">ℹ {escape(text)}</p>' for text in self.model.notes)
        show_if(self.notes, bool(self.model.notes))

    def _draw_comparison(self) -> None:
        found = self.model.compared
        show_if(self.comparison, found is not None)
        if found is None:
            return
        title, pieces = found
        tags = {"old": "del", "new": "ins", "same": "span"}
        text = " ".join(f"<{tags[p.kind]}>{escape(p.text)}</{tags[p.kind]}>" for p in pieces)
        differs = any(p.kind != "same" for p in pieces)
        note = "Struck through: only before. Underlined: only now." if differs else "The words are the same."
        self.comparison.value = (
            f'<section class="dt-panel"><h2>{escape(title)}</h2><p class="dt-muted">{note}</p>'
            f'<p class="dt-compare">{text}</p></section>'
        )

    def _draw_export(self) -> None:
        export = self.model.export
        with self.file.hold_sync():
            self.file.text = export.text if export else ""
            self.file.filename = export.filename if export else ""
        if export is None:
            self.export_note.value = ""
        elif export.problem:
            self.export_note.value = f'<p class="dt-blocker" role="alert">⚠ {escape(export.problem)}</p>'
        else:
            self.export_note.value = f'<p class="dt-muted">{escape(export.hint)}</p>'
        for kind, button in self.exports.items():
            on = export is not None and export.kind == kind
            (button.add_class if on else button.remove_class)("dt-on")

    def _draw_promotion(self) -> None:
        why = self.model.why_not_promoted
        self.promote.disabled = bool(why)
        self.promotion.value = f'<p class="dt-blocker" role="status">⚠ {escape(why)}</p>' if why else ""
        show_if(self.promotion, bool(why))

    def _draw_links(self) -> None:
        query = self.model.backtest_query
        self.backtest.value = (
            f'<a class="dt-link" href="backtest?{escape(urlencode(query))}">Backtest this</a>' if query else ""
        )
        show_if(self.backtest, bool(query))
        name = escape(urlencode({"strategy": self.model.opened}))
        self.bot_link.value = f'<a class="dt-link" href="bot?{name}">Open the trading bot page</a>'
