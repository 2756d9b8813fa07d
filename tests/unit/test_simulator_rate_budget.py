"""The budget of requests: never above its limit in any window, exits first."""

from __future__ import annotations

import threading
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dashtrade.brokers.rate_limit import Priority, RateBudget, budget_for


class Clock:
    def __init__(self) -> None:
        self.time = 1000.0

    def __call__(self) -> float:
        return self.time


def take_all(budget: RateBudget, priority: Priority) -> int:
    taken = 0
    while budget.acquire(priority, timeout=0):
        taken += 1
    return taken


def test_entries_leave_room_for_reconciliation_and_that_for_exits() -> None:
    budget = RateBudget(180, clock=Clock())
    assert take_all(budget, Priority.ENTRY) == 153
    assert take_all(budget, Priority.RECONCILE) == 18
    assert take_all(budget, Priority.EXIT) == 9
    assert budget.used == 180


@given(st.lists(st.tuples(st.floats(0, 30), st.sampled_from(list(Priority))), max_size=400))
def test_no_window_ever_holds_more_than_the_limit(steps: list[tuple[float, Priority]]) -> None:
    clock = Clock()
    budget = RateBudget(20, window=60, clock=clock)
    granted: list[float] = []
    for wait, priority in steps:
        clock.time += wait if wait > 25 else 0
        if budget.acquire(priority, timeout=0):
            granted.append(clock.time)
    for start in granted:
        assert sum(start <= t < start + 60 for t in granted) <= 20


def test_a_waiting_exit_overtakes_entries_that_came_before() -> None:
    budget = RateBudget(4, window=0.4)
    for _ in range(4):
        assert budget.acquire(Priority.EXIT, timeout=0)
    order: list[str] = []

    def ask(name: str, priority: Priority) -> None:
        assert budget.acquire(priority, timeout=20)
        order.append(name)

    threads = []
    for name, priority in [("entry 1", Priority.ENTRY), ("entry 2", Priority.ENTRY), ("exit", Priority.EXIT)]:
        waiting = len(budget._waiting)
        thread = threading.Thread(target=ask, args=(name, priority))
        thread.start()
        threads.append(thread)
        deadline = time.monotonic() + 10
        while len(budget._waiting) == waiting and name not in order and time.monotonic() < deadline:
            time.sleep(0.001)
    for thread in threads:
        thread.join(20)
    assert order[0] == "exit"
    assert order[1:] == ["entry 1", "entry 2"]


def test_how_long_there_is_no_room_is_known_without_waiting() -> None:
    clock = Clock()
    budget = RateBudget(20, window=60, clock=clock)
    assert budget.wait(Priority.ENTRY) == 0
    take_all(budget, Priority.ENTRY)
    clock.time += 15
    assert budget.wait(Priority.ENTRY) == 45 and budget.wait(Priority.EXIT) == 0
    budget.pause(5)
    assert budget.wait(Priority.EXIT) == 5
    assert budget.used == 17, "nothing was taken"


def test_a_pause_holds_everything() -> None:
    clock = Clock()
    budget = RateBudget(10, clock=clock)
    budget.pause(5)
    assert not budget.acquire(Priority.EXIT, timeout=0)
    clock.time += 5
    assert budget.acquire(Priority.EXIT, timeout=0)


def test_one_key_has_one_budget() -> None:
    first = budget_for("PKONE", 180)
    assert budget_for("PKONE", 180) is first
    assert budget_for("PKTWO", 180) is not first


@pytest.mark.parametrize("priority", list(Priority))
def test_a_small_budget_still_lets_every_priority_through(priority: Priority) -> None:
    assert RateBudget(1, clock=Clock()).acquire(priority, timeout=0)
