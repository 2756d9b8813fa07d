"""How TradingView sends alerts; the rehearsal sender does the same."""

from __future__ import annotations

SOURCE_ADDRESSES = ("52.89.214.238", "34.212.75.30", "54.218.53.128", "52.32.178.7")
TIMEOUT_SECONDS = 3.0
RESEND_AFTER_SECONDS = 5.0
MOST_SENDS = 4
NOT_RESENT = frozenset({504})


def content_type(body: str) -> str:
    """``application/json`` for a body that is JSON, else ``text/plain``, as TradingView labels it."""
    import json

    try:
        json.loads(body)
    except ValueError:
        return "text/plain; charset=utf-8"
    return "application/json; charset=utf-8"


def sends_again(status: int | None, sends: int) -> bool:
    """Whether TradingView sends once more: after 500 to 599 except 504, at most four sends in all.

    ``status`` None is no answer in time, which is not repeated either.
    """
    return status is not None and 500 <= status <= 599 and status not in NOT_RESENT and sends < MOST_SENDS
