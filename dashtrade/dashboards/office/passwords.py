"""Passwords of people who cannot get in: one to be changed first, and one that is forgotten."""

from __future__ import annotations

from typing import Any

from jupyter_server.auth.decorator import allow_unauthenticated
from tornado import web

from dashtrade.dashboards.identity import SignedIn
from dashtrade.dashboards.login import own_path
from dashtrade.dashboards.office.shell import Forms
from dashtrade.errors import Forbidden, InvalidInput
from dashtrade.services import accounts, password_reset, users


class NewPasswordHandler(Forms):
    """Where everybody lands whose password was set by somebody else, until they have chosen their own."""

    open_with_old_password = True

    @property
    def me(self) -> SignedIn:
        user: SignedIn = self.current_user
        return user

    @property
    def target(self) -> str:
        return own_path(self.get_argument("next", self.base_url)[:2048], self.base_url)

    @web.authenticated
    async def get(self) -> None:
        if self.me.must_change_password:
            await self.show()
        else:
            self.redirect(self.target, status=303)

    @web.authenticated
    async def post(self) -> None:
        await self.answer(self.change, self.show)

    async def change(self) -> None:
        me, address = self.me, self.address
        current, new = self.secret("current"), self.secret("password")
        if new != self.secret("repeat"):
            raise InvalidInput("password", "was typed in two different ways.")

        def change(uow: Any) -> None:
            accounts.confirm_session(uow, me.token, current, address=address)  # slows guessing down
            users.change_password(uow, me.user_id, current, new, keep=me.token, address=address)

        await self.gate.check(change)
        self.redirect(self.target, status=303)

    async def show(self, problem: str = "") -> None:
        self.write_screen(
            "new_password.html",
            problem=problem,
            username=self.me.username,
            target=self.target,
            form_token=self.xsrf_token.decode("ascii"),
        )


class ForgottenHandler(Forms):
    """Asks for a mail with a link. The answer is the same for every address."""

    @property
    def by_mail(self) -> bool:
        return password_reset.by_mail(self.settings["dashtrade_settings"])

    @allow_unauthenticated
    async def get(self) -> None:
        await self.show()

    @allow_unauthenticated
    async def post(self) -> None:
        await self.answer(self.ask, self.show)

    async def ask(self) -> None:
        if not self.by_mail:
            raise Forbidden("Mails are not set up here. Ask the operator for a link.")
        email, address = self.field("email"), self.address
        await self.gate.ask(lambda uow: password_reset.ask(uow, email, address=address))
        self.redirect(self.base_url + "login?done=reset-sent", status=303)

    async def show(self, problem: str = "") -> None:
        self.write_screen(
            "forgotten.html", problem=problem, by_mail=self.by_mail, form_token=self.xsrf_token.decode("ascii")
        )
