"""Simulated minutes inside real daily bars, and a simulated live price. Seeded: the same question, the same answer."""

from __future__ import annotations

import hashlib
import math
from datetime import datetime

import numpy as np


def _seed(*parts: object) -> int:
    return int.from_bytes(hashlib.blake2b("|".join(map(str, parts)).encode(), digest_size=8).digest(), "big")


def minute_bars(symbol: str, days: np.ndarray, daily: np.ndarray, minutes: int) -> np.ndarray:
    """Minute bars (n days, ``minutes``, 5) that add up to the ``daily`` bars (n, 5) exactly.

    Each day is a Brownian bridge from open through the day's high and low to the close, clipped to the day's range. The
    volume has the usual U shape. Every day is seeded by symbol and date, so a day looks the same in any range.
    """
    n = len(days)
    noise = np.empty((n, minutes))
    wicks = np.empty((n, 2, minutes))
    chance = np.empty((n, 4))
    for i, day in enumerate(days):
        rng = np.random.Generator(np.random.SFC64(_seed(symbol, day)))
        noise[i] = rng.standard_normal(minutes)
        wicks[i] = rng.random((2, minutes))
        chance[i] = rng.random(4)
    _, highs, lows, _, volume = daily.T
    spread = (highs - lows) / math.sqrt(minutes)
    walk = np.concatenate((np.zeros((n, 1)), np.cumsum(noise * spread[:, None], axis=1)), axis=1)
    path = _bridge(walk, chance, daily)
    path = np.clip(path, lows[:, None], highs[:, None])
    top, bottom = np.maximum(path[:, :-1], path[:, 1:]), np.minimum(path[:, :-1], path[:, 1:])
    bars = np.empty((n, minutes, 5))
    bars[:, :, 0], bars[:, :, 3] = path[:, :-1], path[:, 1:]
    bars[:, :, 1] = np.minimum(top + wicks[:, 0] * spread[:, None] * 0.5, highs[:, None])
    bars[:, :, 2] = np.maximum(bottom - wicks[:, 1] * spread[:, None] * 0.5, lows[:, None])
    bars[:, :, 4] = _volumes(volume, noise)
    return bars


def _bridge(walk: np.ndarray, chance: np.ndarray, daily: np.ndarray) -> np.ndarray:
    """Bend each walk so that it passes through open, both extremes and close."""
    n, points = walk.shape
    last = points - 1
    opens, highs, lows, closes, _ = daily.T
    first_at = 1 + np.floor(chance[:, 0] * (last // 2 - 1)).astype(int)
    second_at = last // 2 + np.floor(chance[:, 1] * (last - last // 2)).astype(int)
    low_first = chance[:, 2] < np.where(closes >= opens, 0.7, 0.3)
    first, second = np.where(low_first, lows, highs), np.where(low_first, highs, lows)
    rows = np.arange(n)
    at = np.stack((np.zeros(n, dtype=int), first_at, second_at, np.full(n, last)), axis=1)
    target = np.stack((opens, first, second, closes), axis=1)
    miss = target - walk[rows[:, None], at]
    steps = np.arange(points)[None, :]
    path = walk.copy()
    for k in range(3):
        a, b = at[:, k : k + 1], at[:, k + 1 : k + 2]
        share = (steps - a) / np.maximum(b - a, 1)
        inside = (steps >= a) & (steps < b) if k < 2 else steps >= a
        path += np.where(inside, miss[:, k : k + 1] * (1 - share) + miss[:, k + 1 : k + 2] * share, 0.0)
    # Hit the anchors exactly, not to the last bit of the arithmetic above.
    path[rows[:, None], at] = target
    return path


def _volumes(daily: np.ndarray, noise: np.ndarray) -> np.ndarray:
    minutes = noise.shape[1]
    place = np.linspace(-1, 1, minutes)
    weights = (0.6 + 1.4 * place**2)[None, :] * np.exp(0.4 * noise)
    volumes = np.floor(daily[:, None] * weights / weights.sum(axis=1, keepdims=True))
    volumes[:, -1] += daily - volumes.sum(axis=1)
    return volumes


# Seconds and relative size of the waves a live price is made of.
_WAVES = ((14_400, 0.006), (3_600, 0.003), (600, 0.0012), (60, 0.0004), (5, 0.0001))


def live_price(symbol: str, anchor: float, moment: datetime) -> float:
    """A price that wanders around ``anchor`` by about one per cent: a function of the time, equal in every process."""
    seconds = moment.timestamp()
    drift = 0.0
    for length, size in _WAVES:
        position = seconds / length
        step = math.floor(position)
        share = position - step
        share = share * share * (3 - 2 * share)
        before, after = (_seed(symbol, length, s) / 2**63 - 1 for s in (step, step + 1))
        drift += size * (before * (1 - share) + after * share)
    return anchor * math.exp(drift)
