"""Whether the last bar has ended: by the clock, by the session's close, on half days, for longer bars."""

from __future__ import annotations

from datetime import datetime
from zoneinfo import ZoneInfo

import pandas as pd
import pytest

from dashtrade.data.pipeline import is_closed
from dashtrade.domain.market import Interval


def at(text: str, zone: str = "America/New_York") -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone))


@pytest.mark.parametrize(
    ("symbol", "interval", "label", "now", "closed"),
    [
        ("AAPL", "1d", "2024-07-02T00:00", "2024-07-02T11:00", False),
        ("AAPL", "1d", "2024-07-02T00:00", "2024-07-02T15:59", False),
        ("AAPL", "1d", "2024-07-02T00:00", "2024-07-02T16:00", True),
        ("AAPL", "1d", "2024-07-03T00:00", "2024-07-03T12:59", False),
        ("AAPL", "1d", "2024-07-03T00:00", "2024-07-03T13:00", True),  # a half day
        ("AAPL", "4h", "2024-07-03T13:30", "2024-07-03T12:59", False),  # 9:30 in New York
        ("AAPL", "4h", "2024-07-03T13:30", "2024-07-03T13:00", True),
        ("AAPL", "4h", "2024-07-02T17:30", "2024-07-02T15:59", False),  # the afternoon bar of 13:30
        ("AAPL", "4h", "2024-07-02T17:30", "2024-07-02T16:00", True),
        ("AAPL", "1h", "2024-07-02T13:30", "2024-07-02T10:29", False),
        ("AAPL", "1h", "2024-07-02T13:30", "2024-07-02T10:30", True),
        ("AAPL", "1wk", "2024-07-01T00:00", "2024-07-04T12:00", False),
        ("AAPL", "1wk", "2024-07-01T00:00", "2024-07-05T15:59", False),
        ("AAPL", "1wk", "2024-07-01T00:00", "2024-07-05T16:00", True),
        ("AAPL", "1mo", "2024-03-01T00:00", "2024-03-27T17:00", False),
        ("AAPL", "1mo", "2024-03-01T00:00", "2024-03-28T16:00", True),  # the 29th is Good Friday
        ("AAPL", "3mo", "2024-01-01T00:00", "2024-03-28T15:00", False),
        ("AAPL", "3mo", "2024-01-01T00:00", "2024-04-01T10:00", True),
        ("VOD.L", "1d", "2024-07-02T00:00", "2024-07-02T11:29", False),  # 16:29 in London
        ("VOD.L", "1d", "2024-07-02T00:00", "2024-07-02T11:30", True),
        ("BTC-USD", "1d", "2024-07-02T00:00", "2024-07-02T19:59", False),
        ("BTC-USD", "1d", "2024-07-02T00:00", "2024-07-02T20:00", True),  # midnight, UTC
        ("BTC-USD", "1mo", "2024-02-01T00:00", "2024-02-29T18:59", False),
        ("BTC-USD", "1mo", "2024-02-01T00:00", "2024-02-29T19:00", True),
    ],
)
def test_a_bar_ends_with_its_session(symbol: str, interval: str, label: str, now: str, closed: bool) -> None:
    assert is_closed(pd.Timestamp(label, tz="UTC"), symbol, Interval(interval), at(now)) is closed
