"""Pages, their kernels' state, files, health: every door of the server besides login and the websocket."""

from __future__ import annotations

import re
from typing import Any

from jupyter_server.auth.decorator import allow_unauthenticated
from jupyter_server.base.handlers import APIHandler, JupyterHandler
from jupyter_server.utils import url_path_join
from sqlalchemy import text
from tornado import web
from tornado.iostream import StreamClosedError
from voila.tornado.handler import TornadoVoilaHandler

from dashtrade.dashboards.accounts import AccountsGate
from dashtrade.dashboards.catalogue import Catalogue, PageInfo
from dashtrade.dashboards.errors import Screens
from dashtrade.dashboards.identity import SignedIn
from dashtrade.errors import DatabaseUnavailable

FLUSH = "<!--flush-->"


class IndexHandler(Screens, JupyterHandler):
    """Leads to the first page the person may open."""

    @web.authenticated
    def get(self) -> None:
        pages = self.settings["dashtrade_catalogue"].open_to(self.current_user.role)
        if not pages:
            raise web.HTTPError(403)
        self.redirect(url_path_join(self.base_url, pages[0].slug))


class PageHandler(Screens, TornadoVoilaHandler):
    """One page: checks the role, starts a kernel that belongs to the person, and streams the page."""

    SUPPORTED_METHODS = ("GET",)
    page: PageInfo | None = None
    kernel_id: str | None = None

    @web.authenticated
    async def get(self, slug: str) -> None:
        catalogue: Catalogue = self.settings["dashtrade_catalogue"]
        user: SignedIn = self.current_user
        page = catalogue.get(slug)
        if page is None:
            raise web.HTTPError(404)
        if not user.role.includes(page.role):
            self.log.warning("%s (%s) may not open %s", user.username, user.role.value, slug)
            raise web.HTTPError(403)
        self.page = page
        self.xsrf_token  # noqa: B018  sets the cookie: without it the page's closing message is refused
        try:
            async for html in self.get_generator(f"{slug}.ipynb"):
                self.write(html)
                # hundreds of small pieces: send them where something can already be shown, or when a wait begins
                if FLUSH in html or "voila_heartbeat()" in html:
                    await self.flush()
        except StreamClosedError:  # the browser left before the page was complete
            await self._end_kernel()
        except BaseException:
            await self._end_kernel()
            raise

    async def _end_kernel(self) -> None:
        if self.kernel_id is not None and self.kernel_id in self.kernel_manager:
            await self.kernel_manager.shutdown_kernel(self.kernel_id, now=True)

    def set_header(self, name: str, value: Any) -> None:
        # Voilà sets a text type without its charset, and a weaker cache header
        if name == "Content-Type" and value == "text/html":
            value = "text/html; charset=utf-8"
        elif name == "Cache-Control":
            value = "no-store"
        super().set_header(name, value)


class OldAddressHandler(Screens, JupyterHandler):
    """Voilà's own address of a page leads to ours."""

    @web.authenticated
    def get(self, path: str) -> None:
        match = re.fullmatch(r"([a-z][a-z0-9_-]*)(\.ipynb)?", path)
        if match is None:
            raise web.HTTPError(404)
        query = f"?{self.request.query}" if self.request.query else ""
        self.redirect(url_path_join(self.base_url, match.group(1)) + query)


class KernelStateHandler(Screens, APIHandler):
    """Whether a kernel is still there, for the page that belongs to it. Not: list, start, restart, delete."""

    SUPPORTED_METHODS = ("GET",)

    @web.authenticated
    async def get(self, kernel_id: str) -> None:
        manager = self.settings["kernel_manager"]
        if not manager.belongs_to(kernel_id, self.current_user.user_id) or kernel_id not in manager:
            raise web.HTTPError(404)  # the same for somebody else's as for none
        model = manager.kernel_model(kernel_id)
        self.finish(
            {
                "id": model["id"],
                "name": model["name"],
                "execution_state": model["execution_state"],
                "last_activity": str(model["last_activity"]),
                "connections": model["connections"],
            }
        )


class CloseHandler(Screens, APIHandler):
    """The page's last message: its kernel is not needed any more."""

    SUPPORTED_METHODS = ("POST",)

    @web.authenticated
    async def post(self, kernel_id: str) -> None:
        manager = self.settings["kernel_manager"]
        if not manager.belongs_to(kernel_id, self.current_user.user_id):
            raise web.HTTPError(404)
        if kernel_id in manager:
            await manager.shutdown_kernel(kernel_id, now=True)
        self.set_status(204)
        self.finish()


class HealthHandler(web.RequestHandler):
    """For the supervisor: the server answers. Says nothing else to a stranger."""

    SUPPORTED_METHODS = ("GET",)

    @allow_unauthenticated
    def get(self) -> None:
        self.set_header("Cache-Control", "no-store")
        self.finish({"status": "ok"})


class ReadyHandler(HealthHandler):
    """For a load balancer: 503 while nobody can sign in because the database does not answer."""

    def initialize(self, gate: AccountsGate) -> None:
        self._gate = gate

    @allow_unauthenticated
    async def get(self) -> None:  # type: ignore[override]
        self.set_header("Cache-Control", "no-store")
        try:
            await self._gate.ask(lambda uow: uow.session.execute(text("SELECT 1")))
        except DatabaseUnavailable:
            self.set_status(503)
            self.finish({"status": "down"})
            return
        self.finish({"status": "ok"})
