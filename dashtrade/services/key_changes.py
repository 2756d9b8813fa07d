"""Changing keys from the administration: a superadmin asks, the jobs worker, which holds the encryption key, does it.

What is asked for stands in ``app_state``, which page kernels cannot write; the job carries its number only, and does
nothing where the number is not that of the open request. So a job that runs twice, or one that somebody else has put
into the queue, changes nothing.
"""

from __future__ import annotations

import socket
import uuid
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from pathlib import Path
from typing import Any

import structlog
from sqlalchemy import select, text

from dashtrade.auth import secret_files
from dashtrade.db.tables.trading import TraderHeartbeatRow
from dashtrade.db.unit_of_work import UnitOfWork
from dashtrade.domain.users import Role
from dashtrade.errors import ConfigurationError, DashTradeError
from dashtrade.services import audit, key_rotation
from dashtrade.services.actors import get_user, require_role
from dashtrade.services.app_state import get_state, lock_state, set_state
from dashtrade.services.jobs import JobContext, enqueue, job
from dashtrade.services.observation import WORKER_LATE_SECONDS
from dashtrade.settings import Settings

log = structlog.get_logger(__name__)

STATE = "key_change"
JOB = "change_keys"
COMMAND = "On the server, `dashtrade keys rotate` changes them."
_TRADER_GONE = timedelta(minutes=2)
_WORKERS = text(
    "SELECT EXISTS (SELECT FROM jobs.procrastinate_workers WHERE last_heartbeat > now() - make_interval(secs => :late))"
)
_JOB = text(
    """
    SELECT job.status::text, worker.last_heartbeat > now() - make_interval(secs => :late)
    FROM jobs.procrastinate_jobs job LEFT JOIN jobs.procrastinate_workers worker ON worker.id = job.worker_id
    WHERE job.id = :job
    """
)


class NotNow(DashTradeError):
    """The keys cannot be changed at this moment; the text says what to wait for or to do first."""

    code = "NOT_NOW"


class What(StrEnum):
    """Seal everything with new keys, or remove the old ones afterwards."""

    ROTATE = "rotate"
    RETIRE = "retire"


class Status(StrEnum):
    WAITING = "waiting"
    RUNNING = "running"
    FINISHED = "finished"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class KeyChange:
    """The last request. Times are ISO 8601; ``said`` is why it failed or what it waits for, where that is known.

    ``done`` of ``total`` records are sealed with the new keys.
    """

    what: What
    asked_at: str
    asked_by: str
    status: Status
    ended_at: str | None = None
    said: str = ""
    done: int = 0
    total: int = 0

    @property
    def is_open(self) -> bool:
        return self.status in (Status.WAITING, Status.RUNNING)


@dataclass(frozen=True, slots=True)
class _Request:
    """As it is kept."""

    id: str
    what: str
    asked_at: str
    asked_by: str
    job: int
    ended_at: str | None = None
    problem: str = ""


def last_change(uow: UnitOfWork, actor_id: int) -> KeyChange | None:
    """What became of the last request; None: there was none. Needs the role superadmin."""
    require_role(uow, actor_id, Role.SUPERADMIN)
    kept = _kept(uow)
    return None if kept is None else _view(uow, kept)


def ask(uow: UnitOfWork, settings: Settings, actor_id: int, what: What, *, now: datetime | None = None) -> KeyChange:
    """Queue the change. The caller has confirmed the password; needs the role superadmin.

    Raises NotNow while another one is open, and where there is nothing to remove yet; ConfigurationError with the way
    that is left where this server cannot do it.
    """
    require_role(uow, actor_id, Role.SUPERADMIN)
    now = now or datetime.now(UTC)
    kept = _request(lock_state(uow, STATE))  # two people who press at once are heard one after the other
    if kept is not None and (before := _view(uow, kept)).is_open:
        raise NotNow(f"The keys are being changed already, as {before.asked_by} asked. Wait until that is done.")
    if key_rotation.is_running(uow):
        raise NotNow("The keys are being changed already, from the server's command line. Wait until that is done.")
    if what is What.RETIRE:
        _check_retirable(uow, now)
    key_rotation.check_files(settings, (secret_files.SIGNIN_KEY,))  # the one that this process knows
    if not uow.session.scalar(_WORKERS, {"late": WORKER_LATE_SECONDS}):
        raise ConfigurationError(f"No jobs worker runs, and only it can change the keys. Start it. {COMMAND}")
    request = str(uuid.uuid4())
    _leave_mark(settings, request)
    number = enqueue(uow, JOB, request=request)
    asked = _Request(request, what.value, now.isoformat(), get_user(uow, actor_id).username, number or 0)
    _keep(uow, asked)
    audit.record(uow, f"encryption_{what.value}_asked", actor_id=actor_id)
    uow.commit()
    return _view(uow, asked)


@job(JOB, alone=True, retries=4)
def change_keys(context: JobContext, request: str) -> bool:
    """Does what was asked for, or goes on with it; tells whether it is done. A second run of the same does nothing."""
    with context.uow() as uow:
        asked = _kept(uow)
    if asked is None or asked.id != request or asked.ended_at is not None:
        log.warning("A change of keys that nobody waits for is left out")
        return False
    try:
        _check_here(context, asked)
        if asked.what == What.ROTATE:
            key_rotation.rotate(context.uow, context.settings, request=request)
        else:
            key_rotation.retire(context.uow, context.settings, request=request)
    except key_rotation.RotationRuns:
        raise  # perhaps a worker that was killed, whose lock goes in a moment: the queue tries again
    except ConfigurationError as error:
        log.warning("The keys were not changed", reason=str(error))
        _end(context, asked, str(error))
        return False
    _end(context, asked)
    return True


def _check_retirable(uow: UnitOfWork, now: datetime) -> None:
    rotation = key_rotation.last_rotation(uow)
    if rotation is None or rotation.finished_at is None or rotation.retired_at is not None:
        raise NotNow("There are no old keys that could be removed. Change the keys first.")
    if now - datetime.fromisoformat(rotation.finished_at) < key_rotation.SETTLED:
        raise NotNow("The keys have only just been changed. Remove the old ones in a minute.")


def _check_here(context: JobContext, asked: _Request) -> None:
    """Before anything is touched: the key files of this process must be those of all the others."""
    try:
        mark = _mark(context.settings).read_text(encoding="ascii", errors="replace").strip()
    except OSError:
        mark = ""
    if mark != asked.id:
        raise ConfigurationError(
            "The jobs worker has another data folder than the dashboards, so that its key files may be others. "
            f"{COMMAND}"
        )
    key_rotation.check_files(context.settings)
    with context.uow() as uow:
        key_rotation.check_opens(uow, context.settings)
        beating = select(TraderHeartbeatRow.name).where(TraderHeartbeatRow.beat_at > datetime.now(UTC) - _TRADER_GONE)
        hosts = {name.split(":")[0] for name in uow.session.scalars(beating)} - {socket.gethostname()[:60]}
    if hosts:
        raise ConfigurationError(
            f"A trader runs on another machine ({', '.join(sorted(hosts))}), and its key files may be copies. Stop it, "
            "ask again after two minutes, and bring it the files encryption_key and signin_key before it starts again."
        )


def _mark(settings: Settings) -> Path:
    return settings.data_dir / "key-change"


def _leave_mark(settings: Settings, request: str) -> None:
    """By it the worker sees that it has the same data folder."""
    try:
        _mark(settings).write_text(request + "\n", encoding="ascii")
    except OSError as error:
        raise ConfigurationError(
            f"{_mark(settings)} cannot be written ({error.strerror}). Correct the folder's owner. {COMMAND}"
        ) from None


def _view(uow: UnitOfWork, kept: _Request) -> KeyChange:
    what, rotation = What(kept.what), key_rotation.last_rotation(uow)
    status, said = _status(uow, kept)
    done, total = (rotation.done, rotation.total) if rotation is not None and rotation.request == kept.id else (0, 0)
    return KeyChange(what, kept.asked_at, kept.asked_by, status, kept.ended_at, said, done, total)


def _status(uow: UnitOfWork, kept: _Request) -> tuple[Status, str]:
    if kept.ended_at is not None:
        return (Status.FAILED, kept.problem) if kept.problem else (Status.FINISHED, "")
    late = {"late": WORKER_LATE_SECONDS}
    found = uow.session.execute(_JOB, {"job": kept.job} | late).one_or_none()
    status, alive = (found[0], found[1]) if found is not None else ("gone", None)
    if status == "doing":
        gone = "" if alive else "The jobs worker that did it is gone; another one goes on within two minutes."
        return Status.RUNNING, gone
    if status == "todo":
        waits = "" if uow.session.scalar(_WORKERS, late) else "No jobs worker runs. Start it, and it begins."
        return Status.WAITING, waits
    return Status.FAILED, "The jobs worker gave it up; its log says why. Ask again: it goes on where it was."


def _end(context: JobContext, asked: _Request, problem: str = "") -> None:
    with context.uow() as uow:
        _keep(uow, _Request(**(asdict(asked) | {"ended_at": datetime.now(UTC).isoformat(), "problem": problem})))
        uow.commit()
    _mark(context.settings).unlink(missing_ok=True)


def _kept(uow: UnitOfWork) -> _Request | None:
    return _request(get_state(uow, STATE))


def _request(value: Any) -> _Request | None:
    return _Request(**value) if isinstance(value, dict) and value else None


def _keep(uow: UnitOfWork, request: _Request) -> None:
    set_state(uow, STATE, asdict(request))
