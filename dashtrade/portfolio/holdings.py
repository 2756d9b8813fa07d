"""What an account holds and risks. Money and quantities are Decimal; measures over past prices are float64.

A short position has a negative quantity, and so a negative value. What cannot be known (no price, no equity) is None.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

import numpy as np
import pandas as pd

from dashtrade.analysis import performance as measure
from dashtrade.errors import BadBars, InvalidInput


@dataclass(frozen=True, slots=True)
class Holding:
    """One symbol in one account; ``qty`` is signed, ``price`` the latest one known."""

    symbol: str
    account: str
    qty: Decimal
    avg_price: Decimal
    price: Decimal | None
    opened_at: datetime | None = None

    @property
    def cost(self) -> Decimal:
        return self.qty * self.avg_price

    @property
    def value(self) -> Decimal | None:
        return None if self.price is None else self.qty * self.price

    @property
    def unrealised(self) -> Decimal | None:
        """Quantity × (price − average price): positive for a short position whose price fell."""
        return None if self.price is None else self.qty * (self.price - self.avg_price)

    @property
    def unrealised_share(self) -> Decimal | None:
        """The unrealised result as a fraction of what was put in."""
        return None if self.unrealised is None or not self.cost else self.unrealised / abs(self.cost)


@dataclass(frozen=True, slots=True)
class AccountSummary:
    """An account's day, results and exposure. Exposures count only holdings with a price; ``unpriced`` names others."""

    account: str
    equity: Decimal | None
    cash: Decimal | None
    day_pnl: Decimal | None
    day_return: Decimal | None
    realised: Decimal
    unrealised: Decimal
    long_value: Decimal
    short_value: Decimal
    leverage: Decimal | None
    largest: str
    largest_share: Decimal | None
    concentration: Decimal | None
    unpriced: tuple[str, ...]

    @property
    def gross(self) -> Decimal:
        return self.long_value - self.short_value

    @property
    def net(self) -> Decimal:
        return self.long_value + self.short_value


def summarise(
    account: str,
    holdings: Iterable[Holding],
    *,
    equity: Decimal | None = None,
    last_equity: Decimal | None = None,
    cash: Decimal | None = None,
    realised: Decimal = Decimal(0),
) -> AccountSummary:
    """Day P&L = equity − last equity. Leverage = gross exposure / equity. Concentration is the Herfindahl index of the
    holdings' shares of the gross exposure: 1 for one holding, 1/n for n equal ones (Hirschman 1945)."""
    mine = [holding for holding in holdings if holding.account == account]
    values: dict[str, Decimal] = {}
    for holding in mine:
        if holding.value is not None:
            values[holding.symbol] = values.get(holding.symbol, Decimal(0)) + holding.value
    long_value = sum((v for v in values.values() if v > 0), Decimal(0))
    short_value = sum((v for v in values.values() if v < 0), Decimal(0))
    gross = long_value - short_value
    shares = {symbol: abs(value) / gross for symbol, value in values.items()} if gross else {}
    largest = max(shares, key=lambda symbol: shares[symbol], default="")
    day = equity - last_equity if equity is not None and last_equity is not None else None
    return AccountSummary(
        account=account,
        equity=equity,
        cash=cash,
        day_pnl=day,
        day_return=day / last_equity if day is not None and last_equity else None,
        realised=realised,
        unrealised=sum((h.unrealised for h in mine if h.unrealised is not None), Decimal(0)),
        long_value=long_value,
        short_value=short_value,
        leverage=gross / equity if equity is not None and equity > 0 else None,
        largest=largest,
        largest_share=shares.get(largest),
        concentration=sum((share**2 for share in shares.values()), Decimal(0)) if shares else None,
        unpriced=tuple(dict.fromkeys(h.symbol for h in mine if h.price is None)),
    )


@dataclass(frozen=True, eq=False)
class HoldingsRisk:
    """Today's holdings taken through the past: what their value, unchanged in size, would have gained each day as a
    fraction of equity. ``value_at_risk`` and the expected shortfall are fractions of one bar, negative for a loss."""

    returns: pd.Series
    value_at_risk: float
    expected_shortfall: float
    volatility: float
    max_drawdown: float
    correlation: pd.DataFrame
    beta: float
    benchmark_correlation: float
    total_return: float
    benchmark_return: float


def holdings_risk(
    values: Mapping[str, float],
    prices: pd.DataFrame,
    equity: float,
    *,
    benchmark: str | None = None,
    tail: float = 0.05,
    bars_per_year: float = 252,
) -> HoldingsRisk:
    """Historical simulation over ``prices`` (dates by symbols, as ``common_prices`` gives them; the benchmark's column
    too). r_t = Σ value_i × r_{i,t} / equity; cash earns nothing. VaR and CVaR as in dashtrade.analysis.performance.

    Raises InvalidInput for no equity, no holding or an odd tail, BadBars for a holding without prices.
    """
    if not equity > 0:
        raise InvalidInput("equity", "must be above 0 to measure risk against it.")
    if not values:
        raise InvalidInput("holdings", "there is nothing to measure.")
    if not 0 < tail < 0.5:
        raise InvalidInput("tail", "use a share between 0 and 0.5, such as 0.05.")
    missing = [s for s in (*values, *([benchmark] if benchmark else [])) if s not in prices.columns]
    if missing:
        raise BadBars(f"There are no common prices of {', '.join(missing)}.")
    moves = prices.pct_change().iloc[1:]
    weights = pd.Series({symbol: value / equity for symbol, value in values.items()}, dtype="float64")
    returns = (moves[list(values)] * weights).sum(axis=1)
    growth = np.cumprod(1 + returns.to_numpy())
    base = moves[benchmark].to_numpy() if benchmark else np.full(len(returns), np.nan)
    varies = benchmark is not None and returns.std() > 0 and moves[benchmark].std() > 0
    return HoldingsRisk(
        returns=returns,
        value_at_risk=measure.value_at_risk(returns.to_numpy(), tail),
        expected_shortfall=measure.conditional_value_at_risk(returns.to_numpy(), tail),
        volatility=measure.volatility(returns.to_numpy(), bars_per_year),
        max_drawdown=measure.max_drawdown(growth, 1.0),
        correlation=moves[list(values)].corr(),
        beta=measure.beta(returns.to_numpy(), base),
        benchmark_correlation=float(np.corrcoef(returns, base)[0, 1]) if varies else float("nan"),
        total_return=measure.total_return(growth, 1.0),
        benchmark_return=float(prices[benchmark].iloc[-1] / prices[benchmark].iloc[0] - 1) if benchmark else np.nan,
    )
