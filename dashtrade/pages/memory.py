"""A page's last inputs, kept in the user's preferences where a database is there."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping

from dashtrade.errors import DashTradeError
from dashtrade.pages.context import PageContext
from dashtrade.pages.guard import log


class Memory:
    """Inputs as plain text values under ``page.<slug>``. Without a database nothing is kept and nothing fails."""

    def __init__(self, context: PageContext, slug: str) -> None:
        self._user_id = context.user_id
        self._key = f"page.{slug}"
        self.here = bool(os.environ.get("DATABASE_URL"))

    def load(self) -> dict[str, str]:
        if not self.here:
            return {}
        from dashtrade.bootstrap import runtime
        from dashtrade.services.preferences import get_preference

        try:
            text = get_preference(runtime().uow(), self._user_id, self._key)
            values = json.loads(text or "{}")
        except (DashTradeError, ValueError) as error:
            log.warning("last inputs were not read: %s", error)
            return {}
        return {str(k): str(v) for k, v in values.items()} if isinstance(values, dict) else {}

    def save(self, values: Mapping[str, str]) -> None:
        """A database that is away must not disturb the chart: it is logged."""
        if not self.here:
            return
        from dashtrade.bootstrap import runtime
        from dashtrade.services.preferences import set_preference

        try:
            set_preference(runtime().uow(), self._user_id, self._key, json.dumps(dict(values)))
        except DashTradeError as error:
            log.warning("last inputs were not kept: %s", error)
