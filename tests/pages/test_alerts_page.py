"""The alerts page over the real services and a real database; bars by hand."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from types import SimpleNamespace
from typing import Any

import pandas as pd
import pytest
from alert_house import SYMBOL, Context, Market, hourly
from cryptography.fernet import Fernet
from sqlalchemy import select, update

from dashtrade.auth.vault import Vault
from dashtrade.db.tables.alerts import AlertRuleRow, NotificationChannelRow, NotificationDeliveryRow
from dashtrade.domain.alerts import AlertKind, Frequency, NewAlert
from dashtrade.domain.market import Quote
from dashtrade.domain.users import User
from dashtrade.errors import InvalidInput, NotFound
from dashtrade.pages.alerts import drafts, rows
from dashtrade.pages.alerts.kinds import in_words, kinds, parse_values
from dashtrade.pages.alerts.model import AlertsModel, AlertsServices
from dashtrade.pages.alerts.view import AlertsView
from dashtrade.pages.fields import shown
from dashtrade.services import alert_editing, alert_history, alert_rules, channel_entry, channels
from dashtrade.services.alert_conditions import check_of
from dashtrade.services.alert_engine import run_pass, trigger
from dashtrade.services.api_keys import publish_public_key
from dashtrade.settings import Settings

KNOWN = kinds(("doji", "hammer"), ("double_bottom", "bull_flag"))
ATTACK = '<img src=x onerror="attacked=1">'


class House:
    """The page of one user. ``quotes`` are the prices now; ``watched`` the watchlist."""

    def __init__(self, uow: Callable[[], Any], user: User, make_user: Callable[..., User]) -> None:
        self.uow, self.user = uow, user
        self.other = make_user("mallory")
        self.market = Market({SYMBOL: hourly([100.0 + i % 5 for i in range(300)])})
        self.watched = ["AAPL", SYMBOL]
        self.quotes = {SYMBOL: Quote(SYMBOL, Decimal("104.04"), datetime.now(UTC), "test")}
        self.kept: list[Any] = []

        def mine(service: Callable[..., Any]) -> Callable[..., Any]:
            def call(*args: Any, **kw: Any) -> Any:
                with uow() as work:
                    return service(work, user.id, *args, **kw)

            return call

        services = AlertsServices(
            list_alerts=mine(alert_rules.list_alerts),
            add=mine(alert_rules.add_alert),
            update=mine(alert_editing.update_alert),
            remove=mine(alert_rules.remove_alert),
            set_active=mine(alert_rules.set_alert_active),
            trigger=mine(trigger),
            check=alert_editing.check_alert,
            told=mine(alert_history.alert_history),
            problems=mine(alert_history.watch_problems),
            quotes=lambda symbols, source: {s: self.quotes[s] for s in symbols if s in self.quotes},
            watchlist=lambda: self.watched,
            past=lambda new, symbols, **kw: alert_editing.past_alerts(self.market, new, symbols, **kw),  # type: ignore[arg-type]
            list_channels=mine(channels.list_channels),
            add_channel=mine(channel_entry.enter_channel),
            update_channel=mine(channels.update_channel),
            remove_channel=mine(channels.remove_channel),
            test_channel=mine(channels.test_channel),
            list_deliveries=mine(channels.list_deliveries),
            retry=mine(alert_history.retry_delivery),
            remember=self.kept.append,
            kinds=KNOWN,
            sources=("yahoo", "sample"),
        )
        self.model = AlertsModel(services)
        self.view = AlertsView(self.model)
        self.model.restore({})
        self.model.refresh()

    def press(self, table: str, name: str, row: object) -> None:
        getattr(self.view, table)._handle_custom_msg({"type": "action", "name": name, "id": str(row)}, [])

    def add(self, **fields: str) -> int:
        """A rule made in the form, as a person does."""
        view = self.view
        view.kind.value = fields.pop("type")
        for name, text in fields.items():
            (view.params.controls.get(name) or getattr(view, name)).value = text
        view.save.click()
        return max(rule.id for rule in self.rules)

    @property
    def rules(self) -> list[Any]:
        return alert_rules.list_alerts(self.uow(), self.user.id)

    @property
    def said(self) -> str:
        return self.view.messages.text

    def run_engine(self, closes: list[float]) -> list[Any]:
        """One pass over these hourly closes, as if every rule had been on for two days."""
        since = datetime.now(UTC) - timedelta(days=2)
        with self.uow() as work:
            work.session.execute(update(AlertRuleRow).values(active_since=since))
            work.commit()
        return run_pass(Context(Settings(_env_file=None), self.uow, Market({SYMBOL: hourly(closes)})))  # type: ignore[arg-type, call-arg]


@pytest.fixture
def house(uow_factory: Callable[[], Any], make_user: Callable[..., User]) -> House:
    return House(uow_factory, make_user("ada"), make_user)


@pytest.mark.parametrize("kind", KNOWN.values(), ids=list(KNOWN))
def test_a_kinds_form_writes_what_the_engine_reads_and_reads_it_back(kind: Any) -> None:
    raw = {f.name: shown(f.default) or "190.5" for f in kind.fields}
    values = parse_values(kind, raw)
    text = kind.write(values)
    check_of(kind.key, text)
    assert parse_values(kind, kind.read(text)) == values
    assert in_words(KNOWN, kind.key, text) == kind.words(values)


def test_every_kind_of_alert_has_a_form() -> None:
    assert set(KNOWN) == {kind.value for kind in AlertKind}


@pytest.mark.parametrize(
    ("kind", "text", "words"),
    [
        ("price_above", "close crosses_above 150", "Close is above 150"),
        ("percent_move", "5 over 10", "Close moves 5 % or more, up or down, over 10 bars"),
        ("ema_cross", "9 21 above", "EMA 9 crosses above EMA 21"),
        ("rsi_level", "rsi_21 crosses_below 30", "RSI 21 crosses below 30"),
        ("near_level", "support 0.5", "Close is within 0.5 % of support"),
        ("candlestick_pattern", "hammer", "Hammer candlestick pattern"),
        ("signal_change", "BUY", "Signal becomes BUY"),
        ("rsi_level", "something else", "rsi level something else"),
    ],
)
def test_a_condition_is_said_in_words(kind: str, text: str, words: str) -> None:
    assert in_words(KNOWN, kind, text) == words


def test_a_rule_is_made_changed_copied_switched_and_deleted(house: House) -> None:
    assert "No alert yet" in house.view.rules.empty
    house.add(type="price_above", symbol="btc-usd", level="101.5", interval="1h", cooldown="4h", name="Breakout")
    [rule] = house.rules
    assert (rule.symbol, rule.kind, rule.condition, rule.interval) == (SYMBOL, "price_above", "101.5", "1h")
    assert (rule.cooldown, rule.name, rule.frequency) == (timedelta(hours=4), "Breakout", Frequency.ONCE)
    assert house.model.tab == "rules" and "Saved." in house.said and "Close is above 101.5" in house.said

    house.press("rules", "edit", rule.id)
    assert house.model.tab == "new" and house.view.params.controls["level"].value == "101.5"
    house.view.frequency.value, house.view.params.controls["level"].value = "bar", "99"
    house.view.save.click()
    [changed] = house.rules
    assert (changed.id, changed.condition, changed.frequency) == (rule.id, "99", Frequency.BAR)
    assert changed.active_since > rule.active_since, "bars from before the change must not trigger it"

    house.press("rules", "copy", rule.id)
    house.view.save.click()
    assert len(house.rules) == 2
    house.press("rules", "off", rule.id)
    assert [r.is_active for r in house.rules if r.id == rule.id] == [False]
    house.press("rules", "on", rule.id)
    house.press("rules", "delete", rule.id)
    assert [r.id for r in house.rules] == [rule.id + 1]


def test_the_form_says_which_field_is_wrong_and_what_it_may_hold(house: House) -> None:
    view = house.view
    view.symbol.value = "AAPL"
    assert "Price: is empty" in view.blocker.value and view.save.disabled
    view.params.controls["level"].value = "many"
    assert "not a number" in view.blocker.value
    view.kind.value = "rsi_level"
    view.params.controls["level"].value = "101"
    assert "from 0 to 100" in view.blocker.value
    view.params.controls["level"].value = "30"
    assert not view.save.disabled and view.spoken.value.count("RSI 14 is below 30") == 1
    view.cooldown.value = "soon"
    assert "write 30m, 4h or 2d" in view.blocker.value
    view.cooldown.value = ""
    view.kind.value = "rule"
    view.params.controls["rule"].value = "rssi < 3"
    assert "rssi" in view.blocker.value
    view.save.click()
    assert house.rules == []


def test_the_address_fills_the_form_in_and_the_form_writes_the_address(house: House) -> None:
    house.model.restore({"symbol": "AAPL", "type": "price_above", "level": "190", "interval": "1h"})
    assert house.model.tab == "new" and house.view.symbol.value == "AAPL"
    assert house.view.params.controls["level"].value == "190"
    expected = {"tab": "new", "type": "price_above", "level": "190", "symbol": "AAPL", "interval": "1h"}
    assert dict(house.model.query) == expected
    house.model.restore({"type": "price_crosses", "symbol": "IBM", "level": "200"})
    assert house.view.params.controls["rule"].value == "close crosses_above 200 or close crosses_below 200"
    assert house.model.blockers == ()
    house.model.restore({"type": ATTACK, "tab": "rules"})
    assert "not known" in house.said and ATTACK not in house.said


def test_a_watchlist_rule_needs_no_symbol_and_an_expiry_is_the_end_of_a_day(house: House) -> None:
    house.model.zone = "America/New_York"
    house.view.watch.value, house.view.params.controls["level"].value = "watchlist", "10"
    house.view.expires.value = datetime(2100, 6, 30).date()
    house.view.save.click()
    [rule] = house.rules
    assert rule.symbol == "WATCHLIST"
    assert rule.expires_at == datetime(2100, 7, 1, 3, 59, 59, tzinfo=UTC)  # four hours behind in summer
    assert house.view.rules.rows[0]["symbol"] == "Watchlist (2)"
    house.press("rules", "edit", rule.id)
    assert house.view.expires.value == datetime(2100, 6, 30).date()


def test_the_preview_counts_by_hand_and_says_when_last(house: House) -> None:
    closes = [100.0] * 200 + [103, 103, 100, 104, 100, 100]
    house.market.bars[SYMBOL] = hourly(closes)
    house.model.restore({"type": "price_above", "symbol": SYMBOL, "level": "102", "interval": "1h"})
    house.view.preview.click()
    [past] = house.model.past or ()
    assert past.closes == (103.0, 104.0), "only where it becomes true"
    assert "<b>2 times</b>" in house.view.past_words.value and len(house.view.past.rows) == 2
    house.view.frequency.value = "bar"
    assert house.model.past is None, "what was tried is not what is asked now"
    house.view.preview.click()
    assert [p.closes for p in house.model.past or ()] == [(103.0, 103.0, 104.0)]
    house.view.cooldown.value = "2h"
    house.view.preview.click()
    assert [p.closes for p in house.model.past or ()] == [(103.0, 104.0)]
    house.view.watch.value = "watchlist"
    house.view.preview.click()
    assert "AAPL: " in house.view.past_notes.value, "one symbol's failure is told, the others are shown"


def test_the_preview_of_a_signal_looks_at_each_bar(make_bars: Callable[..., pd.DataFrame]) -> None:
    bars = make_bars(120)
    bars[["open", "high", "low", "close"]] *= (
        1 + 0.3 * pd.Series(range(120), index=bars.index).mod(40).to_numpy()[:, None] / 40
    )
    market = SimpleNamespace(history=lambda request, source: bars)
    new = NewAlert("signal_change", "any", "AAPL", "1d", "every")
    [past] = alert_editing.past_alerts(market, new, ["AAPL"])  # type: ignore[arg-type]
    from dashtrade.analysis import signal

    def action(at: int) -> str | None:
        try:
            return signal(bars.iloc[: at + 1]).action.value
        except Exception:  # noqa: BLE001 - too few bars
            return None

    at = [n for n in range(1, 120) if action(n - 1) and action(n) != action(n - 1)]
    firsts = [n for n in at if n - 1 not in at]
    assert past.told == tuple(bars.index[n].to_pydatetime() for n in firsts) and len(firsts) > 1


def test_history_shows_what_fired_the_price_since_and_each_channel(house: House) -> None:
    with house.uow() as work:
        vault = Vault(Fernet.generate_key().decode())
        publish_public_key(work, vault)
    house.view.channel_form.controls["name"].value = "phone"
    house.view.address.value = "ntfy://a-secret-topic"
    house.view.add_channel.click()
    assert house.view.address.value == "" and "phone (ntfy) is added" in house.said
    with house.uow() as work:
        sealed = work.session.scalars(select(NotificationChannelRow.url_encrypted)).one()
    assert "secret" not in sealed
    assert vault.open(sealed, user_id=house.user.id, mode="channel", field="url") == "ntfy://a-secret-topic"

    number = house.add(type="price_above", symbol=SYMBOL, level="101", interval="1h", name=ATTACK)
    [event] = house.run_engine([99.0, 102.0])
    with house.uow() as work:
        state = {"state": "dead", "error": "refused"}
        work.session.execute(update(NotificationDeliveryRow).values(**state))
        work.commit()
    house.model.refresh()
    [row] = house.view.told.rows
    assert (row["symbol"], row["close"], row["now"]) == (SYMBOL, 102.0, 104.04)
    assert row["since"] == pytest.approx(2.0) and row["condition"] == ATTACK
    assert row["sent"] == "✓ program · ✕ phone (refused)" and row["tones"]["sent"] == "bad"
    assert row["chart"]["href"] == "analysis?symbol=BTC-USD&interval=1h"
    assert house.view.rules.rows[0]["state"] == "○ off", "once switches off"
    assert house.view.rules.rows[0]["channels"] == "program, phone"

    house.press("told", "again", event.id)
    with house.uow() as work:
        assert work.session.scalars(select(NotificationDeliveryRow.state)).all() == ["waiting"]
    house.press("rules", "test", number)
    assert len(house.view.told.rows) == 2
    house.press("channels", "test", house.model.overview.channels[0].id)
    assert "Test message from DashTrade" in [row["title"] for row in house.view.deliveries.rows]
    house.press("channels", "off", house.model.overview.channels[0].id)
    assert house.view.channels.rows[0]["state"] == "○ off"
    house.press("channels", "remove", house.model.overview.channels[0].id)
    assert house.view.channels.rows == []


def test_a_rule_goes_through_the_channels_that_are_chosen(house: House) -> None:
    view = house.view
    view.symbol.value, view.params.controls["level"].value, view.through.value = SYMBOL, "101", "some"
    assert "no channel yet" in view.pick_box.children[0].value and "choose one" in view.blocker.value
    with house.uow() as work:
        work.session.add_all(
            NotificationChannelRow(user_id=house.user.id, name=name, service="ntfy", url_encrypted="x")
            for name in ("phone", ATTACK)
        )
        work.commit()
    house.model.refresh()
    phone, attack = (c.id for c in sorted(house.model.overview.channels, key=lambda c: c.name != "phone"))
    assert house.model.draft["channels"] == "some", "what was chosen is kept"
    view.picks[phone].value = True
    number = house.add(type="price_above", symbol=SYMBOL, level="101", interval="1h")
    assert alert_rules.get_alert(house.uow(), house.user.id, number).channels == (phone,)
    assert view.rules.rows[0]["channels"] == "program, phone" and "through phone" in house.said
    house.press("rules", "edit", number)
    assert view.through.value == "some" and view.picks[phone].value and not view.picks[attack].value
    view.through.value = "program"
    view.save.click()
    assert alert_rules.get_alert(house.uow(), house.user.id, number).channels == ()
    assert view.rules.rows[0]["channels"] == "program"
    house.model.restore({"symbol": SYMBOL, "level": "1", "channels": "some 1; drop"})
    assert "is not known" in house.view.blocker.value


def test_a_channel_that_cannot_be_sealed_or_read_is_refused_without_its_address(house: House) -> None:
    house.view.channel_form.controls["name"].value = "phone"
    house.view.address.value = "ntfy://a-secret-topic"
    house.view.add_channel.click()
    assert "before the trader has started once" in house.said and "secret" not in house.said
    with house.uow() as work:
        publish_public_key(work, Vault(Fernet.generate_key().decode()))
    house.view.address.value = "nonsense-secret"
    house.view.add_channel.click()
    assert "is not a channel" in house.said and "secret" not in house.said
    assert house.view.address.value == "nonsense-secret", "what was typed can be mended"


def test_another_users_rules_and_messages_are_out_of_reach(house: House) -> None:
    number = house.add(type="price_above", symbol=SYMBOL, level="101", interval="1h")
    new = NewAlert("price_above", "1", "AAPL")
    with house.uow() as work:
        with pytest.raises(NotFound):
            alert_editing.update_alert(work, house.other.id, number, new)
        with pytest.raises(NotFound):
            alert_history.retry_delivery(work, house.other.id, 1)
        assert alert_history.alert_history(work, house.other.id) == []
        assert alert_history.watch_problems(work, house.other.id) == {}


def test_bars_that_cannot_be_read_are_a_remark_on_the_rule(house: House) -> None:
    house.add(type="price_above", symbol="AAPL", level="101", interval="1h")
    run_pass(Context(Settings(_env_file=None), house.uow, Market({})))  # type: ignore[arg-type, call-arg]
    house.model.refresh()
    assert "did not answer" in house.view.rules.rows[0]["remark"]


@pytest.mark.parametrize(("text", "seconds"), [("", 0), ("30m", 1800), ("4h", 14_400), ("2d", 172_800)])
def test_spans(text: str, seconds: int) -> None:
    assert drafts.span(text).total_seconds() == seconds
    assert drafts.span_text(timedelta(seconds=seconds)) == text


def test_an_unknown_span_or_day_is_refused() -> None:
    for wrong in ("4 weeks", "-1h", "1.5h"):
        with pytest.raises(InvalidInput, match="30m, 4h or 2d"):
            drafts.span(wrong)
    with pytest.raises(InvalidInput, match="2030-12-31"):
        drafts.end_of_day("soon", "UTC")


def test_values_are_told_as_text() -> None:
    assert rows.values_text({"close": 101.5, "rsi": 28.437, "pattern": "hammer", "x": 0.00123}) == (
        "rsi 28.44, pattern hammer, x 0.00123"
    )
