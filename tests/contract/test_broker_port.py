"""What every account mode must keep of the Broker port, over the real client and a real server."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from simulator_server import SECRET, RunningSimulator, fresh_engine, new_user, order, running, until

from dashtrade.brokers import MODES, make_broker
from dashtrade.brokers.alpaca import AlpacaBroker
from dashtrade.brokers.simulator.prices import FixedFeed
from dashtrade.db.embedded import EmbeddedPostgres
from dashtrade.domain.bots import AccountMode
from dashtrade.domain.orders import OrderStatus, OrderType, Refusal, TimeInForce
from dashtrade.domain.simulated import simulated_credentials
from dashtrade.errors import BrokerError, ConfigurationError, OrderRefused

PREFIXES = {AccountMode.SIMULATED: "SIM-", AccountMode.PAPER: "PK", AccountMode.LIVE: "AK"}


@pytest.fixture(params=list(MODES))
def mode(request: pytest.FixtureRequest) -> AccountMode:
    return AccountMode(request.param)


@pytest.fixture(scope="module")
def simulator(postgres_server: EmbeddedPostgres) -> Iterator[RunningSimulator]:
    feed = FixedFeed({"AAPL": "150", "MSFT": "300"})
    with fresh_engine(postgres_server) as engine, running(engine, [feed]) as server:
        yield server


@pytest.fixture
def broker(simulator: RunningSimulator, mode: AccountMode) -> Iterator[AlpacaBroker]:
    user_id = new_user()
    _, secret = simulated_credentials(SECRET, user_id)
    made = make_broker(mode, f"{PREFIXES[mode]}{user_id}", secret, url=simulator.url)
    yield made
    made.close()


def test_an_account_from_first_order_to_flat(broker: AlpacaBroker) -> None:
    began = datetime.now(UTC) - timedelta(seconds=5)
    assert broker.positions() == []
    assert broker.open_orders() == []
    assert broker.executions() == []
    placed = broker.submit(order("in", "10"))
    assert (placed.client_order_id, placed.symbol, placed.qty) == ("in", "AAPL", 10)
    until(lambda: broker.positions())
    filled = broker.order_by_client_id("in")
    assert filled is not None and filled.broker_order_id == placed.broker_order_id
    assert (filled.status, filled.filled_qty, filled.filled_avg_price) == (OrderStatus.FILLED, 10, 150)
    (position,) = broker.positions()
    assert (position.symbol, position.qty, position.avg_entry_price, position.market_price) == ("AAPL", 10, 150, 150)
    account = broker.account()
    assert (account.status, account.cash, account.equity, account.last_equity) == ("ACTIVE", 98_500, 100_000, 100_000)
    assert account.buying_power == 198_500
    broker.submit(order("out", "10", side="sell", is_exit=True))
    until(lambda: not broker.positions())
    fills = broker.executions(began)
    assert [(f.client_order_id, f.side.value, f.qty, f.price) for f in fills] == [
        ("in", "buy", 10, 150),
        ("out", "sell", 10, 150),
    ]
    assert len({f.execution_id for f in fills}) == 2
    assert broker.executions(datetime.now(UTC) + timedelta(minutes=1)) == []
    assert [o.client_order_id for o in broker.orders_since(began)] == ["in", "out"]


def test_a_resting_order_is_open_until_it_is_cancelled(broker: AlpacaBroker) -> None:
    placed = broker.submit(
        order("rest", "3", type=OrderType.LIMIT, limit_price="140.25", time_in_force=TimeInForce.GTC)
    )
    assert [o.broker_order_id for o in broker.open_orders()] == [placed.broker_order_id]
    broker.cancel(placed.broker_order_id)
    assert broker.open_orders() == []
    ended = broker.order(placed.broker_order_id)
    assert ended is not None and ended.status is OrderStatus.CANCELED
    with pytest.raises(OrderRefused) as caught:
        broker.cancel(placed.broker_order_id)
    assert caught.value.kind is Refusal.ALREADY_ENDED


def test_an_order_that_is_not_there_is_none_and_cannot_be_cancelled(broker: AlpacaBroker) -> None:
    assert broker.order_by_client_id("never-sent") is None
    missing = "00000000-0000-4000-8000-000000000000"
    assert broker.order(missing) is None
    with pytest.raises(OrderRefused) as caught:
        broker.cancel(missing)
    assert caught.value.kind is Refusal.ORDER_NOT_FOUND


def test_a_client_order_id_is_taken_once(broker: AlpacaBroker) -> None:
    broker.submit(order("same", "1"))
    with pytest.raises(OrderRefused) as caught:
        broker.submit(order("same", "1"))
    assert caught.value.kind is Refusal.DUPLICATE_CLIENT_ORDER_ID
    until(lambda: broker.positions())
    assert broker.positions()[0].qty == 1


def test_amounts_keep_every_digit(broker: AlpacaBroker) -> None:
    placed = broker.submit(order("bits", "0.123456789"))
    assert placed.qty == Decimal("0.123456789")
    # more digits than a float holds
    many = broker.submit(order("many", "12345678.123456789", type=OrderType.LIMIT, limit_price="0.01"))
    assert many.qty == Decimal("12345678.123456789")
    broker.cancel(many.broker_order_id)
    bought = broker.submit(order("money", None, notional="33.33"))
    assert bought.notional == Decimal("33.33")
    until(lambda: broker.positions())
    assert broker.positions()[0].qty == Decimal("0.345656789")  # 0.123456789 + 33.33 / 150


def test_a_short_position_has_a_negative_quantity(broker: AlpacaBroker) -> None:
    broker.submit(order("short", "4", symbol="MSFT", side="sell"))
    until(lambda: broker.positions())
    assert [(p.symbol, p.qty) for p in broker.positions()] == [("MSFT", -4)]
    assert broker.account().equity == 100_000


def test_wrong_keys_are_refused_and_never_read_as_an_empty_account(
    simulator: RunningSimulator, mode: AccountMode
) -> None:
    wrong = make_broker(mode, PREFIXES[mode] + "9", "wrong-secret-value", url=simulator.url)
    for ask in (wrong.positions, wrong.open_orders, wrong.account, wrong.executions):
        with pytest.raises(BrokerError):
            ask()
    with pytest.raises(BrokerError):
        wrong.order_by_client_id("x")
    wrong.close()


def test_secrets_appear_in_no_text(
    simulator: RunningSimulator, mode: AccountMode, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    wrong = make_broker(mode, PREFIXES[mode] + "12345678", "very-secret-value", url=simulator.url)
    with pytest.raises(BrokerError) as caught:
        wrong.submit(order("x"))
    texts = [repr(wrong), str(wrong), str(caught.value), repr(caught.value), caplog.text]
    linked: BaseException | None = caught.value
    while linked is not None:
        texts += [repr(linked), str(vars(linked))]
        linked = linked.__cause__ or linked.__context__
    assert not any("very-secret-value" in text for text in texts)
    assert "12345678" not in repr(wrong)
    wrong.close()


def test_not_even_debug_logs_of_the_stream_hold_the_secret(
    simulator: RunningSimulator, caplog: pytest.LogCaptureFixture
) -> None:
    """The library under the stream logs whole frames, and the first one carries the secret."""
    caplog.set_level("DEBUG")
    broker = simulator.broker()
    stream = broker.stream(lambda update: None, lambda gap: None)
    assert stream.wait_connected(10)
    broker.submit(order("one"))
    broker.close()
    assert caplog.records
    assert broker._secret[-12:] not in caplog.text  # long frames are cut in the middle


@pytest.mark.parametrize(
    ("mode_name", "key"),
    [
        ("live", "PKABC"),
        ("live", "SIM-1"),
        ("paper", "AKABC"),
        ("paper", "SIM-1"),
        ("simulated", "PKABC"),
        ("paper", ""),
    ],
)
def test_keys_of_another_mode_are_refused_before_anything_is_sent(mode_name: str, key: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        make_broker(mode_name, key, "secret", url="http://127.0.0.1:9")
    assert "account" in str(caught.value)
