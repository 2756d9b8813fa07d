"""Posts a test alert to the webhook of this installation, as TradingView would."""

from __future__ import annotations

import time

import httpx

from dashtrade.errors import DashTradeError
from dashtrade.pages.bot.services import AlertAnswer

TIMEOUT = httpx.Timeout(6.0, connect=2.0)


class WebhookAway(DashTradeError):
    """The webhook did not answer: start it, then send again."""

    code = "WEBHOOK_UNREACHABLE"


def post_alert(url: str, token: str, body: str) -> AlertAnswer:
    """The token goes in a header, so that no log of addresses can hold it. Raises WebhookAway."""
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    start = time.perf_counter()
    try:
        answer = httpx.post(url, content=body, headers=headers, timeout=TIMEOUT, trust_env=False)
    except (httpx.HTTPError, httpx.InvalidURL, UnicodeError):
        raise WebhookAway(
            f"The webhook at {url} did not answer. See that it runs (dashtrade doctor), then send the alert again."
        ) from None
    return AlertAnswer(answer.status_code, answer.text[:4000], (time.perf_counter() - start) * 1000)
