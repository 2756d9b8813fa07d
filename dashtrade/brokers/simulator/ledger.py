"""Positions, equity and buying power of a margin account: pure arithmetic on Decimal."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from decimal import ROUND_DOWN, Decimal

ZERO = Decimal(0)
UNIT = Decimal("0.000000001")


@dataclass(frozen=True, slots=True)
class Holding:
    """Signed quantity (negative is short) and the average price it was entered at."""

    qty: Decimal = ZERO
    avg_entry_price: Decimal = ZERO


def after_fill(holding: Holding, side: str, qty: Decimal, price: Decimal) -> Holding:
    """The holding after a fill.

    Adding averages the entry price by quantity; reducing leaves it; what goes through zero enters at ``price``.
    """
    change = qty if side == "buy" else -qty
    total = holding.qty + change
    if total == 0:
        return Holding()
    if holding.qty == 0 or (holding.qty > 0) == (change > 0):
        cost = abs(holding.qty) * holding.avg_entry_price + qty * price
        return Holding(total, (cost / abs(total)).quantize(UNIT))
    if (total > 0) == (holding.qty > 0):
        return Holding(total, holding.avg_entry_price)
    return Holding(total, price)


@dataclass(frozen=True, slots=True)
class Balance:
    """An account valued at market prices.

    Buying power is the Regulation T form: ``multiplier × equity − long and short market value − money reserved for open
    opening orders``, never below 0.
    """

    cash: Decimal
    long_value: Decimal
    short_value: Decimal
    reserved: Decimal
    multiplier: Decimal

    @property
    def equity(self) -> Decimal:
        return self.cash + self.long_value + self.short_value

    @property
    def gross(self) -> Decimal:
        return self.long_value - self.short_value

    @property
    def buying_power(self) -> Decimal:
        return max(ZERO, self.multiplier * self.equity - self.gross - self.reserved)

    @property
    def initial_margin(self) -> Decimal:
        return self.gross / self.multiplier

    @property
    def maintenance_margin(self) -> Decimal:
        """A quarter of long and three tenths of short market value."""
        return self.long_value * Decimal("0.25") - self.short_value * Decimal("0.3")


def value(
    cash: Decimal, holdings: Iterable[tuple[Decimal, Decimal]], reserved: Decimal, multiplier: Decimal
) -> Balance:
    """A balance from ``(qty, price)`` pairs."""
    long_value = short_value = ZERO
    for qty, price in holdings:
        if qty > 0:
            long_value += qty * price
        else:
            short_value += qty * price
    return Balance(cash, long_value, short_value, reserved, multiplier)


def shares_for(notional: Decimal, price: Decimal) -> Decimal:
    """Fractional shares that ``notional`` buys, rounded down to nine decimals."""
    return (notional / price).quantize(UNIT, rounding=ROUND_DOWN)
