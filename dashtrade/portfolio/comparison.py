"""Several symbols side by side, measured on the dates that all of them have.

Prices are closes: a DataFrame of shape (dates, symbols), float64, above 0, without gaps; ``common_prices`` makes one.
Returns are simple returns of one bar. A figure that is not defined (no variation, too few bars) is NaN.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from dashtrade.analysis import performance as measure
from dashtrade.analysis.annualisation import annualisation
from dashtrade.display import Displayed, Fact
from dashtrade.domain.market import parse_symbol
from dashtrade.errors import BadBars, InvalidInput

if TYPE_CHECKING:
    from ipywidgets import DOMWidget
    from matplotlib.figure import Figure

FEWEST, MOST = 2, 20
FEWEST_BARS = 3


@dataclass(frozen=True, slots=True)
class Measure:
    """A column of the statistics; ``best`` is 1 where more is better, −1 where less is, 0 where neither."""

    key: str
    label: str
    definition: str
    best: int
    weight: float = 0.0


MEASURES = (
    Measure("total_return", "Total return", "Last price / first price − 1, on the common dates.", 1, 1.0),
    Measure("cagr", "Return a year", "Total return, compounded to one year.", 1),
    Measure(
        "volatility", "Volatility", "Sample standard deviation of the bars' returns, times √(bars a year).", -1, 1.0
    ),
    Measure("sharpe", "Sharpe", "Mean return / standard deviation, times √(bars a year); no risk-free rate.", 1, 2.0),
    Measure("max_drawdown", "Deepest drawdown", "The largest fall from an earlier peak.", 1, 1.0),
    Measure("strength", "Relative strength", "Own growth / the benchmark's growth, 100 where both grew alike.", 1, 1.0),
    Measure("beta", "Beta", "Covariance with the benchmark's returns / the benchmark's variance.", 0),
    Measure("alpha", "Alpha a year", "Jensen's alpha against the benchmark, compounded to one year.", 1),
    Measure("correlation", "Correlation", "Pearson's correlation of returns with the benchmark.", 0),
)
RANKED = tuple(m for m in MEASURES if m.best)
DEFAULT_WEIGHTS: Mapping[str, float] = {m.key: m.weight for m in RANKED if m.weight}


def parse_symbols(symbols: Iterable[str]) -> tuple[str, ...]:
    """Tickers in the order given, each once; raises InvalidInput unless 2 to 20 are left."""
    texts = symbols.replace(";", ",").split(",") if isinstance(symbols, str) else symbols
    found = tuple(dict.fromkeys(parse_symbol(text, "symbols") for text in texts if str(text).strip()))
    if not FEWEST <= len(found) <= MOST:
        raise InvalidInput("symbols", f"compare {FEWEST} to {MOST} different symbols; {len(found)} were given.")
    return found


def common_prices(bars: Mapping[str, pd.DataFrame], *, fewest: int = FEWEST, most: int = MOST) -> pd.DataFrame:
    """Closes of every symbol on the dates that all of them have, oldest first.

    Raises InvalidInput for fewer than ``fewest`` or more than ``most`` symbols, and BadBars, naming the
    symbols to blame, where fewer than 3 dates are left.
    """
    if not fewest <= len(bars) <= most:
        raise InvalidInput("symbols", f"compare {fewest} to {most} symbols; {len(bars)} were given.")
    closes = {symbol: frame["close"].astype("float64").dropna() for symbol, frame in bars.items()}
    closes = {symbol: series[series > 0] for symbol, series in closes.items()}
    prices = pd.concat(closes, axis=1, join="inner").sort_index()
    if len(prices) < FEWEST_BARS:
        raise BadBars(_why_so_few(closes, len(prices)))
    return prices


def relative_strength(prices: pd.DataFrame, benchmark: str) -> pd.DataFrame:
    """100 × (P / P₀) / (B / B₀) of every symbol but the benchmark: above 100 where it did better since the start."""
    growth = prices / prices.iloc[0]
    return (growth.div(growth[benchmark], axis=0) * 100).drop(columns=benchmark)


def rolling_correlation(prices: pd.DataFrame, benchmark: str, window: int) -> pd.DataFrame:
    """Pearson's correlation of the last ``window`` returns with the benchmark's; NaN for the first ``window`` dates and
    where either did not move."""
    if not 5 <= window < len(prices):
        raise InvalidInput("window", f"use 5 to {len(prices) - 1} bars; {window} was given.")
    returns = prices.pct_change()
    others = returns.drop(columns=benchmark)
    found = others.apply(lambda column: column.rolling(window).corr(returns[benchmark]))
    return found.where(np.isfinite(found)).clip(-1.0, 1.0)


@dataclass(frozen=True, eq=False, repr=False)
class Comparison(Displayed):
    """What ``compare`` found. Tables are indexed by date, or by symbol where they hold one figure for each.

    ``.to_frame()`` is the ranking with its statistics; ``.plot()`` and ``.figure()`` draw every price from 100.
    """

    prices: pd.DataFrame
    benchmark: str
    bars_per_year: float
    basis: str

    @property
    def symbols(self) -> tuple[str, ...]:
        return tuple(map(str, self.prices.columns))

    @cached_property
    def returns(self) -> pd.DataFrame:
        return self.prices.pct_change().iloc[1:]

    @cached_property
    def normalised(self) -> pd.DataFrame:
        """100 × price / first price."""
        return self.prices / self.prices.iloc[0] * 100

    @cached_property
    def drawdowns(self) -> pd.DataFrame:
        """Price / highest price so far − 1."""
        return self.prices / self.prices.cummax() - 1

    @cached_property
    def strength(self) -> pd.DataFrame:
        return relative_strength(self.prices, self.benchmark)

    @cached_property
    def correlation(self) -> pd.DataFrame:
        """Pearson's correlation of returns, symbols by symbols; NaN for a symbol that did not move."""
        return self.returns.corr()

    @cached_property
    def statistics(self) -> pd.DataFrame:
        """One row a symbol, one column for each of MEASURES; returns and drawdowns as fractions."""
        base = self.returns[self.benchmark].to_numpy()
        reference = self.prices[self.benchmark].to_numpy()
        rows = {}
        for symbol in self.symbols:
            price, returns = self.prices[symbol].to_numpy(), self.returns[symbol].to_numpy()
            rows[symbol] = {
                "total_return": measure.total_return(price[1:], price[0]),
                "cagr": measure.cagr(price[1:], price[0], self.bars_per_year),
                "volatility": measure.volatility(returns, self.bars_per_year),
                "sharpe": measure.sharpe(returns, self.bars_per_year),
                "max_drawdown": measure.max_drawdown(price[1:], price[0]),
                "strength": price[-1] / price[0] / (reference[-1] / reference[0]) * 100,
                "beta": measure.beta(returns, base),
                "alpha": measure.alpha(returns, base, self.bars_per_year),
                "correlation": self.correlation[self.benchmark][symbol],
            }
        return pd.DataFrame.from_dict(rows, orient="index", columns=[m.key for m in MEASURES]).astype("float64")

    def rolling_correlation(self, window: int = 60) -> pd.DataFrame:
        return rolling_correlation(self.prices, self.benchmark, window)

    def ranking(self, weights: Mapping[str, float] | None = None) -> pd.DataFrame:
        return ranking(self.statistics, weights)

    def to_frame(self) -> pd.DataFrame:
        return self.ranking()

    def figure(self) -> Figure:
        from dashtrade.display.figures import lines_figure

        return lines_figure(self.normalised, "Start = 100", level=100)

    def plot(self) -> DOMWidget:
        from dashtrade.display.plots import lines_plot

        return lines_plot(self.normalised, "Start = 100")

    def _headline(self) -> str:
        return f"{', '.join(self.symbols)} against {self.benchmark}"

    def _facts(self) -> Sequence[Fact]:
        best = self.ranking().index[0]
        return (
            ("Common dates", f"{len(self.prices):,}"),
            ("From", f"{self.prices.index[0]:%Y-%m-%d}"),
            ("To", f"{self.prices.index[-1]:%Y-%m-%d}"),
            ("First in the ranking", str(best)),
        )

    def _shown_rows(self) -> pd.DataFrame:
        labels = {m.key: m.label for m in MEASURES} | {"score": "Score", "rank": "Rank"}
        return self.ranking().rename(columns=labels).rename_axis("Symbol").reset_index()


def compare(bars: Mapping[str, pd.DataFrame], benchmark: str | None = None) -> Comparison:
    """Measures the symbols on their common dates; without a ``benchmark`` the first symbol is it.

    A year's bars are counted from the symbols and the interval: 365 days only where all trade round the clock.
    """
    prices = common_prices(bars)
    chosen = benchmark or str(prices.columns[0])
    if chosen not in prices.columns:
        raise InvalidInput("benchmark", f"{chosen!r} is not compared.", allowed=list(map(str, prices.columns)))
    annual = annualisation(bars, next(iter(bars.values())))
    return Comparison(prices, chosen, annual.factor, annual.basis)


def ranking(statistics: pd.DataFrame, weights: Mapping[str, float] | None = None) -> pd.DataFrame:
    """Symbols from best to worst, with a ``score`` of 0…100 and a ``rank`` (equal scores share the better one).

    For each measure a symbol gets 0 (worst) … 100 (best) points by its place among the symbols, ties the mean of their
    places; the score is the mean of the points by ``weights``. A measure that a symbol does not have is left out.
    """
    chosen = check_weights(DEFAULT_WEIGHTS if weights is None else weights)
    points = pd.DataFrame({key: _points(statistics[key], key) for key in chosen}, index=statistics.index)
    weight = pd.Series(chosen, dtype="float64")
    given = points.notna().mul(weight, axis=1).sum(axis=1)
    score = points.mul(weight, axis=1).sum(axis=1).div(given.where(given > 0))
    ranked = statistics.assign(score=score, rank=score.round(9).rank(ascending=False, method="min"))
    return ranked.sort_values("score", ascending=False, kind="stable", na_position="last")


def check_weights(weights: Mapping[str, float]) -> dict[str, float]:
    """The weights above 0; raises InvalidInput for an unknown measure, a negative weight, or none above 0."""
    allowed = [m.key for m in RANKED]
    for key, value in weights.items():
        if key not in allowed:
            raise InvalidInput("weights", f"{str(key)[:40]!r} is not ranked.", allowed=allowed)
        if not (math.isfinite(value) and 0 <= value <= 100):
            raise InvalidInput("weights", f"the weight of {key} must be from 0 to 100.")
    chosen = {key: float(value) for key, value in weights.items() if value > 0}
    if not chosen:
        raise InvalidInput("weights", "give at least one measure a weight above 0.")
    return chosen


def _points(values: pd.Series, key: str) -> pd.Series:
    best = next(m.best for m in RANKED if m.key == key)
    places = (values * best).replace([np.inf, -np.inf], np.nan).rank(method="average")
    count = int(places.count())
    return (places - 1) / (count - 1) * 100 if count > 1 else places * 0 + 50


def _why_so_few(closes: Mapping[str, pd.Series], left: int) -> str:
    empty = [symbol for symbol, series in closes.items() if not len(series)]
    if empty:
        return f"{empty[0]} has no usable price. Leave it out."
    late = max(closes, key=lambda symbol: closes[symbol].index[0])
    early = min(closes, key=lambda symbol: closes[symbol].index[-1])
    dates = "date" if left == 1 else "dates"
    return (
        f"These symbols have {left} {dates} in common, and a comparison needs {FEWEST_BARS}: {early}'s bars end on "
        f"{closes[early].index[-1]:%Y-%m-%d}, and {late}'s begin on {closes[late].index[0]:%Y-%m-%d}. "
        "Ask for a longer period, or leave one of them out."
    )
