"""A TCP proxy in front of PostgreSQL that can be closed, stalled, or made to swallow the answer to a COMMIT."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from sqlalchemy.engine import make_url


class PgProxy:
    def __init__(self, url: str) -> None:
        parsed = make_url(url)
        self._target = (parsed.host or "127.0.0.1", parsed.port or 5432)
        self._server = socket.create_server(("127.0.0.1", 0))
        self.url = parsed.set(host="127.0.0.1", port=self._server.getsockname()[1]).render_as_string(
            hide_password=False
        )
        self._pairs: list[tuple[socket.socket, socket.socket]] = []
        self._lock = threading.Lock()
        self.open = True
        # how many COMMITs lose their answer, among transactions that sent this text
        self.swallow_commits = 0
        self.swallow_of = b"INSERT INTO alert_inbox"
        self.flowing = threading.Event()
        self.flowing.set()
        threading.Thread(target=self._accept, daemon=True).start()

    def close_all(self) -> None:
        """Every connection breaks, and no new one is made until ``open`` is set."""
        self.open = False
        self.cut()

    def cut(self) -> None:
        """Every connection breaks; new ones are welcome."""
        with self._lock:
            pairs, self._pairs = self._pairs, []
        for pair in pairs:
            for end in pair:
                with suppress(OSError):
                    end.shutdown(socket.SHUT_RDWR)

    def stop(self) -> None:
        self.close_all()
        self.flowing.set()
        self._server.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._server.accept()
            except OSError:
                return
            if not self.open:
                client.close()
                continue
            try:
                server = socket.create_connection(self._target)
            except OSError:
                client.close()
                continue
            with self._lock:
                self._pairs.append((client, server))
            answer_is_lost = threading.Event()
            threading.Thread(target=self._pump, args=(client, server, answer_is_lost, True), daemon=True).start()
            threading.Thread(target=self._pump, args=(server, client, answer_is_lost, False), daemon=True).start()

    def _pump(self, source: socket.socket, sink: socket.socket, lost: threading.Event, upward: bool) -> None:
        meant = in_transaction = False
        with suppress(OSError):
            while data := source.recv(65536):
                self.flowing.wait()
                meant = meant or (upward and self.swallow_of in data)
                if upward and b"BEGIN" in data:
                    in_transaction = True
                # outside a transaction each statement commits by itself
                if upward and (b"COMMIT\x00" in data or (meant and not in_transaction)):
                    if meant and self.swallow_commits > 0:
                        self.swallow_commits -= 1
                        lost.set()
                    meant = in_transaction = False
                if upward and b"ROLLBACK\x00" in data:
                    in_transaction = False
                if not upward and lost.is_set():
                    break  # the server has committed; its answer never arrives
                sink.sendall(data)
        for end in (source, sink):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)


@contextmanager
def proxied(url: str) -> Iterator[PgProxy]:
    proxy = PgProxy(url)
    try:
        yield proxy
    finally:
        proxy.stop()
