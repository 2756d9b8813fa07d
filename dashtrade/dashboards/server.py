"""The dashboard server: Voilà with our own doors. Only what is registered here can be reached."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import secrets
import shutil
import signal
import sys
import tempfile
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import Any

import jinja2
import tornado.web
from jupyter_server.utils import url_path_join
from voila.app import Voila
from voila.utils import get_page_config, get_voila_labextensions_path

from dashtrade.auth import secret_files
from dashtrade.dashboards import handlers
from dashtrade.dashboards.accounts import AccountsGate
from dashtrade.dashboards.assets import AssetHandler, AssetStore, assets_version
from dashtrade.dashboards.bell import BellHandler
from dashtrade.dashboards.catalogue import Catalogue, PageInfo
from dashtrade.dashboards.config import ServerOptions, traitlets_config
from dashtrade.dashboards.connection import ALLOWED_MESSAGES, KernelSocket
from dashtrade.dashboards.environment import kernel_environment
from dashtrade.dashboards.errors import NotFoundHandler
from dashtrade.dashboards.front_end import ChartLibrary, FrontEnd, OneFile
from dashtrade.dashboards.garbage import collect_garbage
from dashtrade.dashboards.headers import security_headers
from dashtrade.dashboards.login import LoginHandler, LogoutHandler
from dashtrade.dashboards.notebooks import PageNotebooks
from dashtrade.dashboards.office.kept import Kept
from dashtrade.dashboards.office.routes import office_routes
from dashtrade.dashboards.office.shell import shell_context
from dashtrade.dashboards.proxied import ProxiedServer
from dashtrade.dashboards.rendering import use_caching_exporter
from dashtrade.dashboards.report_files import ReportFileHandler
from dashtrade.dashboards.second_step import SecondStepHandler
from dashtrade.dashboards.settings_follower import SettingsFollower
from dashtrade.dashboards.turns import Turns, pages_at_once
from dashtrade.dashboards.zygote.launcher import LAUNCHER
from dashtrade.db.unit_of_work import UnitOfWork
from dashtrade.errors import ConfigurationError, DatabaseUnavailable
from dashtrade.services.endpoint import DASHBOARD_REQUESTS, DASHBOARD_SECONDS, PAGES_OPEN
from dashtrade.services.listening import port_problem

PACKAGE = Path(__file__).resolve().parent
KERNEL_ID = r"(?P<kernel_id>[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12})"
BODY_LIMIT = 64 * 1024  # bytes: forms only
#: Seconds until a connection that says nothing, or a form that never ends, is closed. Websockets have pings.
SILENCE_LIMIT = 120
MESSAGE_LIMIT = 16 * 1024 * 1024  # bytes: a file picked in an upload widget comes as one message
#: Milliseconds. Jupyter looks for an answer just before it asks again, so that a limit of one interval would end every
#: socket at the first look; a browser that is gone is noticed after three.
PING_INTERVAL, PING_TIMEOUT = 30_000, 90_000

#: What browsers and load balancers ask by themselves, all the time; logged only where it fails.
UNLOGGED = (AssetHandler, handlers.HealthHandler, handlers.KernelStateHandler, BellHandler)
#: Jupyter's own words about each page that is opened and closed.
CHATTER = ("Starting buffering for", "Discarding %s buffered messages", "Kernel shutdown:")


def no_chatter(record: logging.LogRecord) -> bool:
    return record.levelno > logging.INFO or not str(record.msg).startswith(CHATTER)


def no_late_signals(record: logging.LogRecord) -> bool:
    """ZeroMQ signals once for all that has come, so that a channel closed in that very moment is called once more. What
    it would have read is for a page that is gone."""
    return not (str(record.msg).startswith("Got events for closed stream") and "ZMQStream" in str(record.args))


class Dashboards(Voila):
    """One server. ``new_uow`` makes units of work on the accounts' database."""

    name = "voila"  # Voilà finds its settings under its own name

    options: ServerOptions
    port: int
    catalogue: Catalogue
    new_uow: Callable[[], UnitOfWork]
    in_one_file: tuple[OneFile, ...]

    @classmethod
    def make(
        cls, options: ServerOptions, registered: dict[str, PageInfo], new_uow: Callable[[], UnitOfWork]
    ) -> Dashboards:
        share = str(PACKAGE / "share")
        if share not in os.environ.get("JUPYTER_PATH", "").split(os.pathsep):
            # Voilà and nbconvert find templates by Jupyter's data path alone
            os.environ["JUPYTER_PATH"] = os.pathsep.join(filter(None, (share, os.environ.get("JUPYTER_PATH"))))
        use_caching_exporter()
        log = logging.getLogger("dashtrade.dashboards")
        log.addFilter(no_chatter)
        logging.getLogger("tornado.general").addFilter(no_late_signals)
        app = cls(config=traitlets_config(options), config_file_paths=[], log=log)
        app.options = options
        app.catalogue = Catalogue(options.apps, registered)
        app.new_uow = new_uow
        app.port = options.port
        app.initialize([])
        return app

    # ------------------------------------------------------------------ settings

    def init_settings(self) -> dict[str, Any]:
        settings: dict[str, Any] = super().init_settings()
        options = self.options
        secure = options.settings.secure_cookies
        gate = AccountsGate(self.new_uow, lambda: secret_files.signin_key(options.settings))
        self.identity_provider.gate = gate
        self.identity_provider.secure = secure
        self.identity_provider.cookie_path = options.settings.base_url
        manager = self.kernel_manager
        manager.allowed_message_types = ALLOWED_MESSAGES
        manager.environment = kernel_environment(
            options.settings, options.database_url, Path(self.connection_dir) / "ipython"
        )
        self.assets = assets_version(PACKAGE)
        screens = jinja2.Environment(
            loader=jinja2.FileSystemLoader(PACKAGE / "templates"), autoescape=True, undefined=jinja2.StrictUndefined
        )
        settings.update(
            cookie_secret=secrets.token_bytes(32),  # nothing is kept in signed cookies
            xsrf_cookies=True,
            xsrf_cookie_kwargs={"samesite": "Lax", "secure": secure, "path": options.settings.base_url},
            login_url=url_path_join(self.base_url, "login"),
            allow_unauthenticated_access=False,
            compress_response=True,
            headers=security_headers(secure),
            default_handler_class=NotFoundHandler,
            websocket_max_message_size=MESSAGE_LIMIT,
            ws_ping_interval=PING_INTERVAL,
            ws_ping_timeout=PING_TIMEOUT,
            contents_manager=PageNotebooks(self.catalogue),
            dashtrade_catalogue=self.catalogue,
            dashtrade_screens=screens,
            dashtrade_assets_url=self.assets_url,
            dashtrade_settings=options.settings,
            dashtrade_check_sessions=self.check_sessions,
            dashtrade_kept=Kept(),
            log_function=self.log_request,
        )
        self.gate = gate
        return settings

    @property
    def assets_url(self) -> str:
        return url_path_join(self.base_url, "assets", self.assets)

    @cached_property
    def front_end_config(self) -> dict[str, Any]:
        """What the front end is told on every page; Voilà would read it from the files of all extensions each time."""
        found: dict[str, Any] = get_page_config(
            base_url=self.base_url,
            settings=self.app.settings,
            log=self.log,
            voila_configuration=self.voila_configuration,
        )
        return {
            **found,
            "fullStaticUrl": url_path_join(self.assets_url, "voila"),
            "fullLabextensionsUrl": url_path_join(self.assets_url, "lab"),
        }

    def page_config(self, handler: Any) -> dict[str, Any]:
        """What the template of this page and its scripts know."""
        return {**self.front_end_config, "dashtrade": shell_context(handler, handler.page)}

    # ------------------------------------------------------------------ doors

    def init_handlers(self) -> list[Any]:
        """The complete list. Voilà's own (tree, contents, files, query, delete a kernel) are not among them."""
        headers = security_headers(self.options.settings.secure_cookies)
        own = AssetStore([PACKAGE / "static"])
        front_end = AssetStore([Path(path) for path in self.static_paths])
        extensions = AssetStore([Path(path) for path in get_voila_labextensions_path()])
        self.in_one_file = (FrontEnd({"voila": front_end, "lab": extensions}), ChartLibrary())
        page = {
            "template_paths": self.template_paths,
            "config": self.config,
            "voila_configuration": self.voila_configuration,
            "turns": Turns(pages_at_once()),
            "page_config": self.page_config,
        }
        assets = rf"assets/{self.assets}"
        routes: list[tuple[Any, ...]] = [
            (r"", handlers.IndexHandler),
            (r"(?:healthz|health|health/live)", handlers.HealthHandler),
            (r"health/ready", handlers.ReadyHandler, {"gate": self.identity_provider.gate}),
            (r"login", LoginHandler),
            (r"logout", LogoutHandler),
            (r"second-step", SecondStepHandler),
            *office_routes(),
            (r"api/notifications", BellHandler),
            (r"reports/([0-9]{1,18})\.(html|ipynb)", ReportFileHandler),
            *(
                (rf"{assets}/({one.name})", AssetHandler, {"store": one, "headers": headers})
                for one in self.in_one_file
            ),
            (rf"{assets}/app/(.*)", AssetHandler, {"store": own, "headers": headers}),
            (rf"{assets}/voila/(.*)", AssetHandler, {"store": front_end, "headers": headers}),
            (rf"{assets}/lab/(.*)", AssetHandler, {"store": extensions, "headers": headers}),
            (rf"api/kernels/{KERNEL_ID}", handlers.KernelStateHandler),
            (rf"api/kernels/{KERNEL_ID}/channels", KernelSocket),
            (rf"voila/api/shutdown/{KERNEL_ID}", handlers.CloseHandler),
            (r"voila/render/(.*)", handlers.OldAddressHandler),
            (r"([a-z][a-z0-9_-]*)", handlers.PageHandler, page),
        ]
        return [(url_path_join(self.base_url, route[0]) if route[0] else self.base_url, *route[1:]) for route in routes]

    def log_request(self, handler: tornado.web.RequestHandler) -> None:
        """One line a request, without its query: symbols and searches are nobody else's business."""
        DASHBOARD_REQUESTS.labels(str(handler.get_status())).inc()
        if handler.get_status() != 101:  # a websocket lasts as long as its page
            DASHBOARD_SECONDS.observe(handler.request.request_time())
        PAGES_OPEN.set(len(self.kernel_manager.owners))
        if isinstance(handler, UNLOGGED) and handler.get_status() < 400:
            return
        level = self.log.error if handler.get_status() >= 500 else self.log.info
        user = getattr(handler.current_user, "username", "-") if hasattr(handler, "_current_user") else "-"
        milliseconds = 1000 * handler.request.request_time()
        level(
            "%s %s %s %s %.0f ms",
            handler.get_status(),
            handler.request.method,
            handler.request.path,
            user,
            milliseconds,
        )

    # ------------------------------------------------------------------ life

    def start(self) -> None:
        """Serve until SIGTERM or SIGINT, then end every kernel."""
        self.connection_dir = tempfile.mkdtemp(prefix="dashtrade-pages-")
        try:
            asyncio.run(self._serve())
        finally:
            LAUNCHER.stop()
            shutil.rmtree(self.connection_dir, ignore_errors=True)

    async def _serve(self) -> None:
        self._sessions_changed = asyncio.Event()
        settings = self.init_settings()
        self.app = tornado.web.Application(**settings)
        follower = SettingsFollower(self.options.settings, self.gate, self.kernel_manager, self.app.settings)
        with contextlib.suppress(DatabaseUnavailable):  # it is looked at again every few seconds
            await follower.refresh()
        self.app.add_handlers(".*$", self.init_handlers())
        given = self.options.settings
        local = given.host in ("127.0.0.1", "::1", "localhost")
        behind_proxy = given.behind_proxy or (given.secure_cookies and local)
        server = ProxiedServer(
            self.app,
            xheaders=behind_proxy,
            max_body_size=BODY_LIMIT,
            idle_connection_timeout=SILENCE_LIMIT,
            body_timeout=SILENCE_LIMIT,
        )
        try:
            server.listen(self.port, self.ip)
        except OSError as error:
            raise ConfigurationError(port_problem(error, self.ip, self.port, "DASHTRADE_DASHBOARDS_PORT")) from None
        self.port = next(iter(server._sockets.values())).getsockname()[1]
        self.log.info("The dashboards are at %s", self.connection_url)
        if self.options.settings.warm_kernels:  # now, so that the login page does not wait for its imports
            LAUNCHER.start(self.options.preload)
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        for one in self.in_one_file:
            loop.run_in_executor(None, one.build)  # now and aside: the first page would wait for it
        if sys.platform == "win32":
            signal.signal(signal.SIGINT, lambda *_: loop.call_soon_threadsafe(stop.set))
        else:
            for number in (signal.SIGTERM, signal.SIGINT):
                loop.add_signal_handler(number, stop.set)
        work = (self._watch_sessions(), follower.watch(self.options.check_sessions_seconds), collect_garbage())
        watches = [asyncio.create_task(each) for each in work]
        await stop.wait()
        self.log.info("Stopping: %d pages are open", len(self.kernel_manager.owners))
        for watch in watches:
            watch.cancel()
        server.stop()
        await self.kernel_manager.shutdown_all(now=True)
        await server.close_all_connections()
        self.gate.close()

    def check_sessions(self) -> None:
        """A form may have ended sessions or changed a role: look now. Another host of the dashboards looks when its
        time comes."""
        self._sessions_changed.set()

    async def _watch_sessions(self) -> None:
        """End the pages of sessions that are over, and of people whose role has changed."""
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self.options.check_sessions_seconds):
                    await self._sessions_changed.wait()
            self._sessions_changed.clear()
            tokens = {owner.token for owner in self.kernel_manager.owners.values()}
            try:
                users = {token: await self.gate.user_of(token) for token in tokens}
            except DatabaseUnavailable as error:
                self.log.warning("Sessions cannot be checked now: %s", error)
                continue
            except Exception:  # the watch must go on as long as the server does
                self.log.exception("Sessions could not be checked")
                continue
            valid = {token: user.role if user is not None and user.is_active else None for token, user in users.items()}
            await self.kernel_manager.end_stale(valid)
