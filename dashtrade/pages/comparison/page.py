"""The comparison page, put together."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from dashtrade.domain.users import Role
from dashtrade.pages.context import PageContext
from dashtrade.pages.registry import page

if TYPE_CHECKING:
    from dashtrade.portfolio.request import Compared, CompareRequest

HELP = (
    "Type two to twenty tickers with commas and press Compare. Only dates that all of them have are used, and closed "
    "bars only, so a coin and a share are measured on the same days. The benchmark is what relative strength, beta, "
    "alpha and correlation refer to; the first symbol is it unless you name another. In the ranking every symbol gets "
    "0 to 100 points for its place in each measure; the score is their mean by your weights. The page's address holds "
    "all you chose, so it can be bookmarked and shared."
)


@page("comparison", title="Comparison", role=Role.USER, order=40, icon="≋", help=HELP)
def build(context: PageContext) -> object:
    from dashtrade.pages.background import in_thread
    from dashtrade.pages.comparison.model import ComparisonModel, ComparisonServices
    from dashtrade.pages.comparison.view import ComparisonView
    from dashtrade.pages.memory import Memory
    from dashtrade.pages.sources import own_market, reach_check
    from dashtrade.services.open_notebook import comparison_notebook, comparison_numbers
    from dashtrade.services.portfolio import run_comparison, whence

    data = own_market(context)
    memory = Memory(context, "comparison")

    def compare(
        request: CompareRequest, *, progress: Callable[[float, str], None], cancelled: Callable[[], bool]
    ) -> Compared:
        return run_comparison(data, request, progress=progress, cancelled=cancelled)

    services = ComparisonServices(
        compare=compare,
        check=reach_check(data),
        sources=tuple(data.sources()),
        remember=memory.save,
        write=comparison_notebook,
        numbers=comparison_numbers,
        whence=whence,
    )
    model = ComparisonModel(services, background=in_thread)
    view = ComparisonView(model, help_text=HELP)
    model.restore(context.query or memory.load())
    if not model.blockers:
        model.load()
    return view.widget
