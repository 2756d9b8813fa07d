"""A user's copy holds every table with rows of theirs, and nothing of theirs is left when the account has ended."""

from __future__ import annotations

import json

from installation_rows import fill
from sqlalchemy import text

from dashtrade.db import schema
from dashtrade.db.tables import Base
from dashtrade.services.own_data import delete_account, export_data

#: Tables whose rows are nobody's. A new table is either here or in the copy.
NOBODYS = {
    "alert_cursors", "app_state", "live_interest", "live_prices", "login_failures", "source_calls", "trader_heartbeats",
}  # fmt: skip


def test_no_table_is_forgotten(engine, uow_factory):
    fill(engine, schema.HEAD)
    with engine.begin() as connection:
        connection.execute(
            text("INSERT INTO trading_halts (scope, user_id, reason, set_by) VALUES ('user', 1, 'r', 'a')")
        )
        connection.execute(text("UPDATE users SET role = 'superadmin' WHERE id = 2"))
    with uow_factory() as uow:
        exported = export_data(uow, 1)
    tables = exported["tables"]
    assert set(tables) == set(Base.metadata.tables) - NOBODYS
    assert [name for name, rows in tables.items() if not rows] == [], "a table without a row would be checked with none"
    json.dumps(exported)
    for withheld in ("sealed", "$2b$", "abababab", "0f0f0f0f"):
        assert withheld not in json.dumps(tables)

    with engine.begin() as connection:  # what stands in the way of an end
        connection.execute(text("UPDATE order_intents SET state = 'filled', ended_at = now()"))
        connection.execute(text("UPDATE lots SET open_qty = 0, closed_at = now()"))
    with uow_factory() as uow:
        delete_account(uow, 1)
    with uow_factory() as uow:
        left = export_data(uow, 1)["tables"]
    assert {name for name, rows in left.items() if rows} == {"audit_log"}
    with engine.connect() as connection:
        assert connection.execute(text("SELECT count(*) FROM alert_rules")).scalar() == 0
        assert connection.execute(text("SELECT count(*) FROM watchlist WHERE user_id = 2")).scalar() == 1
