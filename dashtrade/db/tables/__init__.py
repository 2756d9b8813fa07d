"""All tables on one metadata: importing this package imports every module in it, so a new module is found by itself."""

from __future__ import annotations

from importlib import import_module
from pkgutil import iter_modules

from dashtrade.db.tables.base import Base

for _module in iter_modules(__path__):
    import_module(f"{__name__}.{_module.name}")

__all__ = ["Base"]
