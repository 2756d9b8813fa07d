"""Named lists of the watchlist, rules that watch one of them, and accounts' equity by day, on a real database."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import select, update

from dashtrade.data.sessions import ExchangeHours
from dashtrade.db.tables.trading import AccountRow
from dashtrade.db.unit_of_work import UnitOfWork
from dashtrade.domain.alerts import NewAlert
from dashtrade.domain.bot_views import NewBot
from dashtrade.domain.users import User
from dashtrade.errors import InvalidInput, NotFound
from dashtrade.services import alert_editing, alert_rules, bots, equity, watchlist, watchlists
from dashtrade.services.alert_engine import _groups
from dashtrade.settings import Settings

UowFactory = Callable[[], UnitOfWork]


@pytest.fixture
def ada(make_user: Callable[..., User]) -> User:
    return make_user("ada")


def symbols(uow: UowFactory, user: User, within: str = "") -> list[str]:
    return [w.symbol for w in watchlist.list_watchlist(uow(), user.id, within)]


def test_a_symbol_is_watched_once_and_may_be_in_several_lists(uow_factory: UowFactory, ada: User) -> None:
    for name in (" Tech  shares ", "Cheap"):
        watchlists.create_list(uow_factory(), ada.id, name)
    assert watchlists.put_in(uow_factory(), ada.id, "Tech shares", "aapl", notes="why")
    assert not watchlists.put_in(uow_factory(), ada.id, "Tech shares", "AAPL")
    assert watchlists.put_in(uow_factory(), ada.id, "Cheap", "AAPL")
    watchlists.put_in(uow_factory(), ada.id, "Cheap", "IBM")
    assert [(one.name, one.symbols) for one in watchlists.list_names(uow_factory(), ada.id)] == [
        ("Cheap", 2),
        ("Tech shares", 1),
    ]
    assert symbols(uow_factory, ada) == ["AAPL", "IBM"] and symbols(uow_factory, ada, "Cheap") == ["AAPL", "IBM"]
    watchlists.take_out(uow_factory(), ada.id, "Cheap", "AAPL")
    assert symbols(uow_factory, ada, "Cheap") == ["IBM"] and symbols(uow_factory, ada) == ["AAPL", "IBM"]
    with pytest.raises(NotFound, match="not in 'Cheap'"):
        watchlists.take_out(uow_factory(), ada.id, "Cheap", "AAPL")
    watchlist.unwatch(uow_factory(), ada.id, "AAPL")  # and with it every list
    assert watchlists.contents(uow_factory(), ada.id) == {"Cheap": ("IBM",), "Tech shares": ()}
    watchlists.delete_list(uow_factory(), ada.id, "Cheap")
    assert symbols(uow_factory, ada) == ["IBM"]


def test_names_are_checked_and_another_users_lists_are_not_there(
    uow_factory: UowFactory, ada: User, make_user: Callable[..., User], monkeypatch: pytest.MonkeyPatch
) -> None:
    eve = make_user("eve")
    watchlists.create_list(uow_factory(), ada.id, "Tech")
    for name, why in (("tech", "already"), ("", "1 to 60"), ("x" * 61, "1 to 60"), ("a\x00b", "plain"),
                      ("all SYMBOLS", "whole watchlist")):  # fmt: skip
        with pytest.raises(InvalidInput, match=why):
            watchlists.create_list(uow_factory(), ada.id, name)
    for call in (
        lambda: watchlists.put_in(uow_factory(), eve.id, "Tech", "AAPL"),
        lambda: watchlists.delete_list(uow_factory(), eve.id, "Tech"),
        lambda: watchlists.rename_list(uow_factory(), eve.id, "Tech", "Mine"),
        lambda: alert_rules.add_alert(uow_factory(), eve.id, NewAlert("price_above", "1", None, within="Tech")),
    ):
        with pytest.raises(NotFound, match="There is no list 'Tech'"):
            call()
    assert watchlists.list_names(uow_factory(), eve.id) == [] and symbols(uow_factory, eve) == []
    assert watchlists.rename_list(uow_factory(), ada.id, "Tech", "TECH") == "TECH"
    monkeypatch.setattr(watchlists, "MOST_LISTS", 1)
    with pytest.raises(InvalidInput, match="delete one first"):
        watchlists.create_list(uow_factory(), ada.id, "More")


def test_a_rule_watches_one_list_and_keeps_it_from_being_deleted(uow_factory: UowFactory, ada: User) -> None:
    watchlist.watch(uow_factory(), ada.id, "MSFT")
    watchlists.create_list(uow_factory(), ada.id, "Tech")
    for symbol in ("AAPL", "IBM"):
        watchlists.put_in(uow_factory(), ada.id, "Tech", symbol)
    whole = alert_rules.add_alert(uow_factory(), ada.id, NewAlert("price_above", "1", None))
    rule = alert_rules.add_alert(uow_factory(), ada.id, NewAlert("price_above", "1", None, within="Tech"))
    assert (rule.within, whole.within) == ("Tech", "")
    with pytest.raises(InvalidInput, match="not both"):
        alert_rules.add_alert(uow_factory(), ada.id, NewAlert("price_above", "1", "AAPL", within="Tech"))

    def watched() -> dict[int, set[str]]:
        found: dict[int, set[str]] = {}
        for group, rules in _groups(Context(uow_factory), datetime.now(UTC), None).items():
            for one in rules:
                found.setdefault(one.id, set()).add(group.symbol)
        return found

    assert watched() == {whole.id: {"MSFT", "AAPL", "IBM"}, rule.id: {"AAPL", "IBM"}}
    watchlists.rename_list(uow_factory(), ada.id, "Tech", "Big")
    assert alert_rules.get_alert(uow_factory(), ada.id, rule.id).within == "Big"
    with pytest.raises(InvalidInput, match="An alert watches 'Big'"):
        watchlists.delete_list(uow_factory(), ada.id, "Big")
    changed = alert_editing.update_alert(uow_factory(), ada.id, rule.id, NewAlert("price_above", "2", "MSFT"))
    assert (changed.within, changed.list_id) == ("", None)
    watchlists.delete_list(uow_factory(), ada.id, "Big")
    assert watched()[rule.id] == {"MSFT"}


class Context:
    """What jobs work with."""

    settings = Settings(_env_file=None)

    def __init__(self, uow: UowFactory) -> None:
        self.uow = uow

    def alert_market(self, order: Any = None) -> Any:
        raise AssertionError("nothing is to be fetched")


# 2024-07-03 closed at 13:00 New York (17:00 UTC), the 4th was a holiday, the 5th a Friday
@pytest.mark.parametrize(
    ("at", "expected"),
    [
        ("2024-07-02 15:00", (date(2024, 7, 1), "90", True)),  # in the session: the close before, from the broker
        ("2024-07-02 20:00", (date(2024, 7, 2), "100", False)),  # at the close itself
        ("2024-07-03 17:30", (date(2024, 7, 3), "100", False)),  # after a half day
        ("2024-07-04 15:00", (date(2024, 7, 3), "100", False)),  # on a holiday
        ("2024-07-07 12:00", (date(2024, 7, 5), "100", False)),  # on a Sunday
        ("2024-07-08 13:00", (date(2024, 7, 5), "100", False)),  # on Monday before the opening
        ("2024-07-08 13:30", (date(2024, 7, 5), "90", True)),
    ],
)
def test_a_reading_belongs_to_the_trading_day_that_ended(at: str, expected: tuple[date, str, bool]) -> None:
    moment = datetime.fromisoformat(at).replace(tzinfo=UTC)
    found = equity.reading_of(ExchangeHours(), moment, Decimal(100), Decimal(90), Decimal(5))
    assert found is not None and (found.day, str(found.equity), found.official) == expected
    assert equity.reading_of(ExchangeHours(), moment, None, None, None) is None


def test_one_value_a_day_is_kept_and_the_brokers_own_close_replaces_it(
    uow_factory: UowFactory, ada: User, make_user: Callable[..., User]
) -> None:
    bots.create_bot(uow_factory(), ada.id, NewBot("AAPL", "15", Decimal(500)))

    def read(at: str, value: str, last: str) -> int:
        with uow_factory() as uow:
            moment = datetime.fromisoformat(at).replace(tzinfo=UTC)
            values = {"refreshed_at": moment, "equity": Decimal(value), "last_equity": Decimal(last)}
            uow.session.execute(update(AccountRow).values(**values, cash=Decimal(7)))
            uow.commit()
        return int(str(equity.record_equity(Context(uow_factory))))

    assert equity.record_equity(Context(uow_factory)) == 0  # nobody has read the account yet
    assert read("2024-07-01 20:05", "1000", "990") == 1
    assert read("2024-07-01 23:00", "1003", "990") == 0  # moves after hours are not the day's end
    assert read("2024-07-02 15:00", "1100", "1001.5") == 1  # what the broker calls the last close
    assert read("2024-07-02 15:30", "1200", "1001.5") == 0
    assert read("2024-07-02 20:30", "1010", "1001.5") == 1
    points = equity.equity_history(uow_factory(), ada.id)["simulated"]
    assert [(p.day, p.equity) for p in points] == [
        (date(2024, 7, 1), Decimal("1001.5")),
        (date(2024, 7, 2), Decimal(1010)),
    ]
    assert equity.equity_history(uow_factory(), make_user("eve").id) == {}
    with uow_factory() as uow:
        assert uow.session.scalar(select(AccountRow.user_id)) == ada.id
    assert points[1].day - points[0].day == timedelta(days=1)
