"""A bot's fills beside those its strategy's backtest would have had, pair by pair."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta


@dataclass(frozen=True, slots=True)
class PricedFill:
    """``side`` is buy or sell; ``time`` is when it filled, UTC; ``price`` in dollars."""

    time: datetime
    side: str
    price: float
    qty: float


@dataclass(frozen=True, slots=True)
class Pair:
    """A backtest's fill with the bot's. ``slippage_bps`` is above zero where the bot paid more or got less."""

    expected: PricedFill
    actual: PricedFill

    @property
    def slippage_bps(self) -> float:
        worse = self.actual.price - self.expected.price
        return (worse if self.expected.side == "buy" else -worse) / self.expected.price * 10_000

    @property
    def delay(self) -> timedelta:
        return self.actual.time - self.expected.time


def match_fills(
    expected: Sequence[PricedFill], actual: Sequence[PricedFill], within: timedelta
) -> tuple[list[Pair], list[PricedFill], list[PricedFill]]:
    """Pairs, what the bot missed, and what the backtest knows nothing of.

    Each expected fill, oldest first, takes the earliest free actual fill of its side at most ``within`` away.
    """
    free = sorted(actual, key=lambda fill: fill.time)
    pairs, missed = [], []
    for fill in sorted(expected, key=lambda fill: fill.time):
        found = next((a for a in free if a.side == fill.side and abs(a.time - fill.time) <= within), None)
        if found is None:
            missed.append(fill)
        else:
            free.remove(found)
            pairs.append(Pair(fill, found))
    return pairs, missed, free
