"""When an order fills and at what price: pure functions of the order and one market price."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from decimal import ROUND_HALF_EVEN, Decimal

BPS = Decimal(10_000)


@dataclass(frozen=True, slots=True)
class Costs:
    """Trading costs in basis points, always against the trader.

    ``spread_bps`` is the whole spread: buys pay half of it above the price, sells get half below. ``slippage_bps``
    comes on top for orders that take the market price; ``jitter_bps`` varies it between orders, repeatably for a
    given ``seed``.
    """

    spread_bps: Decimal = Decimal(0)
    slippage_bps: Decimal = Decimal(0)
    jitter_bps: Decimal = Decimal(0)
    seed: int = 0

    def quote(self, price: Decimal) -> tuple[Decimal, Decimal]:
        """Bid and ask around ``price``."""
        half = price * self.spread_bps / (2 * BPS)
        return price - half, price + half

    def slippage(self, price: Decimal, name: str) -> Decimal:
        """Money a share, at least 0. ``name`` is the client order id, which a repeated rehearsal repeats."""
        bps = self.slippage_bps
        if self.jitter_bps:
            digest = hashlib.sha256(f"{self.seed}:{name}".encode()).digest()
            bps += self.jitter_bps * int.from_bytes(digest[:4], "big") / Decimal(2**32)
        return price * bps / BPS


@dataclass(frozen=True, slots=True)
class Working:
    """What matching needs to know of an order."""

    name: str
    side: str
    type: str
    limit_price: Decimal | None = None
    stop_price: Decimal | None = None
    trail_price: Decimal | None = None
    trail_percent: Decimal | None = None
    hwm: Decimal | None = None
    triggered: bool = False


@dataclass(frozen=True, slots=True)
class Verdict:
    """``fill_price`` None: not now. ``triggered``, ``hwm`` and ``stop_price`` are the order's new state."""

    fill_price: Decimal | None
    triggered: bool
    hwm: Decimal | None
    stop_price: Decimal | None


def examine(order: Working, price: Decimal, costs: Costs) -> Verdict:
    """Whether ``order`` fills at ``price``.

    Stops are touched by the price itself, limits must be met by the bid or ask, and a limit is never filled worse than
    its limit. A trailing stop follows the best price seen since it was placed.
    """
    buy = order.side == "buy"
    bid, ask = costs.quote(price)
    stop, hwm, triggered = order.stop_price, order.hwm, order.triggered
    if order.type == "trailing_stop" and not triggered:
        hwm = price if hwm is None else (min(hwm, price) if buy else max(hwm, price))
        if order.trail_price is not None:
            distance = order.trail_price
        else:
            distance = hwm * (order.trail_percent or Decimal(0)) / 100
        stop = tidy(hwm + distance if buy else hwm - distance)
    if order.type in {"stop", "stop_limit", "trailing_stop"} and not triggered:
        if stop is None:
            return Verdict(None, triggered, hwm, stop)
        triggered = price >= stop if buy else price <= stop
        if not triggered:
            return Verdict(None, triggered, hwm, stop)
    slip = costs.slippage(price, order.name)
    taken = ask + slip if buy else bid - slip
    if order.type in {"limit", "stop_limit"}:
        limit = order.limit_price
        if limit is None or (ask > limit if buy else bid < limit):
            return Verdict(None, triggered, hwm, stop)
        taken = min(taken, limit) if buy else max(taken, limit)
    return Verdict(tidy(taken), triggered, hwm, stop)


def tidy(price: Decimal) -> Decimal:
    """Four decimals from a dollar up, nine below."""
    unit = Decimal("0.0001") if abs(price) >= 1 else Decimal("0.000000001")
    return price.quantize(unit, rounding=ROUND_HALF_EVEN)


def crosses(side: str, type_: str, limit: Decimal | None, other_type: str, other_limit: Decimal | None) -> bool:
    """Whether an order could trade with an opposite order of the same account: a wash trade."""
    if limit is None or other_limit is None or type_ in {"market", "stop", "trailing_stop"}:
        return True
    if other_type in {"market", "stop", "trailing_stop"}:
        return True
    return limit >= other_limit if side == "buy" else limit <= other_limit
