"""Trading sessions of exchanges: is it open, when next, half days. Crypto trades around the clock.

The calendars come from exchange_calendars, which is imported on first use: it brings pandas along.
"""

from __future__ import annotations

import re
import warnings
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

import numpy as np

from dashtrade.domain.market import Session
from dashtrade.errors import NoDataInRange

ALWAYS = "24/7"
_FIRST = "1990-01-01"

# A ticker's ending, as Yahoo writes it, and the exchange's calendar. Without an ending: New York.
_ENDINGS = {
    "AS": "XAMS", "AX": "XASX", "BR": "XBRU", "CO": "XCSE", "DE": "XETR", "F": "XFRA", "HE": "XHEL", "HK": "XHKG",
    "IR": "XDUB", "JK": "XIDX", "JO": "XJSE", "KL": "XKLS", "KS": "XKRX", "KQ": "XKRX", "L": "XLON", "LS": "XLIS",
    "MC": "XMAD", "MI": "XMIL", "MX": "XMEX", "NS": "XBOM", "BO": "XBOM", "NZ": "XNZE", "OL": "XOSL", "PA": "XPAR",
    "PR": "XPRA", "SA": "BVMF", "SI": "XSES", "SS": "XSHG", "SZ": "XSHG", "ST": "XSTO", "SW": "XSWX", "T": "XTKS",
    "TA": "XTAE", "TO": "XTSE", "V": "XTSE", "TW": "XTAI", "VI": "XWBO", "WA": "XWAR", "BK": "XBKK", "IS": "XIST",
}  # fmt: skip
_CRYPTO = re.compile(r"[-/](USD|USDT|USDC|EUR|GBP|JPY|BTC|ETH)$")


def calendar_name(symbol: str) -> str:
    """The calendar a ticker trades by: ``24/7`` for crypto, ``24/5`` for currencies, else its exchange's."""
    if _CRYPTO.search(symbol):
        return ALWAYS
    if symbol.endswith("=X"):
        return "24/5"
    if symbol.endswith("=F"):
        return "us_futures"
    ending = symbol.rsplit(".", 1)[1] if "." in symbol else ""
    return _ENDINGS.get(ending, "XNYS")


@lru_cache(maxsize=32)
def calendar(name: str) -> Any:
    """The exchange_calendars calendar, from 1990 (or its own beginning) to a year from now."""
    import exchange_calendars
    from exchange_calendars.errors import CalendarError

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", category=DeprecationWarning)
        try:
            return exchange_calendars.get_calendar(name, start=_FIRST)
        except (CalendarError, ValueError):
            # Some exchanges' records start later than 1990.
            return exchange_calendars.get_calendar(name)


class Edges:
    """Openings and closings (int64 nanoseconds UTC) of one calendar's sessions, sorted.

    ``breaks`` are the begin and end of each session's lunch break (the same number twice where there is none). With
    them ``part_opens`` and ``part_closes`` are the mornings and afternoons, else the sessions themselves.
    """

    def __init__(
        self,
        opens: np.ndarray,
        closes: np.ndarray,
        days: np.ndarray,
        early: np.ndarray,
        breaks: tuple[np.ndarray, np.ndarray] | None = None,
    ) -> None:
        self.opens = opens
        self.closes = closes
        self.days = days
        self.early = early
        self.part_opens, self.part_closes = opens, closes
        if breaks is not None:
            begin, end = breaks
            split = begin < end
            self.part_opens = np.sort(np.concatenate((opens, end[split])))
            self.part_closes = np.sort(np.concatenate((begin[split], closes)))

    def edges(self, first: int, last: int) -> tuple[np.ndarray, np.ndarray]:
        """Where longer bars begin and end: a bar runs neither past a close nor over lunch."""
        return self.part_opens, self.part_closes


class LazyEdges:
    """A calendar's edges, loaded when they are first needed: daily bars never need them."""

    def __init__(self, name: str) -> None:
        self._name = name

    def edges(self, first: int, last: int) -> tuple[np.ndarray, np.ndarray]:
        return edges(self._name).edges(first, last)


@lru_cache(maxsize=32)
def edges(name: str) -> Edges:
    """All sessions of a calendar as arrays. ``24/5`` and ``24/7`` days are sessions of 24 hours."""
    chosen = calendar(name)
    opens = chosen.opens.dt.as_unit("ns").astype("int64").to_numpy()
    closes = chosen.closes.dt.as_unit("ns").astype("int64").to_numpy()
    days = chosen.sessions.to_numpy().astype("datetime64[D]")
    early = np.isin(days, chosen.early_closes.to_numpy().astype("datetime64[D]"))
    begin, end = chosen.break_starts, chosen.break_ends
    if not begin.notna().any():
        return Edges(opens, closes, days, early)
    # A day without a break, such as a half day, has one of no length.
    starts, ends = (
        np.where(found.notna(), found.fillna(chosen.opens).dt.as_unit("ns").astype("int64"), opens)
        for found in (begin, end)
    )
    return Edges(opens, closes, days, early, (starts, ends))


def _moment(nanoseconds: int) -> datetime:
    return datetime.fromtimestamp(nanoseconds / 1e9, UTC)


class ExchangeHours:
    """Regular trading hours by exchange calendar. Implements the TradingHours port."""

    def edges(self, symbol: str) -> Edges:
        return edges(calendar_name(symbol))

    def is_open(self, symbol: str, at: datetime) -> bool:
        return self.session(symbol, at) is not None

    def session(self, symbol: str, at: datetime) -> Session | None:
        """The session open at ``at`` (the close itself is closed, and so is a lunch break)."""
        found = self.edges(symbol)
        when = _nanoseconds(at)
        part = int(np.searchsorted(found.part_closes, when, side="right"))
        if part == len(found.part_closes) or found.part_opens[part] > when:
            return None
        i = int(np.searchsorted(found.closes, when, side="right"))
        if i == len(found.closes) or found.opens[i] > when:
            return None
        return _session(found, i)

    def next_open(self, symbol: str, at: datetime) -> datetime:
        if calendar_name(symbol) == ALWAYS:
            return at.astimezone(UTC)
        found = self.edges(symbol)
        i = int(np.searchsorted(found.part_opens, _nanoseconds(at), side="right"))
        if i == len(found.part_opens):
            raise NoDataInRange(
                "calendar", f"The calendar {calendar_name(symbol)} does not reach past {found.days[-1]}."
            )
        return _moment(int(found.part_opens[i]))

    def next_close(self, symbol: str, at: datetime) -> datetime | None:
        if calendar_name(symbol) == ALWAYS:
            return None
        found = self.edges(symbol)
        i = int(np.searchsorted(found.part_closes, _nanoseconds(at), side="right"))
        if i == len(found.part_closes):
            raise NoDataInRange(
                "calendar", f"The calendar {calendar_name(symbol)} does not reach past {found.days[-1]}."
            )
        return _moment(int(found.part_closes[i]))

    def sessions(self, symbol: str, start: datetime, end: datetime) -> list[Session]:
        """Sessions that open in ``start`` ≤ time < ``end``."""
        found = self.edges(symbol)
        first = int(np.searchsorted(found.opens, _nanoseconds(start), side="left"))
        last = int(np.searchsorted(found.opens, _nanoseconds(end), side="left"))
        return [_session(found, i) for i in range(first, last)]


def _nanoseconds(at: datetime) -> int:
    if at.tzinfo is None:
        raise ValueError("a time needs a zone; use UTC")
    return round(at.timestamp() * 1e6) * 1000


def _session(found: Edges, i: int) -> Session:
    day = found.days[i].astype(object)
    return Session(day, _moment(int(found.opens[i])), _moment(int(found.closes[i])), bool(found.early[i]))
