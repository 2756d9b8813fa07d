"""Alpaca's trading API through its official client: the only module that imports the trading client.

The client as it comes repeats an order up to three times on 429 and 504 and never times out. Here it asks once, within
bounds, and every way a request can end is one of three: an answer, a definite no (OrderRefused), or not known
(OutcomeUnknown for what changes something, BrokerUnavailable for a question).

429 counts as "not known" although the broker then did nothing: a refusal would end the order for good, while "not
known" makes the caller ask by client order id and send the same order again, which is what a busy broker needs.
"""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any, TypeVar

from alpaca.common.exceptions import APIError
from alpaca.trading.client import TradingClient
from requests.exceptions import ConnectTimeout, RequestException, Timeout

from dashtrade.brokers import MODES
from dashtrade.brokers import alpaca_parse as parse
from dashtrade.brokers.alpaca_request import Answer, MarketClock, json_object, market_clock, order_fields, seconds
from dashtrade.brokers.alpaca_session import BoundedSession
from dashtrade.brokers.alpaca_stream import AlpacaStream, OnGap, OnUpdate
from dashtrade.brokers.rate_limit import Priority, budget_for
from dashtrade.brokers.refusals import classify
from dashtrade.domain.bots import AccountMode
from dashtrade.domain.orders import (
    AccountActivity,
    BrokerAccount,
    BrokerOrder,
    BrokerPosition,
    Execution,
    OrderRequest,
    Refusal,
)
from dashtrade.errors import BrokerError, BrokerUnavailable, ConfigurationError, OrderRefused, OutcomeUnknown

logger = logging.getLogger(__name__)
T = TypeVar("T")
PAGE = 100
MAX_PAGES = 500
QUESTION_SECONDS = 3.0


class AlpacaBroker:
    """The Broker port over Alpaca's client. Thread-safe; close it when done.

    Raises ConfigurationError for keys that belong to another mode. ``url_override`` is the address of a server that
    speaks the same protocol; the simulated mode needs it.
    """

    def __init__(
        self,
        key: str,
        secret: str,
        *,
        mode: AccountMode | str = AccountMode.PAPER,
        url_override: str | None = None,
        connect_timeout: float = 3.0,
        read_timeout: float = 8.0,
        total_timeout: float = 20.0,
        requests_per_minute: int | None = None,
        turn_timeout: float = 30.0,
    ) -> None:
        self.mode = AccountMode(mode)
        spec = MODES[self.mode]
        spec.check_key(key)
        if self.mode is AccountMode.SIMULATED and not url_override:
            raise ConfigurationError("The simulated account needs the simulator's address.")
        self._key, self._secret = key, secret
        self._url = (url_override or "").rstrip("/") or None
        # raw answers: the client's models refuse words that are newer than the client
        self._client = TradingClient(
            key, secret, paper=self.mode is not AccountMode.LIVE, raw_data=True, url_override=self._url
        )
        self._client._retry = 0
        self._client._retry_codes = []
        # a loopback address must not go through a proxy that the environment names
        self._session = BoundedSession(
            connect_timeout, read_timeout, total_timeout, trust_env=self.mode is not AccountMode.SIMULATED
        )
        self._client._session = self._session
        self._budget = budget_for(key, requests_per_minute or spec.requests_per_minute)
        self._turn_timeout = turn_timeout
        self._client_ids: OrderedDict[str, str] = OrderedDict()
        self._stream: AlpacaStream | None = None
        self._verified = self.mode is not AccountMode.LIVE

    def __repr__(self) -> str:
        return f"AlpacaBroker(mode={self.mode.value!r}, key='{self._key[:4]}…')"

    def close(self) -> None:
        """End the stream and the connections."""
        if self._stream is not None:
            self._stream.stop()
        self._session.close()

    # what changes something

    def submit(self, request: OrderRequest) -> BrokerOrder:
        """Place an order, once. The client order id makes a repeated send harmless.

        Raises OrderRefused (nothing was placed) or OutcomeUnknown (ask by client order id).
        """
        if not request.client_order_id:
            raise OrderRefused("a client order id is needed", kind=Refusal.INVALID_ORDER)
        if not self._verified:
            self._verify_live()
        priority = Priority.EXIT if request.is_exit else Priority.ENTRY
        stream = self._stream
        if stream is not None:
            # before sending: the event may come before the answer
            stream.expect(request.client_order_id)
        try:
            answer = self._ask(lambda: self._client.post("/orders", order_fields(request)), priority)
            placed = self._changed(answer, parse.order)
            if placed.client_order_id != request.client_order_id:
                raise OutcomeUnknown("The broker answered with another order than the one that was sent.")
        except BrokerError:
            if stream is not None:
                stream.forget(request.client_order_id)
            raise
        self._remember(placed)
        return placed

    def entry_turn(self) -> float:
        """Seconds until the budget of requests has room for an entry; 0 where it has now."""
        return self._budget.wait(Priority.ENTRY)

    def cancel(self, broker_order_id: str) -> None:
        """Ask to cancel. OrderRefused of kind ALREADY_ENDED or ORDER_NOT_FOUND says that there is nothing to do."""
        answer = self._ask(lambda: self._client.delete(f"/orders/{broker_order_id}"), Priority.EXIT)
        self._changed(answer, lambda payload: None)

    # questions

    def order_by_client_id(self, client_order_id: str) -> BrokerOrder | None:
        """None only where the broker itself says that it has no such order."""
        answer = self._ask(lambda: self._client.get_order_by_client_id(client_order_id), Priority.RECONCILE)
        return self._found(answer)

    def order(self, broker_order_id: str) -> BrokerOrder | None:
        """An order by the broker's id; None as above."""
        answer = self._ask(lambda: self._client.get(f"/orders/{broker_order_id}"), Priority.RECONCILE)
        return self._found(answer)

    def legs(self, broker_order_id: str) -> list[BrokerOrder]:
        """The stop loss and take profit of an entry; they have ids of the broker's own, and only this names them."""
        answer = self._ask(
            lambda: self._client.get(f"/orders/{broker_order_id}", {"nested": "true"}), Priority.RECONCILE
        )
        found = self._found(answer)
        return [] if found is None else list(found.legs)

    def open_orders(self) -> list[BrokerOrder]:
        return self._orders({"status": "open"})

    def orders_since(self, after: datetime) -> list[BrokerOrder]:
        """Every order submitted after a time, ended ones too, oldest first."""
        return self._orders({"status": "all"}, after)

    def positions(self) -> list[BrokerPosition]:
        """Raises BrokerUnavailable when they cannot be read: that is not "no positions"."""
        answer = self._ask(lambda: self._client.get("/positions"), Priority.RECONCILE)
        return self._read(answer, parse.positions)

    def account(self) -> BrokerAccount:
        answer = self._ask(lambda: self._client.get("/account"), Priority.RECONCILE)
        self._check_live(answer.payload)
        return self._read(answer, parse.account)

    def clock(self) -> MarketClock:
        """Whether the market is open, by the broker's own clock."""
        answer = self._ask(lambda: self._client.get("/clock"), Priority.RECONCILE)
        return self._read(answer, market_clock)

    def executions(self, after: datetime | None = None) -> list[Execution]:
        """Every fill after a time, oldest first.

        An activity does not name the client order id; it is looked up once for each order and remembered. Fills can
        be booked late with an earlier time, so ask again from a little before the last one and drop those already
        known.
        """
        query: dict[str, Any] = {} if after is None else {"after": after.isoformat()}
        found = self._activities("/account/activities/FILL", query)
        result: list[Execution] = []
        for item in found:
            result.append(self._read(Answer(payload=item, status=200), self._fill))
        return sorted(result, key=lambda fill: fill.time)

    def activities(self, after: datetime) -> list[AccountActivity]:
        """What the broker booked beside trades from the day of ``after`` on: money in and out, fees, splits."""
        query = {"after": after.date().isoformat(), "category": "non_trade_activity"}
        found = self._activities("/account/activities", query)
        return [self._read(Answer(payload=item, status=200), parse.activity) for item in found]

    def _activities(self, path: str, query: Mapping[str, Any]) -> list[Mapping[str, Any]]:
        """All pages, oldest first, each activity once."""
        wanted: dict[str, Any] = {**query, "direction": "asc", "page_size": PAGE}
        found: dict[str, Mapping[str, Any]] = {}
        for _ in range(MAX_PAGES):
            page_query = dict(wanted)
            answer = self._ask(lambda q=page_query: self._client.get(path, q), Priority.RECONCILE)  # type: ignore[misc]
            page = self._read(answer, lambda raw: parse.objects(raw, "activities"))
            new = {str(item.get("id")): item for item in page if str(item.get("id")) not in found}
            found |= new
            if len(page) < PAGE or not new:
                break
            wanted["page_token"] = str(page[-1].get("id"))
        return list(found.values())

    def stream(self, on_update: OnUpdate, on_gap: OnGap, **options: Any) -> AlpacaStream:
        """Follow the account's orders in a thread of its own until ``stop()``.

        ``on_update(OrderUpdate)`` for each event, in order; ``on_gap(StreamGap)`` whenever something may have been
        missed: reconcile then.
        """
        if self._stream is not None:
            self._stream.stop()
        url = None if self._url is None else "ws" + self._url.removeprefix("http") + "/stream"
        self._stream = AlpacaStream(
            self._key,
            self._secret,
            paper=self.mode is not AccountMode.LIVE,
            url=url,
            on_update=on_update,
            on_gap=on_gap,
            **options,
        )
        self._stream.start()
        return self._stream

    # inside

    def _ask(self, call: Callable[[], Any], priority: Priority) -> Answer:
        """One request. Exceptions end here: theirs carry the request, and with it the secret."""
        # a question gives up soon: whoever asks it has exits to send, too
        patience = min(self._turn_timeout, QUESTION_SECONDS) if priority is Priority.RECONCILE else self._turn_timeout
        if not self._budget.acquire(priority, patience):
            return Answer(failure="the budget of requests per minute is used up; nothing was sent")
        try:
            return Answer(payload=call(), status=200)
        except APIError as error:
            response = error.response
            status = error.status_code
            answer = Answer(
                status=status,
                body=json_object(str(error)),
                failure=f"the broker answered {status}",
                retry_after=seconds(None if response is None else response.headers.get("retry-after")),
            )
        except ConnectTimeout:
            answer = Answer(failure="no connection to the broker in time")
        except Timeout:
            answer = Answer(failure="the broker did not answer in time")
        except RequestException as error:
            unreadable = isinstance(error, ValueError)
            answer = Answer(
                failure="the broker's answer is not JSON" if unreadable else "the connection to the broker broke"
            )
        except (ValueError, RecursionError):
            answer = Answer(failure="the broker's answer cannot be read")
        if answer.status == 429:
            self._budget.pause(min(answer.retry_after or 2.0, 30.0))
        return answer

    def _changed(self, answer: Answer, read: Callable[[Any], T]) -> T:
        """The result of something that changes the account: read, refused, or not known."""
        if answer.status == 200:
            try:
                return read(answer.payload)
            except parse.Unreadable as error:
                problem = str(error)
            raise OutcomeUnknown(f"The broker's answer cannot be read ({problem}). Ask it by client order id.")
        if answer.refused:
            raise self._refusal(answer)
        raise OutcomeUnknown(
            f"It is not known whether the broker took this: {answer.failure}. Ask it by client order id.",
            answer.retry_after,
        )

    def _read(self, answer: Answer, read: Callable[[Any], T]) -> T:
        """The result of a question."""
        if answer.status == 200:
            try:
                return read(answer.payload)
            except parse.Unreadable as error:
                problem = str(error)
            raise BrokerUnavailable(f"The broker's answer cannot be read ({problem}). Ask again later.")
        if answer.refused and answer.status in {401, 403}:
            raise BrokerError(f"The broker refused the keys: {answer.message}. Enter the account's keys again.")
        detail = answer.message or answer.failure
        raise BrokerUnavailable(f"The broker could not be asked: {detail}. Ask again later.", answer.retry_after)

    def _found(self, answer: Answer) -> BrokerOrder | None:
        if answer.status == 404 and answer.code == 40410000:
            return None
        order = self._read(answer, parse.order)
        self._remember(order)
        return order

    def _refusal(self, answer: Answer) -> OrderRefused:
        body = answer.body or {}
        kind = classify(answer.status or 0, answer.code, answer.message, body.get("held_for_orders"))
        related = body.get("existing_order_id") or next(iter(body.get("related_orders") or []), None)
        return OrderRefused(answer.message, answer.code, kind, None if related is None else str(related))

    def _orders(self, query: Mapping[str, Any], after: datetime | None = None) -> list[BrokerOrder]:
        """All pages, oldest first. Pages overlap a little, since the broker's ``after`` leaves out equal times."""
        found: dict[str, BrokerOrder] = {}
        for _ in range(MAX_PAGES):
            page_query = {**query, "limit": 500, "direction": "asc", "nested": "false"}
            if after is not None:
                page_query["after"] = after.isoformat()
            answer = self._ask(lambda q=page_query: self._client.get("/orders", q), Priority.RECONCILE)  # type: ignore[misc]
            page = self._read(answer, parse.orders)
            new = {order.broker_order_id: order for order in page if order.broker_order_id not in found}
            found |= new
            last = page[-1].submitted_at if page else None
            if len(page) < 500 or not new or last is None:
                break
            after = last - timedelta(microseconds=1)
        for order in found.values():
            self._remember(order)
        return list(found.values())

    def _fill(self, item: Mapping[str, Any]) -> Execution:
        order_id = str(item.get("order_id"))
        if order_id not in self._client_ids:
            order = self.order(order_id)
            if order is None:
                self._client_ids[order_id] = ""
        return parse.fill(item, self._client_ids.get(order_id, ""))

    def _remember(self, order: BrokerOrder) -> None:
        self._client_ids[order.broker_order_id] = order.client_order_id
        for leg in order.legs:
            self._client_ids[leg.broker_order_id] = leg.client_order_id
        while len(self._client_ids) > 20_000:
            self._client_ids.popitem(last=False)

    def _verify_live(self) -> None:
        """Before the first live order: is this really a live account? Nothing is sent while that is not known."""
        answer = self._ask(lambda: self._client.get("/account"), Priority.ENTRY)
        if answer.status != 200:
            raise OutcomeUnknown("The account could not be checked before the first live order; nothing was sent.")
        try:
            self._check_live(answer.payload)
        except ConfigurationError as error:
            problem = str(error)
        else:
            return
        raise OrderRefused(problem, kind=Refusal.UNAUTHORIZED)

    def _check_live(self, payload: Any) -> None:
        if self.mode is AccountMode.LIVE and isinstance(payload, Mapping):
            if str(payload.get("account_number") or "").startswith("PA"):
                raise ConfigurationError(
                    "This is a paper account, but the mode is live. Enter the live account's keys."
                )
            self._verified = True
