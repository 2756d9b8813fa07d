"""Compiled loops of a simulation that looks at a bar only where something was decided.

They stand beside the engine's own call for the plain case: no stops, one cash for each column, no adding to a position.
An order is worked out as ``vectorbt.portfolio.nb`` documents it (cash, debt and free cash, partial fills, tolerances),
so orders are the same to the last bit, which tests check against the engine.

Imported only where there is enough to simulate, since it brings in numba. One file on purpose: numba's cache on disk
notices a change only in the file of the function it compiled. Compiled code is kept on disk.
"""

from __future__ import annotations

import math

import numpy as np

from dashtrade.compile_cache import njit

_AMOUNT, _VALUE, _PERCENT = 0, 1, 2
_RELATIVE, _ABSOLUTE = 1e-9, 1e-12
CROSSES_ABOVE, CROSSES_BELOW, ABOVE, BELOW, AT_LEAST, AT_MOST = 0, 1, 2, 3, 4, 5
MEASURES = 13
"""Statistics of a column, in the order of ``dashtrade.backtest.block.METRICS``."""


@njit(cache=True, nogil=True, error_model="numpy")
def _close(a, b):  # type: ignore[no-untyped-def]
    if math.isnan(a) or math.isnan(b) or math.isinf(a) or math.isinf(b):
        return False
    return a == b or abs(a - b) <= max(_RELATIVE * max(abs(a), abs(b)), _ABSOLUTE)


@njit(cache=True, nogil=True, error_model="numpy")
def _add(a, b):  # type: ignore[no-untyped-def]
    """The sum, or 0 where that is only what rounding left."""
    opposite = (a > 0) - (a < 0) != (b > 0) - (b < 0)
    if opposite:
        if _close(abs(a), abs(b)):
            return 0.0
    elif _close(a + b, 0.0):
        return 0.0
    return a + b


@njit(cache=True, nogil=True, error_model="numpy")
def _buy(state, size, percent, price, commission, fixed, slippage, granularity, locked, covering):  # type: ignore[no-untyped-def]
    """Fills a purchase in ``state`` (cash, position, debt, free cash); (filled, size, price, fees)."""
    cash, position, debt, free = state[0], state[1], state[2], state[3]
    adjusted = price * (1 + slippage)
    limit = cash
    if locked:
        if position >= 0:
            limit = free
        else:
            needed = abs(position) * adjusted * (1 + commission) + fixed
            left = _add(free + 2 * debt, -needed)
            if left > 0:
                limit = free + 2 * debt
            elif left < 0:
                average = debt / abs(position)
                most = (free - fixed) / (adjusted * (1 + commission) - 2 * average)
                limit = most * adjusted * (1 + commission) + fixed
    limit = min(limit, cash)
    if not math.isnan(percent):
        limit = min(limit, percent * limit)
    if not covering and limit == 0:
        return False, 0.0, 0.0, 0.0
    if covering and position == 0:
        return False, 0.0, 0.0, 0.0
    wanted = min(-position, size) if covering else size
    if wanted == 0:
        return False, 0.0, 0.0, 0.0
    if not math.isnan(granularity):
        wanted = wanted // granularity * granularity
    cost = wanted * adjusted
    fees = cost * commission + fixed
    total = cost + fees
    if _close(total, limit) or total < limit:
        final = wanted
    else:
        most = _add(limit, -fixed) / (1 + commission)
        if most <= 0:
            return False, 0.0, 0.0, 0.0
        final = most / adjusted
        if not math.isnan(granularity):
            final = final // granularity * granularity
            cost = final * adjusted
            fees = cost * commission + fixed
            total = cost + fees
        else:
            fees = limit - most
            total = limit
    least = 0.0 if math.isnan(granularity) else granularity  # no fee for an order of no share
    if _close(wanted, 0.0) or (final < least and not _close(final, least)):
        return False, 0.0, 0.0, 0.0
    after = _add(position, final)
    if position < 0:
        short = final if after < 0 else abs(position)
        gone = short * (debt / abs(position))
        state[2] = _add(debt, -gone)
        state[3] = _add(free + 2 * gone, -total)
    else:
        state[3] = _add(free, -total)
    state[0], state[1] = _add(cash, -total), after
    return True, final, adjusted, fees


@njit(cache=True, nogil=True, error_model="numpy")
def _sell(state, size, percent, price, commission, fixed, slippage, granularity, locked, leaving):  # type: ignore[no-untyped-def]
    """Fills a sale or a short sale in ``state``; (filled, size, price, fees)."""
    cash, position, debt, free = state[0], state[1], state[2], state[3]
    adjusted = price * (1 - slippage)
    by_share = math.isinf(size) and not math.isnan(percent)
    limit = size
    if leaving:
        limit = min(position, size)
    elif locked or by_share:
        held = max(position, 0.0)
        total_free = _add(free, held * adjusted * (1 - commission))
        if total_free <= 0:
            if position <= 0:
                return False, 0.0, 0.0, 0.0
            most = held
        else:
            most = _add(held, _add(total_free, -fixed) / (adjusted * (1 + commission)))
            if most <= 0:
                return False, 0.0, 0.0, 0.0
        if not locked:
            limit = most
        else:
            if by_share:
                limit = min(percent * most, most)
            elif not math.isnan(percent):
                limit = min(percent * size, most)
            else:
                limit = min(size, most)
            percent = math.nan
    if not math.isnan(percent):
        limit = percent * limit
    if leaving and position == 0:
        return False, 0.0, 0.0, 0.0
    if not math.isnan(granularity):
        limit = limit // granularity * granularity
    if _close(limit, 0.0) or limit < 0:
        return False, 0.0, 0.0, 0.0
    got = limit * adjusted
    fees = got * commission + fixed
    gain = _add(got, -fees)
    if gain < 0:
        return False, 0.0, 0.0, 0.0
    after = _add(position, -limit)
    if after < 0:
        value = (limit if position < 0 else abs(after)) * adjusted
        state[2] = debt + value
        state[3] = _add(free, _add(gain, -2 * value))
    else:
        state[3] = free + gain
    state[0], state[1] = cash + gain, after
    return True, limit, adjusted, fees


@njit(cache=True, nogil=True, error_model="numpy")
def _order(state, side, size, kind, price, commission, fixed, slippage, granularity, locked, only):  # type: ignore[no-untyped-def]
    """One order of ``side`` (1 buys, -1 sells). ``only`` is 1 where it may end in no short position, -1 in no long."""
    for n in range(4):
        if _close(state[n], 0.0):
            state[n] = 0.0
    if math.isnan(size) or math.isnan(price):
        return False, 0.0, 0.0, 0.0
    percent = math.nan
    if kind == _VALUE:
        size = size / price
    elif kind == _PERCENT:
        percent, size = size, math.inf
    if side > 0:
        return _buy(state, size, percent, price, commission, fixed, slippage, granularity, locked, only < 0)
    return _sell(state, size, percent, price, commission, fixed, slippage, granularity, locked, only > 0)


@njit(cache=True, nogil=True, error_model="numpy")
def _act(  # type: ignore[no-untyped-def]
    enter_long, leave_long, enter_short, leave_short, t, price, state, size, kind, costs, locked, layout, col, orders,
    after, n,
):  # fmt: skip
    """What was decided for bar ``t``, at ``price``: puts its orders at place ``n`` of ``orders`` and the shares held
    after each into ``after``. Gives the place after the last, or -1 where there is no room."""
    commission, fixed, slippage, granularity = costs[0], costs[1], costs[2], costs[3]
    per, exit_row, entry_row = layout[0], layout[1], layout[2]
    apart = entry_row != exit_row
    for phase in range(2):
        entering = phase == 1
        if not apart and not entering:
            continue
        position = state[1]
        row = t * per + (entry_row if entering else exit_row)
        may_leave = not entering or not apart
        filled, amount, paid, fees, side = False, 0.0, 0.0, 0.0, 0
        if position > 0:
            if may_leave and leave_long and not (enter_long and not apart):
                side = -1
                filled, amount, paid, fees = _order(
                    state, -1, position, _AMOUNT, price, commission, fixed, slippage, granularity,
                    locked and entering and (enter_long or enter_short), 1,
                )  # fmt: skip
        elif position < 0:
            if may_leave and leave_short and not (enter_short and not apart):
                side = 1
                filled, amount, paid, fees = _order(
                    state, 1, -position, _AMOUNT, price, commission, fixed, slippage, granularity,
                    locked and entering and (enter_long or enter_short), -1,
                )  # fmt: skip
        elif entering:
            long_now = enter_long and not (leave_long and not apart)
            short_now = enter_short and not (leave_short and not apart)
            if long_now != short_now:
                side = 1 if long_now else -1
                filled, amount, paid, fees = _order(
                    state, side, size, kind, price, commission, fixed, slippage, granularity, locked, 0
                )
        if filled and amount > 0:
            if n == len(orders):
                return -1
            order = orders[n]
            order["id"], order["col"], order["idx"] = n, col, row
            order["size"], order["price"], order["fees"] = amount, paid, fees
            order["side"] = 0 if side > 0 else 1
            after[n] = state[1]
            n += 1
    return n


@njit(cache=True, nogil=True, error_model="numpy")
def _column(le, lx, se, sx, price, cash, size, kind, costs, locked, layout, col, orders, after, start):  # type: ignore[no-untyped-def]
    """Simulates one column of flags; see ``_act``, whose orders stand from ``start`` on."""
    state = np.array([cash, 0.0, 0.0, cash])
    has_short = len(se) > 0
    has_long = len(le) > 0
    n = start
    for t in range(len(price)):
        enter_long, leave_long = has_long and le[t], has_long and lx[t]
        enter_short, leave_short = has_short and se[t], has_short and sx[t]
        if enter_long or leave_long or enter_short or leave_short:
            n = _act(
                enter_long, leave_long, enter_short, leave_short, t, price[t], state, size, kind, costs, locked, layout,
                col, orders, after, n,
            )  # fmt: skip
            if n < 0:
                return n
    return n


@njit(cache=True, nogil=True, error_model="numpy")
def _events_column(  # type: ignore[no-untyped-def]
    le, lx, se, sx, has_long, has_short, price, cash, size, kind, costs, locked, layout, col, orders, after
):
    """The same from the bars at which each rule came true, in order of time."""
    state = np.array([cash, 0.0, 0.0, cash])
    bars = len(price)
    n, a, b, c, d = 0, 0, 0, 0, 0
    while True:
        t = bars
        if a < len(le):
            t = min(t, le[a])
        if b < len(lx):
            t = min(t, lx[b])
        if c < len(se):
            t = min(t, se[c])
        if d < len(sx):
            t = min(t, sx[d])
        if t == bars:
            return n
        enter_long, leave_long = a < len(le) and le[a] == t, b < len(lx) and lx[b] == t
        enter_short, leave_short = c < len(se) and se[c] == t, d < len(sx) and sx[d] == t
        a, b, c, d = a + enter_long, b + leave_long, c + enter_short, d + leave_short
        enter_long = enter_long and not leave_long  # an exit forbids the entry of its side
        enter_short = enter_short and not leave_short
        if has_long and has_short:  # entries to both sides cancel each other; one to the other side leaves first
            if enter_long and enter_short:
                enter_long = enter_short = False
            leave_long = leave_long or enter_short
            leave_short = leave_short or enter_long
        n = _act(
            enter_long, leave_long, enter_short, leave_short, t, price[t], state, size, kind, costs, locked, layout,
            col, orders, after, n,
        )  # fmt: skip
        if n < 0:
            return n


@njit(cache=True, nogil=True, error_model="numpy")
def simulate(le, lx, se, sx, price, cash, size, kind, costs, locked, layout, orders, after):  # type: ignore[no-untyped-def]
    """Every column of flags of shape (columns, bars); ``price`` is (1, bars) or (columns, bars). The number of
    orders, or -1 where there was no room for them."""
    n = 0
    for col in range(max(len(le), len(se))):
        long_row, short_row = min(col, len(le) - 1), min(col, len(se) - 1)
        n = _column(
            le[long_row] if len(le) else le.reshape(-1), lx[long_row] if len(lx) else lx.reshape(-1),
            se[short_row] if len(se) else se.reshape(-1), sx[short_row] if len(sx) else sx.reshape(-1),
            price[col if len(price) > 1 else 0], cash, size, kind, costs, locked, layout, col, orders, after, n,
        )  # fmt: skip
        if n < 0:
            return n
    return n


@njit(cache=True, nogil=True, error_model="numpy")
def value(orders, after, per, marks, cash, values, held):  # type: ignore[no-untyped-def]
    """Account value at each bar's close into ``values``, and shares into ``held``, of shape (columns, bars) as
    ``marks``; ``orders`` are by column and time."""
    bars = len(values)
    values[:] = 0.0
    worth = np.zeros(bars)
    for n in range(len(orders)):
        order = orders[n]
        signed = order["size"] if order["side"] == 0 else -order["size"]
        values[order["idx"] // per] += -signed * order["price"] - order["fees"]
    n = 0
    while n < len(orders):
        col = orders[n]["col"]
        shares = after[n]
        start = orders[n]["idx"] // per
        n += 1
        until = bars
        if n < len(orders) and orders[n]["col"] == col:
            until = orders[n]["idx"] // per
        if shares != 0.0:
            for t in range(start, until):
                held[col, t] = shares
                worth[t] += shares * marks[col, t]
    flow = 0.0
    for t in range(bars):
        flow += values[t]
        values[t] = cash + flow + worth[t]


@njit(cache=True, nogil=True, error_model="numpy")
def _events(operator, left, right, lag, out):  # type: ignore[no-untyped-def]
    """The bars, ``lag`` later, at whose close a comparison of two lines came true, into ``out``; unknown values are
    false. Gives their number."""
    sign = -1.0 if operator in (CROSSES_BELOW, BELOW, AT_MOST) else 1.0
    n = 0
    if operator <= CROSSES_BELOW:
        before = False  # known, and not beyond, one bar earlier
        for t in range(len(left) - lag):
            a, b = sign * left[t], sign * right[t]
            out[n] = t + lag
            n += (a > b) & before
            before = a <= b
    elif operator <= BELOW:
        for t in range(len(left) - lag):
            out[n] = t + lag
            n += sign * left[t] > sign * right[t]
    else:
        for t in range(len(left) - lag):
            out[n] = t + lag
            n += sign * left[t] >= sign * right[t]
    return n


@njit(cache=True, nogil=True, error_model="numpy")
def _measure(orders, after, first, last, marks, cash, per, factor, free, scratch, out):  # type: ignore[no-untyped-def]
    """Statistics of the orders ``first`` to ``last`` of one column into ``out``. Bars without a position count as one
    stretch; a bar's value is cash plus shares at its close."""
    bars = len(marks)
    inside = 0  # bars whose excess return stands in scratch
    flat = 0  # bars whose return is 0
    held_bars = 0
    flow = 0.0
    held = 0.0
    before = cash
    peak, low, deepest = cash, cash, 0.0
    t, n = 0, first
    while t < bars:
        until = bars
        if n < last:
            until = orders[n]["idx"] // per
        if t < until:
            if held == 0.0:
                value = flow + cash
                if value != before or before <= 0:
                    until = t + 1  # the first bar after a sale, and a ruined account: one by one
                    if before > 0:
                        scratch[inside] = value / before - 1 - free
                        inside += 1
                else:
                    flat += until - t
                if value > peak:
                    peak = low = value
                elif value < low:
                    low = value
                    deepest = min(deepest, value / peak - 1)
                before = value
                t = until
                continue
            money = flow + cash
            held_bars += until - t
            for i in range(t, until):
                value = money + held * marks[i]
                if before > 0:
                    scratch[inside] = value / before - 1 - free
                    inside += 1
                if value > peak:
                    peak = low = value
                elif value < low:
                    low = value
                    deepest = min(deepest, value / peak - 1)
                before = value
            t = until
            continue
        change = 0.0
        while n < last and orders[n]["idx"] // per == t:
            order = orders[n]
            signed = order["size"] if order["side"] == 0 else -order["size"]
            change += -signed * order["price"] - order["fees"]
            held = after[n]
            n += 1
        flow += change
        value = flow + cash
        if held != 0.0:
            value += held * marks[t]
            held_bars += 1
        if before > 0:
            scratch[inside] = value / before - 1 - free
            inside += 1
        if value > peak:
            peak = low = value
        elif value < low:
            low = value
            deepest = min(deepest, value / peak - 1)
        before = value
        t += 1

    known = inside + flat
    still = 0.0 - free  # the excess return of a bar without a position
    sums, lost, squares, largest = 0.0, 0.0, 0.0, 0.0
    for i in range(inside):
        x = scratch[i]
        sums += x
        y = min(x, 0.0)
        lost -= y
        squares += y * y
        largest = max(largest, abs(x))
    sums += flat * still
    lost -= flat * min(still, 0.0)
    squares += flat * min(still, 0.0) ** 2
    if flat:
        largest = max(largest, abs(still))
    mean = sums / known
    spread = 0.0
    for i in range(inside):
        spread += (scratch[i] - mean) ** 2
    spread = math.sqrt((spread + flat * (still - mean) ** 2) / (known - 1))
    down = math.sqrt(squares / known)
    growth = before / cash
    cagr = -1.0
    if growth > 0:
        cagr = max(growth, 1e-300) ** (factor / bars) - 1
    root = math.sqrt(factor)
    out[0], out[1], out[2], out[3] = before, growth - 1, cagr, spread * root
    out[4] = mean / spread * root if spread > 1e-14 * max(largest, 1e-300) else math.nan
    out[5] = math.nan
    if down > 0:
        out[5] = mean * factor / (down * root)
    elif mean > 0:
        out[5] = math.inf
    out[6] = cagr / abs(deepest) if deepest < 0 else math.nan
    out[7] = (sums + lost) / lost if lost > 0 else math.nan
    out[8] = deepest

    trades, wins, gains, losses, pnl = 0, 0, 0.0, 0.0, 0.0
    for i in range(first, last):
        order = orders[i]
        signed = order["size"] if order["side"] == 0 else -order["size"]
        pnl += -signed * order["price"] - order["fees"]
        if after[i] == 0.0:
            trades += 1
            wins += pnl > 0
            gains += max(pnl, 0.0)
            losses += max(-pnl, 0.0)
            pnl = 0.0
    out[9] = trades
    out[10] = wins / trades if trades else math.nan
    out[11] = gains / losses if gains > 0 or losses > 0 else math.nan
    out[12] = held_bars / bars


@njit(cache=True, nogil=True, error_model="numpy")
def measure_orders(orders, after, starts, marks, cash, per, factor, free, out):  # type: ignore[no-untyped-def]
    """Statistics of every column of orders into ``out``: those of column n stand from ``starts[n]`` on."""
    scratch = np.empty(len(marks))
    for col in range(len(out)):
        _measure(orders, after, starts[col], starts[col + 1], marks, cash, per, factor, free, scratch, out[col])


@njit(cache=True, nogil=True, error_model="numpy")
def measure_flags(  # type: ignore[no-untyped-def]
    le, lx, se, sx, price, marks, cash, size, kind, costs, locked, layout, factor, free, orders, after, out
):
    """Statistics of every column of flags of shape (columns, bars) into ``out``; False where ``orders`` has no room for
    those of one column."""
    scratch = np.empty(len(marks))
    price_of = price.reshape(1, -1)[0]
    for col in range(len(out)):
        long_row, short_row = min(col, len(le) - 1), min(col, len(se) - 1)
        n = _column(
            le[long_row] if len(le) else le.reshape(-1), lx[long_row] if len(lx) else lx.reshape(-1),
            se[short_row] if len(se) else se.reshape(-1), sx[short_row] if len(sx) else sx.reshape(-1),
            price_of, cash, size, kind, costs, locked, layout, col, orders, after, 0,
        )  # fmt: skip
        if n < 0:
            return False
        _measure(orders, after, 0, n, marks, cash, layout[0], factor, free, scratch, out[col])
    return True


@njit(cache=True, nogil=True, error_model="numpy")
def measure_lines(  # type: ignore[no-untyped-def]
    lines, picks, slots, operators, lag, price, marks, cash, size, kind, costs, locked, layout, factor, free, orders,
    after, events, out,
):  # fmt: skip
    """Statistics of every combination into ``out``. ``picks`` (combinations, 4, 2) names the two of ``lines`` that each
    rule compares: entry and exit of the long side, then of the short; ``operators`` says how, -1 where there is no
    rule. ``events`` (4, places, bars) keeps the bars at which a rule came true; rules with the same number of a place
    in ``slots`` (combinations, 4) are the same, and -1 stands for one that is not kept."""
    scratch = np.empty(len(marks))
    known = np.full((4, events.shape[1]), -1)
    at, upto = np.zeros(4, dtype=np.int64), np.zeros(4, dtype=np.int64)
    for col in range(len(out)):
        for rule in range(4):
            if operators[rule] < 0:
                continue
            slot = max(slots[col, rule], 0)
            if known[rule, slot] < 0 or slots[col, rule] < 0:
                known[rule, slot] = _events(
                    operators[rule], lines[picks[col, rule, 0]], lines[picks[col, rule, 1]], lag, events[rule, slot]
                )
            at[rule], upto[rule] = slot, known[rule, slot]
        n = _events_column(
            events[0, at[0], : upto[0]], events[1, at[1], : upto[1]], events[2, at[2], : upto[2]],
            events[3, at[3], : upto[3]], operators[0] >= 0, operators[2] >= 0,
            price, cash, size, kind, costs, locked, layout, col, orders, after,
        )  # fmt: skip
        if n < 0:
            return False
        _measure(orders, after, 0, n, marks, cash, layout[0], factor, free, scratch, out[col])
    return True
