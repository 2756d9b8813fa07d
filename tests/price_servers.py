"""Loopback servers that speak the price sources' protocols, faults included."""

from __future__ import annotations

import json
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qsl, unquote, urlsplit

SHARED = Path(__file__).resolve().parents[2] / "shared" / "data"


@dataclass
class Reply:
    """What to answer. ``fault`` is ``reset`` (connection reset), ``hang`` (no answer), ``slow`` (body in drops)."""

    body: bytes = b"{}"
    status: int = 200
    kind: str = "application/json"
    headers: dict[str, str] = field(default_factory=dict)
    fault: str = ""


@dataclass
class Asked:
    """One request as the server saw it."""

    path: str
    query: dict[str, str]
    headers: dict[str, str]


Answer = Callable[[Asked], Reply]


class LocalServer:
    """``answer`` decides on every request; ``asked`` lists them."""

    def __init__(self, answer: Answer) -> None:
        self.answer = answer
        self.asked: list[Asked] = []
        self.url = ""
        self.released = threading.Event()

    def paths(self, part: str) -> list[Asked]:
        return [one for one in self.asked if part in one.path]


@contextmanager
def serving(answer: Answer) -> Iterator[LocalServer]:
    local = LocalServer(answer)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            parts = urlsplit(self.path)
            asked = Asked(unquote(parts.path), dict(parse_qsl(parts.query)), dict(self.headers.items()))
            local.asked.append(asked)
            self.give(local.answer(asked))

        do_POST = do_GET

        def give(self, reply: Reply) -> None:
            if reply.fault == "reset":
                linger = struct.pack("ii", 1, 0)
                self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
                self.connection.close()
                return
            if reply.fault == "hang":
                local.released.wait(20)
                return
            self.send_response(reply.status)
            self.send_header("Content-Type", reply.kind)
            self.send_header("Content-Length", str(len(reply.body)))
            for name, value in reply.headers.items():
                self.send_header(name, value)
            self.end_headers()
            try:
                if reply.fault == "slow":
                    for i in range(len(reply.body)):
                        self.wfile.write(reply.body[i : i + 1])
                        self.wfile.flush()
                        if local.released.wait(0.2):
                            return
                elif reply.fault != "short":
                    self.wfile.write(reply.body)
                else:
                    self.wfile.write(reply.body[: len(reply.body) // 2])
            except OSError:
                return

        def finish(self) -> None:
            try:
                super().finish()
            except (OSError, ValueError):
                return

        def log_message(self, *args: object) -> None:
            return

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, request: object, client_address: object) -> None:
            return

    server = Server(("127.0.0.1", 0), Handler)
    local.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield local
    finally:
        local.released.set()
        server.shutdown()
        server.server_close()
        thread.join(5)


def chart(
    symbol: str,
    times: list[int],
    closes: list[float],
    *,
    zone: str = "America/New_York",
    offset: int = -18000,
    interval: str = "1d",
    exchange: str = "NMS",
    events: dict[str, object] | None = None,
    adjusted: list[float] | None = None,
    regular: tuple[int, int] | None = None,
) -> bytes:
    """A v8/chart answer in Yahoo's form: open one below, high two above, low two below the close."""
    start, end = regular or (times[-1] - 3600, times[-1] + 3600) if times else (0, 0)
    period = {"timezone": "EST", "start": start, "end": end, "gmtoffset": offset}
    quote = {
        "open": [c - 1 for c in closes],
        "high": [c + 2 for c in closes],
        "low": [c - 2 for c in closes],
        "close": closes,
        "volume": [1000 + i for i in range(len(closes))],
    }
    meta = {
        "currency": "USD", "symbol": symbol, "exchangeName": exchange, "instrumentType": "EQUITY",
        "firstTradeDate": 345479400, "regularMarketTime": times[-1] if times else 0, "gmtoffset": offset,
        "timezone": "EST", "exchangeTimezoneName": zone, "regularMarketPrice": closes[-1] if closes else 0,
        "priceHint": 2, "dataGranularity": interval, "range": "",
        "currentTradingPeriod": {"pre": period, "regular": period, "post": period},
        "tradingPeriods": [[period]],
        "validRanges": ["1d", "5d", "1mo", "3mo", "6mo", "1y", "2y", "5y", "10y", "ytd", "max"],
    }  # fmt: skip
    indicators: dict[str, object] = {"quote": [quote]}
    if interval == "1d":
        indicators["adjclose"] = [{"adjclose": adjusted or closes}]
    result: dict[str, object] = {"meta": meta, "timestamp": times, "indicators": indicators}
    if not times:
        result = {"meta": meta, "indicators": {"quote": [{}]}}
    if events:
        result["events"] = events
    return json.dumps({"chart": {"result": [result], "error": None}}).encode()


def chart_error(code: str, text: str) -> bytes:
    return json.dumps({"chart": {"result": None, "error": {"code": code, "description": text}}}).encode()


NOT_FOUND = Reply(chart_error("Not Found", "No data found, symbol may be delisted"), 404)


def yahoo(charts: dict[str, Reply | Callable[[Asked], Reply]], other: dict[str, Reply] | None = None) -> Answer:
    """Yahoo's answers: ``charts`` by symbol, ``other`` by path beginning."""

    def answer(asked: Asked) -> Reply:
        if asked.path.startswith("/v8/finance/chart/"):
            found = charts.get(asked.path.rsplit("/", 1)[1], NOT_FOUND)
            return found(asked) if callable(found) else found
        if asked.path == "/v1/test/getcrumb":
            return Reply(b"localcrumb", kind="text/plain")
        for start, reply in (other or {}).items():
            if asked.path.startswith(start):
                return reply
        return Reply(b"", 404, "text/plain")

    return answer


def seconds(text: str) -> int:
    """An ISO time without a zone, in UTC, as seconds since 1970."""
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp())


def wait_until(done: Callable[[], bool], seconds_at_most: float = 10.0) -> bool:
    deadline = time.monotonic() + seconds_at_most
    while time.monotonic() < deadline:
        if done():
            return True
        time.sleep(0.01)
    return done()
