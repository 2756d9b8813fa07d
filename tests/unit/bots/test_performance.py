"""Fills of a bot beside a backtest's, matched by hand."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from dashtrade.bots.performance import PricedFill, match_fills

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)


def fill(minutes: float, side: str, price: float) -> PricedFill:
    return PricedFill(NOON + timedelta(minutes=minutes), side, price, 1)


def test_pairs_missed_and_extra_fills() -> None:
    expected = [fill(0, "buy", 100), fill(30, "sell", 110), fill(60, "buy", 50)]
    actual = [fill(0.1, "buy", 100.1), fill(30.1, "sell", 109.89), fill(200, "buy", 1)]
    pairs, missed, extra = match_fills(expected, actual, timedelta(minutes=15))
    assert [pair.slippage_bps for pair in pairs] == [pytest.approx(10), pytest.approx(10)]
    assert pairs[0].delay == timedelta(seconds=6)
    assert missed == [expected[2]] and extra == [actual[2]]


def test_a_fill_counts_once_and_a_better_price_is_below_zero() -> None:
    expected = [fill(0, "buy", 100), fill(1, "buy", 100)]
    pairs, missed, extra = match_fills(expected, [fill(1, "buy", 99)], timedelta(minutes=15))
    assert [pair.slippage_bps for pair in pairs] == [pytest.approx(-100)]
    assert missed == [expected[1]] and extra == []
