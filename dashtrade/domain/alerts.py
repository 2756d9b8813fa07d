"""What an alert rule is: which condition, on which bars, how often it may tell, and until when."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any


class AlertKind(StrEnum):
    """The value is ``alert_type`` in the database; each says what its condition text looks like."""

    PRICE_ABOVE = "price_above"
    """``150``: the close is above it."""
    PRICE_BELOW = "price_below"
    PRICE_CROSSES_ABOVE = "price_crosses_above"
    """``150``: the close is above it and was not on the bar before."""
    PRICE_CROSSES_BELOW = "price_crosses_below"
    PERCENT_MOVE = "percent_move"
    """``5`` or ``5 over 10``: the close moved so many percent, up or down, over so many bars (1)."""
    EMA_CROSS = "ema_cross"
    """``9 21``, with ``above`` or ``below`` for one direction only."""
    INDICATOR_CROSS = "indicator_cross"
    """``macd crosses_above macd.signal``."""
    RSI_LEVEL = "rsi_level"
    """``> 70`` or ``rsi_21 crosses_below 30``."""
    VOLUME_SPIKE = "volume_spike"
    """``2`` or ``2 over 20``: so many times the mean volume of the bars (20) before."""
    NEAR_LEVEL = "near_level"
    """``1``, ``support 1`` or ``resistance 0.5``: the close is within so many percent of the last level."""
    CANDLESTICK_PATTERN = "candlestick_pattern"
    """A name such as ``hammer`` or ``bullish_engulfing``, or ``any``."""
    CHART_PATTERN = "chart_pattern"
    """A name such as ``double_bottom``, or ``any``: at the bar that confirms it."""
    PATTERN_DETECTED = "pattern_detected"
    """A candlestick or chart pattern."""
    SIGNAL_CHANGE = "signal_change"
    """``BUY``, ``SELL``, ``HOLD`` or ``any``: the signal became this and was not on the bar before."""
    RULE = "rule"
    """Any rule of the strategy language."""


class Frequency(StrEnum):
    """How often a rule tells."""

    ONCE = "once"
    """The first time; then the rule is switched off."""
    BAR = "bar"
    """At every bar's close where the condition is true."""
    EVERY = "every"
    """Every time it becomes true: at a close where it is true and was not on the bar before."""


class Scope(StrEnum):
    SYMBOL = "symbol"
    WATCHLIST = "watchlist"


WATCHLIST = "WATCHLIST"
"""Stands for the symbol in a rule on the watchlist."""
INTERVALS = ("1m", "5m", "15m", "30m", "1h", "4h", "1d", "1wk")
AGAIN = ("dead", "maybe")
"""States of a message that a person may have sent again: given up, or in doubt whether it arrived."""


@dataclass(frozen=True, slots=True)
class NewAlert:
    """What a user asks for. ``symbol`` None watches every symbol of the watchlist, or of its named list ``within``.
    ``channels`` are numbers of the user's channels; None is every one that is on, nothing in it the program alone."""

    kind: str
    condition: str
    symbol: str | None
    interval: str = "1d"
    frequency: str = "once"
    cooldown: timedelta = timedelta(0)
    expires_at: datetime | None = None
    name: str | None = None
    source: str = ""
    within: str = ""
    channels: tuple[int, ...] | None = None


@dataclass(frozen=True, slots=True)
class AlertRule:
    """A rule as it is kept. ``symbol`` is ``WATCHLIST`` where ``scope`` is watchlist; ``within`` and ``list_id`` then
    name the list, or nothing where it is the whole watchlist. ``channels`` may name one that is gone since."""

    id: int
    user_id: int
    symbol: str
    kind: str
    condition: str
    is_active: bool
    triggered_at: datetime | None
    created_at: datetime
    active_since: datetime
    name: str | None = None
    scope: Scope = Scope.SYMBOL
    interval: str = "1d"
    source: str = ""
    frequency: Frequency = Frequency.ONCE
    cooldown: timedelta = timedelta(0)
    expires_at: datetime | None = None
    within: str = ""
    list_id: int | None = None
    channels: tuple[int, ...] | None = None

    @property
    def label(self) -> str:
        return self.name or f"{self.kind.replace('_', ' ')} {self.condition}".strip()


@dataclass(frozen=True, slots=True)
class AlertEvent:
    """One trigger. ``values`` are those of the bar at ``bar_time``; ``missed`` counts earlier bars of the same catching
    up on which the rule would have told as well."""

    id: int
    user_id: int
    alert_id: int
    symbol: str
    interval: str
    bar_time: datetime
    triggered_at: datetime
    condition: str
    detail: str = ""
    values: dict[str, Any] = field(default_factory=dict)
    missed: int = 0
    simulated: bool = False
