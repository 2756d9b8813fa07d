"""Yahoo Finance, read by yfinance."""

from __future__ import annotations

from dashtrade.data.yahoo.source import YahooSource

__all__ = ["YahooSource"]
