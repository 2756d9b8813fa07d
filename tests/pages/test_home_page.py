"""The home page over the real services, a real database and sample prices."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import text

from dashtrade.data.sample import SampleSource
from dashtrade.db.tables.accounts import UserPreferenceRow
from dashtrade.db.unit_of_work import UnitOfWork
from dashtrade.domain.bot_views import NewBot
from dashtrade.domain.users import User
from dashtrade.errors import SourceUnreachable
from dashtrade.pages.home.model import HomeModel, HomeServices
from dashtrade.pages.home.view import HomeView
from dashtrade.services import alert_history, bots, kill_switches, overview, report_control, watchlist

UowFactory = Callable[[], UnitOfWork]


class House:
    def __init__(self, uow: UowFactory, user: User) -> None:
        self.away: Exception | None = None
        self.asked = 0
        self.uow, self.user = uow, user

        def mine(service: Callable[..., Any]) -> Callable[..., Any]:
            return lambda *args: service(uow(), user.id, *args)

        services = HomeServices(
            list_bots=mine(bots.list_bots), list_accounts=mine(bots.list_accounts),
            list_positions=mine(bots.list_positions),
            list_signals=mine(bots.list_signals), list_halts=mine(kill_switches.list_halts),
            list_watchlist=mine(watchlist.list_watchlist), quotes=self.quotes, watch=mine(watchlist.watch),
            unwatch=mine(watchlist.unwatch), list_told=mine(alert_history.alert_history),
            list_reports=mine(report_control.view_runs), today=mine(overview.realised_today),
            steps=mine(overview.first_steps), trader_seen=lambda: overview.trader_seen(uow()),
            trader_runs=overview.trader_runs, closes=self.closes,
        )  # fmt: skip
        self.model = HomeModel(services)
        self.view = HomeView(self.model)
        self.model.refresh()

    def closes(self, symbols: Any, source: str | None) -> Any:
        self.asked += 1
        return {"AAPL": 400.0, "IBM": 150.0}

    def quotes(self, symbols: Any, source: str | None) -> Any:
        if self.away and source != "sample":
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
    assert row["symbol"] == {"text": "AAPL", "href": "analysis?symbol=AAPL"}
    assert row["price"] > 0 and row["source"] == "simulated"
    assert row["change"] == pytest.approx((row["price"] / 400 - 1) * 100)
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
    assert "Yahoo cannot be reached" in house.view.attention.value
    assert house.view.watchlist.rows[0]["price"] is None and house.view.messages.text == ""


def test_bots_and_stops_are_shown(house: House) -> None:
    bots.create_bot(house.uow(), house.user.id, NewBot("MSFT", "15", Decimal(500), is_active=True))
    kill_switches.set_halt(house.uow(), reason="<i>enough</i>", set_by="ada", user_id=house.user.id)
    house.model.refresh()
    assert house.view.bots.rows[0]["name"] == "MSFT · 15 Min" and house.view.bots.rows[0]["state"] == "● On"
    assert "1 of 1" in house.view.cards.value
    said = house.view.attention.value
    assert "enough" in said and "<i>" not in said and "The trader has not run yet, but 1 bot is switched on" in said
    assert "Entries stopped" in house.view.system.value


def test_another_users_things_are_not_shown(house: House, make_user: Callable[..., User]) -> None:
    house.follow("IBM")
    other = House(house.uow, make_user("eve"))
    assert other.view.watchlist.rows == []


def test_a_new_person_takes_sample_data_and_first_steps(house: House) -> None:
    view = house.view
    assert "dt-hidden" not in view.welcome._dom_classes and "0 of 4 done" in view.steps.value
    house.away = SourceUnreachable("yahoo", "Yahoo cannot be reached.")
    view.sample.click()
    assert {row["name"] for row in view.watchlist.rows} == {"AAPL", "GOOG", "IBM", "MSFT"}
    assert view.shell.query == "source=sample" and "dt-hidden" in view.welcome._dom_classes
    assert "analysis?symbol=AAPL&amp;source=sample" in view.steps.value
    assert house.asked == 1
    house.model.refresh()
    assert house.asked == 1  # closes are not asked for at every beat
    with house.uow() as uow:
        uow.session.add(UserPreferenceRow(user_id=house.user.id, key="page.analysis", value="{}"))
        uow.commit()
    view.market.click()
    assert "1 of 4 done" in view.steps.value and house.asked == 1 and view.shell.query == ""
    assert "cannot be reached" in view.attention.value


def test_the_widest_move_comes_first_and_what_a_bot_made_today_is_told(house: House) -> None:
    house.follow("IBM")
    house.follow("AAPL")
    moves = [abs(row["change"]) for row in house.view.watchlist.rows]
    assert moves == sorted(moves, reverse=True)
    bot = bots.create_bot(house.uow(), house.user.id, NewBot("MSFT", "15", Decimal(500)))
    now = datetime.now(UTC)
    with house.uow() as uow:
        for at, pnl in ((now, "12.5"), (now, "-2"), (now - timedelta(days=2), "100")):
            uow.session.execute(
                text(
                    "INSERT INTO bot_trades (user_id, bot_config_id, symbol, timeframe, action, purpose, status,"
                    " filled_qty, filled_at, realized_pnl, account_mode) VALUES (:user, :bot, 'MSFT', '15 Min', 'SELL',"
                    " 'exit', 'FILLED', 1, :at, :pnl, 'simulated')"
                ),
                {"user": house.user.id, "bot": bot.id, "at": at, "pnl": Decimal(pnl)},
            )
        uow.commit()
    house.model.refresh()
    assert house.view.bots.rows[0]["today"] == 10.5
    assert "1 of 4 done" in house.view.steps.value
