"""``chart``: bars with indicators, levels, patterns and fills, to zoom in a notebook or as a figure for a report."""

from __future__ import annotations

import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pandas as pd

from dashtrade.display import Displayed, Fact, number, percent
from dashtrade.domain.market import Interval
from dashtrade.errors import BadBars, InvalidInput
from dashtrade.indicators import REGISTRY, indicator

if TYPE_CHECKING:
    from ipywidgets import DOMWidget
    from matplotlib.figure import Figure

    from dashtrade.pages.analysis.studies import Study

_COLUMNS = ("open", "high", "low", "close", "volume")
_ORDER = ("time", "side", "price", "qty")
MOST_BARS = 20_000
MOST_MARKS = 40


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class PriceView(Displayed):
    """What ``chart`` gives: shown by a notebook as it is; ``.plot()`` is the widget, ``.figure()`` the static picture,
    ``.to_frame()`` the bars with the indicators' columns beside them."""

    bars: pd.DataFrame
    studies: tuple[Study, ...]
    levels: tuple[Any, ...]
    patterns: pd.DataFrame
    orders: pd.DataFrame
    title: str

    def to_frame(self) -> pd.DataFrame:
        parts = [self.bars[list(_COLUMNS)]]
        for name, frame in self._computed().items():
            one = len(frame.columns) == 1
            parts.append(frame.set_axis([name if one else f"{name}.{c}" for c in frame.columns], axis=1))
        return pd.concat(parts, axis=1)

    def plot(self) -> DOMWidget:
        """The widget: candles, volume and panels on one time axis, values under the crosshair, zoom and pan."""
        from dashtrade.pages.analysis.marks import level_lines, pattern_markers
        from dashtrade.pages.analysis.studies import lay_out
        from dashtrade.pages.chart_data import ChartData, Marker, pack_bars
        from dashtrade.pages.widgets.chart import PriceChart

        bars = self.bars.iloc[-MOST_BARS:]
        lines, panels = lay_out(bars, self.studies, REGISTRY, indicator)
        intraday = _intraday(bars)
        rows = pack_bars(bars.index, [bars[c] for c in _COLUMNS], intraday=intraday)
        markers = list(pattern_markers(self.patterns, bars.index[0])) if len(self.patterns) else []
        for order in self.orders[self.orders["time"] >= bars.index[0]].itertuples():
            time = pd.Timestamp(order.time).to_pydatetime()
            markers.append(Marker(time, str(order.side), f"{order.qty:g} at {order.price:,.2f}"))  # type: ignore[arg-type]
        widget = PriceChart()
        widget.show(ChartData(self.title, rows, intraday, lines, panels, tuple(markers), level_lines(self.levels)))
        return widget

    def figure(self) -> Figure:
        from dashtrade.display.figures import price_figure
        from dashtrade.pages.analysis.marks import level_lines

        overlays: dict[str, pd.Series] = {}
        panels: dict[str, pd.DataFrame] = {}
        for name, frame in self._computed().items():
            if REGISTRY[name.split(" ")[0].split("(")[0]].panel.overlay:
                one = len(frame.columns) == 1
                overlays |= {name if one else f"{name} {column}": frame[column] for column in frame.columns}
            else:
                panels[name] = frame
        levels = [(line.price, f"{line.label[0]} {line.price:,.6g}") for line in level_lines(self.levels)]
        return price_figure(self.bars, self.title, overlays, panels, levels, self._marks())

    def _computed(self) -> dict[str, pd.DataFrame]:
        out: dict[str, pd.DataFrame] = {}
        for study in self.studies:
            entry = REGISTRY[study.key]
            values = indicator(self.bars, study.key, **dict(study.params))
            frame = values.to_frame(entry.outputs[0]) if isinstance(values, pd.Series) else values
            settings = ",".join(f"{v:g}" if isinstance(v, int | float) else str(v) for _, v in study.params)
            drawn = [c for c in frame.columns if c not in entry.off_price] if entry.panel.overlay else list(frame)
            out[f"{study.key}({settings})" if settings else study.key] = frame[drawn]
        return out

    def _marks(self) -> pd.DataFrame:
        fills = pd.DataFrame(
            {
                "time": self.orders["time"],
                "price": self.orders["price"],
                "direction": self.orders["side"].map({"buy": 1, "sell": -1}),
                "text": self.orders["side"].map({"buy": "B", "sell": "S"}),
            }
        )
        hits = self.patterns[self.patterns["confirmed_at"].notna()]
        names = {"confirmed_at": "time", "level": "price", "name": "text"}
        found = hits.rename(columns=names)[list(fills.columns)]
        parts = [part for part in (fills, found) if len(part)]
        return pd.concat(parts).tail(MOST_MARKS) if parts else fills

    def _headline(self) -> str:
        return self.title or "Chart"

    def _facts(self) -> Sequence[Fact]:
        close = self.bars["close"]
        return (
            ("Bars", f"{len(self.bars):,}"),
            ("From", f"{self.bars.index[0]:%Y-%m-%d}"),
            ("To", f"{self.bars.index[-1]:%Y-%m-%d}"),
            ("Last close", number(float(close.iloc[-1]))),
            ("Change", percent(float(close.iloc[-1] / close.iloc[0] - 1))),
            ("Source", str(self.bars.attrs.get("source", "unknown"))),
        )

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, Any]:
        """The widget where there is one, the picture where there is not (a page of HTML, a repository)."""
        out = io.StringIO()
        self.figure().savefig(out, format="svg", metadata={"Date": None})
        bundle = {"text/plain": repr(self), "image/svg+xml": out.getvalue()[out.getvalue().index("<svg") :]}
        shown = self.plot()._repr_mimebundle_()
        shown = shown[0] if isinstance(shown, tuple) else shown
        return {**(shown or {}), **bundle}


def chart(
    bars: pd.DataFrame,
    indicators: Iterable[str] | Mapping[str, Mapping[str, Any]] = (),
    *,
    levels: bool = False,
    patterns: bool = False,
    orders: pd.DataFrame | None = None,
    title: str | None = None,
) -> PriceView:
    """A chart of ``bars`` (OHLCV, UTC index) with ``indicators`` by short name (``"ema_20"``, ``"rsi"``) or as
    ``{"bollinger": {"window": 20}}``; ``levels`` and ``patterns`` mark what the analysis finds, ``orders`` (time, side,
    price, qty, as a backtest gives them) the fills.

    Raises InvalidInput for an unknown indicator or setting, BadBars for bars without the five columns.

    >>> import dashtrade as dt
    >>> view = dt.chart(dt.history("AAPL", source="sample"), ["ema_50", "rsi"])
    >>> list(view.to_frame().columns)
    ['open', 'high', 'low', 'close', 'volume', 'ema(50)', 'rsi']
    """
    missing = [name for name in _COLUMNS if name not in bars.columns]
    if missing:
        raise BadBars(f"The bars have no column {', '.join(missing)}; a chart needs {', '.join(_COLUMNS)}.")
    if len(bars) < 2:
        raise BadBars(f"{len(bars)} bars are too few for a chart; use at least 2.")
    found: tuple[Any, ...] = ()
    hits = pd.DataFrame(columns=["confirmed_at", "level", "direction", "name"])
    if levels:
        from dashtrade.analysis import find_levels

        found = tuple(find_levels(bars))
    if patterns:
        from dashtrade.patterns import chart_patterns

        hits = chart_patterns(bars)
    fills = pd.DataFrame(columns=list(_ORDER)) if orders is None else orders
    lacking = [n for n in _ORDER if n not in fills.columns]
    if lacking:
        raise InvalidInput(
            "orders", f"there is no column {', '.join(lacking)}.", allowed=("time", "side", "price", "qty")
        )
    name = (
        title
        if title is not None
        else " · ".join(str(bars.attrs[k]) for k in ("symbol", "interval") if bars.attrs.get(k))
    )
    return PriceView(bars, _studies(indicators), found, hits, fills, name)


def _studies(indicators: Iterable[str] | Mapping[str, Mapping[str, Any]]) -> tuple[Study, ...]:
    from dashtrade.pages.analysis.studies import make_study
    from dashtrade.strategies.names import resolve

    if isinstance(indicators, str):
        indicators = (indicators,)
    if isinstance(indicators, Mapping):
        return tuple(make_study(REGISTRY[key], params) for key, params in indicators.items())
    found = []
    for text in indicators:
        operand = resolve(text)
        if operand.name not in REGISTRY:
            raise InvalidInput("indicators", f"{text!r} is not an indicator.", allowed=list(REGISTRY))
        found.append(make_study(REGISTRY[operand.name], dict(operand.params)))
    return tuple(found)


def _intraday(bars: pd.DataFrame) -> bool:
    interval = bars.attrs.get("interval")
    if interval:
        return Interval(str(interval)).intraday
    return bool((bars.index[1] - bars.index[0]) < pd.Timedelta(hours=20))
