"""``audit``: the trail of a user's signals, for the notebook that audits a bot."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dashtrade.services.bot_audit import Trail

NO_DATABASE = "There is no database at hand. Open this notebook with `dashtrade lab`, which has it ready."
NO_NAME = "Name a user: audit('ada')."


def audit(username: str = "", *, limit: int = 200) -> Trail:
    """The trail of a user of this installation; in a kernel of the workbench, of its signed-in user.

    Without a database or a name the trail is empty and says so. Raises NotFound for an unknown name.
    """
    from dashtrade.bootstrap import runtime
    from dashtrade.services.bot_audit import empty, trail_of
    from dashtrade.services.users import user_named
    from dashtrade.settings import get_settings

    own = os.environ.get("DASHTRADE_USER_ID", "")
    if get_settings().database_url is None:
        return empty(NO_DATABASE)
    if not own.isdigit() and not username.strip():
        return empty(NO_NAME)
    with runtime().uow() as uow:
        user_id = int(own) if own.isdigit() else user_named(uow, username).id
        return trail_of(uow, user_id, limit=limit)
