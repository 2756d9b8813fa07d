"""``dashtrade report``: run a parameterised notebook, now or by the clock, and keep it as HTML."""

from __future__ import annotations

from typing import Annotated

import typer

app = typer.Typer(help="Reports: list, run, schedule, unschedule, history.", no_args_is_help=True)


@app.command("list")
def list_() -> None:
    """Reports that can be run, with their parameters and defaults."""
    from dashtrade.services.reports import reports

    for name, found in reports().items():
        typer.echo(f"{name}: {found.title}" + (" (about a user: --user)" if found.personal else ""))
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
    user: Annotated[
        str | None, typer.Option("--user", "-u", help="Whose report it is; those about own data need it.")
    ] = None,
) -> None:
    """Run a report; prints the path of the HTML file. The executed notebook lies beside it."""
    from dashtrade.bootstrap import runtime
    from dashtrade.errors import InvalidInput
    from dashtrade.services.reports import ReportFailed, run_report
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
    try:
        path = run_report(name, values, data_dir=get_settings().data_dir, uow=uow, user_id=owner)
    except ReportFailed as error:
        if error.path is not None:
            typer.echo(f"What there was until then: {error.path}", err=True)
        raise
    typer.echo(str(path))


@app.command()
def schedule(
    name: Annotated[str, typer.Argument(help="The report's name; `dashtrade report list` shows them.")],
    cron: Annotated[str, typer.Argument(help="Minute, hour, day, month, weekday, such as '30 16 * * 1-5'.")],
    user: Annotated[str, typer.Option("--user", "-u", help="User name of the owner.")],
    parameter: Annotated[
        list[str] | None, typer.Option("-p", "--parameter", "--set", help="NAME=VALUE; may be given many times.")
    ] = None,
    timezone: Annotated[str, typer.Option(help="Whose clock the times are on.")] = "America/New_York",
    trading_days: Annotated[bool, typer.Option(help="Only on days New York's exchange is open.")] = False,
) -> None:
    """Run a report again and again; the jobs worker starts it."""
    from dashtrade.bootstrap import runtime
    from dashtrade.cli.backtest import user_id
    from dashtrade.errors import InvalidInput
    from dashtrade.services.report_schedules import add_schedule

    values: dict[str, str] = {}
    for text in parameter or []:
        key, sign, value = text.partition("=")
        if not sign:
            raise InvalidInput("parameter", f"{text!r} is not understood; write NAME=VALUE.")
        values[key.strip()] = value.strip()
    owner, uow = user_id(user), runtime().uow()
    made = add_schedule(uow, owner, name, cron, parameters=values, timezone=timezone, trading_days_only=trading_days)
    typer.echo(f"Schedule {made.id}: {made.name}, next at {made.next_run_at:%Y-%m-%d %H:%M} UTC.")


@app.command()
def unschedule(
    schedule_id: Annotated[int, typer.Argument(help="Number of the schedule, as `dashtrade report history` shows it.")],
    user: Annotated[str, typer.Option("--user", "-u", help="User name of the owner.")],
) -> None:
    """Remove a schedule; what it has made stays."""
    from dashtrade.bootstrap import runtime
    from dashtrade.cli.backtest import user_id
    from dashtrade.services.report_schedules import remove_schedule

    remove_schedule(runtime().uow(), user_id(user), schedule_id)
    typer.echo(f"Schedule {schedule_id} removed.")


@app.command()
def history(
    user: Annotated[str, typer.Option("--user", "-u", help="User name of the owner.")],
    limit: Annotated[int, typer.Option(help="At most so many runs.")] = 50,
) -> None:
    """The schedules, and what ran, newest first."""
    from dashtrade.bootstrap import runtime
    from dashtrade.cli.backtest import user_id
    from dashtrade.services.report_schedules import list_runs, list_schedules

    owner, uow = user_id(user), runtime().uow()
    for each in list_schedules(uow, owner):
        due = "" if each.next_run_at is None else f", next at {each.next_run_at:%Y-%m-%d %H:%M} UTC"
        typer.echo(f"schedule {each.id}: {each.name} ({each.report}), {each.cron} {each.timezone}{due}")
    for run_ in list_runs(uow, owner, limit=limit):
        began = "" if run_.started_at is None else f"{run_.started_at:%Y-%m-%d %H:%M}"
        typer.echo(
            f"run {run_.id}: {began} {run_.report} {run_.status} {run_.error or run_.output_path or ''}".rstrip()
        )
