"""Fields of a bot: from a person's texts to what the table stores, and from the table to what decisions use."""

from __future__ import annotations

from decimal import Decimal
from enum import StrEnum
from typing import Any, TypeVar

from dashtrade.db.tables.trading import BotRow
from dashtrade.domain.bots import (
    AccountMode,
    BotConfig,
    BotTimeframe,
    Direction,
    RiskLimits,
    SessionRule,
    parse_timeframe,
)
from dashtrade.domain.market import parse_symbol
from dashtrade.errors import InvalidInput

E = TypeVar("E", bound=StrEnum)
MAX_MONEY = Decimal("10000000000")
_POSITIVE = ("position_size", "daily_loss_limit", "max_position_size", "max_drawdown", "max_quantity")
_COUNTS = {
    "max_orders_per_day": (1, 100_000),
    "cooldown_losses": (1, 1_000),
    "cooldown_minutes": (0, 10_080),
    "max_price_age_seconds": (1, 86_400),
    "freshness_seconds": (1, 86_400),
    "exit_freshness_seconds": (1, 86_400),
}


def to_config(row: BotRow) -> BotConfig:
    """The bot as decisions see it."""
    limits = RiskLimits(
        risk_limit_percent=row.risk_limit_percent,
        daily_loss_limit=row.daily_loss_limit,
        max_position_size=row.max_position_size,
        max_orders_per_day=row.max_orders_per_day,
        max_drawdown=row.max_drawdown,
        cooldown_losses=row.cooldown_losses,
        cooldown_minutes=row.cooldown_minutes,
        max_price_age_seconds=row.max_price_age_seconds,
        flatten_on_breach=row.flatten_on_breach,
    )
    return BotConfig(
        id=row.id,
        user_id=row.user_id,
        symbol=row.symbol,
        timeframe=BotTimeframe(row.timeframe),
        position_size=row.position_size,
        account_mode=AccountMode(row.account_mode),
        direction=Direction(row.direction),
        is_active=row.is_active,
        session_rule=SessionRule(row.session_rule),
        freshness_seconds=row.freshness_seconds,
        exit_freshness_seconds=row.exit_freshness_seconds,
        allow_quantity=row.allow_quantity,
        max_quantity=row.max_quantity,
        fractional=row.fractional,
        strategy_name=row.strategy_name,
        limits=limits,
    )


def clean_fields(values: dict[str, Any]) -> dict[str, Any]:
    """Parsed and checked values of NewBot's fields, as the table stores them."""
    values = dict(values)
    if "symbol" in values:
        values["symbol"] = parse_symbol(values["symbol"])
    if "timeframe" in values:
        values["timeframe"] = parse_timeframe(values["timeframe"]).value
    for name, kind in (("account_mode", AccountMode), ("direction", Direction), ("session_rule", SessionRule)):
        if name in values:
            values[name] = _option(name, values[name], kind)
    for name in _POSITIVE:
        if values.get(name) is not None:
            values[name] = _amount(name, values[name])
        elif name == "position_size" and name in values:
            raise InvalidInput(name, "give the dollars of each entry, such as 1000.")
    if values.get("risk_limit_percent") is not None:
        values["risk_limit_percent"] = percent = _amount("risk_limit_percent", values["risk_limit_percent"])
        if percent > 100:
            raise InvalidInput("risk_limit_percent", "use a percentage of equity from 0 to 100.")
    for name, (low, high) in _COUNTS.items():
        value = values.get(name)
        if value is not None and (isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high):
            raise InvalidInput(name, f"use a whole number from {low} to {high}.")
    for name, length in (("strategy_name", 100), ("strategy_type", 50)):
        if values.get(name) is not None and len(str(values[name])) > length:
            raise InvalidInput(name, f"use at most {length} characters.")
    return values


def _option(name: str, value: object, kind: type[E]) -> str:
    try:
        return kind(str(value).strip().lower()).value
    except ValueError:
        raise InvalidInput(name, f"{str(value)[:40]!r} is not known.", allowed=[k.value for k in kind]) from None


def _amount(name: str, value: object) -> Decimal:
    try:
        amount = Decimal(str(value))
    except ArithmeticError:
        raise InvalidInput(name, f"{str(value)[:40]!r} is not a number.") from None
    if not amount.is_finite() or not 0 < amount < MAX_MONEY:
        raise InvalidInput(name, "use a number above zero and below ten billion.")
    return amount
