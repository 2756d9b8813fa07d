"""The registry of pages: what the menu lists and who may open what. Importing it loads no widget library."""

from __future__ import annotations

import pkgutil
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

from dashtrade.domain.users import Role
from dashtrade.pages.context import PageContext
from dashtrade.registry import Registry


@dataclass(frozen=True, slots=True)
class Page:
    """One page. ``build`` gets the signed-in user's context and returns the widget to show."""

    slug: str
    title: str
    role: Role
    order: int
    icon: str
    help: str
    build: Callable[[PageContext], object]
    has_chart: bool = False

    def allows(self, role: Role) -> bool:
        return role.includes(self.role)


PAGES: Registry[Page] = Registry("page")

Builder = Callable[[PageContext], object]


def page(
    slug: str,
    *,
    title: str,
    role: Role = Role.USER,
    order: int,
    icon: str = "",
    help: str = "",
    has_chart: bool = False,
) -> Callable[[Builder], Builder]:
    """Registers the decorated function as the builder of a page.

    ``order`` sorts the menu, ``icon`` is one character shown beside the title, ``help`` is the text of the help panel.
    With ``has_chart`` the browser loads the price chart's script while the page is built.
    The module that uses it must stay light: widgets are imported inside the function.
    """

    def register(build: Builder) -> Builder:
        PAGES.register(slug, Page(slug, title, role, order, icon, help, build, has_chart))
        return build

    return register


def discover(package: str, path: list[str]) -> None:
    """Imports ``<package>.<x>.page`` for every subpackage that has one, which registers it."""
    for module in pkgutil.iter_modules(path):
        if module.ispkg and any(Path(folder, module.name, "page.py").is_file() for folder in path):
            import_module(f"{package}.{module.name}.page")


def menu(role: Role) -> list[Page]:
    """The pages the role may open, in menu order."""
    return sorted((p for p in PAGES.values() if p.allows(role)), key=lambda p: (p.order, p.slug))
