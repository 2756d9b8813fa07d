"""The analysis page, put together."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dashtrade.domain.users import Role
from dashtrade.pages.context import PageContext
from dashtrade.pages.registry import page

if TYPE_CHECKING:
    from dashtrade.pages.analysis.model import AnalysisModel
    from dashtrade.pages.analysis.view import Companions
    from dashtrade.services.market import MarketData

HELP = (
    "Type a ticker or a name and press Enter. The badge says where the prices come from and how old they are. Move "
    "over the chart for the values of a bar, drag to pan, turn the wheel or pinch to zoom; with the keyboard, "
    "arrows move from bar to bar, Shift and arrows pan, + and - zoom, Home and End jump. The signal adds up the "
    "votes below it, each from closed bars only; it is a reading, not advice. Dashed lines are support (S) and "
    "resistance (R) with how often they turned the price; arrows are chart patterns at the bar that confirmed them, "
    "with their target; point at one for the rest. A click on the chart takes the price there for an alert. Layouts "
    "keep your indicators under a name. The page's address holds what is on the chart, so it can be bookmarked and "
    "shared."
)


@page("analysis", title="Analysis", role=Role.USER, order=20, icon="▤", help=HELP, has_chart=True)
def build(context: PageContext) -> object:
    from dashtrade.analysis import find_levels, read_volume, signal
    from dashtrade.indicators import REGISTRY, indicator
    from dashtrade.pages.analysis.drawing import AnalysisServices
    from dashtrade.pages.analysis.live import SECONDS
    from dashtrade.pages.analysis.model import AnalysisModel
    from dashtrade.pages.analysis.risk import plan_at_close
    from dashtrade.pages.analysis.view import AnalysisView
    from dashtrade.pages.background import every, in_thread
    from dashtrade.pages.memory import Memory
    from dashtrade.pages.sources import own_market, reach_check, warmed_history
    from dashtrade.patterns import USUAL, candlestick_patterns, chart_patterns

    data = own_market(context)
    memory = Memory(context, "analysis")
    services = AnalysisServices(
        history=warmed_history(data),
        check=reach_check(data),
        indicator=indicator,
        catalogue=REGISTRY,
        signal=signal,
        levels=find_levels,
        patterns=chart_patterns,
        candles=lambda bars: candlestick_patterns(bars, USUAL),
        volume=read_volume,
        plan=plan_at_close,
        sources=tuple(data.sources()),
        remember=memory.save,
    )
    model = AnalysisModel(services, background=in_thread)
    kept = memory.load()
    own: dict[str, str] = {name: kept[name] for name in ("account", "risk", "side") if name in kept}
    model.restore({**own, **context.query} if context.query else kept)
    beside = companions(context, data, model, memory.here)
    view = AnalysisView(model, beside, help_text=HELP)
    if not model.blockers:
        model.load()

    def beat() -> None:
        if view.shell.visible:
            view.draw_live()
            beside.live.poll()

    every(SECONDS, beat)  # ends with the page's kernel
    return view.widget


def companions(context: PageContext, data: MarketData, model: AnalysisModel, stored: bool) -> Companions:
    """What stands beside the chart; ``stored`` is whether there is a database to keep things in."""
    from dashtrade.bootstrap import live_bars, runtime
    from dashtrade.pages.analysis.around import FactsModel, NewsModel, SearchModel, WatchModel
    from dashtrade.pages.analysis.layouts import Layouts
    from dashtrade.pages.analysis.live import LiveModel
    from dashtrade.pages.analysis.notebook import NotebookModel
    from dashtrade.pages.analysis.view import Companions
    from dashtrade.pages.background import in_thread
    from dashtrade.services import open_notebook, preferences, watchlist
    from dashtrade.services.live import CADENCE

    user_id, layouts_key = context.user_id, "analysis.layouts"

    def watched() -> set[str]:
        return {one.symbol for one in watchlist.list_watchlist(runtime().uow(), user_id)} if stored else set()

    def keep_layouts(text: str) -> None:
        preferences.set_preference(runtime().uow(), user_id, layouts_key, text)

    def watch(symbol: str, name: str | None) -> Any:
        return watchlist.watch(runtime().uow(), user_id, symbol, name=name)

    made = Companions(
        news=NewsModel(model, data.news, in_thread),
        facts=FactsModel(model, data.fundamentals, in_thread),
        watch=WatchModel(model, watched, watch, lambda s: watchlist.unwatch(runtime().uow(), user_id, s), in_thread),
        search=SearchModel(model, data.search, in_thread),
        live=LiveModel(model, live_bars, lambda source: stored and source in CADENCE, in_thread),
        layouts=Layouts(
            model,
            lambda: preferences.get_preference(runtime().uow(), user_id, layouts_key) if stored else None,
            keep_layouts,
        ),
        notebook=NotebookModel(model, open_notebook.analysis_numbers, open_notebook.analysis_notebook, in_thread),
    )
    model.attempt(made.layouts.refresh)
    return made
