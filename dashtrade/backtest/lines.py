"""A sweep's rules as pairs of lines: each line is computed once, and a combination only says which two it compares."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dashtrade.backtest import sparse
from dashtrade.backtest.bars import Grid
from dashtrade.backtest.compiled import Part
from dashtrade.backtest.request import BacktestRequest, Fill
from dashtrade.backtest.space import Space, Template
from dashtrade.backtest.vectorbt_engine import ORDER_DTYPE
from dashtrade.domain.strategy import Direction, Operator
from dashtrade.strategies import Operands, with_stops

Floats = NDArray[np.float64]
_OPERATORS = {
    Operator.CROSSES_ABOVE: 0, Operator.CROSSES_BELOW: 1, Operator.ABOVE: 2, Operator.BELOW: 3, Operator.AT_LEAST: 4,
    Operator.AT_MOST: 5,
}  # fmt: skip
"""Numbers of the comparisons in ``dashtrade.backtest.kernels``."""
_RULES = ("long_entry", "long_exit", "short_entry", "short_exit")
_MOST_BYTES = 128_000_000
_KEPT = 256
"""Different rules of a block that are kept at most."""
_BATCH = 16
"""Lines computed before what they were computed from is let go."""


@dataclass(frozen=True, slots=True, eq=False)
class Lines:
    """``values`` has one line a row. ``sides[rule][side]`` are (strides, offset): the number of a line is the offset
    plus the places of a combination on the grid times the strides."""

    values: Floats
    operators: NDArray[np.int64]
    strides: NDArray[np.int64]
    offsets: NDArray[np.int64]
    shape: tuple[int, ...]

    @classmethod
    def of(cls, request: BacktestRequest, space: Space, bars: int) -> Lines | None:
        """None where a rule is more than one comparison, or there would be about as many lines as combinations."""
        template = space.template
        strategy = with_stops(template.base, request.stops) if request.stops is not None else template.base
        plain = len(request.bars) == 1 and strategy.session is None and sparse.applies(request, strategy)
        if not plain or any(name not in template.own for name in space.names):
            return None
        skipped = {Direction.LONG_ONLY: "short", Direction.SHORT_ONLY: "long"}.get(Direction(request.direction), "none")
        rules = template.rules()
        operators = np.full(4, -1, dtype=np.int64)
        strides = np.zeros((4, 2, len(space.shape)), dtype=np.int64)
        offsets = np.zeros((4, 2), dtype=np.int64)
        fixed = _checked(template, template.current)
        wanted: list[tuple[Part, Mapping[str, Any]]] = []
        known: dict[tuple[Any, ...], tuple[NDArray[np.int64], int]] = {}
        for n, name in enumerate(_RULES):
            if name.startswith(skipped) or name not in rules:
                continue
            comparison = getattr(rules[name], "comparison", None)
            if comparison is None or comparison[0] not in _OPERATORS:
                return None
            operators[n] = _OPERATORS[comparison[0]]
            for s, part in enumerate(comparison[1:]):
                axes = [k for k, axis in enumerate(space.names) if axis in part.needs]
                key = (part(fixed), tuple(axes))
                if key not in known:
                    stride, steps = 1, np.zeros(len(space.shape), dtype=np.int64)
                    for k in reversed(axes):
                        steps[k], stride = stride, stride * space.shape[k]
                    known[key] = steps, len(wanted)
                    if (len(wanted) + stride) * bars * 8 > _MOST_BYTES or stride > max(1_024, space.size // 4):
                        return None
                    for chosen in itertools.product(*(space.values[space.names[k]] for k in axes)):
                        moved = {space.names[k]: v for k, v in zip(axes, chosen, strict=True)}
                        wanted.append((part, {**fixed, **_checked(template, moved)}))
                strides[n, s], offsets[n, s] = known[key]
        return cls(_computed(request, wanted), operators, strides, offsets, space.shape)

    def picks(self, picks: NDArray[np.int64]) -> NDArray[np.int64]:
        """Which two lines each rule of each combination compares, of shape (combinations, 4, 2)."""
        places = np.stack(np.unravel_index(picks, self.shape))
        return np.ascontiguousarray(
            (np.tensordot(self.strides, places, 1) + self.offsets[..., None]).transpose(2, 0, 1)
        )

    def run(
        self, picks: NDArray[np.int64], request: BacktestRequest, grid: Grid, slippage: float, factor: float
    ) -> Floats:
        """Statistics of the combinations, of shape (combinations, METRICS)."""
        from dashtrade.backtest import kernels

        account = sparse.Account.of(request, slippage)
        out = np.empty((len(picks), kernels.MEASURES))
        price = sparse.fills(request, grid)[0]
        lag = 1 if request.fill == Fill.NEXT_OPEN else 0
        orders, after = np.empty(2 * len(price), dtype=ORDER_DTYPE), np.empty(2 * len(price))
        pairs = self.picks(picks)
        slots = self._slots(pairs)
        events = np.empty((4, max(1, int(slots.max()) + 1), len(price)), dtype=np.int32)  # only what is used is touched
        kernels.measure_lines(  # type: ignore[call-arg]
            self.values, pairs, slots, self.operators, lag, price, np.ascontiguousarray(grid.close[:, 0]),
            *account.arguments, factor, sparse.bar_rate(request, factor), orders, after, events, out,
        )  # fmt: skip
        return out

    def _slots(self, pairs: NDArray[np.int64]) -> NDArray[np.int64]:
        """A number for each rule of each combination, the same where the rule is; -1 where a rule repeats too seldom
        to be kept."""
        slots = np.full(pairs.shape[:2], -1, dtype=np.int64)
        for rule in np.flatnonzero(self.operators >= 0):
            names = pairs[:, rule, 0] * len(self.values) + pairs[:, rule, 1]
            distinct, place = np.unique(names, return_inverse=True)
            if len(distinct) <= min(_KEPT, len(pairs) // 2):
                slots[:, rule] = place
        return slots


def _checked(template: Template, settings: Mapping[str, Any]) -> dict[str, Any]:
    """The settings as the rules take them."""
    preset = template.preset
    if preset is None:
        return dict(settings)
    return {p.name: p.checked(preset.key, settings[p.name]) for p in preset.params if p.name in settings}


def _computed(request: BacktestRequest, wanted: Sequence[tuple[Part, Mapping[str, Any]]]) -> Floats:
    from dashtrade.analysis.annualisation import interval_of

    bars = next(iter(request.bars.values()))
    out = np.empty((len(wanted), len(bars)))
    for start in range(0, len(wanted), _BATCH):
        operands = Operands(bars, interval_of(bars))
        for n, (part, values) in enumerate(wanted[start : start + _BATCH], start):
            out[n] = operands.values(part(values))
    return out
