"""Messages and channels on real PostgreSQL, through real apprise, to a local server."""

from __future__ import annotations

import base64
import io
import json
import threading
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from alert_house import SYMBOL, Market, hourly, last_hour
from channel_server import receiver
from PIL import Image
from sqlalchemy import select, text, update

from dashtrade.auth.vault import Vault, new_key
from dashtrade.dashboards.bell import INNER_LINK
from dashtrade.db.tables.alerts import NotificationChannelRow, NotificationDeliveryRow, NotificationRow
from dashtrade.domain.alerts import NewAlert
from dashtrade.errors import ConfigurationError, InvalidInput, NotFound
from dashtrade.services import channels, deliveries, delivery_claims, kill_switches
from dashtrade.services.alert_editing import update_alert
from dashtrade.services.alert_engine import trigger, write_event
from dashtrade.services.alert_history import retry_delivery
from dashtrade.services.alert_rules import add_alert
from dashtrade.services.notifications import list_notifications, mark_read, notify, unread_count
from dashtrade.settings import Settings, load_settings


@dataclass
class Context:
    settings: Settings
    uow: object

    def alert_market(self, order=None):
        return Market({SYMBOL: hourly(CLOSES)})


CLOSES = [100.0 + (n * 7) % 11 for n in range(80)]


@pytest.fixture(scope="module")
def key():
    return new_key()


@pytest.fixture
def server():
    with receiver() as made:
        yield made


@pytest.fixture
def context(uow_factory, key, tmp_path):
    settings = Settings(_env_file=None, ENCRYPTION_KEY=key, data_dir=tmp_path, private_channels=True)
    return Context(settings, uow_factory)


@pytest.fixture
def ada(make_user):
    return make_user("ada").id


@pytest.fixture
def channel(uow_factory, ada, key, server):
    with uow_factory() as uow:
        return channels.add_channel(uow, ada, Vault(key).seal, "hook", server.url)


def tell(uow_factory, user_id, *titles):
    with uow_factory() as uow:
        for title in titles:
            notify(uow, user_id, "alert", title, f"body of {title}")
        uow.commit()


def due_now(uow_factory):
    with uow_factory() as uow:
        past = datetime.now(UTC) - timedelta(seconds=1)
        uow.session.execute(update(NotificationDeliveryRow).values(next_try_at=past))
        uow.commit()


def states(uow_factory, user_id):
    with uow_factory() as uow:
        return [(d.title, d.state, d.attempts) for d in reversed(channels.list_deliveries(uow, user_id))]


def test_a_message_is_in_the_program_and_goes_out_once(uow_factory, context, ada, channel, server):
    tell(uow_factory, ada, "AAPL above 150")
    with uow_factory() as uow:
        assert unread_count(uow, ada) == 1
        [message] = list_notifications(uow, ada, unread=True)
        assert (message.title, message.body, message.read_at) == ("AAPL above 150", "body of AAPL above 150", None)
        assert mark_read(uow, ada) == 1 and unread_count(uow, ada) == 0
        queued = uow.session.scalars(text("SELECT task_name FROM jobs.procrastinate_jobs")).all()
    assert queued == ["send_notifications"]
    assert deliveries.send_notifications(context) == 1
    assert deliveries.send_notifications(context) == 0
    assert [(m["path"], m["title"], m["message"]) for m in server.got] == [
        ("/hook-secret", "AAPL above 150", "body of AAPL above 150")
    ]


def alerted(uow_factory, user_id, symbol=SYMBOL, name=None):
    """An alert that was met two bars ago."""
    with uow_factory() as uow:
        rule = add_alert(uow, user_id, NewAlert("price_above", "104", symbol, "1h", name=name))
        write_event(
            uow, rule, symbol=symbol, bar_time=last_hour() - timedelta(hours=2), detail="", values={"close": 1.0}
        )
        uow.commit()


def test_an_alert_goes_out_with_its_chart_and_a_link_to_its_page(uow_factory, context, ada, channel, server):
    context.settings = context.settings.model_copy(update={"public_url": "https://trade.example.com/"})
    alerted(uow_factory, ada)
    assert deliveries.send_notifications(context) == 1
    [message] = server.got
    assert message["message"].splitlines()[-1] == (f"https://trade.example.com/analysis?symbol={SYMBOL}&interval=1h")
    [attached] = message["attachments"]
    image = Image.open(io.BytesIO(base64.b64decode(attached["base64"])))
    assert (attached["mimetype"], image.format, image.size) == ("image/png", "PNG", (800, 450))
    pixels = np.asarray(image.convert("RGB"))
    places = np.argwhere((pixels == (0x1D, 0x4E, 0x89)).all(axis=2))[:, 1]
    assert places.max() > 700, "the trigger and its price are marked near the right edge"


def test_an_alerts_name_in_the_picture_is_text_and_no_formula(uow_factory, context, ada, channel, server):
    alerted(uow_factory, ada, name=r"$\nosuch{ up to $120")
    assert deliveries.send_notifications(context) == 1
    assert len(server.got[0]["attachments"]) == 1


def test_a_kill_switch_tells_with_a_link_that_the_bell_follows(uow_factory, ada):
    with uow_factory() as uow:
        kill_switches.set_halt(uow, reason="test", set_by="ada", user_id=ada)
        [message] = list_notifications(uow, ada)
    assert INNER_LINK.fullmatch(message.link)


def test_without_prices_or_a_public_address_the_text_goes_alone(uow_factory, context, ada, channel, server):
    alerted(uow_factory, ada, "ETH-USD")
    server.answers = [503]
    assert deliveries.send_notifications(context) == 0
    due_now(uow_factory)
    assert deliveries.send_notifications(context) == 1
    for message in server.got:
        assert message["attachments"] == [] and "analysis" not in message["message"], message


@pytest.mark.parametrize(
    "address", ["trade.example.com", "ftp://a/", "https://ann:hidden-1@a.com/", "https://a.com/?q=1"]
)
def test_a_public_address_is_checked(address, monkeypatch):
    monkeypatch.setenv("DASHTRADE_PUBLIC_URL", address)
    with pytest.raises(ConfigurationError, match="DASHTRADE_PUBLIC_URL") as error:
        load_settings(_env_file=None)
    assert "hidden-1" not in str(error.value)


def test_the_address_is_sealed_and_never_shown(uow_factory, ada, channel, server, key):
    with uow_factory() as uow:
        sealed = uow.session.scalar(select(NotificationChannelRow.url_encrypted))
        assert "hook-secret" not in sealed and "hook-secret" not in repr(channels.list_channels(uow, ada))
        assert channels.renew_channels(uow, Vault(f"{new_key()},{key}")) == 1
    for bad in ("nonsense-4711", "nosuch://nonsense-4711", "syslog://nonsense-4711", "json://nonsense-4711\n"):
        with uow_factory() as uow, pytest.raises(InvalidInput) as error:
            channels.add_channel(uow, ada, Vault(key).seal, "other", bad if bad[-1] != "\n" else "a\nb://nonsense-4711")
        assert "nonsense-4711" not in str(error.value)


def test_private_addresses_are_refused_when_sending(uow_factory, context, ada, channel, server):
    strict = Context(context.settings.model_copy(update={"private_channels": False}), uow_factory)
    tell(uow_factory, ada, "one")
    assert deliveries.send_notifications(strict) == 0
    assert server.got == []
    with uow_factory() as uow:
        [dead] = channels.list_deliveries(uow, ada, state="dead")
        assert "private" in dead.error and dead.attempts == 1
        titles = [n.title for n in list_notifications(uow, ada)]
    assert titles == ["The channel hook does not work", "one"]


def test_a_failure_is_tried_again_later_and_given_up_in_the_end(uow_factory, context, ada, channel, server):
    server.answers = [503, 200]
    tell(uow_factory, ada, "first")
    assert deliveries.send_notifications(context) == 0
    with uow_factory() as uow:
        [waiting] = channels.list_deliveries(uow, ada, state="waiting")
    assert "503" in waiting.error and "hook-secret" not in waiting.error
    assert timedelta(seconds=20) < waiting.next_try_at - datetime.now(UTC) <= timedelta(seconds=30)
    assert deliveries.send_notifications(context) == 0 and len(server.got) == 1, "not before its time"
    due_now(uow_factory)
    assert deliveries.send_notifications(context) == 1
    with uow_factory() as uow:
        uow.session.execute(update(NotificationDeliveryRow).values(state="waiting", attempts=5))
        uow.commit()
    due_now(uow_factory)
    server.answers = [500]
    deliveries.send_notifications(context)
    assert states(uow_factory, ada) == [("first", "dead", 6)]


def test_many_messages_become_one_and_the_hour_has_a_limit(uow_factory, context, ada, channel, server):
    with uow_factory() as uow:
        channels.update_channel(uow, ada, channel.id, most_per_hour=2)
    tell(uow_factory, ada, *(f"rule {i}" for i in range(5)))
    assert deliveries.send_notifications(context) == 1
    assert server.got[0]["title"] == "5 messages from DashTrade"
    assert all(f"rule {i}" in server.got[0]["message"] for i in range(5))
    tell(uow_factory, ada, "sixth", "seventh")
    assert deliveries.send_notifications(context) == 1, "room for one only, so the two become one"
    tell(uow_factory, ada, "eighth")
    assert deliveries.send_notifications(context) == 0 and len(server.got) == 2
    with uow_factory() as uow:
        [waiting] = channels.list_deliveries(uow, ada, state="waiting")
    assert waiting.title == "eighth" and waiting.next_try_at > datetime.now(UTC) + timedelta(minutes=55)


def test_quiet_hours_hold_back_all_but_a_test(uow_factory, context, ada, channel, server):
    now = datetime.now(UTC)
    around = ((now - timedelta(hours=1)).strftime("%H:%M"), (now + timedelta(hours=1)).strftime("%H:%M"))
    with uow_factory() as uow:
        channels.update_channel(uow, ada, channel.id, quiet_from=around[0], quiet_until=around[1], timezone="UTC")
    tell(uow_factory, ada, "at night")
    with uow_factory() as uow:
        channels.test_channel(uow, ada, channel.id)
    assert deliveries.send_notifications(context) == 1
    assert [m["title"] for m in server.got] == ["Test message from DashTrade"]
    with uow_factory() as uow:
        [waiting] = channels.list_deliveries(uow, ada, state="waiting")
    assert waiting.next_try_at.strftime("%H:%M") == around[1] and waiting.attempts == 0


@pytest.mark.parametrize(
    ("start", "end", "now", "until"),
    [
        ("22:00", "07:00", "2024-07-01T03:00", "2024-07-01T11:00"),  # 23:00 in New York, summer
        ("22:00", "07:00", "2024-01-02T11:59", "2024-01-02T12:00"),  # 06:59, winter
        ("22:00", "07:00", "2024-01-02T12:00", None),
        ("12:00", "13:00", "2024-01-02T17:30", "2024-01-02T18:00"),
    ],
)
def test_the_end_of_quiet_hours(start, end, now, until):
    row = NotificationChannelRow(quiet_from=start, quiet_until=end, timezone="America/New_York")
    expected = until and datetime.fromisoformat(until).replace(tzinfo=UTC)
    assert deliveries.quiet_until(row, datetime.fromisoformat(now).replace(tzinfo=UTC)) == expected


def test_two_workers_send_each_message_once(uow_factory, context, ada, channel, server):
    tell(uow_factory, ada, "once a", "once b")
    workers = [threading.Thread(target=deliveries.send_notifications, args=(context,)) for _ in range(2)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert sorted(m["title"] for m in server.got) == ["once a", "once b"]


def test_each_try_of_a_message_has_the_same_key(uow_factory, context, ada, channel, server):
    server.answers[:] = [503, 200, 200]
    tell(uow_factory, ada, "first")
    deliveries.send_notifications(context)
    due_now(uow_factory)
    deliveries.send_notifications(context)
    tell(uow_factory, ada, "second")
    deliveries.send_notifications(context)
    first, again, other = (message["key"] for message in server.got)
    assert first == again != other and first.startswith("dashtrade-")


def claims(uow_factory, context, *lines, age=timedelta(minutes=1)):
    """What a worker leaves that is killed while it sends: a claim that ran out, and what its diary says."""
    with uow_factory() as uow:
        due = uow.session.execute(
            select(NotificationDeliveryRow, NotificationRow)
            .join(NotificationRow, NotificationRow.id == NotificationDeliveryRow.notification_id)
            .order_by(NotificationDeliveryRow.id)
        ).all()
        diary = delivery_claims.claim([[tuple(each)] for each in due], context.settings, datetime.now(UTC))
        uow.session.execute(update(NotificationDeliveryRow).values(claimed_until=datetime.now(UTC) - age))
        uow.commit()
    diary.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return diary


def test_what_a_killed_worker_did_is_read_from_the_diary_of_its_sender(uow_factory, context, ada, channel, server):
    tell(uow_factory, ada, "answered", "in doubt", "never begun")
    begun = [{"number": 0, "begins": True}, {"number": 0, "sent": True}, {"number": 1, "begins": True}]
    claims(uow_factory, context, *begun)
    assert [deliveries.send_notifications(context) for _ in range(3)] == [1, 1, 0]
    assert [m["title"] for m in server.got] == ["never begun", "Perhaps not delivered: in doubt"]
    with uow_factory() as uow:
        listed = {d.title: d for d in channels.list_deliveries(uow, ada)}
        assert listed["answered"].state == "sent" and listed["answered"].sent_at is not None
        assert listed["in doubt"].state == "maybe" and "nobody knows" in listed["in doubt"].error
        retry_delivery(uow, ada, listed["in doubt"].id)
    assert deliveries.send_notifications(context) == 1 and server.got[-1]["title"] == "in doubt"


def test_a_claim_of_another_machine_waits_for_it_and_is_then_in_doubt(uow_factory, context, ada, channel, server):
    tell(uow_factory, ada, "far away")
    claims(uow_factory, context).unlink()
    assert deliveries.send_notifications(context) == 0 and states(uow_factory, ada)[0][1] == "sending"
    claims(uow_factory, context, age=timedelta(hours=1)).unlink()
    assert [deliveries.send_notifications(context) for _ in range(3)] == [0, 1, 0]
    assert [m["title"] for m in server.got] == ["Perhaps not delivered: far away"]
    assert "maybe" in [state for _, state, _ in states(uow_factory, ada)]


def test_a_claim_that_holds_is_left_alone(uow_factory, context, ada, channel, server):
    tell(uow_factory, ada, "being sent")
    claims(uow_factory, context, age=timedelta(minutes=-1))
    tell(uow_factory, ada, "next")
    assert deliveries.send_notifications(context) == 0 and server.got == []


def test_a_rule_chooses_its_channels(uow_factory, context, ada, channel, key, server):
    with uow_factory() as uow:
        mail = channels.add_channel(uow, ada, Vault(key).seal, "mail", server.url)
        off = channels.add_channel(uow, ada, Vault(key).seal, "off", server.url)
        channels.update_channel(uow, ada, off.id, is_active=False)
        for name, chosen in (("all", None), ("mail", (mail.id, off.id)), ("program", ())):
            rule = add_alert(uow, ada, NewAlert("price_above", "1", SYMBOL, name=name, channels=chosen))
            assert rule.channels == chosen
            trigger(uow, ada, rule.id)
        told = {d.title.split(": ")[1]: set() for d in channels.list_deliveries(uow, ada)}
        for each in channels.list_deliveries(uow, ada):
            told[each.title.split(": ")[1]].add(each.channel)
        assert told == {"all": {"hook", "mail"}, "mail": {"mail"}}
        assert len(list_notifications(uow, ada)) == 3, "the program is told always"
        with pytest.raises(InvalidInput, match="channels"):
            add_alert(uow, ada, NewAlert("price_above", "1", SYMBOL, channels=(999_999,)))
        with pytest.raises(InvalidInput, match="is off"):
            channels.test_channel(uow, ada, off.id)
        changed = update_alert(uow, ada, rule.id, NewAlert("price_above", "1", SYMBOL, channels=(channel.id,)))
        assert changed.channels == (channel.id,)


def test_channels_of_others_do_not_exist(uow_factory, ada, channel, make_user):
    bob = make_user("bob").id
    with uow_factory() as uow:
        assert channels.list_channels(uow, bob) == []
        for touch in (channels.remove_channel, channels.test_channel, channels.update_channel):
            with pytest.raises(NotFound):
                touch(uow, bob, channel.id)
        notify(uow, bob, "alert", "for bob", "", channels=[channel.id])
        uow.commit()
        assert channels.list_deliveries(uow, bob) == [] and list_notifications(uow, ada) == []
