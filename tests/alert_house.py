"""Bars made by hand and a market that hands them out, for the tests of alerts."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import pandas as pd

from dashtrade.db.engine import make_engine
from dashtrade.db.unit_of_work import UnitOfWork
from dashtrade.errors import SourceUnreachable
from dashtrade.settings import Settings

SYMBOL = "BTC-USD"  # trades around the clock: a bar is closed an hour after it began


def last_hour() -> datetime:
    """The beginning of the newest closed hour."""
    return datetime.now(UTC).replace(minute=0, second=0, microsecond=0) - timedelta(hours=1)


def hourly(closes: Sequence[float], last: datetime | None = None, symbol: str = SYMBOL) -> pd.DataFrame:
    """Hourly bars with these closes, the last of them the newest closed hour."""
    index = pd.date_range(end=last or last_hour(), periods=len(closes), freq="h", name="time")
    close = pd.Series(closes, index=index, dtype=float)
    bars = pd.DataFrame({"open": close, "high": close + 1, "low": close - 1, "close": close, "volume": 1000.0})
    bars.attrs = {"symbol": symbol, "interval": "1h", "source": "test", "last_bar_closed": True, "simulated": True}
    return bars


@dataclass
class Market:
    """Hands out ``bars`` by symbol and counts who asked."""

    bars: dict[str, pd.DataFrame]
    asked: list[str] = field(default_factory=list)

    def history(self, request, source=None):
        self.asked.append(request.symbol)
        if request.symbol not in self.bars:
            raise SourceUnreachable("test", "The source did not answer.")
        return self.bars[request.symbol]


@dataclass
class Context:
    settings: Settings
    uow: object
    market: Market
    others: dict[tuple[str, ...], Market] = field(default_factory=dict)

    def alert_market(self, order: tuple[str, ...] | None = None) -> Market:
        return self.market if order is None else self.others[order]


def die_in_the_middle(database_url: str, closes: list[float]) -> None:
    """A worker that has written an event, and hangs before it commits, until it is killed."""
    from dashtrade.services import alert_engine

    def hang(*_: object, **__: object) -> int:
        print("written", flush=True)
        time.sleep(60)
        return 0

    alert_engine.notify = hang
    engine = make_engine(database_url)
    alert_engine.run_pass(
        Context(Settings(_env_file=None), lambda: UnitOfWork(engine), Market({SYMBOL: hourly(closes)}))
    )


if __name__ == "__main__":
    die_in_the_middle(os.environ["DATABASE_URL"], [float(part) for part in sys.argv[1].split(",")])
