"""``dashtrade report``: run a parameterised notebook and keep it as HTML."""

from __future__ import annotations

from typing import Annotated

import typer

app = typer.Typer(help="Reports: list, run.", no_args_is_help=True)


@app.command("list")
def list_() -> None:
    """Reports that can be run, with their parameters."""
    from dashtrade.services.reports import reports

    for name, found in reports().items():
        typer.echo(f"{name}: {found.title}")
        for key, value in found.parameters.items():
            typer.echo(f"    {key} = {value!r}")


@app.command()
def run(
    name: Annotated[str, typer.Argument(help="The report's name; `dashtrade report list` shows them.")],
    symbol: Annotated[str | None, typer.Argument(help="Symbol, where the report takes one.")] = None,
    parameter: Annotated[
        list[str] | None, typer.Option("-p", "--parameter", "--set", help="NAME=VALUE; may be given many times.")
    ] = None,
    source: Annotated[str | None, typer.Option(help="Price source, such as sample.")] = None,
    user: Annotated[str | None, typer.Option(help="Keep it for this user.")] = None,
) -> None:
    """Run a report; prints the path of the HTML file."""
    from dashtrade.bootstrap import runtime
    from dashtrade.errors import InvalidInput
    from dashtrade.services.reports import run_report
    from dashtrade.settings import get_settings

    values: dict[str, str] = {}
    for text in parameter or []:
        key, sign, value = text.partition("=")
        if not sign:
            raise InvalidInput("parameter", f"{text!r} is not understood; write NAME=VALUE.")
        values[key.strip()] = value.strip()
    if symbol is not None:
        values["symbol"] = symbol
    if source is not None:
        values["source"] = source
    owner = None
    if user is not None:
        from dashtrade.cli.backtest import user_id

        owner = user_id(user)
    uow = runtime().uow() if owner is not None else None
    path = run_report(name, values, data_dir=get_settings().data_dir, uow=uow, user_id=owner)
    typer.echo(str(path))
