"""What goes to Alpaca and how a request ended, as plain values."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from dashtrade.brokers import alpaca_parse as parse
from dashtrade.domain.orders import OrderRequest

# a definite no; everything else that is not a success leaves the outcome open
_DEFINITE = frozenset({400, 401, 403, 404, 405, 422})


@dataclass(frozen=True, slots=True)
class MarketClock:
    is_open: bool
    next_open: datetime
    next_close: datetime
    now: datetime


@dataclass(frozen=True, slots=True)
class Answer:
    """How a request ended. ``status`` None: no answer came."""

    payload: Any = None
    status: int | None = None
    body: Mapping[str, Any] | None = None
    failure: str | None = None
    retry_after: float | None = None

    @property
    def code(self) -> int | None:
        code = (self.body or {}).get("code")
        return code if isinstance(code, int) else None

    @property
    def message(self) -> str:
        return str((self.body or {}).get("message") or "")[:300]

    @property
    def refused(self) -> bool:
        """A definite no: a refusing status with the broker's own words, not a proxy's page."""
        return self.status in _DEFINITE and bool(self.message)


def order_fields(request: OrderRequest) -> dict[str, Any]:
    """The body of an order. Numbers go as text: a float would change them."""
    fields: dict[str, Any] = {
        "symbol": request.symbol,
        "side": request.side.value,
        "type": request.type.value,
        "time_in_force": request.time_in_force.value,
        "client_order_id": request.client_order_id,
    }
    for name in ("qty", "notional", "limit_price", "stop_price", "trail_price", "trail_percent"):
        value: Decimal | None = getattr(request, name)
        if value is not None:
            fields[name] = format(value, "f")
    if request.extended_hours:
        fields["extended_hours"] = True
    legs = {"take_profit": "limit_price", "stop_loss": "stop_price"}
    given = {
        leg: {name: format(getattr(request, leg), "f")}
        for leg, name in legs.items()
        if getattr(request, leg) is not None
    }
    if given:
        fields |= given
        fields["order_class"] = "oco" if request.oco else "bracket" if len(given) == 2 else "oto"
    return fields


def market_clock(raw: Any) -> MarketClock:
    if not isinstance(raw, Mapping):
        raise parse.Unreadable("clock is not an object")
    try:
        return MarketClock(
            bool(raw["is_open"]),
            datetime.fromisoformat(raw["next_open"]),
            datetime.fromisoformat(raw["next_close"]),
            datetime.fromisoformat(raw["timestamp"]),
        )
    except (KeyError, TypeError, ValueError):
        raise parse.Unreadable("clock lacks a field") from None


def json_object(text: str) -> Mapping[str, Any] | None:
    try:
        body = json.loads(text)
    except ValueError:
        return None
    return body if isinstance(body, Mapping) else None


def seconds(text: str | None) -> float | None:
    try:
        return max(0.0, float(text)) if text else None
    except ValueError:
        return None
