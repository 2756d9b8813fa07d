"""Alert messages to paste into TradingView, and the body of a test alert."""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal

from dashtrade.domain.bots import BotConfig

STRATEGY, PRICE_BUY, PRICE_CLOSE = "strategy", "buy", "close"
KINDS = {
    STRATEGY: "Alert of a strategy (follows its position)",
    PRICE_BUY: "Alert of a price or indicator: buy",
    PRICE_CLOSE: "Alert of a price or indicator: close",
}


def alert_message(bot: BotConfig, kind: str, passphrase: str | None = None) -> str:
    """The text for TradingView's Message field.

    The timeframe is written out, since a plain price alert fills ``{{interval}}`` with 1 whatever the chart shows. A
    strategy's message names the position to hold, so that a lost or repeated alert does no harm.
    """
    fields = {"symbol": bot.symbol, "timeframe": bot.timeframe.value, "price": "{{close}}", "timenow": "{{timenow}}"}
    if kind == STRATEGY:
        fields = {"action": "{{strategy.order.action}}"} | fields
        fields |= {
            "market_position": "{{strategy.market_position}}",
            "prev_market_position": "{{strategy.prev_market_position}}",
            "position_size": "{{strategy.position_size}}",
        }
    else:
        fields = {"action": "CLOSE" if kind == PRICE_CLOSE else "BUY"} | fields
    return json.dumps(fields | _secret(passphrase), indent=1, ensure_ascii=False)


def trial_body(
    bot: BotConfig,
    action: str,
    now: Callable[[], datetime] = lambda: datetime.now(UTC),
    *,
    passphrase: str | None = None,
    price: Decimal | None = None,
) -> str:
    """A body as TradingView would send it, with an id of its own, so that sending it again makes no second order."""
    stamp = now().replace(microsecond=0)
    fields = {
        "action": action,
        "symbol": bot.symbol,
        "timeframe": bot.timeframe.value,
        "timenow": stamp.isoformat().replace("+00:00", "Z"),
        "id": f"test-{secrets.token_hex(6)}",
    }
    known = {} if price is None else {"price": f"{price:f}"}
    return json.dumps(fields | known | _secret(passphrase))


def _secret(passphrase: str | None) -> dict[str, str]:
    return {} if passphrase is None else {"passphrase": passphrase}


def webhook_url(base: str, token: str) -> str:
    return f"{base.rstrip('/')}/webhook?token={token}"
