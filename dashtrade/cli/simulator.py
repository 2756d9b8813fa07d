"""``dashtrade simulator``: look at and rehearse with the built-in brokerage."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dashtrade.errors import BrokerUnavailable, ConfigurationError, InvalidInput

if TYPE_CHECKING:
    from dashtrade.brokers.alpaca import AlpacaBroker

app = typer.Typer(help="The simulated brokerage: accounts, prices, replays, faults.", no_args_is_help=True)

User = Annotated[str, typer.Option("--user", "-u", help="User name.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@app.command()
def run() -> None:
    """Run the simulator in the foreground; `dashtrade up` does so by itself."""
    from dashtrade.processes.simulator import main

    raise typer.Exit(main())


@app.command()
def account(user: User, as_json: AsJson = False) -> None:
    """Show a user's simulated account, positions and open orders."""
    broker = _broker(user)
    try:
        found, positions, orders = broker.account(), broker.positions(), broker.open_orders()
    finally:
        broker.close()
    if as_json:
        body = {
            "equity": str(found.equity),
            "cash": str(found.cash),
            "buying_power": str(found.buying_power),
            "positions": [{"symbol": p.symbol, "qty": str(p.qty), "entry": str(p.avg_entry_price)} for p in positions],
            "open_orders": [
                {"symbol": o.symbol, "side": o.side.value, "qty": str(o.qty), "status": o.raw_status} for o in orders
            ],
        }
        typer.echo(json.dumps(body))
        return
    typer.echo(f"Equity {found.equity:,.2f}  cash {found.cash:,.2f}  buying power {found.buying_power:,.2f}")
    for position in positions:
        typer.echo(f"  holds {position.qty} {position.symbol} at {position.avg_entry_price}")
    for order in orders:
        typer.echo(f"  open: {order.side.value} {order.qty or order.notional} {order.symbol} ({order.raw_status})")
    if not positions and not orders:
        typer.echo("  no positions, no open orders")


@app.command()
def price(symbol: str, value: Annotated[str, typer.Argument(metavar="PRICE")], user: User) -> None:
    """Set a price for a user's account; it holds for a minute."""
    from dashtrade.domain.market import parse_symbol

    key, secret = _credentials(user)
    headers = {"APCA-API-KEY-ID": key, "APCA-API-SECRET-KEY": secret}
    answer = _call("POST", "/sim/prices", {"symbol": parse_symbol(symbol), "price": value}, headers)
    typer.echo(f"{answer['symbol']} is {answer['price']} for {user}.")


@app.command()
def reset(user: User, yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False) -> None:
    """Start a user's simulated account again with its first cash: orders, fills and positions are deleted."""
    from dashtrade.bootstrap import runtime
    from dashtrade.brokers.simulator.store import ensure_schema, reset_account

    key, _ = _credentials(user)
    if not yes:
        typer.confirm(f"Delete everything in the simulated account of {user}?", abort=True)
    ensure_schema(runtime().engine)
    done = reset_account(runtime().engine, key)
    typer.echo(f"The account of {user} starts again." if done else f"{user} has no simulated account yet.")


@app.command()
def replay(
    symbols: Annotated[list[str], typer.Argument(help="Symbols, such as AAPL MSFT.")],
    period: Annotated[str, typer.Option(help="How far back, such as 5d or 1mo.")] = "1mo",
    interval: Annotated[str, typer.Option(help="Length of a bar, such as 5m or 1d.")] = "1d",
    start: Annotated[str | None, typer.Option(help="First day, such as 2024-01-31; replaces the period.")] = None,
    end: Annotated[str | None, typer.Option(help="The day after the last.")] = None,
    seconds_per_bar: Annotated[float, typer.Option(min=0, help="Real seconds that each bar takes.")] = 1.0,
    source: Annotated[str | None, typer.Option(help="Market-data source, such as sample.")] = None,
    wait: Annotated[bool, typer.Option(help="Wait for the end.")] = True,
) -> None:
    """Replay history through the simulator, faster than it happened. Needs DASHTRADE_SIMULATOR_FAULTS=1 there."""
    from dashtrade.bootstrap import history
    from dashtrade.domain.market import parse_interval

    rows: list[list[Any]] = []
    for symbol in symbols:
        bars = history(symbol, period, interval, start, end, source)
        name = bars.attrs.get("symbol", symbol.upper())
        prices = bars[["open", "high", "low", "close"]]
        rows += [[name, moment.isoformat(), *map(str, values)] for moment, *values in prices.itertuples()]
    plan = {
        "interval_seconds": parse_interval(interval).length.total_seconds(),
        "seconds_per_bar": seconds_per_bar,
        "bars": rows,
    }
    status = _call("POST", "/sim/replay", plan)
    typer.echo(f"Replaying {len(rows)} bars of {', '.join(symbols)}.")
    while wait and status["running"]:
        time.sleep(0.5)
        status = _call("GET", "/sim/replay")
        typer.echo(f"\r{status['done']} of {status['bars']} bars, it is {status['now'][:19]}", nl=False)
    if wait:
        typer.echo("\nThe replay is over. `dashtrade simulator now` goes back to the present.")


@app.command()
def now() -> None:
    """End a replay and return to the present: real time, healthy answers, market prices."""
    _call("DELETE", "/sim/replay")
    _call("DELETE", "/sim/faults")
    typer.echo("The simulator is back in the present.")


@app.command()
def fault(rules: Annotated[str, typer.Argument(help="JSON, as the module simulator/faults.py describes.")]) -> None:
    """Break the simulator for a rehearsal, for example '{"stream": ["drop"]}'; `now` mends it."""
    try:
        body = json.loads(rules)
    except ValueError:
        raise InvalidInput("rules", "this is not JSON.") from None
    typer.echo(json.dumps(_call("POST", "/sim/faults", body), indent=2))


def _credentials(username: str) -> tuple[str, str]:
    from dashtrade.auth.secret_files import session_secret
    from dashtrade.bootstrap import runtime
    from dashtrade.domain.simulated import simulated_credentials
    from dashtrade.services.users import user_named
    from dashtrade.settings import get_settings

    with runtime().uow() as uow:
        user = user_named(uow, username)
    return simulated_credentials(session_secret(get_settings()), user.id)


def _broker(username: str) -> AlpacaBroker:
    from dashtrade.brokers import make_broker
    from dashtrade.domain.bots import AccountMode
    from dashtrade.settings import get_settings

    key, secret = _credentials(username)
    return make_broker(AccountMode.SIMULATED, key, secret, url=get_settings().simulator_url)


def _call(method: str, path: str, body: Any = None, headers: dict[str, str] | None = None) -> dict[str, Any]:
    """Ask the running simulator; what it refuses becomes one sentence."""
    import httpx

    from dashtrade.settings import get_settings

    url = get_settings().simulator_url
    try:
        answer = httpx.request(method, f"{url}{path}", json=body, headers=headers, timeout=30, trust_env=False)
        result = answer.json()
    except (httpx.HTTPError, ValueError):
        raise BrokerUnavailable(f"The simulator does not answer at {url}. Start it with `dashtrade up`.") from None
    if answer.status_code == 404 and headers is None:
        raise ConfigurationError(
            "The simulator was not started for rehearsals. Set DASHTRADE_SIMULATOR_FAULTS=1 and start it again."
        )
    if answer.status_code >= 400:
        raise InvalidInput(path.rsplit("/", 1)[-1], f"{result.get('message', 'refused')}.")
    found: dict[str, Any] = result
    return found
