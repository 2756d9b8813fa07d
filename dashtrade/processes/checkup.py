"""What `dashtrade doctor` looks at. Each check gives lines of ok, warn or fail, and says what to do."""

from __future__ import annotations

import os
import re
import shutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import metadata

from dashtrade.errors import ConfigurationError, DashTradeError
from dashtrade.processes import prepare
from dashtrade.resources import FOLDERS, folder
from dashtrade.settings import Settings

OK, WARN, FAIL = "ok", "warn", "fail"
LOW_DISK, NO_DISK = 2_000_000_000, 200_000_000
CHROMIUM = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


@dataclass(frozen=True, slots=True)
class Finding:
    """``level`` is ok, warn or fail; ``remedy`` is what to do about the latter two."""

    level: str
    topic: str
    text: str
    remedy: str = ""


def examine(settings: Settings) -> Iterator[Finding]:
    """All findings, as they are made. A check that breaks is itself a finding, so that the others still run."""
    checks: list[Callable[[Settings], Iterator[Finding]]] = [
        _python, _folders, _packages, _compiled, _talib, _data_dir, _disk, _secrets, _ports, _database, _sources,
        _chromium,
    ]  # fmt: skip
    for check in checks:
        topic = check.__name__.strip("_").replace("_", " ")
        try:
            yield from check(settings)
        except DashTradeError as error:
            yield Finding(FAIL, topic, str(error))
        except Exception as error:  # noqa: BLE001 - a broken check must not hide the others
            yield Finding(FAIL, topic, f"the check itself failed: {type(error).__name__}: {error}", "Report this.")


def _folders(settings: Settings) -> Iterator[Finding]:
    for name in FOLDERS:
        folder(name)  # raises with the remedy
    yield Finding(OK, "folders", f"{', '.join(FOLDERS)} are there")


def _python(settings: Settings) -> Iterator[Finding]:
    from packaging.specifiers import SpecifierSet

    found = ".".join(map(str, sys.version_info[:3]))
    needed = SpecifierSet(metadata.metadata("dashtrade")["Requires-Python"])
    if not needed.contains(found):
        yield Finding(FAIL, "python", f"{found}; {needed} is needed", "Make a new .venv with another Python.")
    else:
        yield Finding(OK, "python", found)


def requirements() -> list[str]:
    """The requirements this program was installed with; those of extras are left out."""
    return [line for line in metadata.requires("dashtrade") or [] if "extra ==" not in line]


def _packages(settings: Settings) -> Iterator[Finding]:
    from packaging.requirements import Requirement

    wrong = []
    lines = requirements()
    for line in lines:
        needed = Requirement(line)
        try:
            version = metadata.version(needed.name)
        except metadata.PackageNotFoundError:
            wrong.append(f"{needed.name} is missing")
            continue
        if not needed.specifier.contains(version, prereleases=True):
            wrong.append(f"{needed.name} is {version}, {needed.specifier} is needed")
    if wrong:
        yield Finding(FAIL, "packages", "; ".join(wrong), "Run `make setup`.")
    else:
        yield Finding(OK, "packages", f"{len(lines)} as asked for")


def _compiled(settings: Settings) -> Iterator[Finding]:
    if os.environ.get("PYTHONDONTWRITEBYTECODE"):
        yield Finding(
            WARN, "compiled modules", "PYTHONDONTWRITEBYTECODE is set, which makes every start seconds slower",
            "Unset it where the workbench is started (`make run` does).",
        )  # fmt: skip


def _talib(settings: Settings) -> Iterator[Finding]:
    try:
        import talib
    except (ImportError, OSError) as error:
        yield Finding(
            FAIL, "TA-Lib", f"cannot be imported ({error})", "Run `make setup`; the wheel brings its library."
        )
        return
    yield Finding(OK, "TA-Lib", f"{talib.__version__}, {len(talib.get_functions())} functions")


def _data_dir(settings: Settings) -> Iterator[Finding]:
    prepare.check_data_dir(settings.data_dir)
    yield Finding(OK, "data folder", f"{settings.data_dir} can be written")


def _disk(settings: Settings) -> Iterator[Finding]:
    free = shutil.disk_usage(settings.data_dir).free
    text = f"{free / 1e9:.1f} GB free for the data folder"
    if free < NO_DISK:
        yield Finding(FAIL, "disk", text, "Free space, or set DASHTRADE_DATA_DIR to another disk.")
    elif free < LOW_DISK:
        yield Finding(WARN, "disk", text, "Free space soon; prices and the database grow.")
    else:
        yield Finding(OK, "disk", text)


def _secrets(settings: Settings) -> Iterator[Finding]:
    from dashtrade.auth import secret_files
    from dashtrade.auth.vault import Vault

    secret_files.check_permissions(settings.secrets_dir)
    made = [name for name in secret_files.NAMES if (settings.secrets_dir / name).is_file()]
    if not made and settings.encryption_key is None:
        yield Finding(OK, "secrets", "not made yet; the first `dashtrade up` makes them")
        return
    Vault(secret_files.encryption_key(settings))
    secret_files.session_secret(settings)
    if secret_files.SIGNIN_KEY in made or settings.signin_key is not None:
        Vault(secret_files.signin_key(settings))
    if secret_files.PAGES_PASSWORD in made:
        secret_files.pages_password(settings)
    yield Finding(OK, "secrets", "there and private")


def _ports(settings: Settings) -> Iterator[Finding]:
    note = prepare.running(settings.data_dir)
    if note is not None:
        yield Finding(OK, "ports", f"DashTrade is running (process {note.get('pid', 'unknown')}) at {note.get('url')}")
        yield from _services(settings)
        return
    try:
        prepare.check_ports(settings)
    except ConfigurationError as error:
        yield Finding(FAIL, "ports", str(error))
        return
    ports = ", ".join(f"{owner} {getattr(settings, name)}" for name, owner in prepare.PORTS.items())
    yield Finding(OK, "ports", f"free: {ports}")


def _services(settings: Settings) -> Iterator[Finding]:
    from dashtrade.processes.children import children
    from dashtrade.processes.supervisor import answers

    for child in children(settings, database_url="", pages_database_url=None, encryption_key="", session_secret=""):
        if not child.health:
            continue
        if answers(child.health):
            yield Finding(OK, child.name, f"answers at {child.url}")
        else:
            yield Finding(FAIL, child.name, f"does not answer at {child.url}", "Read its lines in the output of `up`.")


def _database(settings: Settings) -> Iterator[Finding]:
    from dashtrade.db.embedded import EmbeddedPostgres, bin_dir
    from dashtrade.db.engine import describe, make_engine
    from dashtrade.db.schema import HEAD, check_whole

    embedded = None
    if settings.database_url is not None:
        engine = make_engine(settings.database_url.get_secret_value())
        where = describe(engine.url)
    else:
        bin_dir()
        server = EmbeddedPostgres(settings.data_dir)
        if not (server.data / "PG_VERSION").is_file():
            yield Finding(OK, "database", "embedded PostgreSQL, not made yet; the first `dashtrade up` makes it")
            return
        if server.port is None and prepare.running(settings.data_dir) is not None:
            yield Finding(FAIL, "database", str(server.trouble()), f"Remove the cause; the whole log is {server.log}.")
            return
        where = f"embedded, port {server.port}" if server.port else "embedded, started for this look"
        embedded = server.start()  # joins a running one
        engine = make_engine(server.url())
    try:
        with engine.connect() as connection:
            version = connection.exec_driver_sql("SHOW server_version").scalar()
        number = int(re.match(r"\d+", str(version)).group())  # type: ignore[union-attr]
        if number < 14:
            yield Finding(FAIL, "database", f"PostgreSQL {version} ({where})", "Use PostgreSQL 14 or newer.")
            return
        check_whole(engine)
        yield Finding(OK, "database", f"PostgreSQL {version} ({where}), schema {HEAD}")
    finally:
        engine.dispose()
        if embedded is not None:
            embedded.stop()


def _sources(settings: Settings) -> Iterator[Finding]:
    """Whether each source's address can be connected to. No data is asked for, so no budget is spent."""
    import socket

    addresses = {
        "yahoo": "query1.finance.yahoo.com",
        "alpha_vantage": "www.alphavantage.co",
        "alpaca": "data.alpaca.markets",
    }
    for source in settings.sources:
        host, port = addresses.get(source), 443
        if source == "yahoo" and settings.yahoo_url:
            from urllib.parse import urlsplit

            parts = urlsplit(settings.yahoo_url)
            host, port = parts.hostname, parts.port or (443 if parts.scheme == "https" else 80)
        if source == "alpha_vantage" and settings.alpha_vantage_key is None:
            yield Finding(
                WARN, source, "has no key", "Set DASHTRADE_ALPHA_VANTAGE_KEY, or leave it out of DASHTRADE_SOURCES."
            )
            continue
        if host is None:
            yield Finding(OK, source, "needs no network")
            continue
        try:
            socket.create_connection((host, port), timeout=3).close()
        except OSError:
            yield Finding(
                WARN, source, f"{host} cannot be reached",
                "Check the network; until then choose sample data (DASHTRADE_SOURCES='[\"sample\"]').",
            )  # fmt: skip
        else:
            yield Finding(OK, source, f"{host} can be reached")


def _chromium(settings: Settings) -> Iterator[Finding]:
    path = next(filter(None, map(shutil.which, CHROMIUM)), None)
    if path:
        yield Finding(OK, "chromium", path)
    else:
        yield Finding(WARN, "chromium", "not found; only the browser tests need it", "Install chromium to run them.")
