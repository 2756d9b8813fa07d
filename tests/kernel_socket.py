"""A hand-made client of the kernel websocket, to send what no page would."""

from __future__ import annotations

import json
import struct
import uuid
from typing import Any

from websockets.sync.client import ClientConnection, connect

PROTOCOL = "v1.kernel.websocket.jupyter.org"


def socket_url(server_url: str, kernel_id: str) -> str:
    return f"{server_url.replace('http', 'ws', 1)}api/kernels/{kernel_id}/channels?session_id={uuid.uuid4().hex}"


class KernelSocket:
    """``cookies`` is the Cookie header; ``origin`` the Origin header a browser would send."""

    def __init__(
        self,
        server_url: str,
        kernel_id: str,
        cookies: str = "",
        origin: str | None = None,
        protocol: str | None = PROTOCOL,
    ) -> None:
        headers = {"Cookie": cookies} if cookies else {}
        if origin:
            headers["Origin"] = origin
        self.connection: ClientConnection = connect(
            socket_url(server_url, kernel_id),
            additional_headers=headers,
            subprotocols=[protocol] if protocol else None,
            max_size=None,
            open_timeout=30,
        )

    def __enter__(self) -> KernelSocket:
        return self

    def __exit__(self, *_: object) -> None:
        self.connection.close()

    def send(
        self, kind: str, content: dict[str, Any], channel: str = "shell", metadata: dict[str, Any] | None = None
    ) -> str:
        """Send one message; its id."""
        message_id = uuid.uuid4().hex
        header = {
            "msg_id": message_id,
            "username": "x",
            "session": "x",
            "date": "2026-01-01T00:00:00Z",
            "msg_type": kind,
            "version": "5.3",
        }
        self.connection.send(pack(channel, [header, {}, metadata or {}, content]))
        return message_id

    def receive(self, timeout: float = 20) -> tuple[str, dict[str, Any], dict[str, Any], dict[str, Any]]:
        """Channel, header, parent header and content of the next message."""
        raw = self.connection.recv(timeout)
        assert isinstance(raw, bytes)
        (count,) = struct.unpack_from("<Q", raw)
        marks = struct.unpack_from(f"<{count}Q", raw, 8)
        parts = [raw[marks[i] : marks[i + 1]] for i in range(count - 1)]
        header, parent, _, content = (json.loads(part) for part in parts[1:5])
        return parts[0].decode(), header, parent, content

    def until_reply(
        self, message_id: str, kind: str
    ) -> list[tuple[str, dict[str, Any], dict[str, Any], dict[str, Any]]]:
        """Every message up to the one of this kind that answers ``message_id``, that one included."""
        seen = []
        while True:
            message = self.receive()
            seen.append(message)
            if message[1]["msg_type"] == kind and message[2].get("msg_id") == message_id:
                return seen

    def until_idle(self, message_id: str) -> list[tuple[str, dict[str, Any], dict[str, Any], dict[str, Any]]]:
        """Every message until the kernel is done with ``message_id``."""
        seen = []
        while True:
            message = self.receive()
            seen.append(message)
            _, header, parent, content = message
            if (
                header["msg_type"] == "status"
                and content["execution_state"] == "idle"
                and parent.get("msg_id") == message_id
            ):
                return seen

    def info(self) -> None:
        """Ask for the kernel's info and wait for the answer: everything sent before has been dealt with."""
        self.until_reply(self.send("kernel_info_request", {}), "kernel_info_reply")

    def widgets(self) -> dict[str, dict[str, Any]]:
        """Comm id → state of every widget in the kernel."""
        control = uuid.uuid4().hex
        asked = self.send(
            "comm_open",
            {"comm_id": control, "target_name": "jupyter.widget.control", "data": {}, "target_module": None},
            metadata={"version": "1.0.0"},
        )
        self.until_idle(asked)
        asked = self.send("comm_msg", {"comm_id": control, "data": {"method": "request_states"}})
        for _, header, _, content in self.until_idle(asked):
            if header["msg_type"] == "comm_msg" and content["data"].get("method") == "update_states":
                return {key: value["state"] for key, value in content["data"]["states"].items()}
        raise AssertionError("no states came")

    def widget(self, **state: Any) -> str:
        """Comm id of the one widget whose state has these values."""
        found = [
            key for key, has in self.widgets().items() if all(has.get(name) == value for name, value in state.items())
        ]
        assert len(found) == 1, found
        return found[0]

    def click(self, comm_id: str) -> list[tuple[str, dict[str, Any], dict[str, Any], dict[str, Any]]]:
        return self.until_idle(
            self.send("comm_msg", {"comm_id": comm_id, "data": {"method": "custom", "content": {"event": "click"}}})
        )


def pack(channel: str, parts: list[Any]) -> bytes:
    """One message in the wire format the browser uses."""
    blocks = [channel.encode(), *(json.dumps(part).encode() for part in parts)]
    marks = [8 * (len(blocks) + 2)]
    for block in blocks:
        marks.append(marks[-1] + len(block))
    return struct.pack(f"<{len(marks) + 1}Q", len(marks), *marks) + b"".join(blocks)
