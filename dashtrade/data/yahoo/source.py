"""The Yahoo source: yfinance's frames in the project's form, and typed errors instead of empty frames."""

from __future__ import annotations

import logging
import threading
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pandas as pd
import yfinance
from curl_cffi.requests.exceptions import RequestException
from yfinance.data import YfData
from yfinance.exceptions import YFException, YFRateLimitError

from dashtrade.data import reach
from dashtrade.data.gaps import count_against_calendar
from dashtrade.data.pipeline import answer
from dashtrade.data.quality import check_bars, stamp, times
from dashtrade.data.yahoo.diagnosis import answered, cause
from dashtrade.data.yahoo.session import ANSWER_SECONDS, YahooSession, recording
from dashtrade.domain.market import (
    OHLCV,
    Adjustment,
    CorporateAction,
    Fundamentals,
    HistoryRequest,
    Interval,
    NewsItem,
    Quote,
    SymbolMatch,
)
from dashtrade.errors import UnknownSymbol

# Every way yfinance fails on an answer it does not expect.
_FAILURES = (YFException, RequestException, OSError, KeyError, IndexError, TypeError, ValueError, AttributeError)
_QUOTES_AT_ONCE = 100
_QUOTE_URL = "https://query1.finance.yahoo.com/v7/finance/quote"
_FACTS_URL = "https://query2.finance.yahoo.com/v10/finance/quoteSummary"

LIMITS = reach.YAHOO
_LIVE_EXCHANGES = frozenset({"NMS", "NGM", "NCM", "NYQ", "ASE", "PCX", "BTS", "CCC", "CCY", "SNP", "NIM", "DJI", "WCB"})


class YahooSource:
    """Yahoo Finance. ``url`` is another address that speaks its protocol; ``cache_dir`` keeps zones and cookies."""

    key = "yahoo"
    label = "Yahoo Finance"
    limits = LIMITS

    def __init__(
        self,
        *,
        url: str | None = None,
        cache_dir: Path | None = None,
        answer_seconds: float = ANSWER_SECONDS,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._now = now
        self._session = YahooSession(url, answer_seconds)
        # What goes wrong is raised as a typed error; yfinance's log lines would only repeat it on stderr.
        logging.getLogger("yfinance").setLevel(logging.CRITICAL)
        warnings.filterwarnings("ignore", category=DeprecationWarning, module="yfinance")
        warnings.filterwarnings("ignore", category=FutureWarning, module="yfinance")
        if cache_dir is not None:
            cache_dir.mkdir(parents=True, exist_ok=True)
            yfinance.set_tz_cache_location(str(cache_dir))

    def adjustment(self, interval: Interval) -> Adjustment:
        return Adjustment.SPLITS if interval.intraday else Adjustment.ALL

    def history(self, request: HistoryRequest) -> pd.DataFrame:
        return answer(self, request, self._now())

    def fetch(self, symbol: str, interval: Interval, start: datetime | None, end: datetime | None) -> pd.DataFrame:
        wanted = f"{interval} bars" + (f" since {start:%Y-%m-%d}" if start else "")
        with self._asking(symbol, wanted) as ask:
            ticker = yfinance.Ticker(symbol, session=self._session)
            span: dict[str, Any] = {"period": "max"} if start is None and end is None else {"start": start, "end": end}
            if start is None and end is not None:
                span["start"] = datetime(1927, 1, 1, tzinfo=UTC)
            elif start is not None and not interval.intraday:
                # East of Greenwich a trading day begins on the day before, in UTC.
                span["start"] = start - timedelta(days=1)
            frame = ticker.history(interval=interval.value, actions=True, auto_adjust=True, **span)
            meta = ticker.history_metadata if len(frame) else {}
            if not len(frame):
                raise cause(ask, symbol, wanted)
        return self._bars(frame, meta, symbol, interval)

    def _bars(self, frame: pd.DataFrame, meta: Any, symbol: str, interval: Interval) -> pd.DataFrame:
        frame = frame.rename(columns=str.lower)[list(OHLCV)]
        if interval.intraday:
            frame.index = times(frame).tz_convert("UTC")
        else:
            frame.index = times(frame).tz_localize(None).normalize().tz_localize("UTC")
        bars = check_bars(frame)
        count_against_calendar(bars, symbol, interval)
        exchange = str(meta.get("exchangeName") or "")
        return stamp(
            bars,
            symbol=symbol,
            interval=interval,
            source=self.key,
            adjustment=self.adjustment(interval),
            delay_seconds=0 if exchange in _LIVE_EXCHANGES else 900,
            fetched_at=self._now(),
            currency=str(meta.get("currency") or ""),
            exchange=exchange,
        )

    def latest(self, symbols: Sequence[str]) -> dict[str, Quote]:
        """Latest prices, a hundred symbols in one request. Symbols Yahoo does not know are left out."""
        quotes: dict[str, Quote] = {}
        for first in range(0, len(symbols), _QUOTES_AT_ONCE):
            part = list(symbols[first : first + _QUOTES_AT_ONCE])
            for row in self._quote_rows(part):
                quote = self._quote(row)
                if quote is not None:
                    quotes[quote.symbol] = quote
        if symbols and not quotes:
            raise UnknownSymbol(self.key, f"Yahoo has no price of {', '.join(symbols[:5])}. Check the ticker.")
        return quotes

    def _quote_rows(self, symbols: list[str]) -> list[dict[str, Any]]:
        with self._asking(", ".join(symbols[:5]), "latest prices"):
            data = YfData(session=self._session).get_raw_json(_QUOTE_URL, params={"symbols": ",".join(symbols)})
            return list(data["quoteResponse"]["result"])

    def _quote(self, row: dict[str, Any]) -> Quote | None:
        price, moment = row.get("regularMarketPrice"), row.get("regularMarketTime")
        if not price or not moment:
            return None
        bid, ask = row.get("bid"), row.get("ask")
        return Quote(
            symbol=str(row["symbol"]),
            price=Decimal(str(price)),
            time=datetime.fromtimestamp(int(moment), UTC),
            source=self.key,
            delay_seconds=int(row.get("exchangeDataDelayedBy") or 0) * 60,
            bid=Decimal(str(bid)) if bid else None,
            ask=Decimal(str(ask)) if ask else None,
        )

    def search(self, text: str) -> list[SymbolMatch]:
        with self._asking(text, "symbols") as ask:
            found = yfinance.Search(text, max_results=12, news_count=0, lists_count=0, session=self._session)
            if not answered(ask):
                raise cause(ask, text, "symbols")
            return [
                SymbolMatch(
                    symbol=str(row["symbol"]),
                    name=str(row.get("longname") or row.get("shortname") or ""),
                    exchange=str(row.get("exchDisp") or row.get("exchange") or ""),
                    kind=str(row.get("quoteType") or "").lower(),
                )
                for row in found.quotes
            ]

    def news(self, symbol: str) -> list[NewsItem]:
        with self._asking(symbol, "news") as ask:
            found = yfinance.Search(symbol, max_results=1, news_count=20, lists_count=0, session=self._session)
            if not answered(ask):
                raise cause(ask, symbol, "news")
            items = [
                NewsItem(
                    time=datetime.fromtimestamp(int(row["providerPublishTime"]), UTC),
                    title=str(row["title"]),
                    url=str(row.get("link") or ""),
                    source=str(row.get("publisher") or "Yahoo"),
                )
                for row in found.news
            ]
        return sorted(items, key=lambda item: item.time, reverse=True)

    def actions(self, symbol: str) -> list[CorporateAction]:
        """Dividends and splits, oldest first."""
        with self._asking(symbol, "corporate actions") as ask:
            frame = yfinance.Ticker(symbol, session=self._session).history(period="max", actions=True)
            if not len(frame):
                raise cause(ask, symbol, "corporate actions")
        found = []
        for column, kind in (("Dividends", "dividend"), ("Stock Splits", "split")):
            for moment, value in frame[column][frame[column] != 0].items():
                found.append(CorporateAction(moment.date(), kind, Decimal(str(value))))
        return sorted(found, key=lambda action: (action.day, action.kind))

    def fundamentals(self, symbol: str) -> Fundamentals:
        """Name, exchange, sector and currency, as far as Yahoo gives them for nothing."""
        parameters = {"modules": "price,assetProfile", "formatted": "false", "symbol": symbol}
        with self._asking(symbol, "company facts"):
            data = YfData(session=self._session).get_raw_json(f"{_FACTS_URL}/{symbol}", params=parameters)
            found = data["quoteSummary"]["result"][0]
            price, profile = found.get("price") or {}, found.get("assetProfile") or {}
            cap = price.get("marketCap")
            cap = cap.get("raw") if isinstance(cap, dict) else cap
            return Fundamentals(
                symbol=symbol,
                name=str(price.get("longName") or price.get("shortName") or ""),
                exchange=str(price.get("exchangeName") or price.get("exchange") or ""),
                currency=str(price.get("currency") or ""),
                sector=str(profile.get("sector") or ""),
                industry=str(profile.get("industry") or ""),
                country=str(profile.get("country") or ""),
                kind=str(price.get("quoteType") or "").lower(),
                market_cap=Decimal(str(cap)) if cap else None,
            )

    @contextmanager
    def _asking(self, symbol: str, wanted: str) -> Iterator[Any]:
        """Record the requests inside, and turn yfinance's failures into typed errors."""
        with _one_at_a_time, recording() as record:
            # yfinance remembers answers of past ranges, failures among them.
            YfData.cache_get.cache_clear()
            try:
                yield record
            except YFRateLimitError as error:
                raise cause(record, symbol, wanted, error) from None
            except _FAILURES as error:
                raise cause(record, symbol, wanted, error) from error


# yfinance keeps one session, cookie and crumb per process; calls that change them must not overlap.
_one_at_a_time = threading.RLock()
