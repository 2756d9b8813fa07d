"""What is refused before the account is looked at, with Alpaca's numbers."""

from __future__ import annotations

from decimal import Decimal

import pytest

from dashtrade.brokers.simulator.drafts import read
from dashtrade.brokers.simulator.refusals import Refused

MARKET = {"symbol": "AAPL", "side": "buy", "type": "market", "time_in_force": "day", "qty": "1"}


@pytest.mark.parametrize(
    ("change", "code", "words"),
    [
        ({"symbol": ""}, 40010001, "symbol is required"),
        ({"side": "long"}, 40010001, "invalid side"),
        ({"type": "iceberg"}, 40010001, "invalid type"),
        ({"time_in_force": "opg"}, 40010001, "invalid time_in_force"),
        ({"qty": None}, 40010001, "qty or notional is required"),
        ({"notional": "5"}, 40010001, "only one of"),
        ({"qty": "0"}, 40010001, "must be > 0"),
        ({"qty": "-3"}, 40010001, "must be > 0"),
        ({"qty": "NaN"}, 40010001, "out of range"),
        ({"qty": "ten"}, 40010001, "not a number"),
        ({"qty": True}, 40010001, "not a number"),
        ({"qty": "1e30"}, 40010001, "out of range"),
        ({"client_order_id": "x" * 129}, 40010001, "128"),
        ({"limit_price": "5"}, 42210000, "must not have limit price"),
        ({"type": "limit"}, 40010001, "require limit price"),
        ({"type": "limit", "limit_price": "41.085"}, 42210000, "sub-penny"),
        ({"type": "limit", "limit_price": "0.12345"}, 42210000, "sub-penny"),
        ({"type": "stop_limit", "stop_price": "5"}, 40010001, "require limit price"),
        ({"type": "trailing_stop"}, 40010001, "trail_price or trail_percent"),
        ({"type": "trailing_stop", "trail_price": "1", "trail_percent": "1"}, 40010001, "one of"),
        ({"trail_price": "1"}, 42210000, "must not have trail"),
        ({"extended_hours": True}, 42210000, "DAY limit"),
        ({"qty": "0.5", "time_in_force": "gtc"}, 42210000, "fractional orders must be DAY"),
        ({"order_class": "pair"}, 40010001, "invalid order_class"),
        ({"take_profit": {"limit_price": "5"}}, 40010001, "need an order_class"),
        ({"order_class": "bracket", "take_profit": {"limit_price": "5"}}, 40010001, "stop_loss.stop_price"),
        ({"order_class": "oto"}, 40010001, "oto orders require"),
        ({"order_class": "bracket", "take_profit": 5, "stop_loss": {"stop_price": "4"}}, 40010001, "object"),
        (
            {"order_class": "bracket", "take_profit": {"limit_price": "4"}, "stop_loss": {"stop_price": "5"}},
            42210000,
            "must be >",
        ),
    ],
)
def test_refused(change: dict[str, object], code: int, words: str) -> None:
    with pytest.raises(Refused) as caught:
        read({**MARKET, **change})
    assert caught.value.status == 422
    assert caught.value.body["code"] == code
    assert words in caught.value.body["message"]


def test_numbers_stay_exact() -> None:
    draft = read({**MARKET, "qty": "0.123456789"})
    assert draft.qty == Decimal("0.123456789")
    assert draft.fractional
    assert len(draft.client_order_id) == 36


def test_a_dollar_sub_penny_price_below_one_dollar_is_allowed() -> None:
    assert read({**MARKET, "type": "limit", "limit_price": "0.1234"}).limit_price == Decimal("0.1234")
