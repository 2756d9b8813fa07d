"""Which row of a two-phase bar does what."""

from __future__ import annotations

from dataclasses import dataclass

from dashtrade.backtest.request import BacktestRequest, Fill
from dashtrade.domain.strategy import Direction


@dataclass(frozen=True, slots=True)
class Layout:
    """``per_bar`` rows for each bar: leaving on one, entering on another, stops on the inside row (and the open
    ones)."""

    per_bar: int
    exit: int
    entry: int
    inside: int

    @classmethod
    def of(cls, request: BacktestRequest) -> Layout:
        """Leaving and entering share a row where that cannot matter. It does where a position can turn round, and where
        a short sale must wait for the cash that another symbol's buying back sets free: the engine sells first."""
        sharing = request.share_cash and len(request.bars) > 1
        direction, fill = request.direction, request.fill
        both = direction == Direction.LONG_SHORT or (direction == Direction.SHORT_ONLY and sharing)
        if fill == Fill.CLOSE:
            return cls(3, 1, 2, 1) if both else cls(2, 1, 1, 1)
        return cls(3, 0, 1, 2) if both else cls(2, 0, 0, 1)
