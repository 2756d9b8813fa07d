"""A strategy elsewhere: as a Pine v6 script, as TradingView's alert message, as a notebook."""

from __future__ import annotations

from dashtrade.strategies.exporters.alert import alert_message
from dashtrade.strategies.exporters.notebook import to_notebook
from dashtrade.strategies.exporters.pine import CannotExport, to_pine

__all__ = ["CannotExport", "alert_message", "to_notebook", "to_pine"]
