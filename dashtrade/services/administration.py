"""What an administrator sees and does beyond the users themselves: sessions, the job queue, the system's halt."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from sqlalchemy import String, cast, column, delete, func, not_, select, table

from dashtrade.auth.sessions import RULES, SessionRules
from dashtrade.db.tables.accounts import UserRow, UserSessionRow
from dashtrade.db.unit_of_work import UnitOfWork
from dashtrade.domain.bot_views import HaltView
from dashtrade.domain.users import Role, User
from dashtrade.errors import Forbidden, InvalidInput, NotFound
from dashtrade.services import accounts, audit, kill_switches
from dashtrade.services.actors import get_user, require_role
from dashtrade.services.listing import Listing

_JOBS = table(
    "procrastinate_jobs",
    *map(column, ("id", "task_name", "status", "attempts", "scheduled_at")),
    schema="jobs",
)
_EVENTS = table("procrastinate_events", column("job_id"), column("at"), schema="jobs")
STATUSES = ("todo", "doing", "succeeded", "failed", "cancelled", "aborting", "aborted")


@dataclass(frozen=True, slots=True)
class OpenSession:
    """A signed-in browser of anybody."""

    id: int
    user_id: int
    username: str
    role: Role
    created_at: datetime
    last_seen_at: datetime
    expires_at: datetime
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


def find_sessions(
    uow: UnitOfWork,
    actor_id: int,
    *,
    search: str = "",
    now: datetime | None = None,
    rules: SessionRules = RULES,
) -> Listing[OpenSession]:
    """Everybody's living sessions whose user name, address or browser holds ``search`` in any case, newest use first;
    needs the role admin."""
    require_role(uow, actor_id, Role.ADMIN)
    now = now or datetime.now(UTC)
    row = UserSessionRow
    query = (
        select(row.id, row.user_id, UserRow.username, UserRow.role, row.created_at, row.last_seen_at, row.expires_at,
               row.address, row.user_agent)
        .join(UserRow, UserRow.id == row.user_id)
        .where(not_(accounts.session_is_over(now, rules)))
    )  # fmt: skip
    if wanted := search.strip().lower():
        shown = func.concat_ws(" ", UserRow.username, row.address, func.lower(row.user_agent))
        query = query.where(func.strpos(shown, wanted) > 0)
    return Listing(
        uow,
        query,
        lambda found: OpenSession(found[0], found[1], found[2], Role(found[3]), *found[4:]),
        {
            "username": UserRow.username,
            "browser": row.user_agent,
            "address": row.address,
            "last_seen": row.last_seen_at,
            "created": row.created_at,
            "expires": row.expires_at,
        },
        (row.last_seen_at.desc(), row.id.desc()),
        row.id,
    )


def end_session_of(uow: UnitOfWork, session_id: int, actor_id: int) -> None:
    """Sign one browser out. An admin may for users, a superadmin for everybody."""
    require_role(uow, actor_id, Role.ADMIN)
    owner = uow.session.scalar(select(UserSessionRow.user_id).where(UserSessionRow.id == session_id))
    if owner is None:
        raise NotFound("That browser is signed out already.")
    may_administer(uow, owner, actor_id)
    uow.session.execute(delete(UserSessionRow).where(UserSessionRow.id == session_id))
    audit.record(uow, "session_ended", actor_id=actor_id, user_id=owner)
    uow.commit()


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


def count_jobs(uow: UnitOfWork, actor_id: int) -> dict[str, int]:
    """How many jobs there are of each status; needs the role admin."""
    require_role(uow, actor_id, Role.ADMIN)
    status = cast(_JOBS.c.status, String)
    query = select(status, func.count()).select_from(_JOBS).group_by(status).order_by(status)
    return dict(uow.session.execute(query).tuples().all())


def find_jobs(uow: UnitOfWork, actor_id: int, *, search: str = "", status: str = "") -> Listing[QueuedJob]:
    """The jobs whose name holds ``search``, of one status or of all, running and failed ones first; needs the role
    admin. Arguments are not shown. Raises InvalidInput for a status that is none of :data:`STATUSES`."""
    require_role(uow, actor_id, Role.ADMIN)
    state = cast(_JOBS.c.status, String)
    changed = select(func.max(_EVENTS.c.at)).where(_EVENTS.c.job_id == _JOBS.c.id).scalar_subquery()
    query = select(_JOBS.c.id, _JOBS.c.task_name, state, _JOBS.c.attempts, _JOBS.c.scheduled_at, changed)
    if wanted := search.strip().lower():
        query = query.where(func.strpos(func.lower(_JOBS.c.task_name), wanted) > 0)
    if status:
        if status not in STATUSES:
            raise InvalidInput("status", f"{status[:40]!r} is not known.", allowed=list(STATUSES))
        query = query.where(state == status)
    return Listing(
        uow,
        query,
        lambda row: QueuedJob(*row),
        {
            "id": _JOBS.c.id,
            "name": _JOBS.c.task_name,
            "status": state,
            "attempts": _JOBS.c.attempts,
            "planned": _JOBS.c.scheduled_at,
            "changed": changed,
        },
        ((state == "doing").desc(), (state == "failed").desc(), _JOBS.c.id.desc()),
        _JOBS.c.id,
    )


def halt_system(uow: UnitOfWork, actor_id: int, reason: str) -> HaltView:
    """Stop everybody's entries; exits go on. Any admin may: stopping is the safe side. Raises InvalidInput, with who
    was first, where they are stopped already: this reason is kept nowhere."""
    actor = _admin(uow, actor_id)
    before = {halt.id for halt in system_halts(uow)}
    halt = kill_switches.set_halt(uow, reason=reason, set_by=actor.username)
    if halt.id in before:
        raise InvalidInput("entries", f"are stopped already, by {halt.set_by}: {halt.reason}")
    return halt


def resume_system(uow: UnitOfWork, actor_id: int, halt_id: int) -> None:
    """Let everybody's entries go on; needs the role superadmin."""
    require_role(uow, actor_id, Role.SUPERADMIN)
    actor = _admin(uow, actor_id)
    halts = system_halts(uow)
    if halt_id not in {halt.id for halt in halts}:
        if not halts:
            raise NotFound("Entries go on already: no halt of the whole system is on.")
        raise Forbidden("Only a halt of the whole system can be ended here.")
    kill_switches.clear_halt(uow, halt_id, cleared_by=actor.username)


def system_halts(uow: UnitOfWork) -> list[HaltView]:
    """Halts of the whole system that are on."""
    return [halt for halt in kill_switches.list_halts(uow) if halt.scope == "system"]


def _admin(uow: UnitOfWork, actor_id: int) -> User:
    require_role(uow, actor_id, Role.ADMIN)
    return get_user(uow, actor_id)
