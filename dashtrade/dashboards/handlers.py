"""Pages, their kernels' state, files, health: every door of the server besides login and the websocket."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from contextlib import AsyncExitStack, aclosing, suppress
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
from dashtrade.dashboards.rendering import PageRenderer
from dashtrade.dashboards.turns import Turns
from dashtrade.errors import DatabaseUnavailable

FLUSH = "<!--flush-->"
HEARTBEAT = 10.0  # seconds


class IndexHandler(Screens, JupyterHandler):
    """Leads to the first page the person may open."""

    @web.authenticated
    def get(self) -> None:
        pages = self.settings["dashtrade_catalogue"].open_to(self.current_user.role)
        if not pages:
            raise web.HTTPError(403)
        self.redirect(url_path_join(self.base_url, pages[0].slug))


class PageHandler(Screens, TornadoVoilaHandler):
    """One page: checks the role, takes a place for a kernel, sends the frame at once and the rest as it is built."""

    SUPPORTED_METHODS = ("GET",)
    page: PageInfo | None = None
    left = False
    _task: asyncio.Task[Any] | None = None

    def initialize(self, *, turns: Turns, page_config: Callable[[PageHandler], dict[str, Any]], **kwargs: Any) -> None:
        super().initialize(**kwargs)
        self.turns, self.page_config = turns, page_config

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
        self.set_header("Content-Type", "text/html; charset=utf-8")
        self.set_header("Cache-Control", "no-store")
        self._task = asyncio.current_task()
        kernel_id = self.kernel_manager.take_place()
        complete = False
        try:
            complete = await self._send(slug, kernel_id)
        except (StreamClosedError, asyncio.CancelledError):
            if not self.left:
                raise
        finally:
            if not complete:
                await self.kernel_manager.give_up(kernel_id)

    async def _send(self, slug: str, kernel_id: str) -> bool:
        """Writes the page; whether it has a kernel to live on."""
        renderer = PageRenderer(
            request_handler=self,
            voila_configuration=self.voila_configuration,
            traitlet_config=self.traitlet_config,
            notebook_path=f"{slug}.ipynb",
            template_paths=self.template_paths,
            config_manager=self.config_manager,
            contents_manager=self.contents_manager,
            base_url=self.base_url,
            kernel_spec_manager=self.kernel_spec_manager,
            page_config={**self.page_config(self), "baseUrl": self.base_url, "kernelId": kernel_id},
        )
        await renderer.initialize()
        user: SignedIn = self.current_user
        beat = asyncio.create_task(self._beat())
        try:
            async with AsyncExitStack() as stack:

                async def kernel() -> Any:
                    await stack.enter_async_context(self.turns.turn(user.user_id))
                    environment = {
                        "QUERY_STRING": self.request.query,
                        "SCRIPT_NAME": self.request.path,
                        "VOILA_BASE_URL": self.base_url,
                    }
                    await self.kernel_manager.start_kernel(
                        kernel_id=kernel_id,
                        kernel_name=renderer.notebook.metadata.kernelspec.name,
                        path="",
                        env=environment,
                    )
                    return self.kernel_manager.get_kernel(kernel_id)

                pieces = await stack.enter_async_context(
                    aclosing(renderer.generate_content_generator(kernel_id, kernel()))
                )
                async for html, _ in pieces:
                    self.write(html)
                    if FLUSH in html:  # hundreds of small pieces: send them where a wait begins
                        await self.flush()
        finally:
            beat.cancel()
            renderer.close()
        return not renderer.failed

    async def _beat(self) -> None:
        """A word now and then, so that no proxy gives up a page that waits long for its turn or its kernel."""
        while True:
            await asyncio.sleep(HEARTBEAT)
            self.write("<!-- still here -->\n")
            with suppress(StreamClosedError):
                await self.flush()

    def on_connection_close(self) -> None:
        """The browser left: nothing more is built for it."""
        super().on_connection_close()
        self.left = True
        if self._task is not None and not self._task.done():
            self._task.cancel()


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
