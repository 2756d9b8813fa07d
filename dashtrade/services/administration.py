"""What an administrator sees and does beyond the users themselves: sessions, the job queue, the system's halt."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from sqlalchemy import delete, select, text

from dashtrade.auth.sessions import RULES, SessionRules
from dashtrade.db.tables.accounts import UserRow, UserSessionRow
from dashtrade.db.unit_of_work import UnitOfWork
from dashtrade.domain.bot_views import HaltView
from dashtrade.domain.users import Role, User
from dashtrade.errors import Forbidden
from dashtrade.services import audit, kill_switches
from dashtrade.services.actors import get_user, require_role

_QUEUE = text(
    """
    SELECT job.id, job.task_name, job.status::text, job.attempts, job.scheduled_at,
           (SELECT max(event.at) FROM jobs.procrastinate_events event WHERE event.job_id = job.id)
    FROM jobs.procrastinate_jobs job
    ORDER BY job.status::text = 'doing' DESC, job.status::text = 'failed' DESC, job.id DESC
    LIMIT :most
    """
)
_COUNTS = text("SELECT status::text, count(*) FROM jobs.procrastinate_jobs GROUP BY 1 ORDER BY 1")


@dataclass(frozen=True, slots=True)
class OpenSession:
    """A signed-in browser of anybody."""

    user_id: int
    username: str
    created_at: datetime
    last_seen_at: datetime
    address: str | None
    user_agent: str | None


@dataclass(frozen=True, slots=True)
class QueuedJob:
    """A background job. ``status`` is the queue's word: todo, doing, succeeded, failed, cancelled, aborted."""

    id: int
    name: str
    status: str
    attempts: int
    scheduled_at: datetime | None
    changed_at: datetime | None


@dataclass(frozen=True, slots=True)
class Queue:
    counts: dict[str, int]
    jobs: list[QueuedJob]


def list_all_sessions(
    uow: UnitOfWork, actor_id: int, *, now: datetime | None = None, rules: SessionRules = RULES
) -> list[OpenSession]:
    """Everybody's living sessions, newest use first; needs the role admin."""
    require_role(uow, actor_id, Role.ADMIN)
    now = now or datetime.now(UTC)
    query = (
        select(UserSessionRow, UserRow.username)
        .join(UserRow, UserRow.id == UserSessionRow.user_id)
        .order_by(UserSessionRow.last_seen_at.desc())
        .limit(500)
    )
    return [
        OpenSession(row.user_id, name, row.created_at, row.last_seen_at, row.address, row.user_agent)
        for row, name in uow.session.execute(query)
        if not rules.is_over(row.last_seen_at, row.expires_at, now)
    ]


def sign_out_user(uow: UnitOfWork, user_id: int, actor_id: int) -> int:
    """End all sessions of a user. An admin may for users, a superadmin for everybody. Returns how many ended."""
    user = may_administer(uow, user_id, actor_id)
    ended = len(
        uow.session.scalars(
            delete(UserSessionRow).where(UserSessionRow.user_id == user.id).returning(UserSessionRow.id)
        ).all()
    )
    audit.record(uow, "sessions_ended", actor_id=actor_id, user_id=user.id, count=ended)
    uow.commit()
    return ended


def may_administer(uow: UnitOfWork, user_id: int, actor_id: int) -> User:
    """The user; raises Forbidden unless the actor is an admin, or a superadmin where the user is more than a user."""
    require_role(uow, actor_id, Role.ADMIN)
    user = get_user(uow, user_id)
    require_role(uow, actor_id, Role.ADMIN if user.role is Role.USER else Role.SUPERADMIN)
    return user


def queue(uow: UnitOfWork, actor_id: int, *, most: int = 50) -> Queue:
    """The job queue, running and failed jobs first; needs the role admin. Arguments are not shown."""
    require_role(uow, actor_id, Role.ADMIN)
    counts = {str(status): int(number) for status, number in uow.session.execute(_COUNTS)}
    return Queue(counts, [QueuedJob(*row) for row in uow.session.execute(_QUEUE, {"most": most})])


def halt_system(uow: UnitOfWork, actor_id: int, reason: str) -> HaltView:
    """Stop everybody's entries; exits go on. Any admin may: stopping is the safe side."""
    actor = _admin(uow, actor_id)
    return kill_switches.set_halt(uow, reason=reason, set_by=actor.username)


def resume_system(uow: UnitOfWork, actor_id: int, halt_id: int) -> None:
    """Let everybody's entries go on; needs the role superadmin."""
    require_role(uow, actor_id, Role.SUPERADMIN)
    actor = _admin(uow, actor_id)
    if halt_id not in {halt.id for halt in system_halts(uow)}:
        raise Forbidden("Only a halt of the whole system can be ended here.")
    kill_switches.clear_halt(uow, halt_id, cleared_by=actor.username)


def system_halts(uow: UnitOfWork) -> list[HaltView]:
    """Halts of the whole system that are on."""
    return [halt for halt in kill_switches.list_halts(uow) if halt.scope == "system"]


def _admin(uow: UnitOfWork, actor_id: int) -> User:
    require_role(uow, actor_id, Role.ADMIN)
    return get_user(uow, actor_id)
