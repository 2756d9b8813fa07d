"""An indicator, a pattern and a strategy of one's own: shown and used by notebook 11. Importing registers them."""

from __future__ import annotations

import numpy as np

from dashtrade.indicators import catalogue
from dashtrade.indicators.catalogue import Family
from dashtrade.strategies import PRESETS, Preset
from dashtrade.strategies.presets import PresetParam


def efficiency(close: np.ndarray, *, window: int) -> np.ndarray:
    """Kaufman's efficiency ratio: the way made over the way gone, 0 (to and fro) … 1 (straight). 0/0 is NaN."""
    out = np.full(len(close), np.nan)
    steps = np.abs(np.diff(close))
    gone = np.lib.stride_tricks.sliding_window_view(steps, window).sum(axis=1)
    made = np.abs(close[window:] - close[:-window])
    out[window:] = np.where(gone > 0, made / np.where(gone > 0, gone, 1.0), np.nan)
    return out


def inside_break(high: np.ndarray, low: np.ndarray, close: np.ndarray) -> np.ndarray:
    """1 where a close leaves the range of an inside bar upwards on the next bar, −1 downwards, else 0.

    The inside bar is the bar before, its mother the one before that: nothing later than the marked bar is used.
    """
    out = np.full(len(close), np.nan)
    inside = (high[1:-1] <= high[:-2]) & (low[1:-1] >= low[:-2])
    up, down = close[2:] > high[1:-1], close[2:] < low[1:-1]
    out[2:] = np.where(inside & up, 1.0, np.where(inside & down, -1.0, 0.0))
    return out


catalogue.register(
    "efficiency",
    "Efficiency ratio",
    Family.TREND,
    inputs=("close",),
    outputs=("efficiency",),
    params=(catalogue.window(20),),
    warmup=lambda window: window,
    panel=catalogue.panel(0.3),
    library="NumPy",
    compute=efficiency,
    formula="|closeₜ − closeₜ₋ₙ| / Σ |change|; NaN while prices never changed",
    source="Kaufman, 1995",
    flat_nan=True,
)

catalogue.register(
    "inside_break",
    "Inside-bar break",
    Family.TREND,
    inputs=("high", "low", "close"),
    outputs=("inside_break",),
    warmup=lambda: 2,
    panel=catalogue.panel(0),
    library="NumPy",
    compute=inside_break,
    formula="±1 where the close leaves the range of an inside bar on the bar after it",
    source="own idea",
)

PRESETS.register(
    "calm_break",
    Preset(
        "calm_break",
        "Break out of calm",
        "Buy an inside-bar break while the move is straight; leave when it is not.",
        (PresetParam("window", 20, 5, 100), PresetParam("least", 0.2, 0.05, 0.9, 0.05)),
        long_entry="inside_break > 0 and efficiency(window={window}) > {least}",
        long_exit="inside_break < 0",
    ),
)
