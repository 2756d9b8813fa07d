"""The warm process itself: what makes it unsafe to fork, and what a fork starts with."""

from __future__ import annotations

import json
import os
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="kernels are forked on Linux only")

THREADED = "import threading\nthreading.Thread(target=threading.Event().wait, daemon=True).start()\n"
CONNECTED = "import socket\nserver = socket.create_server(('127.0.0.1', 0))\n"
BROKEN = "raise RuntimeError('this page is broken')\n"
SOUND = "value = 42\n"


@contextmanager
def zygote(folder: Path, modules: dict[str, str]) -> Iterator[tuple[Path, Path]]:
    """A zygote that preloads these modules; its socket and its log, when all is in."""
    for name, source in modules.items():
        (folder / f"{name}.py").write_text(source)
    path, log = folder / "socket", folder / "log"
    environment = {
        **os.environ,
        "PYTHONPATH": f"{folder}{os.pathsep}{os.environ.get('PYTHONPATH', '')}",
        "PRIVATE": "1",
    }
    command = [sys.executable, "-m", "dashtrade.dashboards.zygote.server", str(path), ",".join(modules)]
    with log.open("wb") as output:
        process = subprocess.Popen(command, env=environment, stdout=output, stderr=subprocess.STDOUT)
    try:
        deadline = time.monotonic() + 60
        while "all modules are in" not in log.read_text():
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.05)
        yield path, log
    finally:
        process.kill()
        process.wait()


def ask(path: Path, folder: Path, **environment: str) -> tuple[int, int]:
    """Process id and pidfd of a kernel that gets this environment."""
    connection_file = folder / f"kernel-{time.monotonic_ns()}.json"
    request = {"argv": ["-f", str(connection_file)], "env": {"HOME": str(folder), **environment}, "cwd": str(folder)}
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(path))
        client.settimeout(30)
        client.sendall(json.dumps(request).encode() + b"\n")
        data, handles, _, _ = socket.recv_fds(client, 64, 1)
    return int(data), handles[0]


def test_modules_that_would_make_forking_unsafe_are_left_out(tmp_path: Path) -> None:
    modules = {"page_threaded": THREADED, "page_sound": SOUND, "page_connected": CONNECTED, "page_broken": BROKEN}
    with zygote(tmp_path, modules) as (path, log):
        text = log.read_text()
        assert "page_threaded leaves 2 threads of the system, 2 of Python; starting again without it" in text
        assert "page_connected leaves 1 open network connections; starting again without it" in text
        assert "page_broken is not preloaded: RuntimeError: this page is broken" in text
        assert "page_sound" not in text
        pid, handle = ask(path, tmp_path)
        tasks = Path(f"/proc/{pid}/task")
        assert tasks.is_dir()
        os.kill(pid, signal.SIGKILL)
        assert select.select([handle], [], [], 10)[0], "the pidfd does not tell of the end"
        os.close(handle)


def test_a_fork_has_only_its_own_environment_and_leads_its_group(tmp_path: Path) -> None:
    with zygote(tmp_path, {"page_sound": SOUND}) as (path, _):
        pid, handle = ask(path, tmp_path, DASHTRADE_USERNAME="ada")
        deadline = time.monotonic() + 20
        while os.getpgid(pid) != pid:
            assert time.monotonic() < deadline
            time.sleep(0.02)
        files = {os.readlink(entry) for entry in Path(f"/proc/{pid}/fd").iterdir() if entry.is_symlink()}
        assert not [name for name in files if name.endswith("/socket")]
        os.killpg(pid, signal.SIGTERM)
        assert select.select([handle], [], [], 10)[0]
        os.close(handle)


def test_nonsense_does_not_stop_it(tmp_path: Path) -> None:
    with zygote(tmp_path, {"page_sound": SOUND}) as (path, _):
        for text in (b"\n", b"not json\n", b"{}\n", b'{"argv": 1, "env": 2, "cwd": 3}\n', b"x" * 1000):
            with socket.socket(socket.AF_UNIX) as client:
                client.connect(str(path))
                client.sendall(text)
                client.shutdown(socket.SHUT_WR)
                assert client.recv(10) == b""
        pid, handle = ask(path, tmp_path)
        os.kill(pid, signal.SIGKILL)
        os.close(handle)


def test_strangers_cannot_ask(tmp_path: Path) -> None:
    with zygote(tmp_path, {"page_sound": SOUND}) as (path, _):
        assert path.stat().st_mode & 0o077 == 0
