"""Backtests as they grow: many symbols, long histories, many combinations, two Dask workers.

Times are CPU seconds of the process, taken in turns, so that a busy machine does not favour one side; the Dask line is
the only one in wall time. Results are compared before anything is timed. Peers besides vectorbt come with the extra
``bench``. ``python -m benchmarks.backtest_scale million dask`` runs parts.
"""

from __future__ import annotations

import json
import sys
import time
import warnings
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from benchmarks._table import Line, fresh, in_turns, quicker, seconds, show
from benchmarks.backtest import bars_of, sweep_request


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


def simulations(symbols: int, size: int, times: int) -> list[Line]:
    """Signals in, orders and equity out: the engine's part and vectorbt's own call on both its engines, both from
    arrays side by side and both from a frame for each symbol."""
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

    def joined() -> tuple[pd.DataFrame, ...]:
        opens, closes = (pd.DataFrame({s: f[n] for s, f in bars.items()}) for n in ("open", "close"))
        late = [np.stack([flags[s][k] for s in bars], axis=1) for k in (0, 1)]
        enter, leave = (
            pd.DataFrame(np.vstack([np.zeros((1, symbols), bool), f[:-1]]), index, closes.columns) for f in late
        )
        return opens, closes, enter, leave

    wide = joined()

    def theirs(engine: str, frames: tuple[pd.DataFrame, ...]) -> np.ndarray:
        opens, closes, enter, leave = frames
        portfolio = vbt.Portfolio.from_signals(
            closes, enter, leave, price=opens, fees=0.001, init_cash=10_000, min_size=0.0, engine=engine
        )
        return np.asarray(portfolio.value()).reshape(size, -1).sum(axis=1)

    np.testing.assert_allclose(ours(), theirs("rust", wide), rtol=1e-9, atol=1e-4)
    np.testing.assert_array_equal(ours(), prepared())
    engines = ("rust", "numba")
    calls: dict[str, Callable[[], Any]] = {"frames": ours, "arrays": prepared}
    for engine in engines:
        calls[f"arrays {engine}"] = lambda engine=engine: theirs(engine, wide)
        calls[f"frames {engine}"] = lambda engine=engine: theirs(engine, joined())
    found = in_turns(calls, times)
    least = 20 if symbols > 1 else 1
    return [
        quicker(f"{symbols} × {size:,}: orders, equity, from {kind}", found[kind], found[f"{kind} {engine}"], least,
                f"vectorbt {engine}")
        for kind in ("arrays", "frames") for engine in engines
    ]  # fmt: skip


def many_symbols() -> list[Line]:
    """The whole way of a user with 500 frames: averages, crosses, orders, trades, equity, statistics."""
    import vectorbt as vbt

    import dashtrade as dt
    from dashtrade.backtest import BacktestRequest, Costs

    bars = {f"S{n}": bars_of(2_500, n) for n in range(500)}

    def ours(share_cash: bool) -> float:
        request = BacktestRequest("ema_cross", bars, cash=5_000_000, costs=Costs(0.001, 0.0), share_cash=share_cash)
        return dt.backtest(request).final_equity

    average = vbt.talib("EMA")

    def theirs() -> float:
        opens, closes = (pd.DataFrame({s: f[n] for s, f in bars.items()}) for n in ("open", "close"))
        fast, slow = (average.run(closes, n).real.set_axis(closes.columns, axis=1) for n in (9, 21))
        up, down = fast.vbt.crossed_above(slow), fast.vbt.crossed_below(slow)
        portfolio = vbt.Portfolio.from_signals(
            closes, up.vbt.fshift(1, fill_value=False), down.vbt.fshift(1, fill_value=False), price=opens, fees=0.001,
            init_cash=10_000, min_size=0.0, freq="1D", engine="numba",
        )  # fmt: skip
        _ = portfolio.orders.records_readable, portfolio.trades.records_readable
        portfolio.drawdown(group_by=True), portfolio.stats(group_by=True, silence_warnings=True)
        return float(portfolio.value(group_by=True).iloc[-1])

    np.testing.assert_allclose(ours(False), theirs(), rtol=1e-9)
    found = in_turns({"ours": lambda: ours(False), "shared": lambda: ours(True), "theirs": theirs}, 5)
    return [
        quicker("500 × 2,500, whole result from frames", found["ours"], found["theirs"], 20, "the same in vectorbt"),
        Line("500 × 2,500, whole result, one cash", seconds(found["shared"])),
    ]


def long_history() -> list[Line]:
    """Half a million bars of one symbol, all statistics and trades, against peers that get a part of them."""
    import dashtrade as dt
    from benchmarks import _peers
    from dashtrade.backtest import BacktestRequest, Costs
    from dashtrade.domain.strategy import Signals

    def given(size: int) -> tuple[Any, ...]:
        bars = level(bars_of(size))
        enter, leave = flags_of(bars)
        enter[-30:], leave[-30:] = False, True
        return bars, enter, leave

    def ours(bars: pd.DataFrame, enter: np.ndarray, leave: np.ndarray) -> float:
        none = np.zeros(len(bars), dtype=bool)
        request = BacktestRequest("ema_cross", {"X": bars}, cash=_peers.CASH, costs=Costs(0.0, 0.0))
        return dt.backtest(request, {"X": Signals(enter, leave, none, none)}).final_equity

    small, long = given(2_500), given(500_000)
    peers: dict[str, tuple[Callable[..., float], int, float]] = {
        "vectorbt rust": (lambda *g: _peers.vectorbt(*g, "rust"), 500_000, 1e-9),
        "vectorbt numba": (lambda *g: _peers.vectorbt(*g, "numba"), 500_000, 1e-9),
        "backtesting.py": (_peers.backtesting_py, 50_000, 1e-5),
        "bt": (_peers.bt, 50_000, 1e-9),
        "backtrader": (_peers.backtrader, 50_000, 1e-9),
    }
    expected = ours(*small)
    taken = in_turns({"ours": lambda: ours(*long)}, 5)["ours"]
    lines = []
    for name, (run, size, apart) in peers.items():
        try:
            np.testing.assert_allclose(run(*small), expected, rtol=apart)
        except ImportError:
            lines.append(Line("1 × 500,000, whole result", seconds(taken), peer=f"{name} is not installed"))
            continue
        own = given(size)
        theirs = in_turns({"theirs": lambda run=run, own=own: run(*own)}, 1)["theirs"]
        part = "" if size == 500_000 else f", which gets {size:,} bars only"
        lines.append(quicker("1 × 500,000, whole result", taken, theirs, 1, name + part))
    return lines


def growth() -> list[Line]:
    """CPU per thing by how many there are, over two decades; the largest may cost 15 % more than the smallest."""
    import dashtrade as dt
    from dashtrade.backtest import BacktestRequest, SweepOptions

    here = SweepOptions(threads=1, scheduler="")
    sizes = {
        "bars": (20_000, 200_000, 2_000_000),
        "combinations": (1_000, 10_000, 100_000),
        "symbols": (10, 100, 1_000),
    }
    one = bars_of()
    lines = []
    for what, counts in sizes.items():
        calls: dict[str, Callable[[], Any]] = {}
        for count in counts:
            if what == "bars":
                long = replace(sweep_request(one), bars={"X": level(bars_of(count))})
                calls[str(count)] = lambda long=long: dt.backtest(long)
            elif what == "combinations":
                own, grid = averages(10, 100 if count > 10_000 else 10, 100 if count > 1_000 else 10)
                calls[str(count)] = lambda own=own, grid=grid: dt.sweep(own, grid, here)
            else:
                bars = {f"S{n}": bars_of(1_000, n) for n in range(count)}
                many = BacktestRequest("ema_cross", bars, share_cash=False)
                calls[str(count)] = lambda many=many: dt.backtest(many)
        found = in_turns(calls, 3)
        each = [found[str(n)] / n for n in counts]
        ratio = each[-1] / each[0]
        shown = " / ".join(f"{1e6 * v:.3g} µs" for v in each)
        lines.append(Line(
            f"cost of one of {' / '.join(f'{n:,}' for n in counts)} {what}", shown, "", f"{ratio:.2f}×", "≤ 1.15×",
            ratio <= 1.15, "itself",
        ))  # fmt: skip
    return lines


def averages(first: int, second: int, third: int) -> tuple[Any, dict[str, range]]:
    """In when one average crosses another, out by a third: a request, and that many values of each over one span."""
    from dashtrade.backtest import Strategy
    from dashtrade.strategies import parse_condition

    enter, leave = (parse_condition(f"ema(5) {how}") for how in ("crosses_above ema(20)", "crosses_below ema(30)"))
    grid = {
        "long_entry.ema.window": range(2, 102, 100 // first),
        "long_entry.ema_2.window": range(120, 220, 100 // second),
        "long_exit.ema_2.window": range(230, 330, 100 // third),
    }
    return replace(sweep_request(bars_of()), strategy=Strategy("averages", enter, leave)), grid


MILLION = """
import json, resource, time
from benchmarks.backtest_scale import averages
import dashtrade as dt
from dashtrade.backtest import SweepOptions

request, grid = averages(100, 100, 100)
start, cpu = time.perf_counter(), time.process_time()
table = dt.sweep(request, grid, SweepOptions(threads=2, scheduler="")).table
found = [time.perf_counter() - start, time.process_time() - cpu,
         resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024]
assert len(table) == 1_000_000
row = table.iloc[654_321]
one = dt.sweep(request, {name: [int(row[name])] for name in grid}).backtest(0)
assert abs(one.final_equity / row["final_equity"] - 1) < 1e-9
print(json.dumps(found))
"""


def million() -> list[Line]:
    """In a process of its own. The CPU of two threads is what they need of two cores that nobody else uses."""
    _, _, out = fresh(MILLION, times=1)
    wall, cpu, memory = json.loads(out.splitlines()[-1])
    title = "1,000,000 combinations × 2,500"
    return [
        Line(title, f"{wall:.1f} s wall", f"{cpu:.1f} s CPU of 2 threads", "", "≤ 10 s", wall <= 10 or cpu / 2 <= 10),
        Line(title, f"{memory:.0f} MB in all", "", "", "≤ 600 MB", memory <= 600),
    ]


def on_dask() -> list[Line]:
    """Wall time: it needs a machine with nothing else to do."""
    from distributed import LocalCluster

    import dashtrade as dt
    from dashtrade.backtest import SweepOptions

    request, grid = averages(100, 100, 100)  # many, so that work and not starting up is compared
    taken = {}
    for workers in (1, 2):
        with LocalCluster(n_workers=workers, threads_per_worker=1, dashboard_address=":0") as cluster:
            options = SweepOptions(scheduler=cluster.scheduler_address)
            dt.sweep(request, {name: list(values)[:3] for name, values in grid.items()}, options)
            runs = []
            for _ in range(2):
                start = time.perf_counter()
                dt.sweep(request, grid, options)
                runs.append(time.perf_counter() - start)
            taken[workers] = min(runs)
    share = taken[1] / taken[2] / 2
    return [Line(
        "1,000,000 combinations on Dask, 2 workers", seconds(taken[2]), seconds(taken[1]), f"{share:.2f} of perfect",
        "≥ 0.85", share >= 0.85, "1 worker, wall time",
    )]  # fmt: skip


PARTS = {
    "million": million,
    "simulations": lambda: simulations(500, 2_500, 5) + simulations(1, 500_000, 5),
    "symbols": many_symbols,
    "history": long_history,
    "growth": growth,
    "dask": on_dask,
}


def main() -> None:
    warnings.simplefilter("ignore")
    show([line for name in sys.argv[1:] or PARTS for line in PARTS[name]()])


if __name__ == "__main__":
    main()
