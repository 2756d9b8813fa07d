"""A passphrase for one bot, which its alerts must name in their body beside the token in the address."""

from __future__ import annotations

from sqlalchemy import select

from dashtrade.auth.passphrases import hash_passphrase
from dashtrade.db.tables.trading import BotRow
from dashtrade.db.unit_of_work import UnitOfWork
from dashtrade.errors import NotFound
from dashtrade.services import audit
from dashtrade.services.work import working


def set_passphrase(uow: UnitOfWork, user_id: int, bot_id: int, passphrase: str | None) -> None:
    """From now on alerts of this bot need it; None asks for none. It is kept as a hash and never shown again.

    Raises NotFound for a bot of somebody else, InvalidInput for a passphrase that is too short.
    """
    hashed = None if passphrase is None else hash_passphrase(passphrase)
    with working(uow) as work:
        query = select(BotRow).where(BotRow.id == bot_id, BotRow.user_id == user_id, BotRow.deleted_at.is_(None))
        row = work.session.scalar(query.with_for_update())
        if row is None:
            raise NotFound(f"You have no bot {bot_id}.")
        row.passphrase_hash = hashed
        kind = "bot_passphrase_removed" if hashed is None else "bot_passphrase_set"
        audit.record(work, kind, actor_id=user_id, user_id=user_id, bot=bot_id)
        work.commit()
