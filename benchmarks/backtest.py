"""Backtests and sweeps against vectorbt's own calls, on the same bars and signals.

Results are compared before anything is timed. Ratios are what counts; times are CPU seconds of one process, medians of
one run, unless a line says otherwise.
"""

from __future__ import annotations

import json
import warnings
from typing import Any

import numpy as np
import pandas as pd

from benchmarks._table import Line, at_most, fresh, in_turns, quicker, seconds, show

BARS = 2_500
PAIRS = {"fast": list(range(3, 43)), "slow": list(range(45, 95))}
TEN_THOUSAND = {"fast": list(range(3, 103)), "slow": list(range(105, 205))}
STOPS = {"loss": 0.03, "profit": 0.06, "trail": None}


def bars_of(size: int = BARS, seed: int = 1) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    closes = 100 * np.exp(np.cumsum(rng.normal(0.0002, 0.012, size)))
    opens = closes * np.exp(rng.normal(0, 0.004, size))
    highs = np.maximum(opens, closes) * np.exp(np.abs(rng.normal(0, 0.003, size)))
    lows = np.minimum(opens, closes) * np.exp(-np.abs(rng.normal(0, 0.003, size)))
    index = pd.date_range("1990-01-01", periods=size, freq="h", tz="UTC", name="time")
    frame = pd.DataFrame({"open": opens, "high": highs, "low": lows, "close": closes, "volume": 1e6}, index=index)
    frame.attrs = {"interval": "1d", "source": "random"}
    return frame


OURS = """
from benchmarks.backtest import bars_of
import dashtrade as dt
from dashtrade.backtest import BacktestRequest, Stops
dt.backtest(BacktestRequest("ema_cross", {"X": bars_of()}, stops=Stops(loss=0.02, profit=0.05)))
"""
THEIRS = """
from benchmarks.backtest import bars_of
import vectorbt as vbt
bars = bars_of(); close = bars["close"]
fast, slow = close.ewm(span=9, adjust=False).mean(), close.ewm(span=21, adjust=False).mean()
up, down = (fast > slow) & (fast.shift() <= slow.shift()), (fast < slow) & (fast.shift() >= slow.shift())
pf = vbt.Portfolio.from_signals(close, up, down, sl_stop=0.02, tp_stop=0.05, high=bars["high"], low=bars["low"],
                                open=bars["open"], engine=ENGINE)
pf.total_return(), pf.orders.count()
"""


def first_result() -> list[Line]:
    """A whole new interpreter, imports included."""
    cpu, wall, _ = fresh(OURS, times=5)
    lines = [Line("first backtest, new process", seconds(cpu), f"{wall:.2f} s wall", "", "< 1.5 s", cpu < 1.5)]
    for engine, share in (("numba", 0.15), ("rust", 1.0)):
        theirs, _, _ = fresh(THEIRS.replace("ENGINE", repr(engine)), times=1 if engine == "numba" else 3)
        lines.append(at_most("first backtest, new process", cpu, theirs, share, f"vectorbt {engine}"))
    return lines


def one_run() -> list[Line]:
    import dashtrade as dt
    from dashtrade.backtest import BacktestRequest, Stops
    from dashtrade.backtest.vectorbt_engine import simulate

    request = BacktestRequest("ema_cross", {"X": bars_of()}, stops=Stops(loss=0.02, profit=0.05))
    result = dt.backtest(request)
    theirs = result.portfolio()
    np.testing.assert_allclose(theirs.orders.values["price"], result.orders["price"], rtol=1e-12)
    direct = direct_call(result.rows)
    np.testing.assert_array_equal(direct(), simulate(result.rows))
    found = in_turns(
        {"call": direct, "simulate": lambda: simulate(result.rows), "whole": lambda: dt.backtest(request)}, 300
    )
    stats = in_turns({"build": result.portfolio, "stats": theirs.stats}, 3)
    rows = f"{result.rows.shape[0]:,} rows"
    return [
        at_most(f"simulation only, {rows}", found["simulate"], found["call"], 1.5, "the compiled call itself"),
        Line("one backtest, all statistics", seconds(found["whole"]), "", "", "≤ 10 ms", found["whole"] <= 0.010),
        at_most("one backtest, all statistics", found["whole"], sum(stats.values()), 1, "from_signals and stats()"),
    ]


def direct_call(rows: Any) -> Any:
    """vectorbt's compiled function with everything ready, as little around it as there can be."""
    from vectorbt_rust.portfolio import simulate_from_signals_rs

    from dashtrade.backtest import vectorbt_engine

    kept: list[Any] = []
    real = simulate_from_signals_rs

    def keep(*arguments: Any, **named: Any) -> Any:
        kept.append((arguments, named))
        return real(*arguments, **named)

    vectorbt_engine.simulate_from_signals_rs = keep
    try:
        vectorbt_engine.simulate(rows)
    finally:
        vectorbt_engine.simulate_from_signals_rs = real
    arguments, named = kept[0]
    return lambda: real(*arguments, **named)[0]


SWEEP = """
import json, resource, sys, time
from benchmarks.backtest import bars_of, names_of, sweep_request, their_sweep
kind, what, pairs = sys.argv[1], sys.argv[2], json.loads(sys.argv[3])
bars = bars_of()
small = {"fast": [5], "slow": [50]}
if kind == "ours":
    import dashtrade as dt
    from dashtrade.backtest import SweepOptions
    from dashtrade.backtest.warm import warm
    warm()  # the compiled loops are loaded on both sides before the clock starts
    dt.sweep(sweep_request(bars, what), names_of(what, small))
    run = lambda: dt.sweep(sweep_request(bars, what), pairs, SweepOptions(threads=2)).table["final_equity"].tolist()
else:
    run = lambda: their_sweep(bars, pairs, what)
    their_sweep(bars, small, what)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
start, cpu = time.perf_counter(), time.process_time()
finals = run()
took, cpu = time.perf_counter() - start, time.process_time() - cpu
print(json.dumps([took, cpu, (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024, finals]))
"""


def sweep_request(bars: pd.DataFrame, what: str = "plain") -> Any:
    """``plain``: crosses; ``dense``: in while above, so that most bars decide something; ``stops``: crosses and a stop
    and target."""
    from dashtrade.backtest import BacktestRequest, Costs, Stops, Strategy
    from dashtrade.strategies import parse_condition

    strategy: Any = "ema_cross"
    if what == "dense":
        strategy = Strategy("levels", parse_condition("close > ema(5)"), parse_condition("close < ema(9)"))
    stops = Stops(**STOPS) if what == "stops" else None
    return BacktestRequest(strategy, {"X": bars}, costs=Costs(0.001, 0.0), stops=stops)


def names_of(what: str, pairs: dict[str, list[int]]) -> dict[str, list[int]]:
    """The settings by the names that ``sweep_request`` has for them."""
    if what != "dense":
        return pairs
    return {"long_entry.ema.window": pairs["fast"], "long_exit.ema.window": pairs["slow"]}


def their_sweep(bars: pd.DataFrame, pairs: dict[str, list[int]], what: str = "plain") -> list[float]:
    """The broadcast way: all combinations as columns at once, filled at the next open; final value and two ratios."""
    import vectorbt as vbt

    from dashtrade.indicators import indicator

    fasts, slows = pairs.values()
    lines = {n: indicator(bars, "ema", window=n).to_numpy() for n in {*fasts, *slows}}
    combos = [(f, s) for f in fasts for s in slows if what == "dense" or f < s]
    entries, exits = (np.zeros((len(bars), len(combos)), dtype=bool) for _ in range(2))
    close = bars["close"].to_numpy()
    for k, (f, s) in enumerate(combos):
        with np.errstate(invalid="ignore"):
            if what == "dense":
                leave = close < lines[s]
                exits[1:, k], entries[1:, k] = leave[:-1], ((close > lines[f]) & ~leave)[:-1]
                continue
            above, below = lines[f] > lines[s], lines[f] < lines[s]
            known = ~np.isnan(lines[s])
        crossed_up = above[1:] & ~above[:-1] & known[:-1]
        crossed_down = below[1:] & ~below[:-1] & known[:-1]
        entries[2:, k], exits[2:, k] = crossed_up[:-1], crossed_down[:-1]

    def wide(name: str) -> pd.DataFrame:
        return pd.DataFrame(np.repeat(bars[[name]].to_numpy(), len(combos), axis=1), index=bars.index)

    more: dict[str, Any] = {}
    if what == "stops":
        more = {"sl_stop": STOPS["loss"], "tp_stop": STOPS["profit"]}
        more |= {name: wide(name) for name in ("open", "high", "low")}
    portfolio = vbt.Portfolio.from_signals(
        wide("close"), pd.DataFrame(entries, index=bars.index), pd.DataFrame(exits, index=bars.index),
        price=wide("open"), fees=0.001, init_cash=10_000, min_size=0.0, freq="1D", **more,
    )  # fmt: skip
    finals = portfolio.final_value()
    portfolio.sharpe_ratio(), portfolio.max_drawdown()
    return [float(v) for v in finals]


def sweeps() -> list[Line]:
    """With Sharpe and drawdown of every combination on both sides. CPU of two threads on ours, of one on theirs."""
    lines = []
    for what, pairs, least, part in (
        ("plain", PAIRS, 25, 10), ("dense", PAIRS, 4, 10), ("stops", PAIRS, 10, 10), ("plain", TEN_THOUSAND, 100, 20),
    ):  # fmt: skip
        found = {}
        for kind in ("ours", "theirs"):
            _, _, out = fresh(SWEEP, kind, what, json.dumps(names_of(what, pairs)), times=1)
            found[kind] = json.loads(out.splitlines()[-1])
        (wall, cpu, memory, finals), (their_wall, their_cpu, their_memory, their_finals) = found.values()
        if what != "stops":
            np.testing.assert_allclose(finals, their_finals, rtol=1e-9)
        title = f"sweep, {len(finals):,} × {BARS:,}, {what}"
        peer = "vectorbt broadcast" + (" (no stop on the entry bar, so no equal results)" if what == "stops" else "")
        lines.append(quicker(title, cpu, their_cpu, least, peer))
        ratio = their_wall / wall
        lines.append(Line(title, f"{wall:.2f} s wall", f"{their_wall:.2f} s", f"{ratio:.1f}×", "", None, peer))
        more = their_memory / max(memory, 1.0)
        lines.append(Line(
            title, f"{memory:.0f} MB more", f"{their_memory:.0f} MB", f"{more:.0f}×", f"≥ {part}×", more >= part, peer
        ))  # fmt: skip
    return lines


def main() -> None:
    warnings.simplefilter("ignore")
    lines = first_result()
    lines += one_run()
    lines += sweeps()
    show(lines)


if __name__ == "__main__":
    main()
