"""Saved strategies, the trial ledger and report records on a real server; no user sees another's."""

from __future__ import annotations

import threading
from dataclasses import replace

import numpy as np
import pytest

from dashtrade.data.sample import SampleSource
from dashtrade.db.tables.research import ReportRun
from dashtrade.domain.bot_views import NewBot
from dashtrade.domain.market import HistoryRequest
from dashtrade.errors import InvalidInput, NotFound
from dashtrade.indicators import REGISTRY
from dashtrade.services.backtests import Cancelled, RunRequest, run_backtest
from dashtrade.services.bots import create_bot, list_bots, set_bot_active, update_bot
from dashtrade.services.reports import ReportFailed, run_report
from dashtrade.services.strategies import delete_strategy, list_strategies, load_strategy, save_strategy
from dashtrade.services.trials import count_trials, list_runs, trials_of
from dashtrade.strategies import parse_condition, preset


class SampleMarket:
    """Market data as the service needs it, from the real sample source."""

    def history(self, request: HistoryRequest, source: str | None = None):
        return SampleSource().history(request)


REQUEST = RunRequest("ema_cross", ("AAPL",), period="2y")


def mine(name="mine", entry="rsi < 30"):
    from dashtrade.domain.strategy import Strategy

    return Strategy(name, long_entry=parse_condition(entry))


def test_strategies_keep_every_version(uow_factory, make_user):
    user = make_user()
    first = save_strategy(uow_factory(), user.id, mine())
    second = save_strategy(uow_factory(), user.id, mine(entry="rsi < 20"))
    assert (first.version, second.version) == (1, 2)
    assert load_strategy(uow_factory(), user.id, "mine") == second
    assert load_strategy(uow_factory(), user.id, "mine", 1) == first
    assert [(line.name, line.version) for line in list_strategies(uow_factory(), user.id)] == [("mine", 2)]
    delete_strategy(uow_factory(), user.id, "mine")
    for call in (load_strategy, delete_strategy):
        with pytest.raises(NotFound, match="mine"):
            call(uow_factory(), user.id, "mine")
    with pytest.raises(InvalidInput, match="preset"):
        save_strategy(uow_factory(), user.id, mine("ema_cross"))


def test_another_users_strategy_does_not_exist(uow_factory, make_user):
    ada, bob = make_user("ada"), make_user("bob")
    save_strategy(uow_factory(), ada.id, mine())
    assert list_strategies(uow_factory(), bob.id) == []
    for call in (load_strategy, delete_strategy):
        with pytest.raises(NotFound):
            call(uow_factory(), bob.id, "mine")
    assert load_strategy(uow_factory(), ada.id, "mine").version == 1


def test_every_run_is_counted_and_kept(uow_factory, make_user):
    ada, bob = make_user("ada"), make_user("bob")
    for fast in (5, 9, 12):
        request = RunRequest("ema_cross", ("AAPL",), period="2y", settings=(("fast", fast),))
        result = run_backtest(SampleMarket(), request, uow=uow_factory(), user_id=ada.id)
    data = result.provenance["bars_hash"]
    trials = trials_of(uow_factory(), ada.id, "ema_cross", data)
    assert trials.count == 3 and trials.variance > 0
    assert trials_of(uow_factory(), bob.id, "ema_cross", data).count == 0
    runs = list_runs(uow_factory(), ada.id)
    assert len(runs) == 3 and list_runs(uow_factory(), bob.id) == []
    assert runs[0]["result_hash"] == result.provenance["result_hash"]
    again = run_backtest(SampleMarket(), request)
    assert again.provenance["result_hash"] == runs[0]["result_hash"], "run again gives the same hash"


def test_the_ledger_merges_means_and_variances_exactly(uow_factory, make_user):
    user = make_user()
    parts = [np.random.default_rng(n).normal(0.02, 0.1, size) for n, size in enumerate((1, 7, 40, 3))]

    def add(values):
        count_trials(uow_factory(), user.id, "f", "d" * 64, values.tolist())

    threads = [threading.Thread(target=add, args=(p,)) for p in parts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    everything = np.concatenate(parts)
    trials = trials_of(uow_factory(), user.id, "f", "d" * 64)
    assert trials.count == len(everything)
    assert trials.variance == pytest.approx(everything.var(ddof=1), rel=1e-9)


def test_a_cancelled_run_leaves_no_record(uow_factory, make_user):
    user = make_user()
    steps: list[str] = []
    with pytest.raises(Cancelled):
        run_backtest(
            SampleMarket(), REQUEST, progress=lambda share, text: steps.append(text), cancelled=lambda: len(steps) >= 2,
            uow=uow_factory(), user_id=user.id,
        )  # fmt: skip
    assert steps == ["Fetching AAPL", "Running"]
    assert list_runs(uow_factory(), user.id) == []


def test_wrong_input_is_found_before_the_data_is_asked():
    class NoMarket:
        def history(self, request, source=None):
            raise AssertionError("asked for data")

    for request, says in (
        (RunRequest("nothing", ("AAPL",)), "ema_cross"),
        (RunRequest("ema_cross", ()), "symbol"),
        (RunRequest("ema_cross", ("AAPL",), interval="7d"), "interval"),
        (RunRequest("ema_cross", ("AAPL",), settings=(("fast", 90.0),)), "below slow"),
        (RunRequest(preset("macd"), ("AAPL",), settings=(("fast", 5.0),)), "presets"),
    ):
        with pytest.raises(InvalidInput, match=says):
            run_backtest(NoMarket(), request)


def test_report_runs_are_recorded(uow_factory, make_user, tmp_path):
    user = make_user()
    with pytest.raises(ReportFailed):
        run_report(
            "backtest",
            {"strategy": "nonsense", "source": "sample"},
            data_dir=tmp_path,
            uow=uow_factory(),
            user_id=user.id,
        )
    path = run_report("backtest", {"source": "sample"}, data_dir=tmp_path, uow=uow_factory(), user_id=user.id)
    with uow_factory() as uow:
        failed, done = uow.session.query(ReportRun).order_by(ReportRun.id).all()
    assert failed.status == "failed" and "nonsense" in failed.error
    assert (tmp_path / failed.output_path).is_file(), "the page so far is kept"
    assert done.status == "done" and tmp_path / done.output_path == path
    assert path.parent.name == f"user-{user.id}"


def test_a_strategy_that_looks_ahead_cannot_become_a_bot(uow_factory, make_user, monkeypatch):
    """``momentum`` reads tomorrow's close for the length of this test."""
    user, other = make_user("ada"), make_user("bob")
    save_strategy(uow_factory(), user.id, mine("seer", "momentum > 0 and rsi < 60"))
    save_strategy(uow_factory(), user.id, mine("slow", "rsi@1h < 60"))

    def bot(symbol, name, **more):
        return NewBot(symbol=symbol, timeframe="1 Day", position_size=1000, strategy_name=name, **more)

    honest = create_bot(uow_factory(), user.id, bot("AAPL", "seer"))
    create_bot(uow_factory(), user.id, bot("MSFT", "slow"))
    create_bot(uow_factory(), user.id, bot("TSLA", "my TradingView script", strategy_type="ema_cross"))

    def tomorrow(close, **_):
        return np.append(close[1:] - close[:-1], np.nan)

    cheat = replace(REGISTRY["momentum"], compute=tomorrow, inputs=("close",))
    monkeypatch.setitem(REGISTRY._entries, "momentum", cheat)
    for refused in (
        lambda: create_bot(uow_factory(), user.id, bot("NVDA", "seer")),
        lambda: create_bot(uow_factory(), user.id, bot("NVDA", None, strategy_type="seer")),
        lambda: update_bot(uow_factory(), user.id, honest.config.id, strategy_name="seer"),
        lambda: set_bot_active(uow_factory(), user.id, honest.config.id, True),
    ):
        with pytest.raises(InvalidInput, match=r"'seer' looks into the future .* momentum > 0"):
            refused()
    assert [b.config.symbol for b in list_bots(uow_factory(), user.id)] == ["AAPL", "MSFT", "TSLA"]
    assert not any(b.config.is_active for b in list_bots(uow_factory(), user.id))
    create_bot(uow_factory(), other.id, bot("NVDA", "seer"))  # to him it is only a label
