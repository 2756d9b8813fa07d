"""What logs say once, and what they leave out."""

from __future__ import annotations

import logging
from collections.abc import Callable

import pytest

from dashtrade.dashboards.server import no_chatter, no_late_signals


def record(level: int, text: str, *values: object) -> logging.LogRecord:
    return logging.LogRecord("dashtrade.dashboards", level, "", 1, text, values, None)


def test_jupyters_words_about_every_page_are_left_out():
    assert not no_chatter(record(logging.INFO, "Starting buffering for %s", "a:b"))
    assert no_chatter(record(logging.INFO, "Stopping: %d pages are open", 3))
    assert no_chatter(record(logging.ERROR, "Kernel shutdown: %s", "a"))


def test_a_signal_for_a_channel_that_was_just_closed_is_left_out_and_no_other():
    stream = "<zmq.eventloop.zmqstream.ZMQStream object at 0x7f>"
    assert not no_late_signals(record(logging.WARNING, "Got events for closed stream %s", stream))
    assert no_late_signals(record(logging.WARNING, "Got events for closed stream %s", 12)), "Tornado's own"
    assert no_late_signals(record(logging.ERROR, "Uncaught exception, closing connection %s", stream))


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str]]:
    from dashtrade.services import live

    lines: list[tuple[str, str]] = []

    def take(text: str) -> Callable[..., None]:
        return lambda event, **fields: lines.append((text, fields["symbols"]))

    class Log:
        warning, info = staticmethod(take("missing")), staticmethod(take("back"))

    monkeypatch.setattr(live, "log", Log)
    return lines


def test_a_symbol_without_prices_is_told_once_while_others_have_them(told: list[tuple[str, str]]):
    from datetime import UTC, datetime, timedelta
    from decimal import Decimal
    from types import SimpleNamespace

    from dashtrade.domain.market import Quote
    from dashtrade.errors import UnknownSymbol
    from dashtrade.services.live import LivePoller

    wanted = {"sample": ["AAPL"]}
    has = {"AAPL"}
    moment = [datetime(2026, 1, 5, 15, tzinfo=UTC)]

    def latest(symbols: list[str], source: str) -> dict[str, Quote]:
        for symbol in symbols:
            if symbol not in has:
                raise UnknownSymbol(source, f"There is no {symbol}.")
        return {s: Quote(s, Decimal(1), moment[0], source) for s in symbols}

    prices = SimpleNamespace(wanted=lambda: wanted, write=lambda quotes: None)
    hours = SimpleNamespace(is_open=lambda symbol, at: True)
    poller = LivePoller(prices, lambda: SimpleNamespace(latest=latest), hours, cadence={"sample": 1.0},
                        now=lambda: moment[0])  # fmt: skip
    wanted["sample"] = ["AAPL", "KO"]
    for _ in range(5):
        assert poller.poll() == 1, "the other symbol has its price"
        moment[0] += timedelta(minutes=1)
    assert told == [("missing", "KO")]
    has.add("KO")
    assert poller.poll() == 2
    assert told[1:] == [("back", "KO")]
