"""An order as a client sends it, read and checked without looking at the account."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Any
from uuid import uuid4

from dashtrade.brokers.simulator.refusals import invalid, malformed

TYPES = ("market", "limit", "stop", "stop_limit", "trailing_stop")
TIMES_IN_FORCE = ("day", "gtc", "ioc", "fok")
CLASSES = ("simple", "bracket", "oco", "oto")
_TICKER = re.compile(r"^[A-Z0-9][A-Z0-9.\-/=^]{0,19}$")


@dataclass(frozen=True, slots=True)
class Draft:
    """A well-formed order. Exactly one of ``qty`` and ``notional`` is set."""

    symbol: str
    side: str
    type: str
    time_in_force: str
    order_class: str
    client_order_id: str
    qty: Decimal | None
    notional: Decimal | None
    limit_price: Decimal | None
    stop_price: Decimal | None
    trail_price: Decimal | None
    trail_percent: Decimal | None
    extended_hours: bool
    take_profit: Decimal | None
    stop_loss: Decimal | None
    stop_loss_limit: Decimal | None

    @property
    def fractional(self) -> bool:
        return self.notional is not None or (self.qty is not None and self.qty != self.qty.to_integral_value())


def read(body: Mapping[str, Any]) -> Draft:
    """Raises Refused with Alpaca's number and text for the first thing that is wrong."""
    symbol = str(body.get("symbol") or "").upper()
    if not symbol:
        raise malformed("symbol is required")
    side = _choice(body, "side", ("buy", "sell"))
    kind = _choice(body, "type", TYPES)
    time_in_force = _choice(body, "time_in_force", TIMES_IN_FORCE)
    order_class = str(body.get("order_class") or "simple")
    if order_class not in CLASSES:
        raise malformed(f"invalid order_class: {order_class}")
    qty, notional = number(body, "qty"), number(body, "notional")
    if (qty is None) == (notional is None):
        raise malformed("qty or notional is required" if qty is None else "only one of qty or notional is accepted")
    for name, amount in (("qty", qty), ("notional", notional)):
        if amount is not None and amount <= 0:
            raise malformed(f"{name} must be > 0")
    take_profit = _nested(body, "take_profit")
    stop_loss = _nested(body, "stop_loss")
    draft = Draft(
        symbol=symbol,
        side=side,
        type=kind,
        time_in_force=time_in_force,
        order_class=order_class,
        client_order_id=str(body.get("client_order_id") or uuid4()),
        qty=qty,
        notional=notional,
        limit_price=number(body, "limit_price"),
        stop_price=number(body, "stop_price"),
        trail_price=number(body, "trail_price"),
        trail_percent=number(body, "trail_percent"),
        extended_hours=body.get("extended_hours") in (True, "true"),
        take_profit=number(take_profit, "limit_price", "take_profit.limit_price"),
        stop_loss=number(stop_loss, "stop_price", "stop_loss.stop_price"),
        stop_loss_limit=number(stop_loss, "limit_price", "stop_loss.limit_price"),
    )
    _check(draft)
    return draft


def well_formed(symbol: str) -> bool:
    return _TICKER.fullmatch(symbol) is not None


def check_price(name: str, price: Decimal) -> None:
    """At most two decimals from a dollar up, four below."""
    if price <= 0:
        raise invalid(f"{name} must be > 0")
    places = 2 if price >= 1 else 4
    if price != price.quantize(Decimal(1).scaleb(-places)):
        raise invalid(f"invalid {name} {plain(price)}. sub-penny increment does not fulfill minimum pricing criteria")


def plain(value: Decimal) -> str:
    """Digits without exponent or trailing zeros."""
    text = format(value, "f")
    return text.rstrip("0").rstrip(".") if "." in text else text


def number(body: Mapping[str, Any], name: str, label: str | None = None) -> Decimal | None:
    raw = body.get(name)
    if raw is None or raw == "":
        return None
    if isinstance(raw, bool):
        raise malformed(f"{label or name} is not a number")
    try:
        value = Decimal(str(raw))
    except InvalidOperation:
        raise malformed(f"{label or name} is not a number") from None
    if not value.is_finite() or abs(value) >= Decimal(10) ** 9:
        raise malformed(f"{label or name} is out of range")
    return value.quantize(Decimal("0.000000001")) if value.as_tuple().exponent < -9 else value  # type: ignore[operator]


def _check(draft: Draft) -> None:
    if len(draft.client_order_id) > 128:
        raise malformed("client_order_id must be no more than 128 characters")
    _check_prices(draft)
    _check_class(draft)
    if draft.extended_hours and (draft.type != "limit" or draft.time_in_force != "day"):
        raise invalid("extended hours order must be DAY limit orders")
    if draft.fractional:
        if draft.time_in_force != "day":
            raise invalid("fractional orders must be DAY orders")
        if draft.order_class != "simple":
            raise invalid("fractional orders must be simple orders")
        if draft.notional is not None and draft.type != "market":
            raise invalid("notional orders must be market orders")
    if draft.type == "trailing_stop" and draft.time_in_force not in {"day", "gtc"}:
        raise invalid("trailing stop orders must be DAY or GTC")


def _check_prices(draft: Draft) -> None:
    wanted = {
        "limit": {"limit_price"},
        "stop": {"stop_price"},
        "stop_limit": {"limit_price", "stop_price"},
    }.get(draft.type, set())
    if draft.order_class == "oco":
        wanted = set()
    for name in ("limit_price", "stop_price"):
        price: Decimal | None = getattr(draft, name)
        if price is None and name in wanted:
            raise malformed(f"{draft.type} orders require {name.replace('_', ' ')}")
        if price is not None:
            if name not in wanted and draft.order_class != "oco":
                raise invalid(f"{draft.type} orders must not have {name.replace('_', ' ')}")
            check_price(name, price)
    if draft.type == "trailing_stop":
        if (draft.trail_price is None) == (draft.trail_percent is None):
            raise malformed("trailing stop orders must specify one of trail_price or trail_percent")
        trail = draft.trail_price or draft.trail_percent
        if trail is None or trail <= 0:
            raise malformed("trail must be > 0")
    elif draft.trail_price is not None or draft.trail_percent is not None:
        raise invalid(f"{draft.type} orders must not have trail price or trail percent")


def _check_class(draft: Draft) -> None:
    legs = (draft.take_profit, draft.stop_loss)
    if draft.order_class == "simple":
        if any(leg is not None for leg in legs):
            raise malformed("take_profit and stop_loss need an order_class of bracket, oco or oto")
        return
    if draft.time_in_force not in {"day", "gtc"}:
        raise invalid("complex orders must be DAY or GTC")
    if draft.order_class in {"bracket", "oco"} and None in legs:
        missing = "take_profit.limit_price" if draft.take_profit is None else "stop_loss.stop_price"
        raise malformed(f"{draft.order_class} orders require {missing}")
    if draft.order_class == "oto" and (draft.take_profit is None) == (draft.stop_loss is None):
        raise malformed("oto orders require one of take_profit or stop_loss")
    if draft.order_class == "oco" and draft.type != "limit":
        raise invalid("oco orders must be limit orders")
    for name, price in (
        ("take_profit.limit_price", draft.take_profit),
        ("stop_loss.stop_price", draft.stop_loss),
        ("stop_loss.limit_price", draft.stop_loss_limit),
    ):
        if price is not None:
            check_price(name, price)
    if draft.take_profit is not None and draft.stop_loss is not None:
        # the legs close: they sell after a buying entry; an oco order is itself the closing side
        closes_by_selling = (draft.side == "sell") == (draft.order_class == "oco")
        if closes_by_selling and draft.take_profit <= draft.stop_loss:
            raise invalid("take_profit.limit_price must be > stop_loss.stop_price")
        if not closes_by_selling and draft.take_profit >= draft.stop_loss:
            raise invalid("take_profit.limit_price must be < stop_loss.stop_price")


def _choice(body: Mapping[str, Any], name: str, allowed: tuple[str, ...]) -> str:
    value = body.get(name)
    if value in (None, ""):
        raise malformed(f"{name} is required")
    if value not in allowed:
        raise malformed(f"invalid {name}: {value}")
    return str(value)


def _nested(body: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    value = body.get(name)
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise malformed(f"{name} must be an object")
    return value
