"""``dashtrade keys``: the keys that seal stored API keys, notification channels and second factors."""

from __future__ import annotations

import typer

app = typer.Typer(help="Encryption keys: rotate, retire, status, new.", no_args_is_help=True)


@app.command()
def rotate() -> None:
    """Seal everything with new keys, while DashTrade runs. After an interruption, run it again: it goes on."""
    from dashtrade.bootstrap import runtime
    from dashtrade.services import key_rotation

    made = runtime()
    state = key_rotation.rotate(made.uow, made.settings)
    typer.echo(
        f"{state.done} records are sealed with new keys. The old keys still open what a backup holds; "
        "`dashtrade keys retire` removes them."
    )


@app.command()
def retire() -> None:
    """Remove the old keys, after looking that nothing needs them any more."""
    from dashtrade.bootstrap import runtime
    from dashtrade.services import key_rotation

    made = runtime()
    key_rotation.retire(made.uow, made.settings)
    typer.echo("The old keys are removed. Records in older backups cannot be opened without them.")


@app.command()
def status() -> None:
    """How far the last rotation came."""
    from dashtrade.bootstrap import runtime
    from dashtrade.services import key_rotation

    with runtime().uow() as uow:
        state = key_rotation.last_rotation(uow)
    if state is None:
        typer.echo("The keys have never been rotated.")
        return
    typer.echo(f"Started {state.started_at}: {state.done} of {state.total} records are sealed with the new keys.")
    if state.finished_at is None:
        typer.echo("It was interrupted or is running. `dashtrade keys rotate` goes on with it.")
    else:
        gone = f"; the old keys were removed {state.retired_at}" if state.retired_at else "; the old keys are kept"
        typer.echo(f"Finished {state.finished_at}{gone}.")


@app.command()
def new() -> None:
    """Print a new key, for installations whose keys are settings."""
    from dashtrade.auth.vault import new_key

    typer.echo(new_key())
