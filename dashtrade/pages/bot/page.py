"""The bot page, put together."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from dashtrade.domain.users import Role
from dashtrade.pages.context import PageContext
from dashtrade.pages.registry import page

HELP = (
    "Make a bot for a symbol and a timeframe, then a token, then paste the address and the message into an alert at "
    "TradingView, and send a test alert. Each alert becomes a row under Signals with what was decided and why, and "
    "each order a row under Orders. Stop all trading blocks every entry of your bots at once; exits still run."
)
REFRESH_SECONDS = 2.0


@page("bot", title="Trading bot", role=Role.USER, order=60, icon="⚙", help=HELP)
def build(context: PageContext) -> object:
    from dashtrade.bootstrap import runtime
    from dashtrade.pages.background import every, in_thread
    from dashtrade.pages.bot.alerting import post_alert
    from dashtrade.pages.bot.model import BotModel, BotServices
    from dashtrade.pages.bot.view import BotView
    from dashtrade.services import bots, kill_switches

    rt = runtime()
    user_id = context.user_id

    def mine(service: Callable[..., Any]) -> Callable[..., Any]:
        """The service for the signed-in user, each call in a unit of work of its own."""
        return lambda *args, **kw: service(rt.uow(), user_id, *args, **kw)

    base = f"http://{rt.settings.host}:{rt.settings.webhook_port}"
    local = f"http://127.0.0.1:{rt.settings.webhook_port}/webhook"
    create_token = mine(bots.create_token)
    services = BotServices(
        list_bots=mine(bots.list_bots),
        list_positions=mine(bots.list_positions),
        list_trades=mine(bots.list_trades),
        list_signals=mine(bots.list_signals),
        list_risk_events=mine(bots.list_risk_events),
        list_tokens=mine(bots.list_tokens),
        list_halts=mine(kill_switches.list_halts),
        create_bot=mine(bots.create_bot),
        set_bot_active=mine(bots.set_bot_active),
        delete_bot=mine(bots.delete_bot),
        create_token=lambda bot_id, label: create_token(bot_id=bot_id, label=label),
        revoke_token=mine(bots.revoke_token),
        halt=lambda reason: kill_switches.set_halt(rt.uow(), reason=reason, set_by=context.username, user_id=user_id),
        resume=lambda halt_id: kill_switches.clear_halt(
            rt.uow(), halt_id, cleared_by=context.username, user_id=user_id
        ),
        send_alert=partial(post_alert, local),
        webhook_base=base,
    )
    model = BotModel(services, background=in_thread)
    view = BotView(model, help_text=HELP)
    model.refresh()
    every(REFRESH_SECONDS, lambda: model.refresh() if view.shell.visible else None)
    return view.widget
