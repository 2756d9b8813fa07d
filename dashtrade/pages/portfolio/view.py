"""Widgets of the portfolio page, linked to its model. No services here."""

from __future__ import annotations

from functools import partial
from html import escape

import ipywidgets as w

from dashtrade.pages.portfolio import rows
from dashtrade.pages.portfolio.model import TABS, PortfolioModel
from dashtrade.pages.widgets.bits import (
    ConfirmButton,
    badge_html,
    cards_html,
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
from dashtrade.pages.widgets.heatmap import heatmap_html
from dashtrade.pages.widgets.lines import LinesPlot
from dashtrade.pages.widgets.table import DataTable
from dashtrade.pages.widgets.view import PageView

EVERYTHING, OWN_RULE = "All symbols", "Your own rule"
_MODES = {"simulated": "Simulated account", "paper": "Paper account", "live": "Live account"}


class PortfolioView(PageView):
    """Tabs: the watchlist, a scan of it, accounts with their holdings."""

    model: PortfolioModel

    def __init__(self, model: PortfolioModel, *, help_text: str = "") -> None:
        super().__init__(model, "portfolio", "Portfolio")
        self.tabs = {key: w.Button(description=title) for key, title in TABS.items()}
        self.source = w.Dropdown(options=[(_source_name(s), s) for s in model.sources])
        self.reload = w.Button(description="Refresh")
        self.badge = html("")
        self.symbols = w.Text(placeholder="AAPL, MSFT")
        self.notes = w.Text(placeholder="why you watch it")
        self.add = w.Button(description="Add", button_style="primary")
        self.upload = styled(w.FileUpload(accept=".csv,.txt", multiple=False, description="Import CSV"), "dt-upload")
        self.sample = w.Button(description="Start with sample shares")
        self.watch = DataTable(rows.WATCH, caption="Watchlist", filename="watchlist", empty=rows.NOTHING_WATCHED)
        self.chosen = w.Dropdown(options=[(EVERYTHING, "")])
        self.list_name = w.Text(placeholder="Tech, Dividends …")
        self.create = w.Button(description="New list")
        self.rename = w.Button(description="Rename")
        self._filling = False
        self.delete = ConfirmButton(model, "Delete list", "Really delete the list", model.delete_list)
        self.note = w.Text(placeholder="empty removes the note")
        self.save_note = w.Button(description="Save note", button_style="primary")
        self.rule = w.Text(continuous_update=False, placeholder="rsi < 40")
        self.run = w.Button(description="Scan", button_style="primary")
        self.rule_from = w.Dropdown(options=[(OWN_RULE, "")])
        self.blocker = html("")
        self.found = DataTable(rows.SCAN, caption="Scan", filename="scan", empty="Not scanned yet. Press Scan.")
        self.accounts, self.book_notes = html(""), html("")
        self.holdings = DataTable(
            rows.HOLDINGS, caption="Holdings", filename="holdings", empty="No account holds anything."
        )
        self.benchmark = w.Text(continuous_update=False, placeholder="SPY")
        self.account = w.Dropdown(options=[("–", "")])
        self.curve: LinesPlot | None = None
        self.fall: LinesPlot | None = None
        self.curve_note = html("")
        self.days = DataTable(rows.DAYS, caption="Equity by day", filename="equity", page_size=10)
        self._build(help_text)
        self._link()

    def _build(self, help_text: str) -> None:
        self.note_box = row(field("Note", self.note), self.save_note)
        rule = field("Rule", self.rule, "As on the strategies: ema(9) crosses above ema(21) and rsi < 70")
        rule.layout.flex = "1 1 320px"
        rule.layout.max_width = "720px"
        self.curve_box, self.fall_box = stack(), stack()
        self.account_field = field("Account", self.account)
        self.curve_parts = stack(self.curve_box, heading("Drawdown", 3), self.fall_box, self.days)
        equity = panel(
            heading("Equity against a benchmark"),
            row(field("Benchmark", self.benchmark, "A ticker; both lines start at 100"), self.account_field),
            self.curve_note,
            self.curve_parts,
        )
        self.sections = {
            "watchlist": panel(
                row(field("Symbols", self.symbols), field("Notes", self.notes), self.add, self.upload, self.sample),
                self.note_box,
                self.watch,
                row(field("List name", self.list_name), self.create, self.rename, self.delete.widget),
            ),
            "scanner": panel(
                html(
                    '<p class="dt-muted">Finds the symbols of the list where a rule is true on the last closed daily '
                    "bar, such as: price above ema(50) and rsi &lt; 60</p>"
                ),
                row(field("Rule from", self.rule_from, "The entry rule of a strategy"), rule, self.run),
                self.blocker,
                self.found,
            ),
            "holdings": stack(self.accounts, equity, panel(self.holdings), self.book_notes),
        }
        bar = styled(w.Box(list(self.tabs.values())), "dt-tabs")
        top = row(field("Data source", self.source), field("List", self.chosen), self.reload, self.badge)
        head = stack(top, self.messages.widget, self.progress.widget, bar)
        self.widget = self.frame(head, *self.sections.values(), help_panel(help_text))

    def _link(self) -> None:
        model = self.model
        for key, button in self.tabs.items():
            self.click(button, partial(setattr, model, "tab", key))
        self.bind("source", self.source)
        self.bind("rule", self.rule)
        self.bind("benchmark", self.benchmark)
        self.chosen.observe(model.guard(self._choose), "value")
        self.follow(["lists", "chosen"], self._draw_lists)
        self.follow("rules", self._draw_rules)
        self.follow("rule", self._draw_rule)
        self.click(self.create, self._create)
        self.click(self.rename, self._rename)
        self.rule_from.observe(model.guard(self._take_rule), "value")
        self.account.observe(model.guard(lambda _change: self._draw_curve()), "value")
        self.click(self.reload, model.refresh)
        self.click(self.add, self._add)
        self.click(self.sample, model.use_sample)
        self.click(self.save_note, lambda: model.save_note(self.note.value))
        self.click(self.run, model.scan)
        self.upload.observe(model.guard(self._import), "value")
        self.watch.on_action(model.guard(model.row_action))
        self.follow("tab", self._draw_tab)
        self.follow(["watched", "chosen"], self._draw_watch)
        self.follow("editing", self._draw_note)
        self.follow("hits", self._draw_hits)
        self.follow("blockers", self._draw_blockers)
        self.follow("book", self._draw_book)
        self.follow(["book", "tab"], self._draw_curve)
        self.follow("query", lambda: self.shell.write_query(model.query))

    def _add(self) -> None:
        self.model.add(self.symbols.value, self.notes.value)
        self.symbols.value = self.notes.value = ""

    def _choose(self, change: dict[str, object]) -> None:
        # while its options change the control falls back to the first: that is not the person's choice
        if not self._filling:
            self.model.chosen = str(change["new"])

    def _create(self) -> None:
        self.model.create_list(self.list_name.value)
        self.list_name.value = ""

    def _rename(self) -> None:
        self.model.rename_list(self.list_name.value)
        self.list_name.value = ""

    def _take_rule(self, change: dict[str, object]) -> None:
        if change["new"]:
            self.model.take_rule(str(change["new"]))

    def _import(self, change: dict[str, object]) -> None:
        files = change["new"]
        if not files:
            return
        content = bytes(files[0]["content"])  # type: ignore[index]
        self.upload.value = ()
        self.model.import_csv(content.decode("utf-8-sig", errors="replace"))

    def _draw_tab(self) -> None:
        for key, button in self.tabs.items():
            on = key == self.model.tab
            (button.add_class if on else button.remove_class)("dt-on")
            show_if(self.sections[key], on)

    def _draw_lists(self) -> None:
        chosen, known = self.model.chosen, [one.name for one in self.model.lists]
        self._filling = True
        try:
            self.chosen.options = [
                (EVERYTHING, ""),
                *((f"{one.name} ({one.symbols})", one.name) for one in self.model.lists),
            ]
            self.chosen.value = chosen if chosen in known else ""
        finally:
            self._filling = False

    def _draw_rules(self) -> None:
        self.rule_from.options = [(OWN_RULE, ""), *((name, name) for name in self.model.rules)]

    def _draw_rule(self) -> None:
        chosen = self.rule_from.value
        if chosen and self.model.rules.get(chosen) != self.model.rule:
            self.rule_from.value = ""  # changed by hand since

    def _draw_watch(self) -> None:
        watched, chosen = self.model.watched, self.model.chosen
        show_if(self.sample, watched is None or not watched.rows)
        show_if(self.rename, bool(chosen))
        self.delete.show(bool(chosen))
        self.watch.caption = chosen or "Watchlist"
        self.watch.empty = f"Nothing is in {chosen} yet. Add a ticker above." if chosen else rows.NOTHING_WATCHED
        if watched is None:
            self.watch.show(())
            return
        self.watch.show(rows.watch_rows(watched, in_list=bool(chosen), source=self.model.source))
        made_up = any(r.made_up for r in watched.rows)
        sources = sorted({r.source for r in watched.rows if r.source})
        text = "Sample data · past prices" if made_up else ", ".join(map(_source_name, sources))
        self.badge.value = badge_html(text, "warn" if made_up else "plain") if text else ""

    def _draw_note(self) -> None:
        symbol = self.model.editing
        show_if(self.note_box, bool(symbol))
        self.note.description = f"Note on {symbol}" if symbol else "Note"
        self.note.value = self.model.note_of(symbol)

    def _draw_hits(self) -> None:
        hits = self.model.hits
        self.found.empty = "Not scanned yet. Press Scan." if hits is None else "No symbol was scanned."
        self.found.show(rows.scan_rows(hits or (), source=self.model.source))
        true = sum(hit.now for hit in hits or ())
        self.found.caption = "Scan" if hits is None else f"True for {true} of {len(hits)}"

    def _draw_blockers(self) -> None:
        text = " ".join(self.model.blockers)
        self.run.disabled = bool(text)
        self.blocker.value = f'<p class="dt-blocker" role="status">⚠ {escape(text)}</p>' if text else ""
        show_if(self.blocker, bool(text))

    def _draw_book(self) -> None:
        book = self.model.book
        if book is None:
            return
        parts = []
        for summary in book.accounts:
            name = _MODES.get(summary.account, summary.account)
            risk = book.risks.get(summary.account)
            pairs = (
                f"<h3>Correlation of the holdings</h3>{heatmap_html(risk.correlation)}"
                if risk is not None and len(risk.correlation) > 1
                else ""
            )
            parts.append(
                f'<section class="dt-panel"><h2>{escape(name)}</h2>'
                f"{cards_html(rows.account_cards(summary, risk))}{pairs}</section>"
            )
        empty = '<p class="dt-empty">No account yet. Make a bot on the trading bot page; it opens a simulated one.</p>'
        self.accounts.value = f'<div class="dt-stack">{"".join(parts)}</div>' if parts else empty
        self.holdings.show(rows.holding_rows(book))
        modes = [(_MODES.get(mode, mode), mode) for mode in book.curves]
        self.account.options = modes or [("–", "")]
        show_if(self.account_field, len(modes) > 1)
        self.book_notes.value = "".join(f'<p class="dt-blocker">⚠ {escape(text)}</p>' for text in book.notes)

    def _draw_curve(self) -> None:
        book, mode = self.model.book, self.account.value
        curve = book.curves.get(mode) if book is not None else None
        enough = curve is not None and len(curve.equity) > 1
        show_if(self.curve_parts, enough)
        show_if(self.curve_note, not enough)
        if curve is None or not enough:
            self.curve_note.value = f'<p class="dt-empty">{rows.NO_CURVE}</p>'
            return
        if self.model.tab != "holdings":
            return  # a figure made while its place is hidden has no size to draw in
        if self.curve is None or self.fall is None:
            self.curve, self.fall = LinesPlot("320px"), LinesPlot("180px")
            self.curve_box.children, self.fall_box.children = (self.curve.widget,), (self.fall.widget,)
        name = _MODES.get(mode, mode)
        frame = curve.rebased(name, self.model.benchmark)
        self.curve.show(frame, [name, self.model.benchmark])
        falls = (frame / frame.cummax() - 1).dropna(axis=1, how="all")
        self.fall.show(falls, [name, self.model.benchmark], form=".1%", percent=True)
        self.days.show(rows.day_rows(curve))


def _source_name(key: str) -> str:
    return {"": "Automatic", "sample": "Sample data (offline)"}.get(key, key.replace("_", " ").title())
