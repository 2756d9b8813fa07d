"""Sign in and sign out."""

from __future__ import annotations

import asyncio
import math
import time
from typing import Any
from urllib.parse import urlencode, urlsplit

from jupyter_server.auth.decorator import allow_unauthenticated
from jupyter_server.base.handlers import JupyterHandler

from dashtrade.dashboards.accounts import TooBusy
from dashtrade.dashboards.errors import Screens
from dashtrade.dashboards.headers import STRICT_POLICY
from dashtrade.dashboards.identity import SessionIdentity, SignedIn
from dashtrade.errors import DatabaseUnavailable, TooManyAttempts

WRONG = "The user name or the password is not right."
BUSY = "Many people are signing in at this moment. Try again in a few seconds."
NO_DATABASE = "The database cannot be reached. Try again in a moment."
NOTES = {
    "password-set": "Your password is set. Sign in with it.",
    "registered": "Your account is open. Sign in.",
    "too-late": "That took too long. Sign in again.",
    "reset-sent": "If an account has that address, a mail with a link is on its way. The link works for an hour.",
    "deleted": "Your account and its data are deleted.",
}
FIELD_LIMIT = 1024  # characters: longer input is not read at all
#: A refusal never comes sooner than this (seconds), so its time says nothing about what was wrong.
SHORTEST_REFUSAL = 0.5


def own_path(target: str, base_url: str) -> str:
    """``target`` when it is a path below ``base_url`` on this server, else ``base_url``."""
    parts = urlsplit(target)
    safe = (
        target.startswith(base_url)
        and not target.startswith("//")
        and not parts.scheme
        and not parts.netloc
        and "\\" not in target
        and all(character.isprintable() and character != " " for character in target)
        and ".." not in parts.path.split("/")
        and "//" not in parts.path
    )
    return target if safe else base_url


def with_target(address: str, target: str) -> str:
    """``address`` that leads on to ``target``, a path of this server."""
    return f"{address}?{urlencode({'next': target})}"


class LoginHandler(Screens, JupyterHandler):
    """The form, and its answer. The form's token is checked before ``post`` is called."""

    identity_provider: SessionIdentity
    open_with_old_password = True

    @property
    def target(self) -> str:
        return own_path(self.get_argument("next", self.base_url)[:2048], self.base_url)

    @allow_unauthenticated
    def get(self) -> None:
        if self.current_user:
            changed = not self.current_user.must_change_password
            self.redirect(self.target if changed else with_target(self.base_url + "new-password", self.target))
        else:
            self.show()

    @allow_unauthenticated
    async def post(self) -> None:
        begin = time.monotonic()
        username = self.get_body_argument("username", "")[:FIELD_LIMIT].strip()
        password = self.get_body_argument("password", "", strip=False)[:FIELD_LIMIT]
        address = self.request.remote_ip or ""
        agent = self.request.headers.get("User-Agent", "")[:256]
        provider = self.identity_provider
        try:
            entry = await provider.gate.sign_in(username, password, address, agent, provider.session_token(self))
        except TooManyAttempts as error:
            self.log.warning("Sign-ins from %s are slowed down", address)
            self.set_header("Retry-After", str(math.ceil(error.retry_after)))
            self.show(f"Too many tries. Wait {in_words(error.retry_after)}, then try again.", username, status=429)
            return
        except TooBusy:
            self.show(BUSY, username, status=503)
            return
        except DatabaseUnavailable:
            self.show(NO_DATABASE, username, status=503)
            return
        if entry is None:
            # not the name: people type their password into that field
            self.log.warning("A sign-in from %s was refused", address)
            await asyncio.sleep(max(0.0, SHORTEST_REFUSAL - (time.monotonic() - begin)))
            self.show(WRONG, username, status=401)
            return
        if entry.needs_code:
            provider.set_step(self, entry.token)
            self.redirect(with_target(self.base_url + "second-step", self.target), status=303)
            return
        provider.set_session(self, entry.token)
        self.clear_cookie("_xsrf", path=provider.cookie_path)  # a form token from before is worth nothing either
        self.redirect(self.target, status=303)

    def show(self, problem: str = "", username: str = "", status: int = 200) -> None:
        self.set_status(status)
        self.set_header("Cache-Control", "no-store")
        self.set_header("Content-Security-Policy", STRICT_POLICY)
        self.finish(
            self.screen(
                "login.html",
                problem=problem,
                note="" if problem else NOTES.get(self.get_query_argument("done", ""), ""),
                may_register=self.settings["dashtrade_settings"].registration == "open",
                username=username,
                target=self.target,
                form_token=self.xsrf_token.decode("ascii"),
            )
        )


class LogoutHandler(Screens, JupyterHandler):
    """By POST alone, so that no link or image signs anybody out. The session's pages end with it."""

    open_with_old_password = True

    SUPPORTED_METHODS = ("POST",)
    identity_provider: SessionIdentity

    @allow_unauthenticated
    async def post(self) -> None:
        provider = self.identity_provider
        user: Any = self.current_user
        token = provider.session_token(self)
        if token:
            await provider.gate.sign_out(token)
        if isinstance(user, SignedIn):
            await self.settings["kernel_manager"].end_session(user.token)
        provider.clear_session(self)
        self.redirect(self.base_url + "login", status=303)


def in_words(seconds: float) -> str:
    """``45 seconds`` or ``3 minutes``."""
    if seconds < 90:
        return f"{max(1, math.ceil(seconds))} seconds"
    return f"{math.ceil(seconds / 60)} minutes"
