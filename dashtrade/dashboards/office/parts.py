"""The parts of the administration, as its tabs show them."""

from __future__ import annotations

from typing import Any

from dashtrade.dashboards.office.shell import OfficePage
from dashtrade.domain.users import Role

SETTINGS = "settings"
PARTS = {"": "Users", "sessions": "Sessions", "jobs": "Jobs", "audit": "Audit log", "system": "System"}


def parts_for(role: Role) -> list[dict[str, str]]:
    """Slug and title of the parts that this role may open."""
    more = {SETTINGS: "Settings"} if role is Role.SUPERADMIN else {}
    return [{"slug": slug, "title": title} for slug, title in (PARTS | more).items()]


class AdminPart(OfficePage):
    """A page with the tabs of the administration."""

    def write_part(self, template: str, part: str, *, problem: str = "", **values: Any) -> None:
        """The page; ``part`` is the tab it is under."""
        self.write_page(template, problem=problem, part=part, parts=parts_for(self.me.role), **values)
