"""Lots, closed first in, first out. Decimal throughout; shorts are negative lots; a fill across zero is split."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal

from dashtrade.domain.orders import Side

ZERO = Decimal(0)


@dataclass(frozen=True, slots=True)
class Lot:
    """``qty`` is signed and never zero in an open list; ``key`` is the caller's name for the lot."""

    key: int | str
    qty: Decimal
    price: Decimal
    opened_at: datetime


@dataclass(frozen=True, slots=True)
class Closing:
    """A part of a lot given up. ``qty`` carries the lot's sign; ``pnl`` is before fees."""

    lot_key: int | str
    qty: Decimal
    open_price: Decimal
    close_price: Decimal

    @property
    def pnl(self) -> Decimal:
        return self.qty * (self.close_price - self.open_price)


@dataclass(frozen=True, slots=True)
class Fill:
    key: int | str
    side: Side
    qty: Decimal
    price: Decimal
    time: datetime

    @property
    def signed(self) -> Decimal:
        return self.qty if self.side is Side.BUY else -self.qty


def apply_fill(lots: Sequence[Lot], fill: Fill) -> tuple[list[Lot], list[Closing]]:
    """Open lots after a fill, oldest first, and what it closed. A new lot takes the fill's key."""
    left = fill.signed
    closings: list[Closing] = []
    remaining: list[Lot] = []
    for lot in lots:
        if left == 0 or (lot.qty > 0) == (left > 0):
            remaining.append(lot)
            continue
        closed = lot.qty if abs(lot.qty) <= abs(left) else -left
        closings.append(Closing(lot.key, closed, lot.price, fill.price))
        left += closed
        if closed != lot.qty:
            remaining.append(replace(lot, qty=lot.qty - closed))
    if left != 0:
        remaining.append(Lot(fill.key, left, fill.price, fill.time))
    return remaining, closings


def position(lots: Sequence[Lot]) -> Decimal:
    return sum((lot.qty for lot in lots), ZERO)


def unrealized(lots: Sequence[Lot], price: Decimal) -> Decimal:
    """Profit or loss if everything were closed at ``price``."""
    return sum((lot.qty * (price - lot.price) for lot in lots), ZERO)


def loss_streak(previous: int, pnl: Decimal) -> int:
    """Losses in a row after a closing with this result; break-even changes nothing."""
    if pnl < 0:
        return previous + 1
    return 0 if pnl > 0 else previous
