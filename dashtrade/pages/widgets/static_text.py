"""Reads the scripts and styles of the widgets, once."""

from __future__ import annotations

from functools import cache, lru_cache
from importlib import resources
from pathlib import Path

_HERE = Path(__file__).parent / "static"
_SHARED = Path(__file__).parents[2] / "dashboards" / "static"


@cache
def static_text(name: str) -> str:
    return (_HERE / name).read_text(encoding="utf-8")


@cache
def shared_text(name: str) -> str:
    """Of a script that the server's own pages run too."""
    return (_SHARED / name).read_text(encoding="utf-8")


@lru_cache(maxsize=1)
def chart_library() -> str:
    """TradingView's Lightweight Charts (Apache-2.0), as the ``lwcharts`` package ships it, made to run once a page.

    Its licence text and the logo on the chart are the attribution its licence asks for: both stay.
    """
    script = (
        resources.files("lwcharts")
        .joinpath("vendor/lightweight-charts.standalone.production.js")
        .read_text(encoding="utf-8")
    )
    return f"if (!globalThis.LightweightCharts) {{\n{script}\n}}\n"
