"""Puts a server together from the settings."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path

from dashtrade.dashboards.catalogue import registered_pages
from dashtrade.dashboards.config import ServerOptions
from dashtrade.dashboards.environment import INHERITED
from dashtrade.dashboards.server import Dashboards
from dashtrade.db.pages_role import announce
from dashtrade.errors import ConfigurationError
from dashtrade.resources import folder as program_folder
from dashtrade.services.endpoint import serve

PACKAGE = Path(__file__).resolve().parent.parent

#: Parts of DashTrade that pages use, in the order in which they are worth preloading.
PARTS = (
    "domain", "db", "services", "pages", "data", "indicators", "patterns", "analysis", "strategies", "backtest",
    "portfolio", "bots", "auth",
)  # fmt: skip
#: Used by other processes only, or too large for the few pages that need them.
LEFT_OUT = {"dashtrade.db.embedded", "dashtrade.db.migrate", "dashtrade.db.keeper", "dashtrade.data.alpaca"}
FIRST_USES = ("sockets", "settings", "queries", "widgets", "bar_files", "sample")
#: Libraries that those modules import on first use, and work that is the same for every page.
EXTRAS = (
    "pyarrow.parquet", "pyarrow.dataset", "sqlalchemy.dialects.postgresql.psycopg2", "psycopg2.extras",
    "sqlalchemy.orm:configure_mappers", "dashtrade.bootstrap", "yfinance", "exchange_calendars",
    "dashtrade.data.sessions:calendar(XNYS)", *(f"dashtrade.dashboards.zygote.first_use:{what}" for what in FIRST_USES),
    "first-in-a-child dashtrade.dashboards.zygote.rehearsal:rehearse",
)  # fmt: skip


def page_modules(package: Path = PACKAGE) -> tuple[str, ...]:
    """Names of the modules that pages consist of, found without importing any; then :data:`EXTRAS`."""
    found = []
    for part in PARTS:
        for file in sorted((package / part).rglob("*.py")):
            name = ".".join(file.relative_to(package.parent).with_suffix("").parts).removesuffix(".__init__")
            if name not in LEFT_OUT and not name.endswith("__main__"):
                found.append(name)
    return (*found, *EXTRAS)


def find_apps(given: Path | None = None) -> Path:
    """The folder of page notebooks: the one given, else the program's own."""
    folder = given or program_folder("apps")
    if not folder.is_dir():
        raise ConfigurationError(f"There is no folder {folder} with page notebooks. Name it with --apps.")
    return folder.resolve()


def run(apps: Path | None = None) -> None:
    """Serve until SIGTERM or Ctrl-C."""
    from dashtrade.bootstrap import runtime

    # by name: the processes are built on top of this package
    import_module("dashtrade.processes.logs").configure("dashboards")
    rt = runtime()
    address = rt.engine.url.render_as_string(hide_password=False)
    announce(address, rt.settings)
    endpoint = serve("dashboards", rt.settings, rt.uow)
    options = ServerOptions(
        settings=rt.settings,
        apps=find_apps(apps),
        database_url=address,
        port=rt.settings.dashboards_port,
        preload=page_modules(),
        inherited=INHERITED,
    )
    try:
        Dashboards.make(options, registered_pages(), rt.uow).start()
    finally:
        if endpoint is not None:
            endpoint.stop()
