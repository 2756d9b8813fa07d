"""``dashtrade settings``: what can be changed while everything runs. The operator of the machine acts, so no role is
asked."""

from __future__ import annotations

from typing import Annotated

import typer

app = typer.Typer(help="Settings that are changed while everything runs: list, set, reset.", no_args_is_help=True)

Name = Annotated[str, typer.Argument(help="Such as registration; `list` shows all.")]
_FROM = {"environment": "set in the environment", "stored": "changed", "default": "default"}


@app.command("list")
def show() -> None:
    """What holds now, and where it comes from."""
    from dashtrade.bootstrap import runtime
    from dashtrade.services import system_settings

    made = runtime()
    with made.uow() as uow:
        views = system_settings.list_settings(uow, made.settings, None)
    for view in views:
        note = f"; stored is {view.stored!r}, which is not allowed" if view.refused else ""
        typer.echo(f"{view.name:<18} {view.value:<10} {_FROM[view.origin]}{note}")


@app.command("set")
def set_(name: Name, value: Annotated[str, typer.Argument(help="What it shall be.")]) -> None:
    """Change one. It holds for all processes within seconds."""
    if not value.strip():
        raise typer.BadParameter("Give a value; `dashtrade settings reset` gives back the default.")
    _change(name, value)


@app.command()
def reset(name: Name) -> None:
    """Give one back to its default."""
    _change(name, "")


def _change(name: str, value: str) -> None:
    from dashtrade.bootstrap import runtime
    from dashtrade.services import system_settings

    made = runtime()
    with made.uow() as uow:
        system_settings.change_settings(uow, made.settings, None, {name: value})
        now = getattr(system_settings.effective(uow, made.settings), name)
    typer.echo(f"{name} is {now}.")
