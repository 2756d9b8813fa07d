"""Faults 1 to 13, at the webhook. No trader runs: what is promised here is promised before one looks."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest
from pg_proxy import PgProxy, proxied
from sqlalchemy import Engine, text
from trading_house import PAYLOAD, RAISING, House, running_webhook, wait_for

from dashtrade.db.engine import make_engine
from dashtrade.domain.users import User
from dashtrade.errors import InvalidInput, NotFound
from dashtrade.services import bots
from dashtrade.services.bot_passphrase import set_passphrase

pytestmark = pytest.mark.fault


class Door(House):
    """A house without simulator and trader."""


@pytest.fixture
def door(engine: Engine, make_user: Callable[..., User]) -> Iterator[Door]:
    with running_webhook(engine, wait_seconds=0.0) as client:
        made = Door(engine, None, client, make_user().id)  # type: ignore[arg-type]
        made.bot()
        yield made


@pytest.fixture
def proxied_door(engine: Engine, database_url: str, make_user: Callable[..., User]) -> Iterator[tuple[Door, PgProxy]]:
    """The same, whose webhook reaches PostgreSQL through a proxy that can fail."""
    with proxied(database_url) as proxy:
        behind = make_engine(proxy.url, pool_size=4, max_overflow=0, pool_timeout=1.0)
        with running_webhook(behind, wait_seconds=0.0, workers=4) as client:
            made = Door(engine, None, client, make_user().id)  # type: ignore[arg-type]
            made.bot()
            yield made, proxy
        behind.dispose()


def stored(door: Door) -> int:
    return door.rows("SELECT count(*) FROM alert_inbox")[0][0]


def logged(door: Door) -> list[tuple[int, str]]:
    return [tuple(row) for row in door.rows("SELECT status, code FROM webhook_requests ORDER BY id")]


@pytest.mark.parametrize("extra", [{}, {"id": "one"}, {"timenow": datetime.now(UTC).isoformat()}])
def test_fault_1_identical_sends_at_once_are_one_alert(door: Door, extra: dict[str, str]) -> None:
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda _: door.post(**extra), range(4)))
    assert {answer.status_code for answer in answers} == {202}
    assert len({answer.json()["signal_id"] for answer in answers}) == 1
    assert stored(door) == 1
    assert sorted(code for _, code in logged(door)) == ["ACCEPTED", "DUPLICATE", "DUPLICATE", "DUPLICATE"]
    assert door.rows("SELECT duplicates FROM alert_inbox") == [(3,)]


def test_fault_1_different_alerts_at_once_are_all_kept(door: Door) -> None:
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda n: door.post(id=f"n{n}"), range(24)))
    assert len({answer.json()["signal_id"] for answer in answers}) == 24 == stored(door)


def test_the_same_body_for_two_bots_is_two_alerts(door: Door) -> None:
    """With a token for each bot and no timeframe in the body, equal bodies within a minute are no repeats."""
    hourly = door.bot(timeframe="1h")
    body = {"action": "BUY", "symbol": "AAPL", "price": 145}
    tokens = [bots.create_token(door.uow(), door.user_id, bot_id=bot).secret for bot in (door.bot_ids[0], hourly.id)]
    answers = [door.post(body, token=token) for token in tokens]
    assert [answer.status_code for answer in answers] == [202, 202]
    assert stored(door) == 2
    assert door.post(body, token=tokens[1]).json()["signal_id"] == answers[1].json()["signal_id"]


def test_an_id_used_again_with_another_body_is_refused_and_said(door: Door) -> None:
    """Taken for a repeat, it would be an alert lost in silence."""
    assert door.post(id="Long").status_code == 202
    again = door.post(id="Long", price=146)
    assert (again.status_code, again.json()["code"]) == (422, "VALIDATION_ERROR")
    assert "another body" in again.json()["message"]
    assert logged(door)[-1] == (422, "VALIDATION_ERROR")
    assert stored(door) == 1


def test_fault_2_a_resend_after_a_lost_answer_finds_the_first(door: Door) -> None:
    first = door.post().json()["signal_id"]
    again = door.post()
    assert (again.status_code, again.json()["signal_id"]) == (202, first)
    door.engine.dispose()
    with door.engine.begin() as connection:
        connection.execute(text("UPDATE alert_inbox SET received_at = received_at - interval '61 seconds'"))
    assert door.post().json()["signal_id"] != first, "the same body a minute later is a new alert"


def test_fault_3_database_down_is_503_with_retry_and_recovers(proxied_door: tuple[Door, PgProxy]) -> None:
    door, proxy = proxied_door
    assert door.post(id="before").status_code == 202
    proxy.close_all()
    answer = door.post(id="during")
    assert (answer.status_code, answer.headers["retry-after"], answer.json()["code"]) == (503, "5", "UNAVAILABLE")
    assert door.client.get("/health").status_code == 503
    proxy.open = True
    assert door.post(id="during").status_code == 202
    assert stored(door) == 2


@pytest.mark.parametrize("extra", [{}, {"id": "one"}])
def test_fault_4_unknown_outcome_of_a_commit_is_no_2xx_and_the_resend_adds_nothing(
    proxied_door: tuple[Door, PgProxy], extra: dict[str, str]
) -> None:
    door, proxy = proxied_door
    door.post(id="warm")
    proxy.swallow_commits = 1
    answer = door.post(**extra)
    assert answer.status_code == 503
    assert stored(door) == 2, "the commit arrived, only its answer did not"
    assert door.post(**extra).status_code == 202
    assert stored(door) == 2


def test_fault_8_with_the_pool_exhausted_the_answer_comes_in_three_seconds(
    proxied_door: tuple[Door, PgProxy],
) -> None:
    door, proxy = proxied_door
    door.post(id="warm")
    proxy.flowing.clear()
    began = time.monotonic()
    with ThreadPoolExecutor(12) as pool:
        answers = list(pool.map(lambda n: door.post(id=f"n{n}"), range(12)))
    assert time.monotonic() - began < 6, "all of them wait at once"
    assert {answer.status_code for answer in answers} == {503}
    proxy.flowing.set()
    with ThreadPoolExecutor(4) as pool:
        again = list(pool.map(lambda n: door.post(id=f"n{n}"), range(12)))
    assert {answer.status_code for answer in again} == {202}
    assert stored(door) == 13


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (b'{"action": "BUY", "symbol": "AAPL", "price": NaN}', 422, "VALIDATION_ERROR"),
        (b"[" * 10_000, 422, "VALIDATION_ERROR"),
        (b"\x00\xff", 422, "VALIDATION_ERROR"),
        (b'{"action": "BUY", "symbol": "AAPL\\u0000"}', 422, "VALIDATION_ERROR"),
        (b'{"x": "' + b"a" * 17_000 + b'"}', 413, "PAYLOAD_TOO_LARGE"),
    ],
)
def test_fault_9_bad_bodies_are_refused_and_logged(door: Door, body: bytes, status: int, code: str) -> None:
    answer = door.client.post(f"/webhook?token={door.token}", content=body)
    assert (answer.status_code, answer.json()["code"], answer.json()["status"]) == (status, code, "error")
    assert stored(door) == 0
    assert logged(door) == [(status, code)]
    assert door.post().status_code == 202


def test_what_the_database_cannot_keep_does_not_make_a_resend(door: Door) -> None:
    """NUL and halves of characters in any text: stored with a replacement, never a 503."""
    for number, odd in enumerate(("\\ud800", "\\u0000")):
        body = f'{{"action": "BUY", "symbol": "AAPL", "timeframe": "15m", "id": "{number}{odd}", "x{odd}": ["{odd}"]}}'
        answer = door.client.post(f"/webhook?token={door.token}", content=body.encode())
        assert answer.status_code == 202, answer.text
    assert stored(door) == 2
    refused = door.client.post(f"/webhook?token={door.token}", content=b'{"action": "\\ud800", "symbol": "AAPL"}')
    assert refused.status_code == 422
    assert logged(door)[-1] == (422, "VALIDATION_ERROR")


@pytest.mark.parametrize("number", ["0", "99999999999999999999", "9" * 5000])
def test_a_signal_with_an_impossible_number_does_not_exist(door: Door, number: str) -> None:
    answer = door.client.get(f"/signals/{number}?token={door.token}")
    assert (answer.status_code, answer.json()["code"]) == (404, "NOT_FOUND")


def test_fault_9_fifty_megabytes_are_not_read(door: Door) -> None:
    sent = 0

    def body() -> Iterator[bytes]:
        nonlocal sent
        for _ in range(50):
            sent += 1
            yield b"a" * 1_000_000

    try:
        answer = door.client.post(f"/webhook?token={door.token}", content=body())
        assert answer.status_code == 413
    except httpx.TransportError:
        pass  # the webhook answered and closed while we were still sending
    assert sent < 50
    assert logged(door) == [(413, "PAYLOAD_TOO_LARGE")]


def test_fault_9_a_slow_body_is_given_up(door: Door) -> None:
    url = door.client.base_url
    with socket.create_connection((url.host, url.port)) as slow:
        head = f"POST /webhook?token={door.token} HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{{"
        slow.sendall(head.encode())
        slow.settimeout(10)
        answer = b"".join(iter(lambda: slow.recv(65536), b"")).decode()
    assert answer.startswith("HTTP/1.1 408")
    assert '"REQUEST_TIMEOUT"' in answer
    assert logged(door) == [(408, "REQUEST_TIMEOUT")]


def test_fault_10_an_unfilled_placeholder_is_no_order(door: Door) -> None:
    answer = door.post(action="{{strategy.order.action}}")
    assert answer.status_code == 422
    assert "{{strategy.order.action}}" in answer.json()["message"]
    assert stored(door) == 0


def test_fault_12_a_revoked_token_stops_at_once(door: Door) -> None:
    assert door.post(id="1").status_code == 202
    token = bots.list_tokens(door.uow(), door.user_id)[0]
    bots.revoke_token(door.uow(), door.user_id, token.id)
    answer = door.post(id="2")
    assert (answer.status_code, answer.json()["code"]) == (401, "AUTH_ERROR")
    assert door.client.get(f"/signals/1?token={door.token}").status_code == 401
    assert stored(door) == 1
    assert door.rows("SELECT user_id, payload FROM webhook_requests ORDER BY id DESC LIMIT 1") == [(None, None)]


def test_fault_13_another_users_bot_and_signals_do_not_exist(door: Door, make_user: Callable[..., User]) -> None:
    signal = door.post(id="mine").json()["signal_id"]
    other = Door(door.engine, None, door.client, make_user("eve").id)  # type: ignore[arg-type]
    other.bot("MSFT")
    assert other.post().json()["code"] == "NOT_FOUND"
    same_id = other.post(symbol="MSFT", id="mine")
    assert same_id.status_code == 202 and same_id.json()["signal_id"] != signal
    hidden = other.client.get(f"/signals/{signal}?token={other.token}")
    missing = other.client.get(f"/signals/999999?token={other.token}")
    assert hidden.status_code == missing.status_code == 404
    assert hidden.json()["message"].replace(str(signal), "N") == missing.json()["message"].replace("999999", "N")
    assert {view.user_id for _, view in _signals(other)} == {other.user_id}


def _signals(door: Door):
    for view in bots.list_signals(door.uow(), door.user_id):
        if view.bot_id is not None:
            yield view, bots.get_bot(door.uow(), door.user_id, view.bot_id).config


def test_error_bodies_and_the_signals_log(door: Door) -> None:
    """Every request leaves a row that its user can read, with secrets cut."""
    bots.create_bot(door.uow(), door.user_id, bots.NewBot("KO", "1h", 100))  # type: ignore[arg-type]
    answers = [
        door.post(token="wrong"),
        door.client.post("/webhook", json=PAYLOAD),
        door.post(symbol="TSLA"),
        door.post(symbol="KO", timeframe="1h"),
        door.post(passphrase="hush-hush"),
    ]
    assert [(a.status_code, a.json().get("code")) for a in answers] == [
        (401, "AUTH_ERROR"), (401, "AUTH_ERROR"), (404, "NOT_FOUND"), (409, "BOT_DISABLED"), (202, None),
    ]  # fmt: skip
    assert all(set(a.json()) == {"status", "message", "code"} for a in answers[:4])
    signals = bots.list_signals(door.uow(), door.user_id)
    assert [(s.status, s.code) for s in signals] == [(202, "RECEIVED"), (409, "BOT_DISABLED"), (404, "NOT_FOUND")]
    assert all(s.explanation and s.latency_ms >= 0 for s in signals)
    assert "hush-hush" not in json.dumps(door.rows("SELECT payload::text FROM webhook_requests")[-1][0])
    assert "hush-hush" not in door.rows("SELECT payload::text FROM alert_inbox")[0][0]


def test_a_bots_passphrase_is_asked_for_and_kept_nowhere(door: Door, capsys: pytest.CaptureFixture[str]) -> None:
    bot = bots.list_bots(door.uow(), door.user_id)[0]
    with pytest.raises(InvalidInput, match="passphrase"):
        set_passphrase(door.uow(), door.user_id, bot.id, "short")
    with pytest.raises(NotFound):
        set_passphrase(door.uow(), door.user_id + 1, bot.id, "open sesame")
    set_passphrase(door.uow(), door.user_id, bot.id, "open sesame")
    assert bots.list_bots(door.uow(), door.user_id)[0].has_passphrase
    wrong = [{}, {"passphrase": ""}, {"passphrase": "open sesamE"}, {"passphrase": "x" * 200}]
    assert [door.post(id="p", **fields).status_code for fields in wrong] == [401] * 4
    assert door.post(id="p", passphrase=["open sesame"]).status_code == 422
    assert door.rows("SELECT 1 FROM alert_inbox") == []
    assert door.post(id="p", Passphrase="open sesame").status_code == 202
    dump = json.dumps([[str(v) for v in row] for table in ("webhook_requests", "alert_inbox", "user_bot_configs",
                       "audit_log") for row in door.rows(f"SELECT * FROM {table}")])  # fmt: skip
    assert "sesam" not in dump.lower() and "scrypt$" in dump
    assert "sesam" not in capsys.readouterr().out.lower()
    assert len(bots.list_signals(door.uow(), door.user_id)) == 6, "the refused ones are shown too"
    set_passphrase(door.uow(), door.user_id, bot.id, None)
    assert door.post(id="q").status_code == 202


def test_bearer_token_and_content_types(door: Door) -> None:
    body = json.dumps({**PAYLOAD, "id": "bearer"})
    answer = door.client.post(
        "/webhook", content=body, headers={"Authorization": f"Bearer {door.token}", "Content-Type": "text/plain"}
    )
    assert answer.status_code == 202


def test_a_token_can_be_bound_to_addresses_and_to_one_bot(door: Door) -> None:
    ko = door.bot("KO")
    bound = bots.create_token(door.uow(), door.user_id, bot_id=ko.id).secret
    assert door.post(token=bound).json()["code"] == "NOT_FOUND"
    assert door.post(token=bound, symbol="KO").status_code == 202
    far = bots.create_token(door.uow(), door.user_id, allowed_addresses=("52.89.214.238",)).secret
    near = bots.create_token(door.uow(), door.user_id, allowed_addresses=("52.89.214.238", "127.0.0.1")).secret
    assert door.post(token=far, id="far").status_code == 401
    assert door.post(token=near, id="near").status_code == 202


def test_tokens_are_stored_hashed_and_uses_counted(door: Door) -> None:
    kept = door.rows("SELECT token, prefix FROM user_webhook_tokens")[0]
    assert door.token not in kept[0] and len(door.token) == 43 and door.token.startswith(kept[1])
    for number in range(3):
        door.post(id=str(number))
    deadline = time.monotonic() + 10
    while bots.list_tokens(door.uow(), door.user_id)[0].request_count != 3:
        assert time.monotonic() < deadline
        threading.Event().wait(0.05)


def test_health_and_metrics(door: Door) -> None:
    door.post(id="x")
    health = door.client.get("/health").json()
    assert (health["status"], health["database"], health["trader_age_seconds"]) == ("degraded", "ok", None)
    assert "No trader is running" in health["problems"][0]
    metrics = door.client.get("/metrics").text
    assert 'dashtrade_webhook_requests_total{route="webhook",status="202"} 1.0' in metrics
    assert door.token not in metrics


@pytest.mark.parametrize(("number", "moment", "kept"), [(5, "before", 0), (6, "after", 1)])
def test_faults_5_and_6_killed_around_the_commit(
    door: Door, database_url: str, number: int, moment: str, kept: int
) -> None:
    """Killed before the commit there is no 2xx; killed after it the alert is kept, and the resend adds nothing."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    environment = {
        **os.environ, "DATABASE_URL": database_url, "DASHTRADE_WEBHOOK_PORT": str(port), "CRASH_AT": moment,
    }  # fmt: skip
    child = subprocess.Popen([sys.executable, str(Path(__file__).with_name("webhook_child.py"))], env=environment)
    try:
        wait_for(lambda: _listens(port), "the webhook does not listen", 40)
        with pytest.raises(httpx.TransportError):
            httpx.post(f"http://127.0.0.1:{port}/webhook?token={door.token}", json=PAYLOAD, timeout=20, trust_env=False)
        assert child.wait(20) == -signal.SIGKILL
    finally:
        child.kill()
        child.wait()
    assert stored(door) == kept
    assert door.post().status_code == 202
    assert stored(door) == 1


def _listens(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port)).close()
    except OSError:
        return False
    return True


def test_fault_7_a_full_disk_is_no_2xx(door: Door) -> None:
    with door.engine.begin() as connection:
        connection.execute(text(RAISING.format(table="alert_inbox", code="53100", condition="true")))
    answer = door.post(id="full")
    assert (answer.status_code, answer.json()["code"], answer.headers["retry-after"]) == (503, "UNAVAILABLE", "5")
    assert "53100" not in answer.text and "disk" not in answer.text.lower()
    for path in ("/health/ready", "/health"):
        told = door.client.get(path)
        assert (told.status_code, "no space left" in told.text) == (503, True), "another host may take the alerts"
    with door.engine.begin() as connection:
        connection.execute(text("DROP TRIGGER failing ON alert_inbox"))
    assert door.post(id="full").status_code == 202
    assert stored(door) == 1


def test_fault_9_strangers_cannot_fill_the_log(door: Door) -> None:
    with door.engine.begin() as connection:
        connection.execute(
            text(
                "INSERT INTO webhook_requests (received_at, status, code, reason, latency_ms)"
                " SELECT now(), 401, 'AUTH_ERROR', 'x', 1 FROM generate_series(1, 119)"
            )
        )
    for _ in range(3):
        assert door.post(token="guess").status_code == 401
    assert len(logged(door)) == 120
    assert door.post(symbol="TSLA").status_code == 404
    assert len(logged(door)) == 121, "a known sender's requests are always on the log"
