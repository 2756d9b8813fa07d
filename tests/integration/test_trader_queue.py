"""The trader's question for its next alert reads a queue at most a few times, not each of its rows for each other."""

from __future__ import annotations

from decimal import Decimal

import pytest
from sqlalchemy import text

from dashtrade.db.tables.trading import AccountRow
from dashtrade.db.trading_repository import exit_waits, next_up
from dashtrade.db.unit_of_work import UnitOfWork
from dashtrade.domain.bot_views import NewBot
from dashtrade.services import bots

QUEUE = 3000
READ = "SELECT coalesce(sum(seq_tup_read + coalesce(idx_tup_fetch, 0)), 0) FROM pg_stat_xact_user_tables"
FILL = """
INSERT INTO alert_inbox (user_id, bot_id, dedupe_key, dedupe_rule, body_hash, payload, received_at)
SELECT :user, :bot, 'k' || :bot || '-' || n, 'id', md5(n::text), jsonb_build_object('action', :action, 'price', '1'),
       now() - interval '1 hour' + n * interval '1 millisecond'
FROM generate_series(1, :count) n"""


@pytest.mark.parametrize("side", ["LONG", None])
def test_a_long_queue_is_read_a_few_times_at_most(engine, make_user, side):
    user = make_user("ada")
    found = {}
    for symbol in ("AAPL", "MSFT"):
        found[symbol] = bots.create_bot(
            UnitOfWork(engine), user.id, NewBot(symbol, "15 Min", Decimal(1000), is_active=True)
        ).id
    with engine.begin() as connection:
        connection.execute(text("UPDATE user_bot_configs SET current_position_side = :side"), {"side": side})
        for symbol, action, count in (("AAPL", "BUY", QUEUE), ("MSFT", "SELL", 1)):
            values = {"user": user.id, "bot": found[symbol], "action": action, "count": count}
            connection.execute(text(FILL), values)
        # later than all the others, and yet first where it gives up a position
        connection.execute(
            text("UPDATE alert_inbox SET received_at = now() WHERE bot_id = :bot"), {"bot": found["MSFT"]}
        )
    with UnitOfWork(engine) as uow:
        account = uow.session.query(AccountRow).filter_by(user_id=user.id).one()
        before = uow.session.scalar(text(READ))
        waiting = next_up(uow.session, account.id, user.id, account.mode)
        leaves = exit_waits(uow.session, account)
        read = uow.session.scalar(text(READ)) - before
    assert waiting is not None
    assert waiting.symbol == ("MSFT" if side == "LONG" else "AAPL")
    assert leaves == (side == "LONG")
    assert read < 10 * QUEUE, f"{read} rows were read for one alert of a queue of {QUEUE}"
