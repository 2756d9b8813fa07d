"""Compiles the loops of long backtests and wide sweeps into the cache on disk: ``python -m dashtrade.backtest.warm``.

Run once after an installation or an update, beside ``python -m dashtrade.analysis.warm``.
"""

from __future__ import annotations

import sys
import time

import numpy as np
import pandas as pd


def warm() -> float:
    """Simulates and measures a little by each of the compiled loops; gives the seconds it took."""
    start = time.monotonic()
    from dashtrade.backtest import sparse
    from dashtrade.backtest.bars import Flags, make_grid
    from dashtrade.backtest.layout import Layout
    from dashtrade.backtest.lines import Lines
    from dashtrade.backtest.request import BacktestRequest
    from dashtrade.backtest.space import Space, Template
    from dashtrade.backtest.trades import equity

    prices = np.linspace(100.0, 110.0, 60)
    index = pd.date_range("2020-01-01", periods=60, freq="D", tz="UTC", name="time")
    bars = pd.DataFrame(dict.fromkeys(("open", "high", "low", "close"), prices) | {"volume": 1.0}, index=index)
    bars.attrs["interval"] = "1d"
    request = BacktestRequest("ema_cross", {"X": bars})
    grid, flags = make_grid(request.bars), Flags.empty(60, 1)
    orders, after = sparse.simulate(request, grid, flags, 0.0)
    equity(orders, grid, Layout.of(request), 100.0, after)
    sparse.measure(request, grid, flags, 0.0, 252.0)
    sparse.measure_orders(request, grid, orders, after, 1, 252.0)
    space = Space(Template("ema_cross"), {"fast": [3], "slow": [5]})
    lines = Lines.of(request, space, 60)
    assert lines is not None
    lines.run(space.all(), request, grid, 0.0, 252.0)
    return time.monotonic() - start


if __name__ == "__main__":
    sys.stdout.write(f"Simulations are compiled ({warm():.1f} s).\n")
