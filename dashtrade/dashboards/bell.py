"""The bell of the bar: unread messages, the newest ones, and marking them as read. Asked by the page's own script, so
that no kernel has to be awake for it."""

from __future__ import annotations

import json
import re
from typing import Any

from jupyter_server.base.handlers import APIHandler
from tornado import web

from dashtrade.dashboards.errors import Screens
from dashtrade.dashboards.identity import SessionIdentity
from dashtrade.dashboards.kernels import browser_zone
from dashtrade.db.unit_of_work import UnitOfWork
from dashtrade.domain.formats import NUMBERS, TIME_ZONE, Formats
from dashtrade.errors import DatabaseUnavailable
from dashtrade.services.notifications import list_notifications, mark_read, unread_count
from dashtrade.services.preferences import get_preferences

SHOWN = 12
LONGEST_BODY = 400
MOST_IDS = 200
#: a page of this server, perhaps with its inputs; never another site
INNER_LINK = re.compile(r"[a-z][a-z0-9_-]*(/[a-z0-9_.-]+)?(\?[^#\s]*)?")


class BellHandler(Screens, APIHandler):
    """GET: how many are unread, and the newest. POST ``{"ids": [...]}`` or ``{"all": true}`` marks as read."""

    SUPPORTED_METHODS = ("GET", "POST")
    identity_provider: SessionIdentity

    @web.authenticated
    async def get(self) -> None:
        await self._answer(self.current_user.user_id)

    @web.authenticated
    async def post(self) -> None:
        me = self.current_user.user_id
        wanted = _wanted(self.request.body)
        await self._ask(lambda uow: mark_read(uow, me, wanted))
        await self._answer(me)

    async def _answer(self, user_id: int) -> None:
        zone = browser_zone(self)
        found = await self._ask(lambda uow: _read(uow, user_id, zone))
        self.set_header("Cache-Control", "no-store")
        self.finish(found)

    async def _ask(self, work: Any) -> Any:
        try:
            return await self.identity_provider.gate.ask(work)
        except DatabaseUnavailable:
            raise web.HTTPError(503) from None


def _wanted(body: bytes) -> list[int] | None:
    """The numbers to mark; None for all of them."""
    try:
        asked = json.loads(body or b"{}")
        if asked.get("all") is True:
            return None
        ids = asked["ids"]
        if not isinstance(ids, list) or len(ids) > MOST_IDS or any(type(n) is not int or abs(n) >> 62 for n in ids):
            raise ValueError("ids")
    except (ValueError, KeyError, AttributeError, TypeError):
        raise web.HTTPError(400) from None
    return ids


def _read(uow: UnitOfWork, user_id: int, browser: str) -> dict[str, Any]:
    kept = get_preferences(uow, user_id, (TIME_ZONE, NUMBERS))
    here, abroad = Formats.of(kept.get(TIME_ZONE), kept.get(NUMBERS), browser), Formats.of("America/New_York", None)
    return {
        "unread": unread_count(uow, user_id),
        "items": [
            {
                "id": each.id,
                "kind": each.kind,
                "title": each.title,
                "body": each.body[:LONGEST_BODY],
                "link": each.link if each.link and INNER_LINK.fullmatch(each.link) else None,
                "at": each.created_at.isoformat(),
                "when": here.when(each.created_at),
                "hint": f"{here.zone} · New York {abroad.when(each.created_at)}",
                "read": each.read_at is not None,
            }
            for each in list_notifications(uow, user_id, limit=SHOWN)
        ],
    }
