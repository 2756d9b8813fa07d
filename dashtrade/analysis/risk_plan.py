"""Stops, targets and share size. A stop must lie on the losing side of the entry and a target on the winning side."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from numbers import Real

import numpy as np
import pandas as pd
import talib

from dashtrade.errors import BadBars, InvalidInput
from dashtrade.patterns.pivots import numbers_of

REWARDS = (1.0, 2.0, 3.0)
"""Targets when none are given: so many times the risk."""


@dataclass(frozen=True, slots=True)
class Target:
    price: float
    reward_to_risk: float


@dataclass(frozen=True, slots=True)
class RiskPlan:
    """A trade that risks a stated share of the account. ``side`` is 1 (long) or −1 (short); money in account
    currency."""

    side: int
    entry: float
    stop: float
    targets: tuple[Target, ...]
    risk_per_share: float
    shares: int
    limited_by: str
    """``risk`` or ``buying power``: what kept the number of shares from being larger."""
    money_at_risk: float
    cost: float
    stop_reason: str

    @property
    def sentence(self) -> str:
        way = "Buy" if self.side > 0 else "Sell short"
        goals = ", ".join(f"{t.price:,.6g} ({t.reward_to_risk:.1f} times the risk)" for t in self.targets)
        if self.shares == 0:
            return f"{way}: no share fits; one risks {self.risk_per_share:,.2f}. Risk more or use a nearer stop."
        return (
            f"{way} {self.shares:,} at {self.entry:,.6g}, stop {self.stop:,.6g} ({self.stop_reason}), targets {goals}; "
            f"{self.money_at_risk:,.2f} at risk, limited by {self.limited_by}."
        )


def _side(side: int | str) -> int:
    known = {1: 1, -1: -1, "long": 1, "short": -1, "buy": 1, "sell": -1, "BUY": 1, "SELL": -1}
    if not isinstance(side, int | str) or side not in known:
        raise InvalidInput("side", f"{side!r} is not a side.", allowed=("long", "short"))
    return known[side]


def _number(value: object) -> float:
    """``value`` as a float, NaN for what is no number; money may come as Decimal."""
    return float(value) if isinstance(value, Real | Decimal) and not isinstance(value, bool) else math.nan


def _positive(field: str, value: float | Decimal) -> float:
    number = _number(value)
    if not (math.isfinite(number) and number > 0):
        raise InvalidInput(field, f"{value!r} is not allowed; use a number above 0.")
    return number


def plan_trade(
    entry: float,
    stop: float,
    balance: float | Decimal,
    risk_percent: float = 1.0,
    side: int | str = "long",
    targets: Sequence[float] = (),
    buying_power: float | Decimal | None = None,
    stop_reason: str = "given",
) -> RiskPlan:
    """Shares = floor(balance · risk % / |entry − stop|), within what buying power pays for.

    ``targets`` are prices; 1, 2 and 3 times the risk when left out. ``buying_power`` is the balance when left out.
    Raises InvalidInput when the stop or a target lies on the wrong side of the entry, or a number is out of range.
    """
    way = _side(side)
    entry, stop, balance = _positive("entry", entry), _positive("stop", stop), _positive("balance", balance)
    share = _number(risk_percent) / 100.0
    if not 0 < share <= 1:
        raise InvalidInput("risk_percent", f"{risk_percent!r} is not allowed; use more than 0 and at most 100.")
    risk = way * (entry - stop)
    if not risk > 0:
        raise InvalidInput("stop", f"{stop:g} must lie {'below' if way > 0 else 'above'} the entry at {entry:g}.")
    power = balance if buying_power is None else _positive("buying_power", buying_power)
    chosen: list[Target] = []
    for k, price in enumerate(targets or [entry + way * r * risk for r in REWARDS]):
        reward = way * (float(price) - entry)
        if not reward > 0:
            raise InvalidInput(
                "targets", f"{price:g} must lie {'above' if way > 0 else 'below'} the entry at {entry:g}."
            )
        if price > 0:  # three times the risk of a short can lie below zero
            chosen.append(Target(float(price), REWARDS[k] if not targets else reward / risk))
    by_risk = math.floor(balance * share / risk + 1e-9)
    by_power = math.floor(power / entry + 1e-9)
    shares = max(0, min(by_risk, by_power))
    return RiskPlan(
        *(way, entry, stop, tuple(chosen), risk, shares, "risk" if by_risk <= by_power else "buying power"),
        *(shares * risk, shares * entry, stop_reason),
    )


def stop_price(
    bars: pd.DataFrame,
    side: int | str = "long",
    method: str = "atr",
    factor: float = 2.0,
    percent: float = 5.0,
    level: float | None = None,
) -> tuple[float, str]:
    """A stop for an entry at the last close, and why it stands there.

    ``method``: ``atr`` (``factor`` average ranges of 14 bars away), ``percent``, or ``level`` (half an average range
    beyond ``level``). Raises InvalidInput and BadBars.
    """
    way = _side(side)
    if method not in ("atr", "percent", "level"):
        raise InvalidInput("method", f"{method!r} is not a way to set a stop.", allowed=("atr", "percent", "level"))
    numbers_of(bars.iloc[-1000:] if isinstance(bars, pd.DataFrame) else bars, ("high", "low", "close"))
    tail = bars[["high", "low", "close"]].iloc[-1000:].dropna()
    if tail.empty:
        raise BadBars("There are no bars to set a stop from.")
    entry = float(tail["close"].iloc[-1])
    if method == "percent":
        if not 0 < percent < 100:
            raise InvalidInput("percent", f"{percent!r} is not allowed; use more than 0 and less than 100.")
        return entry * (1 - way * percent / 100.0), f"{percent:g} % away"
    if len(tail) < 15:
        raise BadBars(f"A stop by average range needs 15 bars; there are {len(tail)}.")
    high, low, close = (np.ascontiguousarray(tail[c].to_numpy(dtype=np.float64)) for c in ("high", "low", "close"))
    reach = float(talib.ATR(high, low, close, 14)[-1])
    if method == "level":
        if level is None:
            raise InvalidInput("level", "a stop by level needs a price.")
        stop = float(level) - way * 0.5 * reach
        if not way * (entry - stop) > 0:
            raise InvalidInput("level", f"{level:g} is on the wrong side of the price, {entry:g}.")
        return stop, f"half an average range beyond the level at {level:,.6g}"
    return entry - way * _positive("factor", factor) * reach, f"{factor:g} average ranges away"
