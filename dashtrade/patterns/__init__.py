"""Patterns in prices: candlesticks, and chart patterns with their life from forming to the end."""

from __future__ import annotations

from dashtrade.patterns.candlestick import CANDLESTICKS, USUAL, Candlestick, candlestick_patterns

__all__ = ["CANDLESTICKS", "USUAL", "Candlestick", "candlestick_patterns"]
