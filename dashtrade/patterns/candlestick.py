"""The 61 candlestick patterns of TA-Lib, with plain names and what they usually mean.

A bar with a missing open, high, low or close is skipped, as if the exchange had been shut. A pattern is known at the
close of its last bar, which is the bar reported.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import pandas as pd
import talib

from dashtrade.domain.bars import in_order
from dashtrade.errors import UnknownOption
from dashtrade.patterns.pivots import numbers_of, whole_between
from dashtrade.registry import Registry

_REVERSAL_UP = "a fall may be ending"
_REVERSAL_DOWN = "a rise may be ending"
_REVERSAL = "the move before it may be turning"
_GOES_ON = "the move before it usually goes on"
INDECISION = "buyers and sellers are in balance"
_STRENGTH = "one side is in full control of the bar"


@dataclass(frozen=True, slots=True)
class Candlestick:
    """One pattern: ``key`` is TA-Lib's name, ``bars`` how many candles it spans, ``usual`` whether it is one of the 15
    that pages show unless told otherwise, ``sides`` 1 (only bullish), −1 (only bearish) or 0 (both)."""

    key: str
    name: str
    bars: int
    sides: int
    meaning: str
    usual: bool = False


CANDLESTICKS: Registry[Candlestick] = Registry("candlestick pattern")

for _key, _name, _bars, _sides, _meaning, _usual in (
    ("CDL2CROWS", "Two crows", 3, -1, _REVERSAL_DOWN, False),
    ("CDL3BLACKCROWS", "Three black crows", 3, -1, _REVERSAL_DOWN, True),
    ("CDL3INSIDE", "Three inside up or down", 3, 0, _REVERSAL, False),
    ("CDL3LINESTRIKE", "Three-line strike", 4, 0, _GOES_ON, False),
    ("CDL3OUTSIDE", "Three outside up or down", 3, 0, _REVERSAL, False),
    ("CDL3STARSINSOUTH", "Three stars in the south", 3, 1, _REVERSAL_UP, False),
    ("CDL3WHITESOLDIERS", "Three white soldiers", 3, 1, _REVERSAL_UP, True),
    ("CDLABANDONEDBABY", "Abandoned baby", 3, 0, _REVERSAL, False),
    ("CDLADVANCEBLOCK", "Advance block", 3, -1, _REVERSAL_DOWN, False),
    ("CDLBELTHOLD", "Belt hold", 1, 0, _REVERSAL, False),
    ("CDLBREAKAWAY", "Breakaway", 5, 0, _REVERSAL, False),
    ("CDLCLOSINGMARUBOZU", "Closing marubozu", 1, 0, _STRENGTH, False),
    ("CDLCONCEALBABYSWALL", "Concealing baby swallow", 4, 1, _REVERSAL_UP, False),
    ("CDLCOUNTERATTACK", "Counterattack", 2, 0, _REVERSAL, False),
    ("CDLDARKCLOUDCOVER", "Dark cloud cover", 2, -1, _REVERSAL_DOWN, True),
    ("CDLDOJI", "Doji", 1, 1, INDECISION, True),
    ("CDLDOJISTAR", "Doji star", 2, 0, _REVERSAL, False),
    ("CDLDRAGONFLYDOJI", "Dragonfly doji", 1, 1, _REVERSAL_UP, False),
    ("CDLENGULFING", "Engulfing", 2, 0, _REVERSAL, True),
    ("CDLEVENINGDOJISTAR", "Evening doji star", 3, -1, _REVERSAL_DOWN, False),
    ("CDLEVENINGSTAR", "Evening star", 3, -1, _REVERSAL_DOWN, True),
    ("CDLGAPSIDESIDEWHITE", "Side-by-side white lines", 3, 0, _GOES_ON, False),
    ("CDLGRAVESTONEDOJI", "Gravestone doji", 1, 1, _REVERSAL_DOWN, False),
    ("CDLHAMMER", "Hammer", 1, 1, _REVERSAL_UP, True),
    ("CDLHANGINGMAN", "Hanging man", 1, -1, _REVERSAL_DOWN, True),
    ("CDLHARAMI", "Harami", 2, 0, _REVERSAL, True),
    ("CDLHARAMICROSS", "Harami cross", 2, 0, _REVERSAL, False),
    ("CDLHIGHWAVE", "High wave", 1, 0, INDECISION, False),
    ("CDLHIKKAKE", "Hikkake", 3, 0, "a false break; strength 200 when confirmed", False),
    ("CDLHIKKAKEMOD", "Modified hikkake", 4, 0, "a false break; strength 200 when confirmed", False),
    ("CDLHOMINGPIGEON", "Homing pigeon", 2, 1, _REVERSAL_UP, False),
    ("CDLIDENTICAL3CROWS", "Identical three crows", 3, -1, _REVERSAL_DOWN, False),
    ("CDLINNECK", "In-neck", 2, -1, _GOES_ON, False),
    ("CDLINVERTEDHAMMER", "Inverted hammer", 1, 1, _REVERSAL_UP, True),
    ("CDLKICKING", "Kicking", 2, 0, _REVERSAL, False),
    ("CDLKICKINGBYLENGTH", "Kicking by length", 2, 0, _REVERSAL, False),
    ("CDLLADDERBOTTOM", "Ladder bottom", 5, 1, _REVERSAL_UP, False),
    ("CDLLONGLEGGEDDOJI", "Long-legged doji", 1, 1, INDECISION, False),
    ("CDLLONGLINE", "Long line", 1, 0, _STRENGTH, False),
    ("CDLMARUBOZU", "Marubozu", 1, 0, _STRENGTH, True),
    ("CDLMATCHINGLOW", "Matching low", 2, 1, _REVERSAL_UP, False),
    ("CDLMATHOLD", "Mat hold", 5, 0, _GOES_ON, False),
    ("CDLMORNINGDOJISTAR", "Morning doji star", 3, 1, _REVERSAL_UP, False),
    ("CDLMORNINGSTAR", "Morning star", 3, 1, _REVERSAL_UP, True),
    ("CDLONNECK", "On-neck", 2, -1, _GOES_ON, False),
    ("CDLPIERCING", "Piercing line", 2, 1, _REVERSAL_UP, True),
    ("CDLRICKSHAWMAN", "Rickshaw man", 1, 1, INDECISION, False),
    ("CDLRISEFALL3METHODS", "Rising or falling three methods", 5, 0, _GOES_ON, False),
    ("CDLSEPARATINGLINES", "Separating lines", 2, 0, _GOES_ON, False),
    ("CDLSHOOTINGSTAR", "Shooting star", 1, -1, _REVERSAL_DOWN, True),
    ("CDLSHORTLINE", "Short line", 1, 0, INDECISION, False),
    ("CDLSPINNINGTOP", "Spinning top", 1, 0, INDECISION, True),
    ("CDLSTALLEDPATTERN", "Stalled pattern", 3, -1, _REVERSAL_DOWN, False),
    ("CDLSTICKSANDWICH", "Stick sandwich", 3, 1, _REVERSAL_UP, False),
    ("CDLTAKURI", "Takuri", 1, 1, _REVERSAL_UP, False),
    ("CDLTASUKIGAP", "Tasuki gap", 3, 0, _GOES_ON, False),
    ("CDLTHRUSTING", "Thrusting", 2, -1, _GOES_ON, False),
    ("CDLTRISTAR", "Tristar", 3, 0, _REVERSAL, False),
    ("CDLUNIQUE3RIVER", "Unique three river", 3, 1, _REVERSAL_UP, False),
    ("CDLUPSIDEGAP2CROWS", "Upside gap two crows", 3, -1, _REVERSAL_DOWN, False),
    ("CDLXSIDEGAP3METHODS", "Gap three methods", 3, 0, _GOES_ON, False),
):
    CANDLESTICKS.register(_key, Candlestick(_key, _name, _bars, _sides, _meaning, _usual))

USUAL = tuple(key for key, entry in CANDLESTICKS.items() if entry.usual)
"""The 15 patterns that pages switch on at first."""

_FUNCTIONS = {key: getattr(talib, key) for key in CANDLESTICKS}
_COLUMNS = ("open", "high", "low", "close")
_TAIL = 64  # bars before a tail that settle every average of candle sizes and every pattern that begins earlier


def candlestick_patterns(
    bars: pd.DataFrame, patterns: str | Iterable[str] | None = None, last: int | None = None
) -> pd.DataFrame:
    """Every candlestick pattern in the bars, oldest first.

    Args:
        bars: OHLCV bars.
        patterns: TA-Lib's names, such as ``CDLHAMMER``, or one of them; all 61 when left out, ``USUAL`` for 15.
        last: look only at so many bars at the end, which costs no more than those.

    Returns one row for each hit: ``time`` (of the pattern's last bar), ``pattern`` (TA-Lib's name), ``name``,
    ``direction`` (1 or −1), ``strength`` (TA-Lib's: 100; 80 for a few, 200 for a confirmed hikkake).
    Raises UnknownOption for an unknown name, BadBars for a missing column, bars out of order or two with one time.

    >>> import dashtrade as dt
    >>> hits = dt.candlestick_patterns(dt.history("AAPL", source="sample"), ["CDLHAMMER"])
    >>> list(hits.columns)
    ['time', 'pattern', 'name', 'direction', 'strength']
    """
    chosen = list(CANDLESTICKS) if patterns is None else [patterns] if isinstance(patterns, str) else list(patterns)
    for key in chosen:
        if key not in CANDLESTICKS:
            raise UnknownOption("candlestick pattern", key, CANDLESTICKS)
    if last is not None:
        whole_between("last", last, 0, 10**9, " bars")
    if not isinstance(bars, pd.DataFrame):
        numbers_of(bars, _COLUMNS)
    in_order(bars.index)
    part = bars if last is None else bars.iloc[-(last + _TAIL) :]
    arrays = numbers_of(part, _COLUMNS)
    index = part.index
    complete = np.isfinite(arrays[0] + arrays[1] + arrays[2] + arrays[3])
    if not complete.all():
        arrays = [np.ascontiguousarray(a[complete]) for a in arrays]
        index = index[complete]
    first = 0 if last is None else int(index.searchsorted(bars.index[-last])) if 0 < last < len(bars) else 0
    rows: list[np.ndarray] = []
    values: list[np.ndarray] = []
    codes: list[np.ndarray] = []
    for code, key in enumerate(chosen):
        if not len(index):
            break
        found = _FUNCTIONS[key](*arrays)
        at = found.nonzero()[0]
        if first:
            at = at[at >= first]
        if at.size:
            rows.append(at)
            values.append(found[at])
            codes.append(np.full(at.size, code))
    row = np.concatenate(rows) if rows else np.empty(0, dtype=np.int64)
    value = np.concatenate(values) if values else np.empty(0, dtype=np.int64)
    code_of = np.concatenate(codes) if codes else np.empty(0, dtype=np.int64)
    order = np.argsort(row, kind="stable")
    row, value, code_of = row[order], value[order], code_of[order]
    keys = np.array(chosen, dtype=object)
    names = np.array([CANDLESTICKS[k].name for k in chosen], dtype=object)
    hits = pd.DataFrame(
        {
            "time": index[row],
            "pattern": keys[code_of] if row.size else np.empty(0, dtype=object),
            "name": names[code_of] if row.size else np.empty(0, dtype=object),
            "direction": np.sign(value).astype(np.int64),
            "strength": np.abs(value).astype(np.int64),
        }
    )
    return hits if row.size else hits.astype({"pattern": "str", "name": "str"})
