"""Pages that restate the program: settings, commands, retention, error codes, the catalogue.

``python docs/generate.py`` writes them; a build of the documentation does so first. They are made anew each time, so
that they cannot say something else than the program does.
"""

from __future__ import annotations

import enum
import inspect
import os
import shutil
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

if not __package__:  # run as a script
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

# A picture's text must not depend on the machine that draws it.
os.environ.setdefault("MPLBACKEND", "agg")


def write_all(folder: Path) -> None:
    """Every generated page. The pictures of the catalogue are drawn anew only when the program is newer than they."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, make in PAGES.items():
        _write(folder / name, make())
    catalogue(folder / "catalogue")


def _write(path: Path, text: str) -> None:
    """Only where it changed, so that a second build reads little again."""
    text = text.rstrip() + "\n"
    if not path.is_file() or path.read_text(encoding="utf-8") != text:
        path.write_text(text, encoding="utf-8")


def table(titles: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    def line(cells: Sequence[object]) -> str:
        return "| " + " | ".join(str(cell).replace("|", "\\|").replace("\n", " ") for cell in cells) + " |"

    return "\n".join([line(titles), line(["---"] * len(titles)), *(line(row) for row in rows)])


# --- settings ---------------------------------------------------------------------------------------------------------


def settings_rows() -> list[tuple[str, str, str, str]]:
    """Environment name, type, default and description of each setting."""
    from pydantic import AliasChoices
    from pydantic_core import PydanticUndefined

    from dashtrade.settings import Settings

    rows = []
    for name, field in Settings.model_fields.items():
        alias = field.validation_alias
        env = str(alias.choices[0]) if isinstance(alias, AliasChoices) else f"DASHTRADE_{name.upper()}"
        default: object = field.default
        if default is PydanticUndefined:
            shown = "`.dashtrade` in the checkout, else the user's data folder"
        elif default is None:
            shown = "unset"
        elif isinstance(default, bool):
            shown = f"`{str(default).lower()}`"
        elif isinstance(default, tuple):
            shown = f"`{','.join(default)}`"
        else:
            shown = f"`{default:g}`" if isinstance(default, float) else f"`{default}`"
        rows.append((env, _type_name(field.annotation), shown, field.description or _SAID.get(name, "")))
    return rows


# What a name says by itself in the program still wants a word for a reader.
_SAID = {
    "dashboards_port": "port of the dashboards",
    "webhook_port": "port of the webhook",
    "simulator_port": "port of the simulated broker, on this machine only",
    "smtp_port": "port of the mail server",
    "smtp_user": "name at the mail server",
    "alpha_vantage_key": "key at Alpha Vantage, shared by all users",
    "log_level": "least weight of what is logged",
    "log_format": "text for people, json for programs",
}


def _type_name(annotation: Any) -> str:
    from typing import Literal, get_args, get_origin

    if get_origin(annotation) is Literal:
        return ", ".join(f"`{value}`" for value in get_args(annotation))
    names = [part for part in (get_args(annotation) or (annotation,)) if part not in (type(None), ...)]
    known = {"SecretStr": "secret", "Path": "folder", "str": "text", "int": "whole number", "float": "number"}
    known["bool"] = "true or false"
    words = [known.get(getattr(part, "__name__", ""), getattr(part, "__name__", "text")) for part in names]
    return words[0] if get_origin(annotation) is not tuple else f"{words[0]}, with commas"


def settings_page() -> str:
    rows = [(f"`{env}`", default, f"{about} *({kind})*") for env, kind, default, about in settings_rows()]
    return f"""# Settings

Settings come from the environment, or from a file `.env` in the folder DashTrade is started from. The environment goes
first. `dashtrade doctor` checks them all. A wrong one stops the start with its name and what is allowed.

{table(("name", "default", "what it does"), rows)}

A secret can also be the contents of a file: the setting's name with `_FILE` and the file's path, such as
`ENCRYPTION_KEY_FILE=/run/secrets/encryption_key`.

A superadmin changes these while everything runs, under **Administration → Settings** or with `dashtrade settings set`:
{at_run_time()}. They are kept in the database and hold for all processes within
seconds. What the environment says goes first, and cannot be changed there.

`DATABASE_URL` and `ENCRYPTION_KEY` are also read as `DASHTRADE_DATABASE_URL` and `DASHTRADE_ENCRYPTION_KEY`. Secrets
are never printed: they show as stars in logs and messages.

## How long things are kept

{retention_table()}
"""


def at_run_time() -> str:
    from dashtrade.settings import AT_RUN_TIME

    return ", ".join(f"`{name}`" for name in AT_RUN_TIME)


def retention_table() -> str:
    from dashtrade.services.housekeeping import RETENTION
    from dashtrade.settings import Settings

    rows = []
    for kept in RETENTION:
        field = Settings.model_fields.get(kept.setting)
        after = f"{field.default} days" if field is not None else "when they are over"
        name = f"`DASHTRADE_{kept.setting.upper()}`" if field is not None else ""
        rows.append((kept.what, after, kept.also, name))
    return (
        table(("what goes", "after", "note", "setting"), rows)
        + "\n\nThe jobs worker clears up every night. What is in no line of this table stays: orders, executions, "
        "lots, the cash ledger, the audit log, recorded backtests, strategies."
    )


# --- commands ---------------------------------------------------------------------------------------------------------


def commands() -> Iterator[tuple[tuple[str, ...], Any]]:
    """Every command with its words, such as ``("bot", "create")``."""
    import typer

    from dashtrade.cli import app

    def walk(command: Any, words: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Any]]:
        below = getattr(command, "commands", None)
        if below is None:
            yield words, command
            return
        for name, child in below.items():
            yield from walk(child, (*words, name))

    yield from walk(typer.main.get_command(app), ())


def _parameter_row(parameter: Any) -> tuple[str, str, str]:
    annotation = getattr(parameter.type_descriptor, "annotation", str)
    kind = "" if annotation is bool else getattr(annotation, "__name__", "text").replace("str", "text")
    kind = {"list": "texts", "int": "number", "float": "number"}.get(kind, kind)
    if parameter.param_type_name == "argument":
        name = f"`{parameter.name.upper()}`" + (" …" if parameter.nargs == -1 else "")
    else:
        name = ", ".join(f"`{option}`" for option in parameter.opts)
        name += "".join(f" / `{option}`" for option in parameter.secondary_opts)
    about = parameter.help or ""
    if parameter.envvar:
        about += f" Also read from `{parameter.envvar}`."
    if getattr(parameter, "multiple", False):
        about += " May be given more than once."
    default = parameter.default
    if parameter.required:
        shown = "needed"
    elif default is None or default == [] or default == () or default is False or callable(default):
        shown = ""
    else:
        shown = f"`{str(default).lower() if isinstance(default, bool) else default}`"
    low, high = getattr(parameter, "min", None), getattr(parameter, "max", None)
    if low is not None or high is not None:
        about += f" From {low} to {high}." if high is not None else f" At least {low}."
    return name + (f" {kind}" if kind and parameter.param_type_name == "option" else ""), shown, about.strip()


def commands_page() -> str:
    parts = [
        "# Commands\n",
        "Every command says more with `--help`. An expected failure is one sentence and exit code 1. In a checkout the "
        "program is `.venv/bin/dashtrade`.\n",
    ]
    group = ""
    for words, command in commands():
        first = words[0] if len(words) > 1 else ""
        if first != group or len(parts) == 2:
            group = first
            parts.append(f"## {f'dashtrade {first}' if first else 'The installation and research'}\n")
        parts.append(f"### dashtrade {' '.join(words)}\n")
        parts.append(inspect.cleandoc(command.help or "") + "\n")
        rows = [_parameter_row(p) for p in command.params if p.name not in ("help",) and not p.hidden]
        if rows:
            parts.append(table(("argument or option", "default", "what it does"), rows) + "\n")
    return "\n".join(parts)


# --- webhook ----------------------------------------------------------------------------------------------------------


FIELD_WORDS = {
    "action": "what to do; left out where `market_position` is given",
    "symbol": "the ticker; a prefix such as `NASDAQ:` is cut off",
    "timeframe": "bar length: `15`, `15m`, `15 Min`, `60`, `1h`, `D`, `1 Day`; `1m` is a minute, `1M` a month. Needed "
    "where several bots trade the symbol",
    "price": "a reference, used to size whole shares; a limit only where `type` is `limit`",
    "quantity": "number of shares; used only where the bot allows it, and capped by its most shares",
    "id": "name of this alert; a second one with the same id is a repeat",
    "time": "time of the bar",
    "timenow": "when the alert fired; its age is counted from here",
    "market_position": "`long`, `flat` or `short`: the position to hold. The bot then trades the difference",
    "prev_market_position": "the position before; shown only",
    "position_size": "size of the strategy's position, may be negative; used with `market_position` where the bot "
    "allows quantities",
    "passphrase": "needed where the bot asks for one; compared and dropped, never stored",
    "type": "`market` (default) or `limit`",
    "limit_price": "price of a limit order; else `price` is taken",
    "stop_loss": "price at which the broker closes the entry with a loss",
    "take_profit": "price at which the broker closes the entry with a profit",
    "exchange": "a name that ends in `_DL` or `_DLY` says that prices are delayed; no entry is made on them",
}


def webhook_fields() -> str:
    from webhook import payload

    aliases = payload._ALIASES
    others = {alias: name for name, known in aliases.items() for alias in known if alias != name}
    names = [name for name in FIELD_WORDS if name in payload._KNOWN]
    missing = payload._KNOWN - set(FIELD_WORDS) - set(others)
    if missing or len(names) != len(FIELD_WORDS):
        raise ValueError(f"docs/generate.py must describe the webhook's fields: {sorted(missing)}")
    rows = [
        (f"`{name}`", ", ".join(f"`{a}`" for a in aliases.get(name, ()) if a != name), FIELD_WORDS[name])
        for name in names
    ]
    actions = ", ".join(f"`{name}`" for name in payload._ACTIONS)
    return (
        table(("field", "also written", "meaning"), rows)
        + f"\n\nActions, in any case: {actions}. `EXIT` and `FLAT` mean `CLOSE`. Numbers may be texts. Unknown fields "
        f"are kept and shown on the Signals tab. A body is at most {payload.MAX_BYTES // 1024} KB, nested at most "
        f"{payload.MAX_DEPTH} deep, and names each field once."
    )


def message() -> str:
    from dashtrade.strategies.exporters.alert import alert_message

    return f"```text\n{alert_message()}\n```"


def addresses() -> str:
    from dashtrade.domain.tradingview import SOURCE_ADDRESSES

    return ", ".join(f"`{address}`" for address in SOURCE_ADDRESSES) + "."


# --- errors -----------------------------------------------------------------------------------------------------------


def error_classes() -> list[type[Exception]]:
    """Every typed error, base classes too, in the order of their module."""
    from dashtrade import errors

    found = [value for value in vars(errors).values() if inspect.isclass(value) and value.__module__ == errors.__name__]
    return [value for value in found if issubclass(value, errors.DashTradeError)]


def errors_table() -> str:
    from dashtrade.services.alerts_in import status_of

    rows = []
    for kind in error_classes():
        about = " ".join(inspect.cleandoc(kind.__doc__ or "").split("\n\n")[0].split()).replace("``", "`")
        made = kind.__new__(kind)
        rows.append((f"`{kind.__name__}`", f"`{kind.code}`", status_of(made), about))  # type: ignore[attr-defined,arg-type]
    return table(("error", "code", "status at the webhook", "meaning and next step"), rows)


def refusals_table() -> str:
    from dashtrade.domain.orders import Refusal

    return table(("kind", "what it means", "what to do"), [(f"`{r.value}`", *REFUSALS[r.value]) for r in Refusal])


REFUSALS = {
    "duplicate_client_order_id": (
        "the broker has this order already",
        "nothing: the trader takes up the order that is there",
    ),
    "buying_power": ("not enough buying power", "lower the position size, or close something; the room is set free"),
    "held_for_orders": (
        "the shares are reserved by another open order",
        "nothing for exits: what blocks is cancelled and the exit sent again",
    ),
    "insufficient_qty": (
        "more shares asked for than are held",
        "look at Positions; the next comparison tells of drift",
    ),
    "wash_trade": (
        "an opposite order of your own would trade with it",
        "nothing for exits; for entries wait until the other order ends",
    ),
    "not_shortable": ("the broker lends no shares of this symbol", "choose another symbol or `long_only`"),
    "market_closed": ("the market is closed for this order", "wait for the session, or check the bot's session rule"),
    "halted": ("the exchange has stopped trading in the symbol", "wait; exits are tried again"),
    "unknown_symbol": ("the broker does not know the symbol", "correct the bot's symbol"),
    "not_tradable": ("the broker does not trade the symbol", "choose another symbol"),
    "order_not_found": ("an order asked about is not there", "nothing: the state is settled by the next comparison"),
    "already_ended": ("an order to be cancelled has ended", "nothing"),
    "invalid_order": ("price, size or kind is not allowed", "read the broker's sentence on the Signals tab"),
    "account_blocked": ("the broker has blocked the account", "sign in at the broker and settle it there"),
    "unauthorized": ("the key is wrong or may not trade", "store the keys again, and check paper against live"),
    "other": ("anything else", "read the broker's sentence on the Signals tab"),
}


# --- catalogue, presets, reports, public names ------------------------------------------------------------------------


def presets_table() -> str:
    from dashtrade.strategies import PRESETS

    return table(("name", "title"), [(f"`{key}`", getattr(PRESETS[key], "label", key)) for key in PRESETS])


def reports_table() -> str:
    from dashtrade.services.reports import reports

    rows = []
    for name, report in reports().items():
        given = ", ".join(f"`{key}={value}`" for key, value in report.parameters.items())
        rows.append((f"`{name}`", report.title, given))
    return table(("name", "title", "parameters and defaults"), rows)


def votes_table() -> str:
    from dashtrade.analysis.votes import BUY_AT, WEIGHTS

    total = sum(weight for _, weight in WEIGHTS.values())
    rows = [(name, group.value, f"{weight:g}") for name, (group, weight) in WEIGHTS.items()]
    return (
        table(("vote", "group", "weight"), rows)
        + f"\n\nThe weights add up to {total:g}. BUY from a score of {BUY_AT:g} upward, SELL from −{BUY_AT:g} downward."
    )


def quality_table() -> str:
    from dashtrade.domain.market import QUALITY_COUNTS

    rows = [(f"`{name}`", *rule.split(": ", 1)) for name, rule in QUALITY_COUNTS.items()]
    return table(("count", "what is found", "what is done"), rows)


def notebooks_list() -> str:
    """The analyst's notebooks in their order, by their own titles."""
    import json

    from dashtrade.resources import folder

    lines = []
    for path in sorted(folder("notebooks").glob("[0-9]*.ipynb")):
        cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
        texts = ("".join(cell["source"]) for cell in cells if cell["cell_type"] == "markdown")
        title = next(
            (text.splitlines()[0].lstrip("# 0123456789·") for text in texts if text.startswith("# ")), path.stem
        )
        lines.append(f"- `{path.name}`: {title}")
    return "\n".join(lines)


def migrations_table() -> str:
    import ast

    from dashtrade.resources import folder

    rows = []
    for path in sorted((folder("migrations") / "versions").glob("[0-9]*.py")):
        about = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
        rows.append((path.name.split("_")[0], about.splitlines()[0].rstrip(".")))
    return table(("revision", "about"), rows)


def public_names() -> str:
    import dashtrade

    parts = []
    for name, module in dashtrade._PUBLIC.items():
        value = getattr(dashtrade, name)
        made = _directive(name, module, value)
        parts.append(f"### {name}\n\n```{{eval-rst}}\n{made}\n```\n")
    return "\n".join(parts)


def _directive(name: str, module: str, value: Any) -> str:
    if inspect.isclass(value):
        members = "" if issubclass(value, enum.Enum) else "\n   :members:"
        return f".. autoclass:: {value.__module__}.{value.__qualname__}{members}"
    found = inspect.unwrap(value)
    if inspect.isfunction(found):
        return f".. autofunction:: {found.__module__}.{found.__qualname__}"
    return f".. autofunction:: {module}.{name}"


def catalogue(folder: Path) -> None:
    """Indicators and patterns with their pictures; kept while the program's own files are older."""
    from dashtrade import analysis
    from dashtrade.analysis import reference

    package = Path(analysis.__file__).resolve().parent.parent
    sources = [p for area in ("indicators", "patterns", "analysis") for p in (package / area).glob("*.py")]
    newest = max(p.stat().st_mtime for p in sources)
    stamp = folder / "made"
    if stamp.is_file() and stamp.stat().st_mtime > newest:
        return
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for page in reference.write(folder):
        text = page.read_text(encoding="utf-8")
        if "\n## " not in text:  # entries directly below the title
            page.write_text(text.replace("\n### ", "\n## "), encoding="utf-8")
    stamp.touch()


PAGES: dict[str, Callable[[], str]] = {
    "settings.md": settings_page,
    "commands.md": commands_page,
    "webhook_fields.md": webhook_fields,
    "errors.md": errors_table,
    "refusals.md": refusals_table,
    "message.md": message,
    "addresses.md": addresses,
    "presets.md": presets_table,
    "reports.md": reports_table,
    "migrations.md": migrations_table,
    "notebooks.md": notebooks_list,
    "public.md": public_names,
    "votes.md": votes_table,
    "quality.md": quality_table,
}


if __name__ == "__main__":
    write_all(Path(__file__).resolve().parent / "generated")
