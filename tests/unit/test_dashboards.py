"""The dashboard server's rules, without a server."""

from __future__ import annotations

import asyncio
import gzip
import json
import logging
import os
import re
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import nbformat
import pytest
import zmq
from dashboards_server import write_page
from jupyter_client.manager import AsyncKernelManager
from jupyter_client.session import Session
from pydantic import SecretStr
from tornado import web
from tornado.httputil import HTTPServerRequest
from voila.configuration import VoilaConfiguration
from voila.utils import get_voila_labextensions_path

from dashtrade.dashboards.assets import AssetStore, assets_version
from dashtrade.dashboards.catalogue import Catalogue, PageInfo
from dashtrade.dashboards.chart_library import VARIABLE
from dashtrade.dashboards.environment import kernel_environment
from dashtrade.dashboards.errors import error_text, retry_address
from dashtrade.dashboards.front_end import PARTS, ChartLibrary, FrontEnd
from dashtrade.dashboards.identity import SignedIn
from dashtrade.dashboards.kernels import OwnedKernelManager, Ownership
from dashtrade.dashboards.login import own_path
from dashtrade.dashboards.office.shell import Forms
from dashtrade.dashboards.rendering import PageRenderer
from dashtrade.dashboards.server import Dashboards
from dashtrade.dashboards.turns import Turns
from dashtrade.dashboards.zygote import client as client_module
from dashtrade.dashboards.zygote import lines
from dashtrade.dashboards.zygote.client import PromptClient
from dashtrade.dashboards.zygote.warm import why_unsafe
from dashtrade.domain.users import Role
from dashtrade.errors import Forbidden
from dashtrade.settings import load_settings

PACKAGE = Path(__file__).resolve().parents[2] / "dashtrade" / "dashboards"


@pytest.mark.parametrize("target", ["/", "/analysis", "/analysis?symbol=BRK-B&period=1y", "/bot?x=%2F%2Fevil.example"])
def test_own_paths_are_kept(target: str) -> None:
    assert own_path(target, "/") == target


@pytest.mark.parametrize(
    "target",
    [
        "https://evil.example",
        "//evil.example",
        "///evil.example",
        "/\\evil.example",
        "\\evil.example",
        "/\t/evil.example",
        "/a b",
        "/a\nb",
        "javascript:alert(1)",
        "evil.example",
        "/x//y",
        "/x/../y",
        "/\u202e",
    ],
)
def test_everything_else_leads_to_the_start(target: str) -> None:
    assert own_path(target, "/") == "/"


def test_below_a_base_path_only_that_is_ours() -> None:
    assert own_path("/desk/analysis", "/desk/") == "/desk/analysis"
    assert own_path("/analysis", "/desk/") == "/desk/"
    assert own_path("/desk", "/desk/") == "/desk/"
    assert own_path("/desk/../admin", "/desk/") == "/desk/"


def test_pages_come_from_the_registry_or_describe_themselves(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    write_page(tmp_path, "analysis", "", role="user")
    write_page(tmp_path, "desk", "", role="admin", title="Administration")
    write_page(tmp_path, "admin", "", role="user")  # an address of the server itself
    write_page(tmp_path, "nobody", "", role=None)
    write_page(tmp_path, "wrong", "", role="emperor")
    write_page(tmp_path, "Upper", "", role="user")
    write_page(tmp_path, "login", "", role="user")
    (tmp_path / "broken.ipynb").write_text("{")
    registered = {"analysis": PageInfo("analysis", "Analysis", Role.ADMIN, 10)}
    with caplog.at_level(logging.ERROR):
        pages = Catalogue(tmp_path, registered).pages()
    assert list(pages) == ["analysis", "desk"]
    assert pages["analysis"].role is Role.ADMIN  # what the code says counts, not what the file says
    assert pages["desk"] == PageInfo("desk", "Administration", Role.ADMIN, 500)
    assert {record.args[0] for record in caplog.records if isinstance(record.args, tuple)} == {
        "nobody.ipynb", "wrong.ipynb", "Upper.ipynb", "login.ipynb", "admin.ipynb", "broken.ipynb",
    }  # fmt: skip


def test_a_new_notebook_is_seen(tmp_path: Path) -> None:
    catalogue = Catalogue(tmp_path, {})
    assert catalogue.open_to(Role.SUPERADMIN) == []
    write_page(tmp_path, "fresh", "", role="superadmin")
    assert [page.slug for page in catalogue.open_to(Role.SUPERADMIN)] == ["fresh"]
    assert catalogue.open_to(Role.ADMIN) == []


def test_a_kernel_gets_settings_and_no_secret(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DASHTRADE_PAGES_DATABASE_URL", raising=False)
    settings = load_settings(
        data_dir=tmp_path,
        encryption_key=SecretStr("key-of-keys"),
        session_secret=SecretStr("session-secret"),
        database_url=SecretStr("postgresql://owner:pw@db/x"),
        alpha_vantage_key=SecretStr("demo-key"),
        sources=("yahoo", "sample"),
    )
    known = kernel_environment(settings, "postgresql://owner:pw@db/x", tmp_path / "ipython")
    assert known["DATABASE_URL"] == "postgresql://owner:pw@db/x"
    assert known["DASHTRADE_ALPHA_VANTAGE_KEY"] == "demo-key"
    assert known["DASHTRADE_SOURCES"] == "yahoo,sample"
    assert known["DASHTRADE_SECURE_COOKIES"] == "false"
    assert "key-of-keys" not in known.values()
    assert "session-secret" not in known.values()
    monkeypatch.setenv("DASHTRADE_PAGES_DATABASE_URL", "postgresql://pages:pw@db/x")
    known = kernel_environment(settings, "postgresql://owner:pw@db/x", tmp_path / "ipython")
    assert known["DATABASE_URL"] == "postgresql://pages:pw@db/x"
    assert "owner" not in json.dumps(known)


def test_what_a_kernel_is_told_reads_back_as_the_same_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = load_settings(data_dir=tmp_path, sources=("sample",), base_url="/desk/", simulator_slippage_bps=2.5)
    for name, value in kernel_environment(settings, "postgresql://u@h/d", tmp_path).items():
        if name.startswith("DASHTRADE_"):
            monkeypatch.setenv(name, value)
    again = load_settings()
    for name in ("data_dir", "sources", "base_url", "simulator_slippage_bps", "webhook_port", "secure_cookies"):
        assert getattr(again, name) == getattr(settings, name)


def test_assets_are_found_below_their_folders_only(tmp_path: Path) -> None:
    public = tmp_path / "public"
    public.mkdir()
    (public / "a.js").write_text("let a = 1;" * 200)
    (public / "b.ipynb").write_text("{}")
    (tmp_path / "c.js").write_text("private")
    (public / "link.js").symlink_to(tmp_path / "c.js")
    store = AssetStore([public])
    found = store.find("a.js")
    assert found is not None
    assert found.kind == "text/javascript"
    assert found.squeezed is not None
    assert len(found.squeezed) < len(found.body)
    for path in ("../c.js", "b.ipynb", "link.js", "", "/etc/hostname", str(tmp_path / "c.js"), "a.js\0", "none.js"):
        assert store.find(path) is None


def test_the_widgets_scripts_are_patient() -> None:
    """As installed: they would give up on the states of all widgets after four seconds, also on a busy machine."""
    found = []
    for folder in map(Path, get_voila_labextensions_path()):
        store = AssetStore([folder])
        for file in folder.glob("@*/*manager*/**/*.js"):
            # the manager of version 7 is for notebooks of before 2022
            if "manager7" not in str(file) and b"Control comm did not respond" in file.read_bytes():
                asset = store.find(str(file.relative_to(folder)))
                assert asset is not None
                found.append(re.search(rb'did not respond in time"\)+,(\w+)\)', asset.body))
    assert found and {each.group(1) for each in found if each} == {b"6e4"}


def test_a_ready_kernel_is_noticed_whoever_was_told_of_its_reply() -> None:
    """The reply comes in the moment in which it is asked again: the sending takes the socket's signal away."""
    context = zmq.Context.instance()
    router, pub = context.socket(zmq.ROUTER), context.socket(zmq.PUB)
    ports = {f"{name}_port": 1 for name in ("stdin", "control", "hb")}
    ports |= {"shell_port": router.bind_to_random_port("tcp://127.0.0.1")}
    ports |= {"iopub_port": pub.bind_to_random_port("tcp://127.0.0.1")}
    client = PromptClient()
    client.load_connection_info({"ip": "127.0.0.1", "transport": "tcp", "key": "", **ports})
    ask, kernel, asked = client.kernel_info, Session(key=b""), []

    def ask_after_the_first_answer() -> str:
        if len(asked) == 1:
            assert router.poll(10_000)
            parts, message = kernel.feed_identities(router.recv_multipart())
            parent = kernel.deserialize(message)
            kernel.send(router, "kernel_info_reply", {"protocol_version": "5.3"}, parent, ident=parts)
            kernel.send(pub, "status", {"execution_state": "idle"}, parent)
            time.sleep(0.3)  # until it has arrived here
        asked.append(ask())
        return asked[-1]

    async def alive() -> bool:
        return True

    async def scene() -> None:
        client.start_channels(stdin=False, hb=False, control=False)
        client.kernel_info, client.is_alive = ask_after_the_first_answer, alive
        await client.wait_for_ready(timeout=6)

    try:
        asyncio.run(scene())
    finally:
        client.stop_channels()
        router.close(0)
        pub.close(0)
    assert len(asked) == 2


def test_a_kernel_whose_status_was_lost_is_asked_again_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """It replies before the subscription to its statuses is there."""
    monkeypatch.setattr(client_module, "FIRST", 60.0)
    context = zmq.Context.instance()
    router, pub = context.socket(zmq.ROUTER), context.socket(zmq.PUB)
    ports = {f"{name}_port": 1 for name in ("stdin", "control", "hb")}
    ports |= {"shell_port": router.bind_to_random_port("tcp://127.0.0.1")}
    ports |= {"iopub_port": pub.bind_to_random_port("tcp://127.0.0.1")}
    client, kernel, heard = PromptClient(), Session(key=b""), []
    client.load_connection_info({"ip": "127.0.0.1", "transport": "tcp", "key": "", **ports})

    def answer() -> None:
        while router.poll(500):
            parts, message = kernel.feed_identities(router.recv_multipart())
            heard.append(parent := kernel.deserialize(message))
            if len(heard) > 2:
                kernel.send(pub, "status", {"execution_state": "idle"}, parent)
            kernel.send(router, "kernel_info_reply", {"protocol_version": "5.3"}, parent, ident=parts)

    async def alive() -> bool:
        return True

    async def scene() -> None:
        client.start_channels(stdin=False, hb=False, control=False)
        client.is_alive = alive
        await client.wait_for_ready(timeout=20)

    thread = threading.Thread(target=answer)
    thread.start()
    try:
        asyncio.run(scene())
    finally:
        client.stop_channels()
        thread.join()
        router.close(0)
        pub.close(0)
    assert len(heard) > 2


QUIET = """
from IPython.core.interactiveshell import InteractiveShell
from ipykernel.comm.comm import BaseComm
from dashtrade.dashboards.zygote.child import _keep_quiet_until_built

sent = []
BaseComm.publish_msg = lambda comm, kind, *_, **__: sent.append(kind)
shell = InteractiveShell.instance()
shell.kernel = object()
_keep_quiet_until_built(shell)
shell.push({"Comm": BaseComm})
shell.run_cell("first = Comm(target_name='x'); first.send({})")
assert sent == [] and shell.user_ns["first"].kernel is shell.kernel
shell.run_cell("first.send({}); second = Comm(target_name='x')")
assert sent == ["comm_msg", "comm_open"]
"""


def test_a_page_says_nothing_of_its_widgets_before_it_is_built(tmp_path: Path) -> None:
    environment = {**os.environ, "IPYTHONDIR": str(tmp_path)}
    subprocess.run([sys.executable, "-c", QUIET], env=environment, check=True)


def test_the_front_end_is_one_file_of_the_parts_that_are_there(tmp_path: Path) -> None:
    addresses = [line.partition("/") for line in PARTS.read_text().split()]
    for folder, _, path in addresses[1:]:
        (tmp_path / folder / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / folder / path).write_text(f'"use strict";push("{path}") // no end')
    (tmp_path / "voila" / "voila.js").write_text("start()")
    front = FrontEnd({name: AssetStore([tmp_path / name]) for name in ("voila", "lab")})
    front.build()
    asset = front.find("front.js")
    assert asset is not None and front.find("voila.js") is None
    text = asset.body.decode()
    pushed = [f'(()=>{{"use strict";push("{path}") // no end\n}})();' for _, _, path in addresses[1:]]
    assert text == "\n".join([*pushed, "start()"])
    assert asset.squeezed is not None and gzip.decompress(asset.squeezed) == asset.body


def test_the_chart_library_comes_once_where_pages_are_served(tmp_path: Path) -> None:
    """A kernel of a page is told that the page has it; JupyterLab's and a report's are not, and bring it along."""
    told = kernel_environment(load_settings(_env_file=None), "postgresql://u@h/d", tmp_path)[VARIABLE]
    ask = "from dashtrade.pages.widgets.chart import PriceChart as C; print(len(C._esm), 'meta[name' in C._esm)"
    sizes = []
    for more in ({}, {VARIABLE: told}):
        environment = {name: value for name, value in os.environ.items() if name != VARIABLE} | more
        found = subprocess.run([sys.executable, "-c", ask], env=environment, check=True, capture_output=True, text=True)
        size, waits = found.stdout.split()
        assert waits == str(bool(more))
        sizes.append(int(size))
    served = ChartLibrary().find("chart.js")
    assert served is not None and ChartLibrary().find("other.js") is None
    assert b"Apache License 2.0" in served.body
    assert sizes[0] - sizes[1] == pytest.approx(len(served.body), rel=0.01), "the one instead of the other"


def test_every_part_of_the_front_end_is_installed() -> None:
    roots = {"voila": [Path(sys.prefix, "share/jupyter/voila/templates/base/static")]}
    roots["lab"] = [Path(path) for path in get_voila_labextensions_path()]
    stores = {name: AssetStore(folders) for name, folders in roots.items()}
    for address in PARTS.read_text().split():
        folder, _, path = address.partition("/")
        assert stores[folder].find(path) is not None, f"{address} is not there any more: write front_end.txt anew"


def test_the_next_turn_is_for_whoever_has_the_fewest() -> None:
    async def scene() -> list[str]:
        turns, order = Turns(2), []
        names = ("a1", "a2", "a3", "a4", "b1", "b2", "c1")
        leave = {name: asyncio.Event() for name in names}

        async def page(name: str) -> None:
            async with turns.turn(ord(name[0])):
                order.append(name)
                await leave[name].wait()

        pages = {name: asyncio.create_task(page(name)) for name in names}
        await asyncio.sleep(0)
        pages["a3"].cancel()  # the browser left before its turn came
        for name in ("a1", "b1", "b2", "c1", "a2", "a4"):
            assert name in order
            leave[name].set()
            await pages[name]
            await asyncio.sleep(0)
        return order

    assert asyncio.run(scene()) == ["a1", "a2", "b1", "b2", "c1", "a4"]


def test_a_kernel_that_cannot_start_is_no_end_of_the_page() -> None:
    async def broken() -> None:
        raise RuntimeError("no room")

    renderer = PageRenderer(voila_configuration=VoilaConfiguration())
    assert asyncio.run(renderer._jinja_kernel_start(None, "id", broken())) == ""  # the template says so
    assert renderer.failed


def test_a_browser_that_leaves_before_the_first_cell_leaves_no_socket_behind() -> None:
    renderer = PageRenderer(voila_configuration=VoilaConfiguration())
    manager = AsyncKernelManager(client_class="dashtrade.dashboards.zygote.client.PromptClient")
    for name in ("shell_port", "iopub_port", "stdin_port", "control_port", "hb_port"):
        setattr(manager, name, 1)  # nobody answers there: the page waits for its kernel

    async def made() -> AsyncKernelManager:
        return manager

    async def scene() -> Any:
        page = asyncio.create_task(renderer._jinja_kernel_start(nbformat.v4.new_notebook(), "id", made()))
        while not hasattr(renderer, "executor") or renderer.executor.kc is None:
            await asyncio.sleep(0)
        client = renderer.executor.kc
        assert client.channels_running and not client.hb_channel.is_alive()
        page.cancel()
        await asyncio.wait((page,))
        renderer.close()
        renderer.close()
        return client

    client = asyncio.run(scene())
    assert not client.channels_running and client.context.closed


def test_a_turn_that_takes_long_holds_nobody_up() -> None:
    async def scene() -> bool:
        turns, stuck = Turns(1, longest=0.01), asyncio.Event()

        async def page(wait: asyncio.Event | None) -> bool:
            async with turns.turn(1):
                if wait is not None:
                    await wait.wait()
            return True

        first = asyncio.create_task(page(stuck))
        second = await asyncio.wait_for(page(None), 10)
        stuck.set()
        return second and await first and await asyncio.wait_for(page(None), 10)

    assert asyncio.run(scene())


def test_the_version_follows_the_files(tmp_path: Path) -> None:
    (tmp_path / "app.css").write_text("a")
    first = assets_version(tmp_path)
    assert assets_version(tmp_path) == first
    (tmp_path / "app.css").write_text("b")
    assert assets_version(tmp_path) != first


def test_error_texts_never_hold_the_exception() -> None:
    for status in (400, 403, 404, 405, 413, 418, 429, 500, 502, 503):
        shown = error_text(status, RuntimeError("detail"))
        assert shown.title
        assert shown.text
        assert "detail" not in shown.title + shown.text


def test_nothing_is_loaded_from_elsewhere() -> None:
    files = [*PACKAGE.glob("static/*"), *PACKAGE.glob("templates/*"), *PACKAGE.glob("share/**/*.j2")]
    assert len(files) > 6
    for file in files:
        text = file.read_text().replace("http://www.w3.org/2000/svg", "")
        assert "http://" not in text, file
        assert "https://" not in text, file


def test_both_themes_have_every_colour() -> None:
    css = (PACKAGE / "static" / "app.css").read_text()
    colours = {}
    for theme in ("dark", "light"):
        block = css.split(f':root[data-theme="{theme}"] {{')[1].split("}")[0]
        colours[theme] = {line.split(":")[0].strip() for line in block.split(";") if ":" in line}
    assert colours["dark"] == colours["light"]
    wanted = {"--dt-bg", "--dt-panel", "--dt-text", "--dt-muted", "--dt-accent", "--dt-up", "--dt-down", "--dt-border"}
    assert wanted <= colours["dark"]


def test_a_process_with_threads_must_not_fork() -> None:
    import threading

    stop = threading.Event()
    thread = threading.Thread(target=stop.wait)
    thread.start()
    try:
        assert any("threads" in reason for reason in why_unsafe())
    finally:
        stop.set()
        thread.join()


class _Shelf(OwnedKernelManager):
    """A kernel manager whose kernels are names."""

    running = frozenset({"a", "b", "c", "d", "not hers"})

    def __contains__(self, kernel_id: object) -> bool:
        return kernel_id in self.running


def test_several_pages_opened_in_one_moment_each_end_a_forgotten_one() -> None:
    manager, ada = _Shelf(max_per_user=4), SignedIn("ada", user_id=1)
    now = time.monotonic()
    for name in sorted(manager.running):
        owner = 2 if name == "not hers" else 1
        manager.owners[name] = Ownership(owner, "", Role.USER, "", "home", now - 3600 + ord(name[0]))
    ended = []
    for number in range(4):
        ended.append(manager._make_room(ada))
        manager.owners[f"new {number}"] = Ownership(1, "", Role.USER, "", "home", now)
    assert ended == [["a"], ["b"], ["c"], ["d"]]
    with pytest.raises(web.HTTPError, match="user"):  # the new ones may be about to connect
        manager._make_room(ada)
    assert sorted(manager.owners) == ["new 0", "new 1", "new 2", "new 3", "not hers"]


def test_the_warm_processs_records_are_the_servers(caplog: pytest.LogCaptureFixture) -> None:
    read, write = os.pipe()
    record = logging.LogRecord("dashtrade.pages", logging.ERROR, "", 0, "%s\n%s", ("first é", "x" * 9000), None)
    lines.LineHandler(write).handle(record)
    os.write(write, b"Fatal Python error: Segmentation fault\n{}\n[1]\n\n")
    os.close(write)
    with open(read, "rb") as stream, caplog.at_level(logging.INFO):
        lines.log_lines(stream)
    said = [(entry.name, entry.levelname, entry.getMessage()) for entry in caplog.records]
    raw = ("dashtrade.dashboards.kernels", "WARNING")
    assert said[-3:] == [(*raw, "Fatal Python error: Segmentation fault"), (*raw, "{}"), (*raw, "[1]")]
    ours = said[:-3]
    assert {entry[:2] for entry in ours} == {("dashtrade.pages", "ERROR")}
    assert ours[0][2] == "first é"
    assert "".join(text for _, _, text in ours[1:]) == "x" * 9000


@pytest.mark.parametrize(
    "text", ["", "a", "é" * 5000, "\n" * 5000, "word\n" * 3000, "x" * 20_000, "\ud83d\ude00" * 2000]
)
def test_long_records_are_split_into_lines_that_are_written_whole(text: str) -> None:
    parts = lines.pieces(text)
    assert all(len(json.dumps(part)) <= lines.WHOLE - 500 for part in parts)
    assert "".join(parts).replace("\n", "") == text.replace("\n", "")


@pytest.mark.parametrize(
    ("status", "method", "uri", "again"),
    [
        (429, "GET", "/home?x=1", "/home?x=1"),
        (503, "GET", "/desk/bot", "/desk/bot"),
        (500, "POST", "/account/profile", ""),
        (404, "GET", "/nothing", ""),
        (500, "GET", "//evil.example/", ""),
    ],
)
def test_only_what_may_pass_is_tried_again(status: int, method: str, uri: str, again: str) -> None:
    assert retry_address(status, HTTPServerRequest(method, uri)) == again


@pytest.mark.parametrize(("fails", "looks"), [(False, 1), (True, 0)])
def test_pages_of_ended_sessions_end_with_the_form_that_ended_them(fails: bool, looks: int) -> None:
    """Not at the next look, which here would come in an hour."""
    looked: list[Any] = []

    async def user_of(token: str) -> None:
        return None

    async def end_stale(valid: Any) -> None:
        looked.append(valid)

    async def act() -> None:
        if fails:
            raise Forbidden("no")

    async def show(problem: str) -> None:
        pass

    async def scene() -> None:
        manager = SimpleNamespace(owners={"k": SimpleNamespace(token="t")}, end_stale=end_stale)
        server: Any = SimpleNamespace(
            options=SimpleNamespace(check_sessions_seconds=3600.0),
            kernel_manager=manager,
            gate=SimpleNamespace(user_of=user_of),
            _sessions_changed=asyncio.Event(),
        )
        form: Any = SimpleNamespace(
            settings={"dashtrade_check_sessions": lambda: Dashboards.check_sessions(server)},
            set_status=lambda status: None,
        )
        watch = asyncio.create_task(Dashboards._watch_sessions(server))
        await asyncio.sleep(0)
        await Forms.answer(form, act, show)
        for _ in range(20):  # turns of the loop, not time
            await asyncio.sleep(0)
        watch.cancel()

    asyncio.run(scene())
    assert looked == [{"t": None}] * looks
