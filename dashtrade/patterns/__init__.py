"""Patterns in prices: candlesticks, and chart patterns with their life from forming to the end."""

from __future__ import annotations

from dashtrade.patterns.candlestick import CANDLESTICKS, INDECISION, USUAL, Candlestick, candlestick_patterns
from dashtrade.patterns.chart import ChartHit, ChartScanner, chart_patterns
from dashtrade.patterns.chart_names import CHART_PATTERNS, ChartPattern
from dashtrade.patterns.evidence import pattern_evidence
from dashtrade.patterns.lmw import LMW_PATTERNS, lmw_hits, lmw_patterns
from dashtrade.patterns.pivots import pivots

__all__ = [
    "CANDLESTICKS",
    "CHART_PATTERNS",
    "INDECISION",
    "LMW_PATTERNS",
    "USUAL",
    "Candlestick",
    "ChartHit",
    "ChartPattern",
    "ChartScanner",
    "candlestick_patterns",
    "chart_patterns",
    "lmw_hits",
    "lmw_patterns",
    "pattern_evidence",
    "pivots",
]
