"""The portfolio page, put together."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from dashtrade.domain.users import Role
from dashtrade.pages.context import PageContext
from dashtrade.pages.registry import page

HELP = (
    "A symbol is watched once, with one note, and may be in several lists of yours; All symbols is everything you "
    "watch. Each row reads the symbol's closed daily bars: trend, RSI, the signal of the analysis page, and patterns "
    "that the newest bars confirmed. Import takes a CSV with a symbol column and perhaps notes; the table's CSV button "
    "writes one. The scanner tries a rule, typed or taken from a strategy, on every symbol of the list. Accounts and "
    "holdings show what your bots hold: day P&L is equity less the equity at the last close; VaR and the figures "
    "beside it take today's holdings through the past year, which is not a forecast. The curve has one value for each "
    "trading day on which the account was read; money paid in or out moves it too."
)


@page("portfolio", title="Portfolio", role=Role.USER, order=30, icon="◫", help=HELP)
def build(context: PageContext) -> object:
    from dashtrade.bootstrap import runtime
    from dashtrade.pages.background import in_thread
    from dashtrade.pages.memory import Memory
    from dashtrade.pages.portfolio.model import PortfolioModel, PortfolioServices
    from dashtrade.pages.portfolio.view import PortfolioView
    from dashtrade.pages.sources import own_market
    from dashtrade.services import bots, equity, strategies, watching, watchlist, watchlists
    from dashtrade.services.portfolio import read_book
    from dashtrade.services.watching import entry_rules
    from dashtrade.strategies import parse_condition

    data, rt, user_id = own_market(context), runtime(), context.user_id
    memory = Memory(context, "portfolio")

    def mine(service: Callable[..., Any]) -> Callable[..., Any]:
        """The service for the signed-in user, each call in a unit of work of its own."""
        return lambda *args, **kw: service(rt.uow(), user_id, *args, **kw)

    listed, history = mine(watchlist.list_watchlist), mine(equity.equity_history)
    accounts, positions, made = (mine(s) for s in (bots.list_accounts, bots.list_positions, bots.list_bots))
    saved, load = mine(strategies.list_strategies), mine(strategies.load_strategy)
    watch, put_in, unwatch, take_out = (
        mine(s) for s in (watchlist.watch, watchlists.put_in, watchlist.unwatch, watchlists.take_out)
    )

    def book(source: str | None, benchmark: str, **kw: Any) -> Any:
        return read_book(
            data, accounts(), positions(), made(), source, benchmark=benchmark, history=history(), **kw
        )  # fmt: skip

    services = PortfolioServices(
        read=lambda source, within, **kw: watching.read_watchlist(data, listed(within), source, **kw),
        book=book,
        scan=watching.scan,
        add=lambda symbol, notes, within: put_in(within, symbol, notes=notes) if within else watch(symbol, notes=notes),
        remove=lambda symbol, within: take_out(within, symbol) if within else unwatch(symbol),
        note=mine(watchlist.set_notes),
        import_csv=partial(watching.import_watchlist, rt.uow, user_id),
        lists=mine(watchlists.list_names),
        create_list=mine(watchlists.create_list),
        rename_list=mine(watchlists.rename_list),
        delete_list=mine(watchlists.delete_list),
        rules=lambda: entry_rules(load(line.name) for line in saved()),
        parse_rule=parse_condition,
        sources=tuple(data.sources()),
        remember=memory.save,
    )
    model = PortfolioModel(services, background=in_thread)
    view = PortfolioView(model, help_text=HELP)
    model.restore(context.query or memory.load())
    model.refresh()
    return view.widget
