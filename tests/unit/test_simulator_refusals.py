"""Refusals as brokers word them, told apart by their text, since one number stands for several reasons."""

from __future__ import annotations

import pytest

from dashtrade.brokers.refusals import classify
from dashtrade.domain.orders import Refusal


@pytest.mark.parametrize(
    ("status", "code", "message", "held", "kind"),
    [
        (403, 40310000, "insufficient buying power", None, Refusal.BUYING_POWER),
        (403, 40310000, "insufficient day trading buying power", None, Refusal.BUYING_POWER),
        (
            403,
            40310000,
            "insufficient qty available for order (requested: 6, available: 0)",
            "6",
            Refusal.HELD_FOR_ORDERS,
        ),
        (
            403,
            40310000,
            "insufficient qty available for order (requested: 6, available: 4)",
            "0",
            Refusal.INSUFFICIENT_QTY,
        ),
        (403, 40310000, "potential wash trade detected. use complex orders", None, Refusal.WASH_TRADE),
        (422, 42210000, "potential wash trade detected. use complex orders", None, Refusal.WASH_TRADE),
        (422, 40010001, "client_order_id must be unique", None, Refusal.DUPLICATE_CLIENT_ORDER_ID),
        (422, 42210000, 'asset "BRK.A" cannot be sold short', None, Refusal.NOT_SHORTABLE),
        (403, 40310000, "account is not allowed to short", None, Refusal.NOT_SHORTABLE),
        (422, 42210000, 'asset "NOPE" not found', None, Refusal.UNKNOWN_SYMBOL),
        (422, 42210000, 'could not find asset "NOPE"', None, Refusal.UNKNOWN_SYMBOL),
        (422, 42210000, "asset OLD is not active", None, Refusal.NOT_TRADABLE),
        (422, 42210000, 'order is already in "filled" state', None, Refusal.ALREADY_ENDED),
        (404, 40410000, "order not found for 61e69015-8549-4bfd-b9c3-01e75843f47d", None, Refusal.ORDER_NOT_FOUND),
        (422, 42210000, "market is closed", None, Refusal.MARKET_CLOSED),
        (403, 40310000, "trading in XYZ is halted", None, Refusal.HALTED),
        (403, 40310100, "trade denied due to pattern day trading protection", None, Refusal.ACCOUNT_BLOCKED),
        (401, 40110000, "request is not authorized", None, Refusal.UNAUTHORIZED),
        (403, None, "forbidden.", None, Refusal.UNAUTHORIZED),
        (422, 42210000, "fractional orders must be DAY orders", None, Refusal.INVALID_ORDER),
        (403, 49999999, "a reason that nobody has seen", None, Refusal.OTHER),
    ],
)
def test_kind(status: int, code: int | None, message: str, held: str | None, kind: Refusal) -> None:
    assert classify(status, code, message, held) is kind
