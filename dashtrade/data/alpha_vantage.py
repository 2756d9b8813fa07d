"""The Alpha Vantage source: bars, quotes, search, news with sentiment. Every call counts against a daily budget.

Limits are answered with HTTP 200 and a ``Note`` or ``Information``, which may repeat the key: the key is cut from every
text, and httpx, whose log lines hold the address with the key, is kept quiet.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal, InvalidOperation
from typing import Any
from zoneinfo import ZoneInfo

import httpx
import pandas as pd
from pydantic import SecretStr

from dashtrade.data import reach
from dashtrade.data.gaps import count_against_calendar
from dashtrade.data.pipeline import answer
from dashtrade.data.quality import check_bars, stamp
from dashtrade.domain.market import Adjustment, HistoryRequest, Interval, NewsItem, Quote, SymbolMatch
from dashtrade.domain.ports import CallBudget
from dashtrade.errors import (
    BadAnswer,
    BudgetUsedUp,
    NoDataInRange,
    RateLimited,
    SourceError,
    SourceKeyProblem,
    SourceUnreachable,
    UnknownSymbol,
)

URL = "https://www.alphavantage.co"
_NAMES = {
    Interval.M1: "1min",
    Interval.M5: "5min",
    Interval.M15: "15min",
    Interval.M30: "30min",
    Interval.H1: "60min",
}
# A compact answer holds a hundred bars.
_COMPACT_DAYS = timedelta(days=130)
_HIDDEN = "*****"


class AlphaVantageSource:
    """``budget`` counts calls for all processes; ``url`` is another address that speaks the protocol.

    ``allowance`` names whose limit the calls count against, where the key is not the installation's.
    """

    key = "alpha_vantage"
    label = "Alpha Vantage"
    limits = reach.ALPHA_VANTAGE

    def __init__(
        self,
        key: SecretStr,
        budget: CallBudget,
        *,
        url: str | None = None,
        timeout: httpx.Timeout | None = None,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        allowance: str = "",
    ) -> None:
        self.allowance = allowance or self.key
        self._key = key
        self._budget = budget
        self._now = now
        for name in ("httpx", "httpcore"):
            logging.getLogger(name).setLevel(logging.WARNING)
        self._client = httpx.Client(base_url=url or URL, timeout=timeout or httpx.Timeout(15.0, connect=5.0))

    def adjustment(self, interval: Interval) -> Adjustment:
        return reach.alpha_vantage_adjustment(interval)

    def history(self, request: HistoryRequest) -> pd.DataFrame:
        return answer(self, request, self._now())

    def fetch(self, symbol: str, interval: Interval, start: datetime | None, end: datetime | None) -> pd.DataFrame:
        if interval.intraday:
            parameters = {"interval": _NAMES[interval], "outputsize": "full", "extended_hours": "false"}
            data = self._call("TIME_SERIES_INTRADAY", symbol=symbol, **parameters)
        else:
            short = start is not None and self._now() - start < _COMPACT_DAYS
            data = self._call("TIME_SERIES_DAILY", symbol=symbol, outputsize="compact" if short else "full")
        table = next((value for name, value in data.items() if name.startswith("Time Series")), None)
        if not isinstance(table, dict):
            raise BadAnswer(self.key, f"Alpha Vantage answered without prices of {symbol}.")
        zone = str(data.get("Meta Data", {}).get("6. Time Zone") or "US/Eastern")
        bars = count_against_calendar(check_bars(self._frame(table, interval, zone)), symbol, interval)
        if start is not None:
            bars = bars[bars.index >= pd.Timestamp(start)]
        if end is not None:
            bars = bars[bars.index < pd.Timestamp(end)]
        if not len(bars):
            raise NoDataInRange(self.key, f"Alpha Vantage has no {interval} bars of {symbol} in that range.")
        return stamp(
            bars,
            symbol=symbol,
            interval=interval,
            source=self.key,
            adjustment=self.adjustment(interval),
            delay_seconds=900,
            fetched_at=self._now(),
        )

    def _frame(self, table: dict[str, dict[str, str]], interval: Interval, zone: str) -> pd.DataFrame:
        # The list runs from the newest bar to the oldest.
        moments = list(reversed(table))
        try:
            columns = {
                name: [float(table[moment][f"{number}. {name}"]) for moment in moments]
                for number, name in ((1, "open"), (2, "high"), (3, "low"), (4, "close"), (5, "volume"))
            }
            index = pd.DatetimeIndex(pd.to_datetime(moments))
            index = index.tz_localize(ZoneInfo(zone) if interval.intraday else UTC).tz_convert("UTC")
        except (KeyError, TypeError, ValueError) as error:
            raise BadAnswer(self.key, f"Alpha Vantage's prices cannot be read ({type(error).__name__}).") from None
        return pd.DataFrame(columns, index=index)

    def latest(self, symbols: Sequence[str]) -> dict[str, Quote]:
        """Latest prices; each symbol is a call of its own, which the budget feels."""
        quotes = {}
        for symbol in symbols:
            row = self._call("GLOBAL_QUOTE", symbol=symbol).get("Global Quote") or {}
            try:
                price = Decimal(str(row["05. price"]))
                day = datetime.fromisoformat(str(row["07. latest trading day"]))
            except (KeyError, InvalidOperation, ValueError):
                continue
            closed = day.replace(hour=16, tzinfo=ZoneInfo("America/New_York")).astimezone(UTC)
            quotes[symbol] = Quote(symbol, price, min(closed, self._now()), self.key, delay_seconds=900)
        if symbols and not quotes:
            raise UnknownSymbol(self.key, f"Alpha Vantage has no price of {', '.join(symbols[:5])}.")
        return quotes

    def search(self, text: str) -> list[SymbolMatch]:
        found = self._call("SYMBOL_SEARCH", keywords=text).get("bestMatches")
        if not isinstance(found, list):
            raise BadAnswer(self.key, "Alpha Vantage's search answer cannot be read.")
        return [
            SymbolMatch(
                symbol=str(row.get("1. symbol", "")),
                name=str(row.get("2. name", "")),
                exchange=str(row.get("4. region", "")),
                kind=str(row.get("3. type", "")).lower(),
            )
            for row in found
        ]

    def news(self, symbol: str) -> list[NewsItem]:
        """News, newest first, with the sentiment (−1…1) the article has for this symbol."""
        found = self._call("NEWS_SENTIMENT", tickers=symbol, limit="50").get("feed")
        if not isinstance(found, list):
            raise BadAnswer(self.key, "Alpha Vantage's news cannot be read.")
        items = [item for item in (self._news_item(row, symbol) for row in found) if item is not None]
        return sorted(items, key=lambda item: item.time, reverse=True)

    def _news_item(self, row: dict[str, Any], symbol: str) -> NewsItem | None:
        scores = {one.get("ticker"): one.get("ticker_sentiment_score") for one in row.get("ticker_sentiment", [])}
        score = scores.get(symbol, row.get("overall_sentiment_score"))
        try:
            moment = datetime.strptime(str(row["time_published"]), "%Y%m%dT%H%M%S").replace(tzinfo=UTC)
            sentiment = None if score is None else float(score)
        except (KeyError, ValueError):
            return None
        return NewsItem(
            time=moment,
            title=str(row.get("title", "")).strip(),
            url=str(row.get("url", "")),
            source=str(row.get("source", "")),
            summary=str(row.get("summary", "")),
            sentiment=sentiment,
        )

    def _call(self, function: str, **parameters: str) -> dict[str, Any]:
        """One call against the budget. Raises a typed error for everything that is not data."""
        self._budget.take(self.key)
        key = self._key.get_secret_value()
        response, why = self._asked({"function": function, **parameters, "apikey": key})
        if response is None:
            raise SourceUnreachable(
                self.key, f"Alpha Vantage cannot be reached: {why}. Check the network and try again."
            )
        subject = parameters.get("symbol") or parameters.get("tickers") or parameters.get("keywords") or ""
        if response.status_code == 429:
            raise RateLimited(self.key, "Alpha Vantage asks to wait. Try again in 60 seconds.", 60.0)
        if response.status_code >= 500:
            raise SourceUnreachable(
                self.key, f"Alpha Vantage has a fault (HTTP {response.status_code}). Try again later."
            )
        if response.status_code in (401, 403):
            raise SourceKeyProblem(
                self.key,
                "Alpha Vantage refused the key. Correct it: DASHTRADE_ALPHA_VANTAGE_KEY, or yours on the account page.",
            )
        try:
            data = response.json()
        except ValueError:
            raise BadAnswer(
                self.key, "Alpha Vantage answered with something that is not JSON. Try again later."
            ) from None
        if not isinstance(data, dict):
            raise BadAnswer(self.key, "Alpha Vantage answered with something unexpected. Try again later.")
        for field in ("Note", "Information", "Error Message"):
            if isinstance(data.get(field), str):
                raise self._refusal(data[field].replace(key, _HIDDEN), subject)
        if not data:
            raise UnknownSymbol(self.key, f"Alpha Vantage knows nothing about {subject}. Check the ticker.")
        return data

    def _asked(self, parameters: dict[str, str]) -> tuple[httpx.Response | None, str]:
        """The answer, or why there is none. httpx's errors carry the address with the key: none leaves this place, not
        even as the context of ours."""
        try:
            return self._client.get("/query", params=parameters), ""
        except httpx.TimeoutException:
            return None, "it did not answer in time"
        except httpx.HTTPError:
            return None, "no connection"

    def _refusal(self, text: str, subject: str) -> SourceError:
        """What a text answer means; ``text`` is free of the key."""
        lower = text.lower()
        if "per second" in lower or "per minute" in lower or "sparingly" in lower:
            wait = 2.0 if "per second" in lower else 60.0
            return RateLimited(self.key, f"Alpha Vantage asks to wait {wait:.0f} seconds between calls.", wait)
        if "per day" in lower or "rate limit" in lower or "call frequency" in lower:
            return BudgetUsedUp(
                self.key, "Alpha Vantage's calls for today are used up. Use another source until tomorrow.",
                self._budget.used_up(self.key),
            )  # fmt: skip
        if "premium" in lower:
            return SourceKeyProblem(self.key, "Alpha Vantage gives this to premium keys only. Choose a shorter range.")
        if "apikey" in lower or "api key" in lower:
            return SourceKeyProblem(
                self.key,
                "Alpha Vantage refused the key. Get one at alphavantage.co, correct DASHTRADE_ALPHA_VANTAGE_KEY "
                "or yours on the account page.",
            )
        if "invalid api call" in lower:
            return UnknownSymbol(self.key, f"Alpha Vantage has no symbol {subject}. Check the ticker.")
        return BadAnswer(self.key, f"Alpha Vantage refused: {text[:200]}")
