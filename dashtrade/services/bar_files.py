"""Bars from a file of the user: CSV (also .gz) or Parquet."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import numpy as np
import pandas as pd

from dashtrade.data.quality import check_bars, nanoseconds
from dashtrade.domain.market import OHLCV, Interval, parse_interval
from dashtrade.errors import BadBars, InvalidInput

_TIME_NAMES = ("time", "date", "datetime", "timestamp", "")
_SHORT = {"o": "open", "h": "high", "l": "low", "c": "close", "v": "volume", "vol": "volume"}


def read_bars(path: str | Path, symbol: str = "", interval: str | None = None) -> pd.DataFrame:
    """Bars under the OHLCV contract. Times without a zone are UTC; a missing volume is 0.

    A file with a ``symbol`` column holds several symbols: name the one wanted. Raises InvalidInput and BadBars.
    """
    file = Path(path).expanduser()
    if not file.is_file():
        raise InvalidInput("file", f"{file} does not exist or is not a file.")
    frame = _read(file)
    frame.columns = [_SHORT.get(str(c).strip().lower(), str(c).strip().lower()) for c in frame.columns]
    frame = _one_symbol(frame, symbol)
    names = [c for c in frame.columns if c in _TIME_NAMES or c.startswith("unnamed")]
    if not names:
        raise BadBars(f"{file.name} has no time column; name one of its columns time, date or timestamp.")
    times = frame[names[0]]
    try:
        if pd.api.types.is_numeric_dtype(times):
            milliseconds = float(np.nanmax(times)) > 1e11
            index = pd.to_datetime(times, utc=True, unit="ms" if milliseconds else "s")
        else:
            index = pd.to_datetime(times, utc=True, format="ISO8601")
    except (ValueError, TypeError) as error:
        said = str(error).split(". You might")[0].split(", at position")[0]
        raise BadBars(f"{file.name}: the column {names[0]!r} holds something that is not a time ({said}).") from None
    missing = [c for c in OHLCV[:4] if c not in frame.columns]
    if missing:
        raise BadBars(f"{file.name} has no column {', '.join(missing)}; it needs time, open, high, low, close, volume.")
    if "volume" not in frame.columns:
        frame["volume"] = 0.0
    bars = frame[list(OHLCV)].set_axis(pd.DatetimeIndex(index, name="time"), axis=0)
    bars.attrs = {"symbol": symbol or file.stem.split(".")[0].upper()[:20], "source": "file", "simulated": False}
    if interval:
        bars.attrs["interval"] = interval
    checked = check_bars(bars)
    if not len(checked):
        raise BadBars(f"{file.name} holds no bars.")
    if interval:
        _check_interval(file, checked, parse_interval(interval))
    return checked


def _check_interval(file: Path, bars: pd.DataFrame, interval: Interval) -> None:
    """InvalidInput where the bars are far closer together, or farther apart, than the interval says: every yearly
    figure would be wrong."""
    if len(bars) < 3:
        return
    step = timedelta(microseconds=int(np.median(np.diff(nanoseconds(bars)))) // 1_000)
    if not 0.9 <= step / interval.length <= 4:
        known = [i.value for i in Interval if 0.9 <= step / i.length <= 1.6]
        apart = str(step).removesuffix(", 0:00:00")
        raise InvalidInput(
            "interval", f"the bars of {file.name} are {apart} apart, not {interval.value}.", allowed=known
        )


def _read(file: Path) -> pd.DataFrame:
    try:
        if file.suffix == ".parquet":
            return pd.read_parquet(file).reset_index()
        frame = pd.read_csv(file)
        return pd.read_csv(file, sep=";") if len(frame.columns) == 1 and ";" in str(frame.columns[0]) else frame
    except (ValueError, UnicodeDecodeError, OSError) as error:
        first = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise BadBars(f"{file.name} cannot be read as a table: {first}.") from None


def _one_symbol(frame: pd.DataFrame, symbol: str) -> pd.DataFrame:
    if "symbol" not in frame.columns:
        return frame
    found = [str(s) for s in frame["symbol"].dropna().unique()]
    wanted = symbol or (found[0] if len(found) == 1 else "")
    if wanted not in found:
        raise InvalidInput("symbol", f"the file holds {len(found)} symbols; name one.", allowed=sorted(found)[:50])
    return frame[frame["symbol"] == wanted]
