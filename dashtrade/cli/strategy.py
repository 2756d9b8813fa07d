"""``dashtrade strategy``: a user's own strategies, and presets, shown, saved and taken elsewhere."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dashtrade.errors import InvalidInput

if TYPE_CHECKING:
    from dashtrade.domain.strategy import Strategy

app = typer.Typer(help="Presets and your own strategies: list, show, save, delete, export.", no_args_is_help=True)
FORMS = ("pine", "alert", "notebook", "json")
RULES = ("long_entry", "long_exit", "short_entry", "short_exit")
Name = Annotated[str, typer.Argument(help="A preset, or a saved strategy with --user.")]
User = Annotated[str | None, typer.Option(help="Whose strategies.")]
Json = Annotated[bool, typer.Option("--json", help="JSON instead of text.")]


@app.command("list")
def list_(user: User = None, json: Json = False) -> None:
    """The presets and, with --user, the strategies saved by this user."""
    from dashtrade.strategies import PRESETS

    found = [{"name": p.key, "kind": "preset", "about": p.label} for p in PRESETS.values()]
    if user is not None:
        from dashtrade.services.strategies import list_strategies

        work, owner = _of(user)
        found += [
            {"name": s.name, "kind": f"version {s.version}", "about": f"saved {s.saved_at:%Y-%m-%d %H:%M} UTC"}
            for s in list_strategies(work, owner)
        ]
    if json:
        _echo(found)
        return
    for line in found:
        typer.echo(f"{line['name']:<24}{line['kind']:<12}{line['about']}")


@app.command()
def show(name: Name, user: User = None, json: Json = False) -> None:
    """The rules in words."""
    from dashtrade.strategies import to_dict, to_text

    strategy = _find(name, user)
    if json:
        _echo(to_dict(strategy))
        return
    typer.echo(f"{strategy.name}, version {strategy.version}")
    for rule in RULES:
        if getattr(strategy, rule) is not None:
            typer.echo(f"  {rule.replace('_', ' '):<12}{to_text(getattr(strategy, rule))}")
    stops = {n: v for n in type(strategy.stops).__slots__ if (v := getattr(strategy.stops, n)) is not None}
    if len(stops) > 1:  # the window of the average true range is always there
        typer.echo("  stops       " + ", ".join(f"{n} {v:g}" for n, v in stops.items()))
    if strategy.cooldown:
        typer.echo(f"  cooldown    {strategy.cooldown} bars")


@app.command()
def save(
    name: Annotated[str, typer.Argument(help="Its name; saving again adds a version.")],
    user: Annotated[str, typer.Option(help="Whose strategy.")],
    entry: Annotated[str, typer.Option(help="Entry condition: 'ema_9 crosses_above ema_21'.")] = "",
    exit: Annotated[str, typer.Option(help="Exit condition.")] = "",
    short_entry: Annotated[str, typer.Option(help="Entry condition of short positions.")] = "",
    short_exit: Annotated[str, typer.Option(help="Exit condition of short positions.")] = "",
    stop_loss: Annotated[str, typer.Option(help="Distance: 0.02, 2% or 2atr.")] = "",
    take_profit: Annotated[str, typer.Option(help="Distance: 0.05, 5% or 3atr.")] = "",
    trail: Annotated[str, typer.Option(help="Trailing distance: 0.03, 3% or 3atr.")] = "",
    cooldown: Annotated[int, typer.Option(help="Bars after an exit without an entry.")] = 0,
    file: Annotated[Path | None, typer.Option(help="A JSON file instead, as 'export --to json' writes it.")] = None,
) -> None:
    """Save a strategy of your own."""
    from dataclasses import replace

    from dashtrade.services.backtests import from_text
    from dashtrade.services.strategies import save_strategy

    if file is not None:
        strategy = replace(_read(file), name=name)
    else:
        if not (entry.strip() or short_entry.strip()):
            raise InvalidInput("entry", "give --entry, --short-entry or --file.")
        asked = from_text(
            symbols="", entry=entry, exit=exit, short_entry=short_entry, short_exit=short_exit, stop_loss=stop_loss,
            take_profit=take_profit, trail=trail,
        )  # fmt: skip
        built: Any = asked.strategy
        strategy = replace(built, name=name, cooldown=cooldown, stops=asked.stops or built.stops)
    saved = save_strategy(*_of(user), strategy)
    typer.echo(f"Saved {saved.name}, version {saved.version}.")


@app.command()
def delete(name: Name, user: Annotated[str, typer.Option(help="Whose strategy.")]) -> None:
    """Remove all versions of a saved strategy."""
    from dashtrade.services.strategies import delete_strategy

    delete_strategy(*_of(user), name)
    typer.echo(f"Deleted {name}.")


@app.command()
def export(
    name: Name,
    to: Annotated[str, typer.Option(help="pine, alert, notebook or json.")],
    user: User = None,
    symbol: Annotated[str, typer.Option(help="For the notebook.")] = "AAPL",
    direction: Annotated[str, typer.Option(help="For Pine: long_only, short_only or long_short.")] = "long_short",
    output: Annotated[Path | None, typer.Option("--output", "-o", help="A file instead of the screen.")] = None,
) -> None:
    """Take a strategy elsewhere: TradingView's Pine v6, its alert message, a notebook, JSON."""
    from json import dumps

    from dashtrade.domain.strategy import Direction
    from dashtrade.strategies import to_dict
    from dashtrade.strategies.exporters import alert_message, to_notebook, to_pine

    if to not in FORMS:
        raise InvalidInput("to", f"{to!r} is not known.", allowed=FORMS)
    if direction not in list(Direction):
        raise InvalidInput("direction", f"{direction!r} is not known.", allowed=list(Direction))
    strategy = _find(name, user)
    made = {
        "pine": lambda: to_pine(strategy, direction=direction),
        "alert": alert_message,
        "notebook": lambda: to_notebook(strategy, symbol),
        "json": lambda: dumps(to_dict(strategy), indent=2, ensure_ascii=False),
    }[to]()
    text = made.rstrip("\n") + "\n"
    if output is None:
        typer.echo(text, nl=False)
        return
    try:
        output.write_text(text, encoding="utf-8")
    except OSError as error:
        raise InvalidInput("output", f"{output} cannot be written: {error.strerror}.") from None
    typer.echo(f"Wrote {output}.")


def _find(name: str, user: str | None) -> Strategy:
    from dashtrade.strategies import PRESETS, preset

    if user is None or name in PRESETS:
        return preset(name)
    from dashtrade.services.strategies import load_strategy

    return load_strategy(*_of(user), name)


def _of(user: str) -> tuple[Any, int]:
    from dashtrade.bootstrap import runtime
    from dashtrade.cli.run_options import user_id

    return runtime().uow(), user_id(user)


def _read(file: Path) -> Strategy:
    from json import JSONDecodeError, loads

    from dashtrade.strategies import from_dict

    try:
        return from_dict(loads(file.read_text(encoding="utf-8")))
    except OSError as error:
        raise InvalidInput("file", f"{file} cannot be read: {error.strerror}.") from None
    except (JSONDecodeError, UnicodeDecodeError):
        raise InvalidInput("file", f"{file} is not JSON.") from None


def _echo(found: Any) -> None:
    from json import dumps

    typer.echo(dumps(found, ensure_ascii=False))
