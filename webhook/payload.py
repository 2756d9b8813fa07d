"""Text of a request body → IncomingAlert. Every refusal names the field, what is allowed, and what to change."""

from __future__ import annotations

import hashlib
import json
import re
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from dashtrade.domain.bots import Action, Alert, IncomingAlert, Target, parse_timeframe
from dashtrade.domain.market import parse_symbol
from dashtrade.domain.orders import OrderType
from dashtrade.errors import InvalidInput

MAX_BYTES = 16 * 1024
MAX_DEPTH = 8
LARGEST_EXPONENT = 60
_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")
_SECRET = re.compile(r"pass|secret|token|api_?key|auth|credential", re.IGNORECASE)
_SECRET_IN_TEXT = re.compile(
    r"((?:pass|secret|token|api_?key|auth|credential)[\w-]{0,40}[\"']?\s{0,20}[:=]\s{0,20})"
    r"(\"(?:[^\"\\\n]|\\.){0,400}\"?|'[^'\n]{0,400}'?|[^\s,;&}]{1,400})",
    re.IGNORECASE,
)
_PLACEHOLDER = re.compile(r"\{\{\s*([^{}]{0,60}?)\s*(?:\}\}|$|[\"\n,])")
_ACTIONS = {
    **{action.value: action for action in Action},
    "EXIT": Action.CLOSE,
    "FLAT": Action.CLOSE,
}
_ALIASES = {
    "action": ("action", "side"),
    "symbol": ("symbol", "ticker"),
    "timeframe": ("timeframe", "interval"),
    "quantity": ("quantity", "qty", "contracts"),
}
_KNOWN = {
    *(alias for aliases in _ALIASES.values() for alias in aliases),
    "price", "id", "time", "timenow", "market_position", "prev_market_position", "position_size", "passphrase", "type",
    "limit_price", "stop_loss", "take_profit", "exchange",
}  # fmt: skip


def parse_payload(body: bytes) -> IncomingAlert:
    """Parse a body of any content type. Raises InvalidInput."""
    text = _decode(body)
    _refuse_placeholders(text)
    fields = _load(text)
    alert = _alert(fields)
    shown = _plain(_without_secrets(fields))
    canonical = json.dumps(_plain(_without_secrets(fields, drop=True)), sort_keys=True, separators=(",", ":"))
    return IncomingAlert(
        alert=alert,
        body_hash=hashlib.sha256(canonical.encode()).hexdigest(),
        carries_time=alert.sent_at is not None or alert.bar_time is not None,
        shown=json.dumps(shown, ensure_ascii=False),
        extra={key: value for key, value in shown.items() if key.lower() not in _KNOWN},
        passphrase=_passphrase(fields),
    )


def cut_secrets(body: bytes, limit: int = 2000) -> str:
    """A body for the log, secrets replaced; for text that is not JSON, every quoted or bare value after such a key."""
    text = body[: MAX_BYTES + 1].decode("utf-8", "replace").replace("\x00", "�")
    try:
        shown = json.dumps(_plain(_without_secrets(_load(text))), ensure_ascii=False)
    except InvalidInput:
        # Bounded repeats only: a hostile body must not make this slow.
        shown = _SECRET_IN_TEXT.sub(r"\1*****", text[: 4 * limit])
    return shown if len(shown) <= limit else shown[:limit] + "…"


def _decode(body: bytes) -> str:
    if not body.strip():
        raise InvalidInput(
            "body", 'is empty. Send JSON such as {"action": "BUY", "symbol": "AAPL", "timeframe": "1h"}.'
        )
    try:
        return body.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise InvalidInput("body", "is not UTF-8 text.") from None


def _refuse_placeholders(text: str) -> None:
    if "{{" not in text:
        return
    match = _PLACEHOLDER.search(text)
    name = match[1] if match else ""
    if name.startswith("strategy."):
        why = "It is filled in only in alerts of a strategy, not in alerts of an indicator or a price."
    elif name.startswith("plot"):
        why = "It is filled in only where the indicator has a plot of that name or number."
    else:
        why = "TradingView knows no placeholder of this name here."
    raise InvalidInput(
        "body",
        f"the placeholder {{{{{name}}}}} was not filled in. {why} Inside Pine's alert() nothing is filled in: build "
        "the text with str.tostring() there.",
    )


def _load(text: str) -> dict[str, Any]:
    _check_depth(text)
    try:
        loaded = json.loads(
            text,
            object_pairs_hook=_no_duplicates,
            parse_float=_number_text,
            parse_int=_number_text,
            parse_constant=_no_constants,
        )
    except json.JSONDecodeError as error:
        raise InvalidInput(
            "body",
            f"is not JSON ({error.msg} at line {error.lineno}, column {error.colno}). Put names and texts in double "
            'quotes; a quote inside a text, as order names can hold, must be written \\".',
        ) from None
    if not isinstance(loaded, dict):
        raise InvalidInput("body", 'must be one JSON object, such as {"action": "BUY", "symbol": "AAPL"}.')
    cleaned: dict[str, Any] = _storable(loaded)
    return cleaned


def _storable(value: Any) -> Any:
    """Texts without the characters that a database cannot keep: NUL, and halves of a character."""
    if isinstance(value, str):
        return _UNSTORABLE.sub("\ufffd", value)
    if isinstance(value, dict):
        return {_storable(key): _storable(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_storable(item) for item in value]
    return value


def _check_depth(text: str) -> None:
    depth, in_text, escaped = 0, False, False
    for char in text:
        if in_text:
            if escaped:
                escaped = False
            elif char == "\\":
                escaped = True
            elif char == '"':
                in_text = False
        elif char == '"':
            in_text = True
        elif char in "{[":
            depth += 1
            if depth > MAX_DEPTH:
                raise InvalidInput("body", f"is nested deeper than {MAX_DEPTH} levels.")
        elif char in "}]":
            depth -= 1


def _no_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            raise InvalidInput(key[:40], "is given twice. Give each name once.")
        found[key] = value
    return found


def _no_constants(name: str) -> Any:
    raise InvalidInput("body", f"holds {name}, which is not a number. The value was not known when the alert fired.")


def _number_text(text: str) -> Decimal:
    if len(text) > 40:
        raise InvalidInput("body", f"the number {text[:20]}… is too long.")
    try:
        value = Decimal(text)
    except ArithmeticError:
        value = Decimal("Infinity")
    # written out, as a symbol or an id, a number such as 1e999999999 would be a gigabyte of zeros
    if not value.is_finite() or abs(value.adjusted()) > LARGEST_EXPONENT:
        raise InvalidInput("body", f"the number {text} is out of range.")
    return value


def _alert(fields: dict[str, Any]) -> Alert:
    lowered: dict[str, Any] = {}
    for key, value in fields.items():
        if key.lower() in _KNOWN:
            if key.lower() in lowered:
                raise InvalidInput(key[:40], "is given twice. Give each name once.")
            lowered[key.lower()] = value
    raw_symbol = _first(lowered, "symbol")
    if raw_symbol is None:
        raise InvalidInput("symbol", 'is missing. Add "symbol": "{{ticker}}".')
    raw_symbol = _text("symbol", raw_symbol)
    exchange = str(lowered.get("exchange") or (raw_symbol.rsplit(":", 1)[0] if ":" in raw_symbol else ""))
    target = _position(lowered, "market_position")
    raw_timeframe = _first(lowered, "timeframe")
    order_type = _order_type(lowered)
    limit_price = _number(lowered, "limit_price")
    price = _number(lowered, "price")
    if order_type is OrderType.LIMIT:
        limit_price = limit_price if limit_price is not None else price
        if limit_price is None:
            raise InvalidInput("limit_price", "is missing. A limit order needs a limit_price, or a price.")
    return Alert(
        action=_action(lowered, target),
        symbol=parse_symbol(raw_symbol),
        timeframe=None if raw_timeframe is None else parse_timeframe(_text("timeframe", raw_timeframe)),
        price=price,
        quantity=_number(lowered, "quantity"),
        target=target,
        previous=_position(lowered, "prev_market_position"),
        position_size=_number(lowered, "position_size", signed=True),
        order_type=order_type,
        limit_price=limit_price,
        stop_loss=_number(lowered, "stop_loss"),
        take_profit=_number(lowered, "take_profit"),
        alert_id=None if lowered.get("id") in (None, "") else _text("id", lowered["id"])[:200],
        bar_time=_time(lowered, "time"),
        sent_at=_time(lowered, "timenow"),
        delayed_data=exchange.upper().endswith(("_DL", "_DLY")),
    )


def _passphrase(fields: dict[str, Any]) -> str | None:
    value = next((item for key, item in fields.items() if key.lower() == "passphrase"), None)
    if value in (None, ""):
        return None
    if not isinstance(value, str) or len(value) > 200:
        raise InvalidInput("passphrase", "must be a text of at most 200 characters.")
    return value


def _first(fields: dict[str, Any], name: str) -> Any:
    """The value under a name or its aliases; two that disagree are refused."""
    given = [(alias, fields[alias]) for alias in _ALIASES[name] if fields.get(alias) not in (None, "")]
    if len(given) > 1 and str(given[0][1]).upper() != str(given[1][1]).upper():
        raise InvalidInput(given[1][0], f"disagrees with {given[0][0]}. Give only one of them.")
    return given[0][1] if given else None


def _text(field: str, value: Any) -> str:
    if isinstance(value, Decimal):
        return f"{value:f}"
    if not isinstance(value, str):
        raise InvalidInput(field, "must be a text.")
    return value.strip()


def _action(fields: dict[str, Any], target: Target | None) -> Action:
    given = _first(fields, "action")
    if given is None:
        if target is not None:
            return {Target.LONG: Action.LONG, Target.FLAT: Action.CLOSE, Target.SHORT: Action.SHORT}[target]
        raise InvalidInput("action", 'is missing. Add "action": "{{strategy.order.action}}".', allowed=_ACTIONS)
    action = _ACTIONS.get(_text("action", given).upper())
    if action is None:
        raise InvalidInput("action", f"{str(given)[:40]!r} is not known.", allowed=_ACTIONS)
    return action


def _position(fields: dict[str, Any], name: str) -> Target | None:
    value = fields.get(name)
    if value in (None, ""):
        return None
    try:
        return Target(_text(name, value).lower())
    except ValueError:
        raise InvalidInput(name, f"{str(value)[:40]!r} is not known.", allowed=[t.value for t in Target]) from None


def _order_type(fields: dict[str, Any]) -> OrderType:
    value = fields.get("type")
    if value in (None, ""):
        return OrderType.MARKET
    text = _text("type", value).lower()
    if text not in (OrderType.MARKET, OrderType.LIMIT):
        raise InvalidInput(
            "type",
            f"{text[:40]!r} cannot be traded. An alert that waits for its price does so at TradingView; a stop_loss or "
            "take_profit can be given beside it.",
            allowed=["market", "limit"],
        )
    return OrderType(text)


def _number(fields: dict[str, Any], name: str, *, signed: bool = False) -> Decimal | None:
    names = _ALIASES.get(name, (name,))
    value = _first(fields, name) if name in _ALIASES else fields.get(name)
    if value in (None, ""):
        return None
    given = next((alias for alias in names if fields.get(alias) is value), name)
    if isinstance(value, str):
        text = value.strip()
        if re.fullmatch(r"-?\d{1,3}(,\d{3})+(\.\d+)?", text):
            text = text.replace(",", "")
        try:
            value = Decimal(text[:40])
        except ArithmeticError:
            raise InvalidInput(given, f"{text[:40]!r} is not a number.") from None
    if not isinstance(value, Decimal) or not value.is_finite():
        raise InvalidInput(given, "is not a number.")
    if value.adjusted() >= 9 or value.adjusted() < -12 or len(value.normalize().as_tuple().digits) > 21:
        raise InvalidInput(given, "is out of range. Use a number below a billion with at most 12 decimals.")
    if not signed and value <= 0:
        raise InvalidInput(given, f"{value.normalize():f} is not above zero.")
    return value


def _time(fields: dict[str, Any], name: str) -> datetime | None:
    value = fields.get(name)
    if value in (None, ""):
        return None
    try:
        if isinstance(value, Decimal):
            seconds = value / 1000 if value > 100_000_000_000 else value
            return datetime.fromtimestamp(float(seconds), UTC)
        moment = datetime.fromisoformat(_text(name, value).replace("Z", "+00:00"))
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except (ValueError, OverflowError, OSError):
        raise InvalidInput(name, f"{str(value)[:40]!r} is not a time such as 2026-03-02T14:30:00Z.") from None


def _without_secrets(value: Any, drop: bool = False) -> Any:
    if isinstance(value, dict):
        return {
            key: "*****" if _SECRET.search(key) else _without_secrets(item, drop)
            for key, item in value.items()
            if not (drop and _SECRET.search(key))
        }
    if isinstance(value, list):
        return [_without_secrets(item, drop) for item in value]
    return value


def _plain(value: Any) -> Any:
    """JSON-ready; equal numbers look the same however they were written."""
    if isinstance(value, Decimal):
        return f"{value.normalize():f}"
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return value
