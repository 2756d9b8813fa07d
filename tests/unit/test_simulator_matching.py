"""Fills by hand: when an order fills, and at what price."""

from __future__ import annotations

from decimal import Decimal as D

import pytest

from dashtrade.brokers.simulator.matching import Costs, Working, crosses, examine

FREE = Costs()
# 10 bps spread: bid 99.95 and ask 100.05 around 100; 5 bps slippage: 0.05 more
COSTLY = Costs(spread_bps=D(10), slippage_bps=D(5))


def order(side: str, kind: str, **kw: object) -> Working:
    return Working("id", side, kind, **{k: D(str(v)) if not isinstance(v, bool) else v for k, v in kw.items()})


@pytest.mark.parametrize(
    ("working", "price", "fill"),
    [
        (order("buy", "market"), 100, "100.10"),
        (order("sell", "market"), 100, "99.90"),
        # a limit meets the ask, and is never filled worse than its limit
        (order("buy", "limit", limit_price="100.05"), 100, "100.05"),
        (order("buy", "limit", limit_price="100.04"), 100, None),
        (order("buy", "limit", limit_price="101"), 100, "100.10"),
        (order("sell", "limit", limit_price="99.95"), 100, "99.95"),
        (order("sell", "limit", limit_price="99.96"), 100, None),
        # stops are touched by the price itself and then take the market
        (order("sell", "stop", stop_price="95"), "95.01", None),
        (order("sell", "stop", stop_price="95"), 95, "94.905"),
        (order("buy", "stop", stop_price="105"), "104.99", None),
        (order("buy", "stop", stop_price="105"), 105, "105.105"),
        # a gap through a stop fills at the market, not at the stop
        (order("sell", "stop", stop_price="95"), 80, "79.92"),
        # a stop limit does not fill below its limit
        (order("sell", "stop_limit", stop_price="95", limit_price="94"), 93, None),
        (order("sell", "stop_limit", stop_price="95", limit_price="94"), 95, "94.905"),
    ],
)
def test_fill_price(working: Working, price: object, fill: str | None) -> None:
    verdict = examine(working, D(str(price)), COSTLY)
    assert verdict.fill_price == (None if fill is None else D(fill))


def test_a_touched_stop_limit_stays_touched() -> None:
    resting = order("sell", "stop_limit", stop_price="95", limit_price="94")
    touched = examine(resting, D(93), FREE)
    assert touched.triggered and touched.fill_price is None
    again = order("sell", "stop_limit", stop_price="95", limit_price="94", triggered=True)
    assert examine(again, D("99"), FREE).fill_price == D("99.0000")


def test_a_trailing_stop_follows_the_best_price_only() -> None:
    hwm = None
    stops = []
    for price in ("100", "110", "105", "108"):
        verdict = examine(
            order("sell", "trailing_stop", trail_price=6, **({"hwm": hwm} if hwm else {})), D(price), FREE
        )
        assert verdict.fill_price is None
        hwm = verdict.hwm
        stops.append(verdict.stop_price)
    assert stops == [94, 104, 104, 104]
    assert examine(order("sell", "trailing_stop", trail_price=6, hwm=110), D(104), FREE).fill_price == 104


def test_a_trailing_buy_stop_by_percent_is_above_the_lowest_price() -> None:
    verdict = examine(order("buy", "trailing_stop", trail_percent=10, hwm=50), D(54), FREE)
    assert (verdict.stop_price, verdict.fill_price) == (D("55.0000"), None)
    assert examine(order("buy", "trailing_stop", trail_percent=10, hwm=50), D(55), FREE).fill_price == 55


def test_jitter_is_repeatable_adverse_and_bounded() -> None:
    costs = Costs(jitter_bps=D(100), seed=7)
    slips = [costs.slippage(D(100), f"order-{n}") for n in range(50)]
    assert slips == [costs.slippage(D(100), f"order-{n}") for n in range(50)]
    assert all(0 <= slip <= 1 for slip in slips)
    assert len(set(slips)) == 50
    assert Costs(jitter_bps=D(100), seed=8).slippage(D(100), "order-1") != slips[1]


@pytest.mark.parametrize(
    ("side", "kind", "limit", "other", "other_limit", "expected"),
    [
        ("buy", "market", None, "limit", 100, True),
        ("buy", "limit", 99, "limit", 100, False),
        ("buy", "limit", 100, "limit", 100, True),
        ("sell", "limit", 101, "limit", 100, False),
        ("sell", "limit", 99, "limit", 100, True),
        ("sell", "limit", 101, "stop", None, True),
    ],
)
def test_wash_trades(side: str, kind: str, limit: object, other: str, other_limit: object, expected: bool) -> None:
    def price(value: object) -> D | None:
        return None if value is None else D(str(value))

    assert crosses(side, kind, price(limit), other, price(other_limit)) is expected
