"""LISTEN on PostgreSQL in a thread of its own, reconnecting for as long as it takes.

A notice is a hint to look at the tables, never the truth: while the connection is down notices are lost, so every
listener also polls. ``on_notice`` is called with channel None after each (re)connection, to say "look now".
"""

from __future__ import annotations

import select
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress

import psycopg2
import psycopg2.extensions
import structlog
from sqlalchemy import Engine, text
from sqlalchemy.orm import Session

from dashtrade.db.engine import libpq_url

log = structlog.get_logger(__name__)
RETRY_SECONDS = 0.5
ALIVE = 0x64617368  # first number of the advisory locks that say "I live"


def is_alive(session: Session, key: int) -> bool:
    """Whether the listener with this ``alive_key`` is connected."""
    free = session.scalar(text("SELECT pg_try_advisory_xact_lock(:kind, :key)"), {"kind": ALIVE, "key": key})
    return not free


class Listener:
    """``start()`` and ``stop()``; ``connected`` says whether notices arrive now."""

    def __init__(
        self,
        engine: Engine,
        channels: Sequence[str],
        on_notice: Callable[[str | None, str], None],
        *,
        alive_key: int | None = None,
    ) -> None:
        """With ``alive_key`` the connection holds an advisory lock as long as it lives, so that others see at once when
        this process is gone (see :func:`is_alive`)."""
        self._url = libpq_url(engine.url.render_as_string(hide_password=False))
        self._channels = tuple(channels)
        self._on_notice = on_notice
        self._alive_key = alive_key
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="listen", daemon=True)
        self.connected = threading.Event()

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join(timeout=3)

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                self._listen()
            except psycopg2.Error as error:
                log.warning("listen_lost", reason=type(error).__name__)
            self.connected.clear()
            self._stop.wait(RETRY_SECONDS)

    def _listen(self) -> None:
        connection = psycopg2.connect(self._url, connect_timeout=3, application_name="dashtrade-listen")
        try:
            connection.set_isolation_level(psycopg2.extensions.ISOLATION_LEVEL_AUTOCOMMIT)
            with connection.cursor() as cursor:
                for channel in self._channels:
                    cursor.execute(f'LISTEN "{channel}"')
                if self._alive_key is not None:
                    cursor.execute("SELECT pg_advisory_lock(%s, %s)", (ALIVE, self._alive_key))
            self.connected.set()
            self._on_notice(None, "")
            while not self._stop.is_set():
                ready, _, _ = select.select([connection], [], [], 0.5)
                if not ready:
                    continue
                connection.poll()
                while connection.notifies:
                    notice = connection.notifies.pop(0)
                    self._on_notice(notice.channel, notice.payload)
        finally:
            with suppress(psycopg2.Error):
                connection.close()
