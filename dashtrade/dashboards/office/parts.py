"""The parts of the administration, as its tabs show them."""

from __future__ import annotations

from dashtrade.domain.users import Role

SETTINGS = "settings"
PARTS = {"": "Users", "sessions": "Sessions", "jobs": "Jobs", "audit": "Audit log", "system": "System"}


def parts_for(role: Role) -> list[dict[str, str]]:
    """Slug and title of the parts that this role may open."""
    more = {SETTINGS: "Settings"} if role is Role.SUPERADMIN else {}
    return [{"slug": slug, "title": title} for slug, title in (PARTS | more).items()]
