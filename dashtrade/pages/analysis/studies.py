"""Indicators on the chart: read from text, computed, and laid out in panes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from dashtrade.errors import InvalidInput
from dashtrade.pages.chart_data import SERIES_COLOURS, Line, PanelSpec

if TYPE_CHECKING:
    import pandas as pd

    from dashtrade.indicators.catalogue import Indicator

MOST = 8
COLOUR_OF = {"rsi": "#8E6FD8"}


@dataclass(frozen=True, slots=True)
class Study:
    """An indicator chosen for the chart, with the parameters that differ from its defaults."""

    key: str
    params: tuple[tuple[str, Any], ...] = ()

    def __str__(self) -> str:
        """The form used in the address: ``rsi`` or ``rsi:window=21;low=2``."""
        return self.key + (":" + ";".join(f"{name}={value}" for name, value in self.params) if self.params else "")


def parse_studies(text: str, catalogue: Mapping[str, Indicator]) -> tuple[Study, ...]:
    """From ``rsi:window=21,ema_ribbon``; raises UnknownOption or InvalidInput naming what is allowed."""
    found: dict[Study, None] = {}
    for part in filter(None, (p.strip() for p in text.split(","))):
        key, _, settings = part.partition(":")
        entry = catalogue[key]
        given: dict[str, Any] = {}
        for item in filter(None, settings.split(";")):
            name, _, value = item.partition("=")
            given[name.strip()] = number_or_text(value.strip())
        found[make_study(entry, given)] = None
    if len(found) > MOST:
        raise InvalidInput("studies", f"at most {MOST} indicators fit on a chart; {len(found)} were asked for.")
    return tuple(found)


def make_study(entry: Indicator, given: Mapping[str, Any]) -> Study:
    """Checked against the catalogue; parameters equal to the default are left out."""
    checked = entry.checked(given)
    return Study(entry.key, tuple((n, v) for n, v in checked.items() if v != entry.defaults[n]))


def number_or_text(value: str) -> int | float | str:
    for kind in (int, float):
        try:
            return kind(value)
        except ValueError:
            continue
    return value


def title_of(entry: Indicator, study: Study) -> str:
    """``RSI (Wilder) 21``: the label and the values of its parameters."""
    values = {**entry.defaults, **dict(study.params)}
    shown = ", ".join(f"{v:g}" if isinstance(v, int | float) else str(v) for v in values.values())
    return f"{entry.label} {shown}".strip()


def warm_up(studies: Iterable[Study], catalogue: Mapping[str, Indicator]) -> int:
    """Bars that must stand in front of the first one shown: three times the longest look back, after which a recursive
    average keeps no trace of its beginning; 250 at the least, which the levels and the signal read."""
    leading = (max(catalogue[s.key].leading(**dict(s.params)), default=0) for s in studies)
    return min(max(250, 3 * max(leading, default=0)), 3000)


def lay_out(
    bars: pd.DataFrame,
    studies: Iterable[Study],
    catalogue: Mapping[str, Indicator],
    compute: Callable[..., Any],
) -> tuple[tuple[Line, ...], tuple[PanelSpec, ...]]:
    """Lines over the price in pane 0, and one pane for each study that has its own panel."""
    lines: list[Line] = []
    panels: list[PanelSpec] = []
    colours = iter(SERIES_COLOURS * (MOST * 2))
    for study in studies:
        entry = catalogue[study.key]
        values = compute(bars, study.key, **dict(study.params))
        frame = values.to_frame(entry.outputs[0]) if values.ndim == 1 else values
        pane = 0
        if not entry.panel.overlay:
            pane = len(panels) + 1
            panels.append(PanelSpec(pane, title_of(entry, study), tuple(entry.panel.guides), _decimals(frame)))
        for output in frame.columns:
            if pane == 0 and not on_price_scale(frame[output], bars):
                continue
            colour = COLOUR_OF.get(study.key) or next(colours)
            name = title_of(entry, study) if len(frame.columns) == 1 else readable(str(output))
            style = "histogram" if output in {"histogram", "hist"} else "solid"
            numbers = frame[output].to_numpy(dtype=np.float64, copy=True)
            lines.append(Line(name, numbers, colour, pane, 1, style))  # type: ignore[arg-type]
    return tuple(lines), tuple(panels)


def on_price_scale(values: pd.Series, bars: pd.DataFrame) -> bool:
    """False for what an overlay gives beside prices, such as a band's width or a direction of ±1: it would flatten the
    candles. A line belongs over the prices when its middle lies within a factor of three of theirs."""
    middle, price = float(values.median()), float(bars["close"].median())
    return np.isnan(middle) or price / 3 <= middle <= price * 3


def readable(output: str) -> str:
    """``ema_20`` → ``EMA 20``; other names keep their words."""
    words = output.split("_")
    return " ".join(w.upper() if len(w) <= 4 and not w.isdigit() and w.isalpha() else w for w in words)


def _decimals(frame: pd.DataFrame) -> int:
    largest = np.nanmax(np.abs(frame.to_numpy()), initial=0.0)
    return 0 if largest >= 100_000 else 2 if largest >= 1 else 4
