"""What a broker's refusal means. Alpaca uses one number for several reasons, so the text decides before the number."""

from __future__ import annotations

import re

from dashtrade.domain.orders import Refusal

_BY_TEXT: tuple[tuple[str, Refusal], ...] = (
    (r"client_order_id must be unique", Refusal.DUPLICATE_CLIENT_ORDER_ID),
    (r"wash trade", Refusal.WASH_TRADE),
    (r"buying power|insufficient balance|minimal amount of order", Refusal.BUYING_POWER),
    (r"held_for_orders|held for orders", Refusal.HELD_FOR_ORDERS),
    (r"insufficient qty", Refusal.INSUFFICIENT_QTY),
    (r"sold short|allowed to short|not shortable|hard.to.borrow", Refusal.NOT_SHORTABLE),
    (r"halt", Refusal.HALTED),
    (r"market is (not open|closed)|market hours|outside of .*hours", Refusal.MARKET_CLOSED),
    (r"(asset|symbol).*not found|could not find asset|asset not found|invalid symbol", Refusal.UNKNOWN_SYMBOL),
    (r"not (tradable|active|fractionable)", Refusal.NOT_TRADABLE),
    (r"order not found", Refusal.ORDER_NOT_FOUND),
    (r"order is already in|already (closed|filled|canceled)|not cancel?lable|is not open", Refusal.ALREADY_ENDED),
    (
        r"day trading protection|account is (restricted|blocked|not active)|trading is blocked|by user request",
        Refusal.ACCOUNT_BLOCKED,
    ),
    (r"not authorized|unauthorized|forbidden\.?$", Refusal.UNAUTHORIZED),
)
_BY_CODE = {
    40010001: Refusal.INVALID_ORDER,
    42210000: Refusal.INVALID_ORDER,
    40110000: Refusal.UNAUTHORIZED,
    40410000: Refusal.ORDER_NOT_FOUND,
}


def classify(status: int, code: int | None, message: str, held_for_orders: object = None) -> Refusal:
    """The kind of a refusal; ``held_for_orders`` is the broker's field of that name, where it sends one."""
    text = message.lower()
    for pattern, kind in _BY_TEXT:
        if re.search(pattern, text):
            if kind is Refusal.INSUFFICIENT_QTY and str(held_for_orders or "0") not in {"0", "0.0"}:
                return Refusal.HELD_FOR_ORDERS
            return kind
    if code in _BY_CODE:
        return _BY_CODE[code]
    return Refusal.UNAUTHORIZED if status == 401 else Refusal.OTHER
