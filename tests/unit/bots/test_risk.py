"""Each limit at its edge, worked out by hand."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dashtrade.bots.reconcile import external_orders, position_drifts
from dashtrade.bots.risk import RiskPicture, check_entry, check_losses, trading_day
from dashtrade.domain.bots import RiskLimits
from dashtrade.domain.orders import BrokerOrder, BrokerPosition, OrderStatus, Side

NOW = datetime(2026, 3, 2, 15, 0, tzinfo=UTC)
NONE = RiskLimits(risk_limit_percent=None, max_orders_per_day=None)
CALM = RiskPicture(NOW, Decimal(100_000), Decimal(100_000), Decimal(200_000))


def limit_hit(limits: dict[str, Any], picture: dict[str, Any], order: str = "1000") -> str | None:
    breach = check_entry(replace(NONE, **limits), replace(CALM, **picture), Decimal(order))
    if breach is None:
        return None
    assert breach.message.endswith(".")
    return breach.limit


D = Decimal


@pytest.mark.parametrize(
    ("limits", "picture", "order", "expected"),
    [
        ({}, {}, "200000", None),
        ({}, {}, "200000.01", "BUYING_POWER"),
        ({}, {"account_reserved": D(150_000)}, "50000.01", "BUYING_POWER"),
        ({"max_position_size": D(3000)}, {}, "3000", None),
        ({"max_position_size": D(3000)}, {"exposure": D(1500), "reserved": D(500)}, "1000", None),
        ({"max_position_size": D(3000)}, {"exposure": D(1500), "reserved": D(501)}, "1000", "MAX_POSITION_SIZE"),
        ({"risk_limit_percent": D(10)}, {"exposure": D(9000)}, "1000", None),
        ({"risk_limit_percent": D(10)}, {"exposure": D(9000), "reserved": D(1)}, "1000", "RISK_LIMIT_PERCENT"),
        ({"risk_limit_percent": D(10)}, {"equity": D(-5)}, "1", "RISK_LIMIT_PERCENT"),
        ({"daily_loss_limit": D(500)}, {"realized_today": D(-499)}, "1000", None),
        ({"daily_loss_limit": D(500)}, {"realized_today": D(-300), "unrealized": D(-200)}, "1000", "DAILY_LOSS_LIMIT"),
        ({"daily_loss_limit": D(500)}, {"equity": D(99_500)}, "1000", "DAILY_LOSS_LIMIT"),
        ({"daily_loss_limit": D(500)}, {"equity": D(99_000), "cash_flows_today": D(-1000)}, "1000", None),
        ({"daily_loss_limit": D(500)}, {"equity": D(100_500), "cash_flows_today": D(1000)}, "1000", "DAILY_LOSS_LIMIT"),
        ({"max_drawdown": D(800)}, {"peak_pnl": D(500), "total_pnl": D(-299)}, "1000", None),
        ({"max_drawdown": D(800)}, {"peak_pnl": D(500), "total_pnl": D(-200), "unrealized": D(-100)}, "1000",
         "MAX_DRAWDOWN"),
        ({"max_orders_per_day": 3}, {"orders_today": 2}, "1000", None),
        ({"max_orders_per_day": 3}, {"orders_today": 3}, "1000", "MAX_ORDERS_PER_DAY"),
        ({}, {"cooldown_until": NOW + timedelta(seconds=1), "loss_streak": 3}, "1000", "COOLDOWN"),
        ({}, {"cooldown_until": NOW, "loss_streak": 3}, "1000", None),
        ({}, {"delayed_data": True}, "1000", "DELAYED_PRICE"),
        ({"max_price_age_seconds": 900}, {"price_time": NOW - timedelta(seconds=900)}, "1000", None),
        ({"max_price_age_seconds": 900}, {"price_time": NOW - timedelta(seconds=901)}, "1000", "STALE_PRICE"),
    ],
)  # fmt: skip
def test_limits_at_their_edges(
    limits: dict[str, Any], picture: dict[str, Any], order: str, expected: str | None
) -> None:
    assert limit_hit(limits, picture, order) == expected


def test_only_limits_on_losses_switch_the_bot_off() -> None:
    losing = replace(CALM, realized_today=D(-600), orders_today=10)
    limits = replace(NONE, daily_loss_limit=D(500), max_orders_per_day=1)
    assert check_losses(limits, losing).disables
    assert not check_entry(replace(limits, daily_loss_limit=None), losing, D(1)).disables


@given(st.lists(st.integers(1, 400_000), max_size=30), st.integers(1, 10_000))
def test_no_sequence_of_entries_gets_past_the_position_limit(orders: list[int], most: int) -> None:
    held = reserved = Decimal(0)
    limits = replace(NONE, max_position_size=D(most))
    for number, cents in enumerate(orders):
        value = D(cents) / 100
        if check_entry(limits, replace(CALM, exposure=held, reserved=reserved), value) is None:
            reserved += value
        if number % 3 == 2:
            held, reserved = held + reserved, Decimal(0)
        assert held + reserved <= most


@pytest.mark.parametrize(
    ("moment", "start", "hours_to_next"),
    [
        ("2026-03-02T04:59:00+00:00", date(2026, 3, 1), 24),
        ("2026-03-02T05:00:00+00:00", date(2026, 3, 2), 24),
        ("2026-03-08T12:00:00+00:00", date(2026, 3, 8), 23),
        ("2026-11-01T12:00:00+00:00", date(2026, 11, 1), 25),
    ],
)
def test_a_trading_day_is_new_yorks(moment: str, start: date, hours_to_next: int) -> None:
    midnight = trading_day(datetime.fromisoformat(moment))
    assert midnight.date() == start
    later = trading_day(midnight.astimezone(UTC) + timedelta(hours=30))
    assert (later.astimezone(UTC) - midnight.astimezone(UTC)) == timedelta(hours=hours_to_next)


def test_books_are_compared_symbol_by_symbol() -> None:
    theirs = [
        BrokerPosition("AAPL", D(5), D(1)), BrokerPosition("KO", D(-2), D(1)), BrokerPosition("SPY", D(1), D(1)),
    ]  # fmt: skip
    ours = {"AAPL": D(5), "KO": D(2), "MSFT": D(3), "SPY": D(9)}
    drifts = position_drifts(ours, theirs, busy=["SPY"])
    assert [(d.symbol, d.ours, d.broker) for d in drifts] == [("KO", 2, -2), ("MSFT", 3, 0)]


def test_orders_without_our_prefix_are_external() -> None:
    def order(client_id: str) -> BrokerOrder:
        return BrokerOrder("o", client_id, "AAPL", Side.BUY, OrderStatus.LIVE, D(1), None, D(0), None)

    orders = [order("dtabcd-a1-1-1"), order("dtabcd2-a1-1-1"), order("3f6c"), order("")]
    assert [o.client_order_id for o in external_orders(orders, "dtabcd")] == ["dtabcd2-a1-1-1", "3f6c", ""]
