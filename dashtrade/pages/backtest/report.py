"""From a backtest's result to what the page shows: frozen values, no widgets."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from dashtrade.analysis import performance as measures
from dashtrade.backtest import trade_statistics
from dashtrade.backtest.calendar_returns import MONTHS, monthly_table, yearly_returns
from dashtrade.backtest.request import Fill
from dashtrade.backtest.words import STATISTICS, shown
from dashtrade.domain.market import Interval
from dashtrade.pages.chart_data import ChartData, Marker, pack_bars
from dashtrade.pages.formats import formats

if TYPE_CHECKING:
    from dashtrade.backtest.result import BacktestResult

HEADLINES = (
    "total_return",
    "buy_and_hold_return",
    "cagr",
    "max_drawdown",
    "sharpe",
    "trades",
    "win_rate",
    "profit_factor",
)
_FUNCTIONS = {
    "value_at_risk_5": "value_at_risk",
    "conditional_value_at_risk_5": "conditional_value_at_risk",
    "consecutive_wins": "longest_streak",
    "consecutive_losses": "longest_streak",
    "longest_drawdown_bars": "longest_drawdown",
}
_WORDS = {
    "final_equity": "Cash and holdings at the last bar's close.",
    "buy_and_hold_return": "Return of buying at the first open and keeping, without costs.",
    "sharpe_monthly": "Mean monthly return above 2 % a year, over its standard deviation: TradingView's convention.",
    "sortino_monthly": "Mean monthly return above 2 % a year, over its downside deviation: TradingView's convention.",
    "trades": "Positions opened and closed again.",
    "open_trades": "Positions still open at the last bar; their profit is not in the trade statistics.",
    "exposure": "Share of the bars with a position.",
    "turnover": "Traded value in a year, in multiples of the mean equity.",
    "fees_paid": "Commission and fixed fees; slippage is inside the prices.",
    "average_win": "Mean profit of the closed trades that won.",
    "average_loss": "Mean profit, below zero, of the closed trades that lost.",
    "largest_win": "The best closed trade.",
    "largest_loss": "The worst closed trade.",
    "average_bars_in_trade": "Mean number of bars from entry to exit.",
}


@dataclass(frozen=True, slots=True)
class Statistic:
    key: str
    label: str
    value: float
    text: str
    definition: str


@dataclass(frozen=True, eq=False)
class Report:
    """``times`` are the bars' starts; ``equity``, ``benchmark`` and ``drawdown`` (0 or less) have one value each."""

    title: str
    strategy: str
    chart: ChartData
    times: tuple[datetime, ...]
    equity: NDArray[np.float64]
    benchmark: NDArray[np.float64]
    drawdown: NDArray[np.float64]
    statistics: tuple[Statistic, ...]
    trades: tuple[dict[str, Any], ...]
    warnings: tuple[str, ...]
    provenance: tuple[tuple[str, str], ...]
    source: str
    simulated: bool
    same_close: bool
    months: pd.DataFrame
    """Returns as fractions: one row a year, columns Jan–Dec and Year."""
    symbols: tuple[dict[str, Any], ...]
    """What each symbol added, one row each."""
    result_hash: str
    result: BacktestResult

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(self.result.request.bars)

    def statistic(self, key: str) -> Statistic:
        return next(s for s in self.statistics if s.key == key)


def make_report(result: BacktestResult) -> Report:
    """Everything the page draws, from one result. ``chart`` is that of the first symbol."""
    symbol, bars = next(iter(result.request.bars.items()))
    interval = interval_of(bars)
    names = ", ".join(result.request.bars)
    return Report(
        title=f"{names} · {interval.value}",
        strategy=result.strategy.description or result.strategy.name,
        chart=chart_of(result, symbol),
        result=result,
        times=tuple(pd.DatetimeIndex(result.equity.index).to_pydatetime()),
        equity=_numbers(result.equity),
        benchmark=_numbers(result.benchmark),
        drawdown=_numbers(result.drawdown),
        statistics=tuple(
            Statistic(key, label, value, shown(key, value, formats()), define(key))
            for key, label, value in _statistics(result)
        ),
        trades=tuple(_trade(n, row) for n, row in enumerate(result.trades.to_dict("records"), start=1)),
        warnings=result.warnings,
        provenance=tuple((str(k), str(v)) for k, v in result.provenance.items() if not isinstance(v, dict | list)),
        source=str(bars.attrs.get("source", "")),
        simulated=bool(result.provenance["simulated"]),
        same_close=str(result.request.fill) == Fill.CLOSE,
        months=_months(result),
        symbols=_symbols(result),
        result_hash=str(result.provenance["result_hash"]),
    )


def _statistics(result: BacktestResult) -> Iterator[tuple[str, str, float]]:
    for key, label in STATISTICS.items():
        if key in result.statistics:
            yield key, label, float(result.statistics[key])


def interval_of(bars: pd.DataFrame) -> Interval:
    return Interval(str(bars.attrs.get("interval", Interval.D1.value)))


def chart_of(result: BacktestResult, symbol: str) -> ChartData:
    """A symbol's bars with a mark at every fill."""
    bars = result.request.bars[symbol]
    interval = interval_of(bars)
    columns = [bars[c] for c in ("open", "high", "low", "close", "volume")]
    rows = pack_bars(bars.index, columns, intraday=interval.intraday)
    own = result.orders[result.orders["symbol"] == symbol]
    markers = tuple(
        Marker(pd.Timestamp(time).to_pydatetime(), side, f"{reason} {formats().price(price)}")
        for time, side, reason, price in zip(own["time"], own["side"], own["reason"], own["price"], strict=True)
    )
    return ChartData(f"{symbol} · {interval.value}", rows, interval.intraday, markers=markers)


def _months(result: BacktestResult) -> pd.DataFrame:
    table = monthly_table(result)
    table.columns = pd.Index(MONTHS)
    return table.assign(Year=yearly_returns(result.equity, result.request.cash))


def _symbols(result: BacktestResult) -> tuple[dict[str, Any], ...]:
    """What each symbol added to the result, the best first."""
    trades, cash = result.trades, result.request.cash
    rows = []
    for symbol, pnl in sorted(result.contribution.items(), key=lambda item: -item[1]):
        own = trades[(trades["symbol"] == symbol) & (trades["status"] == "closed")]
        bars = result.request.bars[symbol]
        held = float(bars["close"].iloc[-1] / bars["open"].iloc[0] - 1)
        rows.append({
            "id": symbol, "symbol": symbol, "pnl": float(pnl), "points": float(pnl) / cash * 100, "trades": len(own),
            "win_rate": float((own["pnl"] > 0).mean()) * 100 if len(own) else None, "hold": held * 100,
        })  # fmt: skip
    return tuple(rows)


def define(key: str) -> str:
    """What a statistic means: the words of the function that computes it, formula and source included."""
    if key in _WORDS:
        return _WORDS[key]
    name = _FUNCTIONS.get(key, key)
    for module in (measures, trade_statistics):
        function = getattr(module, name, None)
        if callable(function) and function.__doc__:
            return " ".join(function.__doc__.split())
    return ""


def _numbers(series: pd.Series) -> NDArray[np.float64]:
    return series.to_numpy(dtype=np.float64, copy=True)


def _trade(number: int, row: Mapping[Any, Any]) -> dict[str, Any]:
    entry, exit_ = row["entry_time"], row["exit_time"]
    gain = float(row["return"])
    return {
        "id": number, "number": number, "symbol": row["symbol"], "direction": row["direction"],
        "entry_time": entry.to_pydatetime(), "entry_price": float(row["entry_price"]),
        "exit_time": None if pd.isna(exit_) else exit_.to_pydatetime(), "exit_price": _or_none(row["exit_price"]),
        "qty": float(row["qty"]), "pnl": float(row["pnl"]), "return": None if math.isnan(gain) else gain * 100,
        "bars": int(row["bars"]), "reason": row["reason"], "status": row["status"],
        "tones": {"status": "accent" if row["status"] == "open" else "plain"},
    }  # fmt: skip


def _or_none(value: Any) -> float | None:
    return None if value is None or pd.isna(value) else float(value)
