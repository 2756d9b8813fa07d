"""``dashtrade bot``: bots, their tokens, what they did, and the kill switches."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal, InvalidOperation
from typing import Annotated, Any

import typer

from dashtrade.errors import InvalidInput

app = typer.Typer(help="Trading bots: create, token, list, enable, disable, signals, halt.", no_args_is_help=True)

User = Annotated[str, typer.Option("--user", "-u", help="User name of the bot's owner.")]
BotId = Annotated[int, typer.Argument(help="Number of the bot, as `dashtrade bot list` shows it.")]


def _number(field: str, value: str | None) -> Decimal | None:
    if value is None:
        return None
    try:
        return Decimal(value)
    except InvalidOperation:
        raise InvalidInput(field, f"{value!r} is not a number.") from None


def _user_id(uow: Any, username: str) -> int:
    """The id behind a user name; the machine's operator may act for anybody."""
    from sqlalchemy import select

    from dashtrade.db.tables.accounts import UserRow
    from dashtrade.errors import NotFound

    with uow:
        found = uow.session.scalar(select(UserRow.id).where(UserRow.username == username.strip().lower()))
    if found is None:
        raise NotFound(f"There is no user {username!r}. `dashtrade user list` shows them all.")
    return int(found)


def _table(titles: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    texts = [["" if cell is None else str(cell) for cell in row] for row in rows]
    widths = [max(len(row[i]) for row in [list(titles), *texts]) for i in range(len(titles))]
    for line in [list(titles), *texts]:
        typer.echo("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())


@app.command()
def create(
    user: User,
    symbol: Annotated[str, typer.Option(help="Ticker, such as AAPL.")],
    timeframe: Annotated[str, typer.Option(help='Bar length: "15 Min", 1h, D.')],
    position_size: Annotated[str, typer.Option(help="Dollars for each entry.")],
    mode: Annotated[str, typer.Option(help="Account: simulated, paper or live.")] = "simulated",
    direction: Annotated[str, typer.Option(help="long_only, long_short or short_only.")] = "long_only",
    strategy: Annotated[str | None, typer.Option(help="Name of the strategy behind the alerts.")] = None,
    risk_limit_percent: Annotated[str, typer.Option(help="Largest position, percent of equity.")] = "10",
    daily_loss_limit: Annotated[str | None, typer.Option(help="Dollars lost in a day that stop the bot.")] = None,
    max_position_size: Annotated[str | None, typer.Option(help="Largest position, dollars.")] = None,
    max_drawdown: Annotated[str | None, typer.Option(help="Dollars below its best result that stop the bot.")] = None,
    max_orders_per_day: Annotated[int, typer.Option(help="Most orders a day.")] = 200,
    cooldown_losses: Annotated[int | None, typer.Option(help="Losses in a row that pause the bot.")] = None,
    freshness: Annotated[int, typer.Option(help="Seconds after which an alert is too old to enter on.")] = 60,
    session_rule: Annotated[str, typer.Option(help="auto, regular or any.")] = "auto",
    allow_quantity: Annotated[bool, typer.Option(help="Let alerts name the number of shares.")] = False,
    max_quantity: Annotated[str | None, typer.Option(help="Most shares that an alert may name.")] = None,
    enable: Annotated[bool, typer.Option("--enable/--disabled", help="Switch the bot on at once.")] = True,
) -> None:
    """Create a bot."""
    from dashtrade.bootstrap import runtime
    from dashtrade.domain.bot_views import NewBot
    from dashtrade.services import bots

    size = _number("position_size", position_size)
    request = NewBot(
        symbol=symbol,
        timeframe=timeframe,
        position_size=size if size is not None else Decimal(0),
        account_mode=mode,
        direction=direction,
        strategy_name=strategy,
        risk_limit_percent=_number("risk_limit_percent", risk_limit_percent),
        daily_loss_limit=_number("daily_loss_limit", daily_loss_limit),
        max_position_size=_number("max_position_size", max_position_size),
        max_drawdown=_number("max_drawdown", max_drawdown),
        max_orders_per_day=max_orders_per_day,
        cooldown_losses=cooldown_losses,
        freshness_seconds=freshness,
        session_rule=session_rule,
        allow_quantity=allow_quantity,
        max_quantity=_number("max_quantity", max_quantity),
        is_active=enable,
    )
    made = runtime()
    view = bots.create_bot(made.uow(), _user_id(made.uow(), user), request)
    state = "on" if view.config.is_active else "off"
    typer.echo(
        f"Created bot {view.id}: {view.config.symbol} {view.config.timeframe.value}, ${view.config.position_size:,.2f} "
        f"an entry, {view.config.account_mode.value} account, switched {state}."
    )


@app.command()
def token(
    user: User,
    bot: Annotated[int | None, typer.Option(help="Only for this bot; else for all bots of the user.")] = None,
    label: Annotated[str | None, typer.Option(help="A name for the list.")] = None,
    tradingview_only: Annotated[bool, typer.Option(help="Accept only TradingView's four addresses.")] = False,
) -> None:
    """Make a webhook token. It is shown once."""
    from dashtrade.bootstrap import runtime
    from dashtrade.domain.tradingview import SOURCE_ADDRESSES
    from dashtrade.services import bots

    made = runtime()
    addresses = SOURCE_ADDRESSES if tradingview_only else ()
    new = bots.create_token(
        made.uow(), _user_id(made.uow(), user), bot_id=bot, label=label, allowed_addresses=addresses
    )
    host = made.settings.host if made.settings.host not in ("0.0.0.0", "::") else "127.0.0.1"  # noqa: S104 - compared
    typer.echo(f"Token (shown once): {new.secret}")
    typer.echo(f"Webhook: http://{host}:{made.settings.webhook_port}/webhook?token={new.secret}")


@app.command()
def passphrase(
    user: User,
    bot: BotId,
    remove: Annotated[bool, typer.Option("--remove", help="Ask for none any more.")] = False,
) -> None:
    """Ask for a passphrase that a bot's alerts must name; it is read from the terminal and kept as a hash."""
    from dashtrade.bootstrap import runtime
    from dashtrade.services.bot_passphrase import set_passphrase

    made = runtime()
    user_id = _user_id(made.uow(), user)
    given = None if remove else typer.prompt("Passphrase", hide_input=True, confirmation_prompt=True)
    set_passphrase(made.uow(), user_id, bot, given)
    text = "needs no passphrase" if remove else 'needs "passphrase" in the body of its alerts'
    typer.echo(f"Bot {bot} {text} from now on.")


@app.command()
def rescale(
    user: User,
    symbol: Annotated[str, typer.Argument(help="Ticker that was split.")],
    ratio: Annotated[str, typer.Argument(help="New shares for one old: 4, or 0.1 for one for ten.")],
    mode: Annotated[str, typer.Option(help="Account: simulated, paper or live.")] = "simulated",
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
) -> None:
    """Tell the bots of a split that the broker did not list: quantities times the ratio, prices divided by it."""
    from dashtrade.bootstrap import runtime
    from dashtrade.services.trading_activities import rescale as rescale_lots

    made = runtime()
    user_id, number = _user_id(made.uow(), user), _number("ratio", ratio) or Decimal(0)
    if not yes:
        typer.confirm(f"Multiply every share of {symbol.upper()} that bots of {user} hold by {number}?", abort=True)
    changed = rescale_lots(made.uow(), user_id, symbol, number, mode=mode, by="operator")
    typer.echo(f"{changed} lots of {symbol.upper()} changed. The next comparison with the broker shows if it is right.")


@app.command()
def tokens(user: User) -> None:
    """List a user's tokens."""
    from dashtrade.bootstrap import runtime
    from dashtrade.services import bots

    made = runtime()
    found = bots.list_tokens(made.uow(), _user_id(made.uow(), user))
    rows = [
        (t.id, f"{t.prefix}…", t.label, t.bot_id or "all", "active" if t.is_active else "revoked", t.request_count,
         f"{t.last_used_at:%Y-%m-%d %H:%M}" if t.last_used_at else "never")
        for t in found
    ]  # fmt: skip
    _table(("id", "token", "label", "bot", "state", "requests", "last used"), rows)


@app.command()
def revoke(user: User, token_id: Annotated[int, typer.Argument(help="Number of the token.")]) -> None:
    """Revoke a token."""
    from dashtrade.bootstrap import runtime
    from dashtrade.services import bots

    made = runtime()
    view = bots.revoke_token(made.uow(), _user_id(made.uow(), user), token_id)
    typer.echo(f"Token {view.id} ({view.prefix}…) is revoked.")


@app.command("list")
def list_(user: User) -> None:
    """List a user's bots."""
    from dashtrade.bootstrap import runtime
    from dashtrade.services import bots

    made = runtime()
    rows = [
        (b.id, b.config.symbol, b.config.timeframe.value, f"{b.config.position_size:.2f}", b.config.account_mode.value,
         b.config.direction.value, "on" if b.config.is_active else "off", f"{b.position_qty.normalize():f}",
         f"{b.total_pnl:.2f}", b.total_trades)
        for b in bots.list_bots(made.uow(), _user_id(made.uow(), user))
    ]  # fmt: skip
    _table(("id", "symbol", "timeframe", "size", "account", "direction", "state", "holds", "result", "trades"), rows)


@app.command()
def enable(user: User, bot: BotId) -> None:
    """Switch a bot on."""
    _switch(user, bot, True)


@app.command()
def disable(user: User, bot: BotId) -> None:
    """Switch a bot off. It still closes what it holds when an alert says so."""
    _switch(user, bot, False)


def _switch(user: str, bot: int, active: bool) -> None:
    from dashtrade.bootstrap import runtime
    from dashtrade.services import bots

    made = runtime()
    view = bots.set_bot_active(made.uow(), _user_id(made.uow(), user), bot, active)
    typer.echo(f"Bot {view.id} ({view.config.symbol} {view.config.timeframe.value}) is {'on' if active else 'off'}.")


@app.command()
def delete(user: User, bot: BotId) -> None:
    """Delete a bot that holds nothing; its trades stay."""
    from dashtrade.bootstrap import runtime
    from dashtrade.services import bots

    made = runtime()
    bots.delete_bot(made.uow(), _user_id(made.uow(), user), bot)
    typer.echo(f"Bot {bot} is deleted.")


@app.command()
def signals(user: User, limit: Annotated[int, typer.Option(help="Most rows.")] = 20) -> None:
    """Show the latest requests to the webhook and what became of them."""
    from dashtrade.bootstrap import runtime
    from dashtrade.services import bots

    made = runtime()
    rows = [
        (f"{s.received_at:%m-%d %H:%M:%S}", s.signal_id or "-", s.symbol, s.action, s.state, s.explanation)
        for s in bots.list_signals(made.uow(), _user_id(made.uow(), user), limit=limit)
    ]
    _table(("time", "signal", "symbol", "action", "state", "why"), rows)


@app.command()
def trades(user: User, limit: Annotated[int, typer.Option(help="Most rows.")] = 20) -> None:
    """Show the latest orders."""
    from dashtrade.bootstrap import runtime
    from dashtrade.services import bots

    made = runtime()
    rows = [
        (f"{t.created_at:%m-%d %H:%M:%S}", t.symbol, t.action, t.status,
         "" if t.filled_qty is None else f"{t.filled_qty.normalize():f}", t.filled_avg_price, f"{t.realized_pnl:.2f}")
        for t in bots.list_trades(made.uow(), _user_id(made.uow(), user), limit=limit)
    ]  # fmt: skip
    _table(("time", "symbol", "action", "status", "qty", "price", "result"), rows)


@app.command()
def performance(
    bot_id: BotId,
    user: User,
    since: Annotated[str | None, typer.Option(help="First day, such as 2026-03-01; else the bot's creation.")] = None,
    source: Annotated[str | None, typer.Option(help="Price source; else the one in the settings.")] = None,
) -> None:
    """Compare a bot's fills with its strategy's backtest over the same days."""
    from datetime import UTC, datetime

    from dashtrade.bootstrap import market_of, runtime
    from dashtrade.services.bot_performance import bot_performance

    try:
        start = None if since is None else datetime.fromisoformat(since).replace(tzinfo=UTC)
    except ValueError:
        raise InvalidInput("since", f"{since!r} is not a day such as 2026-03-01.") from None
    made = runtime()
    owner = _user_id(made.uow(), user)
    found = bot_performance(made.uow(), market_of(owner), owner, bot_id, start=start, source=source)
    typer.echo(found.sentence)
    typer.echo(f"Realised result: ${found.realized_pnl:,.2f}.")
    rows = [
        (f"{p.expected.time:%Y-%m-%d %H:%M}", p.expected.side, f"{p.expected.price:.2f}", f"{p.actual.price:.2f}",
         f"{p.slippage_bps:+.1f}") for p in found.pairs
    ] + [(f"{f.time:%Y-%m-%d %H:%M}", f.side, f"{f.price:.2f}", "missed", "") for f in found.missed]  # fmt: skip
    _table(("time", "side", "backtest", "bot", "bps"), sorted(rows))


@app.command()
def halt(
    reason: Annotated[str, typer.Option(help="Why; shown wherever an entry is refused.")],
    user: Annotated[
        str | None, typer.Option("--user", "-u", help="Only this user's entries; else everybody's.")
    ] = None,
    symbol: Annotated[str | None, typer.Option(help="Only entries in this symbol.")] = None,
) -> None:
    """Stop new entries: of everybody, of one user, or in one symbol. Exits go on."""
    from dashtrade.bootstrap import runtime
    from dashtrade.services import kill_switches

    made = runtime()
    user_id = None if user is None else _user_id(made.uow(), user)
    view = kill_switches.set_halt(made.uow(), reason=reason, set_by="operator", user_id=user_id, symbol=symbol)
    typer.echo(
        f"Entries are stopped ({view.scope}, number {view.id}). `dashtrade bot resume {view.id}` lets them go on."
    )


@app.command()
def resume(halt_id: Annotated[int, typer.Argument(help="Number of the kill switch.")]) -> None:
    """Let entries go on."""
    from dashtrade.bootstrap import runtime
    from dashtrade.services import kill_switches

    kill_switches.clear_halt(runtime().uow(), halt_id, cleared_by="operator")
    typer.echo(f"Kill switch {halt_id} is off.")


@app.command()
def halts() -> None:
    """List the kill switches that are on."""
    from dashtrade.bootstrap import runtime
    from dashtrade.services import kill_switches

    found = kill_switches.list_halts(runtime().uow())
    rows = [(h.id, h.scope, h.user_id, h.symbol, h.cause, f"{h.set_at:%Y-%m-%d %H:%M}", h.reason) for h in found]
    _table(("id", "scope", "user", "symbol", "cause", "since", "reason"), rows)
