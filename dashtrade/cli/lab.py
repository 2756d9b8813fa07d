"""``dashtrade lab``: JupyterLab for the analyst at this machine, with database and settings ready."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def register(app: typer.Typer) -> None:
    app.command()(lab)


def lab(
    port: Annotated[
        int, typer.Option(min=1, max=65535, help="Port on this machine; the next free one is taken.")
    ] = 8888,
    browser: Annotated[bool, typer.Option(help="Open a browser window.")] = True,
    notebooks: Annotated[
        Path | None, typer.Option(help="Folder of notebooks; default: notebooks of the checkout.")
    ] = None,
) -> None:
    """Open JupyterLab on the notebooks. Local only; ends with Ctrl-C."""
    import os
    import secrets
    import signal
    import subprocess
    import sys

    from dashtrade.bootstrap import runtime
    from dashtrade.errors import ConfigurationError
    from dashtrade.processes.children import settings_environment
    from dashtrade.settings import CHECKOUT

    folder = (notebooks or CHECKOUT / "notebooks").absolute()
    if not folder.is_dir():
        raise ConfigurationError(f"There is no folder {folder}. Name one with --notebooks.")
    made = runtime()  # joins the running database, or starts it for as long as this command lives
    token = secrets.token_urlsafe(24)
    environment = {name: value for name, value in os.environ.items() if name not in SERVICE_SECRETS}
    environment |= settings_environment(made.settings)
    environment["DATABASE_URL"] = made.engine.url.render_as_string(hide_password=False)
    environment["JUPYTER_TOKEN"] = token  # by the environment: arguments are seen by every local user
    options = {"root_dir": folder, "ip": "127.0.0.1", "port": port, "open_browser": browser}
    command = [sys.executable, "-m", "jupyterlab", *(f"--ServerApp.{name}={value}" for name, value in options.items())]
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        command.append("--ServerApp.allow_root=True")
    typer.echo(f"JupyterLab opens on {folder}: http://127.0.0.1:{port}/lab?token={token}")
    process = subprocess.Popen(command, env=environment)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: process.terminate())
    code = process.wait()
    if code not in (0, -signal.SIGTERM):
        raise typer.Exit(1)


#: An analyst's notebook runs any code: it gets the database, and neither the key of stored API keys nor the sessions'.
SERVICE_SECRETS = frozenset(
    {"ENCRYPTION_KEY", "DASHTRADE_ENCRYPTION_KEY", "DASHTRADE_SESSION_SECRET", "DASHTRADE_PAGES_DATABASE_URL"}
)
