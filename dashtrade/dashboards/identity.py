"""Who asks, and whose kernel it is: jupyter_server's identity provider and authorizer over our own sessions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from jupyter_server.auth.authorizer import Authorizer
from jupyter_server.auth.identity import IdentityProvider
from jupyter_server.auth.identity import User as JupyterUser
from tornado import web

from dashtrade.dashboards.accounts import AccountsGate
from dashtrade.domain.users import Role
from dashtrade.errors import DatabaseUnavailable

COOKIE = "dashtrade_session"
STEP_COOKIE = "dashtrade_step"  # a sign-in between its two steps; opens nothing
STEP_SECONDS = 300
TOKEN_LIMIT = 256  # characters: a longer cookie is not ours, and is not worth a query


@dataclass
class SignedIn(JupyterUser):
    """The person behind a request. ``token`` is the session's; it never leaves the server except in its own cookie."""

    user_id: int = 0
    role: Role = Role.USER
    token: str = ""
    must_change_password: bool = False

    def __repr__(self) -> str:
        return f"SignedIn({self.username!r}, {self.role.value})"


class SessionIdentity(IdentityProvider):
    """Users come from the sessions table alone: no token, no password of the server, no anonymous user."""

    gate: AccountsGate
    secure: bool = False
    cookie_path: str = "/"

    async def get_user(self, handler: web.RequestHandler) -> SignedIn | None:
        token = self.session_token(handler)
        if token is None:
            return None
        try:
            user = await self.gate.user_of(token)
        except DatabaseUnavailable as error:
            raise web.HTTPError(503, str(error)) from None
        if user is None or not user.is_active:
            return None
        if user.must_change_password and not getattr(handler, "open_with_old_password", False):
            return None  # to every other door as good as nobody
        return SignedIn(
            username=user.username,
            display_name=user.full_name or user.username,
            user_id=user.id,
            role=user.role,
            token=token,
            must_change_password=user.must_change_password,
        )

    @staticmethod
    def session_token(handler: web.RequestHandler) -> str | None:
        return _own(handler.get_cookie(COOKIE))

    @staticmethod
    def step_token(handler: web.RequestHandler) -> str | None:
        return _own(handler.get_cookie(STEP_COOKIE))

    def set_step(self, handler: web.RequestHandler, token: str) -> None:
        handler.set_cookie(
            STEP_COOKIE, token, path=self.cookie_path, httponly=True, secure=self.secure, samesite="Strict",
            max_age=STEP_SECONDS,
        )  # fmt: skip

    def clear_step(self, handler: web.RequestHandler) -> None:
        handler.clear_cookie(STEP_COOKIE, path=self.cookie_path)

    def set_session(self, handler: web.RequestHandler, token: str) -> None:
        handler.set_cookie(
            COOKIE, token, path=self.cookie_path, httponly=True, secure=self.secure, samesite="Lax", expires_days=None
        )

    def clear_session(self, handler: web.RequestHandler) -> None:
        handler.clear_cookie(COOKIE, path=self.cookie_path)

    def is_token_authenticated(self, handler: web.RequestHandler) -> bool:
        return False  # so that the checks of origin and form token are never skipped

    def should_check_origin(self, handler: web.RequestHandler) -> bool:
        return True

    @property
    def auth_enabled(self) -> bool:
        return True

    def get_handlers(self) -> list[tuple[Any, ...]]:
        return []  # the server registers its own, below the base path


def _own(token: str | None) -> str | None:
    return token if token and len(token) <= TOKEN_LIMIT and token.isascii() else None


class OwnerAuthorizer(Authorizer):
    """Asked for everything about kernels, over HTTP and websocket: only the owner may."""

    def is_authorized(self, handler: Any, user: Any, action: str, resource: str) -> bool:
        if resource != "kernels" or not isinstance(user, SignedIn):
            return False
        kernel_id = getattr(handler, "kernel_id", None) or (handler.path_kwargs or {}).get("kernel_id")
        return bool(handler.settings["kernel_manager"].belongs_to(kernel_id, user.user_id))
