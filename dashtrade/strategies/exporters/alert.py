"""The message of a TradingView strategy alert, with the fields the webhook reads."""

from __future__ import annotations

import json

PLACEHOLDERS = {
    "action": "{{strategy.order.action}}",
    "symbol": "{{exchange}}:{{ticker}}",
    "timeframe": "{{interval}}",
    "price": "{{close}}",
    "time": "{{timenow}}",
    "market_position": "{{strategy.market_position}}",
    "prev_market_position": "{{strategy.prev_market_position}}",
    "position_size": "{{strategy.position_size}}",
}
_NUMBERS = {"price", "position_size"}


def alert_message() -> str:
    """Text for the message box of a strategy alert; the same for every strategy, since TradingView fills the gaps.

    It names the position to hold, so a repeated alert is harmless. ``{{strategy.order.id}}`` is left out: it is free
    text
    and can break the JSON.
    """
    text = json.dumps(PLACEHOLDERS)
    for name in _NUMBERS:
        text = text.replace(f'"{PLACEHOLDERS[name]}"', PLACEHOLDERS[name])
    return text
