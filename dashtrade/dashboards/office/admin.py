"""The administration: users, the audit log, and what the server is doing."""

from __future__ import annotations

import asyncio
import math
from typing import Any, ClassVar

from tornado import web

from dashtrade.dashboards.catalogue import ADMIN
from dashtrade.dashboards.office.memory import proportional_mb
from dashtrade.dashboards.office.shell import OfficePage, formats_of
from dashtrade.db.unit_of_work import UnitOfWork
from dashtrade.domain.users import Role
from dashtrade.errors import InvalidInput, NotFound
from dashtrade.services import accounts, administration, audit, invitations, key_rotation, second_factor, users

PARTS = {"": "Users", "audit": "Audit log", "system": "System"}
LINES = 100  # of a list at once


class AdminPage(OfficePage):
    """Three parts: users, audit log, system. What an admin may do to whom is decided by the services."""

    page = ADMIN
    done: ClassVar[dict[str, str]] = {
        "role": "The role is changed. It counts at once, in open pages too.",
        "active": "Saved. A disabled account is signed out everywhere.",
        "second-factor": "The second factor of that user is off, and their sessions have ended.",
        "lab": "Saved. It counts at once, in open notebooks too.",
        "signed-out": "All sessions of that user have ended.",
        "kernel": "The page has been ended.",
        "halted": "Entries are stopped for everybody. Exits go on.",
        "resumed": "Entries go on.",
    }
    actions: ClassVar[dict[str, str]] = {
        "create": "create_user",
        "invite": "invite",
        "role": "set_role",
        "active": "set_active",
        "reset": "reset_link",
        "lab": "set_lab_access",
        "second-factor": "reset_second_factor",
        "sign-out": "sign_out",
        "end-kernel": "end_kernel",
        "halt": "halt",
        "resume": "resume",
    }

    def shown_after(self, action: str) -> str:
        return "system" if action in ("end-kernel", "halt", "resume") else ""

    async def show(self, part: str = "", problem: str = "") -> None:
        gather = {"": self._users, "audit": self._audit, "system": self._system}.get(part)
        if gather is None:
            raise web.HTTPError(404)
        values = await self.gate.ask(gather)
        if part == "system":
            values["pages"] = await self._pages()
        parts = [{"slug": slug, "title": title} for slug, title in PARTS.items()]
        template = f"admin_{part or 'users'}.html"
        self.write_page(template, problem=problem, part=part, parts=parts, here=self.here, **values)

    def _common(self, uow: UnitOfWork) -> dict[str, Any]:
        confirmed = accounts.session_is_confirmed(uow, self.me.token)
        return {"formats": formats_of(uow, self.me.user_id), "confirmed": confirmed, "me": self.me.user_id}

    def _users(self, uow: UnitOfWork) -> dict[str, Any]:
        search = self.get_query_argument("search", "")[:100].strip()
        found = users.find_users(uow, search, actor_id=self.me.user_id, page=self._page, size=LINES)
        return {
            **self._common(uow),
            **self._paged(found.found),
            "users": found.users,
            "found": found.found,
            "total": found.total,
            "search": search,
            "roles": [role.value for role in Role] if self.me.role is Role.SUPERADMIN else [Role.USER.value],
            "is_superadmin": self.me.role is Role.SUPERADMIN,
            "invitations": self.settings["dashtrade_settings"].registration != "closed",
        }

    def _audit(self, uow: UnitOfWork) -> dict[str, Any]:
        person = self.get_query_argument("user", "")[:60].strip().lower()
        action = self.get_query_argument("action", "")[:50].strip().lower()
        found = audit.find_audit(uow, self.me.user_id, person=person, action=action, page=self._page, size=LINES)
        return {
            **self._common(uow),
            **self._paged(found.found),
            "entries": found.entries,
            "found": found.found,
            "names": found.names,
            "user": person,
            "action": action,
        }

    @property
    def _page(self) -> int:
        """Which page of a long list the address asks for; the first where it says nothing that is one."""
        text = self.get_query_argument("page", "")
        return max(1, int(text)) if text.isascii() and text.isdigit() and len(text) < 7 else 1

    def _paged(self, found: int) -> dict[str, int]:
        return {"page": self._page, "pages": max(1, math.ceil(found / LINES))}

    def _system(self, uow: UnitOfWork) -> dict[str, Any]:
        settings = self.settings["dashtrade_settings"]
        return {
            **self._common(uow),
            "sessions": administration.list_all_sessions(uow, self.me.user_id),
            "queue": administration.queue(uow, self.me.user_id),
            "halts": administration.system_halts(uow),
            "is_superadmin": self.me.role is Role.SUPERADMIN,
            "rotation": key_rotation.last_rotation(uow) if self.me.role is Role.SUPERADMIN else None,
            "settings": [(name, _shown(getattr(settings, name))) for name in type(settings).model_fields]
            if self.me.role is Role.SUPERADMIN
            else [],
        }

    async def _pages(self) -> list[dict[str, Any]]:
        """The open pages with their owner and memory."""
        manager = self.settings["kernel_manager"]
        found = []
        for kernel_id, owner in list(manager.owners.items()):
            if kernel_id not in manager:
                continue
            kernel = manager.get_kernel(kernel_id)
            row = {
                "id": kernel_id,
                "username": owner.username,
                "page": owner.page,
                "connections": manager.kernel_model(kernel_id)["connections"],
                "last_activity": getattr(kernel, "last_activity", None),
            }
            found.append((row, getattr(kernel.provisioner, "pid", None)))
        memory = await asyncio.get_running_loop().run_in_executor(
            None, lambda: [proportional_mb(pid) for _, pid in found]
        )
        return [{**row, "memory": size} for (row, _), size in zip(found, memory, strict=True)]

    # ------------------------------------------------------------------ users

    async def create_user(self) -> None:
        await self.confirm()
        name, email, full, role = (self.field(key) for key in ("username", "email", "full_name", "role"))
        me = self.me.user_id
        user, token = await self.gate.check(
            lambda uow: invitations.create_with_link(uow, name, email, role=role, full_name=full, actor_id=me)
        )
        await self._show_link(
            f"{user.username} is created. With this link they set their password.", "set-password?link=", token,
            "It works once, for 7 days.",
        )  # fmt: skip

    async def reset_link(self) -> None:
        await self.confirm()
        number, me = self.number("user"), self.me.user_id
        token = await self.gate.ask(lambda uow: invitations.reset_link(uow, number, actor_id=me))
        await self._show_link(
            "With this link the user sets a new password. The old one works until then.", "set-password?link=", token,
            "It works once, for an hour.",
        )  # fmt: skip

    async def invite(self) -> None:
        await self.confirm()
        if self.settings["dashtrade_settings"].registration == "closed":
            raise InvalidInput("invitation", "registration is closed; set DASHTRADE_REGISTRATION to invitation.")
        email, role, me = self.field("email"), self.field("role"), self.me.user_id
        token = await self.gate.ask(lambda uow: invitations.invite(uow, actor_id=me, email=email or None, role=role))
        await self._show_link(
            "With this link an account can be opened.", "register?invitation=", token, "It works once, for 7 days."
        )

    async def _show_link(self, text: str, path: str, token: str, how_long: str) -> None:
        """Once, in the answer to the form: it is kept nowhere."""
        here = f"{self.request.protocol}://{self.request.host}{self.base_url}"
        address = f"{self.settings['dashtrade_settings'].public_url or here}{path}{token}"
        values = await self.gate.ask(self._common)
        self.write_page(
            "admin_link.html", problem="", text=text, link=address, how_long=how_long, here=self.here, part="",
            parts=[{"slug": slug, "title": title} for slug, title in PARTS.items()], **values,
        )  # fmt: skip

    async def set_role(self) -> None:
        await self.confirm()
        number, role, me = self.number("user"), self.field("role"), self.me.user_id
        await self.gate.ask(lambda uow: users.set_role(uow, number, role, actor_id=me))
        self.go("role")

    async def set_active(self) -> None:
        await self.confirm()
        number, active, me = self.number("user"), self.field("active") == "yes", self.me.user_id
        await self.gate.ask(lambda uow: users.set_active(uow, number, active, actor_id=me))
        self.go("active")

    async def set_lab_access(self) -> None:
        await self.confirm()
        number, allowed, me = self.number("user"), self.field("allowed") == "yes", self.me.user_id
        await self.gate.ask(lambda uow: users.set_lab_access(uow, number, allowed, actor_id=me))
        self.go("lab")

    async def reset_second_factor(self) -> None:
        await self.confirm()
        number, me = self.number("user"), self.me.user_id
        await self.gate.ask(lambda uow: second_factor.reset(uow, number, actor_id=me))
        self.go("second-factor")

    async def sign_out(self) -> None:
        await self.confirm()
        number, me = self.number("user"), self.me.user_id
        await self.gate.ask(lambda uow: administration.sign_out_user(uow, number, me))
        self.go("signed-out")

    # ------------------------------------------------------------------ system

    async def end_kernel(self) -> None:
        manager, kernel_id, me = self.settings["kernel_manager"], self.field("kernel"), self.me.user_id
        owner = manager.owners.get(kernel_id)
        if owner is None or kernel_id not in manager:
            raise NotFound("That page is closed already.")

        def record(uow: UnitOfWork) -> None:
            administration.may_administer(uow, owner.user_id, me)
            audit.record(uow, "page_ended", actor_id=me, user_id=owner.user_id, page=owner.page)
            uow.commit()

        await self.gate.ask(record)
        if kernel_id in manager:
            await manager.shutdown_kernel(kernel_id, now=True)
        self.go("kernel", "system")

    async def halt(self) -> None:
        reason, me = self.field("reason"), self.me.user_id
        await self.gate.ask(lambda uow: administration.halt_system(uow, me, reason))
        self.go("halted", "system")

    async def resume(self) -> None:
        await self.confirm()
        number, me = self.number("halt"), self.me.user_id
        await self.gate.ask(lambda uow: administration.resume_system(uow, me, number))
        self.go("resumed", "system")


def _shown(value: object) -> str:
    """A setting as text. Secrets hide themselves; an address may hold a password before its @."""
    text = "not set" if value is None else str(value)
    return "hidden" if "@" in text else text
