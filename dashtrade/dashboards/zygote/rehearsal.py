"""Does once, with made-up bars, what nearly every page does: compiled code is then loaded before the first fork.

No file, connection, widget or thread may come of it; the zygote checks.
"""

from __future__ import annotations

import logging
from datetime import UTC, datetime

import numpy as np
import pandas as pd

from dashtrade.analysis import levels, signal
from dashtrade.errors import DashTradeError
from dashtrade.indicators import REGISTRY, indicator
from dashtrade.patterns import candlestick_patterns, chart_patterns

log = logging.getLogger(__name__)
BARS = 400


def made_up_bars(count: int = BARS) -> pd.DataFrame:
    """A random walk in the form of daily bars, always the same."""
    random = np.random.default_rng(7)
    close = 100 * np.exp(np.cumsum(random.normal(0, 0.02, count)))
    open_ = np.concatenate(([100.0], close[:-1]))
    spread = np.abs(random.normal(0, 0.01, (2, count))) * close
    index = pd.date_range(datetime(2024, 1, 1, tzinfo=UTC), periods=count, freq="D", name="time")
    return pd.DataFrame(
        {
            "open": open_,
            "high": np.maximum(open_, close) + spread[0],
            "low": np.minimum(open_, close) - spread[1],
            "close": close,
            "volume": random.integers(100_000, 200_000, count).astype(float),
        },
        index=index,
    )


def rehearse() -> None:
    """Every indicator, the patterns, the levels and the signal. What fails here says why on its own page."""
    bars = made_up_bars()
    for key in REGISTRY:
        try:
            indicator(bars, key)
        except DashTradeError as error:
            log.info("%s: %s", key, error)
    for compute in (candlestick_patterns, chart_patterns, levels, signal):
        compute(bars)
