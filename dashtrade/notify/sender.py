"""Sends messages through one channel, in a process of its own: ``python -m dashtrade.notify.sender``.

The order comes as JSON on stdin, the results go as JSON to stdout. The address never appears on a command line, in the
environment or in the output; what a service says is cut down to its status number, since it may repeat the address.
"""

from __future__ import annotations

import base64
import json
import logging
import mimetypes
import re
import sys

from dashtrade.notify.guard import Guard

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


def main() -> int:
    import apprise
    from apprise.attachment.memory import AttachMemory

    order = json.load(sys.stdin)
    status = _Status()
    logger = logging.getLogger("apprise")
    logger.handlers, logger.propagate = [status], False
    logger.setLevel(logging.DEBUG)
    asset = apprise.AppriseAsset(app_id="DashTrade", app_desc="DashTrade", app_url="", async_mode=False)
    app = apprise.Apprise(asset=asset)
    mimetypes.init()  # reads files of the system, which nothing may from here on
    guard = Guard(bool(order["allow_private"]))
    guard.install()
    results: list[dict[str, object]] = []
    usable = app.add(order["url"])
    for message in order["messages"]:
        guard.refused.clear()
        status.status = None
        picture = message.get("picture")
        attached = picture and AttachMemory(base64.b64decode(picture), name="chart.png", mimetype="image/png")
        text = {"title": message["title"], "body": message["body"], "body_format": "text"}
        sent = usable and bool(app.notify(**text, attach=attached or None))
        if sent:
            results.append({"sent": True})
        elif guard.refused:
            results.append({"sent": False, "error": guard.refused[0], "final": True})
        elif not usable:
            results.append({"sent": False, "error": "The address is not understood.", "final": True})
        else:
            said = f"the service answered {status.status}" if status.status else "the service could not be reached"
            results.append({"sent": False, "error": f"Not delivered: {said}.", "final": False})
    json.dump(results, sys.stdout)
    return 0


if __name__ == "__main__":
    sys.exit(main())
