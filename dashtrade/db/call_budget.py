"""The daily budget of calls to a source, counted in the database so that all processes share it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from sqlalchemy import Engine, text

from dashtrade.errors import BudgetUsedUp

_ZONE = ZoneInfo("America/New_York")
_TAKE = text(
    """
    INSERT INTO source_calls AS counted (source, day, calls) VALUES (:source, :day, 1)
    ON CONFLICT (source, day) DO UPDATE SET calls = counted.calls + 1 WHERE counted.calls < :limit
    RETURNING calls
    """
)
_EXHAUST = text(
    """
    INSERT INTO source_calls AS counted (source, day, calls) VALUES (:source, :day, :limit)
    ON CONFLICT (source, day) DO UPDATE SET calls = GREATEST(counted.calls, :limit)
    """
)


class DatabaseCallBudget:
    """Implements the CallBudget port: ``per_day`` calls on each of New York's days. ``engine`` is called late.

    A user's own key has a budget of its own, counted for ``owner``.
    """

    def __init__(
        self,
        engine: Callable[[], Engine],
        per_day: int = 25,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        *,
        owner: int | None = None,
    ) -> None:
        self._owner = owner
        self._engine = engine
        self._per_day = per_day
        self._now = now

    def take(self, source: str) -> None:
        values = {"source": self._counted(source), "day": self._day(), "limit": self._per_day}
        with self._engine().begin() as connection:
            taken = connection.execute(_TAKE, values).scalar()
        if taken is None:
            wait = self._wait()
            text_ = f"The {self._per_day} calls a day to {source} are used up; more in {wait / 3600:.1f} hours."
            raise BudgetUsedUp(source, f"{text_} Use another source until then.", wait)

    def used_up(self, source: str) -> float:
        values = {"source": self._counted(source), "day": self._day(), "limit": self._per_day}
        with self._engine().begin() as connection:
            connection.execute(_EXHAUST, values)
        return self._wait()

    def left(self, source: str) -> int:
        """Calls that may still be made today."""
        query = text("SELECT calls FROM source_calls WHERE source = :source AND day = :day")
        with self._engine().connect() as connection:
            used = connection.execute(query, {"source": self._counted(source), "day": self._day()}).scalar()
        return max(self._per_day - int(used or 0), 0)

    def _counted(self, source: str) -> str:
        return source if self._owner is None else f"{source}-{self._owner}"

    def _day(self) -> date:
        return self._now().astimezone(_ZONE).date()

    def _wait(self) -> float:
        tomorrow = datetime.combine(self._day() + timedelta(days=1), time(), _ZONE)
        return (tomorrow - self._now()).total_seconds()
