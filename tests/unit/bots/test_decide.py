"""What an alert means, as a table worked out by hand from the rules."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from dashtrade.bots.decide import decide, freshness, is_exit
from dashtrade.domain.bots import Action, Alert, AlertState, BotConfig, BotTimeframe, Direction, Purpose, Target
from dashtrade.domain.orders import OrderType

BOT = BotConfig(1, 1, "AAPL", BotTimeframe.M15, Decimal(1000), is_active=True)
PRICE = Decimal(150)


def legs(direction: str, action: str | Alert, held: str, **bot: object) -> list[str]:
    config = replace(BOT, direction=Direction(direction), **bot)
    alert = action if isinstance(action, Alert) else Alert(Action(action), "AAPL", None)
    decision = decide(alert, config, Decimal(held), PRICE)
    assert decision.explanation.endswith(".")
    assert (decision.state is AlertState.PLANNED) == bool(decision.legs)
    return [
        f"{leg.purpose.value} {leg.side.value} {'$' + str(leg.notional) if leg.notional is not None else leg.qty}"
        for leg in decision.legs
    ]


@pytest.mark.parametrize(
    ("direction", "action", "held", "expected"),
    [
        # long_only: SELL closes and never opens a short
        ("long_only", "BUY", "0", ["entry buy $1000"]),
        ("long_only", "BUY", "5", ["entry buy $1000"]),
        ("long_only", "SELL", "5", ["exit sell 5"]),
        ("long_only", "SELL", "0", []),
        ("long_only", "CLOSE", "2.5", ["exit sell 2.5"]),
        ("long_only", "CLOSE", "0", []),
        ("long_only", "LONG", "0", ["entry buy $1000"]),
        ("long_only", "LONG", "5", []),
        ("long_only", "SHORT", "5", ["exit sell 5"]),
        ("long_only", "SHORT", "0", []),
        # long_short: reverses in two legs; shorts are whole shares, 1000 / 150 → 6
        ("long_short", "BUY", "0", ["entry buy $1000"]),
        ("long_short", "SELL", "0", ["entry sell 6"]),
        ("long_short", "SELL", "5", ["exit sell 5", "entry sell 6"]),
        ("long_short", "BUY", "-6", ["exit buy 6", "entry buy $1000"]),
        ("long_short", "SELL", "-6", ["entry sell 6"]),
        ("long_short", "SHORT", "-6", []),
        ("long_short", "SHORT", "5", ["exit sell 5", "entry sell 6"]),
        ("long_short", "CLOSE", "-6", ["exit buy 6"]),
        # short_only: BUY closes and never opens a long
        ("short_only", "SELL", "0", ["entry sell 6"]),
        ("short_only", "BUY", "-6", ["exit buy 6"]),
        ("short_only", "BUY", "0", []),
        ("short_only", "LONG", "0", []),
        ("short_only", "CLOSE", "-6", ["exit buy 6"]),
    ],
)
def test_actions(direction: str, action: str, held: str, expected: list[str]) -> None:
    assert legs(direction, action, held) == expected


@pytest.mark.parametrize(
    ("direction", "target", "held", "expected"),
    [
        ("long_only", "long", "0", ["entry buy $1000"]),
        ("long_only", "long", "6", []),
        ("long_only", "flat", "6", ["exit sell 6"]),
        ("long_only", "flat", "0", []),
        ("long_only", "short", "6", ["exit sell 6"]),
        ("long_short", "short", "6", ["exit sell 6", "entry sell 6"]),
        ("long_short", "short", "-6", []),
        ("long_short", "long", "-6", ["exit buy 6", "entry buy $1000"]),
        ("short_only", "long", "-6", ["exit buy 6"]),
    ],
)
@pytest.mark.parametrize("action", ["BUY", "SELL"])
def test_target_mode_names_the_position_whatever_the_action(
    direction: str, target: str, held: str, expected: list[str], action: str
) -> None:
    assert legs(direction, Alert(Action(action), "AAPL", None, target=Target(target)), held) == expected


@pytest.mark.parametrize(
    ("size", "target", "held", "expected"),
    [
        ("10", "long", "4", ["entry buy 6"]),
        ("10", "long", "10", []),
        ("4", "long", "10", ["exit sell 6"]),
        ("-10", "short", "4", ["exit sell 4", "entry sell 10"]),
        ("0", "flat", "4", ["exit sell 4"]),
        ("50", "long", "0", ["entry buy 20"]),  # capped by max_quantity
    ],
)
def test_target_mode_with_the_strategys_size_trades_the_difference(
    size: str, target: str, held: str, expected: list[str]
) -> None:
    alert = Alert(Action.BUY, "AAPL", None, target=Target(target), position_size=Decimal(size))
    assert legs("long_short", alert, held, allow_quantity=True, max_quantity=Decimal(20)) == expected
    if not expected:
        return
    reached = Decimal(held)
    for leg in decide(alert, replace(BOT, direction=Direction.LONG_SHORT, allow_quantity=True), reached, PRICE).legs:
        reached += leg.qty * (1 if leg.side == "buy" else -1)
    if Decimal(size) <= 20:
        assert reached == Decimal(size), "the same alert again must find nothing to do"


def test_quantities_count_only_where_the_bot_allows_them_and_are_capped() -> None:
    alert = Alert(Action.BUY, "AAPL", None, quantity=Decimal(7))
    assert legs("long_only", alert, "0") == ["entry buy $1000"]
    assert legs("long_only", alert, "0", allow_quantity=True) == ["entry buy 7"]
    assert legs("long_only", alert, "0", allow_quantity=True, max_quantity=Decimal(3)) == ["entry buy 3"]
    sell = Alert(Action.SELL, "AAPL", None, quantity=Decimal(2))
    assert legs("long_only", sell, "5", allow_quantity=True) == ["exit sell 2"]
    assert legs("long_only", sell, "1", allow_quantity=True) == ["exit sell 1"]


def test_whole_shares_need_a_price_and_enough_dollars() -> None:
    config = replace(BOT, fractional=False)
    buy = Alert(Action.BUY, "AAPL", None)
    assert decide(buy, config, Decimal(0), None).code == "NO_PRICE"
    assert decide(buy, config, Decimal(0), Decimal(1001)).code == "TOO_SMALL"
    assert decide(buy, config, Decimal(0), Decimal(300)).legs[0].qty == 3


def test_a_reversal_that_cannot_be_sized_still_closes() -> None:
    config = replace(BOT, direction=Direction.LONG_SHORT)
    decision = decide(Alert(Action.SELL, "AAPL", None), config, Decimal(5), None)
    assert [leg.purpose for leg in decision.legs] == ["exit"]


def test_limit_orders_are_sized_at_their_limit() -> None:
    alert = Alert(Action.BUY, "AAPL", None, order_type=OrderType.LIMIT, limit_price=Decimal(100))
    leg = decide(alert, BOT, Decimal(0), PRICE).legs[0]
    assert (leg.qty, leg.limit_price, leg.order_type) == (10, 100, OrderType.LIMIT)


def test_freshness_counts_from_when_the_alert_fired() -> None:
    now = datetime(2026, 3, 2, 15, 0, tzinfo=UTC)
    alert = Alert(Action.BUY, "AAPL", None)
    assert freshness(alert, now - timedelta(seconds=60), now, 60) is None
    assert "61 s old" in str(freshness(alert, now - timedelta(seconds=61), now, 60))
    fired = replace(alert, sent_at=now - timedelta(seconds=90))
    assert "90 s old" in str(freshness(fired, now, now, 60))
    ahead = replace(alert, sent_at=now + timedelta(hours=1))
    assert "61 s old" in str(freshness(ahead, now - timedelta(seconds=61), now, 60))
    bar = replace(alert, bar_time=now - timedelta(days=1))
    assert freshness(bar, now, now, 60) is None, "the start of a daily bar says nothing about the alert's age"


@pytest.mark.parametrize(
    ("direction", "action", "held", "expected"),
    [
        ("long_only", "SELL", "5", True),
        ("long_only", "SELL", "0", False),
        ("long_only", "BUY", "5", False),
        ("long_short", "BUY", "-5", True),
        ("short_only", "BUY", "-5", True),
        ("short_only", "CLOSE", "-5", True),
    ],
)
def test_what_counts_as_an_exit(direction: str, action: str, held: str, expected: bool) -> None:
    config = replace(BOT, direction=Direction(direction))
    assert is_exit(Alert(Action(action), "AAPL", None), config, Decimal(held)) is expected


@pytest.mark.parametrize(
    ("direction", "action", "fields", "expected"),
    [
        ("long_only", "BUY", {"stop_loss": "94.991", "take_profit": "110.004"}, ("95.00", "110.01")),
        ("long_only", "BUY", {"stop_loss": "95"}, ("95", None)),
        ("short_only", "SELL", {"stop_loss": "105.009", "take_profit": "90.009"}, ("105.00", "90.00")),
    ],
)
def test_a_protected_entry_is_in_whole_shares_and_on_the_exchanges_steps(
    direction: str, action: str, fields: dict[str, str], expected: tuple[str, str | None]
) -> None:
    prices = {name: Decimal(value) for name, value in fields.items()}
    alert = Alert(Action(action), "AAPL", None, price=Decimal(99), **prices)
    leg = decide(alert, replace(BOT, direction=Direction(direction)), Decimal(0), Decimal(99)).legs[0]
    stop, profit = (None if value is None else Decimal(value) for value in expected)
    assert (leg.qty, leg.notional, leg.stop_loss, leg.take_profit) == (BOT.position_size // 99, None, stop, profit)


@pytest.mark.parametrize(
    ("direction", "action", "fields", "code"),
    [
        ("long_only", "BUY", {"stop_loss": 100}, "VALIDATION_ERROR"),
        ("long_only", "BUY", {"take_profit": 100}, "VALIDATION_ERROR"),
        ("short_only", "SELL", {"stop_loss": 99}, "VALIDATION_ERROR"),
        ("short_only", "SELL", {"take_profit": 101}, "VALIDATION_ERROR"),
        ("long_only", "BUY", {"stop_loss": 90, "quantity": Decimal("0.5")}, "TOO_SMALL"),
    ],
)
def test_an_entry_is_not_opened_without_the_protection_it_asks_for(
    direction: str, action: str, fields: dict[str, object], code: str
) -> None:
    config = replace(BOT, direction=Direction(direction), allow_quantity=True)
    prices = {name: Decimal(str(value)) for name, value in fields.items()}
    alert = Alert(Action(action), "AAPL", None, **prices)
    assert decide(alert, config, Decimal(0), Decimal(100)).code == code
    assert decide(alert, config, Decimal(0), None).code in ("NO_PRICE", "TOO_SMALL")
    against = Decimal(5) if action == "SELL" else Decimal(-5)
    closing = decide(alert, config, against, Decimal(100))
    assert [leg.purpose for leg in closing.legs] == [Purpose.EXIT], "what is held is given up all the same"
