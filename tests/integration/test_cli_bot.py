"""``dashtrade bot`` and ``dashtrade tradingview`` as commands."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from sqlalchemy import Engine, text
from typer.testing import CliRunner

from dashtrade import bootstrap
from dashtrade.cli import app
from dashtrade.domain.tradingview import content_type, sends_again
from dashtrade.domain.users import User
from dashtrade.settings import load_settings


@pytest.fixture
def run(engine: Engine, monkeypatch: pytest.MonkeyPatch, make_user: Callable[..., User]) -> Callable[..., str]:
    make_user()
    monkeypatch.setattr(bootstrap, "runtime", lambda: bootstrap.Runtime(load_settings(webhook_port=8080), engine))

    def invoke(*arguments: str, code: int = 0) -> str:
        result = CliRunner().invoke(app, list(arguments))
        assert result.exit_code == code, result.output + repr(result.exception)
        return result.output if code == 0 else str(result.exception)

    return invoke


def test_from_creating_a_bot_to_revoking_its_token(run: Callable[..., str], engine: Engine) -> None:
    made = run("bot", "create", "--user", "Ada", "--symbol", "AAPL", "--timeframe", "15 Min", "--position-size", "1000")
    assert made == "Created bot 1: AAPL 15 Min, $1,000.00 an entry, simulated account, switched on.\n"
    shown = run("bot", "token", "--user", "ada", "--label", "chart")
    secret = shown.splitlines()[0].removeprefix("Token (shown once): ")
    assert f"http://127.0.0.1:8080/webhook?token={secret}" in shown
    assert secret not in run("bot", "tokens", "--user", "ada")
    with engine.connect() as connection:
        assert secret not in str(connection.execute(text("SELECT * FROM user_webhook_tokens")).all())
    assert "off" in run("bot", "disable", "1", "--user", "ada")
    assert "off" in run("bot", "list", "--user", "ada")
    assert "on" in run("bot", "enable", "1", "--user", "ada")
    assert "revoked" in run("bot", "revoke", "1", "--user", "ada")
    halted = run("bot", "halt", "--reason", "holiday", "--user", "ada")
    assert "Entries are stopped (user, number 1)" in halted
    assert "holiday" in run("bot", "halts")
    run("bot", "resume", "1")
    assert "holiday" not in run("bot", "halts")
    for command in ("signals", "trades"):
        assert "time" in run("bot", command, "--user", "ada")
    run("bot", "delete", "1", "--user", "ada")
    assert "AAPL" not in run("bot", "list", "--user", "ada")


def test_mistakes_are_one_sentence(run: Callable[..., str]) -> None:
    create = ("bot", "create", "--symbol", "AAPL", "--timeframe", "15m", "--position-size")
    assert "no user 'bob'" in run(*create, "1000", "--user", "bob", code=1)
    assert "position_size" in run(*create, "lots", "--user", "ada", code=1)
    assert "position_size" in run(*create, "-5", "--user", "ada", code=1)
    assert "no bot 7" in run("bot", "enable", "7", "--user", "ada", code=1)


@contextmanager
def answering(statuses: list[int]) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """A server that gives these answers in turn and keeps what it was sent."""
    seen: list[dict[str, Any]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            seen.append({"path": self.path, "type": self.headers["Content-Type"], "body": body.decode()})
            self.send_response(statuses[min(len(seen), len(statuses)) - 1])
            self.end_headers()

        def log_message(self, *_: object) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", seen
    finally:
        server.shutdown()
        server.server_close()


@pytest.mark.parametrize(
    ("statuses", "sends", "code"),
    [([200], 1, 0), ([503, 500, 202], 3, 0), ([503] * 9, 4, 1), ([504], 1, 1), ([429], 1, 0), ([409], 1, 0)],
)
def test_the_sender_repeats_as_tradingview_does(statuses: list[int], sends: int, code: int) -> None:
    with answering(statuses) as (url, seen):
        result = CliRunner().invoke(
            app, ["tradingview", "send", "--url", url, "--token", "t0", "--resend-after", "0.01", "--price", "145.5"]
        )
    assert result.exit_code == code, result.output
    assert len(seen) == sends == json.loads(result.output.splitlines()[0])["sends"]
    assert len({item["body"] for item in seen}) == 1
    assert seen[0]["path"] == "/webhook?token=t0"
    assert seen[0]["type"].startswith("application/json")
    assert json.loads(seen[0]["body"]) == {"action": "BUY", "symbol": "AAPL", "timeframe": "15", "price": "145.5"}


def test_a_burst_sends_every_alert_and_text_goes_as_text() -> None:
    with answering([200]) as (url, seen):
        arguments = ["tradingview", "send", "--url", url, "--token", "t", "--count", "12", "--burst", "6", "--shuffle"]
        assert CliRunner().invoke(app, arguments).exit_code == 0
        assert len({json.loads(item["body"])["id"] for item in seen}) == 12
        CliRunner().invoke(app, ["tradingview", "send", "--url", url, "--token", "t", "--message", "BUY AAPL"])
        assert (seen[-1]["body"], seen[-1]["type"]) == ("BUY AAPL", "text/plain; charset=utf-8")


def test_rules_of_the_sender() -> None:
    assert content_type('{"a": 1}').startswith("application/json") and content_type("{a}").startswith("text/plain")
    assert [sends_again(status, 1) for status in (200, 429, 500, 503, 504, 599, None)] == [
        False, False, True, True, False, True, False,
    ]  # fmt: skip
    assert not sends_again(503, 4)


def test_a_passphrase_a_split_and_the_performance_of_a_bot(
    run: Callable[..., str], engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    create = ("bot", "create", "--user", "ada", "--symbol", "AAPL", "--timeframe", "D", "--position-size", "1000")
    run(*create, "--strategy", "sma_cross")
    result = CliRunner().invoke(
        app, ["bot", "passphrase", "1", "--user", "ada"], input="open sesame\nopen sesame\n", catch_exceptions=False
    )
    assert 'needs "passphrase"' in result.output and "sesame" not in result.output
    assert "needs no passphrase" in run("bot", "passphrase", "1", "--user", "ada", "--remove")
    assert "holds AAPL" in run("bot", "rescale", "aapl", "4", "--user", "ada", "--yes", code=1)
    assert "ratio" in run("bot", "rescale", "aapl", "1", "--user", "ada", "--yes", code=1)
    asked = CliRunner().invoke(app, ["bot", "rescale", "AAPL", "4", "--user", "ada"], input="n\n")
    assert asked.exit_code == 1 and "Multiply every share of AAPL" in asked.output
    shown = run("bot", "performance", "1", "--user", "ada", "--since", "2011-01-03", "--source", "sample")
    first = shown.splitlines()[0]
    assert first.startswith("Of ") and "the bot had 0" in first, shown
    assert "Realised result: $0.00." in shown and shown.splitlines()[2].split() == [
        "time", "side", "backtest", "bot", "bps",
    ]  # fmt: skip
    missed = int(first.split("missed ")[1].split(";")[0])
    assert missed > 0 and len(shown.splitlines()) == 3 + missed and "missed" in shown.splitlines()[3]
    assert "since" in run("bot", "performance", "1", "--user", "ada", "--since", "yesterday", code=1)
