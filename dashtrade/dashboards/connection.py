"""The websocket between a page and its kernel: widget traffic only, and no traceback to the browser."""

from __future__ import annotations

import json
import struct
from typing import Any

from jupyter_server.services.kernels.connection.channels import ZMQChannelsWebsocketConnection
from voila.tornado.kernel_websocket_handler import VoilaKernelWebsocketHandler

#: What a page may send. Not: execute, input, shutdown, interrupt, debug, history, completion.
ALLOWED_MESSAGES = ["comm_open", "comm_close", "comm_msg", "comm_info_request", "kernel_info_request"]
ALLOWED_CHANNELS = ("shell", "control")

PROTOCOL_V1 = "v1.kernel.websocket.jupyter.org"
CONTENT = 3  # place of the content among the parts of a message: header, parent header, metadata, content
NOTICE = "Something went wrong. It has been logged; reload the page or tell the administrator."


class PageConnection(ZMQChannelsWebsocketConnection):
    """Errors are logged here with their traceback; the browser gets one sentence.

    (jupyter_server's own switch, ``allow_tracebacks=False``, ends the connection at the first error.)
    """

    def handle_incoming_message(self, incoming_msg: Any) -> None:
        try:
            super().handle_incoming_message(incoming_msg)
        except (ValueError, KeyError, IndexError, TypeError, AssertionError, AttributeError, struct.error) as error:
            self.log.warning("Kernel %s: a message that is none (%s)", self.kernel_id, type(error).__name__)
            self.websocket_handler.close(1003, "not a message")

    def _on_error(self, channel: str, msg: dict[str, Any], msg_list: list[Any]) -> None:
        if channel != "iopub":
            return
        kind = self.get_part("header", msg["header"], msg_list)["msg_type"]
        if kind not in ("error", "stream"):
            return
        content = self.get_part("content", msg["content"], msg_list)
        if kind == "error":
            trace = "\n".join(content.get("traceback", ()))
            self.log.error("Kernel %s: %s: %s\n%s", self.kernel_id, content.get("ename"), content.get("evalue"), trace)
            shown = {"ename": "Error", "evalue": NOTICE, "traceback": []}
        elif content.get("name") == "stderr":
            self.log.warning("Kernel %s: %s", self.kernel_id, str(content.get("text")).rstrip())
            shown = {"name": "stderr", "text": ""}
        else:
            return
        msg["content"] = shown
        if self.subprotocol == PROTOCOL_V1:
            msg_list[CONTENT] = self.session.pack(shown)


class KernelSocket(VoilaKernelWebsocketHandler):
    """The owner's page only: jupyter_server asks :class:`OwnerAuthorizer` before the socket opens."""

    def on_message(self, ws_message: str | bytes) -> None:
        if self.connection is None:
            return
        if (channel := channel_of(ws_message)) not in ALLOWED_CHANNELS:
            self.log.warning("Kernel %s: a message for the channel %r was dropped", self.kernel_id, channel)
            return
        super().on_message(ws_message)


def channel_of(message: str | bytes) -> str | None:
    """The channel a raw message names, in either wire format; None when it cannot be read."""
    try:
        if isinstance(message, str):
            channel = json.loads(message).get("channel", "shell")
            return channel if isinstance(channel, str) else None
        (count,) = struct.unpack_from("<Q", message)
        if not 0 < count < 64:
            return None
        begin, end = struct.unpack_from("<2Q", message, 8)
        return message[begin:end].decode("utf-8")
    except (ValueError, AttributeError, struct.error):
        return None
