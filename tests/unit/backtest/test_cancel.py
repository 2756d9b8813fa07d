"""Long runs say how far they are, and stop when asked: from any place inside, with nothing kept."""

from __future__ import annotations

import threading
from dataclasses import replace

import pytest
from test_sweep import GRID, REQUEST, bars_of

import dashtrade as dt
from dashtrade.backtest import Cancelled, RiskPercent, Stops, SweepOptions, Windows
from dashtrade.backtest.evidence import evidence
from dashtrade.domain.strategy import Signals


def runs():
    hard = replace(
        REQUEST, bars={"X": bars_of(), "Y": bars_of(seed=3)}, size=RiskPercent(1), stops=Stops(loss=0.02, trail=0.03),
        direction="long_short",
    )  # fmt: skip
    result = dt.backtest(REQUEST)
    return {
        "backtest": lambda **kw: dt.backtest(hard, **kw),
        "sweep": lambda **kw: dt.sweep(REQUEST, GRID, SweepOptions(block=2), **kw),
        "optuna": lambda **kw: dt.sweep(REQUEST, GRID, SweepOptions(method="optuna", trials=40), **kw),
        "walk_forward": lambda **kw: dt.walk_forward(REQUEST, GRID, Windows(train=200, test=80), **kw),
        "evidence": lambda **kw: evidence(result, **kw),
    }


@pytest.mark.parametrize("kind", ["backtest", "sweep", "optuna", "walk_forward", "evidence"])
def test_progress_rises_and_a_cancel_at_any_moment_stops(kind):
    run = runs()[kind]
    seen: list[float] = []
    asked = 0

    def count() -> bool:
        nonlocal asked
        asked += 1
        return False

    run(progress=lambda share, text: seen.append(share) or text.strip() or pytest.fail("no words"), cancel=count)
    assert seen == sorted(seen) and seen[0] >= 0 and seen[-1] <= 1 and len(seen) >= 3
    assert asked >= 5, "asked often, so that a cancel is noticed soon"
    for moment in {1, asked // 3, asked // 2}:
        calls = 0

        def stop(moment: int = moment) -> bool:
            nonlocal calls
            calls += 1
            return calls >= moment

        with pytest.raises(Cancelled, match="Stopped"):
            run(cancel=stop)
    event = threading.Event()
    event.set()
    with pytest.raises(Cancelled):
        run(cancel=event)


def test_even_the_mending_of_signals_can_be_stopped():
    """A cooldown on dense signals is mended trade by trade: the cancel is looked at between them."""
    import numpy as np

    bars = bars_of(300)
    ones, zeros = np.ones(300, dtype=bool), np.zeros(300, dtype=bool)
    leave = np.arange(300) % 3 == 0
    strategy = dt.Strategy("x", long_entry=dt.backtest(REQUEST).strategy.long_entry, cooldown=1)
    calls = 0

    def stop() -> bool:
        nonlocal calls
        calls += 1
        return calls > 30

    request = replace(REQUEST, strategy=strategy, bars={"X": bars})
    with pytest.raises(Cancelled):
        dt.backtest(request, {"X": Signals(ones, leave, zeros, zeros)}, cancel=stop)
