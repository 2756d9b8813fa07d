"""FIFO lots against a second, naive ledger that keeps every single unit in a queue."""

from __future__ import annotations

from collections import deque
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from hypothesis import given, settings
from hypothesis import strategies as st

from dashtrade.bots.pnl import Fill, Lot, apply_fill, loss_streak, position, unrealized
from dashtrade.domain.orders import Side

START = datetime(2026, 3, 2, 15, 0, tzinfo=UTC)
fills = st.lists(
    st.tuples(st.sampled_from(list(Side)), st.integers(1, 30), st.integers(1, 20_000)), min_size=1, max_size=40
)


class NaiveLedger:
    """One entry for each unit of 0.1 share: (sign, price). Slow and plain."""

    def __init__(self) -> None:
        self.units: deque[tuple[int, Decimal]] = deque()
        self.realized = Decimal(0)

    def fill(self, side: Side, units: int, price: Decimal) -> None:
        sign = 1 if side is Side.BUY else -1
        for _ in range(units):
            if self.units and self.units[0][0] != sign:
                held, opened = self.units.popleft()
                self.realized += held * (price - opened) / 10
            else:
                self.units.append((sign, price))

    @property
    def position(self) -> Decimal:
        return sum((Decimal(sign) for sign, _ in self.units), Decimal(0)) / 10

    def unrealized(self, price: Decimal) -> Decimal:
        return sum((sign * (price - opened) / 10 for sign, opened in self.units), Decimal(0))


@settings(max_examples=200, deadline=None)
@given(fills, st.integers(1, 20_000))
def test_lots_agree_with_the_naive_ledger(trades: list[tuple[Side, int, int]], mark: int) -> None:
    lots: list[Lot] = []
    realized = cash = Decimal(0)
    naive = NaiveLedger()
    for number, (side, units, cents) in enumerate(trades):
        qty, price = Decimal(units) / 10, Decimal(cents) / 100
        fill = Fill(number, side, qty, price, START + timedelta(seconds=number))
        lots, closings = apply_fill(lots, fill)
        realized += sum((closing.pnl for closing in closings), Decimal(0))
        cash -= fill.signed * price
        naive.fill(side, units, price)
        assert position(lots) == naive.position
        assert realized == naive.realized
        assert len({lot.qty > 0 for lot in lots}) <= 1, "a bot is never long and short at once"
        assert all(lot.qty != 0 for lot in lots)
        assert [lot.opened_at for lot in lots] == sorted(lot.opened_at for lot in lots)
    last = Decimal(mark) / 100
    assert unrealized(lots, last) == naive.unrealized(last)
    # what is in hand plus what was paid is what was earned
    assert cash + position(lots) * last == realized + unrealized(lots, last)


def test_a_fill_across_zero_is_split_by_hand() -> None:
    lots, _ = apply_fill([], Fill("a", Side.BUY, Decimal(3), Decimal(10), START))
    lots, _ = apply_fill(lots, Fill("b", Side.BUY, Decimal(2), Decimal(12), START))
    lots, closings = apply_fill(lots, Fill("c", Side.SELL, Decimal(8), Decimal(11), START))
    assert [(c.lot_key, c.qty, c.pnl) for c in closings] == [("a", 3, 3), ("b", 2, -2)]
    assert [(lot.key, lot.qty, lot.price) for lot in lots] == [("c", -3, 11)]
    lots, closings = apply_fill(lots, Fill("d", Side.BUY, Decimal(1), Decimal(9), START))
    assert [(c.lot_key, c.qty, c.pnl) for c in closings] == [("c", -1, 2)]
    assert position(lots) == -2


def test_losses_in_a_row() -> None:
    streak = 0
    for pnl, expected in ((-1, 1), (-5, 2), (0, 2), (3, 0), (-1, 1)):
        streak = loss_streak(streak, Decimal(pnl))
        assert streak == expected
