"""The catalogue as a page for readers: ``python -m dashtrade.indicators.reference FOLDER``.

Writes ``indicators.md`` and one picture for each entry, drawn over made-up prices that are the same every time.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from dashtrade.indicators.catalogue import REGISTRY, Family, Indicator
from dashtrade.indicators.compute import indicator

if TYPE_CHECKING:
    from matplotlib.axes import Axes

SHOWN = 160
"""Bars in a picture; warm-up happens before them."""


def made_up_bars(n: int = 520) -> pd.DataFrame:
    """Daily prices with rises, falls and calm stretches."""
    rng = np.random.default_rng(20)
    swing = 0.004 * np.sin(np.arange(n) / 23) + 0.002 * np.sin(np.arange(n) / 61)
    close = 100 * np.exp(np.cumsum(swing + rng.normal(0, 0.008, n)))
    open_ = np.r_[100.0, close[:-1]] * np.exp(rng.normal(0, 0.003, n))
    high = np.maximum(open_, close) * (1 + rng.uniform(0, 0.008, n))
    low = np.minimum(open_, close) * (1 - rng.uniform(0, 0.008, n))
    volume = np.round(rng.lognormal(12, 0.4, n))
    index = pd.date_range("2023-01-02", periods=n, freq="B", tz="UTC", name="time")
    return pd.DataFrame({"open": open_, "high": high, "low": low, "close": close, "volume": volume}, index=index)


def draw(entry: Indicator, bars: pd.DataFrame, path: Path) -> None:
    """The entry over the last bars, on the prices or in a panel below them."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    values = indicator(bars, entry.key)
    table = values.to_frame(entry.key) if isinstance(values, pd.Series) else values
    figure = Figure(figsize=(7.2, 2.6 if entry.panel.overlay else 3.4), dpi=90)
    FigureCanvasAgg(figure)
    if entry.panel.overlay:
        prices = own = figure.subplots()
    else:
        prices, own = figure.subplots(2, 1, sharex=True, gridspec_kw={"height_ratios": [3, 2]})
    figure.subplots_adjust(left=0.07, right=0.99, top=0.97, bottom=0.1, hspace=0.08)
    shown = bars.iloc[-SHOWN:]
    prices.vlines(shown.index, shown["low"], shown["high"], color="0.6", linewidth=0.7)
    prices.plot(shown.index, shown["close"], color="0.25", linewidth=0.9)
    for name in table:
        line = table[name].iloc[-SHOWN:]
        axes: Axes = own
        if name in entry.off_price:
            continue
        axes.plot(line.index, line, linewidth=1.1, label=name)
    for guide in entry.panel.guides:
        own.axhline(guide, color="0.7", linewidth=0.6, linestyle="--")
    own.legend(fontsize=7, loc="upper left", frameon=False)
    for axes in {id(a): a for a in (prices, own)}.values():
        axes.tick_params(labelsize=7)
        axes.margins(x=0.01)
    figure.savefig(path)


def text_of(entry: Indicator) -> str:
    """One entry in Markdown, with the picture's name."""
    lines = [
        f"### {entry.label} (`{entry.key}`)",
        "",
        f"![{entry.label}](indicators/{entry.key}.png)",
        "",
        f"{entry.formula[0].upper()}{entry.formula[1:]}.",
        "",
        f"- Source: {entry.source}. Computed by {entry.library}.",
        f"- Reads {', '.join(entry.inputs)}; gives {', '.join(entry.outputs)}.",
        f"- Empty for the first {max(entry.leading())} bars at the defaults."
        + (" Undefined (NaN) while prices stand still." if entry.flat_nan else ""),
    ]
    for p in entry.params:
        lines.append(f"- `{p.name}` = {p.default} ({p.label.lower() or p.name}; {p.range_text})")
    return "\n".join([*lines, ""])


def write(folder: Path) -> Path:
    """Writes the page and its pictures into ``folder`` and gives the page's path."""
    bars = made_up_bars()
    pictures = folder / "indicators"
    pictures.mkdir(parents=True, exist_ok=True)
    parts = [f"# Indicators\n\n{len(REGISTRY)} indicators, by family. `indicator(bars, key, **params)` computes one.\n"]
    for family in Family:
        parts.append(f"## {family.value.capitalize()}\n")
        for entry in REGISTRY.values():
            if entry.family is family:
                draw(entry, bars, pictures / f"{entry.key}.png")
                parts.append(text_of(entry))
    page = folder / "indicators.md"
    page.write_text("\n".join(parts), encoding="utf-8")
    return page


if __name__ == "__main__":
    print(write(Path(sys.argv[1] if len(sys.argv) > 1 else "docs")))
