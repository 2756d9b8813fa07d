"""How an installation stands, seen from this machine: its services, its database, its disk."""

from __future__ import annotations

import shutil
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import NullPool
from sqlalchemy.exc import SQLAlchemyError

from dashtrade import __version__
from dashtrade.db import schema
from dashtrade.db.unit_of_work import UnitOfWork
from dashtrade.errors import DashTradeError
from dashtrade.processes import prepare
from dashtrade.processes.checkup import LOW_DISK
from dashtrade.services.observation import Observation, observe, problems
from dashtrade.settings import Settings

WELL, LOOK, UNKNOWN = 0, 1, 2


@dataclass(frozen=True, slots=True)
class Standing:
    """``services`` is name → whether it answers; ``seen`` is None where the database could not be read."""

    services: dict[str, bool]
    seen: Observation | None
    disk_free: int
    exit_code: int
    problems: list[str] = field(default_factory=list)

    @property
    def lines(self) -> list[tuple[str, str]]:
        """For people: name and value."""
        found = [("version", __version__), ("disk", f"{self.disk_free / 1e9:.1f} GB free")]
        found += [(name, "answers" if answers else "does not answer") for name, answers in self.services.items()]
        if self.seen is None:
            return [*found, ("database", "cannot be read")]
        seen = self.seen
        return [
            *found,
            ("database", f"schema {seen.revision}"),
            ("trader", f"{seen.traders} running, last heartbeat {_age(seen.trader_age)}"),
            ("broker stream", f"last heard {_age(seen.stream_age)}"),
            ("alerts", f"{seen.alerts_waiting} wait, the oldest {seen.queue_age:.0f} s"),
            ("orders", ", ".join(f"{count} {state}" for state, count in seen.orders.items() if count) or "none open"),
            ("jobs", f"{seen.workers} workers, {seen.jobs_waiting} due, {seen.jobs_running} at work, "
                     f"{seen.jobs_failed} failed"),
            ("kill switches", f"{seen.halts} on"),
        ]  # fmt: skip

    def as_dict(self) -> dict[str, Any]:
        seen = None if self.seen is None else asdict(self.seen) | {"at": self.seen.at.isoformat()}
        return {
            "version": __version__, "schema_needed": schema.HEAD, "services": self.services,
            "disk_free": self.disk_free,
            "database": seen, "problems": self.problems, "exit_code": self.exit_code,
        }  # fmt: skip


def standing(settings: Settings) -> Standing:
    """Look, and start nothing: an embedded database that does not run stays so."""
    from dashtrade.processes.children import children
    from dashtrade.processes.supervisor import answers

    listed = children(settings, database_url="", pages_database_url=None, encryption_key="", session_secret="")
    services = {child.name: answers(child.health) for child in listed if child.health}
    here = prepare.running(settings.data_dir) is not None
    folder = next(each for each in (settings.data_dir, *settings.data_dir.parents) if each.exists())
    free = shutil.disk_usage(folder).free
    said, seen = [], None
    try:
        seen = _read(settings)
    except DashTradeError as error:
        said.append(str(error))
    except SQLAlchemyError as error:
        said.append(f"The database cannot be read ({type(error).__name__}): run `dashtrade migrate`.")
    if here or settings.database_url is None:  # elsewhere they may run on other machines
        said += [f"The {name} does not answer." for name, well in services.items() if not well]
    if seen is not None:
        said += problems(seen)
    if free < LOW_DISK:
        said.append("The disk is nearly full.")
    return Standing(services, seen, free, UNKNOWN if seen is None else LOOK if said else WELL, said)


def _read(settings: Settings) -> Observation:
    from dashtrade.db.embedded import EmbeddedPostgres
    from dashtrade.db.engine import make_engine

    url = (
        settings.database_url.get_secret_value() if settings.database_url else EmbeddedPostgres(settings.data_dir).url()
    )
    engine = make_engine(url, poolclass=NullPool)
    try:
        return observe(UnitOfWork(engine), datetime.now(UTC))
    finally:
        engine.dispose()


def _age(seconds: float | None) -> str:
    return "never" if seconds is None else f"{seconds:.0f} s ago"
