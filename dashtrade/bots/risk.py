"""Limits that an entry must keep, and that the trader watches all the time. Exits are never asked."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo

from dashtrade.domain.bots import RiskLimits

NEW_YORK = ZoneInfo("America/New_York")
ZERO = Decimal(0)


@dataclass(frozen=True, slots=True)
class RiskPicture:
    """What the limits look at. Dollars, except counts and times.

    ``exposure`` is the absolute value of what the bot holds, ``reserved`` what its open entries may still add.
    ``account_reserved`` counts every bot's open entries and fills since the account was last read.
    """

    now: datetime
    equity: Decimal
    last_equity: Decimal
    buying_power: Decimal
    cash_flows_today: Decimal = ZERO
    exposure: Decimal = ZERO
    reserved: Decimal = ZERO
    account_reserved: Decimal = ZERO
    realized_today: Decimal = ZERO
    unrealized: Decimal = ZERO
    total_pnl: Decimal = ZERO
    peak_pnl: Decimal = ZERO
    orders_today: int = 0
    loss_streak: int = 0
    cooldown_until: datetime | None = None
    price_time: datetime | None = None
    delayed_data: bool = False


@dataclass(frozen=True, slots=True)
class Breach:
    """A limit that is reached. ``disables`` marks those that switch the bot off."""

    limit: str
    threshold: Decimal
    value: Decimal
    message: str
    disables: bool = False


def trading_day(moment: datetime) -> datetime:
    """Midnight in New York that began the day of ``moment``, with its zone; a day there has 23 to 25 hours."""
    return moment.astimezone(NEW_YORK).replace(hour=0, minute=0, second=0, microsecond=0)


def check_losses(limits: RiskLimits, seen: RiskPicture) -> Breach | None:
    """Limits on what was lost: watched all the time, and before each entry."""
    if limits.daily_loss_limit is not None:
        own = -(seen.realized_today + seen.unrealized)
        account = -(seen.equity - seen.last_equity - seen.cash_flows_today)
        lost = max(own, account)
        if lost >= limits.daily_loss_limit:
            whose = "the bot" if own >= account else "the account"
            return Breach(
                "DAILY_LOSS_LIMIT",
                limits.daily_loss_limit,
                lost,
                f"Today {whose} lost ${lost:,.2f}, which reaches the daily loss limit of "
                f"${limits.daily_loss_limit:,.2f}.",
                disables=True,
            )
    if limits.max_drawdown is not None:
        drawdown = max(seen.peak_pnl, ZERO) - (seen.total_pnl + seen.unrealized)
        if drawdown >= limits.max_drawdown:
            return Breach(
                "MAX_DRAWDOWN",
                limits.max_drawdown,
                drawdown,
                f"The bot is ${drawdown:,.2f} below its best result, which reaches the drawdown limit of "
                f"${limits.max_drawdown:,.2f}.",
                disables=True,
            )
    return None


def check_entry(limits: RiskLimits, seen: RiskPicture, order_value: Decimal) -> Breach | None:
    """The first limit that an entry worth ``order_value`` dollars would break, or None."""
    lost = check_losses(limits, seen)
    if lost is not None:
        return lost
    if seen.cooldown_until is not None and seen.now < seen.cooldown_until:
        return Breach(
            "COOLDOWN",
            Decimal(limits.cooldown_losses or 0),
            Decimal(seen.loss_streak),
            f"The bot pauses until {seen.cooldown_until:%Y-%m-%d %H:%M} UTC after {seen.loss_streak} losses in a row.",
        )
    if seen.delayed_data:
        return Breach(
            "DELAYED_PRICE", ZERO, ZERO, "The alert comes from delayed data, so its price is too old to enter."
        )
    if seen.price_time is not None:
        age = seen.now - seen.price_time
        if age > timedelta(seconds=limits.max_price_age_seconds):
            return Breach(
                "STALE_PRICE",
                Decimal(limits.max_price_age_seconds),
                Decimal(round(age.total_seconds())),
                f"The latest price is {age.total_seconds():.0f} s old, past the limit of "
                f"{limits.max_price_age_seconds} s.",
            )
    if limits.max_orders_per_day is not None and seen.orders_today + 1 > limits.max_orders_per_day:
        return Breach(
            "MAX_ORDERS_PER_DAY",
            Decimal(limits.max_orders_per_day),
            Decimal(seen.orders_today),
            f"The bot sent {seen.orders_today} orders today; its limit is {limits.max_orders_per_day}.",
        )
    return _check_size(limits, seen, order_value)


def _check_size(limits: RiskLimits, seen: RiskPicture, order_value: Decimal) -> Breach | None:
    after = seen.exposure + seen.reserved + order_value
    if limits.max_position_size is not None and after > limits.max_position_size:
        return Breach(
            "MAX_POSITION_SIZE",
            limits.max_position_size,
            after,
            f"With this order the position would be ${after:,.2f}, above the limit of "
            f"${limits.max_position_size:,.2f}.",
        )
    if limits.risk_limit_percent is not None:
        most = max(seen.equity, ZERO) * limits.risk_limit_percent / 100
        if after > most:
            return Breach(
                "RISK_LIMIT_PERCENT",
                most,
                after,
                f"With this order the position would be ${after:,.2f}, above "
                f"{limits.risk_limit_percent.normalize():f}% of the account's equity (${most:,.2f}).",
            )
    left = seen.buying_power - seen.account_reserved
    if order_value > left:
        return Breach(
            "BUYING_POWER",
            max(left, ZERO),
            order_value,
            f"The order needs ${order_value:,.2f}, but the account has ${max(left, ZERO):,.2f} of buying power left.",
        )
    return None
