"""The portfolio page over the real services and a real database; bars from a fake source."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
import pytest

from dashtrade.domain.bot_views import AccountView, PositionView
from dashtrade.domain.market import HistoryRequest
from dashtrade.domain.strategy import Strategy
from dashtrade.domain.users import User
from dashtrade.errors import SourceUnreachable, UnknownSymbol
from dashtrade.pages.portfolio import rows
from dashtrade.pages.portfolio.model import PortfolioModel, PortfolioServices
from dashtrade.pages.portfolio.view import PortfolioView
from dashtrade.services import watching, watchlist, watchlists
from dashtrade.services.equity import EquityPoint
from dashtrade.services.portfolio import read_book
from dashtrade.strategies import parse_condition

MakeBars = Callable[..., pd.DataFrame]


class House:
    """The page of one user, whose source may fail and whose book is given."""

    def __init__(self, make_bars: MakeBars, uow: Callable[[], Any], user: User) -> None:
        self.make_bars, self.uow, self.user = make_bars, uow, user
        self.errors: dict[str, Exception] = {}
        self.accounts: list[AccountView] = []
        self.positions: list[PositionView] = []
        self.kept: list[Any] = []

        def mine(service: Callable[..., Any]) -> Callable[..., Any]:
            return lambda *args, **kw: service(uow(), user.id, *args, **kw)

        watch, listed = mine(watchlist.watch), mine(watchlist.list_watchlist)
        put_in, take_out, unwatch = mine(watchlists.put_in), mine(watchlists.take_out), mine(watchlist.unwatch)
        self.history_of: dict[str, list[EquityPoint]] = {}
        self.saved: list[Any] = []
        services = PortfolioServices(
            read=lambda source, within, **kw: watching.read_watchlist(self, listed(within), source, **kw),
            book=lambda source, benchmark, **kw: read_book(
                self, self.accounts, self.positions, [], source, benchmark=benchmark, history=self.history_of, **kw
            ),
            add=lambda symbol, notes, within: (
                put_in(within, symbol, notes=notes) if within else watch(symbol, notes=notes)
            ),
            remove=lambda symbol, within: take_out(within, symbol) if within else unwatch(symbol),
            lists=mine(watchlists.list_names),
            create_list=mine(watchlists.create_list),
            rename_list=mine(watchlists.rename_list),
            delete_list=mine(watchlists.delete_list),
            rules=lambda: watching.entry_rules(self.saved),
            note=mine(watchlist.set_notes),
            import_csv=partial(watching.import_watchlist, uow, user.id),
            scan=watching.scan,
            parse_rule=parse_condition,
            sources=("yahoo", "sample"),
            remember=self.kept.append,
        )
        self.model = PortfolioModel(services)
        self.view = PortfolioView(self.model)
        self.model.restore({})
        self.model.refresh()

    def history(self, request: HistoryRequest, source: str | None = None) -> pd.DataFrame:
        if request.symbol in self.errors and source != "sample":
            raise self.errors[request.symbol]
        bars = self.make_bars(260)
        if request.symbol == "DOWN":
            bars[["open", "high", "low", "close"]] = 500 - bars[["open", "low", "high", "close"]].to_numpy()
        bars.attrs.update(symbol=request.symbol, source=source or "yahoo")
        return bars

    def add(self, symbols: str, notes: str = "") -> None:
        self.view.symbols.value, self.view.notes.value = symbols, notes
        self.view.add.click()

    def press(self, name: str, symbol: str) -> None:
        self.view.watch._handle_custom_msg({"type": "action", "name": name, "id": symbol}, [])

    def upload(self, text: str) -> None:
        self.view.upload.value = ({"name": "x.csv", "type": "text/csv", "size": 1, "content": text.encode(),
                                   "last_modified": pd.Timestamp("2024-01-01", tz="UTC").to_pydatetime()},)  # fmt: skip

    @property
    def stored(self) -> dict[str, str | None]:
        return {w.symbol: w.notes for w in watchlist.list_watchlist(self.uow(), self.user.id)}

    @property
    def said(self) -> str:
        return self.view.messages.text


@pytest.fixture
def house(make_bars: MakeBars, uow_factory: Callable[[], Any], make_user: Callable[..., User]) -> House:
    return House(make_bars, uow_factory, make_user("ada"))


def test_a_symbol_added_is_stored_and_read(house: House) -> None:
    house.add("nasdaq:up, DOWN", "<b>why</b>")
    assert house.stored == {"UP": "<b>why</b>", "DOWN": "<b>why</b>"}
    up, down = house.view.watch.rows
    closes = house.history(HistoryRequest.parse("UP"))["close"]
    assert up["price"] == closes.iloc[-1]
    assert up["change"] == pytest.approx((closes.iloc[-1] / closes.iloc[-2] - 1) * 100)
    assert (up["trend"], down["trend"]) == ("▲ up", "▼ down")
    assert up["spark"] == closes.iloc[-60:].tolist() and 50 < up["rsi"] <= 100 and down["rsi"] < 50
    assert house.view.symbols.value == "" and "dt-hidden" in house.view.sample._dom_classes
    house.add("UP")
    assert "Watched already: UP" in house.said and len(house.stored) == 2


def test_nothing_is_added_where_one_is_not_a_ticker(house: House) -> None:
    house.add("UP, <i>")
    assert house.stored == {} and "not a ticker" in house.said and "<i>" not in house.said
    house.add("  ")
    assert "type a ticker" in house.said


def test_a_forming_bar_gives_the_price_but_not_the_reading(house: House, make_bars: MakeBars) -> None:
    def forming(n: int) -> pd.DataFrame:
        bars = make_bars(n, last_bar_closed=False)
        bars.iloc[-1, bars.columns.get_loc("close")] = 5000.0
        return bars

    house.make_bars = forming
    house.add("UP")
    [row] = house.view.watch.rows
    assert row["price"] == 5000.0
    closed = make_bars(260).iloc[:-1]
    from dashtrade.indicators import indicator

    assert row["rsi"] == pytest.approx(float(indicator(closed, "rsi").iloc[-1]))
    assert len(house.model.watched.bars["UP"]) == 259


def test_notes_and_removal_reach_the_database_from_the_row(house: House) -> None:
    house.add("UP,DOWN")
    house.press("note", "UP")
    assert house.view.note.description == "Note on UP"
    house.view.note.value = "new"
    house.view.save_note.click()
    assert house.stored == {"UP": "new", "DOWN": None} and "dt-hidden" in house.view.note_box._dom_classes
    house.press("remove", "DOWN")
    assert list(house.stored) == ["UP"] and "no longer watched" in house.said
    house.press("remove", "DOWN")  # gone from the table: dropped
    house.model.attempt(house.model.row_action, "remove", "DOWN")  # past the table: the service refuses
    assert "not on the watchlist" in house.said


def test_a_symbol_that_fails_keeps_its_row_with_the_reason(house: House) -> None:
    house.errors["NOPE"] = UnknownSymbol("yahoo", "There is no NOPE.")
    house.add("UP,NOPE")
    assert [row["problem"] for row in house.view.watch.rows] == ["", "There is no NOPE."]
    assert house.view.watch.rows[1]["price"] is None and list(house.model.watched.bars) == ["UP"]


def test_a_source_that_is_away_offers_sample_data(house: House) -> None:
    house.errors["UP"] = SourceUnreachable("yahoo", "It cannot be reached.")
    house.add("UP")
    assert "cannot be reached" in house.said and house.view.messages.action.description == "Use sample data"
    house.view.messages.action.click()
    assert house.model.source == "sample" and "Sample data" in house.view.badge.value
    assert "UP" in [row["name"] for row in house.view.watch.rows]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("symbol,notes\naapl,hello\nIBM,\n", {"AAPL": "hello", "IBM": None}),
        ("\ufeffName,Symbol,Price\nApple,AAPL,1\n", {"AAPL": None}),
        ("AAPL\n\nIBM,an old one\n", {"AAPL": None, "IBM": "an old one"}),
        ("Symbol,Notes\nAAPL,'=1+1\n", {"AAPL": "=1+1"}),  # as the table's own CSV defuses it
        ("Symbol,Notes\nAAPL,'\uff1d1+1\n", {"AAPL": "\uff1d1+1"}),
    ],
)
def test_a_file_is_imported(house: House, text: str, expected: dict[str, str | None]) -> None:
    house.upload(text)
    assert house.stored == expected and f"{len(expected)} added" in house.said
    house.upload(text)
    assert house.stored == expected and f"{len(expected)} watched already" in house.said


def test_bad_lines_of_a_file_are_named_and_the_rest_is_taken(house: House) -> None:
    house.upload("symbol\nAAPL\n<script>\n")
    assert list(house.stored) == ["AAPL"] and "Line 3" in house.said and "<script>" not in house.said
    house.upload("\n \n")
    assert "has no symbols" in house.said
    house.upload("x" * 200_001)
    assert "longer than" in house.said


def test_the_scanner_finds_where_a_rule_is_true_now(house: House) -> None:
    house.add("UP,DOWN")
    house.view.rule.value = "price > 300"
    house.view.run.click()
    up, down = house.view.found.rows
    assert (up["name"], up["now"], down["now"]) == ("UP", "✓ true", "– not true")
    closes = house.history(HistoryRequest.parse("UP"))["close"].to_numpy()
    above = closes > 300
    began = np.flatnonzero(above & ~np.r_[False, above[:-1]])
    index = house.model.watched.bars["UP"].index
    assert up["since"] == index[began[-1]].timestamp() and up["times"] == len(began)
    assert house.view.found.caption == "True for 1 of 2" and house.kept[-1]["rule"] == "price > 300"
    house.view.rule.value = "price > 1"  # true since before the first bar
    house.view.run.click()
    assert [(r["since"], r["times"], r["now"]) for r in house.view.found.rows] == [(None, 0, "✓ true")] * 2
    house.view.rule.value = "prise > 300"
    assert house.view.run.disabled and "prise" in house.view.blocker.value and house.model.hits is None


def test_a_scan_of_nothing_says_so(house: House) -> None:
    house.view.run.click()
    assert "nothing to scan" in house.said


def view_of(mode: str, equity: str | None, last: str | None) -> AccountView:
    values = [None if text is None else Decimal(text) for text in (equity, last, equity, equity)]
    return AccountView(mode, *values, False, None, None, None, None)


def test_accounts_and_holdings_are_priced_and_measured(house: House) -> None:
    opened = pd.Timestamp("2024-05-01", tz="UTC").to_pydatetime()
    house.accounts = [view_of("paper", "10000", "10250"), view_of("live", None, None)]
    house.positions = [
        PositionView(1, "UP", "paper", Decimal(10), Decimal(100), Decimal(1000), opened),
        PositionView(2, "DOWN", "paper", Decimal(-2), Decimal(200), Decimal(-400), opened),
    ]
    house.view.tabs["holdings"].click()
    up = house.view.holdings.rows[0]
    price = round(float(house.history(HistoryRequest.parse("UP"))["close"].iloc[-1]), 6)
    assert up["value"] == pytest.approx(10 * price) and up["unrealised"] == pytest.approx(10 * (price - 100))
    text = house.view.accounts.value
    assert (
        "▼ −$250.00" in text and "−2.4\u202f%" in text and "VaR 95 %" in text and "Correlation of the holdings" in text
    )
    assert "Live account" in text and "DOWN and UP" in text
    risk = house.model.book.risks["paper"]
    prices = {s: house.history(HistoryRequest.parse(s))["close"].pct_change().dropna() for s in ("UP", "DOWN")}
    down_price = float(house.history(HistoryRequest.parse("DOWN"))["close"].iloc[-1])
    expected = prices["UP"] * (10 * price) / 10_000 - prices["DOWN"] * 2 * down_price / 10_000
    np.testing.assert_allclose(risk.returns, expected, rtol=1e-6)


def test_a_holding_without_a_price_is_said(house: House) -> None:
    house.errors["GONE"] = UnknownSymbol("yahoo", "There is no GONE.")
    house.accounts = [view_of("paper", "100", "100")]
    opened = pd.Timestamp("2024-05-01", tz="UTC").to_pydatetime()
    house.positions = [PositionView(1, "GONE", "paper", Decimal(1), Decimal(1), Decimal(1), opened)]
    house.view.tabs["holdings"].click()
    assert house.view.holdings.rows[0]["price"] is None and "GONE has no price" in house.view.book_notes.value


def test_values_past_the_menus_are_refused(house: House) -> None:
    for name in ("tab", "source"):
        house.model.attempt(setattr, house.model, name, "<x>")
        assert "Allowed" in house.said
    house.model.restore({"tab": "x", "rule": "rsi < 20"})
    house.model.refresh()
    assert house.model.rule == "rsi < 20" and "Allowed" in house.said


def test_another_users_watchlist_is_not_seen(
    house: House, make_bars: MakeBars, uow_factory: Callable[[], Any], make_user: Callable[..., User]
) -> None:
    house.add("UP")
    other = House(make_bars, uow_factory, make_user("eve"))
    assert other.view.watch.rows == []


def test_signs_are_typographic() -> None:
    assert rows.money(Decimal("-1234.5")) == "−$1,234.50" and rows.percent(-0.0123) == "−1.2\u202f%"
    assert rows.money(None) == rows.percent(None) == rows.percent(float("nan")) == "–"


def hidden(widget: Any) -> bool:
    return "dt-hidden" in widget._dom_classes


def test_lists_are_made_filled_renamed_and_deleted_on_the_page(house: House) -> None:
    view = house.view
    house.add("UP,DOWN,FLAT")
    assert hidden(view.rename) and hidden(view.delete.ask)
    view.list_name.value = "Rising"
    view.create.click()
    assert house.model.chosen == "Rising" and view.watch.rows == [] and "Nothing is in Rising" in view.watch.empty
    house.add("UP, NEW")
    assert [row["name"] for row in view.watch.rows] == ["UP", "NEW"] and len(house.stored) == 4
    assert view.chosen.options[1] == ("Rising (2)", "Rising") and house.kept[-1]["list"] == "Rising"
    house.upload("symbol\nDOWN\n")
    house.press("remove", "UP")
    assert [row["name"] for row in view.watch.rows] == ["DOWN", "NEW"] and "stays watched" in house.said
    view.list_name.value = "  Best of all "
    view.rename.click()
    assert view.chosen.label == "Best of all (2)" and view.watch.caption == "Best of all"
    view.list_name.value = "all symbols"
    view.create.click()
    assert "whole watchlist" in house.said and house.model.chosen == "Best of all"
    view.delete.ask.click()
    view.delete.yes.click()
    assert house.model.chosen == "" and len(view.watch.rows) == 4 and len(view.chosen.options) == 1
    house.model.restore({"list": "Best of all"})
    house.model.refresh()
    assert "Best of all" in house.said and "is not known" in house.said and len(view.watch.rows) == 4


def test_a_strategys_entry_rule_is_scanned_over_the_chosen_list(house: House) -> None:
    house.saved = [
        Strategy("Mine", long_entry=parse_condition("price > 300"), short_entry=parse_condition("price < 300"))
    ]
    house.model.restore({})
    house.add("UP,DOWN")
    view = house.view
    assert [label for label, _ in view.rule_from.options][:3] == ["Your own rule", "Mine", "Mine (short)"]
    view.rule_from.value = "Mine (short)"
    assert view.rule.value == "close < 300"
    view.run.click()
    assert {row["name"]: row["now"] for row in view.found.rows} == {"DOWN": "✓ true", "UP": "– not true"}
    view.rule.value = "price < 299"
    assert view.rule_from.label == "Your own rule"
    view.rule.value = "price < 300"
    house.model.create_list("One")
    house.add("UP")
    view.run.click()
    assert [row["name"] for row in view.found.rows] == ["UP"]


def test_a_scan_tells_how_far_it_is_and_stops_when_cancelled(make_bars: MakeBars) -> None:
    bars, told = {name: make_bars(30) for name in ("A", "B", "C")}, []
    hits = watching.scan(bars, "price > 1", progress=lambda *a: told.append(a), cancelled=lambda: len(told) > 1)
    assert [hit.symbol for hit in hits] == ["A", "B"]
    assert told == [(0.0, "Scanning A"), (pytest.approx(1 / 3), "Scanning B")]


def test_patterns_of_the_newest_bars_are_named_and_later_bars_decide_nothing(make_bars: MakeBars) -> None:
    bars = make_bars(60)
    last = bars.index[-1]
    before, after = bars.iloc[-2].copy(), bars.iloc[-1].copy()
    before[["open", "high", "low", "close"]] = [120.0, 120.5, 109.5, 110.0]
    after[["open", "high", "low", "close"]] = [108.0, 123.5, 107.5, 123.0]  # engulfs the fall of the day before
    bars.iloc[-2], bars.iloc[-1] = before, after
    found = watching.newest_patterns(bars)
    assert ("Engulfing", 1, last.to_pydatetime()) in [(m.name, m.direction, m.time) for m in found]
    assert "Engulfing" not in [mark.name for mark in watching.newest_patterns(bars.iloc[:-1])]
    assert [mark.time for mark in found] == sorted((mark.time for mark in found), reverse=True)


def test_an_accounts_curve_is_drawn_from_100_beside_the_benchmark(house: House) -> None:
    days = [pd.Timestamp(f"2024-05-{n:02d}").date() for n in (6, 7, 8, 9)]
    values = (10_000, 10_100, 9_898, 9_898)
    house.history_of = {"paper": [EquityPoint(d, Decimal(v)) for d, v in zip(days, values, strict=True)]}
    house.accounts = [view_of("paper", "9898", "9898")]
    house.view.tabs["holdings"].click()
    account, benchmark = house.view.curve.figure.marks
    np.testing.assert_allclose(account.y, [100, 101, 98.98, 98.98])
    closes = house.history(HistoryRequest.parse("SPY"))["close"].loc["2024-05-06":"2024-05-09"]
    np.testing.assert_allclose(benchmark.y, closes / closes.iloc[0] * 100)
    np.testing.assert_allclose(house.view.fall.figure.marks[0].y, [0, 0, 98.98 / 101 - 1, 98.98 / 101 - 1])
    first, *_, oldest = house.view.days.rows
    assert first["id"] == "2024-05-09" and first["change"] == 0 and first["drawdown"] == pytest.approx(-2)
    assert oldest["change"] is None and oldest["benchmark"] == pytest.approx(closes.iloc[0])
    house.errors["QQQ"] = UnknownSymbol("yahoo", "There is no QQQ.")
    house.view.benchmark.value = "qqq"
    assert "There is no QQQ" in house.view.book_notes.value and len(house.view.curve.figure.marks) == 1
    house.view.benchmark.value = "<i>"
    assert "not a ticker" in house.said and house.model.benchmark == "QQQ"


def test_an_account_without_two_days_has_no_curve_and_says_when(house: House) -> None:
    house.history_of = {"paper": [EquityPoint(pd.Timestamp("2024-05-06").date(), Decimal(1))]}
    house.view.tabs["holdings"].click()
    assert hidden(house.view.curve_parts) and "No curve yet" in house.view.curve_note.value
