"""``dashtrade lab``: JupyterLab for the analyst at this machine, or behind the login for those who are trusted."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dashtrade.settings import PACKAGE_ROOT

if TYPE_CHECKING:
    from dashtrade.bootstrap import Runtime


CARDS = PACKAGE_ROOT / "dashboards" / "share" / "labextensions"
"""JupyterLab's extension that puts a card for each notebook into the launcher."""
STOP_SECONDS = 10.0
"""How long JupyterLab may take to stop before it is ended; its kernels end with it."""


def register(app: typer.Typer) -> None:
    app.command()(lab)


def lab(
    port: Annotated[
        int, typer.Option(min=1, max=65535, help="Port on this machine; the next free one is taken.")
    ] = 8888,
    browser: Annotated[bool, typer.Option(help="Open a browser window.")] = True,
    notebooks: Annotated[
        Path | None,
        typer.Option(help="Folder of notebooks; default: notebooks of the checkout, or of the data folder."),
    ] = None,
    serve: Annotated[
        bool, typer.Option("--serve", help="For trusted analysts: behind the dashboards' login, on DASHTRADE_HOST.")
    ] = False,
) -> None:
    """Open JupyterLab on the notebooks. Local only, unless it is served behind the login; ends with Ctrl-C.

    Whoever uses it runs any code with the rights of this process. Served, it is open to people with
    `dashtrade user lab NAME allow`; give it an account of its own on the machine, one that cannot read the secrets.
    """
    import os
    import secrets
    import signal
    import subprocess
    import sys
    import threading

    from dashtrade.bootstrap import runtime
    from dashtrade.errors import ConfigurationError
    from dashtrade.processes.children import settings_environment
    from dashtrade.resources import own_notebooks
    from dashtrade.settings import get_settings

    folder = (notebooks or own_notebooks(get_settings().data_dir)).absolute()
    if not folder.is_dir():
        raise ConfigurationError(f"There is no folder {folder}. Name one with --notebooks.")
    made = runtime()  # joins the running database, or starts it for as long as this command lives
    token = secrets.token_urlsafe(24)
    environment = {name: value for name, value in os.environ.items() if name not in SERVICE_SECRETS}
    environment |= settings_environment(made.settings)
    environment["DATABASE_URL"] = made.engine.url.render_as_string(hide_password=False)
    environment["JUPYTER_TOKEN"] = token  # by the environment: arguments are seen by every local user
    options: dict[str, object] = {
        "cards": CARDS,
        "root_dir": folder,
        "ip": "127.0.0.1",
        "port": port,
        "open_browser": browser,
    }
    if serve:
        _behind_login(made, environment, options)
    command = [sys.executable, "-m", "jupyterlab", *_arguments(options)]
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        command.append("--ServerApp.allow_root=True")
    if serve:
        typer.echo(f"JupyterLab is served on {folder}: http://{made.settings.host}:{port}{options['base_url']}lab")
    else:
        typer.echo(f"JupyterLab opens on {folder}: http://127.0.0.1:{port}/lab?token={token}")
    process = subprocess.Popen(command, env=environment)
    asked = threading.Event()

    def stop(*_: object) -> None:
        process.terminate()
        if not asked.is_set():
            asked.set()
            overdue = threading.Timer(STOP_SECONDS, process.kill)  # JupyterLab can hang where a kernel just starts
            overdue.daemon = True
            overdue.start()

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, stop)
    code = process.wait()
    if not asked.is_set() and code not in (0, -signal.SIGTERM):
        raise typer.Exit(1)


def _arguments(options: dict[str, object]) -> list[str]:
    names = {"LabIdentity": "LabIdentity.dashboards_url", "cards": "LabApp.extra_labextensions_path"}
    return [f"--{names.get(name, f'ServerApp.{name}')}={value}" for name, value in options.items()]


def _behind_login(made: Runtime, environment: dict[str, str], options: dict[str, object]) -> None:
    """Sessions instead of a token. Notebooks get the database account of the pages, which sees no secret."""
    from sqlalchemy import text

    from dashtrade.auth import secret_files
    from dashtrade.dashboards.lab import DATABASE
    from dashtrade.db.pages_role import pages_url, role_name
    from dashtrade.errors import ConfigurationError
    from dashtrade.services.password_reset import address_of

    url = made.engine.url
    with made.uow() as uow:
        role = role_name(url.database or "")
        if uow.session.scalar(text("SELECT 1 FROM pg_roles WHERE rolname = :role"), {"role": role}) is None:
            raise ConfigurationError("The database has no account for notebooks yet. Run `dashtrade up` once.")
    environment.pop("JUPYTER_TOKEN")
    environment[DATABASE] = environment["DATABASE_URL"]
    environment["DATABASE_URL"] = pages_url(environment[DATABASE], secret_files.pages_password(made.settings))
    options |= {
        "ip": made.settings.host,
        "open_browser": False,
        "base_url": f"{made.settings.base_url}jupyter/",
        "identity_provider_class": "dashtrade.dashboards.lab.LabIdentity",
        "kernel_websocket_connection_class": "dashtrade.dashboards.lab.LabConnection",
        "terminals_enabled": False,
        "allow_remote_access": True,  # the session decides, not the name the server is reached by
    }
    options["LabIdentity"] = address_of(made.settings)


#: An analyst's notebook runs any code: it gets the database, and neither the key of stored API keys nor the sessions'.
SERVICE_SECRETS = frozenset(
    {
        "ENCRYPTION_KEY",
        "DASHTRADE_ENCRYPTION_KEY",
        "DASHTRADE_SIGNIN_KEY",
        "DASHTRADE_SESSION_SECRET",
        "DASHTRADE_SMTP_PASSWORD",
        "DASHTRADE_PAGES_PASSWORD",
        "DASHTRADE_PAGES_DATABASE_URL",
    }
)
