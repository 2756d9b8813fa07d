"""The portfolio page, put together."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from dashtrade.domain.users import Role
from dashtrade.pages.context import PageContext
from dashtrade.pages.registry import page

HELP = (
    "The watchlist reads each symbol's closed daily bars: trend, RSI and the signal of the analysis page. Import takes "
    "a CSV with a symbol column and perhaps notes; the table's CSV button writes one. The scanner tries a rule, in the "
    "words of the strategies, on every watched symbol. Accounts and holdings show what your bots hold: day P&L is "
    "equity less the equity at the last close; VaR and the figures beside it take today's holdings through the past "
    "year, which is not a forecast."
)


@page("portfolio", title="Portfolio", role=Role.USER, order=30, icon="◫", help=HELP)
def build(context: PageContext) -> object:
    from dashtrade.bootstrap import runtime
    from dashtrade.pages.background import in_thread
    from dashtrade.pages.memory import Memory
    from dashtrade.pages.portfolio.model import PortfolioModel, PortfolioServices
    from dashtrade.pages.portfolio.view import PortfolioView
    from dashtrade.pages.sources import own_market
    from dashtrade.services import bots, watching, watchlist
    from dashtrade.services.portfolio import read_book
    from dashtrade.strategies import parse_condition

    data, rt, user_id = own_market(context), runtime(), context.user_id
    memory = Memory(context, "portfolio")

    def mine(service: Callable[..., Any]) -> Callable[..., Any]:
        """The service for the signed-in user, each call in a unit of work of its own."""
        return lambda *args, **kw: service(rt.uow(), user_id, *args, **kw)

    watched = mine(watchlist.list_watchlist)
    accounts, positions, made = (mine(s) for s in (bots.list_accounts, bots.list_positions, bots.list_bots))
    add = mine(watchlist.watch)
    services = PortfolioServices(
        read=lambda source, **kw: watching.read_watchlist(data, watched(), source, **kw),
        book=lambda source, **kw: read_book(data, accounts(), positions(), made(), source, **kw),
        add=lambda symbol, notes: add(symbol, notes=notes),
        remove=mine(watchlist.unwatch),
        note=mine(watchlist.set_notes),
        import_csv=partial(watching.import_watchlist, rt.uow, user_id),
        scan=watching.scan,
        parse_rule=parse_condition,
        sources=tuple(data.sources()),
        remember=memory.save,
    )
    model = PortfolioModel(services, background=in_thread)
    view = PortfolioView(model, help_text=HELP)
    model.restore(context.query or memory.load())
    model.refresh()
    return view.widget
