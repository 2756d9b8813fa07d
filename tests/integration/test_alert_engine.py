"""Alert rules on real PostgreSQL: one event for each trigger, whatever workers run or die, and no flood."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from alert_house import SYMBOL, Context, Market, hourly, last_hour
from sqlalchemy import func, select, text, update
from sqlalchemy.exc import IntegrityError

from dashtrade.alert_monitor import AlertMonitor
from dashtrade.db.tables.accounts import PriceAlertRow
from dashtrade.db.tables.alerts import AlertCursorRow, AlertEventRow, AlertRuleRow
from dashtrade.domain.alerts import NewAlert
from dashtrade.errors import InvalidInput, NotFound
from dashtrade.services import alert_rules
from dashtrade.services.alert_engine import evaluate_alerts, run_pass
from dashtrade.services.notifications import list_notifications
from dashtrade.services.source_order import set_source_order
from dashtrade.services.watchlist import watch
from dashtrade.settings import Settings

UPS = [101.0, 99.0, 101.0, 102.0, 99.0, 101.0]


@pytest.fixture
def context(uow_factory):
    return Context(Settings(_env_file=None), uow_factory, Market({SYMBOL: hourly(UPS)}))


@pytest.fixture
def ada(make_user):
    return make_user("ada").id


def add(uow_factory, owner, condition="100", symbol=SYMBOL, *, kind="price_above", hours=24, **more):
    """A rule that was switched on some hours ago."""
    with uow_factory() as uow:
        rule = alert_rules.add_alert(uow, owner, NewAlert(kind, condition, symbol, "1h", **more))
        since = datetime.now(UTC) - timedelta(hours=hours)
        uow.session.execute(update(AlertRuleRow).where(AlertRuleRow.alert_id == rule.id).values(active_since=since))
        uow.commit()
    return rule


def look_again(uow_factory):
    """Let the next pass look at bars that were looked at a moment ago."""
    with uow_factory() as uow:
        uow.session.execute(update(AlertCursorRow).values(checked_at=None))
        uow.commit()


def count(uow_factory):
    with uow_factory() as uow:
        return uow.session.scalar(select(func.count()).select_from(AlertEventRow))


def test_a_rule_tells_once_with_its_values(uow_factory, context, ada):
    rule = add(uow_factory, ada, "rsi_2 > 50 and close > 100", kind="rule", name="Up again")
    [event] = run_pass(context)
    assert (event.alert_id, event.symbol, event.condition, event.missed) == (rule.id, SYMBOL, "Up again", 0)
    assert event.simulated and event.values["close"] > 100 and event.values["rsi(window=2)"] > 50
    look_again(uow_factory)
    assert run_pass(context) == []
    with uow_factory() as uow:
        kept = alert_rules.get_alert(uow, ada, rule.id)
        assert not kept.is_active and kept.triggered_at is not None
        [message] = list_notifications(uow, ada)
        assert message.title == f"{SYMBOL}: Up again" and "SIMULATED" in message.body and "rsi" in message.body
        assert alert_rules.list_events(uow, ada) == [event]


def test_an_alert_written_straight_into_the_documented_table_works(uow_factory, context, ada):
    context.market.bars["BTC-USD"].attrs["interval"] = "1d"
    with uow_factory() as uow:
        long_ago = datetime.now(UTC) - timedelta(days=30)
        values = {"symbol": SYMBOL, "alert_type": "price_above", "condition_text": "100", "created_at": long_ago}
        uow.session.add(PriceAlertRow(user_id=ada, **values))
        uow.commit()
    days = hourly(UPS)
    days.index = days.index.normalize()[-1] - (days.index[-1] - days.index) * 24 - timedelta(days=1)
    context.market.bars[SYMBOL] = days
    [event] = run_pass(context)
    assert event.interval == "1d" and event.bar_time == days.index[0]


def test_bars_are_fetched_once_for_all_rules_and_new_bars_only_count_once(uow_factory, context, ada, make_user):
    bob = make_user("bob").id
    for owner in (ada, bob):
        for _ in range(3):
            add(uow_factory, owner, frequency="bar", hours=1.5)
    assert len(run_pass(context)) == 6 and context.market.asked == [SYMBOL]
    look_again(uow_factory)
    assert run_pass(context) == []
    context.market.bars[SYMBOL] = hourly([*UPS, 105.0], last_hour() + timedelta(hours=1))
    look_again(uow_factory)
    assert len(run_pass(context)) == 6 and count(uow_factory) == 12


def test_after_a_sleep_a_rule_tells_once_and_says_how_often_it_would_have(uow_factory, context, ada):
    add(uow_factory, ada, frequency="bar")
    [event] = run_pass(context)
    assert event.missed == 3 and event.bar_time == last_hour()
    with uow_factory() as uow:
        assert "3 times more" in list_notifications(uow, ada)[0].body


def test_a_users_own_order_of_sources_is_asked(uow_factory, context, ada, make_user):
    bob, order = make_user("bob").id, ("alpha_vantage", "yahoo")
    context.others[order] = Market({SYMBOL: hourly([*UPS[:-1], 99.0])})
    with uow_factory() as uow:
        set_source_order(uow, bob, order)
    add(uow_factory, ada, hours=1.5)
    add(uow_factory, bob, hours=1.5)
    add(uow_factory, bob, hours=1.5, source="sample")
    told = [(event.user_id, event.values["close"]) for event in run_pass(context)]
    assert sorted(told) == [(ada, 101.0), (bob, 101.0)], "a rule's own source goes before the user's order"
    assert context.others[order].asked == [SYMBOL]


def test_the_watchlist_is_watched(uow_factory, context, ada):
    context.market.bars = {s: hourly(closes, symbol=s) for s, closes in {"ETH-USD": UPS, "SOL-USD": [1.0] * 6}.items()}
    add(uow_factory, ada, symbol=None, frequency="bar")
    assert run_pass(context) == []
    with uow_factory() as uow:
        for symbol in ("ETH-USD", "SOL-USD"):
            watch(uow, ada, symbol)
    assert [event.symbol for event in run_pass(context)] == ["ETH-USD"]
    assert sorted(context.market.asked) == ["ETH-USD", "SOL-USD"]


def test_one_symbol_that_fails_does_not_stop_the_others_and_is_caught_up(uow_factory, context, ada):
    add(uow_factory, ada, symbol="ETH-USD")
    add(uow_factory, ada)
    assert [event.symbol for event in run_pass(context)] == [SYMBOL]
    with uow_factory() as uow:
        problem = uow.session.scalar(select(AlertCursorRow.problem).where(AlertCursorRow.symbol == "ETH-USD"))
    assert problem == "The source did not answer."
    context.market.bars["ETH-USD"] = hourly(UPS, symbol="ETH-USD")
    look_again(uow_factory)
    assert [event.symbol for event in run_pass(context)] == ["ETH-USD"]


def test_the_forming_bar_does_not_count(uow_factory, context, ada):
    forming = hourly([99.0, 99.0, 150.0], last_hour() + timedelta(hours=1))
    forming.attrs["last_bar_closed"] = False
    context.market.bars[SYMBOL] = forming
    add(uow_factory, ada)
    assert run_pass(context) == []


def test_a_rule_that_cannot_be_evaluated_is_switched_off_and_its_owner_told(uow_factory, context, ada):
    rule = add(uow_factory, ada)
    with uow_factory() as uow:
        uow.session.execute(update(PriceAlertRow).values(alert_type="rule", condition_text="close@1h[ > 1"))
        uow.commit()
    assert run_pass(context) == []
    with uow_factory() as uow:
        assert not alert_rules.get_alert(uow, ada, rule.id).is_active
        assert "switched off" in list_notifications(uow, ada)[0].title


def test_workers_at_once_tell_once(uow_factory, context, ada):
    for i in range(8):
        context.market.bars[f"X{i}-USD"] = hourly(UPS, symbol=f"X{i}-USD")
        add(uow_factory, ada, symbol=f"X{i}-USD", frequency="bar")
        add(uow_factory, ada, symbol=f"X{i}-USD")
    told: list = []
    together = threading.Barrier(3)

    def work():
        together.wait()
        told.extend(run_pass(context))

    workers = [threading.Thread(target=work) for _ in range(3)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert len(told) == count(uow_factory) == 16
    with uow_factory() as uow:
        assert len(list_notifications(uow, ada)) == 16


def test_a_worker_killed_in_the_middle_has_done_nothing_and_another_does_it(uow_factory, context, ada, database_url):
    rule = add(uow_factory, ada)
    house = Path(__file__).parents[1] / "alert_house.py"
    environment = {**os.environ, "DATABASE_URL": database_url}
    command = [sys.executable, str(house), ",".join(map(str, UPS))]
    worker = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)
    assert worker.stdout is not None and worker.stdout.readline() == "written\n"
    assert run_pass(context) == [], "the bars are another worker's while it lives"
    os.kill(worker.pid, signal.SIGKILL)
    worker.wait()
    worker.stdout.close()
    with uow_factory() as uow:  # the server notices within moments that the worker is gone
        uow.session.execute(text("SET lock_timeout = '20s'"))
        uow.session.execute(select(PriceAlertRow.id).with_for_update())
    look_again(uow_factory)
    [event] = run_pass(context)
    assert event.alert_id == rule.id and count(uow_factory) == 1


def test_the_database_refuses_a_second_event_for_a_bar(uow_factory, context, ada):
    add(uow_factory, ada)
    run_pass(context)
    copy = "INSERT INTO alert_events (user_id, alert_id, symbol, interval, bar_time, condition_text, values) " \
           "SELECT user_id, alert_id, symbol, interval, bar_time, condition_text, values FROM alert_events"  # fmt: skip
    with uow_factory() as uow, pytest.raises(IntegrityError, match="uq_alert_events"):
        uow.session.execute(text(copy))


def test_the_monitor_checks_one_user_and_triggers_by_hand(uow_factory, context, ada, make_user):
    import dashtrade

    assert dashtrade.AlertMonitor is AlertMonitor
    bob = make_user("bob").id
    mine, theirs = add(uow_factory, ada), add(uow_factory, bob)
    monitor = AlertMonitor(context)
    assert [event.alert_id for event in monitor.check_conditions(ada)] == [mine.id]
    assert count(uow_factory) == 2, "the rules of others on the same bars are not left out"
    event = monitor.trigger_alert(theirs.id)
    assert event.user_id == bob and "by hand" in event.detail
    with pytest.raises(NotFound):
        monitor.trigger_alert(999)


def test_the_job_is_declared_and_counts(uow_factory, context, ada):
    from dashtrade.bootstrap import load_jobs

    declared = {job.name: job for job in load_jobs()}
    assert declared["evaluate_alerts"].cron == "* * * * * 2,22,42" and declared["evaluate_alerts"].alone
    add(uow_factory, ada)
    assert evaluate_alerts(context) == 1


def test_rules_are_checked_and_belong_to_their_owner(uow_factory, ada, make_user):
    bob = make_user("bob").id
    rule = add(uow_factory, ada)
    with uow_factory() as uow:
        for touch in (alert_rules.remove_alert, alert_rules.get_alert):
            with pytest.raises(NotFound):
                touch(uow, bob, rule.id)
        with pytest.raises(NotFound):
            alert_rules.set_alert_active(uow, bob, rule.id, False)
        assert alert_rules.list_alerts(uow, bob) == []
        past = datetime.now(UTC) - timedelta(minutes=1)
        for wrong, field in [
            ({"interval": "3h"}, "interval"), ({"frequency": "often"}, "frequency"),
            ({"symbol": "no ticker"}, "symbol"),
            ({"cooldown": timedelta(days=31)}, "cooldown"), ({"expires_at": past}, "expires_at"),
        ]:  # fmt: skip
            with pytest.raises(InvalidInput, match=field):
                alert_rules.add_alert(
                    uow, ada, NewAlert(**{"kind": "price_above", "condition": "1", "symbol": "A"} | wrong)
                )
        off = alert_rules.set_alert_active(uow, ada, rule.id, False)
        on = alert_rules.set_alert_active(uow, ada, rule.id, True)
        assert (off.is_active, on.is_active) == (False, True) and on.active_since > off.active_since
        alert_rules.remove_alert(uow, ada, rule.id)
        assert alert_rules.list_alerts(uow, ada) == []
