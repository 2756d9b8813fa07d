"""Takes over what superadmins change while the server runs, here and on other machines."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

from dashtrade.dashboards.accounts import AccountsGate
from dashtrade.dashboards.kernels import OwnedKernelManager
from dashtrade.errors import DatabaseUnavailable
from dashtrade.services.system_settings import CurrentSettings
from dashtrade.settings import Settings

log = logging.getLogger("dashtrade.dashboards")


class SettingsFollower:
    """Keeps ``dashtrade_settings`` among the server's own values, and the limits of pages, as they hold now.

    ``environment`` is what the process was started with. While the database is away the last known values go on.
    """

    def __init__(
        self, environment: Settings, gate: AccountsGate, manager: OwnedKernelManager, shared: dict[str, Any]
    ) -> None:
        self.environment = environment
        self._current, self._gate, self._manager, self._shared = CurrentSettings(environment), gate, manager, shared
        shared["dashtrade_follower"] = self

    async def refresh(self) -> None:
        """Look now. Raises DatabaseUnavailable."""
        await self._gate.ask(self._current.refresh)
        settings = self._current.now
        if settings is not self._shared["dashtrade_settings"]:
            self._shared["dashtrade_settings"] = settings
            self._manager.set_limits(settings.pages_per_user, settings.pages_total, settings.page_idle_seconds)
            log.info("Settings that are changed at run time were read again")

    async def watch(self, seconds: float) -> None:
        """Look every so many seconds, for ever."""
        away = False
        while True:
            await asyncio.sleep(seconds)
            try:
                await self.refresh()
                away = False
            except DatabaseUnavailable as error:
                if not away:
                    log.warning("The settings cannot be read now, the last known go on: %s", error)
                away = True
            except Exception:  # the watch must go on as long as the server does
                log.exception("The settings could not be read")
