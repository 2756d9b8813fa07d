"""``dashtrade tradingview``: sends alerts the way TradingView does, to rehearse a bot against a running webhook."""

from __future__ import annotations

import json
import random
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
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
from dashtrade.errors import DashTradeError, InvalidInput

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


@app.command()
def rehearse(
    strategy: Annotated[str, typer.Argument(help="A preset strategy, such as sma_cross.")],
    symbol: Annotated[str, typer.Option(help="Ticker.")] = "AAPL",
    interval: Annotated[str, typer.Option(help="Bar length, such as 1h or 1d.")] = "1d",
    start: Annotated[str | None, typer.Option(help="First day, such as 2024-01-31.")] = None,
    end: Annotated[str | None, typer.Option(help="The day after the last.")] = None,
    period: Annotated[str, typer.Option(help="How far back, where no first day is given.")] = "1y",
    position_size: Annotated[float, typer.Option(min=1, help="Dollars for each entry.")] = 1000.0,
    source: Annotated[str | None, typer.Option(help="Price source; else the one in the settings.")] = None,
    url: Annotated[str | None, typer.Option(help="Address of the webhook; default: the one of this machine.")] = None,
    user: Annotated[
        str | None, typer.Option("--user", "-u", help="Whose bot page shows it afterwards; else a user made for it.")
    ] = None,
) -> None:
    """Play history through webhook, trader and simulator, and compare the ledger with the strategy's backtest.

    Needs `dashtrade up` with DASHTRADE_SIMULATOR_FAULTS=1, which lets the clock be moved.
    """
    from decimal import Decimal

    import httpx

    from dashtrade.backtest.request import Cash, Costs
    from dashtrade.bootstrap import market, runtime
    from dashtrade.cli.bot import _user_id
    from dashtrade.cli.simulator import _call
    from dashtrade.services import bot_rehearsal
    from dashtrade.services.backtests import RunRequest

    made = runtime()
    request = RunRequest(
        strategy=strategy, symbols=(symbol,), period=None if start else period, interval=interval,
        start=_day("start", start), end=_day("end", end),
        source=source, cash=100 * position_size, size=Cash(position_size), costs=Costs(slippage=0.0),
    )  # fmt: skip
    script = bot_rehearsal.write_script(market(), request)
    alerts = [m for m in script.moments if m.alert is not None]
    typer.echo(f"{len(script.moments)} bars of {script.symbol}, {len(alerts)} alerts.")
    _call("POST", "/sim/clock", {"at": script.moments[0].time.isoformat(), "rate": 1})
    owner = None if user is None else _user_id(made.uow(), user)
    cast = bot_rehearsal.hire(made.uow, script, Decimal(str(position_size)), strategy, owner)
    try:
        with httpx.Client(timeout=TIMEOUT_SECONDS, trust_env=False) as client:
            for moment in script.moments:
                if moment.alert is None:
                    continue
                _call("POST", "/sim/clock", {"at": moment.time.isoformat(), "rate": 1})
                _call("POST", "/sim/prices", {"symbol": script.symbol, "price": str(moment.price)})
                report = send_alert(client, _target(url), cast.token, json.dumps(moment.alert), RESEND_AFTER_SECONDS)
                signal_id = report["answer"].get("signal_id") if isinstance(report["answer"], dict) else None
                if signal_id is None:
                    raise DashTradeError(f"The webhook did not take the alert: {report['answer']}")
                ended = _outcome(client, _target(url), cast.token, int(signal_id))
                typer.echo(f"{moment.time:%Y-%m-%d %H:%M}  {moment.alert['action']:4}  {ended}")
        found = bot_rehearsal.compare(made.uow(), script, cast)
    finally:
        bot_rehearsal.dismiss(made.uow, cast)
        _call("POST", "/sim/clock", {})
    typer.echo("")
    typer.echo(f"{'time':16}  {'side':4}  {'backtest':>10}  {'bot':>10}  {'bps':>7}  {'shares':>12}")
    for p in found.pairs:
        typer.echo(
            f"{p.expected.time:%Y-%m-%d %H:%M}  {p.expected.side:4}  {p.expected.price:10.4f}  {p.actual.price:10.4f}"
            f"  {p.slippage_bps:+7.1f}  {p.actual.qty:12.6f}"
        )
    for fill, what in [*((f, "missed") for f in found.missed), *((f, "extra") for f in found.extra)]:
        typer.echo(f"{fill.time:%Y-%m-%d %H:%M}  {fill.side:4}  {fill.price:10.4f}  {what}")
    typer.echo(
        f"{len(found.pairs)} of {len(script.expected)} fills agree, {len(found.missed)} missed, "
        f"{len(found.extra)} extra; the bot holds {found.held:g} and the backtest {found.expected_held:g}; "
        f"realised ${found.realized_pnl:,.2f}."
    )
    if not found.agrees:
        raise typer.Exit(1)


def _day(field: str, text: str | None) -> datetime | None:
    try:
        return None if text is None else datetime.fromisoformat(text).replace(tzinfo=UTC)
    except ValueError:
        raise InvalidInput(field, f"{text!r} is not a day such as 2024-01-31.") from None


def _outcome(client: Any, url: str, token: str, signal_id: int, seconds: float = 60.0) -> str:
    """How an alert ended, in the webhook's own words."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        answer = client.get(f"{url.removesuffix('/webhook')}/signals/{signal_id}", params={"token": token}).json()
        if answer.get("status") != "accepted":
            return str(answer.get("message"))
        time.sleep(0.02)
    raise DashTradeError(f"Signal {signal_id} did not end within {seconds:.0f} s. Is the trader running?")


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
