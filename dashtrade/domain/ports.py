"""Protocols that the outside world implements; bootstrap.py is where they meet their implementations."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from dashtrade.domain.market import (
    CorporateAction,
    Fundamentals,
    HistoryRequest,
    NewsItem,
    Quote,
    Session,
    SymbolMatch,
)
from dashtrade.domain.orders import (
    AccountActivity,
    BrokerAccount,
    BrokerOrder,
    BrokerPosition,
    Execution,
    OrderRequest,
)

if TYPE_CHECKING:
    import pandas as pd


class Clock(Protocol):
    def now(self) -> datetime:
        """UTC, with a zone."""


class PriceSource(Protocol):
    """One source of market data. Every failure is a SourceError subclass; an empty frame is never returned."""

    key: str
    label: str

    def history(self, request: HistoryRequest) -> pd.DataFrame: ...

    def latest(self, symbols: Sequence[str]) -> dict[str, Quote]: ...

    def search(self, text: str) -> list[SymbolMatch]: ...

    def news(self, symbol: str) -> list[NewsItem]: ...


@runtime_checkable
class CompanyFacts(Protocol):
    """A source that also knows what a symbol is, and its dividends and splits."""

    def actions(self, symbol: str) -> list[CorporateAction]:
        """Dividends and splits, oldest first."""

    def fundamentals(self, symbol: str) -> Fundamentals: ...


class PriceStream(Protocol):
    """A source that sends trades by itself. No method waits for the network."""

    def follow(self, symbols: Sequence[str]) -> None:
        """The symbols to hear of from now on, in place of those before."""

    def take(self) -> list[Quote]:
        """The newest price of each symbol that traded since the last call."""

    def alive(self, symbol: str) -> bool:
        """Whether the symbol's trades arrive; False while connecting and on a silent connection."""

    def close(self) -> None: ...


class CallBudget(Protocol):
    """Counts calls to a source that allows only so many a day, for all processes together."""

    def take(self, source: str) -> None:
        """Use one call; raises BudgetUsedUp where none is left."""

    def used_up(self, source: str) -> float:
        """Note that the source itself says so; returns the seconds until new calls may be made."""


class TradingHours(Protocol):
    """When a symbol's exchange trades; crypto always does. Times are UTC."""

    def is_open(self, symbol: str, at: datetime) -> bool: ...

    def next_open(self, symbol: str, at: datetime) -> datetime:
        """The first opening after ``at``; for a market that never closes, ``at`` itself."""

    def next_close(self, symbol: str, at: datetime) -> datetime | None:
        """The first close after ``at``; None for a market that never closes."""

    def session(self, symbol: str, at: datetime) -> Session | None:
        """The session that is open at ``at``; None while closed."""


class Broker(Protocol):
    """A trading account. Raises OrderRefused for a definite no and OutcomeUnknown where the order may have landed."""

    def submit(self, request: OrderRequest) -> BrokerOrder: ...

    def entry_turn(self) -> float:
        """Seconds until the budget of requests has room for an entry; 0 where it has now."""

    def order_by_client_id(self, client_order_id: str) -> BrokerOrder | None:
        """None only where the broker says it has no such order."""

    def cancel(self, broker_order_id: str) -> None: ...

    def order(self, broker_order_id: str) -> BrokerOrder | None:
        """By the broker's own id; None as above."""

    def legs(self, broker_order_id: str) -> list[BrokerOrder]:
        """The closing orders that were placed with an entry."""

    def open_orders(self) -> list[BrokerOrder]: ...

    def positions(self) -> list[BrokerPosition]: ...

    def account(self) -> BrokerAccount: ...

    def executions(self, after: datetime | None = None) -> list[Execution]: ...

    def activities(self, after: datetime) -> list[AccountActivity]:
        """What was booked beside trades."""


class Channel(Protocol):
    """A way to notify a person."""

    def send(self, title: str, body: str) -> None: ...
