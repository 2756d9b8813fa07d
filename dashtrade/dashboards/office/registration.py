"""Opening an account, and setting a password with a link. For people who are not signed in."""

from __future__ import annotations

from typing import Any

from jupyter_server.auth.decorator import allow_unauthenticated
from tornado import web

from dashtrade.dashboards.office.shell import Forms
from dashtrade.db.unit_of_work import UnitOfWork
from dashtrade.errors import DatabaseUnavailable, InvalidInput
from dashtrade.services import invitations, password_reset, throttle

LINK_LIMIT = 256


class RegisterHandler(Forms):
    """Open to everybody, or with an invitation, or not there, as the setting ``registration`` says."""

    @property
    def invitation(self) -> str | None:
        return self.get_argument("invitation", "")[:LINK_LIMIT] or None

    async def prepare(self, **_: Any) -> None:
        await super().prepare()
        if self.settings["dashtrade_settings"].registration == "closed":
            raise web.HTTPError(404)

    @allow_unauthenticated
    async def get(self) -> None:
        await self.show()

    @allow_unauthenticated
    async def post(self) -> None:
        await self.answer(self.register, self.show)

    async def register(self) -> None:
        settings, invitation, address = self.settings["dashtrade_settings"], self.invitation, self.address
        name, email, password = self.field("username"), self.field("email"), self.secret("password")
        if password != self.secret("repeat"):
            raise InvalidInput("password", "was typed in two different ways.")

        def register(uow: UnitOfWork) -> None:
            throttle.count_registration(uow, address)
            invitations.register(uow, settings, name, email, password, invitation=invitation, address=address)

        await self.gate.check(register)
        self.redirect(self.base_url + "login?done=registered", status=303)

    async def show(self, problem: str = "") -> None:
        """The form, or, where the invitation is dead, what to do: whoever filled it in would do so in vain."""
        needs, invitation = self.settings["dashtrade_settings"].registration == "invitation", self.invitation
        if invitation is not None:
            try:
                await self.gate.ask(lambda uow: invitations.check_invitation(uow, invitation))
            except InvalidInput:
                self.set_status(400)
                self.write_screen("dead_invitation.html", by_oneself=not needs)
                return
            except DatabaseUnavailable:
                raise web.HTTPError(503) from None
        self.write_screen(
            "register.html",
            problem=problem,
            invitation=invitation or "",
            without_invitation=needs and invitation is None,
            username=self.field("username"),
            email=self.field("email"),
            form_token=self.xsrf_token.decode("ascii"),
        )


class SetPasswordHandler(Forms):
    """Where a link from an administrator, or from the command line, leads."""

    @property
    def link(self) -> str:
        return str(self.get_argument("link", ""))[:LINK_LIMIT]

    @allow_unauthenticated
    async def get(self) -> None:
        await self.show()

    @allow_unauthenticated
    async def post(self) -> None:
        await self.answer(self.set_password, self.show)

    async def set_password(self) -> None:
        link, password = self.link, self.secret("password")
        if password != self.secret("repeat"):
            raise InvalidInput("password", "was typed in two different ways.")
        await self.gate.check(lambda uow: invitations.finish_reset(uow, link, password))
        self.redirect(self.base_url + "login?done=password-set", status=303)

    async def show(self, problem: str = "") -> None:
        """The form, or, where the link is dead, the way to a new one: whoever typed a password would do so in vain."""
        link = self.link
        try:
            owner = await self.gate.ask(lambda uow: invitations.owner_of_link(uow, link))
        except InvalidInput:
            self.set_status(400)
            self.write_screen("dead_link.html", by_oneself=password_reset.by_mail(self.settings["dashtrade_settings"]))
            return
        except DatabaseUnavailable:
            raise web.HTTPError(503) from None
        self.write_screen(
            "set_password.html",
            problem=problem,
            username=owner.username,
            link=link,
            form_token=self.xsrf_token.decode("ascii"),
        )
