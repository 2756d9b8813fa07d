"""The backtest page, put together."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from dashtrade.domain.users import Role
from dashtrade.pages.context import PageContext
from dashtrade.pages.registry import page

if TYPE_CHECKING:
    from dashtrade.backtest.result import BacktestResult
    from dashtrade.services.backtests import RunRequest

HELP = (
    "Choose a ready strategy or write rules of your own, then run. A decision at a bar's close is filled at the next "
    "bar's open, with slippage; stops work inside the bar. The dashed line is what buying and keeping would have "
    "earned. Point at a figure, or reach it with the Tab key, to read its definition. Every run is counted, since "
    "trying many settings finds luck."
)


@page("backtest", title="Backtest", role=Role.USER, order=50, icon="⟲", help=HELP)
def build(context: PageContext) -> object:
    from dashtrade.bootstrap import runtime
    from dashtrade.pages.background import in_thread
    from dashtrade.pages.backtest.model import BacktestModel, BacktestServices
    from dashtrade.pages.backtest.view import BacktestView
    from dashtrade.pages.memory import Memory
    from dashtrade.pages.sources import own_market, reach_check
    from dashtrade.services.backtests import run_backtest
    from dashtrade.strategies import PRESETS, parse_condition

    data = own_market(context)
    memory = Memory(context, "backtest")

    def run(
        request: RunRequest, *, progress: Callable[[float, str], None], cancelled: Callable[[], bool]
    ) -> BacktestResult:
        uow = runtime().uow() if memory.here else None
        return run_backtest(
            data, request, progress=progress, cancelled=cancelled, uow=uow, user_id=context.user_id if uow else None
        )

    services = BacktestServices(
        run=run,
        presets=PRESETS,
        parse_rule=parse_condition,
        check=reach_check(data),
        sources=data.sources(),
        remember=memory.save,
    )
    model = BacktestModel(services, background=in_thread)
    view = BacktestView(model, help_text=HELP)
    model.restore(context.query or memory.load())
    return view.widget
