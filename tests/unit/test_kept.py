"""What is shown once, and forms that are sent twice: how long and for whom they are kept."""

from __future__ import annotations

import asyncio

import pytest

from dashtrade.dashboards.office import kept
from dashtrade.dashboards.office.kept import Kept


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_a_page_is_kept_for_its_session_and_its_time() -> None:
    clock = Clock()
    pages = Kept(clock)
    number = pages.keep_page("mine", "<p>link</p>")
    assert pages.page("theirs", number) is None
    assert pages.page("mine", "x") is None
    clock.now = kept.SHOWN_SECONDS - 1
    assert pages.page("mine", number) == "<p>link</p>"
    clock.now = kept.SHOWN_SECONDS
    assert pages.page("mine", number) is None


def test_the_oldest_page_gives_way(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kept, "MOST_PAGES", 2)
    pages = Kept(Clock())
    numbers = [pages.keep_page("mine", str(number)) for number in range(3)]
    assert [pages.page("mine", number) for number in numbers] == [None, "1", "2"]


class Form:
    def __init__(self, *addresses: str) -> None:
        self.addresses = list(addresses)

    async def act(self) -> str:
        await asyncio.sleep(0)
        return self.addresses.pop(0)


def test_a_form_acts_once_for_each_session_and_key() -> None:
    async def play() -> list[str]:
        answers, form = Kept(Clock()), Form("/1", "/2", "/3", "/4")
        return [
            *await asyncio.gather(*(answers.once("mine", "/f", "key", form.act) for _ in range(3))),
            await answers.once("mine", "/f", "key", form.act),
            await answers.once("mine", "/f", "other", form.act),
            await answers.once("theirs", "/f", "key", form.act),
            await answers.once("mine", "/f", "", form.act),
        ]

    assert asyncio.run(play()) == ["/1", "/1", "/1", "/1", "/2", "/3", "/4"]


def test_a_form_that_did_nothing_or_failed_is_acted_on_again() -> None:
    async def fail() -> str:
        raise ValueError

    async def play() -> list[str]:
        answers, form = Kept(Clock()), Form("", "/1")
        with pytest.raises(ValueError):
            await answers.once("mine", "/f", "key", fail)
        return [*await asyncio.gather(*(answers.once("mine", "/f", "key", form.act) for _ in range(2)))]

    assert asyncio.run(play()) == ["", "/1"]


def test_an_answer_is_forgotten_after_its_time() -> None:
    clock = Clock()

    async def play() -> list[str]:
        answers, form, seen = Kept(clock), Form("/1", "/2"), []
        for moment in (0.0, kept.ANSWER_SECONDS - 1, kept.ANSWER_SECONDS):
            clock.now = moment
            seen.append(await answers.once("mine", "/f", "key", form.act))
        return seen

    assert asyncio.run(play()) == ["/1", "/1", "/2"]
