"""Request bodies → alerts: aliases, timeframes, and every kind of body that is refused, with its remedy."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from decimal import Decimal

import pytest

from dashtrade.domain.bots import Action, BotTimeframe, Target, parse_timeframe
from dashtrade.domain.orders import OrderType
from dashtrade.errors import InvalidInput
from webhook.payload import cut_secrets, parse_payload


def parse(**fields: object):
    body = {"action": "BUY", "symbol": "AAPL", "timeframe": "15 Min"} | fields
    return parse_payload(json.dumps({k: v for k, v in body.items() if v is not None}).encode()).alert


def test_documented_body() -> None:
    incoming = parse_payload(b'{"action": "BUY", "symbol": "AAPL", "timeframe": "15 Min", "price": 145.50}')
    alert = incoming.alert
    assert (alert.action, alert.symbol, alert.timeframe) == (Action.BUY, "AAPL", BotTimeframe.M15)
    assert alert.price == Decimal("145.50")
    assert not incoming.carries_time


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1", "1 Min"), ("5", "5 Min"), ("15", "15 Min"), ("15m", "15 Min"), ("15Min", "15 Min"), ("15 min", "15 Min"),
        ("30", "30 Min"), ("60", "1 Hour"), ("60m", "1 Hour"), ("1h", "1 Hour"), ("1H", "1 Hour"), ("1Hour", "1 Hour"),
        ("1 Hour", "1 Hour"), ("240", "4 Hour"), ("4h", "4 Hour"), ("4 Hour", "4 Hour"), ("D", "1 Day"),
        ("1D", "1 Day"), ("1d", "1 Day"), ("1Day", "1 Day"), ("1 Day", "1 Day"),
        ("W", "1 Week"), ("1W", "1 Week"), ("1wk", "1 Week"),
        ("1m", "1 Min"), ("1M", "1 Month"), ("M", "1 Month"), ("1mo", "1 Month"), ("1 Month", "1 Month"),
    ],
)  # fmt: skip
def test_timeframes_in_every_spelling(text: str, expected: str) -> None:
    assert parse_timeframe(text).value == expected


@pytest.mark.parametrize("text", ["", "0", "7", "15s", "S", "1y", "minute15", "15 15", "-5", "1.5h", "99999", "2M"])
def test_unknown_timeframes_name_the_allowed_ones(text: str) -> None:
    with pytest.raises(InvalidInput, match="15 Min"):
        parse_timeframe(text)


@pytest.mark.parametrize(
    ("fields", "action"),
    [
        ({"action": "buy"}, Action.BUY),
        ({"action": "Sell"}, Action.SELL),
        ({"action": "exit"}, Action.CLOSE),
        ({"action": "FLAT"}, Action.CLOSE),
        ({"action": "close"}, Action.CLOSE),
        ({"action": "long"}, Action.LONG),
        ({"action": "SHORT"}, Action.SHORT),
        ({"action": None, "side": "sell"}, Action.SELL),
        ({"action": None, "market_position": "flat"}, Action.CLOSE),
        ({"action": None, "market_position": "long"}, Action.LONG),
    ],
)
def test_actions(fields: dict[str, object], action: Action) -> None:
    assert parse(**fields).action is action


def test_aliases_and_exchange_prefix() -> None:
    alert = parse(
        symbol=None, ticker="NASDAQ:msft", timeframe=None, interval="60", contracts="3", market_position="LONG",
        prev_market_position="flat", position_size="-3", timenow="2026-03-02T14:30:05Z", id=17,
    )  # fmt: skip
    assert (alert.symbol, alert.timeframe, alert.quantity) == ("MSFT", BotTimeframe.H1, Decimal(3))
    assert (alert.target, alert.previous, alert.position_size) == (Target.LONG, Target.FLAT, Decimal(-3))
    assert alert.sent_at == datetime(2026, 3, 2, 14, 30, 5, tzinfo=UTC)
    assert alert.alert_id == "17"


def test_price_is_a_limit_only_when_the_type_says_so() -> None:
    assert parse(price="145.5").limit_price is None
    limit = parse(price="145.5", type="limit")
    assert (limit.order_type, limit.limit_price) == (OrderType.LIMIT, Decimal("145.5"))
    assert parse(price="145.5", type="limit", limit_price=144).limit_price == 144


@pytest.mark.parametrize(("exchange", "delayed"), [("NASDAQ", False), ("NASDAQ_DL", True), ("BATS_DLY", True)])
def test_delayed_exchanges(exchange: str, delayed: bool) -> None:
    assert parse(symbol=f"{exchange}:AAPL").delayed_data is delayed
    assert parse(exchange=exchange).delayed_data is delayed


@pytest.mark.parametrize(
    ("body", "part"),
    [
        (b"", "empty"),
        (b"   ", "empty"),
        (b"\xff\xfe", "UTF-8"),
        (b"BUY AAPL", "not JSON"),
        (b'{"action": "BUY" "symbol": "AAPL"}', "not JSON"),
        (b'{"action": "BUY", "order": "my "best" order"}', "quote"),
        (b'["BUY"]', "one JSON object"),
        (b'"BUY"', "one JSON object"),
        (b'{"action": "BUY", "action": "SELL", "symbol": "AAPL"}', "twice"),
        (b'{"action": "BUY", "Action": "SELL", "symbol": "AAPL"}', "twice"),
        (b'{"action": "BUY", "symbol": "AAPL", "price": NaN}', "NaN"),
        (b'{"action": "BUY", "symbol": "AAPL", "price": -Infinity}', "Infinity"),
        (b'{"action": "BUY", "symbol": "AAPL", "price": "nan"}', "not a number"),
        (b'{"action": "BUY", "symbol": "AAPL", "price": 0}', "above zero"),
        (b'{"action": "BUY", "symbol": "AAPL", "price": -3}', "above zero"),
        (b'{"action": "BUY", "symbol": "AAPL", "price": 1e999999999}', "out of range"),
        (b'{"action": "BUY", "symbol": "AAPL", "price": true}', "not a number"),
        (b'{"action": "BUY", "symbol": "AAPL", "price": ' + b"9" * 5000 + b"}", "too long"),
        (b'{"action": "HOLD", "symbol": "AAPL"}', "BUY, SELL"),
        (b'{"action": ["BUY"], "symbol": "AAPL"}', "must be a text"),
        (b'{"symbol": "AAPL"}', "action"),
        (b'{"action": "BUY"}', "symbol"),
        (b'{"action": "BUY", "symbol": "DROP TABLE"}', "ticker"),
        (b'{"action": "BUY", "side": "SELL", "symbol": "AAPL"}', "disagrees"),
        (b'{"action": "BUY", "symbol": "AAPL", "type": "stop"}', "type: 'stop' .*Allowed: market, limit"),
        (b'{"action": "BUY", "symbol": "AAPL", "type": "Stop_Limit"}', "type: 'stop_limit' .*Allowed: market, limit"),
        (b'{"action": "BUY", "symbol": "AAPL", "type": "trailing_stop"}', "type: 'trailing_stop' .*Allowed: market"),
        (b'{"action": "BUY", "symbol": "AAPL", "type": "limit"}', "limit_price"),
        (b'{"action": "BUY", "symbol": "AAPL", "market_position": "up"}', "long"),
        (b'{"action": "BUY", "symbol": "AAPL", "timenow": "yesterday"}', "time"),
        (b'{"action": "BUY", "symbol": "AAPL", "timenow": "0001-01-01T00:00:00+23:59"}', "timenow: .* is not a time"),
        (b'{"action": "BUY", "symbol": "AAPL", "time": "9999-12-31T23:59:59-23:59"}', "time: .* is not a time"),
        (b'{"action": "BUY", "symbol": "AAPL", "time": 1e59}', "time: .* is not a time"),
        (b'{"action": "BUY", "symbol": "AAPL", "time": 1e9999999}', "out of range"),
        (b'{"action": "BUY", "symbol": 1e999999999}', "out of range"),
        (b'{"action": "BUY", "symbol": "AAPL", "id": 1e-999999999}', "out of range"),
        (b'{"action": "BUY", "symbol": "AAPL", "id": 0e999999999}', "out of range"),
        (b'{"action": "BUY", "symbol": "AAPL", "x": [1e99999999999999999999999]}', "out of range"),
        (b'{"action": "BUY", "symbol": "AAPL", "x": ' + b"[" * 9 + b"]" * 9 + b"}", "deeper than 8"),
        (b"[" * 16000, "deeper than 8"),
    ],
)  # fmt: skip
def test_refused_bodies_say_what_to_change(body: bytes, part: str) -> None:
    with pytest.raises(InvalidInput, match=part):
        parse_payload(body)


@pytest.mark.parametrize(
    ("placeholder", "why"),
    [("strategy.order.action", "alerts of a strategy"), ("plot_0", "plot of that name"), ("close", "alert()")],
)
def test_an_unfilled_placeholder_is_named(placeholder: str, why: str) -> None:
    body = f'{{"action": "{{{{{placeholder}}}}}", "symbol": "AAPL"}}'.encode()
    with pytest.raises(InvalidInput) as refused:
        parse_payload(body)
    assert f"{{{{{placeholder}}}}}" in str(refused.value) and why in str(refused.value)


@pytest.mark.parametrize("field", ["id", "comment", "passphrase", "odd\\u0000name", "\\udfff"])
@pytest.mark.parametrize("value", ["\\ud800", "a\\u0000b", "\\udfff\\ud800"])
def test_what_a_database_cannot_keep_is_replaced(field: str, value: str) -> None:
    """Refused by the database it would be a 503, and TradingView would send it again."""
    body = f'{{"action": "BUY", "symbol": "AAPL", "{field}": "{value}"}}'.encode()
    incoming = parse_payload(body)
    kept = [incoming.shown, cut_secrets(body), incoming.alert.alert_id or "", incoming.passphrase or ""]
    kept += [*incoming.extra, *incoming.extra.values()]
    assert not any(
        character in text for text in map(str, kept) for character in ("\x00", "\ud800", "\udfff", "\\u0000")
    )
    "".join(kept).encode()


def test_brackets_inside_texts_are_not_depth() -> None:
    assert parse(comment="[" * 50 + '"' + "{[" * 50).symbol == "AAPL"


def test_unknown_fields_are_kept_and_secrets_cut() -> None:
    body = (
        b'{"action": "BUY", "symbol": "AAPL", "passphrase": "hush", "apiKey": "k1", "note": {"token": "t1", "n": 1.50}}'
    )
    incoming = parse_payload(body)
    assert incoming.extra == {"apiKey": "*****", "note": {"token": "*****", "n": "1.5"}}
    for text in (incoming.shown, cut_secrets(body), cut_secrets(body[:-1])):
        assert not {"hush", "k1", "t1"} & set(text.replace('"', " ").replace(",", " ").split()), text
        assert "AAPL" in text


def test_the_canonical_body_ignores_order_spacing_and_number_spelling() -> None:
    one = parse_payload(b'{"action": "BUY", "symbol": "AAPL", "price": 145.50}')
    two = parse_payload(b'{"price":145.5,  "symbol":"AAPL","action":"BUY"}')
    other = parse_payload(b'{"price":145.6,  "symbol":"AAPL","action":"BUY"}')
    assert one.body_hash == two.body_hash != other.body_hash


@pytest.mark.parametrize("piece", [b"a", b"pass", b"token:", b'auth"', b" ", b'{"token":"', b"{{"])
def test_cutting_secrets_takes_no_longer_for_hostile_bodies(piece: bytes) -> None:
    """A pattern that backtracks would need many seconds for each of these."""
    body = (piece * 16_384)[:16_384]
    assert len(cut_secrets(body)) <= 2001


def test_text_that_is_not_json_has_its_secrets_cut_too() -> None:
    shown = cut_secrets(b'{"passphrase": "my secret" "token"=abc&x=1, api_key: zz, \'auth\': \'qq\', symbol: AAPL')
    assert not any(secret in shown for secret in ("my secret", "abc", "zz", "qq"))
    assert "AAPL" in shown
