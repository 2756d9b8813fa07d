"""``dashtrade lab``: JupyterLab on the notebooks, for the person at this machine."""

from __future__ import annotations

import os
import sys
from typing import Annotated

import typer


def register(app: typer.Typer) -> None:
    app.command()(lab)


def lab(
    port: Annotated[int, typer.Option(help="Port on this machine.", min=1, max=65535)] = 8888,
    browser: Annotated[bool, typer.Option(help="Open the browser.")] = True,
) -> None:
    """Open JupyterLab on notebooks/. It listens on this machine only: who is in it can run any code as this user."""
    from dashtrade.errors import ConfigurationError
    from dashtrade.settings import CHECKOUT

    notebooks = CHECKOUT / "notebooks"
    if not notebooks.is_dir():
        raise ConfigurationError(f"The folder {notebooks} is missing. Run DashTrade from its checkout.")
    command = [sys.executable, "-m", "jupyterlab", f"--notebook-dir={notebooks}", "--ServerApp.ip=127.0.0.1"]
    command += [f"--ServerApp.port={port}"] + ([] if browser else ["--no-browser"])
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        command.append("--allow-root")
    os.execv(sys.executable, command)  # noqa: S606 - a fixed command, no shell
