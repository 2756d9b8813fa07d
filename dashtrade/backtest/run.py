"""``backtest(request)``: signals, simulation, statistics."""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from dashtrade.analysis import performance as measure
from dashtrade.analysis.annualisation import annualisation, interval_of
from dashtrade.backtest import sparse
from dashtrade.backtest import trade_statistics as of_trades
from dashtrade.backtest.bars import Grid, make_flags, make_grid, make_rows
from dashtrade.backtest.control import Cancel, Control, Progress
from dashtrade.backtest.layout import Layout
from dashtrade.backtest.path import settle
from dashtrade.backtest.provenance import hashing, provenance
from dashtrade.backtest.rebalance import check, rebalance
from dashtrade.backtest.request import LEFT_OUT, BacktestRequest, Fill, RiskPercent
from dashtrade.backtest.result import BacktestResult
from dashtrade.backtest.trades import REBALANCE, order_table, sides_of, trade_table, why
from dashtrade.backtest.trades import equity as equity_of
from dashtrade.backtest.vectorbt_engine import Rows
from dashtrade.domain.market import MENDED, described
from dashtrade.domain.strategy import Direction, Signals, Strategy
from dashtrade.errors import InvalidInput
from dashtrade.strategies import Operands, preset, with_stops
from dashtrade.strategies import signals as signals_of


def backtest(
    request: BacktestRequest,
    signals: Mapping[str, Signals] | None = None,
    *,
    cancel: Cancel | None = None,
    progress: Progress | None = None,
) -> BacktestResult:
    """Runs a strategy over bars and says what it would have earned.

    Decisions at a bar's close fill at the next bar's open (see ``dashtrade.backtest.bars``). ``signals`` replaces the
    strategy's own, one for each symbol. ``cancel`` (an event or a callable) stops the run with Cancelled;
    ``progress`` is called with the share done and a sentence. Raises InvalidInput and BadBars with the remedy.

    >>> import dashtrade as dt
    >>> bars = {"AAPL": dt.history("AAPL", period="5y", source="sample")}
    >>> result = dt.backtest(dt.BacktestRequest("ema_cross", bars))
    >>> set(result.trades["symbol"]), len(result.equity) == len(bars["AAPL"])
    ({'AAPL'}, True)
    """
    control = Control(cancel, progress)
    strategy = resolve(request)
    grid = make_grid(request.bars)
    hashed = hashing(request.bars, aside=grid.close.size >= sparse.ENOUGH)
    if signals is None:
        signals = {}
        for n, (symbol, bars) in enumerate(request.bars.items()):
            control.step(0.4 * n / len(request.bars), f"Deciding on {symbol}")
            signals[symbol] = signals_of(strategy, Operands(bars, interval_of(bars)), request.direction)
    control.step(0.4, "Simulating")
    first = next(iter(request.bars.values()))
    slippage = request.costs.per_side(str(first.attrs.get("source", "")))
    layout = Layout.of(request)
    rows, records, after = orders_of(request, strategy, grid, signals, slippage, layout, control)
    control.step(0.7, "Measuring")
    values, positions = equity_of(records, grid, layout, request.cash, after)
    if rows is not None:
        reasons = why(records, rows, layout)
    elif request.rebalance is not None:
        reasons = np.full(len(records), REBALANCE)
    else:
        reasons = sides_of(records)
    control.check()
    trades = trade_table(records, reasons, grid, layout)
    control.step(0.9, "Measuring")
    annual = annualisation(request.bars, first)
    later = partial(make_rows, request, strategy, grid, signals, slippage)
    held = buy_and_hold(grid, request.cash)
    times = grid.times
    return BacktestResult(
        request=request,
        strategy=strategy,
        orders=order_table(records, reasons, grid, layout),
        trades=trades,
        equity=pd.Series(values, index=times, name="equity"),
        drawdown=pd.Series(measure.drawdowns(values, request.cash), index=times, name="drawdown"),
        positions=pd.DataFrame(positions, index=times, columns=list(grid.symbols)),
        benchmark=pd.Series(held, index=times, name="buy and hold"),
        statistics={
            **summary(values, held, trades, records, positions, request.cash, annual.factor, request.risk_free),
            **_monthly(values, times, request.cash),
        },
        contribution=_contribution(trades, grid.symbols),
        warnings=_warnings(request, strategy, values, times, trades, first),
        provenance=provenance(request, strategy, slippage, annual.basis, annual.factor, records, hashed()),
        rows=rows if rows is not None or request.rebalance is not None else later,
        rows_per_bar=layout.per_bar,
    )


def orders_of(
    request: BacktestRequest,
    strategy: Strategy,
    grid: Grid,
    signals: Mapping[str, Signals],
    slippage: float,
    layout: Layout,
    control: Control,
) -> tuple[Rows | None, NDArray[Any], NDArray[np.float64] | None]:
    """(the engine's rows, order records, shares held after each order); no rows where the symbols are rebalanced, or
    where the compiled loops needed none, which alone know what is held."""
    if request.rebalance is not None:
        return None, rebalance(request, strategy, grid, signals, slippage, layout.per_bar, control), None
    if sparse.worth(request, strategy, grid.close.size):
        control.check()
        return None, *sparse.simulate(request, grid, make_flags(request, grid, signals), slippage)
    rows = make_rows(request, strategy, grid, signals, slippage, control)
    return *settle(rows, strategy, layout, grid, control), None


def resolve(request: BacktestRequest) -> Strategy:
    """The strategy of the request with the request's stops; checks that it can trade in the direction asked for."""
    strategy = request.strategy if isinstance(request.strategy, Strategy) else preset(str(request.strategy))
    if request.stops is not None:
        strategy = with_stops(strategy, request.stops)
    needs = {Direction.LONG_ONLY: strategy.long_entry, Direction.SHORT_ONLY: strategy.short_entry}
    if request.direction in needs and needs[Direction(request.direction)] is None:
        side = "long" if request.direction == Direction.LONG_ONLY else "short"
        raise InvalidInput("direction", f"{strategy.name} has no entry condition for {side} positions.")
    if request.rebalance is not None:
        check(request, strategy)
    return strategy


def buy_and_hold(grid: Grid, cash: float) -> NDArray[np.float64]:
    """Equity of equal parts bought at each symbol's first open and kept; without costs."""
    part = cash / len(grid.symbols)
    marks = grid.marks
    first = np.array([own[0] for own in grid.where])
    shares = part / grid.open[first, np.arange(len(first))]
    worth = marks * shares
    if (first > 0).any():
        worth = np.where(np.isfinite(marks), worth, part)
    return np.asarray(worth.sum(axis=1))


def summary(
    equity: NDArray[np.float64],
    held: NDArray[np.float64],
    trades: pd.DataFrame,
    records: NDArray[Any],
    positions: NDArray[np.float64],
    cash: float,
    factor: float,
    risk_free: float,
) -> dict[str, float]:
    """All statistics of one run. Rates are yearly; ratios use ``factor`` bars a year and the risk-free rate of one
    bar."""
    returns = measure.returns_of(equity, cash)
    benchmark = measure.returns_of(held, cash)
    per_bar = (1 + risk_free) ** (1 / factor) - 1
    closed = trades[trades["status"] == "closed"].sort_values("exit_time", kind="stable")
    pnl = closed["pnl"].to_numpy(dtype=np.float64)
    gains = closed["return"].to_numpy(dtype=np.float64)
    traded = float((records["size"] * records["price"]).sum())
    years = len(equity) / factor
    mean_equity = float(np.mean(equity))
    return {
        "initial_cash": cash,
        "final_equity": float(equity[-1]),
        "total_return": measure.total_return(equity, cash),
        "buy_and_hold_return": measure.total_return(held, cash),
        "cagr": measure.cagr(equity, cash, factor),
        "volatility": measure.volatility(returns, factor),
        "sharpe": measure.sharpe(returns, factor, per_bar),
        "sortino": measure.sortino(returns, factor, per_bar),
        "calmar": measure.calmar(equity, cash, factor),
        "omega": measure.omega(returns, per_bar),
        "max_drawdown": measure.max_drawdown(equity, cash),
        "longest_drawdown_bars": measure.longest_drawdown(equity, cash),
        "value_at_risk_5": measure.value_at_risk(returns),
        "conditional_value_at_risk_5": measure.conditional_value_at_risk(returns),
        "tail_ratio": measure.tail_ratio(returns),
        "skewness": measure.skewness(returns),
        "kurtosis": measure.kurtosis(returns),
        "alpha": measure.alpha(returns, benchmark, factor, per_bar),
        "beta": measure.beta(returns, benchmark),
        "information_ratio": measure.information_ratio(returns, benchmark),
        "probabilistic_sharpe": measure.probabilistic_sharpe(returns),
        "orders": len(records),
        "trades": len(closed),
        "open_trades": len(trades) - len(closed),
        "win_rate": of_trades.win_rate(pnl),
        "profit_factor": of_trades.profit_factor(pnl),
        "expectancy": of_trades.expectancy(pnl),
        "average_win": of_trades.average_win(pnl),
        "average_loss": of_trades.average_loss(pnl),
        "largest_win": of_trades.largest_win(pnl),
        "largest_loss": of_trades.largest_loss(pnl),
        "average_trade_return": float(gains.mean()) if len(gains) else math.nan,
        "consecutive_wins": of_trades.longest_streak(pnl > 0),
        "consecutive_losses": of_trades.longest_streak(pnl < 0),
        "system_quality": of_trades.system_quality(pnl),
        "kelly": of_trades.kelly(pnl),
        "average_bars_in_trade": float(closed["bars"].mean()) if len(closed) else math.nan,
        "exposure": float(np.mean((positions != 0).any(axis=1))),
        "turnover": traded / mean_equity / years if mean_equity > 0 else math.nan,
        "fees_paid": float(records["fees"].sum()),
        "ruined": float((equity <= 0).any()),
        "bars": len(equity),
        "bars_per_year": factor,
        "risk_free": risk_free,
    }


def _monthly(values: NDArray[np.float64], times: pd.DatetimeIndex, cash: float) -> dict[str, float]:
    """Ratios by TradingView's convention, beside the yearly ones."""
    months = np.asarray(times.year * 12 + times.month)
    ends = np.flatnonzero(np.append(months[1:] != months[:-1], True))
    sharpe, sortino = measure.monthly_ratios(values[ends], cash)
    return {"sharpe_monthly": sharpe, "sortino_monthly": sortino}


def _contribution(trades: pd.DataFrame, symbols: tuple[str, ...]) -> dict[str, float]:
    places = pd.Index(symbols).get_indexer(pd.Index(trades["symbol"]))
    return dict(zip(symbols, np.bincount(places, trades["pnl"], len(symbols)).tolist(), strict=True))


def _warnings(
    request: BacktestRequest,
    strategy: Strategy,
    equity: NDArray[np.float64],
    times: pd.DatetimeIndex,
    trades: pd.DataFrame,
    bars: pd.DataFrame,
) -> tuple[str, ...]:
    out = []
    if request.fill == Fill.CLOSE:
        out.append(
            "Filled at the same close that decided: nobody can trade so. Use fill='next_open' before believing it."
        )
    if request.costs.per_side(str(bars.attrs.get("source", ""))) + request.costs.commission == 0:
        out.append("No costs at all: slippage, spread and commission are 0.")
    if bars.attrs.get("simulated"):
        out.append("The prices are made-up sample data.")
    for symbol, frame in request.bars.items():
        if frame.attrs.get(LEFT_OUT):
            out.append(f"{frame.attrs[LEFT_OUT]} bars of {symbol} had not all four prices and were left out.")
        if mended := described(frame.attrs.get("quality") or {}, MENDED):
            out.append(f"The bars of {symbol} were mended: {mended}.")
    last = max(frame.index[-1] for frame in request.bars.values())
    for symbol in trades.loc[trades["status"] == "open", "symbol"]:
        if (ends := request.bars[symbol].index[-1]) < last:
            out.append(f"{symbol} has no bars after {ends:%Y-%m-%d}; its open position stays at the last price.")
    if (equity <= 0).any():
        ruin = times[int(np.argmax(equity <= 0))]
        out.append(
            f"The account was ruined: its value fell to 0 or below on {ruin:%Y-%m-%d}; the rest could not be earned."
        )
    if not len(trades):
        out.append("No trade was made: the entry conditions never became true while the position was flat.")
    elif len(trades) < 30:
        out.append(f"Only {len(trades)} trades: too few to tell skill from luck.")
    if strategy.stops.trail is not None or strategy.stops.atr_trail is not None:
        out.append("A trailing stop follows the best price of completed rows; the path inside a bar is not known.")
    if isinstance(request.size, RiskPercent) and request.costs.fixed:
        out.append("Sizing by risk leaves out the fixed fee.")
    return tuple(out)
