"""`dashtrade up`: starts the services, shows their output, starts again what dies, and leaves nothing behind.

One main thread starts and stops everything; a thread for each child copies its output, and one asks the services
whether they answer. The guardian process ends the children when this process is killed.
"""

from __future__ import annotations

import http.client
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, TYPE_CHECKING, TextIO
from urllib.parse import urlsplit

from dashtrade.processes.children import Child, plain_environment
from dashtrade.settings import Settings

if TYPE_CHECKING:
    from dashtrade.db.embedded import EmbeddedPostgres

FIRST_PAUSE, LONGEST_PAUSE = 0.5, 30.0
STEADY_AFTER = 20.0  # a child that lived this long starts again at once, with a short pause
GRACE = 10.0
SLOW_START = 60.0
LOOK_EVERY = 2.0  # seconds between looks at what the services stand on


@dataclass
class _Running:
    child: Child
    process: subprocess.Popen[str] | None = None
    started: float = 0.0
    pause: float = FIRST_PAUSE
    next_start: float = 0.0
    answered: bool = False
    starts: int = 0


@dataclass(frozen=True)
class Ground:
    """What the services stand on: ``trouble`` says what is wrong with it, ``well`` that it is over. ``mend`` does what
    can be done and says it. Nothing is said where there is nothing to say."""

    trouble: Callable[[], str | None]
    well: str
    mend: Callable[[], str | None] = lambda: None


@dataclass
class Supervisor:
    """Runs ``children`` until it is told to stop. ``folder`` is their working folder; ``output`` takes all lines.

    Trouble with the ``ground`` is told when it lasts, and when it is over.
    """

    children: Sequence[Child]
    folder: Path
    output: TextIO = field(default_factory=lambda: sys.stdout)
    grace: float = GRACE
    pause: float = FIRST_PAUSE
    ground: Ground | None = None

    def __post_init__(self) -> None:
        self._next_look, self._troubled, self._told = 0.0, False, False
        self._running = [_Running(child, pause=self.pause) for child in self.children]
        self._width = max((len(child.name) for child in self.children), default=2)
        self._lock = threading.Lock()
        self._answers: queue.Queue[tuple[_Running, int]] = queue.Queue()
        self._stopping = threading.Event()
        self._guardian: subprocess.Popen[str] | None = None
        self._began = time.monotonic()

    # -- output ---------------------------------------------------------------------------------------------------

    def say(self, text: str, name: str = "up") -> None:
        prefix = f"[{name}]".ljust(self._width + 2)
        with self._lock:
            try:
                self.output.write("".join(f"{prefix} {line}\n" for line in text.splitlines() or [""]))
                self.output.flush()
            except (OSError, ValueError):
                pass  # the terminal is gone; the services go on until a signal says otherwise

    def _copy(self, name: str, stream: IO[str]) -> None:
        for line in stream:
            self.say(line.rstrip("\n"), name)

    # -- life -----------------------------------------------------------------------------------------------------

    def stop(self, *_: object) -> None:
        """Ask the main loop to end; a second call ends the wait for the services."""
        if self._stopping.is_set():
            self.grace = 0.0
        self._stopping.set()

    def run(self) -> int:
        """Blocks until :meth:`stop`; returns 0 after a clean end."""
        self._start_guardian()
        threading.Thread(target=self._ask_all, daemon=True, name="health").start()
        try:
            while not self._stopping.is_set():
                self._look_after()
                self._stopping.wait(0.1)
        finally:
            self._end_all()
        return 0

    def _look_below(self, now: float) -> None:
        if self.ground is None or now < self._next_look:
            return
        self._next_look = now + LOOK_EVERY
        if mended := self.ground.mend():
            self.say(mended)
        wrong = self.ground.trouble()
        if wrong and self._troubled and not self._told:  # at the second look: a restart takes a moment
            self.say(f"{wrong} It is tried again until it runs.")
            self._told = True
        elif not wrong and self._told:
            self.say(self.ground.well)
            self._told = False
        self._troubled = wrong is not None

    def _look_after(self) -> None:
        now = time.monotonic()
        self._look_below(now)
        if self._guardian is not None and self._guardian.poll() is not None:
            self._start_guardian()
        for running in self._running:
            process = running.process
            if process is None:
                if now >= running.next_start:
                    self._start(running)
            elif process.poll() is not None:
                self._note_end(running, process, now)
        while not self._answers.empty():
            running, starts = self._answers.get()
            if running.starts == starts and not running.answered:
                running.answered = True
                seconds = time.monotonic() - running.started
                self.say(f"{running.child.title} answers at {running.child.url} ({seconds:.1f} s).")
                if all(each.answered for each in self._running if each.child.health):
                    self.say(f"Everything is up after {time.monotonic() - self._began:.1f} s. Ctrl-C stops it.")

    def _start(self, running: _Running) -> None:
        child = running.child
        try:
            # A session each: where the system shares out time by session, a busy dashboard cannot starve the trader.
            process = subprocess.Popen(
                child.command, env=dict(child.environment), cwd=self.folder, stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace", start_new_session=True,
            )  # fmt: skip
        except OSError as error:
            self.say(f"{child.name} cannot be started: {error.strerror}.")
            self._later(running)
            return
        self._tell_guardian(f"+{process.pid}")
        running.process, running.started, running.answered = process, time.monotonic(), False
        running.starts += 1
        copier = threading.Thread(target=self._copy, args=(child.name, process.stdout), daemon=True, name=child.name)
        copier.start()

    def _note_end(self, running: _Running, process: subprocess.Popen[str], now: float) -> None:
        self._tell_guardian(f"-{process.pid}")
        self._end_group(process.pid)
        running.process = None
        if now - running.started >= STEADY_AFTER:
            running.pause = self.pause
        code = process.returncode
        how = f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"
        self.say(f"{running.child.name} {how}; it starts again in {running.pause:g} s.")
        self._later(running)

    def _later(self, running: _Running) -> None:
        running.next_start = time.monotonic() + running.pause
        running.pause = min(running.pause * 2, LONGEST_PAUSE)

    @staticmethod
    def _end_group(group: int) -> None:
        """What a dead service left in its process group would hold its port."""
        try:
            os.killpg(group, signal.SIGKILL)
        except (ProcessLookupError, PermissionError):
            pass

    def _end_all(self) -> None:
        from dashtrade.processes.ending import end

        self.say("Stopping.")
        for last in (False, True):
            processes = [r.process for r in self._running if r.process is not None and r.child.last is last]
            pids = [process.pid for process in processes if process.poll() is None]
            end(pids, lambda: self.grace)
            for process in processes:
                process.wait()
                self._end_group(process.pid)
                self._tell_guardian(f"-{process.pid}")
        if self._guardian is not None and self._guardian.stdin is not None:
            self._guardian.stdin.close()
            self._guardian.wait(5)

    # -- guardian -------------------------------------------------------------------------------------------------

    def _start_guardian(self) -> None:
        self._guardian = subprocess.Popen(
            [sys.executable, "-m", "dashtrade.processes.guardian"], stdin=subprocess.PIPE, text=True, cwd=self.folder,
            start_new_session=True, env=plain_environment(os.environ) | {"PYTHONPATH": _import_path()},
        )  # fmt: skip
        for running in self._running:
            if running.process is not None:
                self._tell_guardian(f"+{running.process.pid}")

    def _tell_guardian(self, line: str) -> None:
        if self._guardian is None or self._guardian.stdin is None:
            return
        try:
            self._guardian.stdin.write(line + "\n")
            self._guardian.stdin.flush()
        except (OSError, ValueError):
            pass  # it died; the main loop starts another and tells it everything

    # -- health ---------------------------------------------------------------------------------------------------

    def _ask_all(self) -> None:
        slow: set[tuple[str, int]] = set()
        while not self._stopping.wait(0.1):
            for running in self._running:
                health = running.child.health
                if not health or running.answered or running.process is None:
                    continue
                starts, waited = running.starts, time.monotonic() - running.started
                if answers(health):
                    self._answers.put((running, starts))
                elif waited > SLOW_START and (running.child.name, starts) not in slow:
                    slow.add((running.child.name, starts))
                    self.say(f"{running.child.name} does not answer at {health} after {waited:.0f} s; see its lines.")


def answers(url: str, timeout: float = 2.0) -> bool:
    """Whether something speaks HTTP there; what it says is its own business."""
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname or "127.0.0.1", parts.port or 80, timeout=timeout)
    try:
        connection.request("GET", parts.path or "/")
        return connection.getresponse().status < 600
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def _import_path() -> str:
    """The guardian finds this very package, whatever its working folder is."""
    return os.pathsep.join(
        part for part in (str(Path(__file__).resolve().parents[2]), os.environ.get("PYTHONPATH")) if part
    )


_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def _leave(number: int, _frame: object) -> None:
    raise SystemExit(128 + number)


def run(settings: Settings) -> int:
    """Prepare, start, supervise. Returns the exit code; raises DashTradeError when it cannot start."""
    from dashtrade.bootstrap import Runtime
    from dashtrade.db.engine import make_engine
    from dashtrade.processes import prepare
    from dashtrade.processes.children import children, dashboards_url

    for number in _SIGNALS:
        signal.signal(number, _leave)  # so that the database is let go properly while things are prepared
    folder = settings.data_dir
    prepare.check_data_dir(folder)
    with prepare.only_one(folder, {"url": dashboards_url(settings)}):
        prepare.check_ports(settings)
        server = None
        if settings.database_url is None:
            from dashtrade.db.embedded import EmbeddedPostgres

            server = EmbeddedPostgres(folder).start()
        try:
            database_url = server.url() if server else settings.database_url.get_secret_value()  # type: ignore[union-attr]
            engine = make_engine(database_url)
            prepared = prepare.prepare(Runtime(settings, engine))
            engine.dispose()
            processes = children(
                settings,
                database_url=database_url,
                pages_database_url=prepared.pages_database_url,
                encryption_key=prepared.encryption_key,
                session_secret=prepared.session_secret,
                signin_key=prepared.signin_key,
            )
            supervisor = Supervisor(processes, folder, ground=_embedded(server) if server else None)
            for number in _SIGNALS:
                signal.signal(number, supervisor.stop)
            _introduce(supervisor, settings, prepared)
            return supervisor.run()
        finally:
            if server is not None:
                server.stop()


def _embedded(server: EmbeddedPostgres) -> Ground:
    def mend() -> str | None:
        if not server.keep_up():
            return None
        return "The keeper of the embedded PostgreSQL was killed, and the server with it; both are started again."

    return Ground(server.trouble, "The embedded PostgreSQL runs again.", mend)


def _introduce(supervisor: Supervisor, settings: Settings, prepared: object) -> None:
    from dashtrade.processes.prepare import Prepared

    assert isinstance(prepared, Prepared)
    database = "the server in DATABASE_URL" if settings.database_url else "embedded PostgreSQL"
    supervisor.say(f"Data folder {settings.data_dir}, {database}.")
    if prepared.created:
        supervisor.say(f"Created in {settings.secrets_dir}: {', '.join(prepared.created)}. Keep a copy somewhere safe.")
    if prepared.warning:
        supervisor.say(f"Note: {prepared.warning}")
    if prepared.locked_out:
        supervisor.say(f"Note: {prepared.locked_out}")
    if prepared.password:
        supervisor.say(
            f"First start: sign in as {prepared.username} with the password {prepared.password}\n"
            f"It is shown only now. `dashtrade user password {prepared.username}` sets another."
        )
