"""The pages that can be served, their titles and roles: from the page registry, or from a notebook's own metadata."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from dashtrade.domain.users import Role

log = logging.getLogger("dashtrade.dashboards")

SLUG = re.compile(r"[a-z][a-z0-9_-]{0,40}")
ADDRESSES_IN_USE = {
    "login", "logout", "healthz", "assets", "api", "voila", "account", "admin", "register", "set-password",
    "second-step", "new-password", "forgotten", "lab",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class PageInfo:
    """One notebook in ``apps/``. ``role`` is the least role that may open it; the menu is sorted by ``order``. One that
    ``has_chart`` draws a price chart as soon as it is there."""

    slug: str
    title: str
    role: Role
    order: int
    has_chart: bool = False


#: Pages that the server itself answers, without a kernel: what they touch must not come near one.
ACCOUNT = PageInfo("account", "Account", Role.USER, 900)
ADMIN = PageInfo("admin", "Administration", Role.ADMIN, 950)


def registered_pages() -> dict[str, PageInfo]:
    """What the pages package declares. Looked up by name, since that package is built on top of this one."""
    pages: Mapping[str, Any] = import_module("dashtrade.pages").PAGES
    return {slug: PageInfo(slug, page.title, page.role, page.order, page.has_chart) for slug, page in pages.items()}


class Catalogue:
    """Slug → page, for every notebook in ``folder`` with a declared role. Read again when the folder changes."""

    def __init__(self, folder: Path, registered: Mapping[str, PageInfo]) -> None:
        self.folder = folder
        self._registered = registered
        self._stamp: tuple[tuple[str, int], ...] | None = None
        self._pages: dict[str, PageInfo] = {}

    def pages(self) -> dict[str, PageInfo]:
        files = sorted(self.folder.glob("*.ipynb"))
        stamp = tuple((file.name, file.stat().st_mtime_ns) for file in files)
        if stamp != self._stamp:
            found = [page for file in files if (page := self._page(file)) is not None]
            self._pages = {page.slug: page for page in sorted(found, key=lambda page: (page.order, page.slug))}
            self._stamp = stamp
        return self._pages

    def get(self, slug: str) -> PageInfo | None:
        return self.pages().get(slug)

    def open_to(self, role: Role) -> list[PageInfo]:
        return [page for page in self.pages().values() if role.includes(page.role)]

    def menu(self, role: Role) -> list[PageInfo]:
        """What the bar lists for this role."""
        return [*self.open_to(role), *([ADMIN] if role.includes(ADMIN.role) else [])]

    def _page(self, file: Path) -> PageInfo | None:
        if not SLUG.fullmatch(file.stem) or file.stem in ADDRESSES_IN_USE:
            log.error("%s is not served: its name must be lower-case letters, digits, - and _, and free", file.name)
            return None
        return self._registered.get(file.stem) or declared_page(file)


def declared_page(file: Path) -> PageInfo | None:
    """The page a notebook describes itself; None (logged) when it names no role, for then nobody may open it."""
    try:
        declared = json.loads(file.read_text(encoding="utf-8"))["metadata"]["dashtrade"]
        title = str(declared.get("title") or file.stem.title())
        return PageInfo(file.stem, title, Role(declared["role"]), int(declared.get("order", 500)))
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        log.error(
            '%s is not served: register it as a page, or give its metadata "dashtrade": {"role": "user"} (%s)',
            file.name,
            type(error).__name__,
        )
        return None
