"""Build ``sample/bars.parquet``, the daily bars that ship with the package. Needs the ``test`` extra.

Run ``python -m dashtrade.data.build_sample``; the file it writes is the same every time. See sample/SOURCE.md.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

TARGET = Path(__file__).parent / "sample" / "bars.parquet"
STOCKS = ("AAPL", "GOOG", "IBM", "MSFT")
INDICES = {"sp500": "^GSPC", "nasdaq": "^IXIC"}


def stocks() -> pd.DataFrame:
    """Daily bars of the stocks, adjusted for splits and dividends inside the span."""
    import bokeh_sampledata

    path = Path(bokeh_sampledata.__file__).parent / "_data" / "stocks.csv.gz"
    table = pd.read_csv(path, parse_dates=["Date"]).rename(columns=lambda name: name.lower().replace(" ", "_"))
    return pd.concat([_adjusted(table[table["ticker"] == symbol]) for symbol in STOCKS])


def _adjusted(raw: pd.DataFrame) -> pd.DataFrame:
    factor = (raw["adj_close"] / raw["close"]).to_numpy()
    factor = factor / factor[-1]
    # A dividend moves the factor by a few per cent, a split at least doubles it.
    step = np.append(1.0, factor[1:] / factor[:-1])
    splits = np.where(step > 1.4, np.round(step), 1.0)
    later_splits = np.append(np.cumprod(splits[::-1])[::-1][1:], 1.0)
    bars = pd.DataFrame({"symbol": raw["ticker"].to_numpy(), "date": raw["date"].to_numpy()})
    for name in ("open", "high", "low", "close"):
        bars[name] = np.round(raw[name].to_numpy() * factor, 6)
    bars["volume"] = raw["volume"].to_numpy() * later_splits
    return bars


def indices() -> pd.DataFrame:
    """Daily values of the two indices, as published."""
    from arch.data import nasdaq, sp500

    frames = []
    for module, symbol in ((sp500, INDICES["sp500"]), (nasdaq, INDICES["nasdaq"])):
        bars = module.load().rename(columns=str.lower).rename_axis("date").reset_index()
        bars.insert(0, "symbol", symbol)
        frames.append(bars[["symbol", "date", "open", "high", "low", "close", "volume"]])
    return pd.concat(frames)


def build(target: Path = TARGET) -> pd.DataFrame:
    """Write the file and return its table."""
    import exchange_calendars

    table = pd.concat([stocks(), indices()], ignore_index=True)
    calendar = exchange_calendars.get_calendar("XNYS", start="1999-01-01", end="2018-12-31")
    dates = pd.DatetimeIndex(table["date"])
    opens = calendar.opens.reindex(dates)
    closes = calendar.closes.reindex(dates)
    if opens.isna().any():
        raise ValueError(f"not a session of the exchange: {dates[opens.isna()].tolist()}")
    table["session_open"] = opens.to_numpy()
    table["minutes"] = ((closes.to_numpy() - opens.to_numpy()) / np.timedelta64(1, "m")).astype("int16")
    for name in ("open", "high", "low", "close", "volume"):
        table[name] = table[name].astype("float64")
    table["date"] = table["date"].astype("datetime64[ms]")
    table["symbol"] = table["symbol"].astype("str")
    table.to_parquet(target, index=False, compression="zstd")
    return table


if __name__ == "__main__":
    written = build()
    print(written.groupby("symbol")["date"].agg(["min", "max", "count"]))
