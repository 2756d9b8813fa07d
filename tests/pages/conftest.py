"""Bars and services for pages, without a kernel or a browser."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest


@pytest.fixture
def make_bars() -> Callable[..., pd.DataFrame]:
    """``make_bars(n)``: daily bars that rise by one a day from 100, with the attributes a source gives."""

    def make(n: int = 260, interval: str = "1d", **attrs: object) -> pd.DataFrame:
        close = 100.0 + np.arange(n) + 3 * np.sin(np.arange(n) / 3)
        freq = "1D" if interval == "1d" else "5min"
        index = pd.date_range("2024-01-02", periods=n, freq=freq, tz="UTC", name="time")
        columns = {"open": close - 0.5, "high": close + 1, "low": close - 1, "close": close}
        bars = pd.DataFrame({**columns, "volume": 1000.0 + np.arange(n)}, index=index)
        given = {"symbol": "AAPL", "interval": interval, "source": "yahoo", "delay_seconds": 900}
        bars.attrs.update({**given, "fetched_at": "2024-12-01T15:03:10+00:00", "simulated": False, **attrs})
        return bars

    return make
