"""The honesty panel: how much of a result could be luck, costs, or one fortunate setting."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from dashtrade.analysis import performance as measure
from dashtrade.backtest.control import FREE, Cancel, Control, Progress
from dashtrade.backtest.request import BacktestRequest, Costs
from dashtrade.backtest.result import BacktestResult
from dashtrade.backtest.run import backtest
from dashtrade.backtest.space import Template
from dashtrade.display import Displayed, Fact
from dashtrade.domain.strategy import Strategy
from dashtrade.errors import InvalidInput

if TYPE_CHECKING:
    from matplotlib.figure import Figure

RANDOM_ENTRIES = 1_000
SHUFFLES = 1_000
BAND_POINTS = 400
"""Most points of a band: long series are thinned."""
MOST_DRAWN = 2_000_000
"""Random entries held in memory at once."""
Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Evidence(Displayed):
    """What speaks for and against a result.

    ``random_p``: share of 1,000 strategies with random entries, of the same number, sizes and holding times, that did
    at least as well (add-one estimate); ``random_returns``: what each of them earned. ``shuffle_low`` and
    ``shuffle_high``: 5 % and 95 % of the final equity when the trades are drawn again with replacement;
    ``shuffle_drawdown``: the 95 % worst drawdown when their order is shuffled. ``bands``: equity after each trade,
    drawn again, columns low (5 %), middle, high (95 %) and own; one row a trade, the first is the start.
    ``breakeven_bps``: the extra cost of each order, in basis points, at which the profit is gone. ``neighbours``: total
    return with each setting one step up and down. ``deflated_sharpe`` counts all ``trials`` of this user on these data.
    A number is NaN where it is not defined: without trades most are.
    """

    total_return: float
    buy_and_hold: float
    random_p: float
    random_median: float
    shuffle_low: float
    shuffle_high: float
    shuffle_drawdown: float
    breakeven_bps: float
    neighbours: dict[str, float]
    trials: int
    deflated_sharpe: float
    random_returns: Floats
    bands: pd.DataFrame

    def sentences(self) -> tuple[str, ...]:
        """The same in words."""
        out = []
        if self.buy_and_hold > self.total_return:
            out.append(f"Buying and holding earned more: {self.buy_and_hold:.1%} against {self.total_return:.1%}.")
        if not math.isnan(self.random_p):
            verdict = "hard to put down to luck" if self.random_p < 0.05 else "within reach of luck"
            out.append(f"{self.random_p:.1%} of random entries with the same holding times did as well: {verdict}.")
        if math.isfinite(self.breakeven_bps):
            out.append(f"The profit is gone at {self.breakeven_bps:.1f} bps more cost an order.")
        if self.neighbours:
            lost = sum(v <= 0 for v in self.neighbours.values())
            out.append(f"{lost} of {len(self.neighbours)} neighbouring settings lose money.")
        if self.trials > 1 and not math.isnan(self.deflated_sharpe):
            out.append(f"After {self.trials} tries, the chance that there is skill is {self.deflated_sharpe:.0%}.")
        return tuple(out)

    def figure(self) -> Figure:
        """Equity after each trade inside the 5 % and 95 % bands of the same trades drawn again."""
        from dashtrade.display.figures import lines_figure

        return lines_figure(self.bands, "Account value")

    def _headline(self) -> str:
        return "Evidence for and against"

    def _facts(self) -> Sequence[Fact]:
        return tuple(zip(*(self.to_frame()[c].astype(str) for c in ("label", "shown")), strict=True))

    def _notes(self) -> Sequence[str]:
        return self.sentences()

    def to_frame(self) -> pd.DataFrame:
        """One row a figure, named by its key: ``label``, ``value`` (a number) and ``shown`` (the value as text)."""
        extra = "more than 40 %" if math.isinf(self.breakeven_bps) else f"{self.breakeven_bps:,.1f} bps an order"
        rows = [
            ("total_return", "This strategy", self.total_return, f"{self.total_return:.2%}"),
            ("buy_and_hold", "Buy and hold", self.buy_and_hold, f"{self.buy_and_hold:.2%}"),
            ("random_p", "Random entries that did as well", self.random_p, f"{self.random_p:.1%}"),
            ("random_median", "Random entries, middle return", self.random_median, f"{self.random_median:.2%}"),
            ("shuffle_low", "Final equity, trades drawn again, 5 %", self.shuffle_low, f"{self.shuffle_low:,.0f}"),
            ("shuffle_high", "Final equity, trades drawn again, 95 %", self.shuffle_high, f"{self.shuffle_high:,.0f}"),
            (
                "shuffle_drawdown", "Drawdown in an unlucky order (worst 5 %)", self.shuffle_drawdown,
                f"{self.shuffle_drawdown:.1%}",
            ),
            ("breakeven_bps", "Extra cost that ends the profit", self.breakeven_bps, extra),
            *((f"neighbour.{n}", f"With {n}", v, f"{v:.2%}") for n, v in self.neighbours.items()),
            ("trials", "Tries with this family on these bars", float(self.trials), f"{self.trials:,}"),
            (
                "deflated_sharpe", "Chance of skill after all tries (deflated Sharpe)", self.deflated_sharpe,
                f"{self.deflated_sharpe:.0%}",
            ),
        ]  # fmt: skip
        frame = pd.DataFrame(rows, columns=["figure", "label", "value", "shown"]).set_index("figure")
        frame.loc[frame["value"].isna(), "shown"] = "not defined"
        return frame


def evidence(
    result: BacktestResult,
    trials: int = 1,
    variance: float = 0.0,
    seed: int | None = None,
    *,
    cancel: Cancel | None = None,
    progress: Progress | None = None,
) -> Evidence:
    """The panel of a result. ``trials`` and ``variance`` come from the trial ledger
    (``dashtrade.services.trials.evidence_of``).

    Deterministic for the same seed (the request's, unless given). ``cancel`` stops it with Cancelled.
    """
    control = Control(cancel, progress)
    rng = np.random.default_rng(result.request.seed if seed is None else seed)
    returns = measure.returns_of(result.equity.to_numpy(), result.request.cash)
    control.step(0.0, "Random entries")
    random_p, drawn = _random_entries(result, rng)
    control.step(0.1, "Trades drawn again")
    low, high, drawdown, bands = _shuffled(result, rng)
    control.step(0.2, "Cost that ends the profit")
    extra = breakeven_bps(result, control)
    control.step(0.5, "Neighbouring settings")
    others = neighbours(result, control.part(0.5, 1.0))
    control.step(1.0, "Done")
    return Evidence(
        total_return=result.statistics["total_return"],
        buy_and_hold=result.statistics["buy_and_hold_return"],
        random_p=random_p,
        random_median=float(np.median(drawn)) if len(drawn) else math.nan,
        shuffle_low=low,
        shuffle_high=high,
        shuffle_drawdown=drawdown,
        breakeven_bps=extra,
        neighbours=others,
        trials=trials,
        deflated_sharpe=measure.deflated_sharpe(returns, trials, variance),
        random_returns=drawn,
        bands=bands,
    )


def _random_entries(result: BacktestResult, rng: np.random.Generator) -> tuple[float, Floats]:
    """(p-value, returns) of random entries from open to open on each symbol's own bars, with the same holding times,
    sizes (as shares of the equity) and costs."""
    request, trades = result.request, result.trades
    if not len(trades):
        return math.nan, np.empty(0)
    first = next(iter(request.bars.values()))
    costs = request.costs.per_side(str(first.attrs.get("source", ""))) + request.costs.commission
    weights = trades["qty"].to_numpy() * trades["entry_price"].to_numpy() / _equity_before(result)
    growth = np.zeros(RANDOM_ENTRIES)
    own = 0.0
    for symbol, bars in request.bars.items():
        of = (trades["symbol"] == symbol).to_numpy()
        if not of.any():
            continue
        part, weight = trades[of], weights[of]
        sides = np.where(part["direction"] == "long", 1.0, -1.0)
        moves = part["exit_price"].to_numpy() / part["entry_price"].to_numpy() - 1
        own += _log_growth(weight, sides * moves - 2 * request.costs.commission).sum()
        opens = np.log(bars["open"].to_numpy(dtype=np.float64))
        lengths = np.maximum(part["bars"].to_numpy(dtype=np.int64), 1)
        growth += _random_growth(opens, lengths, sides, weight, costs, rng)
    return float((1 + (growth >= own).sum()) / (1 + RANDOM_ENTRIES)), np.expm1(growth)


def _random_growth(
    opens: Floats, lengths: NDArray[np.int64], sides: Floats, weights: Floats, costs: float, rng: np.random.Generator
) -> Floats:
    """Log growth of RANDOM_ENTRIES draws: the trades in a random order, the free bars spread between them at random."""
    free = max(len(opens) - 1 - int(lengths.sum()), 0)
    out = np.empty(RANDOM_ENTRIES)
    batch = max(1, MOST_DRAWN // len(lengths))
    for start in range(0, RANDOM_ENTRIES, batch):
        count = min(batch, RANDOM_ENTRIES - start)
        order = rng.permuted(np.tile(np.arange(len(lengths)), (count, 1)), axis=1)
        held = lengths[order]
        gaps = np.sort(rng.integers(0, free + 1, held.shape), axis=1)
        starts = np.minimum(gaps + np.cumsum(held, axis=1) - held, len(opens) - 1)
        moves = np.expm1(opens[np.minimum(starts + held, len(opens) - 1)] - opens[starts])
        out[start : start + count] = _log_growth(weights[order], sides[order] * moves - 2 * costs).sum(axis=1)
    return out


def _log_growth(weights: Floats, returns: Floats) -> Floats:
    return np.asarray(np.log(np.maximum(1 + weights * returns, 1e-9)))


def _equity_before(result: BacktestResult) -> Floats:
    """The equity at the close before each trade's entry."""
    before = np.concatenate(([result.request.cash], result.equity.to_numpy()[:-1]))
    at = result.equity.index.get_indexer(pd.Index(result.trades["entry_time"]))
    return np.asarray(np.maximum(before[at], 1e-9))


def _shuffled(result: BacktestResult, rng: np.random.Generator) -> tuple[float, float, float, pd.DataFrame]:
    """(5 %, 95 % of final equity with trades drawn again; 95 % worst drawdown in shuffled order; bands).

    A trade is its pnl as a share of the equity before it; trades compound.
    """
    trades, cash = result.trades, result.request.cash
    names = ["low", "middle", "high", "own"]
    if not len(trades):
        return math.nan, math.nan, math.nan, pd.DataFrame([[cash] * 4], columns=names)
    growth = np.maximum(1 + trades["pnl"].to_numpy(dtype=np.float64) / _equity_before(result), 0.0)
    edges = np.unique(np.linspace(0, len(growth), min(len(growth), BAND_POINTS) + 1).round().astype(np.int64))
    ends, deepest = np.empty((SHUFFLES, len(edges))), np.empty(SHUFFLES)
    for n in range(SHUFFLES):  # one path at a time: many trades would need much memory side by side
        ends[n] = cash * np.concatenate(([1.0], np.cumprod(rng.choice(growth, len(growth)))))[edges]
        path = cash * np.cumprod(rng.permutation(growth))
        with np.errstate(divide="ignore", invalid="ignore"):
            deepest[n] = (path / np.maximum(np.maximum.accumulate(path), cash) - 1).min()
    low, middle, high = np.quantile(ends, [0.05, 0.5, 0.95], axis=0)
    own = cash * np.concatenate(([1.0], np.cumprod(growth)))[edges]
    bands = pd.DataFrame({"low": low, "middle": middle, "high": high, "own": own}, index=pd.Index(edges, name="trade"))
    return float(low[-1]), float(high[-1]), float(min(np.quantile(deepest, 0.05), 0.0)), bands


def breakeven_bps(result: BacktestResult, control: Control = FREE) -> float:
    """The extra cost of each order at which the profit is gone, found by bisection; 0 for a loss, infinite without
    orders."""
    if not len(result.orders):
        return math.inf
    if result.statistics["total_return"] <= 0:
        return 0.0
    request = result.request
    base = result.provenance["slippage_per_side"]

    def profit(bps: float) -> float:
        costs = Costs(request.costs.commission, base + bps / 10_000, fixed=request.costs.fixed)
        return _again(result, replace(request, costs=costs), control)

    low, high = 0.0, 10.0
    while profit(high) > 0:
        low, high = high, high * 2
        if high > 4_000:
            return math.inf
    for _ in range(12):
        middle = (low + high) / 2
        low, high = (middle, high) if profit(middle) > 0 else (low, middle)
    return (low + high) / 2


def neighbours(result: BacktestResult, control: Control = FREE) -> dict[str, float]:
    """Total return with each setting of the strategy one step lower and higher: a preset's steps are its own, those of
    other strategies a tenth of the value."""
    variants = list(_variants(result))
    out = {}
    for n, (name, strategy) in enumerate(variants):
        control.step(n / len(variants), f"With {name}")
        changed = replace(strategy, stops=result.strategy.stops)
        out[name] = _again(result, replace(result.request, strategy=changed), control)
    return out


def _again(result: BacktestResult, request: BacktestRequest, control: Control) -> float:
    return backtest(request, cancel=lambda: control.cancelled).statistics["total_return"]


def _variants(result: BacktestResult) -> Iterator[tuple[str, Strategy]]:
    template = Template(result.strategy)
    now = template.now()
    if template.preset is not None:
        steps = [(p.name, p.step, p.low, p.high) for p in template.preset.params]
    else:
        steps = [(n, _step(v), -math.inf, math.inf) for n, v in now.items()]
    for name, step, low, high in steps:
        for move in (-step, step):
            settings: dict[str, Any] = {**now, name: now[name] + move}
            if not low <= settings[name] <= high or not template.possible(settings):
                continue
            try:
                yield f"{name}={settings[name]:g}", template.build({name: settings[name]}, described=True)
            except InvalidInput:  # out of the indicator's range
                continue


def _step(value: float) -> float:
    return max(1, round(value / 10)) if isinstance(value, int) else abs(value) / 10 or 1.0
