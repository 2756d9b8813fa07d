"""Asks the accounts service from worker threads, so that neither bcrypt nor the database stops the event loop."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from dashtrade.auth.passwords import verify_password
from dashtrade.auth.vault import Vault
from dashtrade.db.unit_of_work import UnitOfWork
from dashtrade.domain.users import User
from dashtrade.errors import AuthFailed, ConfigurationError, TooManyAttempts
from dashtrade.services import accounts, second_factor
from dashtrade.services.accounts import SignIn

T = TypeVar("T")
log = logging.getLogger("dashtrade.dashboards")

#: One password check costs about 0.3 CPU-seconds: two at once, and a short queue, keep the pages responsive.
PASSWORD_WORKERS = 2
PASSWORD_QUEUE = 16
SESSION_WORKERS = 4


class TooBusy(Exception):
    """More people are signing in at this moment than passwords can be checked."""


class AccountsGate:
    """Sign in, who is this, sign out. ``new_uow`` makes a unit of work, ``signin_keys`` reads the keys that seal
    second factors."""

    def __init__(self, new_uow: Callable[[], UnitOfWork], signin_keys: Callable[[], str]) -> None:
        self._new_uow = new_uow
        self._signin_keys = signin_keys
        self._passwords = ThreadPoolExecutor(PASSWORD_WORKERS, thread_name_prefix="password")
        self._sessions = ThreadPoolExecutor(SESSION_WORKERS, thread_name_prefix="session")
        self._alone = ThreadPoolExecutor(1, thread_name_prefix="export")
        self._checking, self._long_work = 0, False
        # makes the hash that unknown names are checked against: the first of them must not take longer than a known one
        self._passwords.submit(verify_password, "nobody", None)

    async def sign_in(
        self, username: str, password: str, address: str, agent: str, replaces: str | None
    ) -> SignIn | None:
        """A new session or the first half of one; None when name and password do not belong together.

        ``replaces`` is the token the browser came with; its session ends, so that a planted one is worth nothing.
        Raises TooBusy, and TooManyAttempts when somebody is guessing.
        """
        return await self.check(lambda uow: self._sign_in(uow, username, password, address, agent, replaces))

    async def finish_sign_in(self, step: str, code: str, address: str, agent: str, replaces: str | None) -> str:
        """The second half: token of a new session. Raises what :func:`accounts.finish_sign_in` raises."""
        return await self.ask(
            lambda uow: accounts.finish_sign_in(
                uow, step, code, self.vault(), address=address, user_agent=agent, replaces=replaces
            )
        )

    def vault(self) -> Vault:
        """Opens second factors; ConfigurationError without the key, so that nothing is let through."""
        try:
            return Vault(self._signin_keys())
        except ConfigurationError as error:
            log.error("Second factors cannot be opened: %s", error)
            raise ConfigurationError(second_factor.NO_KEY) from None

    async def check(self, work: Callable[[UnitOfWork], T]) -> T:
        """``work(uow)`` among the password checks: two at once, a short queue, then TooBusy."""
        if self._checking >= PASSWORD_QUEUE:
            raise TooBusy
        self._checking += 1
        try:
            return await self._in(self._passwords, self._with_uow, work)
        finally:
            self._checking -= 1

    async def ask(self, work: Callable[[UnitOfWork], T]) -> T:
        """``work(uow)``, which checks no password, in a thread."""
        return await self._in(self._sessions, self._with_uow, work)

    async def alone(self, work: Callable[[UnitOfWork], T]) -> T:
        """``work(uow)``, which takes seconds, beside what everybody waits for. Raises TooBusy while another runs."""
        if self._long_work:
            raise TooBusy("Another long list is being written at this moment. Try again in a few seconds.")
        self._long_work = True
        try:
            return await self._in(self._alone, self._with_uow, work)
        finally:
            self._long_work = False

    def _with_uow(self, work: Callable[[UnitOfWork], T]) -> T:
        with self._new_uow() as uow:
            return work(uow)

    @staticmethod
    def _sign_in(
        uow: UnitOfWork, username: str, password: str, address: str, agent: str, replaces: str | None
    ) -> SignIn | None:
        try:
            return accounts.sign_in(uow, username, password, address=address, user_agent=agent, replaces=replaces)
        except TooManyAttempts:
            raise
        except AuthFailed:
            return None

    async def user_of(self, token: str) -> User | None:
        """The person signed in with this token. Asked anew each time, so that a change of role counts at once."""
        return await self.ask(lambda uow: accounts.user_of_session(uow, token))

    async def sign_out(self, token: str) -> None:
        await self.ask(lambda uow: accounts.close_session(uow, token))

    def close(self) -> None:
        self._passwords.shutdown(wait=False, cancel_futures=True)
        self._sessions.shutdown(wait=False, cancel_futures=True)
        self._alone.shutdown(wait=False, cancel_futures=True)

    @staticmethod
    async def _in(pool: ThreadPoolExecutor, work: Callable[..., T], *arguments: object) -> T:
        return await asyncio.get_running_loop().run_in_executor(pool, work, *arguments)
