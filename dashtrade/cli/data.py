"""``dashtrade data``: the bar cache and files of one's own."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(help="Cached bars, imported files, sources.", no_args_is_help=True)

Source = Annotated[str | None, typer.Option("--source", help="ask only this source")]
User = Annotated[str | None, typer.Option("--user", help="username: ask with this user's keys and order of sources")]


@app.command()
def status() -> None:
    """What the cache holds, and how large it is."""
    from dashtrade.bootstrap import bar_cache
    from dashtrade.settings import get_settings

    settings = get_settings()
    cache = bar_cache(settings)
    files = cache.status()
    for file in files:
        span = f"{file.first[:10]} to {file.last[:10]}"
        typer.echo(
            f"{file.source:14} {file.symbol:12} {file.interval:4} {file.rows:8,} bars  {span}  "
            f"fetched {file.fetched_at[:16]}  {file.size / 1e6:.2f} MB"
        )
    total = sum(file.size for file in files) / 1e6
    typer.echo(f"{len(files)} files, {total:.1f} of at most {settings.cache_max_mb} MB in {cache.root}")


@app.command()
def clear(
    symbol: Annotated[str | None, typer.Argument(help="only this symbol")] = None,
    source: Annotated[str | None, typer.Option("--source", help="only this source")] = None,
) -> None:
    """Remove cached bars; imported files stay."""
    from dashtrade.bootstrap import bar_cache
    from dashtrade.data.sources import SOURCES
    from dashtrade.domain.market import parse_symbol
    from dashtrade.errors import UnknownOption
    from dashtrade.settings import get_settings

    if source is not None and source not in SOURCES:
        raise UnknownOption("source", source[:40], SOURCES)
    gone = bar_cache(get_settings()).clear(source, parse_symbol(symbol) if symbol else None)
    typer.echo(f"{gone} cached files removed.")


@app.command()
def prefetch(
    symbols: Annotated[list[str], typer.Argument(help="tickers")],
    period: Annotated[str, typer.Option(help="how far back, such as 10y or max")] = "10y",
    interval: Annotated[str, typer.Option(help="length of a bar, such as 1d")] = "1d",
    source: Source = None,
    user: User = None,
) -> None:
    """Fetch bars into the cache. One symbol's failure does not stop the others; the exit code tells of any."""
    from datetime import UTC, datetime

    from dashtrade.bootstrap import history
    from dashtrade.errors import DashTradeError
    from dashtrade.services.market import provenance

    failed = 0
    for symbol in symbols:
        try:
            bars = history(symbol, period, interval, source=source, user=user)
        except DashTradeError as error:
            failed += 1
            typer.echo(f"{symbol}: {error}", err=True)
            continue
        origin = provenance(bars, datetime.now(UTC))
        typer.echo(f"{symbol}: {len(bars):,} bars to {bars.index[-1]:%Y-%m-%d %H:%M} from {origin}")
        _quality(bars.attrs["quality"])
    if failed:
        raise typer.Exit(1)


@app.command("import")
def import_(
    files: Annotated[list[Path], typer.Argument(help="CSV or Parquet files with time, open, high, low, close, volume")],
    symbol: Annotated[str | None, typer.Option(help="ticker; else a column of that name, or the file's name")] = None,
    interval: Annotated[str | None, typer.Option(help="length of a bar; else seen from the times")] = None,
    zone: Annotated[str, typer.Option(help="zone of times that name none")] = "UTC",
) -> None:
    """Import bars of your own; they are the source ``files`` afterwards."""
    from dashtrade.data.files import FilesSource
    from dashtrade.data.importer import import_file
    from dashtrade.domain.market import parse_interval, parse_symbol
    from dashtrade.settings import get_settings

    target = FilesSource(get_settings().imported_dir)
    for file in files:
        found = import_file(
            file,
            target,
            symbol=parse_symbol(symbol) if symbol else None,
            interval=parse_interval(interval) if interval else None,
            zone=zone,
        )
        for one in found:
            typer.echo(
                f"{one.symbol}: {one.rows:,} bars of {one.interval}, {one.first:%Y-%m-%d} to {one.last:%Y-%m-%d}"
            )
            _quality(one.quality)


@app.command()
def export(
    symbol: Annotated[str, typer.Argument(help="ticker")],
    file: Annotated[Path, typer.Argument(help="where to write: a name that ends in .csv or .parquet")],
    period: Annotated[str, typer.Option(help="how far back, such as 10y or max")] = "max",
    interval: Annotated[str, typer.Option(help="length of a bar, such as 1d")] = "1d",
    source: Source = None,
    user: User = None,
) -> None:
    """Write bars to a CSV or Parquet file that ``dashtrade data import`` reads again."""
    from datetime import UTC, datetime

    from dashtrade.bootstrap import history
    from dashtrade.errors import ConfigurationError, InvalidInput
    from dashtrade.services.market import provenance

    if file.suffix.lower() not in (".csv", ".parquet"):
        raise InvalidInput("file", f"{file.name} has an unknown ending.", allowed=[".csv", ".parquet"])
    bars = history(symbol, period, interval, source=source, user=user)
    try:
        if file.suffix.lower() == ".csv":
            bars.to_csv(file, date_format="%Y-%m-%dT%H:%M:%S%z")
        else:
            bars.to_parquet(file)
    except OSError as error:
        raise ConfigurationError(f"{file} cannot be written: {error.strerror or error}.") from None
    origin = provenance(bars, datetime.now(UTC))
    typer.echo(f"{len(bars):,} bars of {bars.attrs['symbol']} from {origin} written to {file}")


@app.command()
def sources(
    user: Annotated[str | None, typer.Option("--user", help="username: show this user's order")] = None,
    order: Annotated[
        str | None, typer.Option("--order", help="set the user's order, comma separated; empty: the installation's")
    ] = None,
) -> None:
    """Sources of market data, those in use first. Users may have an order of their own, which their pages follow."""
    from dashtrade.bootstrap import market, market_of, runtime
    from dashtrade.data.sources import SOURCES
    from dashtrade.errors import InvalidInput

    if order is not None and user is None:
        raise InvalidInput("order", "belongs to a user: give --user NAME. The installation's is DASHTRADE_SOURCES.")
    if user is None:
        data = market()
    else:
        from dashtrade.services.source_order import set_source_order
        from dashtrade.services.users import user_named

        with runtime().uow() as uow:
            owner = user_named(uow, user).id
        if order is not None:
            set_source_order(runtime().uow(), owner, order.split(","))
        data = market_of(owner)
    for key in data.sources():
        place = f"{data.order.index(key) + 1}." if key in data.order else "  "
        entry = SOURCES[key]
        typer.echo(f"{place} {key:14} {entry.label}{' (needs a key)' if entry.needs_key else ''}")


@app.command()
def keys(
    user: Annotated[str, typer.Option("--user", help="username")],
    source: Annotated[
        str | None, typer.Argument(help="alpha_vantage or alpaca; none: show which keys are kept")
    ] = None,
    remove: Annotated[bool, typer.Option("--remove", help="forget the key")] = False,
) -> None:
    """A user's own keys at sources of market data. A key is asked for, or read from standard input, and kept sealed."""
    from dashtrade.auth.secret_files import encryption_key
    from dashtrade.auth.vault import Vault
    from dashtrade.bootstrap import runtime
    from dashtrade.errors import InvalidInput
    from dashtrade.services import source_keys
    from dashtrade.services.users import user_named
    from dashtrade.settings import get_settings

    uow = runtime().uow()
    with uow:
        owner = user_named(uow, user).id
    known = {one.key: one for one in source_keys.providers()}
    if source is None:
        if remove:
            raise InvalidInput("source", "name the source whose key is to be forgotten.", allowed=list(known))
        kept = source_keys.list_source_keys(uow, owner)
        for view in kept:
            typer.echo(f"{view.source:14} …{view.hint}  since {view.updated_at:%Y-%m-%d %H:%M} UTC")
        if not kept:
            typer.echo(f"{user} has no keys of their own; the installation's are used where there are any.")
        return
    if source not in known:
        raise InvalidInput("source", f"{source[:40]!r} takes no key.", allowed=list(known))
    if remove:
        source_keys.delete_source_keys(uow, owner, source)
        typer.echo(f"The key at {known[source].label} is forgotten.")
        return
    vault = Vault(encryption_key(get_settings()))
    key = typer.prompt(known[source].key_label, hide_input=True)
    secret = typer.prompt(known[source].secret_label, hide_input=True) if known[source].secret_label else ""
    view = source_keys.store_source_keys(uow, owner, vault, source, key, secret)
    typer.echo(f"The key at {known[source].label} that ends in {view.hint} is kept.")


def _quality(counts: dict[str, int]) -> None:
    from dashtrade.data.quality import describe

    text = describe(counts)
    if text:
        typer.echo(f"  faults: {text}")
