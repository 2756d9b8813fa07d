"""Positions and buying power, by hand and against a second ledger."""

from __future__ import annotations

from decimal import Decimal as D

from hypothesis import given
from hypothesis import strategies as st

from dashtrade.brokers.simulator.ledger import Holding, after_fill, shares_for, value


def test_adding_averages_reducing_keeps_and_crossing_starts_anew() -> None:
    held = after_fill(Holding(), "buy", D(10), D(100))
    held = after_fill(held, "buy", D(30), D(120))
    assert (held.qty, held.avg_entry_price) == (40, 115)
    held = after_fill(held, "sell", D(15), D(200))
    assert (held.qty, held.avg_entry_price) == (25, 115)
    held = after_fill(held, "sell", D(30), D(90))
    assert (held.qty, held.avg_entry_price) == (-5, 90)
    held = after_fill(held, "sell", D(5), D(110))
    assert (held.qty, held.avg_entry_price) == (-10, 100)
    assert after_fill(held, "buy", D(10), D(1)) == Holding()


def test_buying_power_of_a_long_a_short_and_a_reservation() -> None:
    # 100,000 with margin 2; long 100 at 200 bought from cash, short 50 at 100 sold for cash, 10,000 reserved
    balance = value(D(85_000), [(D(100), D(200)), (D(-50), D(100))], D(10_000), D(2))
    assert balance.equity == 100_000
    assert balance.gross == 25_000
    assert balance.buying_power == 165_000
    assert value(D(-500), [(D(1), D(100))], D(0), D(2)).buying_power == 0


def test_notional_never_buys_more_than_its_money() -> None:
    shares = shares_for(D("100"), D("3"))
    assert shares == D("33.333333333")
    assert shares * 3 <= 100


fills = st.lists(
    st.tuples(st.sampled_from(["buy", "sell"]), st.integers(1, 50), st.integers(1, 500)), min_size=1, max_size=40
)


@given(fills)
def test_cash_and_positions_keep_equity_at_the_traded_price(trades: list[tuple[str, int, int]]) -> None:
    """Trading at a price never changes equity valued at that price: profit is only made by prices that move."""
    held, cash = Holding(), D(0)
    for side, qty, price in trades:
        before = cash + held.qty * price
        held = after_fill(held, side, D(qty), D(price))
        cash += -D(qty) * price if side == "buy" else D(qty) * price
        assert cash + held.qty * price == before
        assert held.avg_entry_price >= 0 and (held.qty != 0) == (held.avg_entry_price != 0)
    assert held.qty == sum(qty if side == "buy" else -qty for side, qty, _ in trades)
