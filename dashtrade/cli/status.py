"""``dashtrade status``: what runs, how old what waits is, and what somebody should look at."""

from __future__ import annotations

from typing import Annotated

import typer


def register(app: typer.Typer) -> None:
    app.command()(status)


def status(as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False) -> None:
    """Say how the installation is. Exit code 0: all is well, 1: something needs a look, 2: it cannot be told."""
    import json

    from dashtrade.processes.standing import standing
    from dashtrade.settings import get_settings

    found = standing(get_settings())
    if as_json:
        typer.echo(json.dumps(found.as_dict(), indent=2))
    else:
        for name, value in found.lines:
            typer.echo(f"{name:<16}{value}")
        for problem in found.problems:
            typer.secho(f"! {problem}", fg=typer.colors.YELLOW)
        if not found.problems:
            typer.secho("All is well.", fg=typer.colors.GREEN)
    raise typer.Exit(found.exit_code)
