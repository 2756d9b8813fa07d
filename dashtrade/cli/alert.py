"""``dashtrade alert``: rules, what they triggered, and the channels that carry it to people."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

import typer

from dashtrade.errors import InvalidInput

app = typer.Typer(help="Alerts: add, list, remove, history, test, check, channels.", no_args_is_help=True)
channel = typer.Typer(help="Channels that messages go out through: add, list, remove, test.", no_args_is_help=True)
app.add_typer(channel, name="channel")

User = Annotated[str, typer.Option("--user", "-u", help="User name of the owner.")]
AlertId = Annotated[int, typer.Argument(help="Number of the alert, as `dashtrade alert list` shows it.")]
_SPAN = re.compile(r"(\d+)\s*(s|m|h|d)")


def _opened(user: str) -> tuple[Any, int]:
    from dashtrade.bootstrap import runtime
    from dashtrade.cli.bot import _user_id

    uow = runtime().uow()
    return uow, _user_id(uow, user)


def _span(field: str, text: str) -> timedelta:
    found = _SPAN.fullmatch(text.strip())
    if found is None:
        raise InvalidInput(field, f"{text!r} is not a span; write 30m, 4h or 2d.")
    return timedelta(seconds=int(found[1]) * {"s": 1, "m": 60, "h": 3600, "d": 86_400}[found[2]])


@app.command()
def add(
    kind: Annotated[str, typer.Argument(help="Such as price_above, ema_cross, pattern_detected, rule.")],
    condition: Annotated[str, typer.Argument(help='Such as 150, "9 21", hammer, or a rule of the strategy language.')],
    user: User,
    symbol: Annotated[str | None, typer.Option(help="Ticker; left out: every symbol of the watchlist.")] = None,
    interval: Annotated[str, typer.Option(help="Length of the bars.")] = "1d",
    frequency: Annotated[
        str, typer.Option(help="once, bar (every close where true), every (each time anew).")
    ] = "once",
    cooldown: Annotated[str, typer.Option(help="Least time between two messages, such as 4h.")] = "0s",
    expires_in: Annotated[str | None, typer.Option(help="How long it watches, such as 30d.")] = None,
    name: Annotated[str | None, typer.Option(help="What the message calls it.")] = None,
    source: Annotated[str, typer.Option(help="Price source, such as sample; left out: the installation's own.")] = "",
    through: Annotated[
        list[str] | None,
        typer.Option(
            "--channel",
            help="Name of a channel that carries it, more than once for several; `none`: the program alone.",
        ),
    ] = None,
) -> None:
    """Add an alert. Without --channel every channel carries it."""
    from dashtrade.domain.alerts import NewAlert
    from dashtrade.services.alert_rules import add_alert

    uow, owner = _opened(user)
    carried = None if not through else _channels(uow, owner, through)
    expires = None if expires_in is None else datetime.now(UTC) + _span("expires_in", expires_in)
    wait = _span("cooldown", cooldown)
    rule = add_alert(
        uow,
        owner,
        NewAlert(kind, condition, symbol, interval, frequency, wait, expires, name, source, channels=carried),
    )
    typer.echo(f"Alert {rule.id}: {rule.symbol} {rule.label}, {rule.interval} bars, {rule.frequency}.")


def _channels(uow: Any, owner: int, names: list[str]) -> tuple[int, ...]:
    from dashtrade.services.channels import list_channels as listed

    known = {channel.name: channel.id for channel in listed(uow, owner)}
    if names == ["none"] and "none" not in known:
        return ()
    unknown = [name for name in names if name not in known]
    if unknown:
        raise InvalidInput("channel", f"{unknown[0]!r} is not known.", allowed=[*known, "none"])
    return tuple(known[name] for name in names)


@app.command("list")
def list_(user: User) -> None:
    """The user's alerts."""
    from dashtrade.cli.bot import _table
    from dashtrade.services.alert_rules import list_alerts

    uow, owner = _opened(user)
    rows = [
        (r.id, r.symbol, r.label, r.interval, r.frequency.value, "on" if r.is_active else "off", _time(r.triggered_at))
        for r in list_alerts(uow, owner)
    ]
    _table(("id", "symbol", "alert", "bars", "tells", "state", "last told (UTC)"), rows)


@app.command()
def remove(alert_id: AlertId, user: User) -> None:
    """Remove an alert and its history."""
    from dashtrade.services.alert_rules import remove_alert

    uow, owner = _opened(user)
    remove_alert(uow, owner, alert_id)
    typer.echo(f"Alert {alert_id} removed.")


@app.command()
def history(user: User, limit: Annotated[int, typer.Option(help="At most so many lines.")] = 50) -> None:
    """What was triggered, newest first, with the values then."""
    from dashtrade.cli.bot import _table
    from dashtrade.services.alert_rules import list_events

    uow, owner = _opened(user)
    rows = [
        (e.id, _time(e.triggered_at), e.symbol, e.condition, _time(e.bar_time), _values(e.values))
        for e in list_events(uow, owner, limit=limit)
    ]
    _table(("id", "told (UTC)", "symbol", "alert", "bar (UTC)", "values"), rows)


@app.command()
def test(alert_id: AlertId, user: User) -> None:
    """Trigger an alert by hand: it appears in the program and goes out through the channels."""
    from dashtrade.services.alert_engine import trigger

    uow, owner = _opened(user)
    with uow:
        trigger(uow, owner, alert_id)
    typer.echo(f"Alert {alert_id} told, as a test.")


@app.command()
def check(user: User) -> None:
    """Look at the user's alerts now, without waiting for the jobs worker."""
    from dashtrade.alert_monitor import AlertMonitor

    _, owner = _opened(user)
    events = AlertMonitor().check_conditions(owner)
    for event in events:
        typer.echo(f"{event.symbol}: {event.condition} ({_values(event.values)})")
    typer.echo(f"{len(events)} told.")


@channel.command("add")
def add_channel(
    name: Annotated[str, typer.Argument(help="What the channel is called.")],
    user: User,
    quiet: Annotated[str | None, typer.Option(help="Hours without messages, such as 22:00-07:00.")] = None,
    timezone: Annotated[str, typer.Option(help="The clock of the quiet hours.")] = "America/New_York",
    most_per_hour: Annotated[int, typer.Option(help="More messages than that wait.")] = 30,
) -> None:
    """Add a channel; its address is asked for, or read from standard input, so that no shell keeps it."""
    from dashtrade.auth.secret_files import encryption_key
    from dashtrade.auth.vault import Vault
    from dashtrade.services.channels import add_channel as keep
    from dashtrade.settings import get_settings

    uow, owner = _opened(user)
    begin, _, end = (quiet or "").partition("-")
    url = typer.prompt("Address, as apprise writes it", hide_input=True)
    made = keep(
        uow,
        owner,
        Vault(encryption_key(get_settings())).seal,
        name,
        url,
        most_per_hour=most_per_hour,
        quiet_from=begin or None,
        quiet_until=end or None,
        timezone=timezone,
    )
    typer.echo(f"Channel {made.id}: {made.name} ({made.service}).")


@channel.command("list")
def list_channels(user: User) -> None:
    """The user's channels, without their addresses."""
    from dashtrade.cli.bot import _table
    from dashtrade.services.channels import list_channels as listed

    uow, owner = _opened(user)
    rows = [
        (
            c.id,
            c.name,
            c.service,
            "on" if c.is_active else "off",
            f"{c.quiet_from or ''}-{c.quiet_until or ''}".strip("-"),
        )
        for c in listed(uow, owner)
    ]
    _table(("id", "name", "service", "state", "quiet"), rows)


@channel.command("remove")
def remove_channel(channel_id: Annotated[int, typer.Argument()], user: User) -> None:
    """Remove a channel and what waits for it."""
    from dashtrade.services.channels import remove_channel as removed

    uow, owner = _opened(user)
    removed(uow, owner, channel_id)
    typer.echo(f"Channel {channel_id} removed.")


@channel.command("test")
def test_channel(channel_id: Annotated[int, typer.Argument()], user: User) -> None:
    """Send a test message, as soon as the jobs worker is free."""
    from dashtrade.services.channels import test_channel as tested

    uow, owner = _opened(user)
    tested(uow, owner, channel_id)
    typer.echo("A test message is on its way.")


def _time(at: datetime | None) -> str:
    return "" if at is None else f"{at.astimezone(UTC):%Y-%m-%d %H:%M}"


def _values(values: dict[str, Any]) -> str:
    return ", ".join(f"{n} {v:.6g}" if isinstance(v, float) else f"{n} {v}" for n, v in values.items())
