"""``dashtrade up``: start and supervise everything."""

from __future__ import annotations

import typer


def register(app: typer.Typer) -> None:
    app.command()(up)


def up() -> None:
    """Start the database, dashboards, webhook, trader, jobs and simulator, and keep them running until Ctrl-C."""
    from dashtrade.processes.supervisor import run
    from dashtrade.settings import get_settings

    raise typer.Exit(run(get_settings()))
