"""Small parts of the analysis page that act on the chart: layouts, an alert at a price, the notebook."""

from __future__ import annotations

from html import escape

import ipywidgets as w

from dashtrade.errors import InvalidInput
from dashtrade.pages.analysis.cards import alert_link
from dashtrade.pages.analysis.layouts import Layouts
from dashtrade.pages.analysis.model import AnalysisModel
from dashtrade.pages.analysis.notebook import NotebookModel
from dashtrade.pages.widgets.bits import field, html, row, show_if, stack
from dashtrade.pages.widgets.chart import PriceChart
from dashtrade.pages.widgets.download import Download
from dashtrade.pages.widgets.form import FieldSpec

ALERTS = (
    ("Price rises above", "price_above"),
    ("Price falls below", "price_below"),
    ("Price crosses", "price_crosses"),
)
_LEVEL = FieldSpec("level", "Level", "float", None, 1e-9, 1e12)


class LayoutsBar:
    """Choose, save and delete layouts."""

    def __init__(self, model: AnalysisModel, layouts: Layouts) -> None:
        self._layouts = layouts
        self.choice = w.Dropdown(options=[("Choose…", "")])
        self.name = w.Text(placeholder="Swing set-up")
        self.save = w.Button(description="Save layout", tooltip="Keep the indicators and marks under this name")
        self.delete = w.Button(description="Delete", tooltip="Delete the chosen layout")
        self.widget = row(
            field("Layout", self.choice, "Indicators and marks you have saved"),
            field("Save as", self.name, "A new name, or one to replace"),
            self.save,
            self.delete,
        )
        self._drawing = False
        self.choice.observe(model.guard(self._chosen), "value")
        self.save.on_click(model.guard(lambda _b: self._save()))
        self.delete.on_click(model.guard(lambda _b: self._delete()))
        layouts.observe(lambda _change: self.draw(), "layouts")
        self.draw()

    def draw(self, keep: str = "") -> None:
        names = [one.name for one in self._layouts.layouts]
        self._drawing = True
        self.choice.options = [("Choose…", ""), *((name, name) for name in names)]
        self.choice.value = keep if keep in names else ""
        self._drawing = False
        show_if(self.delete, bool(self.choice.value))

    def _chosen(self, change: dict[str, str]) -> None:
        if self._drawing:
            return
        show_if(self.delete, bool(change["new"]))
        if change["new"]:
            self.name.value = change["new"]
            self._layouts.use(change["new"])

    def _save(self) -> None:
        name = " ".join(self.name.value.split())
        self._layouts.keep(name)
        self.draw(keep=name)

    def _delete(self) -> None:
        self._layouts.delete(self.choice.value)


class AlertBar:
    """A price from the chart or typed, and a link to the alerts page with the rule filled in."""

    def __init__(self, model: AnalysisModel, chart: PriceChart) -> None:
        self._model = model
        self.kind = w.Dropdown(options=ALERTS)
        self.level = w.Text(placeholder="Click the chart")
        self.link = html("")
        self.widget = row(field("Alert when", self.kind), field("Level", self.level, "A click on the chart takes the price there"), self.link)  # fmt: skip  # noqa: E501
        chart.observe(model.guard(self._clicked), "clicked_price")
        for control in (self.kind, self.level):
            control.observe(model.guard(lambda _change: self.draw()), "value")
        self.draw()

    def draw(self) -> None:
        result = self._model.result
        text = self.level.value.strip()
        try:
            level = _LEVEL.parse(text) if text else None
        except InvalidInput as error:
            self.link.value = f'<p class="dt-blocker" role="status">⚠ {escape(str(error))}</p>'
            return
        if result is None or level is None:
            self.link.value = '<span class="dt-link-button" aria-disabled="true">Set alert</span>'
            return
        href = escape(alert_link(result.request.symbol, self.kind.value, level))
        self.link.value = f'<a class="dt-link-button" href="{href}">Set alert</a>'

    def _clicked(self, change: dict[str, float]) -> None:
        result = self._model.result
        price = float(change["new"])
        if result is None or not price > 0 or not len(result.chart):
            return
        close = float(result.chart.bars[-1, 4])
        self.kind.value = "price_above" if price >= close else "price_below"
        self.level.value = f"{price:.2f}" if price >= 1 else f"{price:.6g}"


class NotebookBar:
    """Downloads the chart as a notebook, and shows the hashes that stand in it."""

    def __init__(self, model: AnalysisModel, notebook: NotebookModel) -> None:
        self._notebook = notebook
        self.open = w.Button(description="Open as notebook", tooltip="Download a notebook that makes these numbers")
        self.download = Download()
        self.hashes = html("")
        self.widget = stack(row(self.open, self.download), self.hashes)
        self.open.on_click(model.guard(lambda _b: notebook.make()))
        notebook.observe(lambda _change: self._draw(), "file")
        notebook.observe(lambda _change: setattr(self.open, "disabled", notebook.busy), "busy")
        self._draw()

    def _draw(self) -> None:
        file = self._notebook.file
        show_if(self.hashes, file is not None)
        if file is None:
            return
        self.download.save(file.name, file.text, "application/x-ipynb+json")
        self.hashes.value = (
            f'<p class="dt-muted">Saved as {escape(file.name)}. It says whether its numbers are these.'
            f'</p><div class="dt-copy">Bars {file.data_hash}\nResults {file.result_hash}</div>'
        )
