"""An event loop in plain Python: one author's reading of how a bar-by-bar account works. Shares no code with the
engine.

The rules, in the order things happen on a bar:

1. At the open, an open position first meets its stops: if the open is at or beyond the stop, it is sold at the open;
else if it
   is at or beyond the target likewise.
2. Then decisions made at the previous close act at the open: leave, then enter if flat. Whoever held a position when
the bar
   began may not enter the same side at that open; an entry to the other side (where both are allowed) reverses.
3. Inside the bar the stop acts at its level (or at the open, if that is beyond it), before the target.
4. A trailing stop follows the best price seen on earlier moments: the open counts before the rest of the bar, the
bar's high and
   low only afterwards.

With ``same_close`` decisions act at the close of their own bar, after its stops.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field


@dataclass
class Setup:
    direction: str = "long_only"
    same_close: bool = False
    cash: float = 10_000.0
    size: tuple[str, float] = ("percent", 100.0)
    commission: float = 0.0
    fixed: float = 0.0
    slippage: float = 0.0
    whole: bool = False
    loss: float | None = None
    profit: float | None = None
    trail: float | None = None
    atr_loss: float | None = None
    atr_trail: float | None = None
    atr_profit: float | None = None
    atr_window: int = 14
    hold: int | None = None
    cooldown: int = 0
    undecided: bool = False


@dataclass
class Account:
    cash: float
    shares: float = 0.0
    entry: float = 0.0
    entry_bar: int = -1
    best: float = 0.0
    loss: float | None = None
    profit: float | None = None
    trail: float | None = None
    orders: list[tuple[int, str, float, float, float]] = field(default_factory=list)

    @property
    def side(self) -> int:
        return (self.shares > 0) - (self.shares < 0)


def run(bars, long_in, long_out, short_in, short_out, setup: Setup):
    """Orders as (bar, side, price, quantity, fees) and the equity at every close."""
    account = Account(setup.cash)
    ranges = wilder_atr(bars, setup.atr_window) if _needs_atr(setup) else None
    equity = []
    blocked_until = -1
    for i, (o, h, l, c) in enumerate(bars):  # noqa: E741
        held = account.side
        stopped_at_open = False
        if account.side and _stop_at(account, o):
            _leave(account, i, o, setup)
            stopped_at_open = True
            blocked_until = max(blocked_until, i + setup.cooldown if setup.cooldown else -1)
        if account.side:
            _see(account, o, o)
        if not setup.same_close and i > 0:
            want = _decision(i - 1, long_in, long_out, short_in, short_out, setup)
            blocked_until = _act(account, i, o, want, held, stopped_at_open, ranges, i - 1, blocked_until, setup)
        stopped_inside = False
        if account.side and (hit := _stop_inside(account, o, h, l)) is not None:
            _leave(account, i, hit, setup)
            stopped_inside = True
            blocked_until = max(blocked_until, i + setup.cooldown if setup.cooldown else -1)
        if account.side:
            _see(account, h, l)
        if setup.same_close:
            want = _decision(i, long_in, long_out, short_in, short_out, setup)
            both_sides = setup.direction == "long_short"
            if stopped_inside and not both_sides:
                want = {}
            before = account.side
            held_now = held if stopped_inside else before
            if both_sides and before and not (_leaving(account, i, want, setup)) and _stop_at(account, c):
                _leave(account, i, c, setup)  # the account is looked at once more at the close
                blocked_until = max(blocked_until, i + setup.cooldown if setup.cooldown else -1)
                want = {}
            blocked_until = _act(account, i, c, want, held_now, stopped_inside, ranges, i, blocked_until, setup)
        equity.append(account.cash + account.shares * c)
    return account.orders, equity


def _needs_atr(setup: Setup) -> bool:
    return any(x is not None for x in (setup.atr_loss, setup.atr_trail, setup.atr_profit)) or (
        setup.size[0] == "risk" and setup.loss is None
    )


def _decision(i, long_in, long_out, short_in, short_out, setup: Setup) -> dict[str, bool]:
    li, lo, si, so = bool(long_in[i]), bool(long_out[i]), bool(short_in[i]), bool(short_out[i])
    li, si = li and not lo, si and not so
    if setup.direction == "long_only":
        return {"enter_long": li, "leave_long": lo}
    if setup.direction == "short_only":
        return {"enter_short": si, "leave_short": so}
    if li and si:
        li = si = False
    return {"enter_long": li, "leave_long": lo or si, "enter_short": si, "leave_short": so or li}


def _leaving(account: Account, i: int, want: dict[str, bool], setup: Setup) -> bool:
    asked = want.get("leave_long") if account.side > 0 else want.get("leave_short")
    timed = setup.hold is not None and i >= account.entry_bar + setup.hold
    return bool(asked or timed)


def _act(account, i, price, want, held, stopped, ranges, known, blocked_until, setup) -> int:
    if account.side and _leaving(account, i, want, setup):
        _leave(account, i, price, setup)
        if account.side == 0 and setup.cooldown:
            blocked_until = max(blocked_until, i + setup.cooldown)
    if account.side or i <= blocked_until:
        return blocked_until
    for side, name in ((1, "enter_long"), (-1, "enter_short")):
        if want.get(name) and held != side:
            if stopped and setup.direction != "long_short":
                continue
            _enter(account, i, price, side, ranges[known] if ranges else None, setup)
            break
    return blocked_until


def _enter(account, i, price, side, atr, setup) -> None:
    if _needs_atr(setup) and not atr:  # not known yet, or prices that do not move
        return
    fill = price * (1 + side * setup.slippage)
    kind, value = setup.size
    loss = setup.loss
    if setup.atr_loss is not None:
        loss = setup.atr_loss * atr / fill
    if kind == "risk" and loss is None:
        loss = 2.0 * atr / fill
    most = (account.cash - setup.fixed) / (1 + setup.commission) / fill
    if kind == "percent" or kind == "risk":
        part = value / 100 if kind == "percent" else min(value / 100 / loss * (1 + setup.commission), 1.0)
        if side > 0:
            quantity = (account.cash * part - setup.fixed) / (1 + setup.commission) / fill
        else:
            quantity = most * part
    elif kind == "cash":
        quantity = min(value / price, most)
    else:
        quantity = min(value, most)
    if setup.whole:
        quantity = _whole(quantity, quantity == value, setup)
    if quantity <= 1e-9:
        return
    _trade(account, i, side * quantity, fill, setup)
    account.entry, account.entry_bar, account.best = fill, i, fill
    account.loss = loss
    account.profit = setup.atr_profit * atr / fill if setup.atr_profit is not None else setup.profit
    account.trail = setup.atr_trail * atr / fill if setup.atr_trail is not None else setup.trail


def _whole(quantity: float, given: bool, setup: Setup) -> int:
    """Rounded down. A computed quantity that is a whole number but for the last digits may round either way."""
    if not given and abs(quantity - round(quantity)) <= 1e-9 * max(abs(quantity), 1):
        setup.undecided = True
    return math.floor(quantity)


def _leave(account, i, price, setup) -> None:
    side = account.side
    fill = price * (1 - side * setup.slippage)
    quantity = abs(account.shares)
    if side < 0:  # buying back is limited by the money there is
        quantity = min(quantity, (account.cash - setup.fixed) / (1 + setup.commission) / fill)
        if setup.whole:
            quantity = _whole(quantity, quantity == abs(account.shares), setup)
    if quantity > 1e-12:
        _trade(account, i, -side * quantity, fill, setup)


def _trade(account, i, signed, fill, setup) -> None:
    fees = abs(signed) * fill * setup.commission + setup.fixed
    account.cash -= signed * fill + fees
    account.shares += signed
    if abs(account.shares) < 1e-9:
        account.shares = 0.0
    account.orders.append((i, "buy" if signed > 0 else "sell", fill, abs(signed), fees))


def _levels(account) -> tuple[float | None, float | None]:
    side = account.side
    stops = []
    if account.loss is not None:
        stops.append(account.entry * (1 - side * account.loss))
    if account.trail is not None:
        stops.append(account.best * (1 - side * account.trail))
    stop = (max(stops) if side > 0 else min(stops)) if stops else None
    target = account.entry * (1 + side * account.profit) if account.profit is not None else None
    return stop, target


def _stop_at(account, price) -> bool:
    stop, target = _levels(account)
    side = account.side
    return (stop is not None and side * (price - stop) <= 0) or (target is not None and side * (price - target) >= 0)


def _stop_inside(account, o, h, l):  # noqa: E741
    stop, target = _levels(account)
    side = account.side
    worst, best = (l, h) if side > 0 else (h, l)
    if stop is not None:
        if side * (o - stop) <= 0:
            return o
        if side * (worst - stop) <= 0:
            return stop
    if target is not None:
        if side * (o - target) >= 0:
            return o
        if side * (best - target) >= 0:
            return target
    return None


def _see(account, high, low) -> None:
    account.best = max(account.best, high) if account.side > 0 else min(account.best, low)


def wilder_atr(bars, window):
    """Average true range after Wilder (1978): the mean of the first ``window`` true ranges, then smoothed by
    1/window."""
    out: list[float | None] = [None] * len(bars)
    true_ranges = []
    for i in range(1, len(bars)):
        _, h, l, _ = bars[i]  # noqa: E741
        before = bars[i - 1][3]
        true_ranges.append(max(h - l, abs(h - before), abs(l - before)))
    if len(true_ranges) < window:
        return out
    value = sum(true_ranges[:window]) / window
    out[window] = value
    for i in range(window, len(true_ranges)):
        value = (value * (window - 1) + true_ranges[i]) / window
        out[i + 1] = value
    return out
