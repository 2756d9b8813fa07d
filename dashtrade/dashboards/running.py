"""Puts a server together from the settings."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path

from dashtrade.dashboards.catalogue import registered_pages
from dashtrade.dashboards.config import ServerOptions
from dashtrade.dashboards.environment import INHERITED
from dashtrade.dashboards.server import Dashboards
from dashtrade.errors import ConfigurationError
from dashtrade.settings import CHECKOUT

PAGES_FOLDER = CHECKOUT / "dashtrade" / "pages"


def page_modules(folder: Path = PAGES_FOLDER) -> tuple[str, ...]:
    """Names of the modules that pages consist of, found without importing any."""
    shared = ["dashtrade.pages", "dashtrade.pages.opening"]
    parts = sorted(
        file.relative_to(folder.parent.parent).with_suffix("").as_posix().replace("/", ".")
        for file in folder.glob("*/*.py")
        if file.stem != "__init__"
    )
    return tuple(shared + parts)


def find_apps(given: Path | None = None) -> Path:
    """The folder of page notebooks: the one given, else ``apps`` of the checkout."""
    folder = given or CHECKOUT / "apps"
    if not folder.is_dir():
        raise ConfigurationError(f"There is no folder {folder} with page notebooks. Name it with --apps.")
    return folder.resolve()


def run(apps: Path | None = None) -> None:
    """Serve until SIGTERM or Ctrl-C."""
    from dashtrade.bootstrap import runtime

    # by name: the processes are built on top of this package
    import_module("dashtrade.processes.logs").configure("dashboards")
    rt = runtime()
    options = ServerOptions(
        settings=rt.settings,
        apps=find_apps(apps),
        database_url=rt.engine.url.render_as_string(hide_password=False),
        port=rt.settings.dashboards_port,
        preload=page_modules(),
        inherited=INHERITED,
    )
    Dashboards.make(options, registered_pages(), rt.uow).start()
