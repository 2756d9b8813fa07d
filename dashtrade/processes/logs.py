"""Logs of every process: one line an event, to standard output, as text or JSON, with the secrets cut.

Standard-library loggers (uvicorn, tornado, alembic) take the same way, so one format and one redaction cover all.
"""

from __future__ import annotations

import logging
import re
import sys
from collections.abc import MutableMapping
from typing import Any

import structlog

from dashtrade.settings import Settings, get_settings

CUT = "*****"
_SECRET_KEY = re.compile(
    r"password|passphrase|secret|token|authorization|cookie|api_?key|encryption_?key", re.IGNORECASE
)
_SECRET_TEXT = (
    re.compile(r"(?i)((?:token|passphrase|password|api_?key|secret)=)[^\s&\"'<>]+"),
    re.compile(r"(?i)(\"(?:token|passphrase|password|api_?key|secret)\"\s*:\s*\")[^\"]+"),
    re.compile(r"(?i)(bearer\s+)[a-z0-9._~+/=-]{8,}"),
    re.compile(r"(://[^\s:/@]+:)[^\s@/]+(?=@)"),
)


def redact(value: str) -> str:
    """The text with the values of tokens, passwords and addresses' passwords cut."""
    for pattern in _SECRET_TEXT:
        value = pattern.sub(lambda match: match.group(1) + CUT, value)
    return value


def _cut_secrets(_logger: object, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    event.pop("color_message", None)  # uvicorn repeats the message with colours
    for key, value in event.items():
        if key not in ("event", "exception") and _SECRET_KEY.search(key) and isinstance(value, str):
            event[key] = CUT
        elif isinstance(value, str):
            event[key] = redact(value)
    return event


def _text(_logger: object, _method: str, event: MutableMapping[str, Any]) -> str:
    """``12:30:05 INFO  what happened  key=value``; the exception, if any, below."""
    moment, level = str(event.pop("timestamp", ""))[11:19], str(event.pop("level", "info")).upper()
    message, exception = event.pop("event", ""), event.pop("exception", None)
    event.pop("process", None)
    fields = "".join(f"  {key}={_quoted(value)}" for key, value in event.items())
    line = f"{moment} {level:<7} {message}{fields}"
    return f"{line}\n{exception}" if exception else line


def _quoted(value: object) -> str:
    text = str(value).replace("\n", "\\n")
    return repr(text) if " " in text or not text else text


def configure(name: str, settings: Settings | None = None) -> None:
    """Set up structlog and the standard library's logging for the process ``name``. Call it once, first."""
    settings = settings or get_settings()

    def add_process(_logger: object, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        event["process"] = name
        return event

    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.ExtraAdder(),
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        add_process,
    ]
    finish: list[Any] = [structlog.processors.format_exc_info, _cut_secrets]
    render: Any = structlog.processors.JSONRenderer() if settings.log_format == "json" else _text
    formatter = structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=[*shared, structlog.stdlib.PositionalArgumentsFormatter()],
        processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *finish, render],
    )
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(formatter)
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(settings.log_level)
    for noisy in ("httpx", "httpcore", "urllib3", "asyncio", "alembic", "procrastinate", "yfinance", "peewee"):
        logging.getLogger(noisy).setLevel(max(logging.WARNING, root.level))
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.stdlib.PositionalArgumentsFormatter(),
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
