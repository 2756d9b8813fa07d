"""A failing callback reaches a page as a sentence only; work runs off the event loop and can be dropped."""

from __future__ import annotations

import asyncio
import logging
import threading
from typing import Any

import ipywidgets
import pytest

from dashtrade.errors import InvalidInput
from dashtrade.pages import background
from dashtrade.pages.background import every, in_thread
from dashtrade.pages.guard import Message, describe, sentence
from dashtrade.pages.model import Job, PageModel
from dashtrade.pages.widgets.bits import (
    Card,
    ConfirmButton,
    MessageBar,
    ProgressBar,
    badge_html,
    cards_html,
    message_only,
)
from dashtrade.pages.widgets.shell import PageShell

EVIL = "<img src=x onerror=alert(1)>"


def fail(error: Exception) -> Any:
    def raising(*_args: object) -> None:
        raise error

    return raising


def test_an_expected_error_is_shown_as_it_is() -> None:
    model = PageModel()
    model.attempt(fail(InvalidInput("period", "is not known.", allowed=["1d", "1y"])))
    assert model.message == Message("error", "period: is not known. Allowed: 1d, 1y.")


def test_an_unexpected_error_is_logged_and_tells_nothing_but_a_reference(caplog: pytest.LogCaptureFixture) -> None:
    model = PageModel()
    with caplog.at_level(logging.ERROR, "dashtrade.pages"):
        model.attempt(fail(RuntimeError("password=hunter2 in /srv/secret.py")))
    assert model.message is not None and "hunter2" not in model.message.text and "secret.py" not in model.message.text
    [record] = caplog.records
    assert record.exc_info is not None and "hunter2" in str(record.exc_info[1])
    reference = model.message.text.split()[-1].rstrip(".")
    assert len(reference) == 8 and reference in record.getMessage()


def test_a_long_list_of_names_is_left_out() -> None:
    names = [f"name{n}" for n in range(40)]
    assert sentence(InvalidInput("rule", "unknown.", allowed=names)) == "rule: unknown."
    assert "name3" in sentence(InvalidInput("rule", "unknown.", allowed=names[:5]))


def test_text_from_outside_is_escaped_everywhere() -> None:
    model = PageModel()
    bar = MessageBar(model)
    model.say(Message("error", EVIL))
    only = message_only(describe(InvalidInput("x", EVIL)))
    shown = [
        bar.text,
        only.children[1].children[0].value,
        badge_html(EVIL, tip=EVIL),
        cards_html([Card(EVIL, EVIL, EVIL, EVIL)]),
    ]
    progress = ProgressBar(model)
    model.busy, model.progress = True, EVIL
    shown.append(progress._text.value)
    for text in shown:
        assert "<img" not in text and "&lt;img" in text


def test_a_message_offers_its_remedy_and_nothing_else() -> None:
    class Page(PageModel):
        done: list[str] = []

        def remedy(self) -> None:
            self.done.append("remedy")

    model = Page()
    bar = MessageBar(model)
    model.say(Message("error", "Away.", "remedy", "Repair"))
    assert bar.action.description == "Repair" and "dt-hidden" not in bar.action._dom_classes
    model.act("cancel")  # a message made by hand asks for another method
    assert model.done == [] and model.message is not None
    bar.action.click()
    assert model.done == ["remedy"] and model.message is None
    assert "dt-hidden" in bar.widget._dom_classes
    model.say(Message("info", "Hello."))
    bar.dismiss.click()
    assert model.message is None


def test_a_dangerous_button_asks_first() -> None:
    acted: list[int] = []
    button = ConfirmButton(PageModel(), "Stop", "Really stop", lambda: acted.append(1))
    button.yes.click()  # hidden: only a message made by hand can press it
    assert acted == []
    button.ask.click()
    button.no.click()
    button.yes.click()
    assert acted == []
    button.ask.click()
    button.yes.click()
    assert acted == [1]


def test_work_runs_in_another_thread_and_comes_back_to_the_loop() -> None:
    async def scene() -> tuple[Any, ...]:
        model = PageModel(background=in_thread)
        shares: list[tuple[float, str]] = []
        model.observe(lambda _c: shares.append((model.share, model.progress)), "progress")
        came = asyncio.Event()
        seen: dict[str, Any] = {}

        def work(job: Job) -> str:
            seen["worker"] = threading.current_thread()
            job.report(0.5, "Half")
            return "value"

        def done(value: str) -> None:
            seen["done"], seen["value"] = threading.current_thread(), value
            came.set()

        model.in_background(work, done, label="Begun…")
        assert model.busy
        await asyncio.wait_for(came.wait(), 10)
        return model.busy, seen, shares

    busy, seen, shares = asyncio.run(scene())
    assert not busy and seen["value"] == "value"
    assert seen["worker"] is not threading.main_thread() and seen["done"] is threading.main_thread()
    assert (0.5, "Half…") in shares


def test_cancelling_frees_the_page_at_once_and_drops_the_result() -> None:
    async def scene() -> tuple[Any, ...]:
        model = PageModel(background=in_thread)
        go, told, results = threading.Event(), threading.Event(), []

        def work(job: Job) -> str:
            go.wait(10)
            if job.cancelled():
                told.set()
            job.report(0.9, "too late")
            return "late"

        model.in_background(work, results.append)
        model.cancel()
        state = (model.busy, model.message)
        go.set()
        await asyncio.to_thread(told.wait, 10)
        await asyncio.sleep(0.05)
        return state, told.is_set(), results, model.progress

    (busy, message), told, results, progress = asyncio.run(scene())
    assert not busy and message is not None and message.text.startswith("Cancelled")
    assert told and results == [] and progress == ""


def test_a_newer_job_replaces_the_older_ones_result() -> None:
    waiting: list[Any] = []
    model = PageModel(background=lambda work, done: waiting.append((work, done)))
    results: list[str] = []
    from dashtrade.pages.background import Outcome

    model.in_background(lambda _job: "old", results.append)
    model.in_background(lambda _job: "new", results.append)
    waiting[1][1](Outcome("new"))
    waiting[0][1](Outcome("old"))
    assert results == ["new"] and not model.busy


def test_a_failure_in_the_background_is_a_message() -> None:
    model = PageModel()
    model.in_background(lambda _job: fail(InvalidInput("symbol", "is empty."))(), lambda _value: None)
    assert model.message == Message("error", "symbol: is empty.") and not model.busy


def test_a_beat_goes_on_until_it_is_stopped() -> None:
    async def scene() -> int:
        beats: list[int] = []
        stop = every(0.01, lambda: beats.append(1))
        while len(beats) < 3:
            await asyncio.sleep(0.01)
        stop()
        count = len(beats)
        await asyncio.sleep(0.05)
        assert len(beats) == count
        return count

    assert asyncio.run(scene()) >= 3


def test_results_wait_from_the_browsers_question_until_it_has_drawn_the_page() -> None:
    async def opened() -> list[list[str]]:
        curtain, seen, looks = background.Curtain(60), [], []
        curtain.call(lambda: seen.append("before"))  # is in the answer to the question
        curtain.fall()
        curtain.call(lambda: seen.append("first"))
        curtain.fall()  # asks again, since the answer took long
        curtain.call(lambda: seen.append("second"))
        looks.append(list(seen))
        assert not curtain.rise()
        curtain.call(lambda: seen.append("third"))
        looks.append(list(seen))
        curtain.fall()  # the browser was away and comes again: it has its widgets
        curtain.call(lambda: seen.append("fourth"))
        looks.append(seen[4:])
        return looks

    assert asyncio.run(opened()) == [["before"], ["before", "first", "second", "third"], ["fourth"]]
    curtain, seen = background.Curtain(), []
    curtain.fall()  # without a loop nothing would ever let it up
    curtain.call(lambda: seen.append("at once"))
    assert seen == ["at once"]


def test_a_browser_that_draws_late_is_told_what_it_missed() -> None:
    async def opened() -> tuple[list[str], bool, bool]:
        curtain, seen = background.Curtain(0), []
        curtain.fall()
        curtain.call(lambda: seen.append("early"))
        while not seen:
            await asyncio.sleep(0)
        return seen, curtain.rise(), curtain.rise()

    assert asyncio.run(opened()) == (["early"], True, False)


def test_the_shell_sends_every_state_again_after_a_late_start(monkeypatch: pytest.MonkeyPatch) -> None:
    shell, label = PageShell(slug="home"), ipywidgets.HTML("a result")
    sent: list[str] = []
    monkeypatch.setattr(ipywidgets.Widget, "send_state", lambda self, key=None: sent.append(self.model_id))
    for late in (False, True):
        monkeypatch.setattr("dashtrade.pages.widgets.shell.drawn", lambda late=late: late)
        sent.clear()
        shell._receive(shell, {"type": "drawn"}, [])
        assert ({shell.model_id, label.model_id} <= set(sent)) is late
