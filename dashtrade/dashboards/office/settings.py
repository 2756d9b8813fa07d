"""Settings of the server, for superadmins: keys that are changed, and what the server was started with."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, ClassVar

from tornado import web

from dashtrade.dashboards.catalogue import ADMIN
from dashtrade.dashboards.office.parts import SETTINGS, parts_for
from dashtrade.dashboards.office.shell import OfficePage, formats_of
from dashtrade.db.unit_of_work import UnitOfWork
from dashtrade.domain.users import Role
from dashtrade.services import accounts, key_changes, key_rotation
from dashtrade.services.key_changes import What


class SettingsPage(OfficePage):
    """A part of the administration with a role of its own."""

    page = replace(ADMIN, role=Role.SUPERADMIN)
    done: ClassVar[dict[str, str]] = {
        "rotate": "The jobs worker changes the keys now. You may leave this page.",
        "retire": "The jobs worker removes the old keys now. You may leave this page.",
    }
    actions: ClassVar[dict[str, str]] = {"rotate": "rotate", "retire": "retire"}

    async def show(self, part: str = "", problem: str = "") -> None:
        if part:
            raise web.HTTPError(404)
        values = await self.gate.ask(self._gather)
        parts = parts_for(self.me.role)
        self.write_page("admin_settings.html", problem=problem, part=SETTINGS, parts=parts, here=self.here, **values)

    def _gather(self, uow: UnitOfWork) -> dict[str, Any]:
        settings = self.settings["dashtrade_settings"]
        return {
            "formats": formats_of(uow, self.me.user_id),
            "confirmed": accounts.session_is_confirmed(uow, self.me.token),
            "change": key_changes.last_change(uow, self.me.user_id),
            "rotation": key_rotation.last_rotation(uow),
            "settings": [(name, _shown(getattr(settings, name))) for name in type(settings).model_fields],
        }

    async def rotate(self) -> None:
        await self._change_keys(What.ROTATE)

    async def retire(self) -> None:
        await self._change_keys(What.RETIRE)

    async def _change_keys(self, what: What) -> None:
        await self.confirm(always=True)
        settings, me = self.settings["dashtrade_settings"], self.me.user_id
        await self.gate.ask(lambda uow: key_changes.ask(uow, settings, me, what))
        self.go(what.value, SETTINGS)


def _shown(value: object) -> str:
    """A setting as text. Secrets hide themselves; an address may hold a password before its @."""
    text = "not set" if value is None else str(value)
    return "hidden" if "@" in text else text
