"""``portfolio``: what a set of holdings is worth, how it spreads, and what it would have risked."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING

import pandas as pd

from dashtrade.analysis.annualisation import annualisation
from dashtrade.display import Displayed, Fact, number, percent
from dashtrade.domain.market import parse_symbol
from dashtrade.errors import BadBars, InvalidInput
from dashtrade.portfolio.comparison import common_prices
from dashtrade.portfolio.holdings import AccountSummary, Holding, HoldingsRisk, holdings_risk, summarise

if TYPE_CHECKING:
    from ipywidgets import DOMWidget
    from matplotlib.figure import Figure

Position = float | int | Decimal | tuple[float | int | Decimal, float | int | Decimal]


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Portfolio(Displayed):
    """Holdings at the last close that all of them have. ``summary`` is money (Decimal), ``risk`` measures of the past
    (float64, fractions of equity a bar), ``prices`` the closes on the common dates (dates, symbols)."""

    holdings: tuple[Holding, ...]
    summary: AccountSummary
    risk: HoldingsRisk
    prices: pd.DataFrame
    benchmark: str | None

    @property
    def equity(self) -> pd.Series:
        """1 at the start of the common dates: today's holdings, unchanged in size, taken through the past."""
        growth = (1 + self.risk.returns).cumprod()
        return pd.concat([pd.Series([1.0], index=[self.prices.index[0]]), growth]).rename("holdings")

    def to_frame(self) -> pd.DataFrame:
        """One row a holding: qty, avg_price, price, value, weight (of gross exposure), unrealised, unrealised_share."""
        gross = float(self.summary.gross)
        rows = [
            {
                "symbol": h.symbol, "qty": float(h.qty), "avg_price": float(h.avg_price), "price": float(h.price or 0),
                "value": float(h.value or 0), "weight": abs(float(h.value or 0)) / gross if gross else math.nan,
                "unrealised": float(h.unrealised or 0),
                "unrealised_share": math.nan if h.unrealised_share is None else float(h.unrealised_share),
            }
            for h in self.holdings
        ]  # fmt: skip
        return pd.DataFrame(rows).set_index("symbol")

    def figure(self) -> Figure:
        """The holdings taken through the past, against the benchmark where there is one."""
        from dashtrade.display.figures import lines_figure

        return lines_figure(self._growth(), "Growth of 1", level=1.0)

    def plot(self) -> DOMWidget:
        from dashtrade.display.plots import lines_plot

        return lines_plot(self._growth(), "Growth of 1")

    def _growth(self) -> pd.DataFrame:
        lines = {"holdings": self.equity}
        if self.benchmark is not None:
            lines[self.benchmark] = self.prices[self.benchmark] / self.prices[self.benchmark].iloc[0]
        return pd.DataFrame(lines)

    def _headline(self) -> str:
        return f"Portfolio of {len(self.holdings)} holdings at {self.prices.index[-1]:%Y-%m-%d}"

    def _facts(self) -> Sequence[Fact]:
        leverage = self.summary.leverage
        return (
            ("Equity", f"{self.summary.equity or 0:,.2f}"),
            ("Unrealised", f"{self.summary.unrealised:,.2f}"),
            ("Gross exposure", f"{self.summary.gross:,.2f}"),
            ("Leverage", "–" if leverage is None else f"{leverage:.2f}"),
            ("Value at risk, 5 %", percent(self.risk.value_at_risk)),
            ("Expected shortfall", percent(self.risk.expected_shortfall)),
            ("Volatility a year", percent(self.risk.volatility)),
            ("Max drawdown", percent(self.risk.max_drawdown)),
            *((("Beta", number(self.risk.beta)),) if self.benchmark else ()),
        )

    def _shown_rows(self) -> pd.DataFrame:
        return self.to_frame().reset_index()


def portfolio(
    positions: Mapping[str, Position],
    bars: Mapping[str, pd.DataFrame],
    cash: float = 0.0,
    benchmark: str | None = None,
    tail: float = 0.05,
) -> Portfolio:
    """Measures ``positions`` (symbol → quantity, or → (quantity, average price); a short one is negative) with
    ``bars`` (symbol → OHLCV frame; the benchmark's too).

    Prices are the closes of the last date that all symbols have; without an average price the first close of the bars
    is taken as paid. Risk is a historical simulation of today's holdings over the common dates. Raises InvalidInput
    for a symbol without bars, a quantity of 0 or equity of 0 or less, BadBars for fewer than 3 common dates.

    >>> import dashtrade as dt
    >>> bars = {s: dt.history(s, period="1y", source="sample") for s in ("AAPL", "MSFT", "IBM")}
    >>> held = dt.portfolio({"AAPL": 10, "MSFT": (50, 28.0)}, bars, cash=1_000, benchmark="IBM")
    >>> list(held.to_frame().index)
    ['AAPL', 'MSFT']
    """
    named = {parse_symbol(s, "positions"): value for s, value in positions.items()}
    if not named:
        raise InvalidInput("positions", "give at least one symbol with a quantity.")
    against = None if benchmark is None else parse_symbol(benchmark, "benchmark")
    wanted = dict.fromkeys([*named, *([against] if against else [])])
    frames = {parse_symbol(s, "bars"): frame for s, frame in bars.items()}
    missing = [s for s in wanted if s not in frames]
    if missing:
        raise InvalidInput("bars", f"there are no bars of {', '.join(missing)}.", allowed=list(frames))
    chosen = {s: frames[s] for s in wanted}
    prices = common_prices(chosen, fewest=1, most=500)
    holdings = tuple(_holding(s, value, prices[s]) for s, value in named.items())
    values = {h.symbol: float(h.value or 0) for h in holdings}
    equity = Decimal(str(cash)) + sum((h.value or Decimal(0) for h in holdings), Decimal(0))
    if equity <= 0:
        raise InvalidInput("cash", f"holdings and cash add up to {equity:,.2f}; equity must be above 0.")
    risk = holdings_risk(
        values, prices, float(equity), benchmark=against, tail=tail,
        bars_per_year=annualisation(chosen, next(iter(chosen.values()))).factor,
    )  # fmt: skip
    summary = summarise("research", holdings, equity=equity, cash=Decimal(str(cash)))
    return Portfolio(holdings, summary, risk, prices, against)


def _holding(symbol: str, position: Position, closes: pd.Series) -> Holding:
    quantity, paid = position if isinstance(position, tuple) else (position, float(closes.iloc[0]))
    qty, price = Decimal(str(quantity)), Decimal(str(paid))
    if not qty.is_finite() or qty == 0:
        raise InvalidInput("positions", f"the quantity of {symbol} must not be 0.")
    if not price.is_finite() or price <= 0:
        raise InvalidInput("positions", f"the average price of {symbol} must be above 0.")
    last = float(closes.iloc[-1])
    if not math.isfinite(last):
        raise BadBars(f"{symbol} has no last close.")
    return Holding(symbol, "research", qty, price, Decimal(str(round(last, 6))))
