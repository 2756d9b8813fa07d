"""Settings of the server, for superadmins: those that are changed while it runs, its keys, and what it was started
with."""

from __future__ import annotations

import contextlib
from dataclasses import replace
from typing import Any, ClassVar

from tornado import web

from dashtrade.dashboards.catalogue import ADMIN
from dashtrade.dashboards.office.parts import SETTINGS, AdminPart
from dashtrade.db.unit_of_work import UnitOfWork
from dashtrade.domain.users import Role
from dashtrade.errors import DatabaseUnavailable, InvalidInput
from dashtrade.services import key_changes, key_rotation, system_settings
from dashtrade.services.key_changes import What
from dashtrade.settings import AT_RUN_TIME, Settings

GROUPS = (
    ("Accounts", "", ("registration",)),
    ("Pages", "A lower limit ends no page that is open.", ("pages_per_user", "pages_total", "page_idle_seconds")),
    (
        "Days that things are kept",
        "What is older goes in the next night, for good.",
        tuple(name for name in AT_RUN_TIME if name.startswith("keep_")),
    ),
)


class SettingsPage(AdminPart):
    """A part of the administration with a role of its own."""

    page = replace(ADMIN, role=Role.SUPERADMIN)
    done: ClassVar[dict[str, str]] = {
        "rotate": "The jobs worker changes the keys now. You may leave this page.",
        "retire": "The jobs worker removes the old keys now. You may leave this page.",
        "saved": "Saved. It holds here at once, and everywhere within seconds.",
        "same": "Nothing was changed.",
    }
    actions: ClassVar[dict[str, str]] = {"rotate": "rotate", "retire": "retire", "save": "save"}
    wrong = ""  # the field of a form that is refused which is the reason

    async def show(self, part: str = "", problem: str = "") -> None:
        if part:
            raise web.HTTPError(404)
        self.write_part("admin_settings.html", SETTINGS, problem=problem, **await self.gate.ask(self._gather))

    def _gather(self, uow: UnitOfWork) -> dict[str, Any]:
        settings = self.environment
        views = system_settings.list_settings(uow, settings, self.me.user_id)
        return {
            **self.common(uow),
            "change": key_changes.last_change(uow, self.me.user_id),
            "rotation": key_rotation.last_rotation(uow),
            "groups": [(title, hint, [view for view in views if view.name in names]) for title, hint, names in GROUPS],
            "wrong": self.wrong,
            "fixed": [
                (name, _shown(getattr(settings, name)))
                for name in type(settings).model_fields
                if name not in AT_RUN_TIME
            ],
        }

    @property
    def environment(self) -> Settings:
        """What the process was started with: what stands there cannot be changed from here."""
        found: Settings = self.settings["dashtrade_follower"].environment
        return found

    async def save(self) -> None:
        """Only what somebody typed anew: what another has changed meanwhile stays."""
        await self.confirm()
        settings, me = self.environment, self.me.user_id
        given = [name for name in AT_RUN_TIME if name in self.request.body_arguments]
        typed = {name: self.field(name) for name in given if self.changed(name)}
        try:
            changed = await self.gate.ask(lambda uow: system_settings.change_settings(uow, settings, me, typed))
        except InvalidInput as error:
            if error.field not in typed:
                raise
            self.wrong = error.field
            title = Settings.model_fields[error.field].title or error.field
            raise InvalidInput(title, str(error).removeprefix(f"{error.field}: ")) from None
        with contextlib.suppress(DatabaseUnavailable):  # it is kept, and read in a few seconds
            await self.settings["dashtrade_follower"].refresh()
        self.go("saved" if changed else "same", SETTINGS)

    async def rotate(self) -> None:
        await self._change_keys(What.ROTATE)

    async def retire(self) -> None:
        await self._change_keys(What.RETIRE)

    async def _change_keys(self, what: What) -> None:
        await self.confirm(always=True)
        settings, me = self.environment, self.me.user_id
        await self.gate.ask(lambda uow: key_changes.ask(uow, settings, me, what))
        self.go(what.value, SETTINGS)


def _shown(value: object) -> str:
    """A setting as text. Secrets hide themselves; an address may hold a password before its @."""
    text = "not set" if value is None else str(value)
    return "hidden" if "@" in text else text
