"""``dashtrade tradingview``: sends alerts the way TradingView does, to rehearse a bot against a running webhook."""

from __future__ import annotations

import json
import random
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Annotated, Any

import typer

from dashtrade.domain.tradingview import (
    MOST_SENDS,
    RESEND_AFTER_SECONDS,
    TIMEOUT_SECONDS,
    content_type,
    sends_again,
)
from dashtrade.errors import InvalidInput

app = typer.Typer(help="Rehearse a bot: send alerts the way TradingView does.", no_args_is_help=True)


@app.callback()
def main() -> None:
    """Rehearse a bot: send alerts the way TradingView does."""


@app.command()
def send(
    token: Annotated[str, typer.Option(help="Webhook token.", envvar="DASHTRADE_WEBHOOK_TOKEN")],
    url: Annotated[str | None, typer.Option(help="Address of the webhook; default: the one of this machine.")] = None,
    action: Annotated[str, typer.Option(help="BUY, SELL, CLOSE, LONG or SHORT.")] = "BUY",
    symbol: Annotated[str, typer.Option(help="Ticker.")] = "AAPL",
    timeframe: Annotated[str, typer.Option(help="Interval, as {{interval}} gives it.")] = "15",
    price: Annotated[str | None, typer.Option(help="Price, as {{close}} gives it.")] = None,
    message: Annotated[
        str | None, typer.Option(help="The whole body instead; - reads standard input, @f a file.")
    ] = None,
    count: Annotated[int, typer.Option(min=1, max=10_000, help="How many alerts.")] = 1,
    burst: Annotated[int, typer.Option(min=1, max=200, help="How many of them at once.")] = 1,
    shuffle: Annotated[bool, typer.Option(help="Send them out of order.")] = False,
    resend_after: Annotated[float, typer.Option(help="Seconds before a resend on 5xx.")] = RESEND_AFTER_SECONDS,
    copies: Annotated[int, typer.Option(min=1, max=10, help="Send each alert this many times at once.")] = 1,
) -> None:
    """Send alerts: cancelled after 3 seconds, repeated on 5xx (not on 504) up to four sends in all."""
    import httpx

    target = _target(url)
    bodies = [body for body in _bodies(message, action, symbol, timeframe, price, count) for _ in range(copies)]
    if shuffle:
        random.shuffle(bodies)
    with (
        httpx.Client(timeout=TIMEOUT_SECONDS, trust_env=False) as client,
        ThreadPoolExecutor(max(burst, copies)) as pool,
    ):
        jobs = [pool.submit(send_alert, client, target, token, body, resend_after) for body in bodies]
        reports = [job.result() for job in jobs]
    for report in reports:
        typer.echo(json.dumps(report))
    if any(report["status"] is None or report["status"] >= 500 for report in reports):
        raise typer.Exit(1)


def send_alert(client: Any, url: str, token: str, body: str, resend_after: float) -> dict[str, Any]:
    """One alert with its resends. ``status`` is the last answer's, None where none came in time."""
    import httpx

    sends, status, answer, started = 0, None, None, time.perf_counter()
    while True:
        sends += 1
        begun = time.perf_counter()
        try:
            response = client.post(
                url, params={"token": token}, content=body.encode(), headers={"Content-Type": content_type(body)}
            )
            status = response.status_code
            answer = response.json() if "json" in response.headers.get("content-type", "") else response.text[:200]
        except httpx.TimeoutException:
            status, answer = None, f"no answer within {TIMEOUT_SECONDS:.0f} s: TradingView gives up"
        except httpx.HTTPError as error:
            status, answer = None, f"no connection ({type(error).__name__})"
        took = time.perf_counter() - begun
        if sends >= MOST_SENDS or not sends_again(status, sends):
            total = time.perf_counter() - started
            ms = round(took * 1000, 1)
            return {"status": status, "answer": answer, "sends": sends, "ms": ms, "total_s": round(total, 2)}
        time.sleep(resend_after)


def _target(url: str | None) -> str:
    if url is None:
        from dashtrade.settings import get_settings

        settings = get_settings()
        return f"http://127.0.0.1:{settings.webhook_port}/webhook"
    if not url.startswith(("http://", "https://")):
        raise InvalidInput("url", "write it with http:// or https://.")
    return url if url.rstrip("/").endswith("/webhook") else f"{url.rstrip('/')}/webhook"


def _bodies(message: str | None, action: str, symbol: str, timeframe: str, price: str | None, count: int) -> list[str]:
    if message == "-":
        message = sys.stdin.read()
    elif message is not None and message.startswith("@"):
        try:
            message = Path(message[1:]).read_text(encoding="utf-8")
        except OSError as error:
            raise InvalidInput("message", f"{message[1:]} cannot be read ({error.strerror}).") from None
    if message is not None:
        return [message] * count
    made = []
    for number in range(count):
        fields: dict[str, Any] = {"action": action, "symbol": symbol, "timeframe": timeframe}
        if price is not None:
            fields["price"] = price
        if count > 1:
            fields["id"] = f"rehearsal-{time.time_ns()}-{number}"
        made.append(json.dumps(fields))
    return made
