"""The bot page over the real services and a real database; only the webhook is a small local server."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest
from sqlalchemy import update

from dashtrade.db.tables.trading import HaltRow
from dashtrade.db.unit_of_work import UnitOfWork
from dashtrade.domain.bots import BotConfig, BotTimeframe
from dashtrade.domain.users import User
from dashtrade.errors import DatabaseUnavailable
from dashtrade.pages.bot.alerting import WebhookAway, post_alert
from dashtrade.pages.bot.messages import KINDS, alert_message, trial_body
from dashtrade.pages.bot.model import CALM_BEATS, BotModel
from dashtrade.pages.bot.services import AlertAnswer, BotServices
from dashtrade.pages.bot.view import BotView
from dashtrade.services import bot_changes, bot_connection, bot_day, bot_replay, bots, kill_switches
from webhook.payload import parse_payload

UowFactory = Callable[[], UnitOfWork]


class House:
    """The page of one user. ``answer`` is what the webhook will say."""

    def __init__(self, uow: UowFactory, user: User, **query: str) -> None:
        self.user = user
        self.sent: list[tuple[str, str]] = []
        self.answer = AlertAnswer(200, '{"status": "success"}', 12.5)
        self.broken: Exception | None = None
        self.prices: dict[str, Decimal] = {}
        self.performance: Any = None

        def mine(service: Callable[..., Any]) -> Callable[..., Any]:
            def call(*args: Any, **kw: Any) -> Any:
                if self.broken:
                    raise self.broken
                return service(uow(), user.id, *args, **kw)

            return call

        services = BotServices(
            latest_change=mine(bot_changes.latest_change),
            list_bots=mine(bots.list_bots), list_positions=mine(bots.list_positions),
            list_trades=mine(bots.list_trades), list_signals=mine(bots.list_signals),
            list_risk_events=mine(bots.list_risk_events),
            list_tokens=mine(bots.list_tokens), list_halts=mine(kill_switches.list_halts),
            realized_today=mine(bot_day.realized_today), prices=lambda symbols: self.prices,
            create_bot=lambda new, phrase: mine(bots.create_bot)(new, passphrase=phrase),
            update_bot=lambda number, changes: mine(bots.update_bot)(number, **changes),
            set_bot_active=mine(bots.set_bot_active), delete_bot=mine(bots.delete_bot),
            create_token=lambda bot_id, label: mine(bots.create_token)(bot_id=bot_id, label=label),
            revoke_token=mine(bots.revoke_token),
            halt=lambda reason, symbol: kill_switches.set_halt(
                uow(), reason=reason, set_by=user.username, user_id=user.id, symbol=symbol
            ),
            resume=lambda number: kill_switches.clear_halt(uow(), number, cleared_by=user.username, user_id=user.id),
            connection=mine(bot_connection.connection), ask_connection=mine(bot_connection.ask_connection),
            strategies=lambda: ["ema_cross", "<i>mine</i>"], compare=self.compare,
            replay=lambda number, proposed, equity: mine(bot_replay.replay_alerts)(number, proposed, equity=equity),
            send_alert=self.send, webhook_base="http://127.0.0.1:8080",
        )  # fmt: skip
        self.model = BotModel(services)
        self.view = BotView(self.model)
        self.model.restore(query)
        self.model.refresh()

    def compare(self, _bot_id: int) -> Any:
        if isinstance(self.performance, Exception):
            raise self.performance
        return self.performance

    def send(self, token: str, body: str) -> AlertAnswer:
        self.sent.append((token, body))
        return self.answer

    def press(self, table: Any, name: str, row_id: int) -> None:
        table._handle_custom_msg({"type": "action", "name": name, "id": row_id}, [])

    @property
    def said(self) -> str:
        return self.view.messages.text


@pytest.fixture
def house(uow_factory: UowFactory, make_user: Callable[..., User]) -> House:
    return House(uow_factory, make_user("ada"))


def form_of(house: House, name: str) -> Any:
    setup = house.view.setup
    return next(form for form in (setup.basics, setup.limits, setup.switches) if name in form.controls)


def make_bot(house: House, **texts: str) -> int:
    for name, text in texts.items():
        form_of(house, name).controls[name].value = text
    house.view.setup.create.click()
    assert "is there" in house.said
    return house.model.snapshot.bots[-1].id


def test_a_new_user_is_led_to_the_set_up(house: House) -> None:
    assert house.model.tab == "setup"
    assert "dt-hidden" in house.view.sections["overview"]._dom_classes
    assert "dt-hidden" not in house.view.sections["setup"]._dom_classes
    assert "Create a bot first" in house.view.setup.paste.value


def test_creating_a_bot_writes_what_the_form_says(house: House, uow_factory: UowFactory) -> None:
    make_bot(
        house, symbol="nasdaq:msft", timeframe="15 Min", position_size="1,500.50", direction="long_short",
        daily_loss_limit="200", max_position_size="3000", risk_limit_percent="5",
    )  # fmt: skip
    [view] = bots.list_bots(uow_factory(), house.user.id)
    config = view.config
    assert (config.symbol, config.timeframe, config.position_size) == ("MSFT", BotTimeframe.M15, Decimal("1500.50"))
    assert (config.direction.value, config.account_mode.value, config.is_active) == ("long_short", "simulated", True)
    assert config.limits.daily_loss_limit == 200 and config.limits.max_position_size == 3000
    assert config.limits.risk_limit_percent == 5
    assert house.view.setup.chosen.value == view.id
    assert house.view.bots.rows[0]["symbol"] == "MSFT"


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [("position_size", "0", "Position size"), ("position_size", "abc", "Position size"), ("symbol", "<b>", "symbol"),
     ("daily_loss_limit", "-1", "Daily loss"), ("max_orders_per_day", "1.5", "Orders a day")],
)  # fmt: skip
def test_a_wrong_value_is_named_and_nothing_is_stored(
    house: House, uow_factory: UowFactory, name: str, text: str, said: str
) -> None:
    form = form_of(house, name)
    form.controls[name].value = text
    house.view.setup.create.click()
    assert said in house.said and "<b>" not in house.said.replace('<b aria-hidden="true">', "")
    assert bots.list_bots(uow_factory(), house.user.id) == []


def test_a_second_bot_for_the_same_symbol_and_timeframe_is_refused(house: House) -> None:
    make_bot(house)
    house.view.setup.create.click()
    assert "already" in house.said and len(house.model.snapshot.bots) == 1


def test_a_bot_is_switched_and_deleted_from_its_row(house: House, uow_factory: UowFactory) -> None:
    number = make_bot(house)
    house.press(house.view.bots, "off", number)
    assert not bots.get_bot(uow_factory(), house.user.id, number).config.is_active
    assert house.view.bots.rows[0]["state"] == "○ Off"
    house.press(house.view.bots, "on", number)
    assert bots.get_bot(uow_factory(), house.user.id, number).config.is_active
    house.press(house.view.bots, "delete", number)
    assert house.view.bots.rows == [] and bots.list_bots(uow_factory(), house.user.id) == []


def test_another_users_bot_cannot_be_reached(
    house: House, uow_factory: UowFactory, make_user: Callable[..., User]
) -> None:
    other = House(uow_factory, make_user("eve"))
    number = make_bot(house)
    assert other.model.snapshot.bots == ()
    other.press(other.view.bots, "delete", number)  # not in the table: dropped
    other.model.attempt(other.model.row_action, "delete", str(number))  # past the table: the service refuses
    assert "There is no bot" in other.said
    assert len(bots.list_bots(uow_factory(), house.user.id)) == 1


def test_the_token_is_shown_once_with_the_ready_address(house: House, uow_factory: UowFactory) -> None:
    make_bot(house)
    house.view.setup.new_token.click()
    secret = house.model.token
    assert len(secret) == 43 and f"http://127.0.0.1:8080/webhook?token={secret}" in house.view.setup.url.value
    [row] = house.view.setup.tokens.rows
    assert secret not in json.dumps(row) and secret.startswith(row["prefix"].rstrip("…"))
    again = House(uow_factory, house.user)
    assert secret not in again.view.setup.url.value and again.model.token == ""
    house.press(house.view.setup.tokens, "revoke", row["id"])
    assert house.view.setup.tokens.rows[0]["state"] == "revoked" and "revoked" in house.said


def test_a_token_can_be_for_one_bot(house: House) -> None:
    make_bot(house)
    house.view.setup.for_one.value = True
    house.view.setup.new_token.click()
    assert house.view.setup.tokens.rows[0]["scope"] == "AAPL · 1 Hour"


@pytest.mark.parametrize("kind", list(KINDS))
def test_the_message_to_paste_is_understood_once_tradingview_filled_it(kind: str) -> None:
    bot = BotConfig(1, 1, "AAPL", BotTimeframe.M15, Decimal(1000))
    text = alert_message(bot, kind)
    filled = {
        "{{strategy.order.action}}": "buy", "{{close}}": "145.5", "{{timenow}}": "2026-03-02T14:30:00Z",
        "{{strategy.market_position}}": "long", "{{strategy.prev_market_position}}": "flat",
        "{{strategy.position_size}}": "10",
    }  # fmt: skip
    for placeholder, value in filled.items():
        text = text.replace(placeholder, value)
    alert = parse_payload(text.encode()).alert
    assert (alert.symbol, alert.timeframe, alert.price) == ("AAPL", BotTimeframe.M15, Decimal("145.5"))
    assert alert.sent_at == datetime(2026, 3, 2, 14, 30, tzinfo=UTC)


def test_a_test_alert_is_what_the_webhook_understands() -> None:
    bot = BotConfig(1, 1, "BRK-B", BotTimeframe.H4, Decimal(1000))
    first, second = (parse_payload(trial_body(bot, "CLOSE").encode()).alert for _ in range(2))
    assert (first.symbol, first.timeframe, first.action.value) == ("BRK-B", BotTimeframe.H4, "CLOSE")
    assert first.alert_id != second.alert_id


def test_sending_a_test_alert_shows_the_answer(house: House) -> None:
    make_bot(house)
    house.view.setup.send.click()
    assert "create a token first" in house.said and house.sent == []
    house.view.setup.new_token.click()
    house.view.setup.action.value = "SELL"
    house.view.setup.send.click()
    [(token, body)] = house.sent
    assert token == house.model.token and json.loads(body)["action"] == "SELL"
    assert 'data-status="200"' in house.view.setup.answer.value
    house.answer = AlertAnswer(409, '{"message": "<img src=x>"}', 1.0)
    house.view.setup.send.click()
    shown = house.view.setup.answer.value
    assert 'data-ok="problem"' in shown and "HTTP 409" in shown and "&lt;img" in shown and "<img" not in shown


def test_a_second_click_while_the_first_is_under_way_sends_nothing(house: House) -> None:
    make_bot(house)
    house.view.setup.new_token.click()
    waiting: list[Any] = []
    house.model._background = lambda work, done: waiting.append((work, done))
    house.view.setup.send.click()
    house.model.send_test()
    assert len(waiting) == 1 and house.view.setup.send.disabled


def test_the_kill_switch_asks_blocks_and_is_opened_again(house: House, uow_factory: UowFactory) -> None:
    house.view.stop.ask.click()
    assert kill_switches.list_halts(uow_factory(), house.user.id) == []
    house.view.stop.yes.click()
    [halt] = kill_switches.list_halts(uow_factory(), house.user.id)
    assert (halt.scope, halt.user_id, halt.set_by) == ("user", house.user.id, "ada")
    assert "Trading is stopped" in house.view.halted.value
    house.view.resume.click()
    assert kill_switches.list_halts(uow_factory(), house.user.id) == []
    assert house.view.halted.value == ""


def test_a_stop_for_everybody_cannot_be_opened_here(house: House, uow_factory: UowFactory) -> None:
    kill_switches.set_halt(uow_factory(), reason="<i>maintenance</i>", set_by="grace")
    house.model.refresh()
    assert "maintenance" in house.view.halted.value and "<i>" not in house.view.halted.value
    assert "dt-hidden" in house.view.resume._dom_classes
    house.model.attempt(house.model.resume)  # past the hidden button
    assert "none of yours" in house.said
    assert len(kill_switches.list_halts(uow_factory(), house.user.id)) == 1
    with uow_factory() as uow:
        uow.session.execute(update(HaltRow).values(cleared_at=datetime.now(UTC)))
        uow.commit()


def test_the_page_says_once_that_the_database_is_away_and_when_it_is_back(house: House) -> None:
    make_bot(house)
    house.broken = DatabaseUnavailable("PostgreSQL cannot be reached. Start it, then try again.")
    house.model.refresh()
    assert "cannot be reached" in house.said
    house.view.messages.dismiss.click()
    house.model.refresh()
    assert house.said == "" and len(house.view.bots.rows) == 1  # what was known stays
    house.broken = None
    house.model.refresh()
    assert "Connected again" in house.said


@pytest.mark.parametrize(("trait", "value"), [("tab", "x"), ("message_kind", "x"), ("test_action", "STEAL")])
def test_values_past_the_menus_are_refused(house: House, trait: str, value: str) -> None:
    before = getattr(house.model, trait)
    house.model.attempt(setattr, house.model, trait, value)
    assert getattr(house.model, trait) == before and "Allowed" in house.said


@pytest.fixture
def local_webhook() -> Iterator[tuple[str, list[Any]]]:
    got: list[Any] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            got.append((self.path, self.headers["Authorization"], body))
            self.send_response(202)
            self.end_headers()
            self.wfile.write(b'{"status":"accepted"}')

        def log_message(self, *_args: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/webhook", got
    server.shutdown()
    server.server_close()


def test_the_token_travels_in_a_header_and_not_in_the_address(local_webhook: tuple[str, list[Any]]) -> None:
    url, got = local_webhook
    answer = post_alert(url, "secret-token", '{"a": 1}')
    assert (answer.status, answer.body) == (202, '{"status":"accepted"}') and answer.milliseconds > 0
    assert got == [("/webhook", "Bearer secret-token", b'{"a": 1}')]


def test_a_webhook_that_is_away_is_one_sentence() -> None:
    with pytest.raises(WebhookAway, match="dashtrade doctor") as caught:
        post_alert("http://127.0.0.1:9/webhook", "secret-token", "{}")
    assert "secret-token" not in str(caught.value)


def test_an_accepted_alerts_outcome_is_told_when_it_is_known(house: House) -> None:
    from dataclasses import replace

    from dashtrade.domain.bot_views import SignalView

    make_bot(house)
    house.view.setup.new_token.click()
    house.answer = AlertAnswer(202, '{"status": "accepted", "signal_id": 7}', 2000.0)
    house.view.setup.send.click()
    assert "HTTP 202" in house.view.setup.answer.value and "data-state" not in house.view.setup.answer.value
    now = datetime.now(UTC)
    signal = SignalView(
        1, 7, now, "done", "DONE", "Opened <b>long</b>.", "AAPL", "BUY", "1 Hour", 1, "{}", 202, Decimal(3), None
    )
    house.model.snapshot = replace(house.model.snapshot, signals=(signal,))
    assert 'data-state="done"' in house.view.setup.answer.value
    assert "Opened &lt;b&gt;long" in house.view.setup.answer.value
    assert "HTTP 202" in house.view.setup.answer.value


def test_the_address_names_bot_and_strategy_and_brings_back_both(
    uow_factory: UowFactory, make_user: Callable[..., User]
) -> None:
    user = make_user("ada")
    house = House(uow_factory, user, strategy="ema_cross")
    assert (house.model.tab, house.model.step, house.view.setup.strategy.value) == ("setup", "bot", "ema_cross")
    first = make_bot(house)
    house.model.edit(None)
    house.model.strategy = ""
    second = make_bot(house, symbol="MSFT")
    assert dict(house.model.query) == {"tab": "setup", "bot": str(second)}
    again = House(uow_factory, user, strategy="ema_cross", tab="orders")
    assert (again.model.chosen_bot, again.model.tab) == (first, "orders")  # the bot that carries it
    assert again.view.shell.query == f"tab=orders&bot={first}&strategy=ema_cross"
    assert House(uow_factory, user, bot=str(second)).model.chosen_bot == second
    stranger = House(uow_factory, make_user("bob"), bot=str(first), strategy="<b>x</b>")
    assert stranger.model.chosen_bot is None and "&lt;b&gt;" in stranger.said
    assert "is not known" in House(uow_factory, user, tab="x").said


def test_a_bot_is_edited_and_keeps_its_account_and_switch(house: House, uow_factory: UowFactory) -> None:
    number = make_bot(house, daily_loss_limit="200")
    house.press(house.view.bots, "edit", number)
    assert house.model.step == "bot" and form_of(house, "daily_loss_limit").controls["daily_loss_limit"].value == "200"
    assert house.view.setup.create.description == "Save changes"
    form_of(house, "position_size").controls["position_size"].value = "2500"
    form_of(house, "daily_loss_limit").controls["daily_loss_limit"].value = ""
    house.view.setup.strategy.value = "<i>mine</i>"
    house.view.setup.create.click()
    [bot] = bots.list_bots(uow_factory(), house.user.id)
    assert (bot.config.position_size, bot.config.limits.daily_loss_limit) == (2500, None)
    assert (bot.config.is_active, bot.config.strategy_name) == (True, "<i>mine</i>")
    assert "&lt;i&gt;mine" in house.view.setup.script.value and "<i>mine" not in house.view.setup.script.value
    house.view.setup.form_bot.value = 0
    assert house.view.setup.create.description == "Create bot" and house.model.form_bot is None


def test_a_passphrase_is_asked_for_and_goes_with_message_and_test(house: House, uow_factory: UowFactory) -> None:
    house.view.setup.new_passphrase.value = "open sesame"
    number = make_bot(house)
    assert house.view.setup.new_passphrase.value == "" and '"open sesame"' in house.model.paste_message
    house.view.setup.new_token.click()
    house.view.setup.send.click()
    assert json.loads(house.sent[0][1])["passphrase"] == "open sesame"
    again = House(uow_factory, house.user)
    assert again.model.bot is not None and again.model.bot.has_passphrase and again.model.chosen_bot == number
    assert "YOUR_PASSPHRASE" in again.model.paste_message
    again.model.token = "t" * 43
    again.view.setup.send.click()
    assert "need its passphrase" in again.said and again.sent == []


def test_a_live_bot_starts_off_and_is_never_tested_with_real_money(house: House) -> None:
    house.view.setup.mode.value = "live"
    assert 'href="account#live-title"' in house.view.setup.checks.value
    assert 'href="account#keys-title"' in house.view.setup.checks.value
    make_bot(house)
    assert house.model.bot is not None and not house.model.bot.config.is_active
    house.view.setup.new_token.click()
    house.view.setup.send.click()
    assert "real money" in house.said and house.sent == []
    house.press(house.view.bots, "on", house.model.chosen_bot or 0)
    assert "not confirmed" in house.said
    house.view.setup.mode.value = "simulated"
    assert house.view.setup.switches.controls["is_active"].value is True


@pytest.mark.parametrize(
    ("base", "said"),
    [("", "own address"), ("http://hooks.example.com:8080", "80 and 443"), ("https://hooks.example.com", "")],
)
def test_the_address_to_paste_says_what_tradingview_cannot_reach(house: House, base: str, said: str) -> None:
    house.view.setup.base.value = base
    assert said in house.model.url_problem and bool(said) == bool(house.model.url_problem)
    assert house.model.url.startswith((base or "http://127.0.0.1:8080") + "/webhook?token=")


def test_a_symbol_is_stopped_and_resumed(house: House, uow_factory: UowFactory) -> None:
    house.view.stop_symbol.ask.click()
    house.view.stop_symbol.yes.click()
    assert "type the symbol" in house.said
    house.view.halt_symbol.value = "nasdaq:aapl"
    house.view.stop_symbol.ask.click()
    house.view.stop_symbol.yes.click()
    [halt] = kill_switches.list_halts(uow_factory(), house.user.id)
    assert (halt.scope, halt.symbol) == ("symbol", "AAPL") and house.view.halted.value == ""
    house.press(house.view.halts, "resume", halt.id)
    assert kill_switches.list_halts(uow_factory(), house.user.id) == [] and house.view.halts.rows == []


def test_day_and_total_result_count_what_is_open(house: House) -> None:
    from dataclasses import replace

    from dashtrade.domain.bot_views import PositionView

    number = make_bot(house)
    held = PositionView(number, "AAPL", "simulated", Decimal(10), Decimal(100), Decimal(1000), datetime.now(UTC))
    bot = replace(house.model.snapshot.bots[0], total_pnl=Decimal(25))
    for prices, day, total in (({"AAPL": Decimal(97)}, -20, -5), ({}, 10, 25)):
        found = bot_day.results([bot], [held], {number: Decimal(10)}, prices)
        assert (found[number].day, found[number].total) == (day, total)
        assert (found[number].open is None) is not bool(prices)


def test_comparing_shows_matched_missed_and_why_there_is_none(house: House) -> None:
    from datetime import timedelta

    from dashtrade.bots.performance import Pair, PricedFill
    from dashtrade.errors import SourceError
    from dashtrade.services.bot_performance import BotPerformance

    house.view.performance.compare.click()
    assert "no bot names the strategy" in house.said
    house.view.setup.strategy.value = "ema_cross"
    number = make_bot(house)
    t0 = datetime(2026, 3, 2, 15, 0, tzinfo=UTC)
    buy, late = PricedFill(t0, "buy", 100.0, 10.0), PricedFill(t0 + timedelta(seconds=30), "buy", 101.0, 10.0)
    sell = PricedFill(t0 + timedelta(hours=1), "sell", 110.0, 10.0)
    house.performance = BotPerformance(
        number, "AAPL", "ema_cross", t0, t0, (Pair(buy, late),), (sell,), (), 0.0, 100.0, 100.0
    )
    house.model.tab = "performance"
    house.view.performance.compare.click()
    [row] = house.view.performance.table.rows
    assert (row["matched"], row["missed"], row["extra"], row["mean"]) == (1, 1, 0, 100.0)
    fills = house.view.performance.fills.rows
    assert [f["state"] for f in fills] == ["missed", "matched"] and fills[1]["delay"] == 30
    # the backtest earned 10 × 10; the bot still holds what it paid 10 more for
    assert "+$100.00" in house.view.performance.cards.value and "+$90.00" in house.view.performance.cards.value
    house.performance = SourceError("sample", "No bars of <b>AAPL</b>.")
    house.view.performance.compare.click()
    assert "&lt;b&gt;AAPL" in house.view.performance.problems.value
    assert "dt-hidden" in house.view.performance.detail._dom_classes


def test_a_replay_is_asked_with_the_forms_limits_and_may_be_given_to_the_bot(
    house: House, uow_factory: UowFactory
) -> None:
    make_bot(house)
    replay = house.view.replay
    replay.limits.controls["max_position_size"].value = "500"
    replay.run.click()
    assert "equity is not known" in house.said
    replay.equity.controls["equity"].value = "100,000"
    replay.run.click()
    assert "no stored alert" in replay.sentence.value and replay.table.rows == []
    replay.apply.click()
    [bot] = bots.list_bots(uow_factory(), house.user.id)
    assert bot.config.limits.max_position_size == 500 and bot.config.limits.max_orders_per_day == 200


def test_a_beat_reads_everything_only_where_something_is_new(house):
    make_bot(house, symbol="AAPL")
    reads: list[str] = []
    services = house.model._services
    house.model._services = replace(services, list_trades=lambda: reads.append("trades") or services.list_trades())
    house.model.refresh()  # what the form did
    reads.clear()
    house.model.refresh()
    assert reads == [] and [b.config.symbol for b in house.model.snapshot.bots] == ["AAPL"]
    services.create_token(None, "from elsewhere")
    house.model.refresh()
    assert reads == ["trades"] and [token.label for token in house.model.snapshot.tokens] == ["from elsewhere"]
    for _ in range(CALM_BEATS + 1):  # and now and then in any case
        house.model.refresh()
    assert reads == ["trades"] * 2
    services.halt("Stopped on another page.", None)
    house.model.refresh()
    assert house.model.snapshot.halted is not None
