"""From what Yahoo's server really answered to the error a caller can act on."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

from dashtrade.data.yahoo.session import Record
from dashtrade.errors import BadAnswer, NoDataInRange, RateLimited, SourceError, SourceUnreachable, UnknownSymbol

KEY = "yahoo"
# What Yahoo asks for in practice when it does not say how long to wait.
DEFAULT_WAIT = 60.0


def seconds_to_wait(header: str, now: datetime | None = None) -> float:
    """A Retry-After header (seconds or an HTTP date) as seconds, at least one."""
    if not header:
        return DEFAULT_WAIT
    try:
        return max(float(header), 1.0)
    except ValueError:
        pass
    try:
        moment = parsedate_to_datetime(header)
    except ValueError:
        return DEFAULT_WAIT
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return max((moment - (now or datetime.now(UTC))).total_seconds(), 1.0)


def rate_limited(wait: float) -> RateLimited:
    return RateLimited(KEY, f"Yahoo asks to wait: too many requests. Try again in {wait:.0f} seconds.", wait)


def cause(record: Record, symbol: str, wanted: str, exception: BaseException | None = None) -> SourceError:
    """Why there are no data. ``wanted`` says what was asked for, such as ``1d bars for 1y``."""
    asked = [attempt for attempt in record.attempts if not attempt.side]
    answers = [attempt for attempt in asked if "/chart/" in attempt.path] or asked
    if not answers:
        failed = next((attempt for attempt in reversed(record.attempts) if attempt.error), None)
        if failed is not None:
            return _unreachable(failed.error)
        return BadAnswer(KEY, f"Yahoo's data on {symbol} could not be read ({type(exception).__name__}).")
    last = answers[-1]
    if last.error is not None:
        return _unreachable(last.error)
    if last.status == 429:
        return rate_limited(seconds_to_wait(last.retry_after))
    explained = _explained(last.body, symbol, wanted)
    if explained is not None:
        return explained
    if last.status >= 500:
        return SourceUnreachable(
            KEY, f"Yahoo has a fault (HTTP {last.status}). Try again later, or choose another source or sample data."
        )
    if last.status in (401, 403):
        return BadAnswer(KEY, f"Yahoo refused the request (HTTP {last.status}). Try again later or use another source.")
    if last.status == 404:
        return UnknownSymbol(KEY, f"Yahoo has no symbol {symbol}. Check the ticker, or search for it by name.")
    if last.status >= 400:
        return BadAnswer(KEY, f"Yahoo answered HTTP {last.status} to a request for {wanted} of {symbol}.")
    parsed = _parsed(last.body)
    if not isinstance(parsed, dict) or ("/chart/" in last.path and "chart" not in parsed):
        shown = "a web page" if last.body.lstrip()[:1] == b"<" else "something unexpected"
        return BadAnswer(KEY, f"Yahoo answered with {shown} instead of prices of {symbol}. Try again later.")
    return NoDataInRange(KEY, f"Yahoo has no {wanted} of {symbol}. Choose a longer or another range.")


def answered(record: Record) -> bool:
    """Whether the last question was answered with JSON: yfinance's search takes a fault for an empty answer."""
    asked = [attempt for attempt in record.attempts if not attempt.side]
    return bool(asked) and asked[-1].status == 200 and isinstance(_parsed(asked[-1].body), dict)


def _parsed(body: bytes) -> Any:
    try:
        return json.loads(body)
    except ValueError:
        return None


def _explained(body: bytes, symbol: str, wanted: str) -> SourceError | None:
    """The error Yahoo itself states in a chart answer."""
    data = _parsed(body)
    chart = data.get("chart") if isinstance(data, dict) else None
    if not isinstance(chart, dict):
        return None
    error = chart.get("error")
    if isinstance(error, dict):
        code, text = str(error.get("code", "")), str(error.get("description", ""))
        if "Not Found" in code:
            return UnknownSymbol(KEY, f"Yahoo has no symbol {symbol}. Check the ticker, or search for it by name.")
        if "exist" in text or "not available" in text or "range" in text:
            return NoDataInRange(KEY, f"Yahoo has no {wanted} of {symbol}: {text[:200]}")
        return BadAnswer(KEY, f"Yahoo refused to give {wanted} of {symbol}: {text[:200] or code}")
    if not chart.get("result"):
        return UnknownSymbol(KEY, f"Yahoo has no symbol {symbol}. Check the ticker, or search for it by name.")
    return None


def _unreachable(error: BaseException | None) -> SourceUnreachable:
    name = type(error).__name__
    why = (
        "its address cannot be found"
        if name == "DNSError"
        else "it did not answer in time"
        if "Timeout" in name
        else ""
    )
    text = (
        f"Yahoo cannot be reached{f': {why}' if why else ''}. Check the network and try again, or choose sample data."
    )
    return SourceUnreachable(KEY, text)
