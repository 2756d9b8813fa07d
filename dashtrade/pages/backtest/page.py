"""The backtest page, put together."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from dashtrade.domain.users import Role
from dashtrade.pages.context import PageContext
from dashtrade.pages.registry import page

if TYPE_CHECKING:
    from dashtrade.backtest.result import BacktestResult
    from dashtrade.backtest.sweep import SweepResult
    from dashtrade.backtest.walkforward import WalkForwardResult, Windows
    from dashtrade.domain.strategy import Strategy
    from dashtrade.services.backtest_searches import Search
    from dashtrade.services.backtests import RunRequest

HELP = (
    "Choose a preset, a strategy of yours, or write rules, then run. A decision at a bar's close is filled at the next "
    "bar's open, with slippage; stops work inside the bar. The thin line is what buying and keeping would have earned. "
    "Point at a figure, or reach it with the Tab key, to read its definition. Evidence says how much of the result may "
    "be luck, costs or one fortunate setting. A sweep tries many settings: look for a broad plateau, not for the peak. "
    "A walk-forward chooses settings on the past and trades them on what follows. Every run is kept under Runs, can be "
    "named, compared, run again to the same hash, and loaded back into the form to change it; every try is counted, "
    "since trying many settings finds luck. The HTML report takes whatever the form asks for. The address holds the "
    "form, so it can be bookmarked and shared."
)


@page("backtest", title="Backtest", role=Role.USER, order=50, icon="⟲", help=HELP)
def build(context: PageContext) -> object:
    from dashtrade.backtest.evidence import evidence
    from dashtrade.bootstrap import runtime
    from dashtrade.pages.background import in_thread
    from dashtrade.pages.backtest.around import SymbolSearch
    from dashtrade.pages.backtest.honesty import HonestyModel
    from dashtrade.pages.backtest.loading import strategy_of
    from dashtrade.pages.backtest.model import BacktestModel, BacktestServices
    from dashtrade.pages.backtest.runs import RunServices, RunsModel
    from dashtrade.pages.backtest.search import SearchModel, SearchServices
    from dashtrade.pages.backtest.view import BacktestView
    from dashtrade.pages.memory import Memory
    from dashtrade.pages.sources import own_market, reach_check
    from dashtrade.services import (
        backtest_library,
        backtest_runs,
        backtest_searches,
        report_control,
        strategies,
        trials,
        watchlist,
        watchlists,
    )
    from dashtrade.services.backtests import run_backtest
    from dashtrade.strategies import PRESETS, parse_condition

    data = own_market(context)
    memory = Memory(context, "backtest")
    user_id = context.user_id

    def mine(service: Callable[..., Any]) -> Callable[..., Any]:
        """The service for the signed-in user, each call in a unit of work of its own."""
        return lambda *args, **kw: service(runtime().uow(), user_id, *args, **kw)

    def kept() -> dict[str, Any]:
        """Where a search or a run leaves its record; nowhere without a database."""
        return {"uow": runtime().uow(), "user_id": user_id} if memory.here else {}

    def run(request: RunRequest, **steps: Any) -> BacktestResult:
        return run_backtest(data, request, **steps, **kept())

    def sweep(search: Search, **steps: Any) -> SweepResult:
        return backtest_searches.run_sweep(data, search, **steps, **kept())

    def walk(search: Search, windows: Windows, **steps: Any) -> WalkForwardResult:
        return backtest_searches.run_walk_forward(data, search, windows, **steps, **kept())

    def deflated(result: SweepResult) -> tuple[int, float]:
        """All tries with this family on these bars, and the deflated Sharpe ratio of the best with them."""
        if not memory.here:
            return len(result.table), result.deflated_sharpe()
        found = mine(trials.trials_of)(result.template.base.trial_family, result.provenance["bars_hash"])
        return found.count, result.deflated_sharpe(found.count, found.variance)

    def saved() -> dict[str, Strategy]:
        if not memory.here:
            return {}
        names = [line.name for line in mine(strategies.list_strategies)()]
        return {name: mine(strategies.load_strategy)(name) for name in names}

    def make_report(parameters: Mapping[str, Any]) -> int:
        return int(mine(report_control.run_now)("backtest", parameters))

    services = BacktestServices(
        run=run,
        presets=PRESETS,
        parse_rule=parse_condition,
        check=reach_check(data),
        sources=data.sources(),
        remember=memory.save,
        saved=saved,
        save_strategy=mine(strategies.save_strategy),
        watchlists=lambda: [one.name for one in mine(watchlists.list_names)()] if memory.here else [],
        watched=lambda name: [one.symbol for one in mine(watchlist.list_watchlist)(name)],
        make_report=make_report,
        recorded=lambda number: strategy_of(mine(backtest_runs.get_run)(number)),
    )
    model = BacktestModel(services, background=in_thread)
    model.attempt(model.restore, context.query or memory.load())
    honesty = HonestyModel(mine(trials.evidence_of) if memory.here else evidence, background=in_thread)
    search = SearchModel(model, SearchServices(sweep=sweep, walk=walk, deflated=deflated), background=in_thread)
    own_runs = RunServices(
        list_lines=mine(backtest_library.list_lines) if memory.here else tuple,
        get=mine(backtest_runs.get_run),
        rename=mine(backtest_library.rename_run),
        delete=mine(backtest_library.delete_runs),
        compare=mine(backtest_runs.compare_runs),
        again=lambda number, **steps: mine(backtest_runs.run_again)(number, data, **steps),
    )
    runs = RunsModel(model, own_runs, background=in_thread)
    symbols = SymbolSearch(lambda text: data.search(text, model.values["source"] or None), background=in_thread)
    return BacktestView(model, honesty, search, runs, symbols, help_text=HELP).widget
