"""What the wrapper makes of a broker that misbehaves: never a second order, never a guess."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import Any

import pytest
from simulator_server import SECRET, RunningSimulator, fresh_engine, order, running, until

from dashtrade.brokers.alpaca import AlpacaBroker
from dashtrade.brokers.simulator.app import SimulatorOptions
from dashtrade.brokers.simulator.prices import FixedFeed
from dashtrade.db.embedded import EmbeddedPostgres
from dashtrade.domain.orders import OrderStatus, OrderUpdate, Refusal, StreamGap
from dashtrade.domain.simulated import simulated_credentials
from dashtrade.errors import BrokerError, BrokerUnavailable, OrderRefused, OutcomeUnknown

POST = "POST /v2/orders$"
HTML = {"body": "<html><h1>Bad gateway</h1></html>", "content_type": "text/html"}


@pytest.fixture(scope="module")
def simulator(postgres_server: EmbeddedPostgres) -> Iterator[RunningSimulator]:
    feed = FixedFeed({"AAPL": "150", "MSFT": "300"})
    with fresh_engine(postgres_server) as engine, running(engine, [feed]) as server:
        yield server


@pytest.fixture(autouse=True)
def healthy(simulator: RunningSimulator) -> Iterator[None]:
    yield
    simulator.http.delete("/sim/faults").raise_for_status()


@pytest.fixture
def broker(simulator: RunningSimulator) -> AlpacaBroker:
    return simulator.broker(read_timeout=0.6, total_timeout=1.5)


def rule(action: str, route: str = POST, **kw: Any) -> dict[str, Any]:
    return {"route": route, "action": action, **kw}


# promise A and D: whatever the answer looks like, the order is there once or not at all, and asking says which
LANDS = [
    pytest.param(rule("hang", when="after", seconds=2), id="timeout after commit"),
    pytest.param(rule("error", when="after", status=504, times=9), id="504 after commit, again and again"),
    pytest.param(rule("error", when="after", status=500, **HTML), id="500 with HTML after commit"),
    pytest.param(rule("error", when="after", status=502, **HTML), id="502 with HTML after commit"),
    pytest.param(rule("truncate"), id="half an answer"),
    pytest.param(rule("reset", when="after"), id="reset after commit"),
    pytest.param(rule("error", when="after", status=200, **HTML), id="200 with HTML"),
    pytest.param(rule("error", when="after", status=200, body="[]"), id="200 with something else"),
    pytest.param(rule("error", when="after", status=200, body=""), id="200 with nothing"),
    pytest.param(rule("error", when="after", status=301, **HTML), id="redirected after commit"),
    pytest.param(rule("error", when="after", status=403, **HTML), id="a proxy's 403 after commit"),
    pytest.param(rule("rewrite", drop=["id"]), id="an answer without an id"),
    pytest.param(rule("rewrite", set={"side": "sideways"}), id="an unknown side"),
    pytest.param(rule("rewrite", set={"client_order_id": "another"}), id="another order's answer"),
]
DOES_NOT_LAND = [
    pytest.param(rule("hang", when="before", seconds=2), id="timeout before commit"),
    pytest.param(rule("error", when="before", status=500), id="500 before commit"),
    pytest.param(rule("error", when="before", status=503, **HTML), id="503 with HTML before commit"),
    pytest.param(rule("reset", when="before"), id="reset before commit"),
    pytest.param(rule("rate_limit"), id="429"),
]


@pytest.mark.parametrize("fault", LANDS)
def test_a_lost_answer_leaves_one_order(
    broker: AlpacaBroker, simulator: RunningSimulator, fault: dict[str, Any]
) -> None:
    simulator.faults(fault)
    with pytest.raises(OutcomeUnknown):
        broker.submit(order("once"))
    found = broker.order_by_client_id("once")
    assert found is not None and found.status is OrderStatus.FILLED
    simulator.http.delete("/sim/faults")
    with pytest.raises(OrderRefused) as caught:
        broker.submit(order("once"))
    assert caught.value.kind is Refusal.DUPLICATE_CLIENT_ORDER_ID
    assert [(p.symbol, p.qty) for p in broker.positions()] == [("AAPL", 10)]
    assert len(broker.executions()) == 1


@pytest.mark.parametrize("fault", DOES_NOT_LAND)
def test_a_failure_before_the_work_leaves_none_and_the_same_order_can_be_sent_again(
    broker: AlpacaBroker, simulator: RunningSimulator, fault: dict[str, Any]
) -> None:
    simulator.faults(fault)
    with pytest.raises(OutcomeUnknown):
        broker.submit(order("later"))
    broker._budget._paused_until = 0.0  # do not wait out the 429
    assert broker.order_by_client_id("later") is None
    broker.submit(order("later"))
    until(lambda: [p.qty for p in broker.positions()] == [10])


def test_the_client_asks_once_even_where_alpacas_own_would_ask_four_times(
    broker: AlpacaBroker, simulator: RunningSimulator
) -> None:
    simulator.faults(rule("error", when="before", status=504, times=10))
    began = time.monotonic()
    with pytest.raises(OutcomeUnknown):
        broker.submit(order("once"))
    assert time.monotonic() - began < 3  # Alpaca's client waits three seconds before each of its own tries
    assert simulator.http.get("/sim/faults").json()["rules"][0]["times"] == 9


def test_a_busy_broker_says_how_long_to_wait_and_is_left_alone(
    broker: AlpacaBroker, simulator: RunningSimulator
) -> None:
    simulator.faults(rule("rate_limit", "GET /v2/positions", times=3))
    with pytest.raises(BrokerUnavailable) as caught:
        broker.positions()
    assert caught.value.retry_after == 2
    assert simulator.http.get("/sim/faults").json()["rules"][0]["times"] == 2
    began = time.monotonic()
    with pytest.raises(BrokerUnavailable):
        broker.positions()
    assert time.monotonic() - began > 1.5


def test_an_unknown_word_for_a_state_is_a_state(broker: AlpacaBroker, simulator: RunningSimulator) -> None:
    simulator.faults(rule("rewrite", set={"status": "pending_alignment", "order_class": "triple", "type": "psychic"}))
    placed = broker.submit(order("odd"))
    assert (placed.status, placed.raw_status) == (OrderStatus.UNKNOWN, "pending_alignment")
    assert not placed.status.ended


@pytest.mark.parametrize(
    ("path", "ask"),
    [
        ("/v2/positions", lambda b: b.positions()),
        ("/v2/orders", lambda b: b.open_orders()),
        ("/v2/account", lambda b: b.account()),
        ("/v2/account/activities", lambda b: b.executions()),
        ("/v2/orders:by_client_order_id", lambda b: b.order_by_client_id("in")),
        ("/v2/clock", lambda b: b.clock()),
    ],
)
@pytest.mark.parametrize(
    "fault",
    [
        {"action": "error", "status": 500},
        {"action": "error", "status": 404, **HTML},
        {"action": "error", "status": 200, "body": "null"},
        {"action": "error", "status": 200, **HTML},
        {"action": "truncate"},
        {"action": "reset"},
    ],
    ids=["500", "404 page", "null", "200 page", "half", "reset"],
)
def test_a_question_without_an_answer_is_never_an_empty_answer(
    broker: AlpacaBroker,
    simulator: RunningSimulator,
    path: str,
    ask: Callable[[AlpacaBroker], object],
    fault: dict[str, Any],
) -> None:
    broker.submit(order("in"))
    simulator.faults({"route": f"GET {path}", **fault})
    with pytest.raises(BrokerUnavailable):
        ask(broker)


def test_an_answer_that_drips_has_an_end() -> None:
    """One byte at a time keeps every single wait short; the whole must still be bounded."""
    listener = socket.create_server(("127.0.0.1", 0))
    ended = threading.Event()

    def drip() -> None:
        connection, _ = listener.accept()
        with connection:
            connection.recv(65536)
            connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 100000\r\n\r\n[")
            while not ended.wait(0.05):
                try:
                    connection.sendall(b" ")
                except OSError:
                    return

    thread = threading.Thread(target=drip, daemon=True)
    thread.start()
    url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    broker = AlpacaBroker("SIM-1", "secret", mode="simulated", url_override=url, read_timeout=1, total_timeout=0.5)
    with pytest.raises(BrokerUnavailable):
        broker.positions()
    ended.set()
    thread.join(5)
    listener.close()
    broker.close()


def test_nobody_listening_is_not_a_refusal(unused_port: int) -> None:
    broker = AlpacaBroker("SIM-1", "secret", mode="simulated", url_override=f"http://127.0.0.1:{unused_port}")
    with pytest.raises(OutcomeUnknown):
        broker.submit(order("x"))
    with pytest.raises(BrokerUnavailable):
        broker.account()
    broker.close()


@pytest.fixture
def unused_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def test_a_new_order_that_is_not_visible_yet_is_found_by_sending_it_again(
    broker: AlpacaBroker, simulator: RunningSimulator
) -> None:
    simulator.faults(rule("error", when="after", status=504), visibility_lag=60)
    with pytest.raises(OutcomeUnknown):
        broker.submit(order("hidden"))
    assert broker.order_by_client_id("hidden") is None
    assert broker.open_orders() == []
    with pytest.raises(OrderRefused) as caught:
        broker.submit(order("hidden"))
    assert caught.value.kind is Refusal.DUPLICATE_CLIENT_ORDER_ID
    simulator.faults(visibility_lag=0)
    assert broker.order_by_client_id("hidden") is not None


def test_an_account_without_the_fields_that_alpaca_removed(broker: AlpacaBroker, simulator: RunningSimulator) -> None:
    kept = {"id", "status", "equity", "last_equity", "cash", "buying_power"}
    every = set(broker._client.get("/account"))
    simulator.faults(rule("rewrite", "GET /v2/account$", drop=sorted(every - kept)))
    assert broker.account().equity == 100_000
    for field in sorted(kept):
        simulator.faults(rule("rewrite", "GET /v2/account$", drop=[field]))
        with pytest.raises(BrokerUnavailable) as caught:
            broker.account()
        assert field in str(caught.value)


def test_paper_keys_in_live_mode_place_nothing(simulator: RunningSimulator) -> None:
    """Keys that look right, of an account that says it is a paper account."""
    _, secret = simulated_credentials(SECRET, 9_001)
    live = AlpacaBroker("AK9001", secret, mode="live", url_override=simulator.url)
    paper_account = rule("rewrite", "GET /v2/account$", set={"account_number": "PA3ABCDEFGHI"}, times=5)
    simulator.faults(paper_account)
    with pytest.raises(OrderRefused) as caught:
        live.submit(order("x"))
    assert caught.value.kind is Refusal.UNAUTHORIZED
    assert "paper" in str(caught.value)
    simulator.http.delete("/sim/faults")
    assert live.order_by_client_id("x") is None
    # nor is anything sent while that cannot be checked
    simulator.faults(rule("error", "GET /v2/account$", status=500))
    with pytest.raises(OutcomeUnknown):
        live.submit(order("y"))
    assert live.order_by_client_id("y") is None
    live.submit(order("z"))
    until(lambda: live.positions())
    live.close()


# the stream


class Listener:
    def __init__(self, broker: AlpacaBroker, **options: Any) -> None:
        self.updates: list[OrderUpdate] = []
        self.gaps: list[StreamGap] = []
        self.stream = broker.stream(self.updates.append, self.gaps.append, backoff=(0.1, 0.5), **options)
        assert self.stream.wait_connected(10)
        until(lambda: StreamGap.CONNECTED in self.gaps)

    @property
    def events(self) -> list[tuple[str, str]]:
        return [(u.order.client_order_id, u.event) for u in self.updates]


def test_repeated_and_reordered_events_keep_their_execution_ids(
    broker: AlpacaBroker, simulator: RunningSimulator
) -> None:
    listener = Listener(broker)
    simulator.faults(stream=["duplicate", "reverse"])
    broker.submit(order("twice"))
    until(lambda: len(listener.updates) == 4)
    assert [event for _, event in listener.events] == ["fill", "fill", "new", "new"]
    (execution,) = broker.executions()
    assert {u.execution for u in listener.updates if u.execution} == {execution}


def test_a_lost_partial_fill_is_noticed_with_the_next_one(broker: AlpacaBroker, simulator: RunningSimulator) -> None:
    listener = Listener(broker)
    simulator.faults(partial_fills=["0.3", "0.3", "0.4"], partial_interval=0.5, stream=["drop"])
    broker.submit(order("parts"))
    until(lambda: len(broker.executions()) == 1)
    simulator.faults(stream=[])
    until(lambda: len(broker.executions()) == 3)
    until(lambda: StreamGap.MISSED_FILL in listener.gaps)
    assert [f.qty for f in broker.executions()] == [3, 3, 4]


def test_a_dropped_socket_reconnects_and_both_sides_of_the_gap_are_told(
    broker: AlpacaBroker, simulator: RunningSimulator
) -> None:
    listener = Listener(broker)
    transport = listener.stream._socket._ws.transport
    simulator.faults(hold_fills=True)
    broker.submit(order("during"))
    transport.abort()
    until(lambda: listener.gaps.count(StreamGap.CONNECTED) == 2)
    assert StreamGap.LOST in listener.gaps
    simulator.faults(hold_fills=False)
    until(lambda: ("during", "fill") in listener.events)


def test_a_socket_that_lives_but_says_nothing_is_noticed_and_replaced(
    broker: AlpacaBroker, simulator: RunningSimulator
) -> None:
    listener = Listener(broker, silence=0.5)
    simulator.faults(stream=["silent"])
    broker.submit(order("unheard"))
    until(lambda: StreamGap.SILENT in listener.gaps)
    simulator.faults(stream=[])
    until(lambda: listener.gaps.count(StreamGap.CONNECTED) == 2)
    broker.submit(order("heard"))
    until(lambda: ("heard", "fill") in listener.events)


class Relay:
    """Passes bytes to the simulator until it is muted, then takes them and says nothing: a dead network path."""

    def __init__(self, url: str) -> None:
        self._target = ("127.0.0.1", int(url.rsplit(":", 1)[1]))
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self.muted = threading.Event()
        self._sockets: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
            far = socket.create_connection(self._target)
            self._sockets += [near, far]
            for source, sink in ((near, far), (far, near)):
                threading.Thread(target=self._pump, args=(source, sink), daemon=True).start()

    def _pump(self, source: socket.socket, sink: socket.socket) -> None:
        born_muted = self.muted.is_set()
        try:
            while data := source.recv(65536):
                if born_muted or not self.muted.is_set():
                    sink.sendall(data)
        except OSError:
            pass
        for each in (source, sink):
            try:
                each.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def close(self) -> None:
        self._listener.close()
        for each in self._sockets:
            each.close()


def test_a_dead_path_is_found_by_its_missing_pongs(simulator: RunningSimulator) -> None:
    """Connections made before the path dies stay silent for ever; new ones work."""
    relay = Relay(simulator.url)
    broker = simulator.broker(url=relay.url)
    listener = Listener(broker, ping=0.4)
    relay.muted.set()
    until(lambda: listener.gaps.count(StreamGap.CONNECTED) == 2)
    assert StreamGap.LOST in listener.gaps
    broker.close()
    relay.close()


def test_the_stream_outlives_a_restart_of_the_broker_and_a_listener_that_fails(
    postgres_server: EmbeddedPostgres,
) -> None:
    feed = FixedFeed({"AAPL": "150"})
    with fresh_engine(postgres_server) as engine:
        with running(engine, [feed]) as first:
            port = int(first.url.rsplit(":", 1)[1])
            broker = first.broker(1)
            seen: list[str] = []

            def fails(update: OrderUpdate) -> None:
                seen.append(update.event)
                raise RuntimeError("a listener's mistake")

            gaps: list[StreamGap] = []
            stream = broker.stream(fails, gaps.append, backoff=(0.1, 0.3))
            first._brokers.clear()
            assert stream.wait_connected(10)
            broker.submit(order("before"))
            until(lambda: "fill" in seen)
        until(lambda: StreamGap.LOST in gaps)
        with running(engine, [feed], port=port):
            until(lambda: gaps.count(StreamGap.CONNECTED) == 2)
            broker.submit(order("after"))
            until(lambda: seen.count("fill") == 2)
            assert broker.positions()[0].qty == 20
            stream.stop()
            assert not stream._thread.is_alive()
            broker.close()


def test_the_stream_of_wrong_keys_never_connects_and_can_be_stopped(simulator: RunningSimulator) -> None:
    wrong = AlpacaBroker("SIM-77", "wrong", mode="simulated", url_override=simulator.url)
    gaps: list[StreamGap] = []
    stream = wrong.stream(lambda update: None, gaps.append, backoff=(0.05, 0.1))
    assert not stream.wait_connected(0.5)
    wrong.close()
    assert not stream._thread.is_alive()
    assert gaps == []


def test_rehearsal_controls_are_not_there_in_normal_use(postgres_server: EmbeddedPostgres) -> None:
    with fresh_engine(postgres_server) as engine, running(engine, [], options=SimulatorOptions()) as plain:
        for path in ("/sim/faults", "/sim/clock", "/sim/assets"):
            assert plain.http.post(path, json={}).status_code == 404
        body = {"symbol": "AAPL", "price": "1"}
        assert plain.http.post("/sim/prices", json=body).status_code == 401
        assert plain.http.post("/sim/prices", json=body, headers=plain.headers(1)).status_code == 200


def test_a_web_page_cannot_reach_the_controls(simulator: RunningSimulator) -> None:
    answer = simulator.http.post("/sim/faults", json={"hold_fills": True}, headers={"origin": "https://example.com"})
    assert answer.status_code == 404
    assert simulator.http.get("/sim/faults").json()["hold_fills"] is False


def test_refusals_are_not_confused_with_failures(broker: AlpacaBroker) -> None:
    with pytest.raises(OrderRefused) as caught:
        broker.submit(order("dear", "100000"))
    assert (caught.value.kind, caught.value.broker_code) == (Refusal.BUYING_POWER, 40310000)
    assert "insufficient buying power" in str(caught.value)
    assert broker.account().buying_power == Decimal(200_000)
    assert isinstance(caught.value, BrokerError)
    assert broker.clock().is_open
