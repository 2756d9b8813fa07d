"""The strategies page over real prices, the real parser and a real database."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from sqlalchemy import select

from dashtrade.data.sample import SampleSource
from dashtrade.db.tables.research import SavedStrategy
from dashtrade.db.unit_of_work import UnitOfWork
from dashtrade.domain.market import HistoryRequest
from dashtrade.domain.strategy import Operator, Session, Stops, Strategy
from dashtrade.domain.users import User
from dashtrade.errors import InvalidInput, NotFound, SourceUnreachable
from dashtrade.indicators import REGISTRY
from dashtrade.pages.background import outcome_of
from dashtrade.pages.strategies import draft as rows
from dashtrade.pages.strategies.draft import Group, Row, Side
from dashtrade.pages.strategies.form import DEFAULTS, strategy_of, values_of
from dashtrade.pages.strategies.model import StrategiesModel, StrategyServices
from dashtrade.pages.strategies.preview import PreviewModel, preview
from dashtrade.pages.strategies.rows_view import GroupView, RowView
from dashtrade.pages.strategies.sentence import describe
from dashtrade.pages.strategies.view import StrategiesView
from dashtrade.services import bots, promotion, strategies
from dashtrade.services.market import MarketData
from dashtrade.strategies import PRESETS, parse_condition, to_dict, to_text

SAMPLE = SampleSource()
HOSTILE = "<img src=x onerror=alert(1)> & 'co'"
RULES = (
    "rsi < 30",
    "ema(window=9) crosses_above ema(window=21) and rsi < 70",
    "(close > open or volume > volume[1]) and not (rsi > 70 and adx > 25)",
    "not not rsi rising 3 or hammer[1]",
    "all(rsi < 30) and any(close > support(window=7))",
    "close between bollinger(window=10).lower and bollinger(window=10).upper@1wk",
    "((high - low) * 2) > atr and hlc3 falling",
    "not (rsi < 30 or rsi > 70)",
)


class House:
    """A page of one user over the given database; unsaved work and last inputs are kept in ``kept``."""

    def __init__(self, uow: Callable[[], UnitOfWork], user_id: int, kept: dict[str, Any] | None = None) -> None:
        self.kept: dict[str, Any] = {} if kept is None else kept
        self.error: Exception | None = None
        self.market = MarketData({"sample": SAMPLE}, ["sample"])
        self.waiting: list[Any] | None = None

        def mine(service: Callable[..., Any]) -> Callable[..., Any]:
            return lambda *args, **kw: service(uow(), user_id, *args, **kw)

        services = StrategyServices(
            list_strategies=mine(strategies.list_strategies), versions=mine(strategies.list_versions),
            save=mine(strategies.save_strategy), rename=mine(strategies.rename_strategy),
            delete=mine(strategies.delete_strategy), looks_ahead=promotion.future_looks,
            unsettled=promotion.unsettled, promote=lambda *args: int(mine(promotion.promote)(*args).id),
            keep_draft=self.keep, draft_of=lambda name: self.kept.get(name, {}), remember=lambda values: None,
        )  # fmt: skip
        self.preview = PreviewModel(self.history, ["yahoo", "sample"], background=self.background)
        self.model = StrategiesModel(services, self.preview, background=self.background)
        self.view = StrategiesView(self.model)

    def keep(self, name: str, values: Mapping[str, str]) -> None:
        self.kept[name] = dict(values)

    def history(self, request: HistoryRequest, source: str | None) -> Any:
        if self.error is not None and source != "sample":
            raise self.error
        return SAMPLE.history(request)

    def background(self, work: Any, done: Any) -> None:
        if self.waiting is None:
            done(outcome_of(work, lambda call: call()))
        else:
            self.waiting.append((work, done))

    def started(self) -> House:
        self.model.restore({})
        self.view.new.click()
        return self

    def group(self, part: str = "long_entry") -> GroupView:
        found = self.view.parts[part].group
        assert found is not None
        return found

    def row(self, number: int = 0) -> RowView:
        found = self.group().children[number]
        assert isinstance(found, RowView)
        return found


@pytest.fixture
def user(make_user: Callable[..., User]) -> User:
    return make_user()


@pytest.fixture
def house(uow_factory: Callable[[], UnitOfWork], user: User) -> House:
    return House(uow_factory, user.id)


@pytest.fixture
def another(uow_factory: Callable[[], UnitOfWork], user: User) -> Callable[..., House]:
    """The same user's page in another tab."""
    return lambda kept=None: House(uow_factory, user.id, kept)


@pytest.fixture
def tomorrow(monkeypatch: pytest.MonkeyPatch) -> None:
    """Momentum reads tomorrow's close while a test runs."""

    def compute(close: Any, **_: Any) -> Any:
        out = np.full(len(close), np.nan)
        out[:-1] = close[1:] - close[:-1]
        return out

    cheat = replace(REGISTRY["momentum"], compute=compute, inputs=("close",))
    monkeypatch.setitem(REGISTRY._entries, "momentum", cheat)


# rows and text


@pytest.mark.parametrize("text", RULES)
def test_text_to_rows_to_text_is_the_same_rule(text: str) -> None:
    draft = rows.from_text(text)
    assert draft.error == "" and draft.rule is not None
    again = rows.from_tree(draft.tree)
    assert again.rule == draft.rule
    assert rows.whole_text(draft.tree) == to_text(draft.rule).replace("((high - low) * 2)", "(high - low) * 2")


@pytest.mark.parametrize("key", list(PRESETS))
def test_every_template_survives_rows_and_form(key: str) -> None:
    preset = PRESETS[key].build()
    parts = {}
    for part in ("long_entry", "long_exit", "short_entry", "short_exit"):
        rule = getattr(preset, part)
        parts[part] = rows.from_tree(rows.tree_of(rule))
        assert parts[part].rule == rule
    made, problems = strategy_of(preset.name, parts, values_of(preset), preset.family, preset.description)
    assert problems == () and made == preset


@pytest.mark.parametrize(
    ("text", "position", "said"),
    [
        ("rsi < 30 and emaa(9) > 3", 13, "did you mean ema?"),
        ("rsi < 30 and", 12, "expected"),
        ("rsi abov 3", 4, "did you mean above?"),
        ("close[x] > 1", 6, "whole number of bars back"),
        ("ema(9 > 3", 6, "missing"),
    ],
)
def test_an_error_points_at_its_place_and_keeps_the_rows(text: str, position: int, said: str) -> None:
    before = rows.from_text("rsi < 30")
    draft = rows.from_text(text, before)
    assert (draft.position, draft.rule, draft.tree) == (position, None, before.tree)
    assert said in draft.error and "character" not in draft.error


def test_rows_write_the_text_as_they_change(house: House) -> None:
    view = house.started().view
    row = house.row()
    row.left.kind.value = "price"
    row.left.name.value = "volume"
    row.left.offset.value = "2"
    row.operator.value = Operator.ABOVE.value
    row.right.name.value = "macd"
    assert set(row.right.settings) == {"fast", "slow", "signal"}
    row.right.settings["fast"].value = "5"
    row.right.output.value = "signal"
    row.right.timeframe.value = "1wk"
    assert view.parts["long_entry"].text.value == "volume[2] > macd(fast=5).signal@1wk"
    row.operator.value = Operator.BETWEEN.value
    assert row.upper is not None and "dt-hidden" not in row.upper.widget._dom_classes
    row.operator.value = Operator.RISING.value
    row.bars.value = "3"
    assert view.parts["long_entry"].text.value == "volume[2] rising 3"
    assert "dt-hidden" in row.right.widget._dom_classes
    row.left.kind.value = "pattern"
    row.left.name.value = "bullish_engulfing"
    assert row.operator.value == Operator.OCCURS.value
    assert view.parts["long_entry"].text.value == "bullish_engulfing"
    row.left.kind.value = "formula"
    row.left.text.value = "high - low"
    row.right.kind.value = "number"
    row.right.text.value = "1.5"
    row.operator.value = Operator.AT_LEAST.value
    assert view.parts["long_entry"].text.value == "high - low >= 1.5"
    assert house.model.parts["long_entry"].rule == parse_condition("high - low >= 1.5")


def test_text_writes_the_rows(house: House) -> None:
    house.started().view.parts["long_entry"].text.value = "not (rsi(7) < 20 and hammer) or close > 2"
    inner, row = house.group().children
    assert house.group().kind.value == "any" and isinstance(inner, GroupView) and isinstance(row, RowView)
    assert inner.kind.value == "not" and [type(c) for c in inner.children] == [RowView, RowView]
    assert inner.children[0].left.settings["window"].value == "7"  # type: ignore[union-attr]
    assert row.right.text.value == "2"


def test_conditions_and_groups_are_added_and_removed(house: House) -> None:
    view = house.started().view
    group, text = house.group(), view.parts["long_entry"].text
    first = text.value
    group.add.click()
    assert text.value == f"{first} and {first}"
    group.kind.value = "any"
    assert text.value == f"{first} or {first}"
    group.add_group.click()
    inner = group.children[2]
    assert isinstance(inner, GroupView)
    inner.add.click()
    assert text.value == f"{first} or {first} or ({first} or {first})"
    inner.kind.value = "not"
    assert text.value == f"{first} or {first} or not ({first} and {first})"
    assert house.group() is group, "rows under the hands are not drawn anew"
    inner.children[0].remove.click()  # type: ignore[union-attr]
    group.children[0].remove.click()  # type: ignore[union-attr]
    assert text.value == f"{first} or not {first}"
    while group.children:
        child = group.children[0]
        (child.remove if isinstance(child, RowView) else child.widget.children[2].children[-1]).click()
    assert text.value == "" and "dt-hidden" not in view.parts["long_entry"].empty._dom_classes


def test_what_is_wrong_with_a_row_is_said_at_the_row_and_in_the_text(house: House) -> None:
    view = house.started().view
    house.row().left.settings["window"].value = "many"
    assert "whole number" in house.row().problem.value
    assert "<mark>ema</mark>" in view.parts["long_entry"].problem.value
    assert view.save.disabled and "Buy:" in view.problems.value
    assert view.part_tabs["long_entry"].description.endswith("⚠")
    house.row().left.settings["window"].value = "8"
    assert not view.save.disabled and "dt-hidden" in view.parts["long_entry"].problem._dom_classes


# what surrounds the rules


def test_stops_size_cooldown_and_session_reach_the_strategy(house: House) -> None:
    form = house.started().view.form
    texts = {"loss": "2%", "profit": "3atr", "trail": "150bps", "time_stop": "10", "atr_window": "20",
             "cooldown": "3", "size": "risk 1%"}  # fmt: skip
    for name, text in texts.items():
        form.texts[name].value = text
    form.session.value = True
    form.texts["session_end"].value = "12:00"
    form.days[4].value = False
    made = house.model.strategy
    assert made is not None
    assert made.stops == Stops(loss=0.02, atr_profit=3.0, trail=0.015, bars=10, atr_window=20)
    assert (made.cooldown, made.size) == (3, "risk 1%")
    assert made.session == Session("09:30", "12:00", (0, 1, 2, 3))
    assert values_of(made) == {**DEFAULTS, **texts, "trail": "1.5%", "session": "1", "session_end": "12:00",
                               "session_days": "0,1,2,3"}  # fmt: skip


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("loss", "150%", "Stop loss"), ("profit", "much", "Take profit"), ("time_stop", "0", "Time stop"),
        ("atr_window", "x", "ATR window"), ("cooldown", "-1", "Cooldown"), ("size", "half", "size"),
        ("session_start", "noon", "Session hours"), ("session_zone", "Mars/Base", "Time zone"),
    ],
)  # fmt: skip
def test_a_wrong_value_is_a_blocker_with_its_name(house: House, name: str, text: str, said: str) -> None:
    form = house.started().view.form
    form.session.value = True
    form.texts[name].value = text
    assert house.view.save.disabled and said in house.view.problems.value
    house.model.save()  # past the disabled button
    assert house.model.library == ()


def test_a_session_needs_a_day_and_a_strategy_an_entry(house: House) -> None:
    view = house.started().view
    view.form.session.value = True
    for box in view.form.days:
        box.value = False
    assert "Session days" in view.problems.value
    view.form.session.value = False
    view.parts["long_entry"].text.value = ""
    assert "There is no entry yet" in view.problems.value
    view.part_tabs["short_entry"].click()
    view.parts["short_entry"].text.value = "rsi > 70"
    assert not view.save.disabled


# in words


def test_the_strategy_in_plain_english() -> None:
    strategy = Strategy(
        "x",
        long_entry=parse_condition("(ema(9) crosses above ema(21) or not rsi@1wk < 30) and bollinger.lower[1] < close"),
        short_entry=parse_condition("bearish_engulfing and macd rising 3"),
        stops=Stops(loss=0.02, atr_trail=3, bars=1), cooldown=2, session=Session(days=(0, 4)), size="50%",
    )  # fmt: skip
    assert describe(strategy) == (
        "Buy when (the exponential moving average (9) crosses above the exponential moving average (21) or it is not "
        "true that the relative strength index (14) on weekly bars is below 30) and the lower line of the Bollinger "
        "bands (20, 2) of 1 bar ago is below the close.",
        "Sell short when a bearish engulfing pattern ends on the bar and the MACD (12, 26, 9) has risen for 3 bars in "
        "a row.",
        "Close a position after a loss of 2 %, giving back 3 times the average true range (14) from its best price or "
        "1 bar, whichever comes first.",
        "After an exit wait 2 bars before the next entry.",
        "Enter only on bars that start from 09:30 to 16:00 (America/New_York), Monday, Friday.",
        "Each entry takes 50% of the equity.",
    )


# the preview


def test_marks_stand_where_a_rule_becomes_true(make_bars: Callable[..., Any]) -> None:
    bars = make_bars(60)
    strategy = Strategy("x", long_entry=parse_condition("close > sma(5)"), long_exit=parse_condition("close < 105"))
    shown = preview(strategy, bars, "AAPL")
    close = bars["close"]
    leaves = (close < 105).to_numpy()
    enters = (close > close.rolling(5).mean()).to_numpy() & ~leaves  # an exit that is true forbids the entry

    def starts(flags: Any) -> list[Any]:
        return [bars.index[i] for i in range(len(flags)) if flags[i] and (i == 0 or not flags[i - 1])]

    assert [m.time for m in shown.chart.markers if m.side == "buy"] == starts(enters)
    assert [m.time for m in shown.chart.markers if m.side == "sell"] == starts(leaves)
    entry, exit_ = shown.fires
    assert (entry.times, entry.bars) == (len(starts(enters)), enters.sum())
    assert (exit_.part, exit_.bars) == ("long_exit", leaves.sum())
    assert shown.undecided == 4 and [line.label for line in shown.chart.lines] == ["sma(window=5)"]


def test_the_preview_follows_rules_and_symbol(house: House) -> None:
    view = house.started().view
    first = list(view.preview.chart.markers)
    assert first and 'data-part="long_entry"' in view.preview.counts.value
    assert "Sample data" in view.preview.counts.value
    view.parts["long_entry"].text.value = "rsi < 30"
    assert view.preview.chart.markers != first and view.preview.chart.panels
    view.preview.symbol.value = "ibm"
    assert house.preview.shown is not None and house.preview.shown.chart.title.startswith("IBM")
    assert "symbol=ibm" in view.shell.query
    view.preview.symbol.value = "A B$"
    assert "ticker" in view.preview.problem.value
    view.preview.symbol.value = "AAPL"
    assert view.preview.problem.value == ""


def test_a_preview_is_cancelled_and_a_newer_one_wins(house: House) -> None:
    view = house.started().view
    before = house.preview.shown
    house.waiting = []
    view.parts["long_entry"].text.value = "rsi < 30"
    assert house.preview.busy
    view.parts["long_entry"].text.value = "rsi < 20"
    (old_work, old_done), (work, done) = house.waiting
    done(outcome_of(work, lambda call: call()))
    newest = house.preview.shown
    old_done(outcome_of(old_work, lambda call: call()))
    assert house.preview.shown is newest is not before
    view.parts["long_entry"].text.value = "rsi < 25"
    view.preview.progress.cancel.click()
    work, done = house.waiting[-1]
    assert outcome_of(work, lambda call: call()).value is None  # the work itself stops too
    done(outcome_of(work, lambda call: call()))
    assert house.preview.shown is newest and not house.preview.busy


def test_when_no_source_answers_sample_data_is_offered(house: House) -> None:
    house.error = SourceUnreachable("yahoo", "Yahoo cannot be reached.")
    view = house.started().view
    assert house.preview.shown is None and view.preview.messages.action.description == "Use sample data"
    view.preview.messages.action.click()
    assert house.preview.shown is not None and view.preview.messages.text == ""


# keeping


def rows_in(uow: Callable[[], UnitOfWork]) -> list[tuple[str, int]]:
    with uow() as work:
        query = select(SavedStrategy.name, SavedStrategy.version).order_by(SavedStrategy.name, SavedStrategy.version)
        return [tuple(row) for row in work.session.execute(query)]  # type: ignore[misc]


def test_saving_adds_versions_which_open_compare_and_come_back(
    house: House, uow_factory: Callable[[], UnitOfWork]
) -> None:
    view = house.started().view
    view.name.value = "mine"
    view.save.click()
    assert "Saved as version 1" in view.messages.text and "✓ Saved" in view.state.value
    first = house.model.strategy
    view.parts["long_entry"].text.value = "rsi crosses above 30"
    assert "Unsaved changes" in view.state.value
    view.save.click()
    assert rows_in(uow_factory) == [("mine", 1), ("mine", 2)]
    assert [r["version"] for r in view.versions.rows] == [2, 1]
    house.model.version_action("compare", "1")
    assert "<del>" in view.comparison.value and "<ins>" in view.comparison.value
    assert "30.</ins>" in view.comparison.value and "(21).</del>" in view.comparison.value
    house.model.version_action("open", "1")
    assert house.model.parts["long_entry"].text == "ema(window=9) crosses_above ema(window=21)"
    assert house.model.dirty and house.model.newest == 2
    house.model.version_action("restore", "1")
    assert rows_in(uow_factory)[-1] == ("mine", 3)
    assert house.model.strategy is not None and first is not None
    assert replace(house.model.strategy, version=1) == replace(first, version=1)
    assert [r["id"] for r in view.library.rows] == ["mine"] and view.library.rows[0]["version"] == 3


def test_saving_over_another_tabs_version_says_so_and_loses_nothing(
    house: House, another: Callable[..., House], uow_factory: Callable[[], UnitOfWork], user: User
) -> None:
    house.started().view.name.value = "mine"
    house.view.save.click()
    other = another()
    other.model.restore({"strategy": "mine"})
    other.view.parts["long_entry"].text.value = "rsi < 11"
    other.view.save.click()
    house.view.parts["long_entry"].text.value = "rsi < 22"
    house.view.save.click()
    assert "Version 2 was saved elsewhere" in house.view.messages.text
    assert rows_in(uow_factory) == [("mine", 1), ("mine", 2)]
    assert house.view.parts["long_entry"].text.value == "rsi < 22"
    assert house.kept["mine"]["long_entry"] == "rsi < 22"
    house.view.messages.action.click()
    assert rows_in(uow_factory) == [("mine", 1), ("mine", 2), ("mine", 3)]
    texts = [to_text(v.strategy.long_entry) for v in strategies.list_versions(uow_factory(), user.id, "mine")]  # type: ignore[arg-type]
    assert texts == ["rsi < 22", "rsi < 11", "ema(window=9) crosses_above ema(window=21)"]


def test_a_new_strategy_does_not_overwrite_one_of_the_same_name(
    house: House, another: Callable[..., House], uow_factory: Callable[[], UnitOfWork]
) -> None:
    house.started().view.name.value = "mine"
    house.view.save.click()
    other = another().started()
    other.view.name.value = "mine"
    other.view.save.click()
    assert "already" in other.view.messages.text and rows_in(uow_factory) == [("mine", 1)]
    other.view.name.value = "macd"
    other.view.save.click()
    assert "name of a preset" in other.view.messages.text


def test_unsaved_work_comes_back_after_a_reload(house: House, another: Callable[..., House]) -> None:
    house.started().view.name.value = "mine"
    assert house.kept[""]["name"] == "mine"
    house.view.save.click()
    assert house.kept == {"": {}}
    house.view.parts["long_entry"].text.value = "rsi < 12 and emaa"
    house.view.form.texts["loss"].value = "3%"
    again = another(house.kept)
    again.model.restore(house.model.query)
    assert again.view.parts["long_entry"].text.value == "rsi < 12 and emaa"
    assert again.view.form.texts["loss"].value == "3%" and again.model.dirty
    assert "unsaved changes" in again.view.messages.text
    again.view.messages.action.click()
    assert again.view.parts["long_entry"].text.value == "ema(window=9) crosses_above ema(window=21)"
    assert not again.model.dirty and house.kept["mine"] == {}


def test_what_was_begun_and_never_saved_comes_back(house: House, another: Callable[..., House]) -> None:
    house.started().view.parts["long_entry"].text.value = "rsi < 12"
    again = another(house.kept)
    again.model.restore({})
    assert again.model.tab == "build" and again.view.parts["long_entry"].text.value == "rsi < 12"


def test_rename_copy_and_delete(house: House, uow_factory: Callable[[], UnitOfWork], user: User) -> None:
    view = house.started().view
    view.name.value = "mine"
    view.save.click()
    bot = promotion.promote(uow_factory(), user.id, "mine", "AAPL", "1d", 1000)  # type: ignore[arg-type]
    house.model.library_action("copy", "mine")
    house.model.library_action("copy", "mine")
    assert [r["name"] for r in view.library.rows] == ["mine", "mine copy", "mine copy 2"]
    house.model.library_action("rename", "mine")
    assert "dt-hidden" not in view.name_box._dom_classes
    view.new_name.value = "mine copy"
    view.save_name.click()
    assert "already" in view.messages.text
    view.new_name.value = HOSTILE
    view.save_name.click()
    assert house.model.opened == HOSTILE and view.name.value == HOSTILE
    assert bots.get_bot(uow_factory(), user.id, bot.id).config.strategy_name == HOSTILE
    assert strategies.load_strategy(uow_factory(), user.id, HOSTILE).name == HOSTILE
    house.model.library_action("delete", "mine copy")
    assert [r["name"] for r in view.library.rows] == sorted([HOSTILE, "mine copy 2"])
    house.model.library_action("delete", HOSTILE)
    assert house.model.opened == "" and house.model.dirty, "what is in the editor stays"


def test_saving_under_another_name_renames(house: House, uow_factory: Callable[[], UnitOfWork]) -> None:
    view = house.started().view
    view.name.value = "mine"
    view.save.click()
    view.name.value = "yours"
    view.save.click()
    assert rows_in(uow_factory) == [("yours", 1), ("yours", 2)]
    assert house.model.opened == "yours" and not house.model.dirty


def test_a_look_into_the_future_is_kept_as_a_draft_and_not_promoted(
    tomorrow: None, house: House, uow_factory: Callable[[], UnitOfWork], user: User
) -> None:
    view = house.started().view
    view.name.value = "cheat"
    view.parts["long_entry"].text.value = "rsi < 60 and momentum > 0"
    view.save.click()
    assert "as a draft" in view.messages.text and "momentum &gt; 0" in view.messages.text
    assert rows_in(uow_factory) == [("cheat", 1)]
    assert "Draft" in view.state.value and view.library.rows[0]["state"] == "⚠ Draft"
    assert view.promote.disabled and "momentum &gt; 0" in view.promotion.value
    house.model.promote("1000")
    with pytest.raises(InvalidInput, match="momentum > 0"):
        promotion.promote(uow_factory(), user.id, "cheat", "AAPL", "1d", 1000)  # type: ignore[arg-type]
    assert bots.list_bots(uow_factory(), user.id) == []
    view.parts["long_entry"].text.value = "rsi < 60"
    view.save.click()
    assert not view.promote.disabled and "✓ Saved" in view.state.value


def test_a_long_memory_is_told(house: House) -> None:
    view = house.started().view
    view.parts["long_entry"].text.value = "rsi(2) < 10 and close > sma(20)"
    view.save.click()
    assert view.notes.value == ""
    view.parts["long_entry"].text.value = "rsi(2) < 10 and close > sma(300)"
    view.save.click()
    assert "close &gt; sma(window=300)" in view.notes.value and "rsi" not in view.notes.value


def test_no_user_sees_anothers_strategies(
    house: House, uow_factory: Callable[[], UnitOfWork], make_user: Callable[..., User]
) -> None:
    house.started().view.name.value = "mine"
    house.view.save.click()
    bob = make_user("bob")
    theirs = House(uow_factory, bob.id)
    theirs.model.restore({"strategy": "mine"})
    assert theirs.model.library == () and theirs.model.tab == "library" and theirs.model.opened == ""
    assert "There is no strategy" in theirs.view.messages.text
    for call in (
        lambda: strategies.list_versions(uow_factory(), bob.id, "mine"),
        lambda: strategies.rename_strategy(uow_factory(), bob.id, "mine", "stolen"),
        lambda: promotion.promote(uow_factory(), bob.id, "mine", "AAPL", "1d", 1000),  # type: ignore[arg-type]
    ):
        with pytest.raises(NotFound):
            call()
    assert rows_in(uow_factory) == [("mine", 1)]


# using


def test_exports_are_what_the_exporters_write(house: House) -> None:
    from dashtrade.strategies.exporters import alert_message, to_pine

    view = house.started().view
    view.form.texts["size"].value = "40%"
    made = house.model.strategy
    assert made is not None
    view.exports["pine"].click()
    assert view.file.text == to_pine(made, percent=40.0) and view.file.filename == "my_strategy.pine"
    view.exports["alert"].click()
    assert view.file.text.strip() == alert_message()
    view.exports["notebook"].click()
    cells = json.loads(view.file.text)["cells"]
    code = "".join(line for cell in cells for line in cell["source"])
    assert view.file.filename == "my_strategy.ipynb" and "symbols = ['AAPL']" in code
    digest = re.search(r"Orders, SHA-256: `(\w{64})`", code)
    assert digest and digest[1] in house.model.export.hint, "the page says what the notebook compares"
    view.exports["json"].click()
    assert json.loads(view.file.text) == to_dict(made)
    view.parts["long_entry"].text.value = "hammer and rsi < 30"
    assert view.file.text == "", "an old text must not be taken for the new strategy's"
    view.exports["pine"].click()
    assert "hammer" in view.export_note.value and view.file.text == ""


def test_promotion_makes_a_bot_that_is_switched_off(
    house: House, uow_factory: Callable[[], UnitOfWork], user: User
) -> None:
    view = house.started().view
    assert view.promote.disabled and "Save the strategy first" in view.promotion.value
    view.name.value = "mine"
    view.save.click()
    view.preview.interval.value = "1h"
    view.dollars.value = "$2,500"
    view.promote.click()
    [bot] = bots.list_bots(uow_factory(), user.id)
    config = bot.config
    assert (config.strategy_name, config.symbol, config.timeframe.value) == ("mine", "AAPL", "1 Hour")
    assert (config.is_active, config.account_mode.value, config.position_size) == (False, "simulated", 2500)
    assert "switched off" in view.messages.text
    view.preview.interval.value = "3mo"
    view.promote.click()
    assert "no bot listens" in view.messages.text
    assert "strategy=mine" in view.bot_link.value
    assert "backtest?strategy=mine&amp;symbols=AAPL" in view.backtest.value
    view.name.value = "other"
    assert view.promote.disabled


def test_hostile_texts_show_as_text(house: House) -> None:
    view = house.started().view
    view.name.value = HOSTILE
    view.parts["long_entry"].text.value = "<img src=x> > 1"
    view.preview.symbol.value = "<b>"
    view.form.texts["loss"].value = "<i>x</i>"
    shown = [view.problems, view.parts["long_entry"].problem, view.preview.problem, view.state, view.said]
    view.preview.symbol.value = "AAPL"
    view.form.texts["loss"].value = ""
    view.parts["long_entry"].text.value = "rsi < 30"
    view.save.click()
    shown += [view.backtest, view.bot_link, view.promotion, view.notes]
    assert house.model.opened == HOSTILE
    for widget in shown:
        assert "<img" not in widget.value and "<b>" not in widget.value and "<i>" not in widget.value


def test_state_comes_from_the_address(house: House, another: Callable[..., House]) -> None:
    house.started().view.name.value = "mine"
    house.view.save.click()
    house.view.part_tabs["long_exit"].click()
    house.view.preview.period.value = "5y"
    again = another()
    again.model.restore(dict(house.model.query) | {"tab": "versions", "period": "evil", "source": "evil"})
    assert (again.model.opened, again.model.part, again.model.tab) == ("mine", "long_exit", "versions")
    assert again.preview.period == "2y" and again.preview.source == ""
    third = another()
    third.model.restore({"strategy": "rsi_reversal"})
    assert third.model.opened == "" and third.view.name.value == "My RSI reversion"
    assert third.model.strategy is not None and third.model.strategy.family == "rsi_reversal"


def test_the_empty_library_says_what_to_do(house: House) -> None:
    house.model.restore({})
    assert house.model.tab == "library" and "template" in house.view.library.empty
    assert len(house.view.templates.rows) == len(PRESETS)
    house.view.templates._receive(None, {"type": "action", "name": "use", "id": "donchian"}, None)
    assert house.model.tab == "build" and house.model.strategy is not None
    assert house.model.strategy.long_entry == PRESETS["donchian"].build().long_entry


def test_every_kind_of_operand_can_be_chosen() -> None:
    for kind in (rows.INDICATOR, rows.PRICE, rows.LEVEL, rows.PATTERN):
        for name in rows.names_of(kind):
            side = Side(kind, name)
            operator = Operator.OCCURS if kind == rows.PATTERN else Operator.ABOVE
            draft = rows.from_tree(Group("all", (Row(side, operator.value, Side(rows.NUMBER, "", text="1")),)))
            assert draft.error == "", (name, draft.error)
            assert draft.rule is not None and rows.tree_of(draft.rule).children[0].left == side  # type: ignore[union-attr]
