"""The strategies page, put together."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any

from dashtrade.domain.users import Role
from dashtrade.pages.context import PageContext
from dashtrade.pages.registry import page

HELP = (
    "Start from a template or an empty sheet. A rule is a list of conditions: choose what is compared, how, and with "
    "what; or write it as text, such as ema(9) crosses above ema(21) and rsi < 70. Rows and text follow each other. "
    "close[1] is the close one bar ago, rsi@1d the RSI of completed daily bars. The sentence says what the rules mean, "
    "the chart where they became true. Saving adds a version and checks that no condition looks into the future; one "
    "that does is kept as a draft, which no bot can carry. Unsaved changes are kept until your next visit."
)


@page("strategies", title="Strategies", role=Role.USER, order=52, icon="✎", help=HELP)
def build(context: PageContext) -> object:
    from dashtrade.bootstrap import runtime
    from dashtrade.pages.background import in_thread
    from dashtrade.pages.memory import Memory
    from dashtrade.pages.sources import own_market
    from dashtrade.pages.strategies.model import StrategiesModel, StrategyServices
    from dashtrade.pages.strategies.preview import PreviewModel
    from dashtrade.pages.strategies.view import StrategiesView
    from dashtrade.services import promotion, strategies

    data, rt, user_id = own_market(context), runtime(), context.user_id
    memory = Memory(context, "strategies")

    def mine(service: Callable[..., Any]) -> Callable[..., Any]:
        """The service for the signed-in user, each call in a unit of work of its own."""
        return lambda *args, **kw: service(rt.uow(), user_id, *args, **kw)

    def of(name: str) -> Memory:
        return Memory(context, f"strategy.{name}")

    def keep(name: str, values: Mapping[str, str]) -> None:
        of(name).save(values)

    make_bot = mine(promotion.promote)

    def promote(name: str, symbol: str, interval: str, dollars: Decimal) -> int:
        return int(make_bot(name, symbol, interval, dollars).id)

    services = StrategyServices(
        list_strategies=mine(strategies.list_strategies),
        versions=mine(strategies.list_versions),
        save=mine(strategies.save_strategy),
        rename=mine(strategies.rename_strategy),
        delete=mine(strategies.delete_strategy),
        looks_ahead=promotion.future_looks,
        unsettled=promotion.unsettled,
        promote=promote,
        keep_draft=keep,
        draft_of=lambda name: of(name).load(),
        remember=memory.save,
    )
    preview = PreviewModel(data.history, data.sources(), background=in_thread)
    model = StrategiesModel(services, preview, background=in_thread)
    view = StrategiesView(model, help_text=HELP)
    model.attempt(model.restore, context.query or memory.load())
    return view.widget
