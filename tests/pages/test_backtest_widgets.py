"""The backtest page over the real engine and sample prices."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, date, datetime
from typing import Any

import numpy as np
import pytest
from ipywidgets import HTML, Widget

from dashtrade.backtest import BacktestRequest, Costs, Percent, Stops, backtest
from dashtrade.backtest.evidence import evidence
from dashtrade.backtest.result import plain
from dashtrade.backtest.words import STATISTICS
from dashtrade.data.sample import SampleSource
from dashtrade.domain.market import HistoryRequest
from dashtrade.domain.strategy import Strategy
from dashtrade.errors import NotFound, SourceUnreachable
from dashtrade.pages.background import outcome_of
from dashtrade.pages.backtest.around import SymbolSearch
from dashtrade.pages.backtest.form_view import FormView
from dashtrade.pages.backtest.honesty import HonestyModel
from dashtrade.pages.backtest.loading import strategy_of
from dashtrade.pages.backtest.model import BacktestModel, BacktestServices
from dashtrade.pages.backtest.report import HEADLINES, define
from dashtrade.pages.backtest.runs import RunServices, RunsModel
from dashtrade.pages.backtest.search import SearchModel, SearchServices
from dashtrade.pages.backtest.view import BacktestView
from dashtrade.services.backtest_library import RunLine
from dashtrade.services.backtest_runs import StoredRun
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
    from dashtrade.backtest import Cash

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
        ("commission", "x", "commission"), ("stop", "150%", "stop loss"), ("symbols", "", "symbols"),
        ("symbols", "A B$C", "ticker"), ("slippage", "90%", "slippage"), ("time_stop", "0", "time stop"),
        ("size", "1000%", "at most 100"), ("size", "0%", "above 0"), ("cash", "0", "above 0"),
        ("cash", "nan", "above 0"),
        ("risk_free", "500%", "risk-free rate"), ("size", "risk 1% 0atr", "size"),
    ],
)  # fmt: skip
def test_why_it_cannot_run_is_said_while_typing(house: House, field: str, text: str, said: str) -> None:
    house.form.texts[field].value = text
    assert house.form.run.disabled and said in house.form.blocker.value
    house.model.run()  # past the disabled button
    assert house.requests == []


def test_a_day_that_no_calendar_of_prices_has_is_a_blocker(house: House) -> None:
    house.model.restore({"source": "sample", "period": "dates", "start": "2999-01-01"})
    assert "2200" in " ".join(house.model.blockers)


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
    outcome = outcome_of(waiting[0][0], lambda call: call())
    assert type(outcome.error).__name__ == "Cancelled"
    waiting[0][1](outcome)
    assert house.model.report is None


def saved_strategies() -> dict[str, Strategy]:
    hostile = "<img src=x onerror=alert(1)>"
    return {
        "Dip": Strategy(
            "Dip", parse_condition("rsi < 35"), parse_condition("rsi > 60"), stops=Stops(loss=0.05), size="40%"
        ),
        "own": Strategy("own", parse_condition("close > sma(20)"), parse_condition("close < sma(20)")),
        hostile: Strategy(hostile, parse_condition("rsi < 30"), parse_condition("rsi > 50")),
    }


def test_a_saved_strategy_is_tested_with_its_stops_and_size() -> None:
    house = House(saved=saved_strategies)
    house.model.restore({"strategy": "Dip", "source": "sample", "symbols": "AAPL"})
    assert house.model.values["size"] == "40%" and "Its own stops: loss 0.05" in house.form.description.value
    house.form.run.click()
    expected = direct(strategy=saved_strategies()["Dip"], size=Percent(40))
    assert house.model.message is None and house.model.report is not None
    assert house.model.report.result_hash == expected.provenance["result_hash"]
    assert "strategy=Dip" in house.view.shell.query and "strategies?strategy=Dip" in house.view.links.value


def test_a_strategy_named_like_the_rule_text_is_not_mistaken_for_it() -> None:
    house = House(saved=saved_strategies)
    house.form.strategy.value = "saved:own"
    assert house.model.own_strategy is not None and house.model.own_strategy.name == "own"
    assert "dt-hidden" in house.form.rule_box._dom_classes
    house.form.strategy.value = "own"
    assert house.model.own_strategy is None and "dt-hidden" not in house.form.rule_box._dom_classes


def test_a_hostile_name_stays_text_everywhere() -> None:
    house = House(saved=saved_strategies)
    house.model.put("source", "sample")
    house.form.strategy.value = "<img src=x onerror=alert(1)>"
    house.form.run.click()
    for tab in house.view.tabs.values():
        tab.click()
    shown = [v for widget in Widget.widgets.values() if isinstance(widget, HTML) for v in [widget.value]]
    assert house.model.report is not None and shown and not [v for v in shown if "<img" in v]


def test_dates_fill_rebalancing_and_odd_costs_reach_the_engine(house: House) -> None:
    values = {
        "period": "dates", "start": "2010-01-04", "end": "2011-12-30", "fill": "close", "fixed": "1.5",
        "spread": "4bps", "slippage": "2bps", "time_stop": "10", "whole": "yes", "risk_free": "2%", "size": "risk 1%",
        "stop": "2atr",
    }  # fmt: skip
    for name, text in values.items():
        house.model.put(name, text)
    request = house.model.request()
    assert (request.start, request.end) == (datetime(2010, 1, 4, tzinfo=UTC), datetime(2011, 12, 31, tzinfo=UTC))
    assert request.period is None and request.whole_shares and request.risk_free == 0.02
    assert request.costs == Costs(0.0, 0.0002, 0.0004, 1.5) and request.stops == Stops(atr_loss=2.0, bars=10)
    house.form.run.click()
    assert house.model.message is None and house.model.report is not None
    assert house.model.report.times[0].date() >= date(2010, 1, 4)
    assert house.model.report.times[-1].date() <= date(2011, 12, 30)
    assert "not tradable" in house.view.result.head.value
    house.model.put("weights", "equal")
    assert "rebalancing" in house.form.blocker.value and house.form.run.disabled


def test_several_symbols_are_rebalanced_and_each_ones_part_is_told(house: House) -> None:
    house.model.put("symbols", "AAPL, MSFT, IBM")
    house.model.put("weights", "inverse_volatility")
    house.form.run.click()
    house.view.tabs["symbols"].click()
    report, rows = house.model.report, house.view.result.symbols.rows
    assert report is not None and sorted(r["symbol"] for r in rows) == ["AAPL", "IBM", "MSFT"]
    assert sum(r["pnl"] for r in rows) == pytest.approx(report.equity[-1] - 10_000)
    house.view.tabs["trades"].click()
    house.view.result.symbol.value = "IBM"
    assert house.view.result.chart.title.startswith("IBM")


def test_a_watchlist_and_a_searched_symbol_fill_the_symbols() -> None:
    lists = {"": ("AAPL", "MSFT"), "Cars": ("TSLA",), "Empty": ()}
    house = House(watchlists=lambda: ["Cars", "Empty"], watched=lists.__getitem__)
    house.form.lists.value = "Cars"
    house.form.use_list.click()
    assert house.model.values["symbols"] == "TSLA"
    house.form.add.value = "ibm"
    assert house.model.values["symbols"] == "TSLA, IBM" and house.form.add.value == ""
    house.form.lists.value = "Empty"
    house.form.use_list.click()
    assert "is empty" in house.view.messages.text and house.model.values["symbols"] == "TSLA, IBM"


def test_months_multiply_to_the_whole_return(house: House) -> None:
    house.form.run.click()
    report = house.model.report
    assert report is not None
    months, years = report.months.drop(columns="Year"), report.months["Year"]
    whole = report.equity[-1] / 10_000
    assert np.nanprod(1 + months.to_numpy()) == pytest.approx(whole) and np.prod(1 + years) == pytest.approx(whole)
    house.view.tabs["months"].click()
    assert "2009" in house.view.result.months.value and "100.8%" in house.view.result.months.value


def test_the_evidence_is_that_of_the_shown_result(house: House) -> None:
    house.form.run.click()
    house.view.tabs["evidence"].click()
    expected, panel = evidence(direct()), house.honesty.panel
    assert panel is not None and panel.sentences == expected.sentences()
    assert {f.key for f in panel.neighbours} == {f"neighbour.{n}" for n in expected.neighbours}
    assert all(f.meaning for f in panel.findings)
    assert f"{expected.random_p:.1%}" in house.view.honesty.figures.value
    assert house.view.honesty.bands is not None
    np.testing.assert_array_equal(house.view.honesty.bands.own.y, expected.bands["own"].to_numpy())


def test_a_sweep_is_mapped_listed_and_its_row_taken(house: House) -> None:
    for number, (name, low, high, step) in enumerate((("fast", "5", "9", "2"), ("slow", "20", "40", "10"))):
        house.search.put_range(number, low=low, high=high, step=step)
        assert house.search.ranges[number].name == name
    assert house.search.count == 9
    house.view.tabs["sweep"].click()
    house.view.search.sweep.click()
    from dashtrade.backtest import sweep

    bars = SAMPLE.history(HistoryRequest.parse("AAPL", "1d", "5y"))
    request = BacktestRequest(strategy=preset("ema_cross"), bars={"AAPL": bars})
    expected = sweep(request, {"fast": [5, 7, 9], "slow": [20, 30, 40]})
    report = house.search.report
    assert report is not None and report.best == expected.best
    assert report.result.provenance["result_hash"] == expected.provenance["result_hash"]
    assert house.view.search.map.value.count("<td class=") == 9
    assert house.view.search.map.value.count("outline:2px") == 1
    best = house.view.search.table.rows[0]
    assert (best["p0"], best["p1"]) == tuple(expected.best.values())
    house.view.search.table._receive(None, {"type": "action", "name": "use", "id": str(best["id"])}, [])
    house.form.run.click()
    found = expected.backtest()
    assert house.model.report is not None and house.model.report.equity[-1] == pytest.approx(found.final_equity)


@pytest.mark.parametrize(
    ("texts", "said"),
    [
        ({"low": "x"}, "not a number"), ({"low": "9", "high": "5"}, "larger"), ({"step": "0"}, "above 0"),
        ({"low": "2", "high": "1e9"}, "too many"), ({"low": "-5"}, "fast"), ({"name": "slow"}, "twice"),
    ],
)  # fmt: skip
def test_why_a_sweep_cannot_run_is_said(house: House, texts: dict[str, str], said: str) -> None:
    house.search.put_range(0, **texts)
    assert said in house.view.search.blocker.value and house.view.search.sweep.disabled
    house.search.sweep()
    assert house.search.report is None


def test_stops_and_own_rules_numbers_can_be_varied(house: House) -> None:
    house.model.put("strategy", "own")
    assert "long_entry.ema.window" in house.search.names
    house.search.put_range(0, name="stops.loss")
    house.search.put_range(0, low="0.02", high="0.06", step="0.02")
    house.search.remove_range(1)
    house.search.sweep()
    assert house.search.report is not None and house.search.report.count == 3
    house.search.use_row(2)
    assert house.model.values["stop"] == "0.06"


def test_a_walk_forward_shows_its_steps_and_stitched_equity(house: House) -> None:
    from dashtrade.backtest import Windows, walk_forward

    house.search.put_range(0, low="5", high="9", step="4")
    house.search.put_range(1, low="20", high="40", step="20")
    house.view.tabs["walk"].click()
    house.view.search.windows.fill({"train": 400, "test": 200})
    house.view.search.walk.click()
    bars = SAMPLE.history(HistoryRequest.parse("AAPL", "1d", "5y"))
    request = BacktestRequest(strategy=preset("ema_cross"), bars={"AAPL": bars})
    expected = walk_forward(request, {"fast": [5, 9], "slow": [20, 40]}, Windows(400, 200))
    report = house.search.walk
    assert report is not None and len(report.rows) == len(expected.steps)
    np.testing.assert_array_equal(report.equity, expected.equity.to_numpy())
    assert f"{expected.efficiency:,.2f}" in house.view.search.walk_facts.value
    house.model.put("symbols", "AAPL, IBM")
    house.view.search.walk.click()
    assert "one symbol" in house.view.search.messages.text


def test_a_cancelled_sweep_leaves_the_one_before(house: House) -> None:
    house.search.put_range(0, low="5", high="6", step="1")
    house.search.sweep()
    before, waiting = house.search.report, []
    house.search._background = lambda work, done: waiting.append((work, done))
    house.search.sweep()
    assert house.search.busy and house.view.search.sweep.disabled and not house.form.run.disabled
    house.view.search.progress.cancel.click()
    assert not house.search.busy and not house.view.search.sweep.disabled
    outcome = outcome_of(waiting[0][0], lambda call: call())
    assert type(outcome.error).__name__ == "Cancelled"
    waiting[0][1](outcome)
    assert house.search.report is before


def test_the_printed_report_is_asked_for_all_that_the_form_says() -> None:
    from dashtrade.services.backtests import from_text
    from dashtrade.services.reports import check_parameters, report

    asked: list[Any] = []
    house = House(saved=saved_strategies, make_report=lambda parameters: asked.append(parameters) or 7)
    for values in FORMS:
        house.model.restore({"source": "sample", **values})
        assert house.model.blockers == ()
        house.view.report.click()
        given = check_parameters(report("backtest"), json.loads(json.dumps(asked.pop())))
        given["symbols"], given["time_stop"] = given.pop("symbol"), given["time_stop"] or None
        assert from_text(**given) == house.model.request()


FORMS = (
    {"strategy": "ema_cross", "set_fast": "5", "stop": "3%", "trail": "2.5atr", "time_stop": "20", "cash": "12,345.67"},
    {"strategy": "own", "long_entry": "rsi < 30", "long_exit": "rsi > 60", "size": "risk 1.5%", "fill": "close"},
    {"strategy": "own", "long_entry": "", "short_entry": "rsi > 70", "direction": "short_only", "size": "$2500"},
    {"strategy": "Dip", "symbols": "AAPL, IBM", "stop": "7%", "size": "40%", "commission": "12.5bps", "fixed": "1.25"},
    {"strategy": "ema_cross", "symbols": "AAPL, IBM, MSFT", "weights": "inverse_volatility", "every": "week",
     "band": "3%", "look_back": "40", "slippage": "7bps", "spread": "3bps", "risk_free": "2%", "whole": "yes"},
    {"strategy": "supertrend", "period": "dates", "start": "2010-01-04", "end": "2012-06-29",
     "direction": "long_short"},
    {"strategy": "ema_cross", "period": "5d", "interval": "15m", "size": "10 shares", "set_fast": "3", "set_slow": "8"},
)  # fmt: skip
"""What people fill in, with every field at least once."""


def stored(result: Any, number: int = 12, kind: str = "backtest") -> StoredRun:
    """A run as the database gives it back."""
    made = json.loads(json.dumps(plain(dict(result.provenance))))
    request = made.pop("request")
    return StoredRun(
        number, datetime.now(UTC), kind, request["strategy"]["name"], tuple(request["symbols"]), made["interval"],
        made["bars_hash"], made["request_hash"], made["result_hash"], request, {}, made, 1, request["seed"],
    )  # fmt: skip


@pytest.mark.parametrize("values", FORMS)
def test_a_recorded_run_goes_back_into_the_form_and_gives_the_same_hashes(values: dict[str, str]) -> None:
    first, second = House(saved=saved_strategies), House(saved=saved_strategies)
    first.model.restore({"source": "sample", **values})
    first.form.run.click()
    assert first.model.outcome is not None, first.view.messages.text
    run = stored(first.model.outcome)
    second.model.restore({"symbols": "MSFT", "stop": "9%", "weights": "equal", "whole": "yes"})
    second.runs.opened = run
    second.view.runs.load.click()
    assert second.model.blockers == () and "run 12" in second.view.messages.text
    assert second.model.values["strategy"] == values["strategy"]
    second.form.run.click()
    again = second.model.outcome
    assert again is not None and stored(again).request == run.request
    for name in ("request_hash", "bars_hash", "result_hash"):
        assert again.provenance[name] == first.model.outcome.provenance[name]


def test_a_strategy_that_has_changed_since_goes_into_the_form_as_it_was() -> None:
    first = House(saved=saved_strategies)
    first.model.restore({"source": "sample", "strategy": "Dip"})
    first.form.run.click()
    run = stored(first.model.outcome)
    changed = House(recorded=lambda number: strategy_of(run))
    changed.model.load_run(run)
    assert changed.form.strategy.value == "run:12" and "of run 12" in changed.model.strategies["run:12"]
    changed.form.run.click()
    assert changed.model.outcome.provenance["result_hash"] == run.result_hash
    reloaded = House(recorded=lambda number: strategy_of(run))
    reloaded.model.restore(changed.model.query)
    assert reloaded.model.blockers == () and reloaded.model.request() == changed.model.request()


def test_what_the_form_has_no_field_for_is_said_and_nothing_is_changed(house: House) -> None:
    before = dict(house.model.values)
    house.runs.opened = stored(direct(share_cash=False, seed=3))
    house.view.runs.load.click()
    assert (
        "equal parts and the seed 3" in house.view.runs.messages.text and "Run again" in house.view.runs.messages.text
    )
    assert house.model.values == before


def test_a_recorded_sweep_brings_its_ranges(house: House) -> None:
    house.search.put_range(0, low="5", high="7", step="1")
    house.search.put_range(1, low="20", high="24", step="2")
    house.search.objective = "calmar"
    house.search.sweep()
    assert house.search.report is not None
    other = House()
    other.model.put("strategy", "rsi_reversion")
    other.runs.opened = stored(house.search.report.result, kind="sweep")
    other.view.runs.load.click()
    assert other.search.parameters() == {"fast": (5, 6, 7), "slow": (20, 22, 24)} and other.search.objective == "calmar"
    other.search.sweep()
    assert other.search.report.result.provenance["result_hash"] == house.search.report.result.provenance["result_hash"]


def test_a_day_chosen_in_the_calendar_goes_before_a_loaded_moment(house: House) -> None:
    house.model.restore({"period": "dates", "interval": "15m", "start": "2013-02-25T14:30:00+00:00", "end": ""})
    assert house.form.start.value == date(2013, 2, 25) and "14:30:00 UTC" in house.form.moments.value
    assert house.model.values["start"].endswith("14:30:00+00:00")
    house.form.start.value = date(2013, 2, 26)
    assert house.model.values["start"] == "2013-02-26" and "dt-hidden" in house.form.moments._dom_classes


def test_the_notebook_has_the_hash_of_the_page(house: House) -> None:
    house.form.run.click()
    name, text = house.model.notebook()
    assert house.model.report is not None
    assert name == "backtest-aapl.ipynb" and house.model.report.result_hash in text
    assert house.model.report.result_hash in house.view.hash.value


def test_every_change_is_kept_for_the_next_visit(house: House) -> None:
    house.form.texts["cash"].value = "5000"
    house.form.texts["cash"].value = "many"
    assert house.kept[-1]["cash"] == "many" and "cash=many" in house.view.shell.query
    other = House()
    other.model.restore(house.kept[-1])
    assert "capital" in other.form.blocker.value and other.form.texts["cash"].value == "many"
