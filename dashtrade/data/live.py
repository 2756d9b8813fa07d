"""The last bar, moved on by a latest price."""

from __future__ import annotations

import numpy as np
import pandas as pd

from dashtrade.data.quality import bars_frame, nanoseconds
from dashtrade.data.resample import SessionEdges, bar_labels
from dashtrade.domain.market import Interval, Quote


def with_quote(bars: pd.DataFrame, quote: Quote, sessions: SessionEdges) -> pd.DataFrame:
    """A new frame in which the last bar holds ``quote``, or a new bar begins with it; its volume stays unknown, 0.

    A price older than the last bar changes nothing. A simulated price belongs to no real time and moves the last bar.
    ``attrs`` are kept; ``last_bar_closed`` becomes False and ``simulated`` True where the quote is.
    """
    if not len(bars):
        return bars
    interval = Interval(bars.attrs["interval"])
    last = int(nanoseconds(bars)[-1])
    price = float(quote.price)
    if quote.simulated:
        label = last
    else:
        moment = np.array([pd.Timestamp(quote.time).value], dtype="int64")
        label = int(bar_labels(moment, interval, sessions)[0])
    if label < last:
        return bars
    values = bars.to_numpy(dtype="float64", copy=True)
    times = nanoseconds(bars)
    if label == last:
        values[-1, 1] = max(values[-1, 1], price)
        values[-1, 2] = min(values[-1, 2], price)
        values[-1, 3] = price
    else:
        values = np.vstack((values, [price, price, price, price, 0.0]))
        times = np.append(times, label)
    moved = bars_frame(times, values)
    moved.attrs = {
        **bars.attrs,
        "last_bar_closed": False,
        "simulated": bool(bars.attrs.get("simulated")) or quote.simulated,
        "live_at": quote.time.isoformat(timespec="seconds"),
    }
    return moved
