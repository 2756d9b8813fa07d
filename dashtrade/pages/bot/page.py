"""The bot page, put together."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from functools import partial
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from dashtrade.domain.users import Role
from dashtrade.pages.context import PageContext
from dashtrade.pages.registry import page

if TYPE_CHECKING:
    from dashtrade.services.bot_performance import BotPerformance
    from dashtrade.settings import Settings

HELP = (
    "Set up leads through four steps: the account with a check of its connection, the bot with its limits, the token "
    "with the address and message for an alert at TradingView, and a test alert. Each alert becomes a row under "
    "Signals with what was decided, why, and when; each order a row under Orders. Performance sets a bot against its "
    "strategy's backtest; Replay walks past alerts under other limits. Stop all trading blocks every entry of your "
    "bots at once; exits still run."
)
REFRESH_SECONDS = 2.0


@page("bot", title="Trading bot", role=Role.USER, order=60, icon="⚙", help=HELP)
def build(context: PageContext) -> object:
    from dashtrade.bootstrap import runtime, shared_prices
    from dashtrade.pages.background import every, in_thread
    from dashtrade.pages.bot.alerting import post_alert
    from dashtrade.pages.bot.model import BotModel
    from dashtrade.pages.bot.services import BotServices
    from dashtrade.pages.bot.view import BotView
    from dashtrade.pages.memory import Memory
    from dashtrade.services import bot_changes, bot_connection, bot_day, bot_replay, bots, kill_switches

    rt = runtime()
    user_id = context.user_id
    quotes, memory = shared_prices(user_id=user_id), Memory(context, "bot")

    def mine(service: Callable[..., Any]) -> Callable[..., Any]:
        """The service for the signed-in user, each call in a unit of work of its own."""
        return lambda *args, **kw: service(rt.uow(), user_id, *args, **kw)

    def strategies() -> list[str]:
        from dashtrade.services.strategies import list_strategies
        from dashtrade.strategies import PRESETS

        own = [line.name for line in list_strategies(rt.uow(), user_id) if not line.draft]
        return [*own, *PRESETS]

    def compare(bot_id: int) -> BotPerformance:
        from dashtrade.pages.sources import own_market
        from dashtrade.services.bot_performance import bot_performance

        return bot_performance(rt.uow(), own_market(context), user_id, bot_id)

    local = f"http://127.0.0.1:{rt.settings.webhook_port}/webhook"
    create_token, update_bot, replay = mine(bots.create_token), mine(bots.update_bot), mine(bot_replay.replay_alerts)
    create_bot = mine(bots.create_bot)
    services = BotServices(
        latest_change=mine(bot_changes.latest_change),
        list_bots=mine(bots.list_bots),
        list_positions=mine(bots.list_positions),
        list_trades=mine(bots.list_trades),
        list_signals=mine(bots.list_signals),
        list_risk_events=mine(bots.list_risk_events),
        list_tokens=mine(bots.list_tokens),
        list_halts=mine(kill_switches.list_halts),
        realized_today=mine(bot_day.realized_today),
        prices=lambda symbols: {s: Decimal(str(q.price)) for s, q in quotes.latest(symbols).items()},
        create_bot=lambda request, passphrase: create_bot(request, passphrase=passphrase),
        update_bot=lambda bot_id, changes: update_bot(bot_id, **changes),
        set_bot_active=mine(bots.set_bot_active),
        delete_bot=mine(bots.delete_bot),
        create_token=lambda bot_id, label: create_token(bot_id=bot_id, label=label),
        revoke_token=mine(bots.revoke_token),
        halt=lambda reason, symbol: kill_switches.set_halt(
            rt.uow(), reason=reason, set_by=context.username, user_id=user_id, symbol=symbol
        ),
        resume=lambda halt_id: kill_switches.clear_halt(
            rt.uow(), halt_id, cleared_by=context.username, user_id=user_id
        ),
        connection=mine(bot_connection.connection),
        ask_connection=mine(bot_connection.ask_connection),
        strategies=strategies,
        compare=compare,
        replay=lambda bot_id, proposed, equity: replay(bot_id, proposed, equity=equity),
        send_alert=partial(post_alert, local),
        webhook_base=webhook_base(rt.settings),
        remember=memory.save,
    )
    model = BotModel(services, background=in_thread)
    view = BotView(model, help_text=HELP)
    model.restore({**memory.load(), **context.query})
    model.refresh()
    every(REFRESH_SECONDS, lambda: model.refresh() if view.shell.visible else None)
    return view.widget


def webhook_base(settings: Settings) -> str:
    """The address before ``/webhook``: the public one's host where one is set, else this machine's."""
    if settings.public_url is not None:
        parts = urlsplit(settings.public_url)
        return f"{parts.scheme}://{parts.netloc}"
    return f"http://{settings.host}:{settings.webhook_port}"
