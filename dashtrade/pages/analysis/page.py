"""The analysis page, put together."""

from __future__ import annotations

from dashtrade.domain.users import Role
from dashtrade.pages.context import PageContext
from dashtrade.pages.registry import page

HELP = (
    "Type a ticker and press Enter. The badge says where the prices come from and how old they are. Move over the "
    "chart for the values of a bar, drag to pan, turn the wheel to zoom; with the keyboard, arrows move from bar to "
    "bar, + and - zoom, Home and End jump. The signal adds up the votes below it, each from closed bars only; it is a "
    "reading, not advice. The page's address holds all you chose, so it can be bookmarked and shared."
)


@page("analysis", title="Analysis", role=Role.USER, order=20, icon="▤", help=HELP)
def build(context: PageContext) -> object:
    from dashtrade.analysis import signal
    from dashtrade.indicators import REGISTRY, indicator
    from dashtrade.pages.analysis.model import AnalysisModel, AnalysisServices
    from dashtrade.pages.analysis.view import AnalysisView
    from dashtrade.pages.background import in_thread
    from dashtrade.pages.memory import Memory
    from dashtrade.pages.sources import own_market, reach_check

    data = own_market(context)
    memory = Memory(context, "analysis")
    services = AnalysisServices(
        history=data.history,
        check=reach_check(data),
        indicator=indicator,
        catalogue=REGISTRY,
        signal=signal,
        sources=tuple(data.sources()),
        remember=memory.save,
    )
    model = AnalysisModel(services, background=in_thread)
    view = AnalysisView(model, help_text=HELP)
    model.restore(context.query or memory.load())
    if not model.blockers:
        model.load()
    return view.widget
