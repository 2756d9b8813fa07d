"""Alpaca's own typed client reads every answer of the simulator, with the fields that Alpaca publishes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import date
from pathlib import Path

import pytest
from alpaca.common.exceptions import APIError
from alpaca.trading.client import TradingClient
from alpaca.trading.enums import OrderClass, OrderSide, OrderStatus, QueryOrderStatus, TimeInForce
from alpaca.trading.models import TradeActivity
from alpaca.trading.requests import (
    ClosePositionRequest,
    GetCalendarRequest,
    GetOrderByIdRequest,
    GetOrdersRequest,
    GetPortfolioHistoryRequest,
    LimitOrderRequest,
    MarketOrderRequest,
    ReplaceOrderRequest,
    StopLimitOrderRequest,
    StopLossRequest,
    StopOrderRequest,
    TakeProfitRequest,
    TrailingStopOrderRequest,
)
from simulator_server import SECRET, RunningSimulator, fresh_engine, new_user, running, until

from dashtrade.brokers.refusals import classify
from dashtrade.brokers.simulator.prices import FixedFeed
from dashtrade.db.embedded import EmbeddedPostgres
from dashtrade.domain.orders import Refusal
from dashtrade.domain.simulated import simulated_credentials

RECORDED = Path(__file__).resolve().parents[2].parent / "shared" / "data" / "protocol" / "alpaca"


@pytest.fixture(scope="module")
def simulator(postgres_server: EmbeddedPostgres) -> Iterator[RunningSimulator]:
    feed = FixedFeed({"AAPL": "150", "MSFT": "300"})
    with fresh_engine(postgres_server) as engine, running(engine, [feed]) as server:
        yield server


@pytest.fixture
def user() -> int:
    return new_user()


@pytest.fixture
def client(simulator: RunningSimulator, user: int) -> TradingClient:
    key, secret = simulated_credentials(SECRET, user)
    return TradingClient(key, secret, url_override=simulator.url)


def day(**kw: object) -> dict[str, object]:
    return {"symbol": "AAPL", "qty": 5, "side": OrderSide.BUY, "time_in_force": TimeInForce.DAY, **kw}


def test_every_kind_of_order_is_read_back(client: TradingClient) -> None:
    requests = [
        MarketOrderRequest(**day()),
        MarketOrderRequest(**day(qty=None, notional=100)),
        LimitOrderRequest(**day(limit_price=120)),
        StopOrderRequest(**day(stop_price=180)),
        StopLimitOrderRequest(**day(stop_price=180, limit_price=181)),
        TrailingStopOrderRequest(**day(trail_percent=5)),
        LimitOrderRequest(**day(limit_price=121, extended_hours=True)),
        MarketOrderRequest(
            **day(
                symbol="MSFT",
                order_class=OrderClass.BRACKET,
                take_profit=TakeProfitRequest(limit_price=330),
                stop_loss=StopLossRequest(stop_price=280, limit_price=279),
            )
        ),
    ]
    placed = [client.submit_order(request) for request in requests]
    assert len({order.id for order in placed}) == len(requests)
    assert placed[-1].order_class is OrderClass.BRACKET
    assert [leg.status for leg in placed[-1].legs] == [OrderStatus.HELD, OrderStatus.HELD]
    for order in placed:
        again = client.get_order_by_id(order.id, GetOrderByIdRequest(nested=True))
        assert again.client_order_id == order.client_order_id
        assert client.get_order_by_client_id(order.client_order_id).id == order.id
    everything = client.get_orders(GetOrdersRequest(status=QueryOrderStatus.ALL, nested=False, limit=500))
    assert len(everything) == len(requests) + 2  # the legs are orders of their own
    nested = client.get_orders(GetOrdersRequest(status=QueryOrderStatus.ALL, nested=True))
    assert len(nested) == len(requests)
    open_now = client.get_orders(GetOrdersRequest(status=QueryOrderStatus.OPEN, symbols=["AAPL"]))
    assert {order.type for order in open_now} == {"limit", "stop", "stop_limit", "trailing_stop"}
    assert {result.status for result in client.cancel_orders()} == {200}
    assert client.get_orders() == []


def test_one_cancels_the_other(client: TradingClient) -> None:
    client.submit_order(MarketOrderRequest(**day()))
    both = {
        "order_class": OrderClass.OCO, "side": OrderSide.SELL, "time_in_force": TimeInForce.GTC,
        "take_profit": TakeProfitRequest(limit_price=330), "stop_loss": StopLossRequest(stop_price=80),
    }  # fmt: skip
    placed = client.submit_order(LimitOrderRequest(**day(client_order_id="both", **both)))
    [stop] = placed.legs
    assert (placed.order_class, placed.limit_price, stop.type, stop.stop_price) == (OrderClass.OCO, "330", "stop", "80")
    assert client.get_order_by_client_id("both").id == placed.id
    assert client.get_order_by_id(placed.id, GetOrderByIdRequest(nested=True)).legs[0].id == stop.id
    client.cancel_order_by_id(placed.id)
    assert {client.get_order_by_id(o.id).status for o in (placed, stop)} == {OrderStatus.CANCELED}


def test_refusals_have_alpacas_numbers(client: TradingClient) -> None:
    client.submit_order(MarketOrderRequest(**day(client_order_id="taken")))
    good = {"symbol": "AAPL", "qty": "1", "side": "buy", "type": "market", "time_in_force": "day"}
    for changes, status, code in (
        ({"side": "hold"}, 422, 40010001),
        ({"qty": None}, 422, 40010001),
        ({"client_order_id": "taken"}, 422, 40010001),
        ({"symbol": "NOT A TICKER"}, 422, 42210000),
        ({"type": "limit", "limit_price": "1.2345"}, 422, 42210000),
        ({"qty": "100000"}, 403, 40310000),
        ({"side": "sell", "qty": "6"}, 403, 40310000),
    ):
        with pytest.raises(APIError) as caught:
            client.post("/orders", {name: value for name, value in (good | changes).items() if value is not None})
        assert (caught.value.status_code, caught.value.code) == (status, code), changes
    assert len(client.get_orders(GetOrdersRequest(status=QueryOrderStatus.ALL))) == 1


def test_positions_account_activities_and_history(
    client: TradingClient, simulator: RunningSimulator, user: int
) -> None:
    client.submit_order(MarketOrderRequest(**day()))
    client.submit_order(MarketOrderRequest(**day(symbol="MSFT", side=OrderSide.SELL)))
    until(lambda: len(client.get_all_positions()) == 2)
    long, short = client.get_all_positions()
    assert (long.symbol, long.qty, long.side, long.market_value) == ("AAPL", "5", "long", "750")
    assert (short.symbol, short.qty, short.side, short.market_value) == ("MSFT", "-5", "short", "-1500")
    assert client.get_open_position("AAPL").asset_id == long.asset_id
    assert client.get_open_position(str(long.asset_id)).symbol == "AAPL"
    account = client.get_account()
    assert (account.cash, account.equity, account.buying_power) == ("100750", "100000", "197750")
    assert (account.long_market_value, account.short_market_value) == ("750", "-1500")
    assert account.pattern_day_trader is None and account.daytrade_count is None
    fills = client.get("/account/activities/FILL", {"direction": "asc"})
    parsed = [TradeActivity(account_id=str(account.id), **fill) for fill in fills]
    assert [(a.symbol, a.side, a.qty, a.price, a.leaves_qty) for a in parsed] == [
        ("AAPL", "buy", 5, 150, 0),
        ("MSFT", "sell", 5, 300, 0),
    ]
    history = client.get_portfolio_history(GetPortfolioHistoryRequest(period="1D", timeframe="1H"))
    assert history.equity[-1] == 100_000 and history.base_value == 100_000
    assert len(history.timestamp) == len(history.equity) == len(history.profit_loss)
    configuration = client.get_account_configurations()
    assert not configuration.no_shorting


def test_paging_through_activities_finds_each_once(client: TradingClient) -> None:
    for _ in range(7):
        client.submit_order(MarketOrderRequest(**day(qty=1)))
    seen: list[str] = []
    token = None
    while True:
        query = {"page_size": 3, "direction": "asc", **({"page_token": token} if token else {})}
        page = client.get("/account/activities", query)
        seen += [item["id"] for item in page]
        if len(page) < 3:
            break
        token = page[-1]["id"]
    assert len(seen) == len(set(seen)) == 7


def test_closing_positions(client: TradingClient) -> None:
    client.submit_order(MarketOrderRequest(**day(qty=8)))
    client.submit_order(MarketOrderRequest(**day(symbol="MSFT", qty=2, side=OrderSide.SELL)))
    part = client.close_position("AAPL", ClosePositionRequest(percentage="25"))
    assert (part.side, part.qty) == ("sell", "2")
    assert client.get_open_position("AAPL").qty == "6"
    answers = client.close_all_positions(cancel_orders=True)
    assert sorted((a.symbol, a.status, a.body.side.value) for a in answers) == [
        ("AAPL", 200, "sell"),
        ("MSFT", 200, "buy"),
    ]
    assert client.get_all_positions() == []


def test_replacing_an_order(client: TradingClient) -> None:
    old = client.submit_order(LimitOrderRequest(**day(limit_price=120)))
    new = client.replace_order_by_id(old.id, ReplaceOrderRequest(qty=7, limit_price=125.5))
    assert (new.replaces, new.qty, new.limit_price) == (old.id, "7", "125.5")
    was = client.get_order_by_id(old.id)
    assert (was.status, was.replaced_by) == (OrderStatus.REPLACED, new.id)
    with pytest.raises(APIError) as caught:
        client.replace_order_by_id(old.id, ReplaceOrderRequest(qty=1))
    assert caught.value.code == 42210000


def test_clock_calendar_and_assets(client: TradingClient) -> None:
    clock = client.get_clock()
    assert clock.is_open and clock.next_close > clock.timestamp
    days = client.get_calendar(GetCalendarRequest(start=date(2024, 7, 1), end=date(2024, 7, 7)))
    assert [d.date for d in days] == [date(2024, 7, n) for n in range(1, 8)]
    asset = client.get_asset("AAPL")
    assert (asset.symbol, asset.tradable, asset.fractionable) == ("AAPL", True, True)
    client.submit_order(MarketOrderRequest(**day()))
    assert [a.symbol for a in client.get_all_assets()] == ["AAPL"]
    with pytest.raises(APIError) as caught:
        client.get_asset("not a ticker")
    assert (caught.value.status_code, caught.value.code) == (404, 40410000)


def test_unknown_things_have_alpacas_numbers(client: TradingClient, simulator: RunningSimulator) -> None:
    missing = "00000000-0000-4000-8000-000000000000"
    for ask in (lambda: client.get_order_by_id(missing), lambda: client.get_order_by_client_id("x")):
        with pytest.raises(APIError) as caught:
            ask()
        assert (caught.value.status_code, caught.value.code) == (404, 40410000)
    with pytest.raises(APIError) as caught:
        client.get_open_position("AAPL")
    assert caught.value.status_code == 404
    refused = simulator.http.get("/v2/account", headers={"APCA-API-KEY-ID": "SIM-1", "APCA-API-SECRET-KEY": "wrong"})
    assert refused.status_code == 401
    assert simulator.http.get("/v2/account").status_code == 401


@pytest.mark.shared
@pytest.mark.skipif(not RECORDED.is_dir(), reason="the recorded bodies are not here")
def test_bodies_have_the_recorded_fields(client: TradingClient, simulator: RunningSimulator, user: int) -> None:
    def recorded(name: str) -> dict[str, object]:
        body = json.loads((RECORDED / f"{name}.json").read_text())
        return body[0] if isinstance(body, list) else body

    headers = simulator.headers(user)
    order = {"symbol": "AAPL", "qty": "1", "side": "buy", "type": "limit", "time_in_force": "day", "limit_price": "99"}
    placed = simulator.http.post("/v2/orders", json=order, headers=headers).json()
    # "commission" is a field of the partner API
    assert set(recorded("order_routes__limit_order")) - {"commission"} <= set(placed)
    asset = simulator.http.get("/v2/assets/AAPL", headers=headers).json()
    assert set(recorded("asset_routes__get_asset")) - {"last_close_pct_change", "last_price"} <= set(asset)
    removed = {"daytrade_count", "daytrading_buying_power", "pattern_day_trader"}
    options = {"options_buying_power", "options_approved_level", "options_trading_level"}
    account = simulator.http.get("/v2/account", headers=headers).json()
    assert set(recorded("account_routes__get_account")) - removed - options <= set(account)
    for name, value in recorded("account_routes__get_account").items():
        if name in account and value is not None:
            assert isinstance(account[name], type(value)), name


@pytest.mark.shared
@pytest.mark.skipif(not RECORDED.is_dir(), reason="the recorded bodies are not here")
def test_recorded_refusals_are_told_apart() -> None:
    kinds = [
        classify(item["status"], item["body"]["code"], item["body"]["message"])
        for item in json.loads((RECORDED / "errors.json").read_text())
    ]
    assert kinds == [
        Refusal.BUYING_POWER,
        Refusal.INVALID_ORDER,
        Refusal.DUPLICATE_CLIENT_ORDER_ID,
        Refusal.ORDER_NOT_FOUND,
    ]
