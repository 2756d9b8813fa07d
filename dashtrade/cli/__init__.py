"""The command line: ``dashtrade <command>``. Each area has its module; heavy imports stay inside the commands."""

from __future__ import annotations

import errno
import sys

import typer

from dashtrade.cli import (
    alert,
    analyze,
    backtest,
    backup,
    bot,
    data,
    doctor,
    keys,
    lab,
    migrate,
    report,
    settings,
    simulator,
    status,
    tradingview,
    up,
    user,
)
from dashtrade.errors import DashTradeError

_NO_FOLDER = "There is a file where a folder is needed: move it away, or set DASHTRADE_DATA_DIR to another folder."
_RIGHTS = "Correct its owner and rights, or set DASHTRADE_DATA_DIR to another folder."
FILE_REMEDIES = {
    errno.ENOSPC: "The disk is full: free space, then run the command again.",
    errno.EDQUOT: "Your share of the disk is used up: free space, then run the command again.",
    errno.EACCES: _RIGHTS,
    errno.EPERM: _RIGHTS,
    errno.EROFS: _RIGHTS,
    errno.ENOTDIR: _NO_FOLDER,
    errno.EEXIST: _NO_FOLDER,
}

app = typer.Typer(
    name="dashtrade",
    help="A trading research workbench for Jupyter, with login-protected dashboards and a careful trading bot.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

# Each has ``register(app)``, or ``app``, a Typer of its own that is mounted under the module's name.
for _area in (
    up, status, doctor, migrate, backup, user, keys, settings, lab, data, analyze, backtest, report, alert, bot,
    tradingview, simulator,
):  # fmt: skip
    if hasattr(_area, "register"):
        _area.register(app)
    else:
        app.add_typer(_area.app, name=_area.__name__.rsplit(".", 1)[-1])


@app.command()
def version() -> None:
    """Print the version."""
    from dashtrade import __version__

    typer.echo(__version__)


def main() -> None:
    """Entry point. An expected failure is one sentence on stderr and exit code 1, without a traceback."""
    try:
        app()
    except DashTradeError as error:
        typer.echo(f"Error: {error}", err=True)
        sys.exit(1)
    except OSError as error:
        if error.errno not in FILE_REMEDIES:
            raise
        where = error.filename or "A file"
        typer.echo(
            f"Error: {where} cannot be written or read ({error.strerror}). {FILE_REMEDIES[error.errno]}", err=True
        )
        sys.exit(1)
