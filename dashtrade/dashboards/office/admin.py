"""The administration: users, the audit log, and what the server is doing."""

from __future__ import annotations

import asyncio
import math
from datetime import UTC, datetime
from typing import IO, Any, ClassVar
from urllib.parse import urlencode

from jupyter_server.utils import url_path_join
from tornado import web

from dashtrade.dashboards.catalogue import ADMIN
from dashtrade.dashboards.office.exports import csv_file, send_file
from dashtrade.dashboards.office.lists import LINES, LISTS
from dashtrade.dashboards.office.memory import proportional_mb
from dashtrade.dashboards.office.parts import PARTS, AdminPart
from dashtrade.dashboards.office.shell import formats_of, sentence
from dashtrade.db.unit_of_work import UnitOfWork
from dashtrade.domain.users import Role
from dashtrade.errors import InvalidInput, NotFound
from dashtrade.services import administration, audit, invitations, second_factor, users
from dashtrade.services.listing import Found, View


class AdminPage(AdminPart):
    """Long lists, and what the server is doing. What an admin may do to whom is decided by the services."""

    page = ADMIN
    done: ClassVar[dict[str, str]] = {
        "role": "The role is changed. It counts at once, in open pages too.",
        "enabled": "The account is active again.",
        "disabled": "The account is disabled and signed out everywhere.",
        "second-factor": "The second factor of that user is off, and their sessions have ended.",
        "lab": "Saved. It counts at once, in open notebooks too.",
        "signed-out": "All sessions of that user have ended.",
        "session-ended": "That browser is signed out.",
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
        "end-session": "end_session",
        "end-kernel": "end_kernel",
        "halt": "halt",
        "resume": "resume",
    }

    def shown_after(self, action: str) -> str:
        return {"end-kernel": "system", "halt": "system", "resume": "system", "end-session": "sessions"}.get(action, "")

    async def show(self, part: str = "", problem: str = "") -> None:
        if part not in PARTS:
            raise web.HTTPError(404)
        if part == "system":
            values = await self.gate.ask(self._system)
            values["pages"] = await self._pages()
        elif self.get_query_argument("format", "") == "csv" and not problem:
            await self.answer(lambda: self._export(part), lambda problem: self.show(part, problem))
            return
        else:
            values = await self.gate.ask(lambda uow: self._list(uow, part))
        problem = values.pop("problem", "") or problem
        self.write_part(f"admin_{part or 'users'}.html", part, problem=problem, **values)

    def _common(self, uow: UnitOfWork) -> dict[str, Any]:
        return {
            **self.common(uow),
            "me": self.me.user_id,
            "is_superadmin": self.me.role is Role.SUPERADMIN,
        }

    # ------------------------------------------------------------------ lists

    def _asked(self, part: str) -> dict[str, str]:
        return LISTS[part or "users"].asked(lambda name: self.get_query_argument(name, ""))

    def state(self, part: str) -> dict[str, str]:
        """Where in the list somebody is, so that they are there again after what they did to one of its lines."""
        if (part or "users") not in LISTS:
            return {}
        return self._asked(part) | ({"page": str(self._page)} if self._page > 1 else {})

    def _back(self, part: str) -> str:
        """The state behind an address."""
        state = self.state(part)
        return "?" + urlencode(state) if state else ""

    def _list(self, uow: UnitOfWork, part: str) -> dict[str, Any]:
        wanted, asked, values = LISTS[part or "users"], self._asked(part), self._common(uow)
        address, problem = url_path_join(self.here, part) if part else self.here, ""
        found: Found[Any] = Found([], 0)
        try:
            view = View(asked.get("sort", ""), self._page, LINES)
            found = wanted.find(uow, self.me.user_id, asked, values["formats"]).page(view)
        except InvalidInput as error:
            self.set_status(400)
            problem = sentence(error)
        more = {"": self._users, "jobs": self._jobs}.get(part, lambda _: {})(uow)
        return {
            **values,
            **more,
            "problem": problem,
            "lines": found.lines,
            "found": found.found,
            "asked": asked,
            "wanted": dict.fromkeys((*wanted.filters, "sort"), "") | asked,
            "back": self._back(part),
            "list": {"label": wanted.label, "address": address, "heads": wanted.heads(address, asked)},
            "page": self._page,
            "pages": max(1, math.ceil(found.found / LINES)),
        }

    def _users(self, uow: UnitOfWork) -> dict[str, Any]:
        return {
            "total": users.count_users(uow, actor_id=self.me.user_id),
            "roles": [role.value for role in Role] if self.me.role is Role.SUPERADMIN else [Role.USER.value],
            "invitations": self.settings["dashtrade_settings"].registration != "closed",
        }

    def _jobs(self, uow: UnitOfWork) -> dict[str, Any]:
        return {"counts": administration.count_jobs(uow, self.me.user_id), "statuses": administration.STATUSES}

    async def _export(self, part: str) -> None:
        wanted, asked, me, name = LISTS[part or "users"], self._asked(part), self.me.user_id, part or "users"

        def make(uow: UnitOfWork) -> IO[bytes]:
            return csv_file(uow, me, name, wanted.cells, wanted.find(uow, me, asked, formats_of(uow, me)), asked)

        with await self.gate.alone(make) as file:
            await send_file(self, file, f"dashtrade-{name}-{datetime.now(UTC):%Y-%m-%d}.csv")

    @property
    def _page(self) -> int:
        """Which page of a long list the address asks for; the first where it says nothing that is one."""
        text = self.get_query_argument("page", "")
        return max(1, int(text)) if text.isascii() and text.isdigit() and len(text) < 7 else 1

    def _system(self, uow: UnitOfWork) -> dict[str, Any]:
        return {**self._common(uow), "halts": administration.system_halts(uow)}

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
            raise InvalidInput("invitation", "registration is closed. A superadmin opens it under Settings.")
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
        self.write_part(
            "admin_link.html", "", text=text, link=address, how_long=how_long, back=self._back(""), **values
        )

    async def set_role(self) -> None:
        await self.confirm()
        number, role, me, seen = self.number("user"), self.field("role"), self.me.user_id, self.field("seen") or None
        await self.gate.ask(lambda uow: users.set_role(uow, number, role, actor_id=me, seen=seen))
        self.go("role")

    async def set_active(self) -> None:
        await self.confirm()
        number, active, me = self.number("user"), self.field("active") == "yes", self.me.user_id
        await self.gate.ask(lambda uow: users.set_active(uow, number, active, actor_id=me))
        self.go("enabled" if active else "disabled")

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

    # ------------------------------------------------------------------ sessions

    async def end_session(self) -> None:
        await self.confirm()
        number, me = self.number("session"), self.me.user_id
        await self.gate.ask(lambda uow: administration.end_session_of(uow, number, me))
        self.go("session-ended", "sessions")

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
