"""Whose kernel it is, what may be said to it, and what it knows."""

from __future__ import annotations

import json
import re
import struct
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from socket import SO_LINGER, SOL_SOCKET, create_connection
from socket import socket as Connection
from urllib.parse import urlsplit

import httpx
import psutil
import pytest
from dashboards_server import DashboardsServer, kernel_of
from kernel_socket import KernelSocket, pack
from websockets.exceptions import ConnectionClosed, InvalidStatus

from dashtrade.dashboards.zygote.child import NICENESS


def command_of(process: psutil.Process) -> list[str]:
    """Nothing where it has ended: pages of earlier tests may be ending meanwhile."""
    try:
        return process.cmdline()
    except psutil.NoSuchProcess:
        return []


def nice_of(process: psutil.Process) -> int | None:
    try:
        return process.nice()
    except psutil.NoSuchProcess:
        return None


def cookies_of(client: httpx.Client) -> str:
    return "; ".join(f"{cookie.name}={cookie.value}" for cookie in client.cookies.jar)


@contextmanager
def opened(server: DashboardsServer, username: str, slug: str = "hello") -> Iterator[tuple[httpx.Client, str]]:
    """A signed-in browser with a page, and the page's kernel; closed like a browser closes it."""
    with server.with_session(username) as client:
        kernel_id = kernel_of(client.get(slug).text)
        try:
            yield client, kernel_id
        finally:
            client.post(f"voila/api/shutdown/{kernel_id}", headers={"X-XSRFToken": client.cookies.get("_xsrf", "")})


def test_a_page_works_over_its_own_socket(guarded: DashboardsServer) -> None:
    with (
        opened(guarded, "ada") as (client, kernel_id),
        KernelSocket(guarded.url, kernel_id, cookies_of(client)) as socket,
    ):
        seen = socket.click(socket.widget(description="Say it"))
    changes = [
        content["data"]["state"]
        for _, header, _, content in seen
        if header["msg_type"] == "comm_msg" and "state" in content["data"]
    ]
    assert {"value": "said by ada"} in changes


def test_output_that_comes_late_is_on_the_page(guarded: DashboardsServer) -> None:
    with guarded.with_session("ada") as client:
        assert "here after all" in client.get("late").text


@pytest.mark.parametrize("slug", ["empty", "dying"])
def test_a_page_with_nothing_to_show_says_so(guarded: DashboardsServer, slug: str) -> None:
    """The browser would wait for it behind the page's skeleton."""
    with guarded.with_session("bob") as client:
        html = client.get(slug).text
        client.post(f"voila/api/shutdown/{kernel_of(html)}", headers={"X-XSRFToken": client.cookies.get("_xsrf", "")})
    assert "could not be shown" in html and 'class="dt-panel dt-failed"' in html and html.rstrip().endswith("</html>")


def test_whoever_leaves_while_a_page_is_built_leaves_nothing_behind(guarded: DashboardsServer) -> None:
    with guarded.with_session("victim") as client:
        for _ in range(9):
            with client.stream("GET", "late") as answer:
                kernel_id = kernel_of("".join(first_part(answer)))
        deadline = time.monotonic() + 30
        while client.get(f"api/kernels/{kernel_id}").status_code != 404:
            assert time.monotonic() < deadline
            time.sleep(0.1)


def first_part(answer: httpx.Response) -> Iterator[str]:
    """The page's text up to where it waits for its kernel."""
    for text in answer.iter_text():
        yield text
        if "<!--flush-->" in text:
            return


@pytest.mark.parametrize("intruder", ["bob", "grace", None])
def test_nobody_else_reaches_a_kernel(guarded: DashboardsServer, intruder: str | None) -> None:
    with opened(guarded, "ada") as (owner, kernel_id):
        with guarded.with_session(intruder) if intruder else guarded.client() as other:
            other.get("login")
            token = other.cookies.get("_xsrf", "")
            for method, path in (
                ("GET", f"api/kernels/{kernel_id}"),
                ("DELETE", f"api/kernels/{kernel_id}"),
                ("POST", f"api/kernels/{kernel_id}/restart"),
                ("POST", f"api/kernels/{kernel_id}/interrupt"),
                ("POST", f"voila/api/shutdown/{kernel_id}"),
                ("GET", f"voila/query/{kernel_id}"),
                ("GET", f"voila/execution/{kernel_id}"),
            ):
                answer = other.request(method, path, headers={"X-XSRFToken": token})
                assert answer.status_code in (302, 403, 404, 405), (method, path, answer.status_code)
            with pytest.raises(InvalidStatus) as refused:
                KernelSocket(guarded.url, kernel_id, cookies_of(other))
            assert refused.value.response.status_code == 403
            assert "write_error" not in guarded.log_text(), "a refusal is no error of the server"
        assert owner.get(f"api/kernels/{kernel_id}").json()["id"] == kernel_id


def test_a_kernel_that_is_not_there_answers_like_somebody_elses(guarded: DashboardsServer) -> None:
    with opened(guarded, "ada") as (_, kernel_id), guarded.with_session("bob") as bob:
        theirs = bob.get(f"api/kernels/{kernel_id}")
        none = bob.get(f"api/kernels/{uuid.uuid4()}")
        assert (theirs.status_code, theirs.text) == (none.status_code, none.text)
        codes = []
        for wanted in (kernel_id, str(uuid.uuid4())):
            with pytest.raises(InvalidStatus) as refused:
                KernelSocket(guarded.url, wanted, cookies_of(bob))
            codes.append(refused.value.response.status_code)
        assert codes == [403, 403]


def test_the_owner_cannot_restart_or_delete_either(guarded: DashboardsServer) -> None:
    with opened(guarded, "ada") as (client, kernel_id):
        token = {"X-XSRFToken": client.cookies["_xsrf"]}
        assert client.delete(f"api/kernels/{kernel_id}", headers=token).status_code == 405
        assert client.post(f"api/kernels/{kernel_id}/restart", headers=token).status_code == 404
        assert client.post("api/kernels", headers=token, json={"name": "python3"}).status_code == 404
        assert client.get(f"api/kernels/{kernel_id}").status_code == 200


def test_closing_needs_the_form_token(guarded: DashboardsServer) -> None:
    with opened(guarded, "ada") as (client, kernel_id):
        assert client.post(f"voila/api/shutdown/{kernel_id}").status_code == 403
        assert client.get(f"api/kernels/{kernel_id}").status_code == 200
        token = {"X-XSRFToken": client.cookies["_xsrf"]}
        assert client.post(f"voila/api/shutdown/{kernel_id}", headers=token).status_code == 204
        assert client.get(f"api/kernels/{kernel_id}").status_code == 404


FORBIDDEN: list[tuple[str, str, dict[str, object]]] = [
    (
        "execute_request",
        "shell",
        {"code": "CODE", "silent": False, "store_history": False, "user_expressions": {}, "allow_stdin": False},
    ),
    (
        "execute_request",
        "control",
        {"code": "CODE", "silent": True, "store_history": False, "user_expressions": {"a": "CODE"}},
    ),
    ("input_reply", "stdin", {"value": "CODE"}),
    ("complete_request", "shell", {"code": "CODE.", "cursor_pos": 5}),
    ("inspect_request", "shell", {"code": "CODE", "cursor_pos": 2, "detail_level": 0}),
    ("debug_request", "control", {"type": "request", "command": "evaluate", "arguments": {"expression": "CODE"}}),
    ("create_subshell_request", "control", {}),
    ("history_request", "shell", {"output": False, "raw": True, "hist_access_type": "tail", "n": 5}),
    ("shutdown_request", "control", {"restart": False}),
    ("interrupt_request", "control", {}),
]


def asked_for(server: DashboardsServer, kernel_id: str, client: httpx.Client) -> Connection:
    """A connection over which a browser has asked for the kernel's socket; nothing has been read of the answer."""
    address = urlsplit(server.url)
    lines = (
        f"GET {address.path}api/kernels/{kernel_id}/channels?session_id=a HTTP/1.1", f"Host: {address.netloc}",
        f"Origin: http://{address.netloc}", "Connection: Upgrade", "Upgrade: websocket",
        "Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
        "Sec-WebSocket-Protocol: v1.kernel.websocket.jupyter.org", f"Cookie: {cookies_of(client)}", "", "",
    )  # fmt: skip
    connection = create_connection((address.hostname or "", address.port or 0), timeout=30)
    connection.sendall("\r\n".join(lines).encode())
    return connection


@pytest.mark.parametrize("seconds", [0.0, 0.002, 0.01])
def test_a_socket_that_is_cut_while_it_opens_is_no_error(guarded: DashboardsServer, seconds: float) -> None:
    before = len(guarded.log_text())
    with opened(guarded, "ada") as (client, kernel_id):
        for _ in range(8):
            with asked_for(guarded, kernel_id, client) as cut:
                time.sleep(seconds)
                cut.setsockopt(SOL_SOCKET, SO_LINGER, struct.pack("ii", 1, 0))  # reset, as by a dying network
        assert client.get(f"api/kernels/{kernel_id}").status_code == 200, "after all of them, since it came last"
        with KernelSocket(guarded.url, kernel_id, cookies_of(client)) as socket:
            assert socket.click(socket.widget(description="Say it"))
    said = guarded.log_text()[before:]
    assert "Traceback" not in said and "Uncaught" not in said, said


def test_a_browser_can_only_talk_to_widgets(guarded: DashboardsServer, tmp_path: Path) -> None:
    mark = tmp_path / "executed"
    code = f"open({str(mark)!r}, 'w').close()"
    with (
        opened(guarded, "ada") as (client, kernel_id),
        KernelSocket(guarded.url, kernel_id, cookies_of(client)) as socket,
    ):
        for kind, channel, template in FORBIDDEN:
            content = json.loads(json.dumps(template).replace("CODE", code.replace("\\", "\\\\").replace('"', '\\"')))
            refused = socket.send(kind, content, channel)
            seen = socket.until_reply(socket.send("kernel_info_request", {}), "kernel_info_reply")
            answers = [header["msg_type"] for _, header, parent, _ in seen if parent.get("msg_id") == refused]
            assert answers == [], kind
        assert client.get(f"api/kernels/{kernel_id}").status_code == 200
    assert not mark.exists()


def test_an_error_in_a_callback_tells_the_browser_nothing(guarded: DashboardsServer) -> None:
    with (
        opened(guarded, "ada") as (client, kernel_id),
        KernelSocket(guarded.url, kernel_id, cookies_of(client)) as socket,
    ):
        seen = socket.click(socket.widget(description="Fail"))
        text = json.dumps(seen)
        assert "private-detail-4711" not in text
        assert "Traceback" not in text
        assert "RuntimeError" not in text
        again = socket.click(socket.widget(description="Say it"))  # and the page lives on
        assert "said by ada" in json.dumps(again)
    assert "private-detail-4711" in guarded.log_text()


BROKEN: list[bytes | str] = [
    b"",
    b"\x00" * 7,
    b"\xff" * 64,
    b"\x06" + b"\x00" * 7 + b"\xff" * 48,
    pack("shell", [1, {}, {}, {}]),
    pack("shell", [{}, {}, {}, {}]),
    pack("iopub", [{"msg_type": "comm_msg"}, {}, {}, {}]),
    pack("nothing", [{"msg_type": "comm_msg"}, {}, {}, {}]),
    "not bytes",
    "{}",
    '{"channel": "shell", "header": {"msg_type": "execute_request"}}',
]


def test_broken_messages_do_no_harm(guarded: DashboardsServer) -> None:
    with opened(guarded, "ada") as (client, kernel_id):
        for message in BROKEN:
            with KernelSocket(guarded.url, kernel_id, cookies_of(client)) as socket:
                try:
                    socket.connection.send(message)
                    socket.info()
                except ConnectionClosed:
                    pass
        with KernelSocket(guarded.url, kernel_id, cookies_of(client)) as socket:
            socket.info()


def test_the_old_wire_format_is_not_spoken(guarded: DashboardsServer) -> None:
    """Reading it would make room for as many numbers as the first bytes claim."""
    first: list[bytes | str] = [b"\x06\x00\x00\x00\x00", b"\x7f\xff\xff\xff", '{"channel": "shell"}']
    with opened(guarded, "ada") as (client, kernel_id):
        for message in first:
            with KernelSocket(guarded.url, kernel_id, cookies_of(client), protocol=None) as socket:
                socket.connection.send(message)
                with pytest.raises(ConnectionClosed) as closed:
                    while True:
                        socket.connection.recv(20)
            assert closed.value.rcvd is not None
            assert closed.value.rcvd.code == 1003
        assert client.get(f"api/kernels/{kernel_id}").status_code == 200


def test_a_message_that_is_too_large_ends_the_socket_and_nothing_else(guarded: DashboardsServer) -> None:
    with opened(guarded, "ada") as (client, kernel_id):
        with (
            KernelSocket(guarded.url, kernel_id, cookies_of(client)) as socket,
            pytest.raises(ConnectionClosed) as closed,
        ):
            socket.send("comm_msg", {"comm_id": "x", "data": {"text": "x" * (17 * 1024 * 1024)}})
            socket.info()
        assert closed.value.rcvd is None or closed.value.rcvd.code == 1009
        with KernelSocket(guarded.url, kernel_id, cookies_of(client)) as socket:
            socket.info()


def test_messages_for_anothers_widget_stay_in_ones_own_kernel(guarded: DashboardsServer) -> None:
    with (
        opened(guarded, "ada") as (ada, hers),
        opened(guarded, "bob") as (bob, his),
        KernelSocket(guarded.url, hers, cookies_of(ada)) as victim,
        KernelSocket(guarded.url, his, cookies_of(bob)) as attacker,
    ):
        attacker.click(victim.widget(description="Say it"))
        label = victim.widgets()[victim.widget(value="hello ada")]
    assert label["value"] == "hello ada"


def environment_of(client: httpx.Client, query: str = "", **headers: str) -> dict[str, str]:
    """What the kernel of the page says it knows."""
    text = client.get(f"environment{query}", headers=headers).text
    found = re.search(r'<script type="application/vnd.voila.cell-output\+json">(.*?)</script>', text, re.DOTALL)
    assert found, text
    return dict(json.loads(found.group(1))["data"]["application/json"])


def test_a_kernel_knows_who_and_where_and_no_secret(guarded: DashboardsServer) -> None:
    with guarded.with_session("ada") as client:
        known = environment_of(client, "?symbol=AAPL")
        session = client.cookies["dashtrade_session"]
    assert known["DASHTRADE_USERNAME"] == "ada"
    assert known["DASHTRADE_ROLE"] == "user"
    assert int(known["DASHTRADE_USER_ID"]) > 0
    assert known["QUERY_STRING"] == "symbol=AAPL"
    assert known["DASHTRADE_DATA_DIR"] == str(guarded.data_dir)
    assert known["DASHTRADE_SOURCES"] == "sample"
    assert known["DATABASE_URL"].endswith("?application_name=pages")
    assert "DASHTRADE_PAGES_DATABASE_URL" not in known
    assert "ENCRYPTION_KEY" not in known
    for value in ("secret-encryption-key", "secret-session-key", "secret-of-the-operator", session):
        assert value not in json.dumps(known)


def test_a_browser_cannot_say_who_it_is(guarded: DashboardsServer) -> None:
    with guarded.with_session("ada") as client:
        known = environment_of(
            client,
            "?DASHTRADE_USERNAME=grace&x=%0aDASHTRADE_ROLE=admin",
            **{"Dashtrade-Username": "grace", "X-Remote-User": "grace", "Remote-User": "grace", "Host": "127.0.0.1"},
        )
    assert known["DASHTRADE_USERNAME"] == "ada"
    assert known["DASHTRADE_ROLE"] == "user"
    assert not [name for name in known if name.startswith("HTTP_")]


def test_too_many_pages_get_a_screen_that_says_so(guarded: DashboardsServer) -> None:
    with guarded.with_session("mallory") as client:
        kernels = []
        for _ in range(8):
            answer = client.get("hello")
            assert answer.status_code == 200
            kernels.append(kernel_of(answer.text))
        refused = client.get("hello", params={"symbol": '"><script>alert(7)</script>'})
        assert refused.status_code == 429
        assert "You have many pages open" in refused.text
        assert '<a class="dt-primary" href="/hello?symbol=' in refused.text
        assert "<script>alert" not in refused.text
        token = {"X-XSRFToken": client.cookies["_xsrf"]}
        for kernel_id in kernels:
            assert client.post(f"voila/api/shutdown/{kernel_id}", headers=token).status_code == 204
        again = client.get("hello")
        assert again.status_code == 200
        assert client.post(f"voila/api/shutdown/{kernel_of(again.text)}", headers=token).status_code == 204


def test_a_page_whose_browser_has_gone_gives_up_its_place(guarded: DashboardsServer) -> None:
    with guarded.with_session("mallory") as client:
        kernels = [kernel_of(client.get("hello").text) for _ in range(8)]
        with KernelSocket(guarded.url, kernels[0], cookies_of(client)) as browser:
            browser.send("kernel_info_request", {})
            browser.connection.recv(timeout=30)
            assert client.get("hello").status_code == 429, "a connected page was ended for another"
        deadline = time.monotonic() + 20
        while (answer := client.get("hello")).status_code == 429:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        assert client.get(f"api/kernels/{kernels[0]}").status_code == 404
        token = {"X-XSRFToken": client.cookies["_xsrf"]}
        for kernel_id in [*kernels[1:], kernel_of(answer.text)]:
            assert client.post(f"voila/api/shutdown/{kernel_id}", headers=token).status_code == 204


@pytest.mark.skipif(not hasattr(psutil, "LINUX") or not psutil.LINUX, reason="kernels are forked on Linux only")
def test_kernels_are_forked_from_one_warm_process(guarded: DashboardsServer) -> None:
    with opened(guarded, "ada"), opened(guarded, "bob"):
        tree = psutil.Process(guarded.process.pid).children(recursive=True)
        warm = [
            child
            for child in tree
            if "dashtrade.dashboards.zygote.server" in command_of(child) and child.ppid() == guarded.process.pid
        ]
        assert len(warm) == 1
        kernels = warm[0].children()
        assert len(kernels) >= 2
        # they are built, and stand back behind those that are not
        assert [nice_of(kernel) for kernel in kernels].count(warm[0].nice() + NICENESS) >= 2
        assert not [child for child in tree if "ipykernel_launcher" in " ".join(command_of(child))]


def test_a_dead_kernel_is_gone_and_not_started_again(guarded: DashboardsServer) -> None:
    with opened(guarded, "ada") as (client, kernel_id):
        with guarded.with_session("bob") as bob:
            other = kernel_of(bob.get("hello").text)
            process_of(guarded, other).kill()
            for _ in range(300):
                if bob.get(f"api/kernels/{other}").status_code == 404:
                    break
                time.sleep(0.1)
            else:
                raise AssertionError("a dead kernel still counts as running")
        assert client.get(f"api/kernels/{kernel_id}").status_code == 200


def process_of(server: DashboardsServer, kernel_id: str) -> psutil.Process:
    """The kernel's process: it holds the sockets that are named after the kernel. The warm process has other children
    too, which come and go."""
    for process in psutil.Process(server.process.pid).children(recursive=True):
        with suppress(psutil.NoSuchProcess):
            if any(kernel_id in str(socket.laddr) for socket in process.net_connections("unix")):
                return process
    raise AssertionError("the kernel has no process")


@contextmanager
def known_process(server: DashboardsServer, username: str) -> Iterator[tuple[httpx.Client, str, psutil.Process]]:
    """A signed-in browser with a page, the page's kernel and its process, which ends with the block."""
    with opened(server, username) as (client, kernel_id):
        process = process_of(server, kernel_id)
        try:
            yield client, kernel_id, process
        finally:
            with suppress(psutil.NoSuchProcess):
                process.kill()


def test_a_socket_to_a_kernel_that_has_just_died_is_refused_at_once(guarded: DashboardsServer) -> None:
    """Nobody has noticed yet that it died; Jupyter would wait a minute for it to come alive."""
    with known_process(guarded, "bob") as (client, kernel_id, process):
        seen = len(guarded.log_text())
        process.kill()
        with pytest.raises(InvalidStatus) as refused:
            KernelSocket(guarded.url, kernel_id, cookies_of(client))
        assert refused.value.response.status_code in (403, 404)
        assert client.get(f"api/kernels/{kernel_id}").status_code == 404, "the page asks next, and says that it ended"
        again = guarded.log_text()[seen:]
        with pytest.raises(InvalidStatus):
            KernelSocket(guarded.url, kernel_id, cookies_of(client))
    said = [line for line in again.splitlines() if f"{kernel_id}/channels" in line]
    assert len(said) == 1 and "INFO" in said[0], said
    assert "Traceback" not in again and "ERROR" not in again, again


@pytest.mark.parametrize("how", ["killed", "closed"])
def test_a_socket_that_waits_for_its_kernel_is_answered_when_it_ends(guarded: DashboardsServer, how: str) -> None:
    with known_process(guarded, "bob") as (client, kernel_id, process):
        seen = len(guarded.log_text())
        process.suspend()
        with asked_for(guarded, kernel_id, client) as first, asked_for(guarded, kernel_id, client) as second:
            assert client.get(f"api/kernels/{kernel_id}").status_code == 200, "after both, since it came last"
            if how == "killed":
                process.kill()
            else:
                token = {"X-XSRFToken": client.cookies["_xsrf"]}
                assert client.post(f"voila/api/shutdown/{kernel_id}", headers=token).status_code == 204
            answers = [connection.recv(65536).decode(errors="replace") for connection in (first, second)]
    assert [answer.split("\r\n")[0] for answer in answers] == ["HTTP/1.1 404 Not Found"] * 2
    said = guarded.log_text()[seen:]
    assert "Traceback" not in said and "ERROR" not in said, said


def process_handles(server: DashboardsServer) -> int:
    """How many handles of processes the server has open."""
    count = 0
    for handle in Path(f"/proc/{server.process.pid}/fd").iterdir():
        with suppress(FileNotFoundError):  # closed meanwhile
            count += str(handle.readlink()) == "anon_inode:[pidfd]"
    return count


@pytest.mark.skipif(not hasattr(psutil, "LINUX") or not psutil.LINUX, reason="handles are seen on Linux only")
def test_a_dead_kernel_leaves_no_handle_behind(guarded: DashboardsServer) -> None:
    before = process_handles(guarded)
    for _ in range(3):
        with known_process(guarded, "bob") as (client, kernel_id, process):
            process.kill()
            deadline = time.monotonic() + 60
            while client.get(f"api/kernels/{kernel_id}").status_code != 404:
                assert time.monotonic() < deadline
                time.sleep(0.1)
    while process_handles(guarded) > before:
        assert time.monotonic() < deadline
        time.sleep(0.1)
