"""How far back a source's bars of each length reach: checked before the source is asked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from dashtrade.data.periods import period_start
from dashtrade.domain.market import HistoryRequest, Interval, Period
from dashtrade.errors import InvalidInput


@dataclass(frozen=True, slots=True)
class Limits:
    """``native`` maps each interval the source gives to the one it is fetched as; ``days`` bounds the bars' age.

    An interval missing from ``native`` cannot be had; one missing from ``days`` has no bound.
    """

    label: str
    native: Mapping[Interval, Interval]
    days: Mapping[Interval, int] = field(default_factory=dict)

    def source_interval(self, interval: Interval) -> Interval:
        """The interval to ask the source for; raises InvalidInput where none serves."""
        native = self.native.get(interval)
        if native is None:
            raise InvalidInput(
                "interval", f"{self.label} has no {interval} bars.", allowed=[i.value for i in self.native]
            )
        return native

    def oldest(self, interval: Interval, now: datetime) -> datetime | None:
        """The oldest bar one may ask for; None without a bound."""
        days = self.days.get(self.source_interval(interval))
        return None if days is None else now - timedelta(days=days)

    def check(self, request: HistoryRequest, now: datetime) -> None:
        """Raise InvalidInput, naming the limit, where the request reaches further back than the source does.

        ``max`` always passes: it means as far back as there is.
        """
        oldest = self.oldest(request.interval, now)
        if request.end is not None and request.start is None and oldest is not None and request.end <= oldest:
            raise InvalidInput("end", self._text(request.interval) + f" {request.end:%Y-%m-%d} is too long ago.")
        if oldest is None:
            return
        if request.start is not None:
            if request.start < oldest - timedelta(days=1):
                raise InvalidInput(
                    "start", self._text(request.interval) + f" {request.start:%Y-%m-%d} is too long ago."
                )
            return
        period = request.period or Period.Y1
        if not self._fits(period, oldest, now):
            allowed = [p.value for p in Period if self._fits(p, oldest, now)]
            message = self._text(request.interval) + f" {period} is too long; choose a shorter period or longer bars."
            raise InvalidInput("period", message, allowed=allowed)

    def _fits(self, period: Period, oldest: datetime, now: datetime) -> bool:
        if period in (Period.D1, Period.D5, Period.MAX):
            return True
        start = period_start(period, now)
        return start is None or start >= oldest - timedelta(days=1)

    def _text(self, interval: Interval) -> str:
        native = self.source_interval(interval)
        made = f" (made from {native} bars)" if native is not interval else ""
        return f"{self.label} has {interval} bars{made} for the last {self.days[native]} days only."
