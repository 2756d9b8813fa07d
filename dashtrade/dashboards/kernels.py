"""Kernels that belong to the person whose page request started them."""

from __future__ import annotations

import asyncio
import os
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from jupyter_client.kernelspec import KernelSpecManager
from jupyter_server.base.call_context import CallContext
from jupyter_server.services.kernels.kernelmanager import AsyncMappingKernelManager
from tornado import web
from traitlets import Dict, Integer, List, Unicode

from dashtrade.dashboards.identity import SignedIn
from dashtrade.domain.formats import known_zone
from dashtrade.domain.users import Role

ZONE_COOKIE = "dashtrade_zone"
PACKAGE = Path(__file__).resolve().parent


class PackagedKernelSpecs(KernelSpecManager):
    """Only the kernel that comes with this package: nothing has to be installed, and nothing else can be started."""

    def _kernel_dirs_default(self) -> list[str]:
        return [str(PACKAGE / "kernelspecs")]


@dataclass(slots=True)
class Ownership:
    """Whose kernel it is, under which session and role it was started (``since``: seconds of the monotonic clock);
    ``reached``: whether a browser has been connected."""

    user_id: int
    username: str
    role: Role
    token: str
    page: str
    since: float
    reached: bool = False


def browser_zone(handler: Any) -> str:
    """The time zone that the browser says it is in, or nothing where it is none that is known here."""
    name = unquote(handler.get_cookie(ZONE_COOKIE) or "")[:64]
    return name if name and known_zone(name) else ""


def look_every(idle: int) -> int:
    """Seconds between looks for pages that have been idle for ``idle`` seconds."""
    return max(1, min(60, idle // 4))


class OwnedKernelManager(AsyncMappingKernelManager):
    """Takes the owner from the request that is being answered, and records it before the kernel starts."""

    inherited = List(Unicode(), config=True, help="names passed on from the server's environment")
    environment = Dict(config=True, help="values every kernel gets")
    max_per_user = Integer(8, config=True, help="pages one person may have open")
    max_total = Integer(200, config=True, help="pages open at once on this server")

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.owners: dict[str, Ownership] = {}
        #: kernel id → what closes the sockets that browsers have open to it
        self._sockets: dict[str, set[Callable[[], None]]] = {}
        #: kernel id → forgotten pages that end before this one starts
        self._ending: dict[str, list[str]] = {}
        self._burials: set[asyncio.Task[None]] = set()

    def belongs_to(self, kernel_id: str | None, user_id: int) -> bool:
        owner = self.owners.get(kernel_id or "")
        return owner is not None and owner.user_id == user_id

    def set_limits(self, per_user: int, total: int, idle: int) -> None:
        """From now on so many pages, and ``idle`` seconds until a forgotten one ends. Pages that are open stay open."""
        self.max_per_user, self.max_total = per_user, total
        if idle == self.cull_idle_timeout:
            return
        self.cull_idle_timeout, self.cull_interval = idle, look_every(idle)
        if self._initialized_culler:  # its clock keeps the interval that it was started with
            if self._culler_callback is not None:
                self._culler_callback.stop()
            self._culler_callback, self._initialized_culler = None, False
            self.initialize_culler()

    def take_place(self) -> str:
        """The id of a kernel for the page that is being asked for; it belongs to the person from now on. Raises 403
        when it is no page request, 429 when there is no room.

        Before anything is waited for: a browser that opens its tabs again asks for several pages in one moment.
        """
        handler = CallContext.get(CallContext.JUPYTER_HANDLER)
        user = getattr(handler, "current_user", None)
        page = getattr(handler, "page", None)
        if not isinstance(user, SignedIn) or page is None:  # only a page request starts kernels
            raise web.HTTPError(403)
        ending = self._make_room(user)
        kernel_id = str(uuid.uuid4())
        self.owners[kernel_id] = Ownership(
            user.user_id, user.username, user.role, user.token, page.slug, time.monotonic()
        )
        self._ending[kernel_id] = ending
        return kernel_id

    async def start_kernel(  # type: ignore[override]
        self, *, kernel_id: str, env: Mapping[str, str] | None = None, **kwargs: Any
    ) -> str:
        """Starts the kernel of a place that was taken in the same request."""
        handler = CallContext.get(CallContext.JUPYTER_HANDLER)
        user = getattr(handler, "current_user", None)
        if not isinstance(user, SignedIn) or not self.belongs_to(kernel_id, user.user_id):
            raise web.HTTPError(403)
        try:
            await self._end(self._ending.pop(kernel_id, []))
            environment = self._kernel_environment(env or {}, user, browser_zone(handler))
            await super().start_kernel(kernel_id=kernel_id, env=environment, **kwargs)
            if kernel_id not in self.owners:  # the session ended meanwhile
                await self.shutdown_kernel(kernel_id, now=True)
                raise web.HTTPError(403)
        except BaseException:
            self.owners.pop(kernel_id, None)
            raise
        return kernel_id

    async def give_up(self, kernel_id: str) -> None:
        """End the kernel, or the place that was taken for it."""
        await self._end(self._ending.pop(kernel_id, []))
        if kernel_id in self:
            await self.shutdown_kernel(kernel_id, now=True)
        self.owners.pop(kernel_id, None)

    def _kernel_environment(self, proposed: Mapping[str, str], user: SignedIn, zone: str = "") -> dict[str, str]:
        """Names from the allow-list only; who the user is comes last, so that nothing can override it."""
        values = {name: os.environ[name] for name in self.inherited if name in os.environ}
        values.update({name: proposed[name] for name in ("QUERY_STRING", "SCRIPT_NAME") if name in proposed})
        values.update({name: text for name, text in proposed.items() if name in ("VOILA_BASE_URL", "VOILA_SERVER_URL")})
        values.update(self.environment)
        values.update(
            DASHTRADE_BROWSER_ZONE=zone,
            DASHTRADE_USER_ID=str(user.user_id),
            DASHTRADE_USERNAME=user.username,
            DASHTRADE_ROLE=user.role.value,
        )
        return {name: text.replace("\0", "") for name, text in values.items()}

    def _make_room(self, user: SignedIn) -> list[str]:
        """The user's own forgotten pages that have to end when there are too many; nobody owns them any more. Refuses
        when all of them are in use."""
        if len(self.owners) >= self.max_total:
            raise web.HTTPError(429, "total")
        mine = sorted((owner.since, key) for key, owner in self.owners.items() if owner.user_id == user.user_id)
        excess = len(mine) - self.max_per_user + 1
        if excess <= 0:
            return []
        now = time.monotonic()
        forgotten = [
            key
            for since, key in mine
            # a page that was opened a moment ago has not connected yet
            if key in self and not self._kernel_connections.get(key) and (self.owners[key].reached or now - since > 30)
        ]
        if len(forgotten) < excess:
            raise web.HTTPError(429, "user")
        for key in forgotten[:excess]:
            del self.owners[key]
        return forgotten[:excess]

    def notify_connect(self, kernel_id: str) -> None:
        super().notify_connect(kernel_id)
        if kernel_id in self.owners:
            self.owners[kernel_id].reached = True

    def socket_opened(self, kernel_id: str, close: Callable[[], None]) -> None:
        """``close()`` is called when the kernel ends; at once where it has ended already."""
        if kernel_id in self:
            self._sockets.setdefault(kernel_id, set()).add(close)
        else:
            close()

    def socket_closed(self, kernel_id: str, close: Callable[[], None]) -> None:
        waiting = self._sockets.get(kernel_id, set())
        waiting.discard(close)
        if not waiting:
            self._sockets.pop(kernel_id, None)

    def _close_sockets(self, kernel_id: str) -> None:
        for close in self._sockets.pop(kernel_id, set()):
            close()

    def remove_kernel(self, kernel_id: str) -> Any:
        self.owners.pop(kernel_id, None)
        removed = super().remove_kernel(kernel_id)
        self._close_sockets(kernel_id)  # however it ended, and those that opened while it did
        return removed

    def _handle_kernel_died(self, kernel_id: str) -> None:
        """What Jupyter calls for a process that has ended by itself; it would keep its files and handles."""
        self.log.warning("Kernel %s has died", kernel_id)
        task = asyncio.get_running_loop().create_task(self.bury(kernel_id))
        self._burials.add(task)
        task.add_done_callback(self._burials.discard)

    async def bury(self, kernel_id: str) -> None:
        """Clear away what is left of a kernel whose process has ended, and tell its page."""
        if kernel_id in self and self.owners.pop(kernel_id, None) is not None:  # else that is under way
            await self._end([kernel_id])

    async def end_session(self, token: str) -> None:
        """End every kernel started under this session."""
        await self._end([key for key, owner in self.owners.items() if owner.token == token])

    async def end_stale(self, valid: Mapping[str, Role | None]) -> None:
        """End kernels whose session is over or whose role has changed; ``valid`` is token → role now (None: over)."""
        await self._end(
            [key for key, owner in self.owners.items() if owner.token in valid and valid[owner.token] is not owner.role]
        )

    async def _end(self, kernel_ids: list[str]) -> None:
        running = [key for key in kernel_ids if key in self]
        for key in set(kernel_ids).difference(running):  # a place whose kernel has not started: now it never will
            self.owners.pop(key, None)
        for key in running:  # nothing more is said to a page whose right is over, nor heard from it
            self._close_sockets(key)
        await asyncio.gather(*(self.shutdown_kernel(key, now=True) for key in running), return_exceptions=True)
