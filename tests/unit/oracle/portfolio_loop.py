"""One cash, many symbols, in plain Python: one author's reading of how such an account works. No code of the engine.

``rebalanced`` holds weights; ``shared`` trades signals with stops, both sides, and every way of sizing. Bars are given
as {symbol: {day: (open, high, low, close)}} over whole-number days; decisions as {symbol: {day: (enter long, leave
long, enter short, leave short)}}. Orders are (day, symbol, side, price, quantity).
"""

from __future__ import annotations

import itertools
import math


def rebalanced(
    bars, decisions, period_of, *, cash, kind, band, window, gross=1.0, commission=0.0, slippage=0.0, fixed=0.0,
    whole=False,
):  # fmt: skip
    """Orders and the equity at every close.

    At each open, what the last decision left to do is done by those who trade then: sell, then buy. At each close the
    symbols that are in get equal parts, or parts by 1 / deviation; a new decision is taken when somebody came or went,
    or on the first day of a period where a part is off by more than the band, or somebody is missing or too many.
    """
    names = list(bars)
    days = sorted({day for own in bars.values() for day in own})
    shares = dict.fromkeys(names, 0.0)
    last = dict.fromkeys(names)
    closes = {name: [] for name in names}
    inside = dict.fromkeys(names, False)
    target: dict[str, float] = {}
    to_do: set[str] = set()
    orders, equity = [], []
    for number, day in enumerate(days):
        here = [name for name in names if day in bars[name]]
        price = {name: bars[name][day][0] if name in here else last[name] for name in names}
        worth = cash + sum(shares[n] * price[n] for n in names if shares[n])
        acting = [name for name in names if name in here and name in to_do]
        to_do -= set(acting)
        want = {}
        for name in acting:
            goal = worth * target[name] / price[name]
            want[name] = math.floor(goal) if whole else goal
        moves = {n: want[n] - shares[n] for n in acting if abs(want[n] - shares[n]) * price[n] > 1e-9 * worth}
        for name in [n for n in names if moves.get(n, 0) < 0]:
            paid = price[name] * (1 - slippage)
            quantity = -moves[name]
            cash += quantity * paid * (1 - commission) - fixed
            shares[name] = 0.0 if abs(shares[name] - quantity) <= 1e-12 * quantity else shares[name] - quantity
            orders.append((day, name, "sell", paid, quantity))
        buyers = [n for n in names if moves.get(n, 0) > 0]
        bill = sum(moves[n] * price[n] * (1 + slippage) * (1 + commission) for n in buyers)
        purse = max(cash - fixed * len(buyers), 0.0)
        share = min(1.0, purse / bill) if buyers else 1.0
        for name in buyers:
            quantity = moves[name] * share
            if whole and share < 1:
                quantity = math.floor(quantity)
            if quantity * price[name] > 1e-9 * worth:
                paid = price[name] * (1 + slippage)
                cash -= quantity * paid * (1 + commission) + fixed
                shares[name] += quantity
                orders.append((day, name, "buy", paid, quantity))
        if share < 1 and any(shares[n] and shares[n] * price[n] > worth * target[n] for n in to_do):
            to_do |= set(buyers)

        for name in here:
            last[name] = bars[name][day][3]
            closes[name].append(last[name])
        came_or_went = False
        for name in here:
            enter, leave, *_ = decisions[name].get(day, (False, False))
            new = False if leave else (True if enter else inside[name])
            came_or_went |= new != inside[name]
            inside[name] = new
        equity.append(cash + sum(shares[n] * last[n] for n in names if shares[n]))
        first_of_period = number == 0 or period_of(day) != period_of(days[number - 1])
        if not (came_or_went or first_of_period):
            continue
        raw = {}
        for name in names:
            raw[name] = 0.0
            if inside[name]:
                if kind == "equal":
                    raw[name] = 1.0
                else:
                    seen = closes[name][-window - 1 :]
                    moved = [b / a - 1 for a, b in itertools.pairwise(seen)]
                    if len(moved) == window and any(moved):
                        mean = sum(moved) / window
                        spread = math.sqrt(sum((m - mean) ** 2 for m in moved) / (window - 1))
                        raw[name] = 1 / spread if spread > 0 else 0.0
        total = sum(raw.values())
        wanted = {n: gross * raw[n] / total if total else 0.0 for n in names}
        worth = equity[-1]
        if worth <= 0:
            continue
        off = max(abs((shares[n] * last[n] / worth if shares[n] else 0.0) - wanted[n]) for n in names)
        wrong = any((wanted[n] > 0) != (shares[n] > 0) for n in names)
        if came_or_went or wrong or off > band:
            target, to_do = wanted, set(names)
    return orders, equity
