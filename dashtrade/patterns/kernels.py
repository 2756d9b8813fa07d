"""Compiled passes for pivots and chart patterns. Everything here goes forward in time and never looks past its bar.

Prices are read in "y-space": y = side · price. With side 1 a pattern breaks down through its lower line, with side −1
it is the mirror image that breaks up, so each shape is written once, as the one that falls.

One file on purpose: numba's cache on disk notices a change only in the file of the function it compiled, so a function
that calls one in another file would go on with the old one. Imported only when patterns are computed, since it brings
in numba. Compiled code is kept on disk.
"""

# mypy: disallow-untyped-defs=False, check-untyped-defs=False
from __future__ import annotations

import numpy as np

from dashtrade.compile_cache import njit

# columns of the zigzag's state
ATR, SUM, LAST_CLOSE, LEG, EXTREME, EXTREME_AT, LOW, LOW_AT, SEEN = range(9)

# columns of a hit
CODE, SIDE, FORMED, COUNT, FIRST_PIVOT = range(5)  # FIRST_PIVOT: index into the pivots; COUNT of them in a row
LINE_AT, LINE_Y, LINE_SLOPE, UPPER_Y, UPPER_SLOPE = range(5, 10)  # lines in y-space, both given at bar LINE_AT
HEIGHT, STOP, EXPIRES, FIT, SYMMETRY, SIZE = range(10, 16)
CONFIRMED, LEVEL, TARGET, REACHED, INVALIDATED, CURSOR, STATUS = range(16, 23)
WIDTH = 23
FORMING, WATCHED, DONE = 0.0, 1.0, 2.0

# shapes, named as side 1 (breaks down) has them
(
    DOUBLE,
    TRIPLE,
    HEAD_SHOULDERS,
    THREE_PEAKS,
    FLAT_BASE_TRIANGLE,
    SYMMETRICAL,
    WEDGE,
    FLAG,
    PENNANT,
    CUP,
    ROUNDING,
    DIAMOND,
    RECTANGLE_ABOVE,
    RECTANGLE_BELOW,
    BROADENING_ABOVE,
    BROADENING_BELOW,
    CHANNEL_WITH,
    CHANNEL_AGAINST,
) = [float(k) for k in range(18)]  # decimals, as numba compiles a function anew for each whole-number constant
SHAPES = 18


@njit(cache=True, nogil=True, fastmath={"contract"})
def zigzag(high, low, close, start, factor, percent, window, state, at, price, kind, known, swing, count):
    """Pivots of bars ``start``…: swings of more than ``factor`` average ranges, or ``percent`` of the extreme (a share;
    one of the two is 0).

    A pivot is known at the bar that has moved the threshold away from it; ``swing`` is the average range then, 0 while
    it warms up; a bar that makes a new extreme cannot be that bar, since the order within it is unknown. Stops when the
    arrays of pivots are full. Gives the next bar and the number of pivots; ``state`` goes on.
    """
    atr, total, before, leg = state[ATR], state[SUM], state[LAST_CLOSE], state[LEG]
    extreme, extreme_at, lowest, lowest_at = state[EXTREME], int(state[EXTREME_AT]), state[LOW], int(state[LOW_AT])
    seen = int(state[SEEN])
    share = 1.0 / window
    keep = 1.0 - share
    n = close.size
    room = at.size
    i = max(start, 0)
    # no pivot yet, or the average range warms up, or swings in percent
    while i < n and count < room and (leg == 0 or seen <= window or percent > 0):
        h, lo = high[i], low[i]
        if seen == 0:
            extreme, extreme_at, lowest, lowest_at = h, i, lo, i
        elif seen <= window:
            total += max(h, before) - min(lo, before)
            atr = total * share if seen == window else 0.0
        else:
            atr = atr * keep + (max(h, before) - min(lo, before)) * share
        before = close[i]
        seen += 1
        side = 0.0
        if leg == 0:  # both extremes are open
            if h > extreme:
                extreme, extreme_at = h, i
            if lo < lowest:
                lowest, lowest_at = lo, i
            reach = factor * atr + percent * before
            if seen > 1 and reach > 0:
                if extreme - lo > reach and extreme_at < i:
                    side = 1.0
                elif h - lowest > reach and lowest_at < i:
                    extreme, extreme_at, side = lowest, lowest_at, -1.0
        else:
            ahead, back = max(leg * h, leg * lo), min(leg * h, leg * lo)
            reach = factor * atr + percent * extreme
            if ahead > leg * extreme:
                extreme, extreme_at = leg * ahead, i
            elif leg * extreme - back > reach and reach > 0:
                side = leg
        if side != 0:
            at[count], price[count], kind[count], known[count], swing[count] = extreme_at, extreme, int(side), i, atr
            count += 1
            leg, extreme, extreme_at = -side, lo if side > 0 else h, i
        i += 1
    # From here on the same, quicker: every bar moves the extreme by selection, as a branch would be guessed wrong too
    # often, and places are unsigned, as others cost a look at their sign. The nested conditions matter for that.
    end = n if count < room else i
    extreme_at = np.uint64(extreme_at)
    for k in range(np.uint64(i), np.uint64(end)):
        h, lo = high[k], low[k]
        atr = atr * keep + (max(h, before) - min(lo, before)) * share
        before = close[k]
        if leg > 0:
            if extreme - lo > factor * atr:  # noqa: SIM102
                if h <= extreme:
                    at[count], price[count], kind[count], known[count], swing[count] = extreme_at, extreme, 1, k, atr
                    count += 1
                    leg, extreme, extreme_at = -1.0, lo, k
                    if count == room:
                        end = k + 1
                        break
                    continue
            extreme_at = k if h > extreme else extreme_at
            extreme = max(extreme, h)
        else:
            if h - extreme > factor * atr:  # noqa: SIM102
                if lo >= extreme:
                    at[count], price[count], kind[count], known[count], swing[count] = extreme_at, extreme, -1, k, atr
                    count += 1
                    leg, extreme, extreme_at = 1.0, h, k
                    if count == room:
                        end = k + 1
                        break
                    continue
            extreme_at = k if lo < extreme else extreme_at
            extreme = min(extreme, lo)
    state[ATR], state[SUM], state[LAST_CLOSE], state[LEG] = atr, total, before, leg
    state[EXTREME], state[EXTREME_AT], state[LOW], state[LOW_AT] = extreme, extreme_at, lowest, lowest_at
    state[SEEN] = seen
    return int(end), count


@njit(cache=True, nogil=True, fastmath={"contract", "reassoc"})
def roundness(close, side, first, last, vertex_span):
    """How well a parabola open downward in y-space fits the closes from ``first`` to ``last``: R², or 0 if it opens the
    other way or its top is not within the middle ``vertex_span`` of the span.

    One pass: places are counted from the middle, where the line and the bow of a parabola do not mix, so that each
    explains its own part of Σ(y − mean)².
    """
    part = close[first : last + 1]
    n = part.size
    if n < 5:
        return 0.0
    middle = (n - 1) / 2.0
    base = part[0]
    y1, ty, tty, yy = 0.0, 0.0, 0.0, 0.0
    for i in range(n):
        t = i - middle
        y = part[i] - base
        y1 += y
        ty += t * y
        tty += t * t * y
        yy += y * y
    t2 = n * (n * n - 1.0) / 12.0  # Σt²
    t4 = t2 * (3.0 * n * n - 7.0) / 20.0  # Σt⁴
    free = t4 - t2 * t2 / n
    slope = ty / t2
    bend = (tty - t2 * y1 / n) / free
    if side * bend >= 0 or abs(slope) > vertex_span * middle * abs(2.0 * bend):
        return 0.0
    whole = yy - y1 * y1 / n
    return min((slope * slope * t2 + bend * bend * free) / whole, 1.0) if whole > 0 else 0.0


@njit(cache=True, nogil=True)
def _put(out, k, code, last, count, at, line_y, line_slope, upper_y, upper_slope, height, stop, fit, symmetry):
    """Row ``k``: a shape of the ``count`` pivots up to ``last``."""
    out[k, CODE], out[k, FIRST_PIVOT], out[k, COUNT], out[k, LINE_AT] = code, last - count + 1, count, at
    out[k, LINE_Y], out[k, LINE_SLOPE], out[k, UPPER_Y], out[k, UPPER_SLOPE] = line_y, line_slope, upper_y, upper_slope
    out[k, HEIGHT], out[k, STOP] = height, stop
    out[k, FIT], out[k, SYMMETRY] = min(max(fit, 0.0), 1.0), min(max(symmetry, 0.0), 1.0)


@njit(cache=True, nogil=True)
def _even(a, b):
    """1 for equal durations, toward 0 the more they differ."""
    return min(a, b) / max(a, b) if max(a, b) > 0 else 0.0


@njit(cache=True, nogil=True)
def tops(j, x, y, close, side, out, n):
    """Shapes that end with a high at pivot ``j`` (in y-space). Fills ``out`` and gives the number found."""
    h5, l4, h3, l2 = y[j], y[j - 1], y[j - 2], y[j - 3]
    top = max(h5, h3)
    height = top - l4
    # double top: a rise from below the valley, two highs alike
    if height > 0 and abs(h5 - h3) <= 0.15 * height and l2 <= l4 + 0.1 * height:
        fit = 1.0 - abs(h5 - h3) / (0.15 * height)
        even = _even(x[j] - x[j - 1], x[j - 1] - x[j - 2])
        _put(out, n, DOUBLE, j, 4.0, x[j], l4, 0.0, top, 0.0, height, top, fit, even)
        n += 1
    # inverse cup and handle: edge l2, dome h3, edge l4, handle h5
    depth = h3 - (l2 + l4) / 2.0
    handle = h5 - l4
    if depth > 0 and abs(l2 - l4) <= 0.2 * depth and 0.1 * depth <= handle <= 0.5 * depth:
        span = x[j - 1] - x[j - 3]
        if span >= 20 and span >= 3 * (x[j] - x[j - 1]):
            r2 = roundness(close, side, int(x[j - 3]), int(x[j - 1]), 0.4)
            if r2 >= 0.7:
                even = _even(x[j - 1] - x[j - 2], x[j - 2] - x[j - 3])
                _put(out, n, CUP, j, 4.0, x[j], l4, 0.0, h3, 0.0, depth, h5, (r2 - 0.7) / 0.3, even)
                n += 1
    if j < 4:
        return n
    h1 = y[j - 4]
    # three falling peaks
    floor = min(l2, l4)
    height = h1 - floor
    if height > 0 and h1 - h3 >= 0.1 * height and h3 - h5 >= 0.1 * height and h5 > floor:
        fit = 1.0 - abs((h1 - h3) - (h3 - h5)) / (h1 - h5)
        even = _even(x[j] - x[j - 2], x[j - 2] - x[j - 4])
        _put(out, n, THREE_PEAKS, j, 5.0, x[j], floor, 0.0, h3, 0.0, height, h5, fit, even)
        n += 1
    if j < 5:
        return n
    l0 = y[j - 5]
    # triple top
    top = max(h1, h3, h5)
    floor = min(l2, l4)
    height = top - floor
    if (
        height > 0
        and top - min(h1, h3, h5) <= 0.15 * height
        and abs(l2 - l4) <= 0.35 * height
        and l0 <= floor + 0.1 * height
    ):
        fit = 1.0 - (top - min(h1, h3, h5)) / (0.15 * height)
        even = _even(x[j] - x[j - 2], x[j - 2] - x[j - 4])
        _put(out, n, TRIPLE, j, 6.0, x[j], floor, 0.0, top, 0.0, height, top, fit, even)
        n += 1
    # head and shoulders: neckline through the two valleys
    slope = (l4 - l2) / (x[j - 1] - x[j - 3])
    neck = l2 + slope * (x[j - 2] - x[j - 3])
    height = h3 - neck
    if height > 0 and l0 < floor + 0.1 * height:
        left = h1 - (l2 - slope * (x[j - 3] - x[j - 4]))
        right_neck = l4 + slope * (x[j] - x[j - 1])
        right = h5 - right_neck
        even = _even(x[j] - x[j - 2], x[j - 2] - x[j - 4])
        if (
            h3 - max(h1, h5) >= 0.15 * height
            and abs(h1 - h5) <= 0.35 * height
            and left >= 0.2 * height
            and right >= 0.2 * height
            and abs(l2 - l4) <= 0.4 * height
            and even >= 0.25
        ):
            fit = 1.0 - abs(h1 - h5) / (0.35 * height)
            _put(out, n, HEAD_SHOULDERS, j, 6.0, x[j], right_neck, slope, h3, 0.0, height, h5, fit, even)
            n += 1
    return n


@njit(cache=True, nogil=True)
def flags(j, x, y, out):
    """Bear flag and pennant, ending with a high at pivot ``j`` in y-space: a pole h1 to l2, then a small drift against
    it, l2 h3 l4 h5."""
    h1, l2, h3, l4, h5 = y[j - 4], y[j - 3], y[j - 2], y[j - 1], y[j]
    pole = h1 - l2
    stop = max(h3, h5)
    back = stop - l2
    length = x[j] - x[j - 3]
    if not (pole > 0 and back <= 0.6 * pole and length <= 4 * (x[j - 3] - x[j - 4]) + 6):
        return 0  # most, before anything is divided
    upper_slope = (h5 - h3) / (x[j] - x[j - 2])
    lower_slope = (l4 - l2) / (x[j - 1] - x[j - 3])
    at_start = h3 - upper_slope * (x[j - 2] - x[j - 3]) - l2
    at_end = h5 - (l4 + lower_slope * (x[j] - x[j - 1]))
    wide = max(at_start, at_end)
    if not (at_end > 0 and pole >= 2.0 * wide):
        return 0
    up = upper_slope * length / wide
    down = lower_slope * length / wide
    fit = 1.0 - back / (0.6 * pole)
    if abs(up - down) <= 0.35 and up >= -0.2 and down >= -0.2:
        code, even = FLAG, 1.0 - abs(up - down) / 0.35
    elif at_end <= 0.65 * at_start and up <= 0.05 and down >= -0.05:
        code, even = PENNANT, 1.0 - at_end / at_start
    else:
        return 0
    _put(out, 0, code, j, 5.0, x[j], h5 - at_end, lower_slope, stop, 0.0, pole, stop, fit, even)
    return 1


@njit(cache=True, nogil=True)
def lines(j, x, y, high_last, geometry):
    """Two lines through the last five pivots: True, and ``geometry`` filled, where they bound a shape. Both sides share
    it: the mirror image of two lines is two lines."""
    a, b, c, d, e = y[j - 4], y[j - 3], y[j - 2], y[j - 1], y[j]
    xa, xb, xc, xd, xe = x[j - 4], x[j - 3], x[j - 2], x[j - 1], x[j]
    outer_slope = (e - a) / (xe - xa)  # the side with three pivots
    inner_slope = (d - b) / (xd - xb)
    inner_start = b - inner_slope * (xb - xa)
    inner_end = d + inner_slope * (xe - xd)
    bow = abs(c - (a + outer_slope * (xc - xa)))
    if high_last:
        start, end, upper_slope, lower_slope = a - inner_start, e - inner_end, outer_slope, inner_slope
        upper, lower, highest, lowest = e, inner_end, e, d
    else:
        start, end, upper_slope, lower_slope = inner_start - a, inner_end - e, inner_slope, outer_slope
        upper, lower, highest, lowest = inner_end, e, d, e
    wide = max(start, end)
    if not (start > 0 and end > 0 and bow <= 0.15 * wide):
        return False
    geometry[0], geometry[1], geometry[2], geometry[3] = upper, lower, upper_slope, lower_slope
    geometry[4], geometry[5], geometry[6], geometry[7] = highest, lowest, wide, end
    geometry[8], geometry[9] = 1.0 - bow / (0.15 * wide), _even(xc - xa, xe - xc)
    return True


@njit(cache=True, nogil=True)
def between_lines(j, x, high_last, side, geometry, out, n):
    """The shape between the two lines, if it is one, seen from ``side``."""
    upper, lower, upper_slope, lower_slope, stop, lowest = geometry[:6]
    wide, end, fit, even = geometry[6:]
    if side < 0:
        upper, lower, upper_slope, lower_slope, stop = -lower, -upper, -lower_slope, -upper_slope, -lowest
        high_last = not high_last
    length = x[j] - x[j - 4]
    up = upper_slope * length / wide
    down = lower_slope * length / wide
    code = -1.0
    height = wide
    if abs(down) <= 0.15 and up <= -0.35:
        code = FLAT_BASE_TRIANGLE
    elif abs(down) <= 0.15 and abs(up) <= 0.15:
        code = RECTANGLE_ABOVE if high_last else RECTANGLE_BELOW
    elif up <= -0.2 and down >= 0.2:
        code = SYMMETRICAL
    elif up >= 0.2 and down <= -0.2:
        code = BROADENING_ABOVE if high_last else BROADENING_BELOW
    elif up >= 0.15 and down - up >= 0.25:
        code = WEDGE
    elif abs(up - down) <= 0.2 and min(abs(up), abs(down)) >= 0.3:
        code = CHANNEL_WITH if up < 0 else CHANNEL_AGAINST
        height = end
    if code >= 0:
        _put(out, n, code, j, 5.0, x[j], lower, lower_slope, upper, upper_slope, height, stop, fit, even)
        n += 1
    return n


@njit(cache=True, nogil=True)
def diamond(j, x, y, out, n):
    """Diamond top in y-space: entered from below (a high first), widening, then narrowing: h0 l1 h2 l3 h4 l5."""
    h0, l1, h2, l3, h4, l5 = y[j - 5], y[j - 4], y[j - 3], y[j - 2], y[j - 1], y[j]
    height = h2 - l3
    edge = 0.15 * height
    if not (height > 0 and h2 - h0 >= edge and h2 - h4 >= edge and l1 - l3 >= edge and l5 - l3 >= edge and h4 > l5):
        return n
    falling = (h4 - h2) / (x[j - 1] - x[j - 3])
    rising = (l5 - l3) / (x[j] - x[j - 2])
    fit = 1.0 - abs((h2 - h0) - (h2 - h4)) / height
    even = _even(x[j - 2] - x[j - 5], x[j] - x[j - 2])
    upper = h4 + falling * (x[j] - x[j - 1])
    _put(out, n, DIAMOND, j, 6.0, x[j], l5, rising, upper, falling, height, h4, fit, even)
    return n + 1


@njit(cache=True, nogil=True)
def bowls(j, x, y, close, side, out):
    """Rounding top, ending with a low at pivot ``j`` in y-space: edge, dome, edge."""
    l1, h2, l3 = y[j - 2], y[j - 1], y[j]
    depth = h2 - (l1 + l3) / 2.0
    if x[j] - x[j - 2] >= 25 and depth > 0 and abs(l1 - l3) <= 0.35 * depth:
        r2 = roundness(close, side, int(x[j - 2]), int(x[j]), 0.35)
        if r2 >= 0.75:
            line = min(l1, l3)
            even = _even(x[j - 1] - x[j - 2], x[j] - x[j - 1])
            _put(out, 0, ROUNDING, j, 3.0, x[j], line, 0.0, h2, 0.0, depth, (h2 + l3) / 2.0, (r2 - 0.75) / 0.25, even)
            return 1
    return 0


@njit(cache=True, nogil=True)
def advance(hits, k, high, low, close):
    """Lets hit ``k`` live from its cursor to the last bar."""
    hit = hits[k]
    side, status, expires = hit[SIDE], hit[STATUS], hit[EXPIRES]
    until = np.uint64(close.size)
    i = np.uint64(hit[CURSOR])
    if status == FORMING:
        line_at, line_y, line_slope = hit[LINE_AT], hit[LINE_Y], hit[LINE_SLOPE]
        upper_y, upper_slope, height = hit[UPPER_Y], hit[UPPER_SLOPE], hit[HEIGHT]
        while i < until:
            y = side * close[i]
            past = i - line_at
            line = line_y + line_slope * past
            upper = upper_y + upper_slope * past
            if y < line:
                if y <= line - 0.7 * height:  # nearest target passed before one could act
                    hit[INVALIDATED], status = i, DONE
                else:
                    expires = i + max(20.0, 3.0 * (expires - hit[FORMED]))
                    hit[CONFIRMED], hit[LEVEL], hit[TARGET] = i, line, line - height
                    status = WATCHED
            elif y > upper or upper <= line or i >= expires:
                hit[INVALIDATED], status = i, DONE
            i += np.uint64(1)
            if status != FORMING:
                break
    if status == WATCHED:
        target, stop = side * hit[TARGET], side * hit[STOP]
        last = until if expires >= until else np.uint64(np.ceil(expires)) + np.uint64(1)
        while i < last:
            if (low[i] <= target) if side > 0 else (high[i] >= target):
                hit[REACHED], status = i, DONE
                break
            if (close[i] > stop) if side > 0 else (close[i] < stop):
                hit[INVALIDATED], status = i, DONE
                break
            i += np.uint64(1)
        if i == last and last < until:
            status = DONE  # too old
    hit[CURSOR], hit[STATUS], hit[EXPIRES] = i, status, expires


@njit(cache=True, nogil=True)
def detect(
    high, low, close, fine, at, price, kind, known, swing, first, count, hits, filled, open_from, newest, found, x, y
):
    """Looks at pivots ``first``… for shapes and lets every hit from ``open_from`` on live to the last bar.

    ``fine`` pivots are for flags and pennants only, the others for all else. ``newest[code, side]`` is the last hit of
    a kind: while it is still forming, no second one begins. Stops when ``hits`` is full. ``found``, ``x`` and ``y`` are
    room to work in. Gives the next pivot, how many hits there are, and the first hit that is not done, for next time.
    """
    for k in range(open_from, filled):
        if hits[k, STATUS] < DONE:
            advance(hits, k, high, low, close)
    geometry = np.empty(10)
    j = max(first, 2)
    while j < count and filled + found.shape[0] <= hits.shape[0]:
        formed = known[j]
        last = min(j, 4 if fine else 6)
        for k in range(last + 1):
            x[k] = at[j - last + k]
            y[k] = price[j - last + k]
        bounded = not fine and last >= 4 and lines(last, x, y, kind[j] > 0, geometry)
        for column in range(2):
            side = 1.0 if column == 0 else -1.0
            ends_high = side * kind[j] > 0
            if fine and (last < 4 or not ends_high):
                continue  # flags end with a high
            for k in range(last + 1):
                y[k] = side * price[j - last + k]
            n = 0
            if fine:
                n = flags(last, x, y, found)
            else:
                if not ends_high:
                    n = bowls(last, x, y, close, side, found)
                elif last >= 3:
                    n = tops(last, x, y, close, side, found, n)
                if bounded:
                    n = between_lines(last, x, kind[j] > 0, side, geometry, found, n)
                if last >= 5 and not ends_high:
                    n = diamond(last, x, y, found, n)
            for k in range(n):
                code = int(found[k, CODE])
                height = found[k, HEIGHT]
                now = found[k, LINE_Y] + found[k, LINE_SLOPE] * (formed - found[k, LINE_AT])
                if side * close[formed] <= now - 0.5 * height:
                    continue  # far gone before it was known
                older = newest[code, column]
                if older >= 0 and not (
                    0 <= hits[older, CONFIRMED] <= formed or 0 <= hits[older, INVALIDATED] <= formed
                ):
                    continue  # still forming at this bar
                for c in range(WIDTH):
                    hits[filled, c] = found[k, c]
                hits[filled, SIDE], hits[filled, FORMED] = side, formed
                hits[filled, FIRST_PIVOT] = j - last + found[k, FIRST_PIVOT]
                hits[filled, EXPIRES] = formed + max(10.0, formed - x[int(found[k, FIRST_PIVOT])])
                hits[filled, SIZE] = min(height / (8.0 * swing[j]), 1.0) if swing[j] > 0 else 0.0
                hits[filled, CONFIRMED], hits[filled, LEVEL], hits[filled, TARGET] = -1, np.nan, np.nan
                hits[filled, REACHED], hits[filled, INVALIDATED] = -1, -1
                hits[filled, CURSOR], hits[filled, STATUS] = formed, FORMING
                advance(hits, filled, high, low, close)  # at once, while its bars are at hand
                newest[code, column] = filled
                filled += 1
        j += 1
    still_open = open_from
    while still_open < filled and hits[still_open, STATUS] >= DONE:
        still_open += 1
    return j, filled, still_open


@njit(cache=True, nogil=True)
def first_touch(high, low, close, entries, side, target, stop, limit, outcome, bars):
    """What became of trades entered at the close of ``entries``: 1 target touched, −1 closed past the stop, 0 neither
    within ``limit`` bars; ``target`` and ``stop`` are distances from the entry's close. The rules are those of a
    hit."""
    for k in range(entries.size):
        entry = side[k] * close[entries[k]]
        outcome[k] = 0
        bars[k] = 0
        for i in range(entries[k] + 1, min(entries[k] + limit[k] + 1, close.size)):
            if max(side[k] * high[i], side[k] * low[i]) >= entry + target[k]:
                outcome[k] = 1
                bars[k] = i - entries[k]
                break
            if side[k] * close[i] < entry - stop[k]:
                outcome[k] = -1
                bars[k] = i - entries[k]
                break
