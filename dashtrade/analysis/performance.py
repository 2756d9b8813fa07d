"""Performance statistics on plain arrays, each with its formula and source.

Returns are simple returns of one bar, shape (n,), as fractions; a NaN (no value yet, or the bar after ruin) is left
out.
``bars_per_year`` is the annualisation factor A. A statistic that is not defined (no trades, no variation) is NaN.
Formulas in the words of the field: Bacon, "Practical Portfolio Performance Measurement and Attribution", 2nd ed.
(2008),
unless another source stands at the function. ``r`` is a return, ``f`` the risk-free return of one bar.
"""

from __future__ import annotations

import math
from statistics import NormalDist
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
_NORMAL = NormalDist()
_EULER = 0.5772156649015329


def returns_of(equity: Floats, cash: float) -> Floats:
    """r_t = E_t / E_{t−1} − 1 with E_{−1} = ``cash``; NaN where the value before is 0 or less (ruin)."""
    before = np.concatenate(([cash], equity[:-1]))
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(before > 0, equity / before - 1, np.nan)


def drawdowns(equity: Floats, cash: float) -> Floats:
    """E_t / max(cash, E_0…E_t) − 1, at most 0."""
    peak = np.maximum.accumulate(np.concatenate(([cash], equity)))[1:]
    return equity / peak - 1


def total_return(equity: Floats, cash: float) -> float:
    """E_n / cash − 1."""
    return float(equity[-1] / cash - 1) if len(equity) else 0.0


def cagr(equity: Floats, cash: float, bars_per_year: float) -> float:
    """(E_n / cash)^(A / n) − 1; −1 after ruin."""
    if not len(equity):
        return math.nan
    growth = equity[-1] / cash
    return _power(float(growth), bars_per_year / len(equity)) - 1 if growth > 0 else -1.0


def volatility(returns: Floats, bars_per_year: float) -> float:
    """Sample standard deviation (n − 1) of r, times √A."""
    r = _clean(returns)
    return float(np.std(r, ddof=1) * math.sqrt(bars_per_year)) if len(r) > 1 else math.nan


def sharpe(returns: Floats, bars_per_year: float, risk_free: float = 0.0) -> float:
    """mean(r − f) / std(r − f, n − 1) × √A. Sharpe (1994), "The Sharpe Ratio", J. Portfolio Management 21(1)."""
    r = _clean(returns) - risk_free
    deviation = np.std(r, ddof=1) if len(r) > 1 else 0.0
    return float(np.mean(r) / deviation * math.sqrt(bars_per_year)) if _varies(deviation, r) else math.nan


def downside_deviation(returns: Floats, bars_per_year: float, required: float = 0.0) -> float:
    """√(mean(min(r − required, 0)²)) × √A, over all bars. Sortino & Price (1994)."""
    r = _clean(returns) - required
    return float(np.sqrt(np.mean(np.minimum(r, 0.0) ** 2)) * math.sqrt(bars_per_year)) if len(r) else math.nan


def sortino(returns: Floats, bars_per_year: float, required: float = 0.0) -> float:
    """mean(r − required) × A / downside deviation; infinite where nothing was lost and something was won."""
    r = _clean(returns) - required
    if len(r) < 2:
        return math.nan
    risk = downside_deviation(r, bars_per_year)
    gain = float(np.mean(r) * bars_per_year)
    if risk == 0:
        return math.inf if gain > 0 else math.nan
    return gain / risk


def max_drawdown(equity: Floats, cash: float) -> float:
    """The deepest drawdown, as a fraction at most 0."""
    return float(np.min(drawdowns(equity, cash), initial=0.0))


def longest_drawdown(equity: Floats, cash: float) -> int:
    """The most bars in a row below an earlier peak."""
    return longest_run(drawdowns(equity, cash) < 0)


def longest_run(flags: NDArray[np.bool_]) -> int:
    """The most True values in a row."""
    edges = np.flatnonzero(np.diff(np.concatenate(([False], flags, [False])).astype(np.int8)))
    return int((edges[1::2] - edges[::2]).max(initial=0))


def calmar(equity: Floats, cash: float, bars_per_year: float) -> float:
    """CAGR / |max drawdown|. Young (1991), Futures magazine; here over the whole period."""
    deepest = max_drawdown(equity, cash)
    return cagr(equity, cash, bars_per_year) / abs(deepest) if deepest < 0 else math.nan


def omega(returns: Floats, required: float = 0.0) -> float:
    """Σ max(r − L, 0) / Σ max(L − r, 0). Keating & Shadwick (2002)."""
    r = _clean(returns) - required
    lost = -float(r[r < 0].sum())
    return float(r[r > 0].sum()) / lost if lost > 0 else math.nan


def value_at_risk(returns: Floats, tail: float = 0.05) -> float:
    """The ``tail`` quantile of r (historical, linear interpolation); a loss is negative."""
    r = _clean(returns)
    return float(np.quantile(r, tail)) if len(r) else math.nan


def conditional_value_at_risk(returns: Floats, tail: float = 0.05) -> float:
    """Mean of the worst ⌊(n − 1) × tail⌋ + 1 returns (expected shortfall)."""
    r = np.sort(_clean(returns))
    return float(r[: int((len(r) - 1) * tail) + 1].mean()) if len(r) else math.nan


def tail_ratio(returns: Floats) -> float:
    """|95th percentile| / |5th percentile| of r."""
    r = _clean(returns)
    if not len(r):
        return math.nan
    low = abs(float(np.percentile(r, 5)))
    return abs(float(np.percentile(r, 95))) / low if low > 0 else math.nan


def beta(returns: Floats, benchmark: Floats) -> float:
    """cov(r, b) / var(b)."""
    r, b = _pair(returns, benchmark)
    spread = float(np.var(b)) if len(b) > 1 else 0.0
    return float(np.mean((r - r.mean()) * (b - b.mean())) / spread) if spread > 0 else math.nan


def alpha(returns: Floats, benchmark: Floats, bars_per_year: float, risk_free: float = 0.0) -> float:
    """Jensen's alpha, compounded over a year: (1 + mean(r − f − β (b − f)))^A − 1."""
    r, b = _pair(returns, benchmark)
    slope = beta(r, b)
    if math.isnan(slope):
        return math.nan
    excess = float(np.mean(r - risk_free - slope * (b - risk_free)))
    return _power(1 + excess, bars_per_year) - 1


def information_ratio(returns: Floats, benchmark: Floats) -> float:
    """mean(r − b) / std(r − b, n − 1), of one bar. Grinold & Kahn, "Active Portfolio Management" (1999)."""
    r, b = _pair(returns, benchmark)
    active = r - b
    deviation = np.std(active, ddof=1) if len(active) > 1 else 0.0
    return float(np.mean(active) / deviation) if _varies(deviation, active) else math.nan


def skewness(returns: Floats) -> float:
    """G₁ = √(n (n − 1)) / (n − 2) × m₃ / m₂^1.5, the sample's estimate. Joanes & Gill (1998), The Statistician
    47(1)."""
    n = len(_clean(returns))
    return math.sqrt(n * (n - 1)) / (n - 2) * _moment(returns, 3) if n > 2 else math.nan


def kurtosis(returns: Floats) -> float:
    """G₂ = (n − 1) / ((n − 2)(n − 3)) × ((n + 1)(m₄ / m₂² − 3) + 6), the sample's estimate of the excess over a normal
    distribution, which has 0. Joanes & Gill (1998), The Statistician 47(1)."""
    n = len(_clean(returns))
    return (n - 1) / ((n - 2) * (n - 3)) * ((n + 1) * (_moment(returns, 4) - 3) + 6) if n > 3 else math.nan


def probabilistic_sharpe(returns: Floats, benchmark_sharpe: float = 0.0) -> float:
    """P(true Sharpe > benchmark) for Sharpe ratios of one bar: Φ((S − S*) √(n − 1) / √(1 − γ₃ S + (γ₄ − 1)/4 S²)).

    Bailey & López de Prado (2012), "The Sharpe Ratio Efficient Frontier", J. of Risk 15(2).
    """
    r = _clean(returns)
    observed = sharpe(r, 1.0)
    if math.isnan(observed) or len(r) < 3:
        return math.nan
    spread = 1 - _moment(r, 3) * observed + (_moment(r, 4) - 1) / 4 * observed**2
    if spread <= 0:
        return math.nan
    return _NORMAL.cdf((observed - benchmark_sharpe) * math.sqrt(len(r) - 1) / math.sqrt(spread))


def expected_best_sharpe(trials: int, variance: float) -> float:
    """The Sharpe ratio that the best of ``trials`` worthless strategies is expected to show.

    √V × ((1 − γ) Φ⁻¹(1 − 1/N) + γ Φ⁻¹(1 − 1/(N e))), γ Euler's constant. Bailey & López de Prado (2014).
    """
    if trials < 2 or not variance > 0:
        return 0.0
    first = _NORMAL.inv_cdf(1 - 1 / trials)
    second = _NORMAL.inv_cdf(1 - 1 / (trials * math.e))
    return math.sqrt(variance) * ((1 - _EULER) * first + _EULER * second)


def deflated_sharpe(returns: Floats, trials: int, variance: float) -> float:
    """The probabilistic Sharpe ratio against the best that ``trials`` tries without skill would show.

    ``variance`` is that of the tries' Sharpe ratios of one bar. Bailey & López de Prado (2014), "The Deflated Sharpe
    Ratio", J. Portfolio Management 40(5).
    """
    return probabilistic_sharpe(returns, expected_best_sharpe(trials, variance))


def monthly_ratios(month_ends: Floats, cash: float, risk_free: float = 0.02) -> tuple[float, float]:
    """(Sharpe, Sortino) of monthly returns, not annualised, against ``risk_free`` / 12: TradingView's convention.

    ``month_ends`` is the equity at each month's last bar. (mean(r) − f) / std(r) with the population deviation, and
    over
    √(mean(min(r − f, 0)²)) for Sortino.
    """
    r = _clean(returns_of(month_ends, cash))
    free = risk_free / 12
    if len(r) < 2:
        return math.nan, math.nan
    excess, spread = float(r.mean() - free), float(np.std(r))
    down = float(np.sqrt(np.mean(np.minimum(r - free, 0.0) ** 2)))
    return (excess / spread if _varies(spread, r) else math.nan), (excess / down if down > 0 else math.nan)


def _power(base: float, exponent: float) -> float:
    """``base ** exponent``, infinite where a float cannot hold it."""
    try:
        return base**exponent if base > 0 else math.nan
    except OverflowError:
        return math.inf


def _clean(values: Floats) -> Floats:
    values = np.asarray(values, dtype=np.float64)
    return values[np.isfinite(values)]


def _pair(returns: Floats, benchmark: Floats) -> tuple[Floats, Floats]:
    both = np.isfinite(returns) & np.isfinite(benchmark)
    return np.asarray(returns)[both], np.asarray(benchmark)[both]


def _varies(deviation: float | np.floating[Any], values: Floats) -> bool:
    """Whether a deviation is more than rounding of equal values."""
    return bool(deviation > 1e-14 * max(float(np.max(np.abs(values), initial=0.0)), 1e-300))


def _moment(values: Floats, order: int) -> float:
    """A standardised moment of the values themselves."""
    r = _clean(values)
    deviation = np.std(r) if len(r) else 0.0
    if not _varies(deviation, r):
        return math.nan
    apart = (r - r.mean()) / deviation
    power = apart * apart
    for _ in range(order - 2):  # many times quicker than ``**``
        power *= apart
    return float(np.mean(power))
