"""The preview as widgets: symbol and span, counts, the chart with its marks."""

from __future__ import annotations

from html import escape

import ipywidgets as w

from dashtrade.pages.strategies.form import PARTS
from dashtrade.pages.strategies.preview import PreviewModel, Shown
from dashtrade.pages.widgets.bits import (
    MessageBar,
    ProgressBar,
    badge_html,
    field,
    heading,
    html,
    panel,
    show_if,
    stack,
    styled,
)
from dashtrade.pages.widgets.chart import PriceChart


class PreviewView:
    """Follows a PreviewModel. The chart is made when it is first looked at."""

    def __init__(self, model: PreviewModel) -> None:
        self.model = model
        self.symbol = w.Text(continuous_update=False)
        self.period = w.Dropdown(options=model.periods)
        self.interval = w.Dropdown(options=model.intervals)
        self.source = w.Dropdown(options=[(_source_name(s), s) for s in model.sources])
        self.messages, self.progress = MessageBar(model), ProgressBar(model)
        self.counts, self.problem = html(""), html("")
        self.chart = PriceChart()
        form = styled(w.Box(), "dt-form")
        form.children = [
            field("Symbol", self.symbol), field("Period", self.period), field("Bars of", self.interval),
            field("Data source", self.source),
        ]  # fmt: skip
        self.chart_box = panel(self.chart, flush=True)
        top = panel(
            heading("Where it would have fired"), form, self.problem, self.messages.widget, self.progress.widget,
            self.counts,
        )  # fmt: skip
        self.widget = styled(stack(top, self.chart_box), "dt-preview")
        for name in model.inputs:
            self._bind(name, getattr(self, name))
        model.observe(model.guard(lambda _change: self._draw()), "shown")
        model.observe(model.guard(lambda _change: self._draw_problem()), "blockers")
        self._draw()
        self._draw_problem()

    def wake(self) -> None:
        """The place is shown now."""
        show_if(self.chart_box, self.model.shown is not None)

    def _bind(self, name: str, control: w.Widget) -> None:
        model = self.model
        control.value = getattr(model, name)
        control.observe(model.guard(lambda change: setattr(model, name, change["new"])), "value")
        model.observe(model.guard(lambda change: setattr(control, "value", change["new"])), name)

    def _draw_problem(self) -> None:
        text = " ".join(self.model.blockers)
        self.problem.value = f'<p class="dt-blocker" role="status">⚠ {escape(text)}</p>' if text else ""
        show_if(self.problem, bool(text))

    def _draw(self) -> None:
        shown = self.model.shown
        show_if(self.chart_box, shown is not None)
        if shown is None:
            self.counts.value = '<p class="dt-muted">The chart appears once there is an entry rule.</p>'
            return
        self.chart.show(shown.chart)
        self.chart.height = 360 + 110 * len(shown.chart.panels)  # the whole preview stays in sight beside the rules
        self.counts.value = _counts_html(shown)


def _counts_html(shown: Shown) -> str:
    parts = []
    for fires in shown.fires:
        times = "once" if fires.times == 1 else f"{fires.times} times"
        when = f", last {fires.last:%d %b %Y}" if fires.last else ""
        parts.append(
            f'<span data-part="{fires.part}" data-times="{fires.times}">{escape(PARTS[fires.part])}: <b>{times}</b> '
            f"({fires.bars} of {shown.size} bars{when})</span>"
        )
    badge = ""
    if shown.simulated:
        badge = badge_html("Simulated · not market prices", "warn")
    elif shown.source == "sample":
        badge = badge_html("Sample data · past prices", "warn")
    elif shown.source:
        badge = badge_html(_source_name(shown.source))
    silent = shown.undecided and f"The first {shown.undecided} bars are warm-up: nothing can fire there. "
    if shown.undecided >= shown.size:
        silent = "The period is shorter than the warm-up of the indicators: nothing can fire. Choose a longer one. "
    return (
        f'<div class="dt-count" role="status">{"".join(parts)}</div><p class="dt-muted">{silent or ""}'
        f"A mark stands where a rule becomes true; run the backtest for fills, stops and costs. {badge}</p>"
    )


def _source_name(key: str) -> str:
    return {"": "Automatic", "sample": "Sample data (offline)"}.get(key, key.replace("_", " ").title())
