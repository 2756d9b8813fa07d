"""The backtest page over the real engine and sample prices."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest

from dashtrade.backtest import BacktestRequest, backtest, evidence
from dashtrade.backtest.words import STATISTICS
from dashtrade.data.sample import SampleSource
from dashtrade.domain.market import HistoryRequest
from dashtrade.errors import NotFound, SourceUnreachable
from dashtrade.pages.backtest.around import SymbolSearch
from dashtrade.pages.backtest.form_view import FormView
from dashtrade.pages.backtest.honesty import HonestyModel
from dashtrade.pages.backtest.model import BacktestModel, BacktestServices
from dashtrade.pages.backtest.report import HEADLINES, define
from dashtrade.pages.backtest.runs import RunServices, RunsModel
from dashtrade.pages.backtest.search import SearchModel, SearchServices
from dashtrade.pages.backtest.view import BacktestView
from dashtrade.services.backtest_library import RunLine
from dashtrade.services.backtest_searches import run_sweep, run_walk_forward
from dashtrade.services.backtests import run_backtest
from dashtrade.services.market import MarketData
from dashtrade.strategies import PRESETS, parse_condition, preset

SAMPLE = SampleSource()


class House:
    """The page over the real engine, without a database."""

    def __init__(self, **services: Any) -> None:
        self.kept: list[Mapping[str, str]] = []
        self.requests: list[Any] = []
        self.error: Exception | None = None
        self.market = MarketData({"sample": SAMPLE}, ["sample"])
        given = BacktestServices(
            run=self.run, presets=PRESETS, parse_rule=parse_condition, check=lambda request, source: None,
            sources=("yahoo", "sample"), remember=self.kept.append, **services,
        )  # fmt: skip
        self.model = BacktestModel(given)
        self.honesty = HonestyModel(evidence)
        self.search = SearchModel(
            self.model,
            SearchServices(
                sweep=lambda search, **steps: run_sweep(self.market, search, **steps),
                walk=lambda search, windows, **steps: run_walk_forward(self.market, search, windows, **steps),
                deflated=lambda result: (len(result.table), result.deflated_sharpe()),
            ),
        )
        self.ledger = Ledger()
        self.runs = RunsModel(self.model, self.ledger.services)
        self.symbols = SymbolSearch(self.market.search)
        self.view = BacktestView(self.model, self.honesty, self.search, self.runs, self.symbols)

    @property
    def form(self) -> FormView:
        return self.view.form

    def run(self, request: Any, **steps: Any) -> Any:
        self.requests.append(request)
        if self.error is not None and request.source != "sample":
            raise self.error
        return run_backtest(self.market, request, **steps)


class Ledger:
    """Recorded runs without a database: lines as the service gives them."""

    def __init__(self) -> None:
        self.lines: list[RunLine] = []
        self.renamed: list[tuple[int, str]] = []
        self.services = RunServices(
            list_lines=lambda: tuple(self.lines), get=self.missing, rename=self.rename, delete=self.delete,
            compare=self.missing, again=self.missing,
        )  # fmt: skip

    def missing(self, *_: Any, **__: Any) -> Any:
        raise NotFound("There is no such run.")

    def rename(self, number: int, name: str) -> str:
        self.renamed.append((number, name))
        return name

    def delete(self, numbers: Any) -> int:
        self.lines = [line for line in self.lines if line.id not in numbers]
        return 1


@pytest.fixture
def house() -> House:
    made = House()
    made.model.put("source", "sample")
    return made


def direct(**changes: Any) -> Any:
    """The same backtest straight from the engine."""
    bars = SAMPLE.history(HistoryRequest.parse("AAPL", "1d", "5y"))
    return backtest(BacktestRequest(**{"strategy": preset("ema_cross"), "bars": {"AAPL": bars}, **changes}))


def test_a_preset_runs_and_its_result_is_drawn(house: House) -> None:
    house.form.run.click()
    expected, report, view = direct(), house.model.report, house.view
    assert house.model.message is None and report is not None
    np.testing.assert_array_equal(report.equity, expected.equity.to_numpy())
    shown = view.result
    assert shown.plot is not None
    assert shown.plot.equity.y[-1] == pytest.approx(expected.final_equity)
    assert shown.plot.benchmark.y[-1] == pytest.approx(float(expected.benchmark.iloc[-1]))
    assert f"{expected.statistics['total_return']:.2%}" in shown.cards.value
    assert len(shown.trades.rows) == 0, "a tab that nobody looked at is not drawn"
    view.tabs["trades"].click()
    assert len(shown.trades.rows) == len(expected.trades)
    assert len(shown.chart.markers) == len(expected.orders)
    assert {m["side"] for m in shown.chart.markers} == {"buy", "sell"}


def test_every_statistic_has_its_definition(house: House) -> None:
    assert [key for key in STATISTICS if not define(key)] == []
    house.form.run.click()
    assert house.view.result.cards.value.count("data-help") == len(HEADLINES)
    house.view.tabs["statistics"].click()
    assert "Sharpe (1994)" in house.view.result.statistics.value


def test_settings_of_the_preset_reach_the_engine(house: House) -> None:
    house.form.settings.controls["fast"].value = "5"
    house.form.settings.controls["slow"].value = "40"
    house.form.run.click()
    expected = direct(strategy=preset("ema_cross", fast=5, slow=40))
    assert house.model.report is not None
    assert house.model.report.equity[-1] == pytest.approx(expected.final_equity)
    assert "set_fast=5" in house.view.shell.query and "set_slow=40" in house.view.shell.query


def test_costs_stops_size_and_capital_reach_the_engine(house: House) -> None:
    from dashtrade.backtest import Cash, Costs, Stops

    texts = {
        "cash": "$20,000",
        "size": "$5000",
        "commission": "0.1%",
        "slippage": "20bps",
        "stop": "5%",
        "target": "2atr",
    }
    for name, text in texts.items():
        house.form.texts[name].value = text
    house.form.run.click()
    expected = direct(
        cash=20_000.0,
        size=Cash(5000),
        costs=Costs(commission=0.001, slippage=0.002),
        stops=Stops(loss=0.05, atr_profit=2.0),
    )
    assert house.model.message is None and house.model.report is not None
    assert house.model.report.equity[-1] == pytest.approx(expected.final_equity)


def test_own_rules_run(house: House) -> None:
    house.form.strategy.value = "own"
    house.form.rules["long_entry"].value = "rsi crosses above 30"
    house.form.rules["long_exit"].value = "rsi > 70"
    house.form.run.click()
    assert house.model.message is None and house.model.report is not None and house.model.report.trades
    assert "dt-hidden" not in house.form.rule_box._dom_classes
    assert "long_entry=rsi+crosses+above+30" in house.view.shell.query


@pytest.mark.parametrize(
    ("field", "text", "said"),
    [
        ("cash", "lots", "capital"), ("cash", "-5", "capital"), ("size", "half", "size"),
        ("commission", "x", "commission"), ("stop", "150%", "loss"), ("symbols", "", "symbols"),
        ("symbols", "A B$C", "ticker"), ("slippage", "90%", "slippage"),
    ],
)  # fmt: skip
def test_why_it_cannot_run_is_said_while_typing(house: House, field: str, text: str, said: str) -> None:
    house.form.texts[field].value = text
    assert house.form.run.disabled and said in house.form.blocker.value
    house.model.run()  # past the disabled button
    assert house.requests == []


@pytest.mark.parametrize(
    ("name", "value"), [("source", "evil"), ("direction", "up"), ("strategy", "evil"), ("period", "9y")]
)
def test_values_past_the_menus_are_refused(house: House, name: str, value: str) -> None:
    house.model.put(name, value)
    assert house.model.blockers
    house.model.run()
    assert house.requests == []


def test_a_rule_that_is_no_rule_shows_where(house: House) -> None:
    house.form.strategy.value = "own"
    house.form.rules["long_entry"].value = "emaa(9) > <img src=x>"
    assert house.form.run.disabled
    assert "Buy when" in house.form.blocker.value and "did you mean ema" in house.form.blocker.value
    assert "<img" not in house.form.blocker.value
    assert len(house.form.blocker.value) < 600


def test_settings_that_contradict_are_a_blocker(house: House) -> None:
    house.form.settings.controls["fast"].value = "50"
    assert "must be below slow" in house.form.blocker.value


def test_when_no_source_answers_sample_data_is_offered(house: House) -> None:
    house.model.put("source", "")
    house.error = SourceUnreachable("yahoo", "Yahoo cannot be reached.")
    house.form.run.click()
    assert house.view.messages.action.description == "Use sample data" and house.model.report is None
    house.view.messages.action.click()
    assert house.model.report is not None and house.model.values["source"] == "sample"


def test_several_symbols_share_the_capital(house: House) -> None:
    house.form.texts["symbols"].value = "AAPL, ibm"
    house.form.run.click()
    assert house.requests[-1].symbols == ("AAPL", "IBM")
    assert house.model.report is not None and {t["symbol"] for t in house.model.report.trades} == {"AAPL", "IBM"}


def test_state_comes_back_from_the_address(house: House) -> None:
    other = House()
    house.form.texts["stop"].value = "3%"
    house.form.settings.controls["fast"].value = "7"
    house.form.run.click()
    other.model.restore(house.model.query)
    other.form.run.click()
    assert other.model.report is not None and house.model.report is not None
    np.testing.assert_array_equal(other.model.report.equity, house.model.report.equity)


def test_cancel_stops_the_run_between_its_steps(house: House) -> None:
    waiting: list[Any] = []
    house.model._background = lambda work, done: waiting.append((work, done))
    house.form.run.click()
    assert house.model.busy and house.form.run.disabled
    house.form.progress.cancel.click()
    assert not house.model.busy and not house.form.run.disabled
    from dashtrade.pages.background import outcome_of

    outcome = outcome_of(waiting[0][0], lambda call: call())
    assert type(outcome.error).__name__ == "Cancelled"
    waiting[0][1](outcome)
    assert house.model.report is None
