"""Notebooks that make a page's numbers again, exactly: the calls, the dates, the source, and the hashes to compare."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pprint import pformat
from typing import TYPE_CHECKING, Any

from dashtrade.services.notebook_text import Cell, as_code, fetched, indented, notebook, plain, some

if TYPE_CHECKING:
    import pandas as pd

    from dashtrade.backtest.request import BacktestRequest
    from dashtrade.backtest.result import BacktestResult
    from dashtrade.domain.strategy import Strategy
    from dashtrade.portfolio.comparison import Comparison
    from dashtrade.portfolio.request import Compared

Indicators = Sequence[tuple[str, Mapping[str, Any]]]


@dataclass(frozen=True, slots=True)
class AnalysisNumbers:
    """Two SHA-256: of the bars that went in, and of the results together with those bars."""

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


Numbers = AnalysisNumbers
"""The same two hashes of any page."""


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


def backtest_numbers(result: BacktestResult) -> Numbers:
    """The hashes in a backtest's provenance: of its bars and of its orders."""
    return Numbers(str(result.provenance["bars_hash"]), str(result.provenance["result_hash"]))


def backtest_notebook(
    request: BacktestRequest,
    result: BacktestResult,
    *,
    source: str | None,
    interval: str,
    start: datetime | None = None,
    end: datetime | None = None,
) -> str:
    """A backtest as a notebook: the same bars, rules, sizes, stops, costs and fills, so the same orders.

    ``start`` (inclusive) and ``end`` (exclusive) are those of the bars; without them, the first bar and just after
    the last one. A symbol's own source, in the ``attrs`` of its bars, goes before ``source``. The stops are the
    strategy's with the request's in their place, as the result has them.
    """
    from dashtrade.strategies import to_dict

    numbers = backtest_numbers(result)
    first, last = _span(request.bars, start, end)
    names = ("cash", "size", "costs", "direction", "fill", "share_cash", "whole_shares", "risk_free", "seed")
    settings = {name: getattr(request, name) for name in names}
    if request.rebalance is not None:
        settings["rebalance"] = request.rebalance
    kinds = {type(value).__name__ for value in settings.values() if hasattr(value, "__dataclass_fields__")}
    listed = "".join(f"    {name}={as_code(value)},\n" for name, value in settings.items())
    rules = pformat(to_dict(result.strategy), width=100, sort_dicts=False)
    about = (
        f"{interval} bars of {some(list(request.bars))}, {first:%Y-%m-%d %H:%M} to {last:%Y-%m-%d %H:%M} UTC.\n\n"
        f"- Bars, SHA-256: `{numbers.data_hash}`\n- Orders, SHA-256: `{numbers.result_hash}`"
    )
    imports = (
        "import dashtrade as dt\n"
        f"from dashtrade.backtest import {', '.join(sorted({'BacktestRequest', *kinds}))}\n"
        "from dashtrade.backtest import charts, tables\n"
        "from dashtrade.services.open_notebook import backtest_numbers\n"
        "from dashtrade.strategies import from_dict"
    )
    cells = [
        Cell("markdown", about),
        Cell("code", imports),
        Cell("markdown", "## The bars"),
        Cell("code", _fetch(request.bars, source, interval, first, last)),
        Cell("markdown", "## The rules"),
        Cell("code", f"strategy = from_dict(\n{indented(rules)}\n)\nstrategy"),
        Cell("markdown", "## The run\n\nEvery assumption is written out; change one and run again to see what it does"),
        Cell("code", f"request = BacktestRequest(\n    strategy,\n    bars,\n{listed})"),
        Cell("code", "result = dt.backtest(request)\nresult"),
        Cell("markdown", "The same orders as on the page?"),
        Cell("code", _compared("backtest_numbers(result)", numbers)),
        Cell("markdown", "## What came of it"),
        Cell("code", "charts.equity_chart(result)"),
        Cell("code", "tables.statistics(result)"),
        Cell("code", "result.trades.tail(10)"),
        Cell("code", "tables.assumptions(result)"),
    ]  # fmt: skip
    return notebook(f"{result.strategy.name} · {some(list(request.bars))}", cells)


def strategy_notebook(
    strategy: Strategy, symbol: str, bars: pd.DataFrame, *, source: str | None = None, interval: str = "1d"
) -> tuple[str, Numbers]:
    """A strategy tried on the bars it was looked at with, at the usual costs: the notebook, and the hashes in it.

    It trades the sides it has entries for, with the size it says itself, else all of the equity.
    """
    from dashtrade.backtest.request import BacktestRequest
    from dashtrade.backtest.run import backtest
    from dashtrade.domain.strategy import Direction
    from dashtrade.services.backtests import parse_size

    both = strategy.long_entry is not None and strategy.short_entry is not None
    one = Direction.LONG_ONLY if strategy.short_entry is None else Direction.SHORT_ONLY
    size = parse_size(strategy.size or "100%")
    request = BacktestRequest(strategy, {symbol: bars}, size=size, direction=Direction.LONG_SHORT if both else one)
    result = backtest(request)
    return backtest_notebook(request, result, source=source, interval=interval), backtest_numbers(result)


def comparison_numbers(comparison: Comparison) -> Numbers:
    """Of the common closes, and of every statistic of every symbol against the benchmark."""
    import numpy as np
    import pandas as pd

    prices, table = comparison.prices, comparison.statistics
    digest = hashlib.sha256(json.dumps(list(comparison.symbols)).encode())
    digest.update(np.ascontiguousarray(pd.DatetimeIndex(prices.index).as_unit("ns").asi8).tobytes())
    digest.update(np.ascontiguousarray(prices.to_numpy(dtype=np.float64)).tobytes())
    data = digest.hexdigest()
    values = table.to_numpy(dtype=np.float64)
    digest.update(json.dumps([comparison.benchmark, list(map(str, table.columns))]).encode())
    digest.update(np.ascontiguousarray(np.where(np.isnan(values), np.nan, values)).tobytes())
    return Numbers(data, digest.hexdigest())


def comparison_notebook(compared: Compared, weights: Mapping[str, float] | None = None, window: int = 60) -> str:
    """A comparison as a notebook: the same symbols, common dates, benchmark, ranking weights and rolling window."""
    found = compared.comparison
    numbers = comparison_numbers(found)
    first, last = found.prices.index[0], found.prices.index[-1] + timedelta(seconds=1)
    sources = {s: str(compared.attributes[s].get("source") or compared.request.source or "") for s in found.symbols}
    about = (
        f"{len(found.prices):,} common closes, {first:%Y-%m-%d} to {last:%Y-%m-%d}, against {found.benchmark}. "
        f"{found.basis}\n\n"
        f"- Closes, SHA-256: `{numbers.data_hash}`\n- Statistics, SHA-256: `{numbers.result_hash}`"
    )
    ranked = "" if weights is None else repr({key: plain(value) for key, value in weights.items()})
    cells = [
        Cell("markdown", about),
        Cell("code", "import dashtrade as dt\nfrom dashtrade.portfolio import compare\n"
             "from dashtrade.services.open_notebook import comparison_numbers"),
        Cell("code", fetched(sources, compared.request.interval, first, last)),
        Cell("code", f"found = compare(bars, benchmark={found.benchmark!r})\nfound"),
        Cell("markdown", "The same numbers as on the page?"),
        Cell("code", _compared("comparison_numbers(found)", numbers)),
        Cell("markdown", "Every price from 100, on the dates that all of them have."),
        Cell("code", "found.figure()"),
        Cell("markdown", "How alike they moved: the correlation of returns. It rises when markets fall."),
        Cell("code", "found.correlation"),
        *([Cell("code", f"found.rolling_correlation({window}).tail()")] if window < len(found.prices) else []),
        Cell("markdown", "The ranking. It orders the past; another stretch of it may order them otherwise."),
        Cell("code", f"found.ranking({ranked})"),
    ]  # fmt: skip
    return notebook(f"{some(found.symbols)} compared", cells)


def _span(bars: Mapping[str, pd.DataFrame], start: datetime | None, end: datetime | None) -> tuple[datetime, datetime]:
    """From the first bar of any symbol to just after the last one, where not given."""
    first = min(frame.index[0] for frame in bars.values()).to_pydatetime()
    last = max(frame.index[-1] for frame in bars.values()).to_pydatetime() + timedelta(seconds=1)
    return start or first, end or last


def _fetch(bars: Mapping[str, pd.DataFrame], source: str | None, interval: str, start: datetime, end: datetime) -> str:
    sources = {symbol: str(frame.attrs.get("source") or source or "") for symbol, frame in bars.items()}
    return fetched(sources, interval, start, end)


def _compared(call: str, numbers: Numbers) -> str:
    return f"{call}.compare(\n    data_hash={numbers.data_hash!r},\n    result_hash={numbers.result_hash!r},\n)"
