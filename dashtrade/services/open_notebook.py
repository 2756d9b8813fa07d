"""Notebooks that make a page's numbers again, exactly: the calls, the dates, the source, and the hashes to compare.

A notebook here is text in the nbformat 4.5 JSON; it needs nothing but this package to run.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    import pandas as pd

Indicators = Sequence[tuple[str, Mapping[str, Any]]]


@dataclass(frozen=True, slots=True)
class Cell:
    """A cell of a notebook: code or Markdown."""

    kind: Literal["code", "markdown"]
    source: str


def notebook(title: str, cells: Iterable[Cell]) -> str:
    """The cells under a heading as the text of an .ipynb file. The same input gives the same text."""
    rows = []
    for number, cell in enumerate([Cell("markdown", f"# {title}"), *cells], start=1):
        row: dict[str, Any] = {"cell_type": cell.kind, "id": f"cell-{number}", "metadata": {}}
        if cell.kind == "code":
            row |= {"execution_count": None, "outputs": []}
        rows.append({**row, "source": cell.source.strip("\n").splitlines(keepends=True)})
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    metadata = {"kernelspec": kernel, "language_info": {"name": "python"}}
    return json.dumps({"cells": rows, "metadata": metadata, "nbformat": 4, "nbformat_minor": 5}, indent=1) + "\n"


@dataclass(frozen=True, slots=True)
class AnalysisNumbers:
    """SHA-256 of the bars, and of the bars with every value of the indicators and the signal's score."""

    data_hash: str
    result_hash: str

    def compare(self, data_hash: str, result_hash: str) -> str:
        """A sentence: the same, or what differs and why it may."""
        if self.data_hash != data_hash:
            return (
                "The bars differ from the page's: the source has corrected or adjusted them since. "
                f"Bars now {self.data_hash[:12]}, on the page {data_hash[:12]}."
            )
        if self.result_hash != result_hash:
            return (
                "The bars are the page's, the results are not: another version of a library computed them. "
                f"Results now {self.result_hash[:12]}, on the page {result_hash[:12]}."
            )
        return f"The same bars and the same results as on the page: {result_hash}"


def analysis_numbers(symbol: str, bars: pd.DataFrame, indicators: Indicators) -> AnalysisNumbers:
    """The hashes of an analysis; too few bars for a signal hash as none. Raises UnknownOption, InvalidInput."""
    import numpy as np
    import pandas as pd

    from dashtrade.analysis import signal as read_signal
    from dashtrade.backtest.provenance import bars_hash
    from dashtrade.errors import BadBars
    from dashtrade.indicators import indicator as compute

    data = bars_hash({symbol: bars})
    digest = hashlib.sha256(data.encode())
    for key, params in indicators:
        values = compute(bars, key, **params)
        frame = values if isinstance(values, pd.DataFrame) else values.to_frame()
        digest.update(json.dumps([key, dict(params)], sort_keys=True).encode())
        for name in frame.columns:
            numbers = np.ascontiguousarray(frame[name].to_numpy(dtype=np.float64))
            digest.update(str(name).encode() + np.where(np.isnan(numbers), np.nan, numbers).tobytes())
    try:
        report = read_signal(bars)
    except BadBars:
        digest.update(b"no signal")
    else:
        digest.update(f"{report.action.value} {float(report.score).hex()}".encode())
    return AnalysisNumbers(data, digest.hexdigest())


def analysis_notebook(
    symbol: str,
    interval: str,
    start: datetime,
    end: datetime,
    source: str,
    indicators: Indicators,
    numbers: AnalysisNumbers,
    *,
    adjustment: str = "",
) -> str:
    """The analysis page's chart as a notebook: the same bars (``end`` exclusive), indicators, levels and signal.

    Only closed bars are in it, so that it gives the same numbers whenever it runs.
    """
    asked = {"interval": interval, "start": start.isoformat(), "end": end.isoformat(), "source": source}
    call = f"dt.history({symbol!r}, {', '.join(f'{name}={value!r}' for name, value in asked.items())})"
    chosen = [(key, dict(params)) for key, params in indicators]
    listed = "".join(f"    {one!r},\n" for one in chosen)
    adjusted = f", adjusted for {adjustment}" if adjustment in ("splits", "all") else ""
    values = "values = {key: dt.indicator(bars, key, **params) for key, params in indicators}"
    about = (
        f"Closed {interval} bars from {start:%Y-%m-%d %H:%M} UTC on, of the source {source}{adjusted}.\n\n"
        f"- Bars, SHA-256: `{numbers.data_hash}`\n- Results, SHA-256: `{numbers.result_hash}`"
    )
    check = (
        "from dashtrade.services.open_notebook import analysis_numbers\n\n"
        f"numbers = analysis_numbers({symbol!r}, bars, indicators)\n"
        f"numbers.compare(\n    data_hash={numbers.data_hash!r},\n    result_hash={numbers.result_hash!r},\n)"
    )
    cells = [
        Cell("markdown", about),
        Cell("code", f"import dashtrade as dt\n\nbars = {call}\nbars.tail()"),
        Cell("markdown", "The indicators on the chart, with the parameters that differ from their defaults."),
        Cell("code", f"indicators = [\n{listed}]\n{values}"),
        Cell("code", "for key, frame in values.items():\n    display(frame.tail().rename_axis(key))"),
        Cell("markdown", "The same numbers as on the page?"),
        Cell("code", check),
        Cell("markdown", "What the chart says: the signal with its reasons, levels, patterns."),
        Cell("code", "dt.signal(bars)"),
        Cell("code", "dt.levels(bars)"),
        Cell("code", 'dt.chart_patterns(bars).tail(10)[["name", "direction", "formed_at", "confirmed_at", "target"]]'),
        Cell("code", "dt.candlestick_patterns(bars, last=20)"),
    ]
    return notebook(f"{symbol} · {interval}", cells)
