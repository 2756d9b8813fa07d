"""The script that draws price charts: one file that browsers keep, so that it does not come with the state
of each page.

Where pages are served, kernels are told so (:data:`VARIABLE`); elsewhere, as in JupyterLab, a chart brings it along.
"""

from __future__ import annotations

import os
from functools import lru_cache
from importlib import resources

NAME = "chart.js"
VARIABLE, SERVED = "DASHTRADE_CHART_LIBRARY", "served"
#: Where the page has not begun to load it, or it has not come yet. A page names its address.
_FETCH = """if (!globalThis.LightweightCharts) await new Promise((done, fail) => {
  const script = document.createElement("script");
  script.src = document.querySelector('meta[name="dt-chart"]').content;
  script.onload = done;
  script.onerror = () => fail(new Error("The script of the chart could not be loaded. Reload the page."));
  document.head.append(script);
});
"""


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


def chart_prologue() -> str:
    """What stands above the script of a chart, so that the library is there."""
    return _FETCH if os.environ.get(VARIABLE) == SERVED else chart_library()
