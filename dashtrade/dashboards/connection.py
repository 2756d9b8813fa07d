"""The websocket between a page and its kernel: widget traffic only, and no traceback to the browser."""

from __future__ import annotations

import asyncio
import struct
from contextlib import ExitStack
from typing import Any

from jupyter_server.services.kernels.connection.channels import ZMQChannelsWebsocketConnection
from tornado import web
from tornado.websocket import WebSocketClosedError, WebSocketProtocol
from voila.tornado.kernel_websocket_handler import VoilaKernelWebsocketHandler

from dashtrade.dashboards.errors import Screens

#: What a page may send. Not: execute, input, shutdown, interrupt, debug, history, completion.
ALLOWED_MESSAGES = ["comm_open", "comm_close", "comm_msg", "comm_info_request", "kernel_info_request"]
ALLOWED_CHANNELS = ("shell", "control")

#: The channel, four parts, and the buffers of large arrays: more than any widget sends at once.
MOST_PARTS = 4096
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
        except (ValueError, KeyError, IndexError, TypeError, AssertionError, AttributeError):
            handler: Any = self.websocket_handler
            handler.refuse()

    state = "new"  # then connected, then ended
    over: asyncio.Event  # the kernel has ended

    async def prepare(self) -> None:
        """Asks the kernel for its info. Raises 404 when it has ended, also meanwhile: Jupyter would wait a minute for
        it to come alive, or for its answer."""
        self.over = asyncio.Event()
        handler: Any = self.websocket_handler
        kernels = self.multi_kernel_manager
        kernels.socket_opened(self.kernel_id, handler.kernel_ended)
        if not await self.kernel_manager.is_alive():
            await kernels.bury(self.kernel_id)  # nobody has noticed yet
        asked, ended = asyncio.ensure_future(super().prepare()), asyncio.ensure_future(self.over.wait())
        await asyncio.wait({asked, ended}, return_when=asyncio.FIRST_COMPLETED)
        ended.cancel()
        if self.over.is_set():
            self.disconnect()
            asked.cancel()
            await asyncio.gather(asked, return_exceptions=True)
            raise web.HTTPError(404)
        await asked

    def connect(self) -> Any:
        self.state = "connected"
        return super().connect()

    def disconnect(self) -> Any:
        """Once, since a newer socket of the page may have ended this one before its browser's leaving is noticed. What
        was never connected is not counted as a connection: only its question to the kernel is given up."""
        before, self.state = self.state, "ended"
        if before == "connected":
            super().disconnect()
        elif before == "new":
            if self._open_sessions.get(self.session_key) is self.websocket_handler:
                self._open_sessions.pop(self.session_key)
            if self.kernel_info_channel is not None and not self.kernel_info_channel.closed():
                self.kernel_info_channel.close()
                if not self._kernel_info_future.done():
                    self._kernel_info_future.set_result({})
                if getattr(self.kernel_manager, "_kernel_info_future", None) is self._kernel_info_future:
                    del self.kernel_manager._kernel_info_future
            self.kernel_info_channel = None

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


class KernelSocket(Screens, VoilaKernelWebsocketHandler):
    """The owner's page only: jupyter_server asks :class:`OwnerAuthorizer` before the socket opens.

    Messages are looked at before jupyter_server reads them, which trusts the lengths they claim: five bytes in the old
    wire format would keep the whole server busy for seconds. So only the new format is spoken.
    """

    refused = False
    gone = False
    connection: Any = None
    kernel_id = ""  # known once the request is read

    def get_websocket_protocol(self) -> WebSocketProtocol | None:
        """Jupyter asks for signs of life by itself, with settings in milliseconds that Tornado would take for
        seconds."""
        protocol: Any = super().get_websocket_protocol()
        if protocol is not None:
            protocol.params.ping_interval = protocol.params.ping_timeout = 0
        return protocol

    async def pre_get(self) -> None:
        """Asks the kernel, which takes a moment; a browser that leaves meanwhile has taken the connection along."""
        with ExitStack() as unfinished:
            unfinished.callback(self._let_go)
            await super().pre_get()
            if self.gone:
                raise web.Finish
            unfinished.pop_all()

    def _let_go(self) -> None:
        self.kernel_manager.socket_closed(self.kernel_id, self.kernel_ended)
        if self.connection is not None:
            self.connection.disconnect()

    async def open(self, kernel_id: str) -> None:
        if self.refused:  # it ended while the browser was told that the socket is open
            self.kernel_ended()
        else:
            await super().open(kernel_id)

    def kernel_ended(self) -> None:
        """Nothing more is read either: a browser may take its time to answer that the socket closes."""
        self.refused = True
        if self.connection is not None:
            self.connection.over.set()
        self.close(1001, "the page has ended")

    def on_close(self) -> None:
        self.gone = True
        self.kernel_manager.socket_closed(self.kernel_id, self.kernel_ended)
        if self.connection is not None:  # else it left before there was one
            super().on_close()

    def on_message(self, ws_message: str | bytes) -> None:
        if self.connection is None or self.refused:
            return
        channel = channel_of(ws_message) if self.selected_subprotocol == PROTOCOL_V1 else None
        if channel is None:
            self.refuse()
        elif channel in ALLOWED_CHANNELS:
            super().on_message(ws_message)
        else:
            self.log.warning("Kernel %s: a message for the channel %r was dropped", self.kernel_id, channel[:20])

    def write_message(self, *args: Any, **kwargs: Any) -> Any:
        """Jupyter waits for nothing it sends, and would report each message to a browser that has just left as a
        fault."""
        try:
            sent = super().write_message(*args, **kwargs)
        except WebSocketClosedError:
            return None
        sent.add_done_callback(lambda done: done.cancelled() or done.exception())
        return sent

    def refuse(self) -> None:
        """End the socket; what still arrives on it is not read."""
        self.refused = True
        self.log.warning("Kernel %s: something that is no message", self.kernel_id)
        self.close(1003, "not a message")


def channel_of(message: str | bytes) -> str | None:
    """The channel a raw message names; None when it cannot be one."""
    if not isinstance(message, bytes):
        return None
    try:
        (count,) = struct.unpack_from("<Q", message)
        if not 6 <= count <= MOST_PARTS:
            return None
        marks = struct.unpack_from(f"<{count}Q", message, 8)
        if list(marks) != sorted(marks) or marks[-1] > len(message):
            return None
        return message[marks[0] : marks[1]].decode("utf-8")
    except (ValueError, struct.error):
        return None
