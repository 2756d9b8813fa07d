"""Backtests, sweeps and walk-forwards leave a record from which the same comes out again; no user sees another's."""

from __future__ import annotations

import pytest

from dashtrade.backtest import BacktestRequest, Costs, Stops, SweepOptions, Windows, sweep, walk_forward
from dashtrade.data.sample import SampleSource
from dashtrade.domain.market import HistoryRequest
from dashtrade.errors import InvalidInput, NotFound
from dashtrade.services.backtest_runs import compare_runs, get_run, run_again
from dashtrade.services.backtests import RunRequest, run_backtest
from dashtrade.services.trials import evidence_of, list_runs, record_sweep, record_walk_forward, trials_of
from dashtrade.strategies import preset

GRID = {"fast": [5, 9], "slow": [20, 40]}


class SampleMarket:
    def history(self, request: HistoryRequest, source: str | None = None):
        assert source in (None, "sample")
        return SampleSource().history(request)


@pytest.fixture
def bars():
    return {"AAPL": SampleSource().history(HistoryRequest.parse("AAPL", period="2y"))}


def test_what_is_run_again_from_its_record_gives_the_same_hash(uow_factory, make_user, bars):
    ada, bob = make_user("ada"), make_user("bob")
    request = BacktestRequest(
        preset("ema_cross", slow=30), bars, costs=Costs(0.001), stops=Stops(loss=0.03), direction="long_short", seed=3
    )
    single = RunRequest("rsi_reversal", ("AAPL", "MSFT"), period="1y", settings=(("window", 10),))
    made = [
        run_backtest(SampleMarket(), single, uow=uow_factory(), user_id=ada.id),
        sweep(request, GRID, SweepOptions(method="random", trials=3, objective="sortino")),
        walk_forward(request, GRID, Windows(train=150, test=60, purge=2, embargo=5)),
    ]
    counted = record_sweep(uow_factory(), ada.id, made[1])
    assert counted.count == 3
    assert record_walk_forward(uow_factory(), ada.id, made[2]).count == 3 + len(made[2].tried)
    lines = list_runs(uow_factory(), ada.id)[::-1]
    assert [line["kind"] for line in lines] == ["backtest", "sweep", "walk_forward"]
    for line, before in zip(lines, made, strict=True):
        stored = get_run(uow_factory(), ada.id, line["id"])
        assert stored.result_hash == before.provenance["result_hash"]
        assert stored.provenance["versions"]["dashtrade"] and stored.data_hash == before.provenance["bars_hash"]
        again = run_again(uow_factory(), ada.id, line["id"], SampleMarket())
        assert again.same_data and again.same_result, line["kind"]
        assert again.result.provenance["request_hash"] == stored.request_hash
        with pytest.raises(NotFound):
            run_again(uow_factory(), bob.id, line["id"], SampleMarket())
    changed = bars["AAPL"].copy()
    changed.attrs = dict(bars["AAPL"].attrs)
    changed.iloc[60:, :4] *= 1.01
    other = run_again(uow_factory(), ada.id, lines[1]["id"], bars={"AAPL": changed})
    assert not other.same_data and not other.same_result
    assert len(list_runs(uow_factory(), ada.id)) == 3, "running again is no new try"
    assert trials_of(uow_factory(), ada.id, "ema_cross", counted_hash := made[1].provenance["bars_hash"]).count > 3
    best = made[1].backtest()
    panel = evidence_of(uow_factory(), ada.id, best)
    assert panel.trials == trials_of(uow_factory(), ada.id, "ema_cross", counted_hash).count
    assert panel.to_frame().at["trials", "value"] == panel.trials


def test_runs_side_by_side_show_what_differs(uow_factory, make_user):
    ada, bob = make_user("ada"), make_user("bob")
    results, numbers = [], []
    for fast, commission in ((5, 0.0), (9, 0.002)):
        request = RunRequest(
            "ema_cross", ("AAPL",), period="1y", settings=(("fast", fast),), costs=Costs(commission=commission)
        )
        results.append(run_backtest(SampleMarket(), request, uow=uow_factory(), user_id=ada.id))
        numbers.append(list_runs(uow_factory(), ada.id)[0]["id"])
    found = compare_runs(uow_factory(), ada.id, numbers[::-1])
    assert [run.id for run in found.runs] == numbers[::-1] and found.same_data
    first = found.runs[1].label
    assert found.statistics.at["total_return", first] == results[0].statistics["total_return"]
    assert found.shown.shape == found.statistics.shape and "Sharpe ratio" in " ".join(found.shown.index)
    assert found.settings.loc["costs.commission"].tolist() == ["0.002", "0"]
    assert "ema(window=5)" in found.settings.at["strategy.long_entry", first]
    assert "cash" not in found.settings.index
    with pytest.raises(NotFound, match=str(numbers[0])):
        compare_runs(uow_factory(), bob.id, numbers)
    with pytest.raises(InvalidInput, match="2 to"):
        compare_runs(uow_factory(), ada.id, numbers[:1])
