"""The budget of calls is one for all processes and all threads, and begins anew with New York's day."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

import pytest
from fake_source import Clock
from sqlalchemy import Engine

from dashtrade.db.call_budget import DatabaseCallBudget
from dashtrade.db.engine import make_engine
from dashtrade.errors import BudgetUsedUp


@pytest.fixture
def engine(database_url: str) -> Iterator[Engine]:
    made = make_engine(database_url)
    yield made
    made.dispose()


def test_the_last_call_is_the_last(engine: Engine) -> None:
    clock = Clock("2024-01-08T15:00")
    budget = DatabaseCallBudget(lambda: engine, 3, clock)
    for left in (2, 1, 0):
        budget.take("alpha_vantage")
        assert budget.left("alpha_vantage") == left
    with pytest.raises(BudgetUsedUp, match="3 calls a day") as caught:
        budget.take("alpha_vantage")
    # Midnight in New York is 05:00 UTC in January.
    assert caught.value.retry_after == 14 * 3600
    budget.take("another")


def test_a_new_day_begins_in_new_york(engine: Engine) -> None:
    clock = Clock("2024-01-09T04:59")
    budget = DatabaseCallBudget(lambda: engine, 1, clock)
    budget.take("a")
    with pytest.raises(BudgetUsedUp):
        budget.take("a")
    clock.forward(minutes=1)
    budget.take("a")


def test_the_source_may_end_the_day(engine: Engine) -> None:
    budget = DatabaseCallBudget(lambda: engine, 25, Clock("2024-01-08T15:00"))
    budget.take("a")
    assert budget.used_up("a") == 14 * 3600
    assert budget.left("a") == 0
    with pytest.raises(BudgetUsedUp):
        budget.take("a")


def test_many_at_once_never_take_one_too_many(engine: Engine) -> None:
    budget = DatabaseCallBudget(lambda: engine, 25, lambda: datetime(2024, 1, 8, 15, tzinfo=UTC))

    def attempt(_: int) -> bool:
        try:
            budget.take("a")
        except BudgetUsedUp:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(attempt, range(60))) == 25
