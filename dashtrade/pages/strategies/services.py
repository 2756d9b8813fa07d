"""What the strategies page needs done, as callables."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING

from dashtrade.domain.strategy import Strategy
from dashtrade.services.strategies import StrategyLine, StrategyVersion

if TYPE_CHECKING:
    from dashtrade.backtest.checks import Finding


@dataclass(frozen=True, slots=True)
class StrategyServices:
    """What the page needs done, each for the signed-in user.

    ``save(strategy, base=, draft=)`` adds a version; ``looks_ahead`` and ``unsettled`` name conditions;
    ``keep_draft(name, values)`` keeps unsaved work, an empty mapping forgets it; ``promote(name, symbol, interval,
    dollars)`` makes a bot that is switched off and gives its number.
    """

    list_strategies: Callable[[], Sequence[StrategyLine]]
    versions: Callable[[str], Sequence[StrategyVersion]]
    save: Callable[..., Strategy]
    rename: Callable[[str, str], str]
    delete: Callable[[str], None]
    looks_ahead: Callable[[Strategy], Sequence[Finding]]
    unsettled: Callable[[Strategy], Sequence[Finding]]
    promote: Callable[[str, str, str, Decimal], int]
    keep_draft: Callable[[str, Mapping[str, str]], None]
    draft_of: Callable[[str], Mapping[str, str]]
    remember: Callable[[Mapping[str, str]], None]
