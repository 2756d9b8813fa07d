"""Search with Optuna's tree-structured Parzen estimator, in batches that run side by side."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from dashtrade.backtest.block import METRICS
from dashtrade.errors import ConfigurationError

if TYPE_CHECKING:
    from dashtrade.backtest.blocks import Runner
    from dashtrade.backtest.space import Space
    from dashtrade.backtest.sweep import SweepOptions

BATCH = 16


def search(
    run: Runner, space: Space, options: SweepOptions, seed: int
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """(combinations tried, their statistics), in order of trial; each combination is simulated once."""
    try:
        import optuna
    except ImportError:
        raise ConfigurationError("The optuna method needs Optuna: pip install 'dashtrade[sweep]'.") from None
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(direction="maximize", sampler=optuna.samplers.TPESampler(seed=seed, constant_liar=True))
    place = METRICS.index(options.objective)
    known: dict[int, NDArray[np.float64]] = {}
    asked = 0
    while asked < options.trials:
        batch = []
        for _ in range(min(BATCH, options.trials - asked)):
            trial = study.ask()
            picked = [trial.suggest_int(name, 0, size - 1) for name, size in zip(space.names, space.shape, strict=True)]
            pick = int(np.ravel_multi_index(picked, space.shape))
            batch.append((trial, pick, space.template.possible(space.settings(pick))))
            asked += 1
        new = np.array(sorted({p for _, p, ok in batch if ok and p not in known}), dtype=np.int64)
        if len(new):
            known.update(zip(new.tolist(), run.all(new, quiet=True), strict=True))
        for trial, pick, possible in batch:
            value = float(known[pick][place]) if possible else float("nan")
            if np.isfinite(value):
                study.tell(trial, value)
            else:
                study.tell(trial, state=optuna.trial.TrialState.FAIL)
        run.control.step(asked / options.trials, f"{asked:,} of {options.trials:,} trials")
    picks = np.array(list(known), dtype=np.int64)
    empty = np.empty((0, len(METRICS)))
    return picks, np.stack(list(known.values())) if known else empty
