"""What the nightly clean-up takes and leaves, bars fetched ahead of the opening, and accounts nobody reconciles."""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import psycopg2
import pytest
from alert_house import Context, Market, hourly
from sqlalchemy import text, update

from dashtrade.bootstrap import load_jobs
from dashtrade.data.sessions import ExchangeHours
from dashtrade.db.tables.research import ReportRun
from dashtrade.db.tables.trading import AccountRow
from dashtrade.domain.alerts import NewAlert
from dashtrade.domain.bot_views import NewBot
from dashtrade.services import alert_prefetch, bots, housekeeping, reconcile_hint
from dashtrade.services.alert_rules import add_alert
from dashtrade.services.alerts_in import ALERTS_CHANNEL
from dashtrade.services.notifications import list_notifications, mark_read, notify
from dashtrade.services.watchlist import watch
from dashtrade.settings import Settings


@pytest.fixture
def ada(make_user):
    return make_user("ada").id


@pytest.fixture
def context(uow_factory, tmp_path):
    return Context(Settings(_env_file=None, data_dir=tmp_path), uow_factory, Market({"AAPL": hourly([1.0, 2.0])}))


def count(uow_factory, table):
    with uow_factory() as uow:
        return uow.session.scalar(text(f"SELECT count(*) FROM {table}"))


def test_what_is_old_goes_and_the_rest_stays(uow_factory, context, ada):
    folder = context.settings.data_dir / "reports" / f"user-{ada}"
    folder.mkdir(parents=True)
    old = datetime.now(UTC) - timedelta(days=500)
    with uow_factory() as uow:
        for name, day in [("new", datetime.now(UTC)), ("old", old)]:
            notify(uow, ada, "system", name, "")
            page = f"reports/user-{ada}/{name}.html"
            uow.session.add(
                ReportRun(user_id=ada, report="x", parameters={}, status="done", output_path=page, created_at=day)
            )
            for suffix in (".html", ".ipynb"):
                path = folder / (name + suffix)
                path.write_text("")
                os.utime(path, (day.timestamp(), day.timestamp()))
        bot = bots.create_bot(uow, ada, NewBot("IBM", "1 Day", Decimal(1000)))
        uow.session.flush()
        account = bots.ensure_account(uow.session, ada, bot.config.account_mode)
        uow.session.flush()
        uow.session.execute(text("UPDATE notifications SET created_at = :old WHERE title = 'old'"), {"old": old})
        for key, state, order in [("a", "executed", True), ("b", "refused", False), ("c", "received", False)]:
            alert = uow.session.scalar(
                text(
                    "INSERT INTO alert_inbox (user_id, bot_id, dedupe_key, dedupe_rule, body_hash, payload,"
                    " received_at, state, reason) VALUES (:u, :b, :k, 'id', 'h', '{}', :old, :s, 'x') RETURNING id"
                ),
                {"u": ada, "b": bot.id, "k": key, "old": old, "s": STATES[state]},
            )
            uow.session.execute(
                text(
                    "INSERT INTO webhook_requests (user_id, alert_id, received_at, status, code, reason, latency_ms)"
                    " VALUES (:u, :a, :old, 200, 'x', 'x', 1)"
                ),
                {"u": ada, "a": alert, "old": old},
            )
            if order:
                uow.session.execute(
                    text(
                        "INSERT INTO order_intents (user_id, bot_id, account_id, alert_id, symbol, client_order_id,"
                        " purpose, side, qty, state, deadline) VALUES (:u, :b, :c, :a, 'IBM', 'c1', 'entry', 'buy', 1,"
                        " 'filled', now())"
                    ),
                    {"u": ada, "b": bot.id, "c": account.id, "a": alert},
                )
        uow.commit()
    assert housekeeping.delete_old_records(context) == 5
    assert housekeeping.delete_old_records(context) == 0
    with uow_factory() as uow:
        assert [n.title for n in list_notifications(uow, ada)] == ["new"]
        assert uow.session.scalars(text("SELECT dedupe_key FROM alert_inbox ORDER BY 1")).all() == ["a", "c"]
    assert sorted(path.name for path in folder.iterdir()) == ["new.html", "new.ipynb"]
    assert count(uow_factory, "report_runs") == 1 and count(uow_factory, "webhook_requests") == 1
    assert count(uow_factory, "order_intents") == 1, "what led to an order stays"


STATES = {"executed": "done", "refused": "rejected", "received": "received"}


def test_the_table_says_all_and_the_settings_count(context):
    settings = context.settings.model_copy(update={"keep_message_days": 8})
    rows = {what: after for what, after, _ in housekeeping.retention(settings)}
    assert rows["messages in the program"] == "8 days" and rows["sessions"] == "when they are over"
    for kept in housekeeping.RETENTION:
        assert not kept.setting or kept.setting in Settings.model_fields
    declared = {job.name: job.cron for job in load_jobs()}
    for name in ("delete_old_records", "delete_expired_sessions", "prefetch_bars", "hint_reconcile"):
        assert declared[name], name


def test_bars_are_fetched_before_the_opening_only(uow_factory, context, ada, make_user, monkeypatch):
    with uow_factory() as uow:
        watch(uow, ada, "AAPL")
        watch(uow, ada, "BTC-USD")
        watch(uow, make_user("bob").id, "AAPL")
        add_alert(uow, ada, NewAlert("price_above", "1", "AAPL", "5m"))
        add_alert(uow, ada, NewAlert("price_above", "1", None, "1h"))
        add_alert(uow, ada, NewAlert("price_above", "1", "MSFT", "1d"))
    clock = {"now": datetime(2026, 11, 23, 14, 0, tzinfo=UTC)}

    class Clock(datetime):
        @classmethod
        def now(cls, tz=None):
            return clock["now"]

    monkeypatch.setattr(alert_prefetch, "datetime", Clock)
    assert ExchangeHours().next_open("AAPL", clock["now"]) == datetime(2026, 11, 23, 14, 30, tzinfo=UTC)
    assert alert_prefetch.prefetch_bars(context) == 3, "MSFT has no bars and stops nothing"
    assert sorted(context.market.asked) == ["AAPL", "AAPL", "AAPL", "MSFT"]
    for other in (datetime(2026, 11, 23, 13, 30, tzinfo=UTC), datetime(2026, 11, 23, 15, 0, tzinfo=UTC)):
        clock["now"] = other
        assert alert_prefetch.prefetch_bars(context) == 0


def test_the_trader_is_woken_and_the_owner_told_of_an_account_nobody_checks(uow_factory, context, ada, engine):
    with uow_factory() as uow:
        bots.create_bot(uow, ada, NewBot("IBM", "1 Day", Decimal(1000), is_active=True))
        bots.ensure_account(uow.session, ada, bots.AccountMode.SIMULATED)
        uow.commit()
    assert reconcile_hint.hint_reconcile(context) == 0, "a new account has its time"
    listener = psycopg2.connect(engine.url.set(drivername="postgresql").render_as_string(hide_password=False))
    listener.autocommit = True
    listener.cursor().execute(f"LISTEN {ALERTS_CHANNEL}")
    with uow_factory() as uow:
        late = datetime.now(UTC) - timedelta(hours=2)
        uow.session.execute(update(AccountRow).values(created_at=late, reconciled_at=late))
        uow.commit()
    assert [reconcile_hint.hint_reconcile(context) for _ in range(2)] == [1, 1]
    listener.cursor().execute("SELECT 1")  # after its answer both have come, which one poll does not promise
    listener.poll()
    assert [json.loads(n.payload) for n in listener.notifies] == [{"user": ada, "mode": "simulated"}] * 2
    listener.close()
    with uow_factory() as uow:
        [message] = list_notifications(uow, ada)
        assert "simulated" in message.title and "trader" in message.body
        mark_read(uow, ada)
        uow.session.execute(update(AccountRow).values(reconciled_at=datetime.now(UTC)))
        uow.commit()
    assert reconcile_hint.hint_reconcile(context) == 0
