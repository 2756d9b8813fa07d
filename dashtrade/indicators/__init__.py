"""Technical indicators: a catalogue of declared entries, one module for each family.

``indicator(bars, "rsi", window=14)`` computes one; ``indicators()`` lists them; ``REGISTRY`` holds the declarations.
"""

from __future__ import annotations

from dashtrade.callable_module import make_callable
from dashtrade.indicators import averages, momentum, oscillators, strength, trend, volatility, volume  # noqa: F401
from dashtrade.indicators.averages import EMA_RIBBON
from dashtrade.indicators.catalogue import REGISTRY, Family, Indicator, Panel, Param
from dashtrade.indicators.compute import Columns, compute, indicator, indicators
from dashtrade.indicators.crossing import bars_needed, crosses_above, crosses_below

__all__ = [
    "EMA_RIBBON",
    "REGISTRY",
    "Columns",
    "Family",
    "Indicator",
    "Panel",
    "Param",
    "bars_needed",
    "compute",
    "crosses_above",
    "crosses_below",
    "indicator",
    "indicators",
]

make_callable(__name__, "indicators")
