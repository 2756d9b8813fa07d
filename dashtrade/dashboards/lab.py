"""JupyterLab behind the dashboards' own login, in a process of its own (`dashtrade lab --serve`).

Whoever gets in runs any code with the rights of this process. So it is open to the people a superadmin has named, and
to nobody by role; it knows the sessions from the database and has neither passwords nor tokens of its own.
"""

from __future__ import annotations

import asyncio
import os
from typing import Any

from jupyter_server.auth.decorator import allow_unauthenticated
from jupyter_server.base.handlers import JupyterHandler
from jupyter_server.services.kernels.connection.channels import ZMQChannelsWebsocketConnection
from tornado import web
from traitlets import Unicode

from dashtrade.dashboards.accounts import AccountsGate
from dashtrade.dashboards.identity import SessionIdentity, SignedIn
from dashtrade.db.engine import make_engine
from dashtrade.db.unit_of_work import UnitOfWork
from dashtrade.errors import ConfigurationError, DatabaseUnavailable

#: Taken out of the environment at the start: notebooks get the pages' address of the database, which opens no session.
DATABASE = "DASHTRADE_LAB_DATABASE_URL"
WATCH_SECONDS = 1.0


class LabIdentity(SessionIdentity):
    """A living session of a person who may use JupyterLab; asked anew for every request."""

    dashboards_url = Unicode(config=True, help="where people sign in")

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.gate = AccountsGate(_new_uow(), _no_keys)
        self.sockets: set[LabConnection] = set()
        self._watch: asyncio.Task[None] | None = None

    async def get_user(self, handler: web.RequestHandler) -> SignedIn | None:
        token = self.session_token(handler)
        if token is None:
            return None
        try:
            user = await self.gate.user_of(token)
        except DatabaseUnavailable as error:
            raise web.HTTPError(503, str(error)) from None
        if user is None or user.must_change_password:
            return None
        if not user.may_use_lab:
            self.log.warning("%s may not use JupyterLab", user.username)
            handler.current_user = None
            raise web.HTTPError(403, "JupyterLab is open to the people a superadmin has named.")
        name = user.full_name or user.username
        return SignedIn(user.username, display_name=name, user_id=user.id, role=user.role, token=token)

    def get_handlers(self) -> list[tuple[Any, ...]]:
        return [(r"/login", SignInElsewhere), (r"/logout", SignInElsewhere)]

    def watch(self, socket: LabConnection) -> None:
        """End the socket when its session ends."""
        self.sockets.add(socket)
        if self._watch is None or self._watch.done():
            self._watch = asyncio.create_task(self._end_sockets())

    async def _end_sockets(self) -> None:
        while self.sockets:
            await asyncio.sleep(WATCH_SECONDS)
            for token in {socket.token for socket in self.sockets}:
                try:
                    user = await self.gate.user_of(token)
                except DatabaseUnavailable as error:
                    self.log.warning("Sessions cannot be checked now, so that sockets are closed: %s", error)
                    user = None
                if user is None or not user.may_use_lab or user.must_change_password:
                    for socket in [each for each in self.sockets if each.token == token]:
                        socket.end()


class LabConnection(ZMQChannelsWebsocketConnection):
    """A notebook's socket, which ends with the session it was opened under."""

    @property
    def token(self) -> str:
        handler: Any = self.websocket_handler
        return str(handler.current_user.token)

    def connect(self) -> Any:
        handler: Any = self.websocket_handler
        handler.identity_provider.watch(self)
        return super().connect()

    def disconnect(self) -> Any:
        handler: Any = self.websocket_handler
        handler.identity_provider.sockets.discard(self)
        return super().disconnect()

    def end(self) -> None:
        handler: Any = self.websocket_handler
        handler.identity_provider.sockets.discard(self)
        handler.close(1008, "signed out")


class SignInElsewhere(JupyterHandler):
    """Leads to the dashboards' sign-in; this process takes no password."""

    @allow_unauthenticated
    def get(self) -> None:
        self.redirect(self.identity_provider.dashboards_url + "login")  # type: ignore[attr-defined]


def _new_uow() -> Any:
    url = os.environ.pop(DATABASE, "")
    if not url:
        raise ConfigurationError("JupyterLab behind the login is started by `dashtrade lab --serve`.")
    engine = make_engine(url)
    return lambda: UnitOfWork(engine)


def _no_keys() -> str:
    raise ConfigurationError("This process signs nobody in.")
