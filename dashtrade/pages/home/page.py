"""The home page, put together."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from dashtrade.domain.users import Role
from dashtrade.pages.context import PageContext
from dashtrade.pages.registry import page

HELP = (
    "What needs your attention, then your bots, what they hold, alerts that told something, reports, and the symbols "
    "you follow, the widest move first: the latest price against the close before. The page refreshes by itself. "
    "Today's figure of an account is its equity less its equity at the last close. Prices marked simulated are made up "
    "and never the market's."
)
REFRESH_SECONDS = 5.0


@page("home", title="Home", role=Role.USER, order=10, icon="⌂", help=HELP)
def build(context: PageContext) -> object:
    from dashtrade.bootstrap import runtime, shared_prices
    from dashtrade.pages.background import every, in_thread
    from dashtrade.pages.home.model import HomeModel, HomeServices
    from dashtrade.pages.home.view import HomeView
    from dashtrade.pages.sources import own_market
    from dashtrade.services import alert_history, bots, kill_switches, overview, report_control, watching, watchlist

    rt, prices, data = runtime(), shared_prices(user_id=context.user_id), own_market(context)

    def mine(service: Callable[..., Any], **fixed: Any) -> Callable[..., Any]:
        """The service for the signed-in user, each call in a unit of work of its own."""
        return lambda *args: service(rt.uow(), context.user_id, *args, **fixed)

    services = HomeServices(
        list_bots=mine(bots.list_bots),
        list_accounts=mine(bots.list_accounts),
        list_positions=mine(bots.list_positions),
        list_signals=mine(bots.list_signals, limit=20),
        list_halts=mine(kill_switches.list_halts),
        list_watchlist=mine(watchlist.list_watchlist),
        list_told=mine(alert_history.alert_history, limit=20),
        list_reports=mine(report_control.view_runs, limit=10),
        today=mine(overview.realised_today),
        steps=mine(overview.first_steps),
        trader_seen=lambda: overview.trader_seen(rt.uow()),
        trader_runs=overview.trader_runs,
        quotes=prices.latest,
        closes=lambda symbols, source: watching.last_closes(data, symbols, source),
        watch=mine(watchlist.watch),
        unwatch=mine(watchlist.unwatch),
    )
    model = HomeModel(services, background=in_thread)
    view = HomeView(model, help_text=HELP)
    model.restore(context.query)
    model.refresh()
    every(REFRESH_SECONDS, partial(_beat, model, view))
    return view.widget


def _beat(model: Any, view: Any) -> None:
    if view.shell.visible:
        model.refresh()
