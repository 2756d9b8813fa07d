"""Sweeps and walk-forwards as widgets: ranges, how to search, heat map, table, steps."""

from __future__ import annotations

from functools import partial
from html import escape

import ipywidgets as w

from dashtrade.backtest.walkforward import Windows
from dashtrade.pages.backtest.search import METHODS, SearchModel
from dashtrade.pages.backtest.search_reports import OBJECTIVES, SHARES, show_value
from dashtrade.pages.widgets.bits import Card, cards_html, field, heading, html, panel, row, show_if, stack
from dashtrade.pages.widgets.form import ParamForm, specs_of_dataclass
from dashtrade.pages.widgets.grid_heatmap import grid_heatmap_html
from dashtrade.pages.widgets.part import PartView
from dashtrade.pages.widgets.plots import EquityPlot
from dashtrade.pages.widgets.table import Column, DataTable

_LABELS = {
    "train": "Training bars", "test": "Test bars", "purge": "Purge bars", "embargo": "Embargo bars",
    "expanding": "Expanding window", "warmup": "Warm-up bars",
}  # fmt: skip
_HELP = {
    "train": "Settings are chosen on so many bars", "test": "and traded on so many after them",
    "purge": "Bars between them that neither uses", "embargo": "Bars after a test kept out of later training",
    "warmup": "Bars before a test for the indicators only",
}  # fmt: skip


class RangeRow:
    """One setting with its values."""

    def __init__(self, view: SearchView, number: int) -> None:
        model, one = view.model, view.model.ranges[number]
        self.name = w.Dropdown(options=model.names, value=one.name)
        self.low, self.high, self.step = (w.Text(v, continuous_update=False) for v in (one.low, one.high, one.step))
        self.remove = w.Button(description="Remove", tooltip=f"Do not vary {one.name}")
        self.widget = row(
            field("Setting", self.name), field("From", self.low), field("To", self.high), field("Step", self.step),
            self.remove,
        )  # fmt: skip
        for control in (self.low, self.high, self.step):
            control.layout.max_width = "110px"
        for what in ("name", "low", "high", "step"):
            control = getattr(self, what)
            control.observe(
                model.guard(lambda change, what=what: model.put_range(number, **{what: change["new"]})), "value"
            )
        view.click(self.remove, partial(model.remove_range, number))


class SearchView(PartView):
    """``tabs["sweep"]`` and ``tabs["walk"]``; what is varied stands above both."""

    model: SearchModel

    def __init__(self, model: SearchModel) -> None:
        super().__init__(model)
        self.rows: list[RangeRow] = []
        self.row_box = stack()
        self.add = w.Button(description="Vary one more setting")
        self.method = w.Dropdown(options=[(label, key) for key, label in METHODS.items()])
        self.objective = w.Dropdown(options=[(label, key) for key, label in OBJECTIVES.items()])
        self.trials = w.Text(continuous_update=False)
        self.count, self.blocker = html(""), html("")
        self.sweep = w.Button(description="Run sweep", button_style="primary")
        self.walk = w.Button(description="Run walk-forward", button_style="primary")
        specs = [
            type(s)(**{**{n: getattr(s, n) for n in type(s).__slots__}, "label": _LABELS[s.name],
                       "help": _HELP.get(s.name, "")})
            for s in specs_of_dataclass(Windows)
        ]  # fmt: skip
        self.windows = ParamForm(specs)
        self.facts, self.map, self.map_note = html(""), html(""), html("")
        self.x, self.y, self.shade = w.Dropdown(), w.Dropdown(), w.Dropdown()
        self.table = DataTable((), caption="Best combinations", filename="sweep", empty="No combination.")
        self.walk_facts = html("")
        self.plot: EquityPlot | None = None
        self.plot_box = stack()
        self.steps = DataTable((), caption="Steps", filename="walk-forward")
        self._build()
        self._link()

    def _build(self) -> None:
        self.trials_field = field("Tries", self.trials, "How many combinations are tried")
        self.space = panel(
            heading("What to vary"), self.row_box, row(self.add),
            row(field("Best by", self.objective), field("Search", self.method), self.trials_field),
            self.count, self.blocker, self.messages.widget, self.progress.widget,
        )  # fmt: skip
        self.map_panel = panel(
            heading("Heat map"), row(field("Across", self.x), field("Down", self.y), field("Colour", self.shade)),
            self.map_note, self.map,
        )  # fmt: skip
        self.found = stack(panel(heading("What came out"), self.facts), self.map_panel, panel(self.table))
        self.walked = stack(panel(heading("Out of sample"), self.walk_facts, self.plot_box), panel(self.steps))
        self.sweep_box = stack(row(self.sweep), self.found)
        about = html('<p class="dt-muted">Settings are chosen on each training stretch and traded on the bars after '
                     "it; the tested stretches together make one curve that nobody could have tuned.</p>")  # fmt: skip
        self.walk_box = stack(panel(heading("Windows"), about, self.windows.widget, row(self.walk)), self.walked)
        self.widget = stack(self.space, self.sweep_box, self.walk_box)

    def _link(self) -> None:
        model = self.model
        for name in ("method", "objective", "trials"):
            self.bind(name, getattr(self, name))
        self.click(self.add, model.add_range)
        self.click(self.sweep, model.sweep)
        self.click(self.walk, lambda: model.walk_forward(Windows(**self.windows.values())))
        self.table.on_action(model.guard(lambda _name, number: model.use_row(int(number))))
        for control in (self.x, self.y, self.shade):
            control.observe(model.guard(lambda _change: self._draw_map()), "value")
        self._drawing = False
        self.follow(["ranges", "names"], self._draw_ranges)
        self.follow(["blockers", "busy", "count", "method"], self._draw_state)
        self.follow("report", self._draw_report)
        self._walk_stale, self._looked = True, ""
        self.follow("walk", self._draw_walk)

    def wake(self, tab: str) -> None:
        """``tab`` is shown now: sweep, walk, or another one."""
        self._looked = tab
        show_if(self.sweep_box, tab == "sweep")
        show_if(self.walk_box, tab == "walk")
        if tab == "walk" and self._walk_stale:
            self._draw_walk()

    def _draw_ranges(self) -> None:
        """Rows that still hold what the model holds stay, so that the keyboard's place is not lost."""
        ranges = self.model.ranges
        same = len(self.rows) == len(ranges) and all(
            (r.name.value, r.low.value, r.high.value, r.step.value) == (one.name, one.low, one.high, one.step)
            and tuple(r.name.options) == self.model.names
            for r, one in zip(self.rows, ranges, strict=True)
        )
        if same:
            return
        for old in self.rows:
            for part in (old.name, old.low, old.high, old.step, old.remove, old.widget):
                part.close()
        self.rows = [RangeRow(self, n) for n in range(len(ranges))]
        self.row_box.children = [r.widget for r in self.rows]

    def _draw_state(self) -> None:
        model = self.model
        text = " ".join(model.blockers)
        self.blocker.value = f'<p class="dt-blocker" role="status">⚠ {escape(text)}</p>' if text else ""
        show_if(self.blocker, bool(text))
        noun = "combination" if model.count == 1 else "combinations"
        self.count.value = f'<p class="dt-muted">{model.count:,} {noun}.</p>' if model.count else ""
        self.sweep.disabled = self.walk.disabled = bool(text) or model.busy
        show_if(self.trials_field, model.method != "grid")

    def _draw_report(self) -> None:
        report = self.model.report
        show_if(self.found, report is not None)
        if report is None:
            return
        left = (
            f" {report.skipped:,} were left out, since their settings contradict each other." if report.skipped else ""
        )
        cards = cards_html(Card(name, text, meaning) for name, text, meaning in report.facts)
        self.facts.value = f'{cards}<p class="dt-muted">{report.count:,} combinations were run.{left}</p>'
        unit = " %" if report.objective in SHARES else ""
        label = OBJECTIVES.get(report.objective, report.objective)
        own = [Column(f"p{k}", name, "number", 4, 0) for k, name in enumerate(report.names)]
        columns = [
            Column("do", "", "actions"), *own, Column("objective", label + unit, "number"),
            Column("plateau", "Plateau" + unit, "number", help="Mean of the row and its direct neighbours"),
        ]  # fmt: skip
        beside = (("total_return", "Return %", "signed", 2), ("sharpe", "Sharpe", "number", 2),
                  ("max_drawdown", "Drawdown %", "number", 2), ("trades", "Trades", "number", 0))  # fmt: skip
        columns += [Column(k, text, kind, d) for k, text, kind, d in beside if k != report.objective]  # type: ignore[arg-type]
        self.table.set_columns(columns)
        self.table.show(report.rows)
        self._drawing = True
        names = list(report.names)
        self.x.options = names
        self.y.options = [("–", "")] if len(names) == 1 else names
        self.x.value, self.y.value = names[0], names[1] if len(names) > 1 else ""
        self.shade.options = [(label, report.objective), ("Plateau (with neighbours)", "plateau")]
        self.shade.value = report.objective
        self._drawing = False
        self._draw_map()

    def _draw_map(self) -> None:
        report = self.model.report
        if report is None or self._drawing or self.x.value is None:
            return
        x, y, column = str(self.x.value), str(self.y.value or ""), str(self.shade.value)
        if x == y:
            self.map.value, self.map_note.value = "", '<p class="dt-muted">Choose two different settings.</p>'
            return
        others = [n for n in report.names if n not in (x, y)]
        note = f"The best over {', '.join(others)} in each cell. " if others else ""
        self.map_note.value = (
            f'<p class="dt-muted">{escape(note)}Stronger blue is better; the frame is the best cell. A broad blue '
            "field is worth more than one blue point. Blank cells were not run.</p>"
        )
        self.map.value = grid_heatmap_html(
            report.grid(x, y, column), lambda v: show_value(report.objective, v),
            label=f"{OBJECTIVES.get(report.objective, '')} over {x}{' and ' + y if y else ''}", row_name=y,
            column_name=x, best=True,
        )  # fmt: skip

    def _draw_walk(self) -> None:
        report = self.model.walk
        show_if(self.walked, report is not None)
        self._walk_stale = self._looked != "walk"
        if report is None or self._walk_stale:
            return
        self.walk_facts.value = cards_html(Card(name, text, meaning) for name, text, meaning in report.facts)
        if self.plot is None:
            self.plot = EquityPlot()
            self.plot_box.children = (self.plot.widget,)
        self.plot.show(report.times, report.equity, report.benchmark, report.drawdown, intraday=report.intraday)
        kind = "time" if report.intraday else "date"
        label = OBJECTIVES.get(report.objective, report.objective)
        own = [Column(f"p{k}", name, "number", 4, 0) for k, name in enumerate(report.names)]
        self.steps.set_columns([
            Column("number", "#", "number", 0), Column("train_from", "Trained from", kind),  # type: ignore[arg-type]
            Column("test_from", "Tested from", kind), Column("test_to", "to", kind), *own,  # type: ignore[arg-type]
            Column("inside", f"{label} in training" + (" %" if report.objective in SHARES else ""), "number"),
            Column("inside_cagr", "Growth in training %", "signed"), Column("outside", "Return tested %", "signed"),
            Column("outside_cagr", "Growth tested %", "signed"),
        ])  # fmt: skip
        self.steps.show(report.rows)
