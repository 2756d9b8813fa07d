"""Alpaca's market data through its official client, with the user's own keys: stocks, crypto, news.

Without a paid plan, the newest fifteen minutes of all exchanges together are not to be had: bars end before them, and
latest prices come from the IEX exchange alone, in real time.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd
from alpaca.common.exceptions import APIError
from alpaca.data import enums
from alpaca.data.historical import CryptoHistoricalDataClient, NewsClient, StockHistoricalDataClient
from alpaca.data.requests import (
    CryptoBarsRequest,
    CryptoLatestTradeRequest,
    NewsRequest,
    StockBarsRequest,
    StockLatestTradeRequest,
)
from alpaca.data.timeframe import TimeFrame, TimeFrameUnit
from pydantic import SecretStr
from requests import Response, Session
from requests.exceptions import JSONDecodeError, RequestException, Timeout

from dashtrade.data import reach
from dashtrade.data.gaps import count_against_calendar
from dashtrade.data.pipeline import answer
from dashtrade.data.quality import check_bars, nanoseconds, stamp
from dashtrade.data.sessions import ALWAYS, calendar_name, edges
from dashtrade.domain.market import Adjustment, HistoryRequest, Interval, NewsItem, Quote, SymbolMatch
from dashtrade.errors import (
    BadAnswer,
    InvalidInput,
    NoDataInRange,
    RateLimited,
    SourceError,
    SourceKeyProblem,
    SourceUnreachable,
    UnknownSymbol,
)

_SECONDS = (5.0, 15.0)
_WITHHELD = timedelta(minutes=16)
_BEGIN = datetime(2016, 1, 1, tzinfo=UTC)
_FRAMES = {
    Interval.M1: TimeFrame(1, TimeFrameUnit.Minute),
    Interval.M5: TimeFrame(5, TimeFrameUnit.Minute),
    Interval.M15: TimeFrame(15, TimeFrameUnit.Minute),
    Interval.M30: TimeFrame(30, TimeFrameUnit.Minute),
    Interval.D1: TimeFrame(1, TimeFrameUnit.Day),
}


class _BoundedSession(Session):
    """A session whose requests end: alpaca-py sets no time limit of its own."""

    def __init__(self, seconds: tuple[float, float]) -> None:
        super().__init__()
        self._seconds = seconds

    def request(self, *args: Any, **kwargs: Any) -> Response:
        kwargs.setdefault("timeout", self._seconds)
        return super().request(*args, **kwargs)


class AlpacaSource:
    """``url`` is another address that speaks the protocol. Keys are never part of an error's text."""

    key = "alpaca"
    label = "Alpaca"
    limits = reach.ALPACA

    def __init__(
        self,
        key: SecretStr,
        secret: SecretStr,
        *,
        url: str | None = None,
        seconds: tuple[float, float] = _SECONDS,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        allowance: str = "",
    ) -> None:
        self.allowance = allowance or self.key
        self._now = now
        pair = (key.get_secret_value(), secret.get_secret_value())
        self._stocks = StockHistoricalDataClient(*pair, raw_data=True, url_override=url)
        self._crypto = CryptoHistoricalDataClient(*pair, raw_data=True, url_override=url)
        self._news = NewsClient(*pair, raw_data=True, url_override=url)
        for client in (self._stocks, self._crypto, self._news):
            client._session = _BoundedSession(seconds)
            # Waiting out a limit is the caller's decision, who knows what a person waits for.
            client._retry_codes = []

    def adjustment(self, interval: Interval) -> Adjustment:
        return reach.alpaca_adjustment(interval)

    def history(self, request: HistoryRequest) -> pd.DataFrame:
        return answer(self, request, self._now())

    def fetch(self, symbol: str, interval: Interval, start: datetime | None, end: datetime | None) -> pd.DataFrame:
        ticker, crypto = ticker_of(symbol)
        frame = _FRAMES[interval]
        last = end or self._now()
        if crypto:
            request = CryptoBarsRequest(symbol_or_symbols=ticker, timeframe=frame, start=start or _BEGIN, end=last)
            found = self._call(symbol, lambda: self._crypto.get_crypto_bars(request))
        else:
            stocks = StockBarsRequest(
                symbol_or_symbols=ticker,
                timeframe=frame,
                start=start or _BEGIN,
                end=min(last, self._now() - _WITHHELD),
                adjustment=enums.Adjustment.ALL,
                feed=enums.DataFeed.SIP,
            )
            found = self._call(symbol, lambda: self._stocks.get_stock_bars(stocks))
        rows = (found or {}).get(ticker) or []
        if not rows:
            raise self._nothing(symbol, interval)
        bars = self._bars(rows, symbol, interval, crypto)
        if end is not None:
            bars = bars.iloc[: bars.index.searchsorted(pd.Timestamp(end), side="left")]
        if not len(bars):
            raise self._nothing(symbol, interval)
        return bars

    def _bars(self, rows: list[dict[str, Any]], symbol: str, interval: Interval, crypto: bool) -> pd.DataFrame:
        try:
            columns = {
                name: [float(row[name[0]]) for row in rows] for name in ("open", "high", "low", "close", "volume")
            }
            index = pd.DatetimeIndex(pd.to_datetime([row["t"] for row in rows], utc=True))
        except (KeyError, TypeError, ValueError) as error:
            raise BadAnswer(self.key, f"Alpaca's bars cannot be read ({type(error).__name__}).") from None
        if not interval.intraday:
            zone = "UTC" if crypto else "America/New_York"
            index = index.tz_convert(zone).tz_localize(None).normalize().tz_localize("UTC")
        bars = check_bars(pd.DataFrame(columns, index=index))
        if interval.intraday and calendar_name(symbol) != ALWAYS:
            bars = _regular_hours(bars, calendar_name(symbol))
        count_against_calendar(bars, symbol, interval)
        return stamp(
            bars,
            symbol=symbol,
            interval=interval,
            source=self.key,
            adjustment=self.adjustment(interval),
            delay_seconds=0 if crypto else int(_WITHHELD.total_seconds()),
            fetched_at=self._now(),
        )

    def _nothing(self, symbol: str, interval: Interval) -> SourceError:
        """No bars: because there is no such symbol, or because the range is empty."""
        try:
            self.latest([symbol])
        except UnknownSymbol as error:
            return error
        return NoDataInRange(self.key, f"Alpaca has no {interval} bars of {symbol} in that range (it begins in 2016).")

    def latest(self, symbols: Sequence[str]) -> dict[str, Quote]:
        """Last trades, at IEX for stocks; one request for all stocks and one for all crypto."""
        stocks = {ticker: symbol for symbol in symbols for ticker, crypto in (ticker_of(symbol),) if not crypto}
        coins = {ticker: symbol for symbol in symbols for ticker, crypto in (ticker_of(symbol),) if crypto}
        trades: dict[str, Any] = {}
        if stocks:
            request = StockLatestTradeRequest(symbol_or_symbols=list(stocks), feed=enums.DataFeed.IEX)
            trades |= self._call(", ".join(stocks), lambda: self._stocks.get_stock_latest_trade(request)) or {}
        if coins:
            coin_request = CryptoLatestTradeRequest(symbol_or_symbols=list(coins))
            trades |= self._call(", ".join(coins), lambda: self._crypto.get_crypto_latest_trade(coin_request)) or {}
        names = {**stocks, **coins}
        quotes = {}
        for ticker, trade in trades.items():
            if ticker in names and trade and trade.get("p"):
                moment = pd.Timestamp(trade["t"]).tz_convert("UTC").to_pydatetime(warn=False)
                quotes[names[ticker]] = Quote(names[ticker], Decimal(str(trade["p"])), moment, self.key)
        if symbols and not quotes:
            raise UnknownSymbol(self.key, f"Alpaca has no price of {', '.join(symbols[:5])}. Check the ticker.")
        return quotes

    def search(self, text: str) -> list[SymbolMatch]:
        raise InvalidInput("source", "Alpaca's market data has no symbol search; ask another source.")

    def news(self, symbol: str) -> list[NewsItem]:
        ticker, _ = ticker_of(symbol)
        request = NewsRequest(symbols=ticker.replace("/", ""), limit=50)
        found = self._call(symbol, lambda: self._news.get_news(request)) or {}
        rows = found.get("news", found) if isinstance(found, dict) else found
        items = [
            NewsItem(
                time=pd.Timestamp(row["created_at"]).tz_convert("UTC").to_pydatetime(warn=False),
                title=str(row.get("headline") or ""),
                url=str(row.get("url") or ""),
                source=str(row.get("source") or ""),
                summary=str(row.get("summary") or ""),
            )
            for row in rows
        ]
        return sorted(items, key=lambda item: item.time, reverse=True)

    def _call(self, subject: str, ask: Callable[[], Any]) -> Any:
        try:
            return ask()
        except APIError as error:
            raise self._refusal(error, subject) from None
        except JSONDecodeError:
            raise BadAnswer(self.key, "Alpaca answered with something that is not JSON. Try again later.") from None
        except RequestException as error:
            why = "it did not answer in time" if isinstance(error, Timeout) else "no connection"
            raise SourceUnreachable(
                self.key, f"Alpaca cannot be reached: {why}. Check the network, try again."
            ) from None

    def _refusal(self, error: APIError, subject: str) -> SourceError:
        status = error.status_code or 0
        text = _message(error)
        if status == 429:
            headers = error.response.headers if error.response is not None else {}
            reset = str(headers.get("X-RateLimit-Reset") or "")
            wait = max(float(reset) - self._now().timestamp(), 1.0) if reset.isdigit() else 60.0
            return RateLimited(self.key, f"Alpaca asks to wait. Try again in {wait:.0f} seconds.", wait)
        if status == 401 or (status == 403 and "subscription" not in text):
            return SourceKeyProblem(
                self.key,
                "Alpaca refused the keys. Correct them on the account page, or DASHTRADE_ALPACA_KEY and its secret.",
            )
        if status == 403:
            return SourceKeyProblem(self.key, f"Alpaca's plan does not include this: {text}.")
        if status in (400, 404, 422) and ("symbol" in text or status == 404):
            return UnknownSymbol(self.key, f"Alpaca has no symbol {subject}. Check the ticker.")
        if status >= 500:
            return SourceUnreachable(self.key, f"Alpaca has a fault (HTTP {status}). Try again later.")
        return BadAnswer(self.key, f"Alpaca answered HTTP {status}: {text or 'no reason given'}.")


def ticker_of(symbol: str) -> tuple[str, bool]:
    """Alpaca's way to write the symbol, and whether it is crypto."""
    if calendar_name(symbol) == ALWAYS:
        return symbol.replace("-", "/"), True
    return symbol.replace("-", "."), False


def _message(error: APIError) -> str:
    try:
        return str(error.message)[:200]
    except (ValueError, KeyError, TypeError):
        return ""


def _regular_hours(bars: pd.DataFrame, calendar: str) -> pd.DataFrame:
    """Only bars that start inside a session."""
    found = edges(calendar)
    at = nanoseconds(bars)
    session = np.minimum(np.searchsorted(found.closes, at, side="right"), len(found.opens) - 1)
    return bars[(found.opens[session] <= at) & (at < found.closes[session])]
