"""The alerts page, put together."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from dashtrade.domain.users import Role
from dashtrade.pages.context import PageContext
from dashtrade.pages.registry import page

HELP = (
    "A rule watches closed bars of one symbol, or of every symbol of your watchlist, and tells you at the bell and "
    "through your channels. Once switches the rule off after the first time; at every bar's close tells as long as it "
    "is true; every time tells when it becomes true. Try on the last year shows when a rule would have told before you "
    "save it. A changed rule counts from now on: bars that closed before do not trigger it. Channels carry messages by "
    "mail, Telegram, ntfy and many more; what could not be delivered is shown under Channels and can be sent again."
)
REFRESH_SECONDS = 10.0


@page("alerts", title="Alerts", role=Role.USER, order=55, icon="◔", help=HELP)
def build(context: PageContext) -> object:
    from dashtrade.bootstrap import runtime, shared_prices
    from dashtrade.pages.alerts.kinds import kinds
    from dashtrade.pages.alerts.model import AlertsModel, AlertsServices
    from dashtrade.pages.alerts.view import AlertsView
    from dashtrade.pages.background import every, in_thread
    from dashtrade.pages.memory import Memory
    from dashtrade.pages.sources import own_market
    from dashtrade.patterns import CHART_PATTERNS
    from dashtrade.services import (
        alert_editing,
        alert_history,
        alert_rules,
        channel_entry,
        channels,
        watchlist,
        watchlists,
    )
    from dashtrade.services.alert_engine import trigger
    from dashtrade.strategies.flags import names

    data, rt, user_id = own_market(context), runtime(), context.user_id
    prices, memory = shared_prices(user_id=user_id), Memory(context, "alerts")

    def mine(service: Callable[..., Any], **fixed: Any) -> Callable[..., Any]:
        """The service for the signed-in user, each call in a unit of work of its own."""

        def call(*args: Any, **kw: Any) -> Any:
            with rt.uow() as uow:
                return service(uow, user_id, *args, **fixed, **kw)

        return call

    watched = mine(watchlist.list_watchlist)
    services = AlertsServices(
        list_alerts=mine(alert_rules.list_alerts),
        add=mine(alert_rules.add_alert),
        update=mine(alert_editing.update_alert),
        remove=mine(alert_rules.remove_alert),
        set_active=mine(alert_rules.set_alert_active),
        trigger=mine(trigger),
        check=alert_editing.check_alert,
        told=mine(alert_history.alert_history),
        problems=mine(alert_history.watch_problems),
        quotes=prices.latest,
        watchlist=lambda: [each.symbol for each in watched()],
        lists=mine(watchlists.contents),
        past=lambda new, symbols, **kw: alert_editing.past_alerts(data, new, symbols, **kw),
        list_channels=mine(channels.list_channels),
        add_channel=mine(channel_entry.enter_channel),
        update_channel=mine(channels.update_channel),
        remove_channel=mine(channels.remove_channel),
        test_channel=mine(channels.test_channel),
        list_deliveries=mine(channels.list_deliveries),
        retry=mine(alert_history.retry_delivery),
        remember=memory.save,
        kinds=kinds(tuple(sorted(names())), tuple(CHART_PATTERNS)),
        sources=tuple(data.sources()),
    )
    model = AlertsModel(services, background=in_thread)
    view = AlertsView(model, help_text=HELP)
    model.restore(context.query or memory.load())
    model.refresh()
    every(REFRESH_SECONDS, lambda: model.refresh() if view.shell.visible else None)
    return view.widget
