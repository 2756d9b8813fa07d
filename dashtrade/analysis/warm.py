"""Compiles every loop of indicators and patterns into the cache on disk: ``python -m dashtrade.analysis.warm``.

Run once after an installation or an update, so that nobody waits at the first page. With everything in the cache it
takes about a second.
"""

from __future__ import annotations

import sys
import time

import numpy as np
import pandas as pd


def warm() -> float:
    """Goes through everything compiled once, over made-up prices; gives the seconds it took."""
    start = time.monotonic()
    from dashtrade.analysis.snapshot import analyze
    from dashtrade.patterns.evidence import pattern_evidence

    rng = np.random.default_rng(0)
    close = 100 * np.exp(np.cumsum(rng.normal(0, 0.01, 600)))
    open_ = np.r_[100.0, close[:-1]]
    index = pd.date_range("2020-01-01", periods=close.size, tz="UTC", name="time")
    columns = {"open": open_, "high": np.maximum(open_, close) * 1.002, "low": np.minimum(open_, close) * 0.998}
    bars = pd.DataFrame({**columns, "close": close, "volume": 1000.0}, index=index)
    analyze(bars)
    pattern_evidence(bars, matches=1)
    return time.monotonic() - start


if __name__ == "__main__":
    sys.stdout.write(f"Indicators and patterns are compiled ({warm():.1f} s).\n")
