"""The long lists of the administration: what they are found by, their heads, and what a CSV has of each line.

They are found, sorted and cut into pages by the database, since any of them may have more lines than a browser shows.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from typing import Any
from urllib.parse import urlencode

from dashtrade.dashboards.office.exports import Cells
from dashtrade.db.unit_of_work import UnitOfWork
from dashtrade.domain.formats import Formats
from dashtrade.errors import InvalidInput
from dashtrade.services import administration, audit, users
from dashtrade.services.listing import Listing

LINES = 100  # of a page
_MARKS = {"ascending": " ↑", "descending": " ↓", "none": ""}
Asked = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Column:
    """A column of the page and of the CSV. ``sort`` is its name among the listing's, nothing where it cannot be sorted
    by; ``value`` is what the CSV has of a line, without it the column is on the page alone; ``shown`` says whether the
    page has it."""

    title: str
    sort: str = ""
    value: Callable[[Any], object] | None = None
    shown: bool = True


@dataclass(frozen=True, slots=True)
class LongList:
    """``filters`` are what the address may ask for, with the most letters of each; ``find(uow, actor_id, asked,
    formats)`` raises InvalidInput for what makes no sense. ``order`` is the column it is sorted by without being
    asked."""

    label: str
    filters: Mapping[str, int]
    find: Callable[[UnitOfWork, int, Asked, Formats], Listing[Any]]
    order: str
    columns: tuple[Column, ...]

    @property
    def cells(self) -> Cells:
        """Of the CSV."""
        return tuple((column.title, column.value) for column in self.columns if column.value is not None)

    def asked(self, argument: Callable[[str], str]) -> dict[str, str]:
        """What the address asks for, without what it leaves empty."""
        found = {name: argument(name)[:most].strip() for name, most in self.filters.items()}
        sort = argument("sort")[:40]
        found["sort"] = (
            sort if sort.removeprefix("-") in {column.sort for column in self.columns if column.sort} else ""
        )
        return {name: value for name, value in found.items() if value}

    def heads(self, address: str, asked: Asked) -> list[dict[str, str]]:
        """The columns of the page: where each head leads, and how the lines are sorted by it (``aria-sort``)."""
        now = asked.get("sort", self.order)
        shown = []
        for column in self.columns:
            if not column.shown:
                continue
            sort, url, way = column.sort, "", "none"
            if sort:
                way = {sort: "ascending", f"-{sort}": "descending"}.get(now, "none")
                url = f"{address}?{urlencode({**asked, 'sort': f'-{sort}' if way == 'ascending' else sort})}"
            shown.append({"title": column.title, "url": url, "way": way, "mark": _MARKS[way]})
        return shown


def moment_of(text: str, name: str, formats: Formats, *, after: bool = False) -> datetime | None:
    """The first moment of a day on the person's clock, with ``after`` of the day after it; None for no day."""
    if not text:
        return None
    try:
        day = date.fromisoformat(text) + timedelta(days=after)
    except (ValueError, OverflowError):
        raise InvalidInput(name, f"{text[:20]!r} is no day; write it like 2026-03-31.") from None
    return datetime.combine(day, time(), formats.place())


LISTS: dict[str, LongList] = {
    "users": LongList(
        "Users",
        {"search": 100},
        lambda uow, me, asked, _: users.find_users(uow, asked.get("search", ""), actor_id=me),
        "username",
        (
            Column("User", "username"),
            Column("User name", value=lambda line: line.user.username, shown=False),
            Column("E-mail", "email", lambda line: line.user.email),
            Column("Name", value=lambda line: line.user.full_name, shown=False),
            Column("Role", "role", lambda line: line.user.role.value),
            Column("State", "state", lambda line: "active" if line.user.is_active else "disabled"),
            Column("Second factor", value=lambda line: "on" if line.has_second_factor else "off", shown=False),
            Column("JupyterLab", value=lambda line: "allowed" if line.user.may_use_lab else "refused", shown=False),
            Column("Last sign-in", "last_login", lambda line: line.last_login),
            Column("Since", "created", lambda line: line.created_at),
            Column("Actions"),
        ),
    ),
    "sessions": LongList(
        "Signed-in browsers",
        {"search": 100},
        lambda uow, me, asked, _: administration.find_sessions(uow, me, search=asked.get("search", "")),
        "-last_seen",
        (
            Column("User", "username", lambda line: line.username),
            Column("Browser", "browser", lambda line: line.user_agent),
            Column("Address", "address", lambda line: line.address),
            Column("Last used", "last_seen", lambda line: line.last_seen_at),
            Column("Signed in", "created", lambda line: line.created_at),
            Column("Ends", "expires", lambda line: line.expires_at),
            Column("Actions"),
        ),
    ),
    "jobs": LongList(
        "Background jobs",
        {"search": 100, "status": 20},
        lambda uow, me, asked, _: administration.find_jobs(
            uow, me, search=asked.get("search", ""), status=asked.get("status", "")
        ),
        "",
        (
            Column("Number", "id", lambda line: line.id),
            Column("Job", "name", lambda line: line.name),
            Column("Status", "status", lambda line: line.status),
            Column("Attempts", "attempts", lambda line: line.attempts),
            Column("Planned for", "planned", lambda line: line.scheduled_at),
            Column("Changed", "changed", lambda line: line.changed_at),
        ),
    ),
    "audit": LongList(
        "Audit log",
        {"user": 60, "action": 50, "since": 10, "until": 10},
        lambda uow, me, asked, formats: audit.find_audit(
            uow,
            me,
            person=asked.get("user", ""),
            action=asked.get("action", ""),
            since=moment_of(asked.get("since", ""), "from", formats),
            until=moment_of(asked.get("until", ""), "until", formats, after=True),
        ),
        "-at",
        (
            Column("Time", "at", lambda line: line.entry.at),
            Column("Action", "action", lambda line: line.entry.action),
            Column("By", "by", lambda line: line.actor),
            Column("About", "about", lambda line: line.user),
            Column("Address", "address", lambda line: line.entry.address),
            Column(
                "Detail",
                value=lambda line: json.dumps(line.entry.detail, ensure_ascii=False) if line.entry.detail else None,
            ),
        ),
    ),
}
