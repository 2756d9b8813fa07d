"""Backtests as they grow: many symbols, long histories, many combinations, two Dask workers.

Times are CPU seconds of the process, taken in turns, so that a busy machine does not favour one side; the Dask line is
the only one in wall time. Results are compared before anything is timed.
"""

from __future__ import annotations

import statistics
import time
import warnings
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from benchmarks.backtest import bars_of, sweep_request


def in_turns(calls: dict[str, Callable[[], Any]], times: int = 5) -> dict[str, float]:
    """Median CPU seconds of each call, after one run that does not count."""
    taken: dict[str, list[float]] = {name: [] for name in calls}
    for turn in range(times + 1):
        for name, call in calls.items():
            start = time.process_time()
            call()
            if turn:
                taken[name].append(time.process_time() - start)
    return {name: statistics.median(values) for name, values in taken.items()}


def level(bars: pd.DataFrame) -> pd.DataFrame:
    """The same bars without drift and of minutes' size, so that long histories stay at prices that exist."""
    out = bars.copy()
    prices = ["open", "high", "low", "close"]
    drift = np.linspace(0, np.log(bars["close"].iloc[-1] / bars["close"].iloc[0]), len(bars))
    out[prices] = 100 * np.exp((np.log(bars[prices] / 100).sub(drift, axis=0)) * min(1.0, (2_500 / len(bars)) ** 0.5))
    out.attrs = dict(bars.attrs)
    return out


def flags_of(bars: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """Crosses of two averages, at the close of each bar."""
    from dashtrade.indicators import indicator

    fast, slow = (indicator(bars, "ema", window=n).to_numpy() for n in (9, 21))
    with np.errstate(invalid="ignore"):
        up, down = fast > slow, fast < slow
    known = ~np.isnan(slow)
    enter, leave = (np.zeros(len(bars), dtype=bool) for _ in range(2))
    enter[1:] = up[1:] & ~up[:-1] & known[:-1]
    leave[1:] = down[1:] & ~down[:-1] & known[:-1]
    return enter, leave


def simulations(symbols: int, size: int, times: int) -> None:
    """Signals in, orders and equity out: the engine's part and vectorbt's own call on both its engines."""
    import vectorbt as vbt

    from dashtrade.backtest import BacktestRequest, Costs, sparse
    from dashtrade.backtest.bars import make_flags, make_grid
    from dashtrade.backtest.control import FREE
    from dashtrade.backtest.layout import Layout
    from dashtrade.backtest.run import orders_of, resolve
    from dashtrade.backtest.trades import equity
    from dashtrade.domain.strategy import Signals

    bars = {f"S{n}": level(bars_of(size, n)) for n in range(symbols)}
    flags = {name: flags_of(frame) for name, frame in bars.items()}
    none = np.zeros(size, dtype=bool)
    signals = {name: Signals(enter, leave, none, none) for name, (enter, leave) in flags.items()}
    request = BacktestRequest("ema_cross", bars, costs=Costs(0.001, 0.0), share_cash=False, cash=10_000.0 * symbols)
    strategy, layout = resolve(request), Layout.of(request)

    def ours() -> np.ndarray:
        grid = make_grid(request.bars)
        _, records, after = orders_of(request, strategy, grid, signals, 0.0, layout, FREE)
        return equity(records, grid, layout, request.cash, after)[0]

    ready = make_grid(request.bars)
    flagged = make_flags(request, ready, signals)

    def prepared() -> np.ndarray:
        records, after = sparse.simulate(request, ready, flagged, 0.0)
        return equity(records, ready, layout, request.cash, after)[0]

    index = next(iter(bars.values())).index
    opens, closes = (pd.DataFrame({s: f[n] for s, f in bars.items()}) for n in ("open", "close"))
    late = [np.stack([flags[s][k] for s in bars], axis=1) for k in (0, 1)]
    enter, leave = (
        pd.DataFrame(np.vstack([np.zeros((1, symbols), bool), f[:-1]]), index, closes.columns) for f in late
    )

    def theirs(engine: str) -> np.ndarray:
        portfolio = vbt.Portfolio.from_signals(
            closes, enter, leave, price=opens, fees=0.001, init_cash=10_000, min_size=0.0, engine=engine
        )
        return np.asarray(portfolio.value()).reshape(size, -1).sum(axis=1)

    np.testing.assert_allclose(ours(), theirs("rust"), rtol=1e-9, atol=1e-4)
    np.testing.assert_array_equal(ours(), prepared())
    found = in_turns(
        {"ours": ours, "prepared": prepared, "rust": lambda: theirs("rust"), "numba": lambda: theirs("numba")}, times
    )
    print(f"{symbols} symbols × {size:,} bars, frames to equity    ours {1e3 * found['ours']:8.1f} ms")
    print(f"    the same from arrays, as vectorbt begins    {1e3 * found['prepared']:8.1f} ms")
    for engine in ("rust", "numba"):
        print(f"    vectorbt from_signals, {engine:<6}               {1e3 * found[engine]:8.1f} ms", end="")
        print(f"   {found[engine] / found['ours']:.1f}× ours, {found[engine] / found['prepared']:.1f}× from arrays")


def whole_results() -> None:
    import dashtrade as dt
    from dashtrade.backtest import BacktestRequest

    for symbols, size in ((1, 2_500), (20, 2_500), (500, 2_500), (1, 500_000)):
        request = BacktestRequest("ema_cross", {f"S{n}": bars_of(size, n) for n in range(symbols)}, share_cash=False)
        taken = in_turns({"ours": lambda request=request: dt.backtest(request)}, 3)["ours"]
        each = 1e9 * taken / (symbols * size)
        print(f"whole result, {symbols:>3} × {size:>7,} bars   {1e3 * taken:9.1f} ms   {each:6.0f} ns a bar")


def growth() -> None:
    import dashtrade as dt
    from dashtrade.backtest import BacktestRequest, SweepOptions

    here = SweepOptions(threads=1, scheduler="")
    sizes = {"bars": (5_000, 50_000, 500_000), "combinations": (100, 1_000, 10_000), "symbols": (5, 50, 500)}
    one = bars_of()
    calls: dict[tuple[str, int], Callable[[], Any]] = {}
    for size in sizes["bars"]:
        long = replace(sweep_request(one), bars={"X": bars_of(size)})
        calls["bars", size] = lambda long=long: dt.backtest(long)
    for count in sizes["combinations"]:
        pairs = {"fast": list(range(3, 13)), "slow": list(range(20, 20 + count // 10))}
        calls["combinations", count] = lambda pairs=pairs: dt.sweep(sweep_request(one), pairs, here)
    for count in sizes["symbols"]:
        many = BacktestRequest("ema_cross", {f"S{n}": bars_of(1_000, n) for n in range(count)}, share_cash=False)
        calls["symbols", count] = lambda many=many: dt.backtest(many)
    for what, counts in sizes.items():
        found = in_turns({str(n): calls[what, n] for n in counts}, 3)
        each = {n: 1e6 * found[str(n)] / n for n in counts}
        print(f"cost by number of {what}: ", "  ".join(f"{n:,}: {v:.2f} µs each" for n, v in each.items()))


def million(first: int = 100) -> None:
    """A sweep of ``first`` × 100 × 100 combinations in a process of its own memory."""
    import resource

    import dashtrade as dt
    from dashtrade.backtest import Strategy, SweepOptions
    from dashtrade.strategies import parse_condition

    enter, leave = (parse_condition(f"ema(5) {how}") for how in ("crosses_above ema(20)", "crosses_below ema(30)"))
    request = replace(sweep_request(bars_of()), strategy=Strategy("averages", enter, leave))
    grid = {"long_entry.ema.window": range(2, 2 + first), "long_entry.ema_2.window": range(120, 220)}
    grid["long_exit.ema_2.window"] = range(230, 330)
    cpu, start = time.process_time(), time.perf_counter()
    table = dt.sweep(request, grid, SweepOptions(threads=2, scheduler="")).table
    cpu, took = time.process_time() - cpu, time.perf_counter() - start
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"{len(table):,} combinations × 2,500 bars   {took:.1f} s, {cpu:.1f} s of CPU, {memory:.0f} MB in all")


def on_dask() -> None:
    from distributed import LocalCluster

    import dashtrade as dt
    from dashtrade.backtest import SweepOptions

    request = sweep_request(bars_of())
    pairs = {"fast": list(range(3, 83)), "slow": list(range(90, 290))}
    taken = {}
    for workers in (1, 2):
        with LocalCluster(n_workers=workers, threads_per_worker=1, dashboard_address=":0") as cluster:
            options = SweepOptions(scheduler=cluster.scheduler_address)
            dt.sweep(request, {"fast": [5, 6], "slow": [50, 60]}, options)
            runs = []
            for _ in range(3):
                start = time.perf_counter()
                dt.sweep(request, pairs, options)
                runs.append(time.perf_counter() - start)
            taken[workers] = min(runs)
    print(f"16,000 combinations on Dask: 1 worker {taken[1]:.2f} s, 2 workers {taken[2]:.2f} s", end="")
    print(f"   {taken[1] / taken[2] / 2:.2f} of perfect")


def main() -> None:
    warnings.simplefilter("ignore")
    million()
    simulations(500, 2_500, 3)
    simulations(1, 500_000, 5)
    whole_results()
    growth()
    on_dask()


if __name__ == "__main__":
    main()
