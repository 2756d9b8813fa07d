"""``dashtrade migrate``: bring the database's schema to this program's version."""

from __future__ import annotations

from typing import Annotated

import typer


def register(app: typer.Typer) -> None:
    app.command()(migrate)


def migrate(
    down: Annotated[
        str | None, typer.Option(help="Go back to this revision; `base` removes every table with its rows.")
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask before going back.")] = False,
) -> None:
    """Upgrade the database (or go back with --down). A migration that fails leaves the schema as it was."""
    from dashtrade.auth.secret_files import ensure_secrets, pages_password
    from dashtrade.bootstrap import connect
    from dashtrade.db import migrate as migrations
    from dashtrade.db.pages_role import ensure_pages_role
    from dashtrade.db.schema import check_whole
    from dashtrade.settings import get_settings

    runtime = connect(get_settings())
    if down is not None:
        if not yes:
            typer.confirm(f"Going back to {down} deletes what newer revisions hold. Go on?", abort=True)
        now = migrations.downgrade(runtime.engine, down)
        typer.echo(f"The schema is at {now or 'base (no tables)'}.")
        return
    now = migrations.upgrade(runtime.engine)
    check_whole(runtime.engine)
    typer.echo(f"The schema is at {now}.")
    ensure_secrets(runtime.settings)
    warning = ensure_pages_role(runtime.engine, pages_password(runtime.settings))
    if warning:
        typer.echo(f"Note: {warning}", err=True)
