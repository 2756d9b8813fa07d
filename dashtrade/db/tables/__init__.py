"""All tables on one metadata: importing this module is what makes the metadata whole."""

from __future__ import annotations

from dashtrade.db.tables import accounts, research, trading
from dashtrade.db.tables.base import Base

__all__ = ["Base", "accounts", "research", "trading"]
