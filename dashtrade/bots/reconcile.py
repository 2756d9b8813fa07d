"""Whether our books and the broker's agree, and which of its orders are not ours."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal

from dashtrade.domain.orders import BrokerOrder, BrokerPosition

ZERO = Decimal(0)
TOLERANCE = Decimal("0.000001")


@dataclass(frozen=True, slots=True)
class Drift:
    """``ours`` is the sum of all lots of a symbol, ``broker`` what the broker holds; both signed."""

    symbol: str
    ours: Decimal
    broker: Decimal

    @property
    def figures(self) -> str:
        return f"Our books hold {self.ours.normalize():f} {self.symbol} and the broker {self.broker.normalize():f}."

    @property
    def message(self) -> str:
        return f"{self.figures} New entries in this symbol are stopped until they agree."


def position_drifts(
    lots: Mapping[str, Decimal], positions: Iterable[BrokerPosition], busy: Iterable[str] = ()
) -> list[Drift]:
    """Symbols where the books differ. ``busy`` symbols have an order on its way, whose fill may be in one book only."""
    theirs = {position.symbol: position.qty for position in positions}
    skip = set(busy)
    return [
        Drift(symbol, lots.get(symbol, ZERO), theirs.get(symbol, ZERO))
        for symbol in sorted((set(lots) | set(theirs)) - skip)
        if abs(lots.get(symbol, ZERO) - theirs.get(symbol, ZERO)) > TOLERANCE
    ]


def outside_closings(drift: Drift, fills: Sequence[Decimal]) -> list[Decimal] | None:
    """How much of each fill that nobody here asked for closed what bots hold; None where they do not explain it.

    ``fills`` are signed, oldest first. What others bought themselves they sell first; only the rest is the bots'.
    """
    difference = drift.broker - drift.ours
    if abs(sum(fills, ZERO) - difference) > TOLERANCE or difference * drift.ours >= 0:
        return None
    if abs(difference) > abs(drift.ours) + TOLERANCE:
        return None
    own, parts = ZERO, []
    for fill in fills:
        if fill * drift.ours > 0:
            own += fill
            parts.append(ZERO)
            continue
        theirs = min(abs(own), abs(fill))
        own += theirs if fill > 0 else -theirs
        parts.append(fill + theirs if fill < 0 else fill - theirs)
    return parts if abs(own) <= TOLERANCE else None


def external_orders(orders: Iterable[BrokerOrder], prefix: str) -> list[BrokerOrder]:
    """Orders that do not carry this account's prefix: nobody here made them."""
    return [order for order in orders if not order.client_order_id.startswith(f"{prefix}-")]
