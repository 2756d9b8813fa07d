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

from dashtrade.db.unit_of_work import UnitOfWork
from dashtrade.domain.formats import Formats
from dashtrade.errors import InvalidInput
from dashtrade.services import administration, audit, users
from dashtrade.services.listing import Listing

LINES = 100  # of a page
Asked = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Head:
    """A column as it is shown; ``sort`` is its name among the listing's, nothing where it cannot be sorted by."""

    title: str
    sort: str = ""


@dataclass(frozen=True, slots=True)
class LongList:
    """``filters`` are what the address may ask for, with the most letters of each; ``find(uow, actor_id, asked,
    formats)`` raises InvalidInput for what makes no sense. ``order`` is the column it is sorted by without being asked.
    ``cells`` are the columns of the CSV."""

    label: str
    filters: Mapping[str, int]
    find: Callable[[UnitOfWork, int, Asked, Formats], Listing[Any]]
    heads: tuple[Head, ...]
    order: str
    cells: tuple[tuple[str, Callable[[Any], object]], ...]

    def asked(self, argument: Callable[[str], str]) -> dict[str, str]:
        """What the address asks for, without what it leaves empty."""
        found = {name: argument(name)[:most].strip() for name, most in self.filters.items()}
        sort = argument("sort")[:40]
        found["sort"] = sort if sort.removeprefix("-") in {head.sort for head in self.heads if head.sort} else ""
        return {name: value for name, value in found.items() if value}

    def columns(self, address: str, asked: Asked) -> list[dict[str, str]]:
        """The heads: where each leads, and how the lines are sorted by it (``aria-sort``)."""
        now = asked.get("sort", self.order)
        shown = []
        for head in self.heads:
            way = {"": "", head.sort: "ascending", f"-{head.sort}": "descending"}.get(now, "none") if head.sort else ""
            following = f"-{head.sort}" if way == "ascending" else head.sort
            url = f"{address}?{urlencode({**asked, 'sort': following})}" if head.sort else ""
            mark = {"ascending": " ↑", "descending": " ↓"}.get(way, "")
            shown.append({"title": head.title, "url": url, "way": way or "none", "mark": mark})
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
        (Head("User", "username"), Head("E-mail", "email"), Head("Role", "role"), Head("State", "state"),
         Head("Last sign-in", "last_login"), Head("Since", "created"), Head("Actions")),
        "username",
        (
            ("User name", lambda line: line.user.username),
            ("E-mail", lambda line: line.user.email),
            ("Name", lambda line: line.user.full_name),
            ("Role", lambda line: line.user.role.value),
            ("State", lambda line: "active" if line.user.is_active else "disabled"),
            ("Second factor", lambda line: "on" if line.has_second_factor else "off"),
            ("JupyterLab", lambda line: "allowed" if line.user.may_use_lab else "refused"),
            ("Last sign-in", lambda line: line.last_login),
            ("Since", lambda line: line.created_at),
        ),
    ),
    "sessions": LongList(
        "Signed-in browsers",
        {"search": 100},
        lambda uow, me, asked, _: administration.find_sessions(uow, me, search=asked.get("search", "")),
        (Head("User", "username"), Head("Browser", "browser"), Head("Address", "address"),
         Head("Last used", "last_seen"), Head("Signed in", "created"), Head("Ends", "expires"), Head("Actions")),
        "-last_seen",
        (
            ("User", lambda line: line.username),
            ("Browser", lambda line: line.user_agent),
            ("Address", lambda line: line.address),
            ("Last used", lambda line: line.last_seen_at),
            ("Signed in", lambda line: line.created_at),
            ("Ends", lambda line: line.expires_at),
        ),
    ),
    "jobs": LongList(
        "Background jobs",
        {"search": 100, "status": 20},
        lambda uow, me, asked, _: administration.find_jobs(
            uow, me, search=asked.get("search", ""), status=asked.get("status", "")
        ),
        (Head("Number", "id"), Head("Job", "name"), Head("Status", "status"), Head("Attempts", "attempts"),
         Head("Planned for", "planned"), Head("Changed", "changed")),
        "",
        (
            ("Number", lambda line: line.id),
            ("Job", lambda line: line.name),
            ("Status", lambda line: line.status),
            ("Attempts", lambda line: line.attempts),
            ("Planned for", lambda line: line.scheduled_at),
            ("Changed", lambda line: line.changed_at),
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
        (Head("Time", "at"), Head("Action", "action"), Head("By", "by"), Head("About", "about"),
         Head("Address", "address"), Head("Detail")),
        "-at",
        (
            ("Time", lambda line: line.entry.at),
            ("Action", lambda line: line.entry.action),
            ("By", lambda line: line.actor),
            ("About", lambda line: line.user),
            ("Address", lambda line: line.entry.address),
            ("Detail", lambda line: json.dumps(line.entry.detail, ensure_ascii=False) if line.entry.detail else None),
        ),
    ),
}  # fmt: skip
