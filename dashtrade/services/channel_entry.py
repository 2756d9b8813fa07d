"""Adding a channel from a process without the encryption key, which can never read the address back."""

from __future__ import annotations

from functools import partial
from typing import Any

from dashtrade.auth.vault import seal_to
from dashtrade.db.unit_of_work import UnitOfWork
from dashtrade.services.api_keys import public_key
from dashtrade.services.channels import Channel, add_channel
from dashtrade.services.work import working


def enter_channel(uow: UnitOfWork, user_id: int, name: str, url: str, **settings: Any) -> Channel:
    """Like :func:`add_channel`, sealed to the published public key.

    Raises ConfigurationError while none is published, InvalidInput for an address that is not understood; no error
    repeats the address.
    """
    with working(uow) as work:
        return add_channel(work, user_id, partial(seal_to, public_key(work, "Channels")), name, url, **settings)
