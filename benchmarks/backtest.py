"""Backtests against vectorbt's own calls: first result, warm run, statistics, sweep, and how the cost grows.

Every comparison runs on the same bars and signals, and results are compared before anything is timed. Ratios are
what counts; seconds are of the machine and the hour. Medians of one run.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import time
import warnings
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

BARS = 2_500
PAIRS = {"fast": list(range(3, 43)), "slow": list(range(45, 95))}


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


def median(call: Callable[[], Any], times: int = 15) -> float:
    call()
    taken = []
    for _ in range(times):
        start = time.perf_counter()
        call()
        taken.append(time.perf_counter() - start)
    return statistics.median(taken)


def fresh(code: str, times: int = 3) -> float:
    """Median seconds of a whole new interpreter that runs ``code``."""
    taken = []
    for _ in range(times):
        start = time.perf_counter()
        subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)
        taken.append(time.perf_counter() - start)
    return statistics.median(taken)


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


def first_result() -> None:
    ours = fresh(OURS)
    print(f"first backtest, fresh process                ours {ours:6.2f} s")
    for engine in ("rust", "numba"):
        theirs = fresh(THEIRS.replace("ENGINE", repr(engine)), 1 if engine == "numba" else 3)
        print(f"    vectorbt from_signals, {engine:<6}                 {theirs:6.2f} s   ratio {ours / theirs:.3f}")


def one_run() -> None:
    import dashtrade as dt
    from dashtrade.backtest import BacktestRequest, Stops
    from dashtrade.backtest.vectorbt_engine import simulate

    request = BacktestRequest("ema_cross", {"X": bars_of()}, stops=Stops(loss=0.02, profit=0.05))
    result = dt.backtest(request)
    theirs = result.portfolio()
    same = np.allclose(theirs.orders.values["price"], result.orders["price"], rtol=1e-12)
    assert same and len(theirs.orders.values) == len(result.orders)
    simulation = median(lambda: simulate(result.rows), 50)
    whole = median(lambda: dt.backtest(request))
    build = median(result.portfolio, 5)
    stats = median(theirs.stats, 3)
    print(f"simulation of {result.rows.shape[0]:,} rows                     {1e3 * simulation:8.2f} ms")
    print(f"the same with orders, trades, all statistics {1e3 * whole:8.2f} ms")
    print(f"    vectorbt from_signals                    {1e3 * build:8.2f} ms   ratio {whole / build:.3f}")
    print(f"    vectorbt Portfolio.stats()               {1e3 * stats:8.2f} ms   ratio {whole / stats:.3f}")


SWEEP = """
import json, resource, sys, time
from benchmarks.backtest import PAIRS, bars_of, sweep_request, their_sweep
kind = sys.argv[1]
bars = bars_of()
if kind == "ours":
    import dashtrade as dt
    from dashtrade.backtest import SweepOptions
    from dashtrade.backtest.warm import warm
    warm()  # the compiled loops are loaded on both sides before the clock starts
    dt.sweep(sweep_request(bars), {"fast": [5], "slow": [50]})
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    start, cpu = time.perf_counter(), time.process_time()
    table = dt.sweep(sweep_request(bars), PAIRS, SweepOptions(threads=2)).table
    finals = table["final_equity"].tolist()
else:
    their_sweep(bars, {"fast": [5], "slow": [50]})
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    start, cpu = time.perf_counter(), time.process_time()
    finals = their_sweep(bars, PAIRS)
took, cpu = time.perf_counter() - start, time.process_time() - cpu
print(json.dumps([took, cpu, (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024, finals]))
"""


def sweep_request(bars: pd.DataFrame) -> Any:
    from dashtrade.backtest import BacktestRequest, Costs

    return BacktestRequest("ema_cross", {"X": bars}, costs=Costs(0.001, 0.0))


def their_sweep(bars: pd.DataFrame, pairs: dict[str, list[int]]) -> list[float]:
    """The broadcast way: all combinations as columns at once, filled at the next open; final value and two ratios."""
    import vectorbt as vbt

    from dashtrade.indicators import indicator

    lines = {n: indicator(bars, "ema", window=n).to_numpy() for n in {*pairs["fast"], *pairs["slow"]}}
    combos = [(f, s) for f in pairs["fast"] for s in pairs["slow"] if f < s]
    entries, exits = (np.zeros((len(bars), len(combos)), dtype=bool) for _ in range(2))
    for k, (f, s) in enumerate(combos):
        with np.errstate(invalid="ignore"):
            above, below = lines[f] > lines[s], lines[f] < lines[s]
            known = ~np.isnan(lines[s])
        crossed_up = above[1:] & ~above[:-1] & known[:-1]
        crossed_down = below[1:] & ~below[:-1] & known[:-1]
        entries[2:, k], exits[2:, k] = crossed_up[:-1], crossed_down[:-1]
    opens = pd.DataFrame(np.repeat(bars[["open"]].to_numpy(), len(combos), axis=1), index=bars.index)
    closes = pd.DataFrame(np.repeat(bars[["close"]].to_numpy(), len(combos), axis=1), index=bars.index)
    portfolio = vbt.Portfolio.from_signals(
        closes, pd.DataFrame(entries, index=bars.index), pd.DataFrame(exits, index=bars.index), price=opens,
        fees=0.001, init_cash=10_000, min_size=0.0, freq="1D",
    )  # fmt: skip
    finals = portfolio.final_value()
    portfolio.sharpe_ratio(), portfolio.max_drawdown()
    return [float(v) for v in finals]


def sweeps() -> None:
    found = {}
    for kind in ("ours", "theirs"):
        done = subprocess.run([sys.executable, "-c", SWEEP, kind], check=True, capture_output=True, text=True)
        found[kind] = json.loads(done.stdout.splitlines()[-1])
    ours, our_cpu, our_memory, our_finals = found["ours"]
    theirs, their_cpu, their_memory, their_finals = found["theirs"]
    np.testing.assert_allclose(our_finals, their_finals, rtol=1e-9)
    print(f"sweep of {len(our_finals):,} pairs × {BARS:,} bars           ours {ours:6.2f} s  {our_memory:7.0f} MB more")
    print(f"    vectorbt broadcast (equal finals)             {theirs:6.2f} s  {their_memory:7.0f} MB more", end="")
    print(f"   {theirs / ours:.1f}× slower, {their_memory / max(our_memory, 1):.0f}× the memory", end="")
    print(f"; CPU {our_cpu:.3f} s on two threads, theirs {their_cpu:.2f} s on one")


def growth() -> None:
    import dashtrade as dt
    from dashtrade.backtest import SweepOptions

    request = sweep_request(bars_of())
    taken = {}
    for fast, slow in ((10, 10), (20, 50), (100, 100)):
        pairs = {"fast": list(range(3, 3 + fast)), "slow": list(range(110, 110 + slow))}
        start = time.perf_counter()
        dt.sweep(request, pairs, SweepOptions(threads=2))
        taken[fast * slow] = time.perf_counter() - start
    print("cost of a combination by their number: ", {n: f"{1e6 * t / n:.0f} µs" for n, t in taken.items()})
    lengths = {}
    for size in (5_000, 50_000, 500_000):
        long = replace(request, bars={"X": bars_of(size)})
        start = time.perf_counter()
        dt.backtest(long)
        lengths[size] = time.perf_counter() - start
    print("cost of a bar by their number:         ", {n: f"{1e9 * t / n:.0f} ns" for n, t in lengths.items()})


def main() -> None:
    warnings.simplefilter("ignore")
    first_result()
    one_run()
    sweeps()
    growth()


if __name__ == "__main__":
    main()
