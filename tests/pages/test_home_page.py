"""The home page over the real services, a real database and sample prices."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest

from dashtrade.data.sample import SampleSource
from dashtrade.db.unit_of_work import UnitOfWork
from dashtrade.domain.bot_views import NewBot
from dashtrade.domain.users import User
from dashtrade.errors import SourceUnreachable
from dashtrade.pages.home.model import HomeModel, HomeServices
from dashtrade.pages.home.view import HomeView
from dashtrade.services import bots, kill_switches, watchlist

UowFactory = Callable[[], UnitOfWork]


class House:
    def __init__(self, uow: UowFactory, user: User) -> None:
        self.away: Exception | None = None
        self.uow, self.user = uow, user

        def mine(service: Callable[..., Any]) -> Callable[..., Any]:
            return lambda *args: service(uow(), user.id, *args)

        services = HomeServices(
            list_bots=mine(bots.list_bots), list_positions=mine(bots.list_positions),
            list_signals=mine(bots.list_signals), list_halts=mine(kill_switches.list_halts),
            list_watchlist=mine(watchlist.list_watchlist), quotes=self.quotes, watch=mine(watchlist.watch),
            unwatch=mine(watchlist.unwatch),
        )  # fmt: skip
        self.model = HomeModel(services)
        self.view = HomeView(self.model)
        self.model.refresh()

    def quotes(self, symbols: Any) -> Any:
        if self.away:
            raise self.away
        return SampleSource().latest([s for s in symbols if s in ("AAPL", "IBM")])

    def follow(self, symbol: str) -> None:
        self.view.symbol.value = symbol
        self.view.add.click()


@pytest.fixture
def house(uow_factory: UowFactory, make_user: Callable[..., User]) -> House:
    return House(uow_factory, make_user("ada"))


def test_following_a_symbol_shows_its_price_and_that_it_is_made_up(house: House) -> None:
    house.follow(" aapl ")
    [row] = house.view.watchlist.rows
    assert row["symbol"] == "AAPL" and row["price"] > 0 and row["source"] == "simulated"
    assert [w.symbol for w in watchlist.list_watchlist(house.uow(), house.user.id)] == ["AAPL"]
    house.follow("AAPL")
    assert "already" in house.view.messages.text
    house.follow("<b>")
    assert "ticker" in house.view.messages.text
    house.view.watchlist._handle_custom_msg({"type": "action", "name": "unwatch", "id": "AAPL"}, [])
    assert house.view.watchlist.rows == []
    assert watchlist.list_watchlist(house.uow(), house.user.id) == []


def test_missing_prices_hide_nothing_else(house: House) -> None:
    house.follow("AAPL")
    house.away = SourceUnreachable("yahoo", "Yahoo cannot be reached.")
    house.model.refresh()
    assert "Yahoo cannot be reached" in house.view.problem.value
    assert house.view.watchlist.rows[0]["price"] is None and house.view.messages.text == ""


def test_bots_and_stops_are_shown(house: House) -> None:
    bots.create_bot(house.uow(), house.user.id, NewBot("MSFT", "15", Decimal(500), is_active=True))
    kill_switches.set_halt(house.uow(), reason="<i>enough</i>", set_by="ada", user_id=house.user.id)
    house.model.refresh()
    assert house.view.bots.rows[0]["name"] == "MSFT · 15 Min" and house.view.bots.rows[0]["state"] == "● On"
    assert "1 of 1" in house.view.cards.value
    assert "enough" in house.view.halted.value and "<i>" not in house.view.halted.value


def test_another_users_things_are_not_shown(house: House, make_user: Callable[..., User]) -> None:
    house.follow("IBM")
    other = House(house.uow, make_user("eve"))
    assert other.view.watchlist.rows == []
