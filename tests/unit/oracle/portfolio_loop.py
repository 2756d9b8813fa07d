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


def shared(bars, decisions, setup, loop):
    """Signals, stops and sizes of many symbols that live on one cash: orders and equity at every close.

    ``setup`` and the stop rules of one position are those of the event loop of one symbol (``loop``). What is new here:

    1. At an open everybody who leaves does so before anybody enters; sales come before purchases.
    2. Entries of a moment are sized on the same equity: the cash after what was left, and all that is held at its open,
       or at its last close where it has no bar.
    3. Short entries come first, from the largest to the smallest, then purchases from the smallest to the largest;
       equal ones in the order of symbols.
    4. The proceeds of a short sale are locked, and as much again is set aside for buying back: what may be spent is the
       cash less twice what was got for the open shorts.
    """
    names = list(bars)
    days = sorted({day for own in bars.values() for day in own})
    accounts = {name: loop.Account(0.0) for name in names}
    ranges = {name: loop.wilder_atr(list(bars[name].values()), setup.atr_window) for name in names}
    place = {name: {day: n for n, day in enumerate(bars[name])} for name in names}
    blocked = dict.fromkeys(names, -1)
    last = dict.fromkeys(names, 0.0)
    purse = {"cash": setup.cash, "debt": dict.fromkeys(names, 0.0), "ruined": False}
    orders, equity = [], []

    def fill(number, name, quantity, price, signed):
        fees = quantity * price * setup.commission + setup.fixed
        account = accounts[name]
        if account.shares < 0 and signed > 0:
            purse["debt"][name] *= max(1 - quantity / -account.shares, 0.0)
        purse["cash"] -= signed * quantity * price + fees
        account.shares += signed * quantity
        if signed < 0 and account.shares < 0:
            purse["debt"][name] += quantity * price
        if abs(account.shares) < 1e-9:
            account.shares, purse["debt"][name] = 0.0, 0.0
        orders.append((number, names.index(name), "buy" if signed > 0 else "sell", price, quantity))

    def leave(number, name, raw):
        account = accounts[name]
        side, quantity = account.side, abs(account.shares)
        price = raw * (1 - side * setup.slippage)
        if side < 0 and quantity * price * (1 + setup.commission) + setup.fixed > purse["cash"] - 1e-6:
            purse["ruined"] = True
        fill(number, name, quantity, price, -side)
        if setup.cooldown:
            blocked[name] = number + setup.cooldown

    for number, day in enumerate(days):
        here = [name for name in names if day in bars[name]]
        held = {name: accounts[name].side for name in here}
        wants = {}
        for name in here:
            own = place[name][day]
            wants[name] = loop._decision(own - 1, *zip(*decisions[name], strict=True), setup) if own else {}
        leaving = []
        for name in here:
            account, opening = accounts[name], bars[name][day][0]
            if account.side and (
                loop._stop_at(account, opening) or loop._leaving(account, place[name][day], wants[name], setup)
            ):
                leaving.append(name)
        for name in sorted(leaving, key=lambda n: -accounts[n].side):
            leave(number, name, bars[name][day][0])
        for name in here:
            if accounts[name].side:
                loop._see(accounts[name], bars[name][day][0], bars[name][day][0])
        worth = purse["cash"] + sum(
            accounts[n].shares * (bars[n][day][0] if n in here else last[n]) for n in names if accounts[n].side
        )
        entries = []
        for name in here:
            if accounts[name].side or number <= blocked[name]:
                continue
            for side, word in ((1, "enter_long"), (-1, "enter_short")):
                if wants[name].get(word) and held[name] != side:
                    if name in leaving and setup.direction != "long_short":
                        continue
                    known = ranges[name][place[name][day] - 1]
                    if loop._needs_atr(setup) and not known:
                        continue
                    entries.append((name, side, *_sized(bars[name][day][0], side, known, worth, setup)))
                    break
        entries.sort(key=lambda e: (e[1] > 0, round(e[1] * e[3] * e[2] * (1 + setup.commission), 6), names.index(e[0])))
        for name, side, price, wanted, loss, known in entries:
            free = purse["cash"] - 2 * sum(purse["debt"].values())
            quantity = min(wanted, (free - setup.fixed) / (1 + setup.commission) / price)
            if setup.whole:
                given = setup.size[0] == "shares" and quantity == wanted
                if not given and abs(quantity - round(quantity)) <= 1e-9 * max(abs(quantity), 1):
                    setup.undecided = True  # a computed whole number may round either way
                quantity = math.floor(quantity)
            if quantity <= 1e-9:
                continue
            fill(number, name, quantity, price, side)
            account = accounts[name]
            account.entry, account.entry_bar, account.best = price, place[name][day], price
            account.loss, account.profit, account.trail = loss, setup.profit, setup.trail
            if setup.atr_profit is not None:
                account.profit = setup.atr_profit * known / price
            if setup.atr_trail is not None:
                account.trail = setup.atr_trail * known / price
        stopped = []
        for name in here:
            if accounts[name].side:
                hit = loop._stop_inside(accounts[name], *bars[name][day][:3])
                if hit is not None:
                    stopped.append((name, hit))
        for name, hit in sorted(stopped, key=lambda s: -accounts[s[0]].side):
            leave(number, name, hit)
        for name in here:
            if accounts[name].side:
                loop._see(accounts[name], *bars[name][day][1:3])
            last[name] = bars[name][day][3]
        equity.append(purse["cash"] + sum(accounts[n].shares * last[n] for n in names if accounts[n].side))
    return orders, equity, purse["ruined"] or min(equity) <= 0


def _sized(opening, side, known, worth, setup):
    """(price, quantity wanted, distance of the stop, average true range)."""
    price = opening * (1 + side * setup.slippage)
    kind, value = setup.size
    loss = setup.atr_loss * known / price if setup.atr_loss is not None else setup.loss
    if kind == "risk" and loss is None:
        loss = 2.0 * known / price
    if kind == "percent":
        wanted = max(worth * value / 100 - setup.fixed, 0.0) / (1 + setup.commission) / price
    elif kind == "risk":
        part = min(value / 100 / loss * (1 + setup.commission), 1.0)
        wanted = max(worth * part - setup.fixed, 0.0) / (1 + setup.commission) / price
    else:
        wanted = value / opening if kind == "cash" else value
    return price, wanted, loss, known
