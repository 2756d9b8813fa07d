"""Statistics of closed trades, in the order they were closed. ``pnl`` is money after fees, shape (n,)."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from dashtrade.analysis.performance import longest_run as longest_streak

__all__ = [
    "average_loss",
    "average_win",
    "expectancy",
    "kelly",
    "largest_loss",
    "largest_win",
    "longest_streak",
    "profit_factor",
    "system_quality",
    "win_rate",
]

Floats = NDArray[np.float64]


def win_rate(pnl: Floats) -> float:
    """Share of trades with pnl > 0."""
    return float(np.mean(pnl > 0)) if len(pnl) else math.nan


def profit_factor(pnl: Floats) -> float:
    """Σ gains / Σ losses; infinite where nothing was lost."""
    gained, lost = float(pnl[pnl > 0].sum()), -float(pnl[pnl < 0].sum())
    if lost == 0:
        return math.inf if gained > 0 else math.nan
    return gained / lost


def expectancy(pnl: Floats) -> float:
    """Mean pnl of a trade."""
    return float(pnl.mean()) if len(pnl) else math.nan


def average_win(pnl: Floats) -> float:
    return float(pnl[pnl > 0].mean()) if (pnl > 0).any() else math.nan


def average_loss(pnl: Floats) -> float:
    """Mean of the losing trades, negative."""
    return float(pnl[pnl < 0].mean()) if (pnl < 0).any() else math.nan


def largest_win(pnl: Floats) -> float:
    return float(pnl.max()) if (pnl > 0).any() else math.nan


def largest_loss(pnl: Floats) -> float:
    return float(pnl.min()) if (pnl < 0).any() else math.nan


def system_quality(pnl: Floats) -> float:
    """√n × mean(pnl) / std(pnl, n − 1). Tharp, "Definitive Guide to Position Sizing" (2008)."""
    deviation = float(np.std(pnl, ddof=1)) if len(pnl) > 1 else 0.0
    return math.sqrt(len(pnl)) * float(pnl.mean()) / deviation if deviation > 0 else math.nan


def kelly(pnl: Floats) -> float:
    """W − (1 − W) / (average win / |average loss|), W the win rate. Kelly (1956), for two outcomes."""
    win, loss = average_win(pnl), average_loss(pnl)
    if math.isnan(win) or math.isnan(loss):
        return math.nan
    share = win_rate(pnl)
    return share - (1 - share) / (win / abs(loss))
