"""The recorded runs as widgets: the list, the one that is open, the comparison."""

from __future__ import annotations

from html import escape

import ipywidgets as w

from dashtrade.pages.backtest.runs import RunsModel, line_rows, settings_of
from dashtrade.pages.widgets.bits import ConfirmButton, badge_html, field, heading, html, panel, row, show_if, stack
from dashtrade.pages.widgets.lines import LinesPlot
from dashtrade.pages.widgets.part import PartView
from dashtrade.pages.widgets.table import Column, DataTable

LIST = (
    Column("number", "#", "number", 0),
    Column("called", "Name"),
    Column("do", "", "actions"),
    Column("time", "When", "time"),
    Column("kind", "Kind"),
    Column("strategy", "Strategy"),
    Column("symbols", "Symbols"),
    Column("interval", "Bars"),
    Column("total_return", "Return %", "signed", help="Of a sweep: its best row's"),
    Column("sharpe", "Sharpe", "number"),
    Column("max_drawdown", "Drawdown %", "number"),
    Column("trials", "Tries", "number", 0),
)


class RunsView(PartView):
    """Everything is kept by itself; names are for finding it again."""

    model: RunsModel

    def __init__(self, model: RunsModel) -> None:
        super().__init__(model)
        self.table = DataTable(
            LIST, caption="Runs", filename="runs",
            empty="No run yet. Every backtest, sweep and walk-forward is kept here by itself.",
        )  # fmt: skip
        self.chosen = html("")
        self.compare = w.Button(description="Compare", button_style="primary")
        self.clear = w.Button(description="Choose none")
        self.facts, self.again = html(""), html("")
        self.name = w.Text(placeholder="none")
        self.rename = w.Button(description="Save name", button_style="primary")
        self.run_again = w.Button(description="Run again")
        self.load = w.Button(
            description="Load into the form", tooltip="Everything this run was asked for, to run or change"
        )
        self.close = w.Button(description="Close")
        self.delete = ConfirmButton(model, "Delete", "Delete this run", self._delete)
        self.side, self.notes = html(""), html("")
        self.statistics = DataTable((), caption="Statistics", filename="comparison", page_size=50)
        self.settings = DataTable((), caption="What differs", filename="settings", page_size=50,
                                  empty="All were asked for the same.")  # fmt: skip
        self.lines: LinesPlot | None = None
        self.line_box = stack()
        self.title = html("")
        name = field("Name", self.name, "Empty takes the name away")
        acts = row(
            name, self.rename, self.run_again, self.load, self.delete.ask, self.delete.yes, self.delete.no, self.close
        )
        self.opened = panel(self.title, acts, self.again, self.facts)
        self.line_panel = panel(heading("Equity, each from 100"), self.line_box)
        self.result = stack(panel(heading("Side by side"), self.side, self.notes), self.line_panel,
                            panel(self.statistics), panel(self.settings))  # fmt: skip
        bar = row(self.chosen, self.compare, self.clear)
        self.widget = stack(
            self.messages.widget, self.progress.widget, self.opened, panel(self.table, bar), self.result
        )
        self._link()

    def _link(self) -> None:
        model = self.model
        self.table.on_action(model.guard(model.action))
        self.click(self.compare, model.compare)
        self.click(self.clear, model.clear)
        self.click(self.rename, lambda: model.rename(self.name.value))
        self.click(self.run_again, self._again)
        self.click(self.load, model.load)
        self.click(self.close, model.close)
        self.follow(["lines", "chosen"], self._draw_list)
        self.follow("opened", self._draw_opened)
        self.follow("again", self._draw_again)
        self.follow("comparison", self._draw_comparison)
        self.follow("busy", self._draw_busy)

    def _again(self) -> None:
        if self.model.opened is not None:
            self.model.run_again(self.model.opened.id)

    def _delete(self) -> None:
        if self.model.opened is not None:
            self.model.delete(self.model.opened.id)

    def wake(self) -> None:
        """The list is shown now."""
        self.model.attempt(self.model.refresh)

    def _draw_list(self) -> None:
        model = self.model
        self.table.show(line_rows(model.lines, model.chosen))
        names = {line.id: line.name or f"{line.strategy} {', '.join(line.symbols[:2])}" for line in model.lines}
        badges = "".join(badge_html(f"#{n} {names.get(n, '')}", "accent") for n in model.chosen)
        self.chosen.value = (
            f'<div class="dt-head">{badges}</div>' if badges
            else '<p class="dt-muted">Press Compare in two or more rows to set them side by side.</p>'
        )  # fmt: skip
        show_if(self.clear, bool(model.chosen))
        show_if(self.compare, bool(model.chosen))
        self._draw_busy()

    def _draw_busy(self) -> None:
        self.compare.disabled = self.model.busy or len(self.model.chosen) < 2
        self.run_again.disabled = self.model.busy

    def _draw_opened(self) -> None:
        run = self.model.opened
        show_if(self.opened, run is not None)
        if run is None:
            return
        self.title.value = f"<h2>Run {escape(run.label)}</h2>"
        self.name.value = run.name
        rows = "".join(f"<tr><th scope='row'>{escape(k)}</th><td>{escape(v)}</td></tr>" for k, v in settings_of(run))
        self.facts.value = f'<table class="dt-plan" style="overflow-wrap:anywhere"><tbody>{rows}</tbody></table>'

    def _draw_again(self) -> None:
        self.again.value = f'<p role="status">{escape(self.model.again)}</p>' if self.model.again else ""
        show_if(self.again, bool(self.model.again))

    def _draw_comparison(self) -> None:
        made = self.model.comparison
        show_if(self.result, made is not None)
        if made is None:
            return
        found = made.found
        self.side.value = (
            badge_html("All on the very same bars", "good") if found.same_data
            else badge_html("Not all on the same bars", "warn", "Their figures answer different questions")
        )  # fmt: skip
        self.notes.value = "".join(f'<p class="dt-blocker">⚠ {escape(text)}</p>' for text in made.notes)
        show_if(self.notes, bool(made.notes))
        for table, frame, first in (
            (self.statistics, found.shown, "Statistic"),
            (self.settings, found.settings, "Setting"),
        ):
            columns = [Column("label", first), *(Column(f"c{k}", str(c)) for k, c in enumerate(frame.columns))]
            table.set_columns(columns)
            table.show(
                {"id": str(label), "label": str(label), **{f"c{k}": v for k, v in enumerate(line)}}
                for label, line in zip(frame.index, frame.to_numpy().tolist(), strict=True)
            )
        show_if(self.line_panel, not made.equity.empty)
        if not made.equity.empty:
            if self.lines is None:
                self.lines = LinesPlot("320px")
                self.line_box.children = (self.lines.widget,)
            self.lines.show(made.equity, [str(c) for c in made.equity.columns])
