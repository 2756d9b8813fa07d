"""Things that go wrong at a broker, on order: for rehearsals and tests, never reachable in normal use.

Set with ``POST /sim/faults``. ``{"rules": [...]}`` adds rules for HTTP requests, each used ``times`` times (default 1):

``{"route": "POST /v2/orders", "action": "error", "when": "after", "status": 504, "body": "…", "content_type":
"text/html"}``

Actions: ``error`` (answers ``status``; ``when`` before or after the work is committed), ``hang`` (``seconds``, then
the connection is dropped), ``truncate`` (half of the true answer, then the connection ends), ``reset`` (TCP reset,
before or after the work), ``rate_limit`` (429 with headers, nothing done), ``rewrite`` (``set``: fields replaced in
the true answer, ``drop``: fields removed). A route is a method (or ``*``) and a path prefix; a trailing ``$`` makes
the path exact.

Market and stream: ``visibility_lag`` seconds, ``partial_fills`` (fractions of the order), ``partial_interval`` seconds,
``hold_fills``, ``both_legs`` (a filled leg does not end the other), and ``stream``: a list of ``duplicate``, ``drop``,
``reverse``, ``silent``.
"""

from __future__ import annotations

import asyncio
import json
import socket
import struct
import threading
from collections.abc import Callable, MutableMapping
from dataclasses import asdict, dataclass, field
from datetime import timedelta
from decimal import Decimal, InvalidOperation
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from dashtrade.brokers.simulator.bodies import Body
from dashtrade.brokers.simulator.books import Knobs
from dashtrade.brokers.simulator.refusals import malformed

ACTIONS = ("error", "hang", "truncate", "reset", "rate_limit", "rewrite")
STREAM = ("duplicate", "drop", "reverse", "silent")


@dataclass
class Rule:
    """One fault of one route."""

    route: str
    action: str
    when: str = "before"
    times: int = 1
    status: int = 500
    body: str = '{"code": 50010000, "message": "internal server error occurred"}'
    content_type: str = "application/json"
    seconds: float = 30.0
    set: dict[str, Any] = field(default_factory=dict)
    drop: list[str] = field(default_factory=list)

    def matches(self, method: str, path: str) -> bool:
        wanted, _, pattern = self.route.partition(" ")
        if wanted not in {"*", method}:
            return False
        return path == pattern[:-1] if pattern.endswith("$") else path.startswith(pattern)


class Faults:
    """The rules and settings in force. Kept in memory: a restarted simulator is a healthy one."""

    def __init__(self, knobs: Knobs) -> None:
        self._lock = threading.Lock()
        self._knobs = knobs
        self._rules: list[Rule] = []
        self._stream: list[str] = []
        self._kept: list[Body] = []

    def set(self, payload: dict[str, Any]) -> dict[str, Any]:
        """Adds rules and changes settings; what is not named stays as it is."""
        rules = [_rule(raw) for raw in payload.get("rules", [])]
        stream = payload.get("stream")
        if stream is not None and not set(stream) <= set(STREAM):
            raise malformed(f"stream: choose from {', '.join(STREAM)}")
        with self._lock:
            self._rules += rules
            if stream is not None:
                self._stream, self._kept = list(stream), []
            try:
                self._set_knobs(payload)
            except (InvalidOperation, TypeError, ValueError):
                raise malformed("a fault setting cannot be read") from None
        return self.describe()

    def _set_knobs(self, payload: dict[str, Any]) -> None:
        if "visibility_lag" in payload:
            self._knobs.visibility_lag = timedelta(seconds=float(payload["visibility_lag"]))
        if "partial_fills" in payload:
            self._knobs.partial_fills = tuple(Decimal(str(part)) for part in payload["partial_fills"])
        if "partial_interval" in payload:
            self._knobs.partial_interval = timedelta(seconds=float(payload["partial_interval"]))
        if "both_legs" in payload:
            self._knobs.both_legs = bool(payload["both_legs"])
        if "hold_fills" in payload:
            self._knobs.hold_fills = bool(payload["hold_fills"])

    def clear(self) -> None:
        with self._lock:
            self._rules, self._stream, self._kept = [], [], []
            fresh = Knobs()
            for name, value in vars(fresh).items():
                setattr(self._knobs, name, value)

    def describe(self) -> dict[str, Any]:
        with self._lock:
            return {
                "rules": [asdict(rule) for rule in self._rules],
                "stream": list(self._stream),
                "visibility_lag": self._knobs.visibility_lag.total_seconds(),
                "partial_fills": [str(part) for part in self._knobs.partial_fills],
                "partial_interval": self._knobs.partial_interval.total_seconds(),
                "hold_fills": self._knobs.hold_fills,
                "both_legs": self._knobs.both_legs,
            }

    def take(self, method: str, path: str) -> Rule | None:
        """The rule for this request, used up by one."""
        with self._lock:
            for rule in self._rules:
                if rule.matches(method, path):
                    rule.times -= 1
                    if rule.times <= 0:
                        self._rules.remove(rule)
                    return rule
        return None

    def on_stream(self, messages: list[Body]) -> list[Body]:
        """What the stream really sends of ``messages``."""
        with self._lock:
            if "silent" in self._stream or "drop" in self._stream:
                return []
            if "duplicate" in self._stream:
                messages = [message for message in messages for _ in range(2)]
            if "reverse" in self._stream:
                messages = messages[::-1]
            return messages

    def middleware(self) -> Callable[[ASGIApp], ASGIApp]:
        def wrap(app: ASGIApp) -> ASGIApp:
            return _FaultyApp(app, self)

        return wrap


def _rule(raw: Any) -> Rule:
    if not isinstance(raw, dict) or raw.get("action") not in ACTIONS:
        raise malformed(f"a rule needs an action: {', '.join(ACTIONS)}")
    if " " not in str(raw.get("route") or ""):
        raise malformed("a rule needs a route such as 'POST /v2/orders'")
    try:
        values: dict[str, Any] = {name: float(v) if name == "seconds" else v for name, v in raw.items()}
        return Rule(**values)
    except (TypeError, ValueError):
        raise malformed("a rule has an unknown field") from None


class _FaultyApp:
    """Stands around the app and breaks the answers that a rule asks for."""

    def __init__(self, app: ASGIApp, faults: Faults) -> None:
        self._app = app
        self._faults = faults

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        rule = None
        if scope["type"] == "http" and not scope["path"].startswith("/sim/"):
            rule = self._faults.take(scope["method"], scope["path"])
        if rule is None:
            await self._app(scope, receive, send)
            return
        answer = _Answer()
        if rule.action in {"truncate", "rewrite"} or (rule.when == "after" and rule.action != "rate_limit"):
            await self._app(scope, receive, answer.take)
        await self._break(rule, answer, receive, send)

    async def _break(self, rule: Rule, answer: _Answer, receive: Receive, send: Send) -> None:
        if rule.action == "error":
            await _send(send, rule.status, rule.body.encode(), rule.content_type)
        elif rule.action == "rate_limit":
            body = b'{"code": 42910000, "message": "rate limit exceeded"}'
            extra = [(b"retry-after", b"2"), (b"x-ratelimit-limit", b"200"), (b"x-ratelimit-remaining", b"0")]
            await _send(send, 429, body, "application/json", extra)
        elif rule.action == "rewrite":
            await _send(send, answer.status, _rewrite(answer.body, rule), "application/json")
        elif rule.action == "truncate":
            await send({"type": "http.response.start", "status": answer.status, "headers": answer.headers})
            half = answer.body[: len(answer.body) // 2]
            await send({"type": "http.response.body", "body": half, "more_body": True})
            _drop_connection(receive, reset=False)
        elif rule.action == "reset":
            _drop_connection(receive, reset=True)
        else:
            await asyncio.sleep(rule.seconds)
            _drop_connection(receive, reset=False)


class _Answer:
    """Collects what the app would have sent."""

    def __init__(self) -> None:
        self.status = 200
        self.headers: list[tuple[bytes, bytes]] = []
        self.body = b""

    async def take(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status, self.headers = message["status"], list(message.get("headers", []))
        elif message["type"] == "http.response.body":
            self.body += message.get("body", b"")


async def _send(
    send: Send, status: int, body: bytes, content_type: str, extra: list[tuple[bytes, bytes]] | None = None
) -> None:
    headers = [(b"content-type", content_type.encode()), (b"content-length", str(len(body)).encode()), *(extra or [])]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def _rewrite(body: bytes, rule: Rule) -> bytes:
    answer = json.loads(body or b"{}")
    for item in answer if isinstance(answer, list) else [answer]:
        if isinstance(item, MutableMapping):
            item.update(rule.set)
            for name in rule.drop:
                item.pop(name, None)
    return json.dumps(answer).encode()


def _drop_connection(receive: Receive, *, reset: bool) -> None:
    """End the TCP connection under the server's feet; ASGI has no word for that, so its transport is used."""
    cycle = getattr(receive, "__self__", None)
    transport = getattr(cycle, "transport", None)
    if transport is None:
        raise RuntimeError("this server gives no access to its connection, so it cannot be broken")
    raw = transport.get_extra_info("socket")
    if reset and raw is not None:
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    transport.abort() if reset else transport.close()
