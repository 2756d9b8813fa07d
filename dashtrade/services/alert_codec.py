"""An alert as JSON, so that what was parsed at the door is what the trader decides on."""

from __future__ import annotations

import dataclasses
from datetime import datetime
from decimal import Decimal
from enum import Enum
from typing import Any

from dashtrade.domain.bots import Action, Alert, BotTimeframe, Target
from dashtrade.domain.orders import OrderType

_DECIMALS = ("price", "quantity", "position_size", "limit_price", "stop_loss", "take_profit")
_TIMES = ("bar_time", "sent_at")


def alert_to_json(alert: Alert) -> dict[str, Any]:
    """Fields that are set, as texts."""
    found: dict[str, Any] = {}
    for field in dataclasses.fields(alert):
        value = getattr(alert, field.name)
        if value is None or value is False:
            continue
        if isinstance(value, Enum):
            value = value.value
        elif isinstance(value, Decimal):
            value = f"{value:f}"
        elif isinstance(value, datetime):
            value = value.isoformat()
        found[field.name] = value
    return found


def alert_from_json(stored: dict[str, Any]) -> Alert:
    """The inverse; unknown names are ignored, so that an older program reads a newer row."""
    names = {field.name for field in dataclasses.fields(Alert)}
    values = {name: value for name, value in stored.items() if name in names}
    values["action"] = Action(values["action"])
    for name, kind in (
        ("timeframe", BotTimeframe),
        ("target", Target),
        ("previous", Target),
        ("order_type", OrderType),
    ):
        if values.get(name) is not None:
            values[name] = kind(values[name])
    for name in _DECIMALS:
        if values.get(name) is not None:
            values[name] = Decimal(values[name])
    for name in _TIMES:
        if values.get(name) is not None:
            values[name] = datetime.fromisoformat(values[name])
    return Alert(**values)
