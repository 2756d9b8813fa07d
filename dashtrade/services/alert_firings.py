"""Which rules are met on a symbol's new bars, and about which bar each tells. Nothing here does any I/O."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import numpy as np

from dashtrade.domain.alerts import AlertRule, Frequency
from dashtrade.domain.market import Interval
from dashtrade.errors import DashTradeError
from dashtrade.services.alert_conditions import BarsView, Check, check_of

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

CATCH_UP = timedelta(days=7)  # bars that closed longer ago are not told about any more


@dataclass(frozen=True, slots=True)
class Group:
    """The bars that some rules watch together; ``source`` is one source, or a user's order of several with commas, or
    empty for the installation's own order."""

    symbol: str
    interval: Interval
    source: str


@dataclass(frozen=True, slots=True)
class Firing:
    """A rule is met at the close of bar number ``at``, and was on ``missed`` earlier bars of the same look."""

    rule: AlertRule
    check: Check
    at: int
    missed: int


def find_firings(
    view: BarsView,
    group: Group,
    rules: list[AlertRule],
    since: datetime | None,
    told: dict[int, datetime],
    now: datetime,
) -> tuple[list[Firing], list[tuple[AlertRule, DashTradeError]]]:
    """Which rules are met on the bars after ``since``, and which cannot be evaluated at all. Pure.

    ``told`` gives the bar each rule with a cooldown told about last. A bar counts for a rule when it closed after the
    rule was switched on and not after it expired.
    """
    from dashtrade.data.pipeline import is_closed

    index = view.bars.index
    oldest = now - CATCH_UP - 2 * group.interval.length  # times are those of a bar's start
    begin = max(since, oldest) if since is not None else oldest
    first = int(index.searchsorted(begin, side="right"))
    open_at: dict[datetime, int] = {}
    found: list[Firing] = []
    broken: list[tuple[AlertRule, DashTradeError]] = []

    def first_open(moment: datetime) -> int:
        """The number of the first bar that was not closed at ``moment``."""
        if moment not in open_at:
            low, high = 0, view.size
            while low < high:
                middle = (low + high) // 2
                if is_closed(index[middle], group.symbol, group.interval, moment):
                    low = middle + 1
                else:
                    high = middle
            open_at[moment] = low
        return open_at[moment]

    for rule in rules:
        try:
            check = check_of(rule.kind, rule.condition)
            flags = view.flags(check)
        except DashTradeError as error:
            broken.append((rule, error))
            continue
        start = max(first, first_open(rule.active_since))
        stop = view.size if rule.expires_at is None else first_open(rule.expires_at)
        hits = start + np.flatnonzero(flags[start:stop])
        if rule.frequency is Frequency.EVERY:
            hits = hits[(hits > 0) & ~flags[hits - 1]]
        if len(hits):
            at, count = _chosen(rule, index, hits, told.get(rule.id))
            if at is not None:
                found.append(Firing(rule, check, at, count - 1))
    return found, broken


def _chosen(rule: AlertRule, index: pd.Index, hits: NDArray[np.intp], last: datetime | None) -> tuple[int | None, int]:
    """The bar to tell about (the first for ``once``, else the last), and on how many bars the rule would have told."""
    once = rule.frequency is Frequency.ONCE
    if not rule.cooldown:
        return (int(hits[0]), 1) if once else (int(hits[-1]), len(hits))
    chosen, count = None, 0
    for at in hits:
        start = index[at].to_pydatetime()
        if last is not None and start - last < rule.cooldown:
            continue
        chosen, count, last = int(at), count + 1, start
        if once:
            break
    return chosen, count
