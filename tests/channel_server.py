"""A local HTTP server that takes what channels send, for the tests of notifications."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass
class Receiver:
    """``answers`` are the statuses to give, in order; 200 when they are used up."""

    port: int = 0
    got: list[dict] = field(default_factory=list)
    answers: list[int] = field(default_factory=list)
    location: str | None = None

    @property
    def url(self) -> str:
        return f"json://127.0.0.1:{self.port}/hook-secret"


@contextmanager
def receiver() -> Iterator[Receiver]:
    state = Receiver()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length", 0)))
            status = state.answers.pop(0) if state.answers else 200
            key = self.headers.get("Idempotency-Key")
            state.got.append({"path": self.path, "status": status, "key": key} | json.loads(body))
            self.send_response(status)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    state.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield state
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
