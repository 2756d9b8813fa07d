"""``dashtrade doctor``: check this machine and say what to do."""

from __future__ import annotations

import typer


def register(app: typer.Typer) -> None:
    app.command()(doctor)


def doctor() -> None:
    """Check Python, packages, folders, secrets, ports, database and sources. Exit code 1 when something fails."""
    from dashtrade.processes.checkup import FAIL, OK, WARN, examine
    from dashtrade.settings import get_settings

    colours = {OK: typer.colors.GREEN, WARN: typer.colors.YELLOW, FAIL: typer.colors.RED}
    counts = {OK: 0, WARN: 0, FAIL: 0}
    for finding in examine(get_settings()):
        counts[finding.level] += 1
        text = finding.text.rstrip(".") + "."
        typer.echo(f"{typer.style(finding.level.ljust(4), fg=colours[finding.level])}  {finding.topic}: {text}")
        if finding.remedy:
            typer.echo(f"      → {finding.remedy}")
    if counts[FAIL]:
        typer.echo(f"{counts[FAIL]} of {sum(counts.values())} checks failed.")
        raise typer.Exit(1)
    things = "one thing" if counts[WARN] == 1 else f"{counts[WARN]} things"
    typer.echo("Everything needed is here." if not counts[WARN] else f"It works; {things} to look at.")
