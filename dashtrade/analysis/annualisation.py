"""How many bars a year has: from the exchange's calendar, or the whole year for what trades round the clock."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta

import pandas as pd

from dashtrade.domain.market import Interval, parse_interval

SESSIONS, MINUTES = 252, 390
"""Sessions of a year and minutes of a session of the New York Stock Exchange."""
_CRYPTO = ("BTC", "ETH", "LTC", "XRP", "SOL", "ADA", "DOGE", "BNB")


@dataclass(frozen=True, slots=True)
class Annualisation:
    """``factor`` bars a year, and the sentence that says why."""

    factor: float
    basis: str


def annualisation(symbols: Iterable[str], bars: pd.DataFrame) -> Annualisation:
    """252 sessions of 390 minutes for shares; 365 days for cryptocurrency; 260 days of 24 hours for currency pairs."""
    interval = interval_of(bars)
    names = list(symbols)
    if names and all(_is_crypto(s) for s in names):
        days, minutes, what = 365, 1440, "365 days of 24 hours (cryptocurrency)"
    elif names and all(s.endswith("=X") for s in names):
        days, minutes, what = 260, 1440, "260 days of 24 hours (currencies)"
    else:
        days, minutes, what = SESSIONS, MINUTES, f"{SESSIONS} sessions of {MINUTES} minutes (NYSE calendar)"
    if interval is None:
        return Annualisation(float(days), f"{what}; the interval is not known, bars counted as days")
    if interval.intraday:
        per_day = max(minutes / (interval.length / timedelta(minutes=1)), 1.0)
        return Annualisation(days * per_day, f"{what}, {interval.value} bars")
    fixed = {Interval.D1: days, Interval.D5: days / 5, Interval.W1: 52, Interval.MO1: 12, Interval.MO3: 4}
    return Annualisation(float(fixed[interval]), f"{what}, {interval.value} bars")


def interval_of(bars: pd.DataFrame) -> Interval | None:
    """The stated interval, else the one nearest to the median step between bars."""
    stated = bars.attrs.get("interval")
    if stated:
        return parse_interval(str(stated))
    if not isinstance(bars.index, pd.DatetimeIndex) or len(bars) < 3:
        return None
    step = pd.Series(bars.index).diff().median()
    exact = [i for i in Interval if i.length == step]
    if exact:
        return exact[0]
    if timedelta(days=27) <= step <= timedelta(days=32):
        return Interval.MO1
    return None


def _is_crypto(symbol: str) -> bool:
    base = symbol.replace("/", "-").split("-")[0]
    return base in _CRYPTO or ("-" in symbol.replace("/", "-") and symbol.endswith(("USD", "USDT", "EUR", "BTC")))
