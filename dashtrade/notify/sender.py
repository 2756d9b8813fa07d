"""Sends messages through one channel, in a process of its own: ``python -m dashtrade.notify.sender``.

The order comes as JSON on stdin. What is begun and what came of it goes to stdout, a line of JSON each, as it happens:
stdout is a file that outlives whoever started this process. The address never appears on a command line, in the
environment or in the output; what a service says is cut down to its status number, since it may repeat the address.
"""

from __future__ import annotations

import base64
import contextlib
import json
import logging
import mimetypes
import os
import re
import signal
import sys
from typing import Any

from dashtrade.notify.guard import Guard

_OWN = frozenset({"json", "jsons", "xml", "xmls", "form", "forms"})
_STATUS = re.compile(r"error=(\d{3})")


class _Status(logging.Handler):
    """Keeps the HTTP status from the library's log records."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.status: str | None = None

    def emit(self, record: logging.LogRecord) -> None:
        found = _STATUS.search(record.getMessage())
        if found:
            self.status = found[1]


def _write(**said: object) -> None:
    """One line of the diary, on the disk before the program goes on."""
    sys.stdout.write(json.dumps(said) + "\n")
    sys.stdout.flush()
    with contextlib.suppress(OSError):  # a pipe cannot be synced
        os.fsync(sys.stdout.fileno())


def _with_key(plugin: Any, scheme: str, key: str) -> None:
    """Web services of one's own are told which message it is; others know no such field."""
    if scheme in _OWN and key:
        plugin.headers["Idempotency-Key"] = key


def main() -> int:
    import apprise
    from apprise.attachment.memory import AttachMemory

    order = json.load(sys.stdin)
    # who started this process may be gone, so it ends itself before anybody takes its messages over
    signal.setitimer(signal.ITIMER_REAL, float(order["seconds"]))
    status = _Status()
    logger = logging.getLogger("apprise")
    logger.handlers, logger.propagate = [status], False
    logger.setLevel(logging.DEBUG)
    asset = apprise.AppriseAsset(app_id="DashTrade", app_desc="DashTrade", app_url="", async_mode=False)
    plugin: Any = apprise.Apprise.instantiate(order["url"], asset=asset)
    app = apprise.Apprise(asset=asset)
    mimetypes.init()  # reads files of the system, which nothing may from here on
    guard = Guard(bool(order["allow_private"]))
    guard.install()
    usable = plugin is not None and app.add(plugin)
    scheme = str(order["url"]).partition("://")[0].lower()
    for number, message in enumerate(order["messages"]):
        guard.refused.clear()
        status.status = None
        picture = message.get("picture")
        attached = picture and AttachMemory(base64.b64decode(picture), name="chart.png", mimetype="image/png")
        text = {"title": message["title"], "body": message["body"], "body_format": "text"}
        if usable:
            _with_key(plugin, scheme, message.get("key", ""))
            _write(number=number, begins=True)
        sent = usable and bool(app.notify(**text, attach=attached or None))
        if sent:
            _write(number=number, sent=True)
        elif guard.refused:
            _write(number=number, sent=False, error=guard.refused[0], final=True)
        elif not usable:
            _write(number=number, sent=False, error="The address is not understood.", final=True)
        else:
            said = f"the service answered {status.status}" if status.status else "the service could not be reached"
            _write(number=number, sent=False, error=f"Not delivered: {said}.", final=False)
    return 0


if __name__ == "__main__":
    sys.exit(main())
