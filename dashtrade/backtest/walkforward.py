"""``walk_forward``: choose settings on the past, trade them on what follows, again and again.

The out-of-sample stretches are stitched into one equity curve, which nobody could have tuned.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from dashtrade.analysis import performance as measure
from dashtrade.analysis.annualisation import annualisation
from dashtrade.backtest.control import Cancel, Control, Progress
from dashtrade.backtest.provenance import bars_hash, hash_of, source_fields
from dashtrade.backtest.request import BacktestRequest
from dashtrade.backtest.run import backtest
from dashtrade.backtest.space import Template
from dashtrade.backtest.sweep import SweepOptions, sweep
from dashtrade.display import Displayed, Fact, number, percent
from dashtrade.errors import InvalidInput

if TYPE_CHECKING:
    from ipywidgets import DOMWidget
    from matplotlib.figure import Figure


@dataclass(frozen=True, slots=True)
class Windows:
    """How the bars are cut. ``purge`` bars between training and testing are used by neither; ``embargo`` bars after
    each
    test stretch are kept out of later training. ``expanding`` trains on everything before instead of ``train`` bars.

    ``warmup`` bars before a test stretch are there for the indicators only; no position is taken on them.
    """

    train: int = 504
    test: int = 126
    purge: int = 0
    embargo: int = 0
    expanding: bool = False
    warmup: int = 250

    def __post_init__(self) -> None:
        for name, least in (("train", 20), ("test", 5), ("purge", 0), ("embargo", 0), ("warmup", 0)):
            if getattr(self, name) < least:
                raise InvalidInput(name, f"{getattr(self, name)} bars are too few; use at least {least}.")


@dataclass(frozen=True, slots=True)
class Stretch:
    """Bars of one step, by number: training bars (those under embargo taken out) and the tested range."""

    train: tuple[int, ...]
    test_start: int
    test_end: int


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class WalkForwardResult(Displayed):
    """``steps``: one row for each stretch with the settings chosen and both sides' results. ``equity``: out of
    sample, from
    one stretch to the next. ``efficiency``: yearly growth out of sample over the mean in sample (Pardo).
    ``tried``: the Sharpe ratio of one bar of everything that was tried on the training stretches. ``provenance`` has
    the hashes of bars, request and result: the same request on the same bars gives the same three."""

    request: BacktestRequest
    steps: pd.DataFrame
    equity: pd.Series
    statistics: dict[str, float]
    efficiency: float
    provenance: dict[str, Any]
    family: str
    tried: NDArray[np.float64]

    def to_frame(self) -> pd.DataFrame:
        """``steps``."""
        return self.steps

    @property
    def drawdown(self) -> pd.Series:
        """Equity below its highest so far (the cash at the start counts), as a fraction of 0 or less."""
        return self.equity / self.equity.cummax().clip(lower=self.request.cash) - 1

    def figure(self) -> Figure:
        from dashtrade.display.figures import equity_figure

        return equity_figure(self.equity, self.drawdown)

    def plot(self) -> DOMWidget:
        from dashtrade.display.plots import equity_plot

        return equity_plot(self.equity, self.drawdown)

    def _headline(self) -> str:
        return f"Walk-forward on {', '.join(self.request.bars)}: {len(self.steps)} stretches out of sample"

    def _facts(self) -> Sequence[Fact]:
        found = self.statistics
        return (
            ("Total return", percent(found["total_return"])),
            ("Growth a year", percent(found["cagr"])),
            ("Sharpe", number(found["sharpe"])),
            ("Max drawdown", percent(found["max_drawdown"])),
            ("Stretches won", f"{found['stretches_won']:g} of {found['stretches']:g}"),
            ("Efficiency", number(self.efficiency)),
        )

    def _notes(self) -> Sequence[str]:
        return ("Efficiency is growth out of sample over growth in sample: near 1 is robust, near 0 is a lucky fit.",)

    def _shown_rows(self) -> pd.DataFrame:
        return self.steps


def split(bars: int, windows: Windows) -> list[Stretch]:
    """The stretches of a series of ``bars`` bars, in order; test ranges touch and never overlap.

    Raises InvalidInput where not even one fits.
    """
    out: list[Stretch] = []
    embargoed: set[int] = set()
    start = windows.train + windows.purge
    while start + windows.test <= bars:
        last = start - windows.purge
        first = 0 if windows.expanding else last - windows.train
        out.append(Stretch(tuple(i for i in range(first, last) if i not in embargoed), start, start + windows.test))
        embargoed |= set(range(start + windows.test, min(start + windows.test + windows.embargo, bars)))
        start += windows.test
    if not out:
        need = windows.train + windows.purge + windows.test
        raise InvalidInput("train", f"{bars} bars are too few for these windows; {need} are needed.")
    return out


def walk_forward(
    request: BacktestRequest,
    parameters: Mapping[str, Sequence[float]],
    windows: Windows | None = None,
    options: SweepOptions | None = None,
    *,
    cancel: Cancel | None = None,
    progress: Progress | None = None,
) -> WalkForwardResult:
    """Sweeps every training stretch, and trades the best settings on the stretch after it.

    Each test stretch begins flat with the equity of the last one; its open position is sold at its last close, with
    costs. ``cancel`` (an event or a callable) stops it with Cancelled; ``progress`` is called with the share done.

    >>> import dashtrade as dt
    >>> from dashtrade.backtest import Windows
    >>> bars = {"AAPL": dt.history("AAPL", period="2y", source="sample")}
    >>> windows = Windows(train=250, test=60)
    >>> found = dt.walk_forward(dt.BacktestRequest("ema_cross", bars), {"fast": [5, 10]}, windows)
    >>> list(found.steps["step"])
    [0, 1, 2, 3]
    """
    control = Control(cancel, progress)
    windows, options = windows or Windows(), options or SweepOptions()
    if len(request.bars) != 1:
        raise InvalidInput("symbols", "walk-forward takes one symbol at a time.")
    symbol, bars = next(iter(request.bars.items()))
    template = Template(request.strategy)
    factor = annualisation(request.bars, bars).factor
    cash = request.cash
    rows, pieces, tried = [], [], []
    stretches = split(len(bars), windows)
    for n, stretch in enumerate(stretches):
        words = f"Stretch {n + 1} of {len(stretches)}: "
        own = control.part(n / len(stretches), (n + 1) / len(stretches), words)
        train = bars.iloc[list(stretch.train)]
        train.attrs = dict(bars.attrs)
        found = sweep(replace(request, bars={symbol: train}), parameters, options, cancel=cancel, progress=own.step)
        tried.append(found.tried)
        traded = found.table[found.table["trades"] > 0]
        usable = traded[np.isfinite(traded[options.objective])]
        row = int(usable.index[np.argmax(usable[options.objective].to_numpy())]) if len(usable) else 0
        best = found.settings(row)
        inside = found.table[[options.objective, "cagr"]].to_numpy(dtype=np.float64)[row]
        tested = _test(request, template.build(best), symbol, bars, stretch, windows, cash, cancel)
        rows.append(
            {
                "step": n,
                "train_from": train.index[0],
                "train_to": train.index[-1],
                "test_from": bars.index[stretch.test_start],
                "test_to": bars.index[stretch.test_end - 1],
                **best,
                f"in_sample_{options.objective}": float(inside[0]),
                "in_sample_cagr": float(inside[1]),
                "out_of_sample_return": float(tested.iloc[-1] / cash - 1),
                "out_of_sample_cagr": measure.cagr(tested.to_numpy(), cash, factor),
            }
        )
        pieces.append(tested)
        cash = float(tested.iloc[-1])
        if cash <= 0:
            break
    steps = pd.DataFrame(rows)
    equity = pd.concat(pieces)
    values = equity.to_numpy()
    returns = measure.returns_of(values, request.cash)
    outside = measure.cagr(values, request.cash, factor)
    within = float(steps["in_sample_cagr"].mean())
    cut = {n: getattr(windows, n) for n in Windows.__slots__}
    fields = {**found.provenance["request"], "windows": cut}
    digest = hashlib.sha256(values.tobytes() + steps[list(parameters)].to_numpy(dtype=np.float64).tobytes())
    return WalkForwardResult(
        request=request,
        steps=steps,
        equity=equity,
        statistics={
            "total_return": measure.total_return(values, request.cash),
            "cagr": outside,
            "volatility": measure.volatility(returns, factor),
            "sharpe": measure.sharpe(returns, factor),
            "sortino": measure.sortino(returns, factor),
            "max_drawdown": measure.max_drawdown(values, request.cash),
            "probabilistic_sharpe": measure.probabilistic_sharpe(returns),
            "stretches": len(steps),
            "stretches_won": int((steps["out_of_sample_return"] > 0).sum()),
        },
        efficiency=outside / within if within > 0 else float("nan"),
        provenance={
            **found.provenance,
            **source_fields(request, bars_hash(request.bars)),
            "request": fields,
            "request_hash": hash_of(fields),
            "result_hash": digest.hexdigest(),
            "windows": cut,
        },
        family=template.base.trial_family,
        tried=np.concatenate(tried),
    )


def _test(
    request: BacktestRequest, strategy: Any, symbol: str, bars: pd.DataFrame, stretch: Stretch, windows: Windows,
    cash: float, cancel: Cancel | None,
) -> pd.Series:  # fmt: skip
    """Equity over the test stretch. Indicators warm up before it; decisions count from its first bar's close on."""
    from dashtrade.analysis.annualisation import interval_of
    from dashtrade.domain.strategy import Signals
    from dashtrade.strategies import Operands, signals

    first = max(stretch.test_start - windows.warmup, 0)
    part = bars.iloc[first : stretch.test_end]
    part.attrs = dict(bars.attrs)
    decided = signals(strategy, Operands(part, interval_of(bars)))
    before = np.arange(len(part)) < stretch.test_start - first
    kept = Signals(*(np.where(before, False, getattr(decided, n)) for n in Signals.__slots__))
    result = backtest(
        replace(request, strategy=strategy, bars={symbol: part}, cash=cash), {symbol: kept}, cancel=cancel
    )
    equity = result.equity.iloc[stretch.test_start - first :].copy()
    held = float(result.positions.to_numpy()[-1, 0])
    if held:  # sold at the last close, at the cost of any other order
        close = float(part["close"].iloc[-1])
        costs = request.costs.per_side(str(bars.attrs.get("source", ""))) + request.costs.commission
        equity.iloc[-1] -= abs(held) * close * costs + request.costs.fixed
    return equity
