"""The chart as a notebook: its text, its name, and the hashes that page and notebook show."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import traitlets as t

from dashtrade.errors import NotFound
from dashtrade.pages.analysis.companion import Companion
from dashtrade.pages.analysis.drawing import closed_part
from dashtrade.pages.analysis.model import AnalysisModel
from dashtrade.pages.background import Background, inline

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, slots=True)
class NotebookFile:
    """A file to save, and the hashes of what it makes again."""

    name: str
    text: str
    data_hash: str
    result_hash: str


class NotebookModel(Companion):
    """``numbers`` makes the hashes, ``write`` the text; see services.open_notebook."""

    file: NotebookFile | None = t.Instance(NotebookFile, allow_none=True)  # type: ignore[assignment]
    busy: bool = t.Bool(False)  # type: ignore[assignment]

    def __init__(
        self,
        page: AnalysisModel,
        numbers: Callable[..., Any],
        write: Callable[..., str],
        background: Background = inline,
    ) -> None:
        super().__init__(page, background)
        self._numbers, self._write = numbers, write
        page.observe(lambda _change: self._forget(), "result")

    def make(self) -> None:
        result, bars = self.page.result, self.page.bars
        if result is None or bars is None:
            raise NotFound("There is no chart yet. Load a symbol first.")
        studies = [(study.key, dict(study.params)) for study in self.page.studies]
        symbol, interval = result.request.symbol, result.request.interval.value
        self.busy = True
        self.ask(lambda: self._made(symbol, interval, closed_part(bars), studies), self._done, self._failed)

    def _made(
        self, symbol: str, interval: str, bars: pd.DataFrame, studies: list[tuple[str, dict[str, Any]]]
    ) -> NotebookFile:
        numbers = self._numbers(symbol, bars, studies)
        start = bars.index[0].to_pydatetime()
        end = bars.index[-1].to_pydatetime() + timedelta(seconds=1)  # exclusive: the last closed bar is in
        source, adjustment = str(bars.attrs.get("source", "")), str(bars.attrs.get("adjustment") or "")
        text = self._write(symbol, interval, start, end, source, studies, numbers, adjustment=adjustment)
        name = f"{symbol}-{interval}-{bars.index[-1]:%Y%m%d}.ipynb"
        return NotebookFile(name, text, numbers.data_hash, numbers.result_hash)

    def _done(self, file: NotebookFile) -> None:
        self.busy = False
        self.file = file

    def _failed(self, error: Exception) -> None:
        from dashtrade.pages.guard import describe

        self.busy = False
        self.page.say(describe(error))

    def _forget(self) -> None:
        self._turn += 1
        self.busy, self.file = False, None
