"""The analysis page, put together."""

from __future__ import annotations

from dashtrade.domain.users import Role
from dashtrade.pages.context import PageContext
from dashtrade.pages.registry import page

HELP = (
    "Type a ticker and press Enter. The badge says where the prices come from and how old they are. Move over the "
    "chart for the values of a bar, drag to pan, turn the wheel to zoom; with the keyboard, arrows move from bar to "
    "bar, + and - zoom, Home and End jump. The signal adds up the votes below it, each from closed bars only; it is a "
    "reading, not advice. Dashed lines are support (S) and resistance (R) with how often they turned the price; arrows "
    "are chart patterns at the bar that confirmed them, with their target. The page's address holds all you chose, so "
    "it can be bookmarked and shared."
)


@page("analysis", title="Analysis", role=Role.USER, order=20, icon="▤", help=HELP)
def build(context: PageContext) -> object:
    from dashtrade.analysis import find_levels, signal
    from dashtrade.indicators import REGISTRY, indicator
    from dashtrade.pages.analysis.model import AnalysisModel, AnalysisServices
    from dashtrade.pages.analysis.risk import plan_at_close
    from dashtrade.pages.analysis.view import AnalysisView
    from dashtrade.pages.background import in_thread
    from dashtrade.pages.memory import Memory
    from dashtrade.pages.sources import own_market, reach_check, warmed_history
    from dashtrade.patterns import chart_patterns

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
        plan=plan_at_close,
        sources=tuple(data.sources()),
        remember=memory.save,
    )
    model = AnalysisModel(services, background=in_thread)
    view = AnalysisView(model, help_text=HELP)
    model.restore(context.query or memory.load())
    if not model.blockers:
        model.load()
    return view.widget
