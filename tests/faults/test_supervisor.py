"""The supervisor with small children: restarts, prefixes, clean ends, and nothing left behind by any kind of death."""

from __future__ import annotations

import io
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import suppress

import psutil
import psycopg2
import pytest

from dashtrade.db.embedded import EmbeddedPostgres, free_port
from dashtrade.processes.children import Child
from dashtrade.processes.supervisor import Ground, Supervisor
from dashtrade.processes.supervisor import _embedded as embedded

pytestmark = pytest.mark.fault

LOOP = "import time\nprint('started', flush=True)\ntime.sleep(600)"
STUBBORN = (
    "import signal, time\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\nprint('started', flush=True)\ntime.sleep(600)"
)
WITH_GRANDCHILD = (
    "import subprocess, sys, time\n"
    "p = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'], start_new_session=True)\n"
    "print('grandchild', p.pid, flush=True)\ntime.sleep(600)"
)
POLITE = (
    "import signal, sys, time\n"
    "def end(*_):\n    print('said goodbye', flush=True)\n    sys.exit(0)\n"
    "signal.signal(signal.SIGTERM, end)\nprint('started', flush=True)\ntime.sleep(600)"
)
SERVER = (
    "import http.server, sys\n"
    "class H(http.server.BaseHTTPRequestHandler):\n"
    "    def do_GET(self): self.send_response(404); self.end_headers()\n"
    "    def log_message(self, *a): pass\n"
    "http.server.HTTPServer(('127.0.0.1', int(sys.argv[1])), H).serve_forever()"
)


def child(name, code, *arguments, environment=None, **more):
    return Child(name, (sys.executable, "-c", code, *arguments), environment or dict(os.environ), **more)


def wait_for(condition, seconds=20.0):
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.02)
    return found


class Running:
    """A supervisor in a thread, and what it has printed."""

    def __init__(self, tmp_path, *children, grace=5.0):
        self.output = io.StringIO()
        self.supervisor = Supervisor(children, tmp_path, output=self.output, grace=grace, pause=0.05)
        self.thread = threading.Thread(target=self.supervisor.run)
        self.thread.start()

    @property
    def text(self):
        return self.output.getvalue()

    def pids(self):
        return {each.child.name: each.process.pid for each in self.supervisor._running if each.process is not None}

    def stop(self):
        self.supervisor.stop()
        self.thread.join(30)
        assert not self.thread.is_alive()


@pytest.fixture
def start(tmp_path):
    started = []

    def make(*children, **more):
        started.append(Running(tmp_path, *children, **more))
        return started[-1]

    yield make
    for running in started:
        if running.thread.is_alive():
            running.stop()


def alive(pid):
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def test_lines_carry_the_name_of_who_wrote_them(start):
    running = start(
        child(
            "one", "import sys, time\nprint('to out', flush=True)\nprint('to err', file=sys.stderr)\ntime.sleep(600)"
        ),
        child("longer-name", "import time\nprint('two\\nlines', flush=True)\ntime.sleep(600)"),
        child("bytes", "import os, time\nos.write(1, b'not \\xff text\\n')\ntime.sleep(600)"),
    )
    expected = [
        "[one]         to out",
        "[one]         to err",
        "[longer-name] two",
        "[longer-name] lines",
        "[bytes]       not",
    ]
    wait_for(lambda: all(line in running.text for line in expected))
    running.stop()


def test_what_is_killed_starts_again_and_the_others_are_left_alone(start):
    running = start(child("victim", LOOP), child("bystander", LOOP))
    wait_for(lambda: running.text.count("started") == 2)
    before = running.pids()
    os.kill(before["victim"], signal.SIGKILL)
    wait_for(lambda: running.text.count("started") == 3)
    after = running.pids()
    assert "victim was killed by SIGKILL; it starts again in 0.05 s." in running.text
    assert after["victim"] != before["victim"] and after["bystander"] == before["bystander"]
    running.stop()
    assert not any(map(alive, [*before.values(), *after.values()]))


def test_what_dies_at_once_is_tried_less_and_less_often(start):
    running = start(child("broken", "raise SystemExit(3)"))
    wait_for(lambda: running.text.count("exit code 3") >= 4)
    pauses = [float(p) for p in re.findall(r"exit code 3; it starts again in ([\d.]+) s", running.text)]
    assert pauses[:4] == [0.05, 0.1, 0.2, 0.4]


def test_a_program_that_cannot_be_started_is_said(start, tmp_path):
    running = start(Child("missing", (str(tmp_path / "nothing"),), {}))
    wait_for(lambda: "missing cannot be started: No such file or directory." in running.text)


def test_an_answering_service_is_announced_with_its_address(start):
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    running = start(child("web", SERVER, str(port), title="Web", url=url, health=f"{url}/health"), child("quiet", LOOP))
    wait_for(lambda: "Everything is up" in running.text)
    assert f"Web answers at {url} (" in running.text


def test_the_end_is_polite_and_in_order(start):
    running = start(child("first", POLITE), child("broker", POLITE, last=True))
    wait_for(lambda: running.text.count("started") == 2)
    running.stop()
    wait_for(lambda: running.text.count("said goodbye") == 2)
    assert running.text.index("[first]  said goodbye") < running.text.index("[broker] said goodbye")
    assert "starts again" not in running.text


def test_what_will_not_end_is_killed_with_everything_below_it(start):
    running = start(child("stubborn", STUBBORN), child("parent", WITH_GRANDCHILD), grace=0.5)
    wait_for(lambda: "started" in running.text and "grandchild" in running.text)
    grandchild = int(re.search(r"grandchild (\d+)", running.text).group(1))
    pids = [*running.pids().values(), grandchild]
    assert all(map(alive, pids))
    running.stop()
    assert not any(map(alive, pids))


def test_a_second_stop_ends_the_wait(start):
    running = start(child("stubborn", STUBBORN), grace=600)
    wait_for(lambda: "started" in running.text)
    running.supervisor.stop()
    running.stop()


def test_a_dead_childs_leftovers_do_not_hold_its_port(start):
    port = free_port()
    code = (
        "import os, socket, subprocess, sys, time\n"
        "s = socket.socket(); s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)\n"
        "s.bind(('127.0.0.1', int(sys.argv[1]))); s.listen(); s.set_inheritable(True)\n"
        "subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'], close_fds=False)\n"
        "print('bound', flush=True)\ntime.sleep(600)"
    )
    running = start(child("holder", code, str(port)))
    wait_for(lambda: running.text.count("bound") == 1)
    os.kill(running.pids()["holder"], signal.SIGKILL)
    wait_for(lambda: running.text.count("bound") == 2)
    assert "Address already in use" not in running.text
    running.stop()
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", port))


SCRIPT = """
import sys
from pathlib import Path
from dashtrade.processes.children import Child
from dashtrade.processes.supervisor import Supervisor
import os, signal
loop, grandchild = sys.argv[1:3]
codes = {"a": loop, "b": grandchild}
children = [Child(name, (sys.executable, "-c", code), dict(os.environ)) for name, code in codes.items()]
supervisor = Supervisor(children, Path(sys.argv[3]), pause=0.05)
for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
    signal.signal(number, supervisor.stop)
sys.exit(supervisor.run())
"""


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_no_death_of_the_supervisor_leaves_anything_behind(tmp_path, number):
    process = subprocess.Popen(
        [sys.executable, "-c", SCRIPT, LOOP, WITH_GRANDCHILD, str(tmp_path)], stdout=subprocess.PIPE, text=True
    )
    lines = [process.stdout.readline() for _ in range(2)]
    grandchild = int(re.search(r"grandchild (\d+)", "".join(lines)).group(1))
    family = psutil.Process(process.pid).children(recursive=True)
    assert grandchild in {each.pid for each in family} and len(family) >= 4
    os.kill(process.pid, number)
    code = process.wait(20)
    _, left = psutil.wait_procs(family, timeout=20)
    assert left == []
    assert code == (-signal.SIGKILL if number == signal.SIGKILL else 0)


def test_a_killed_guardian_is_replaced_and_does_its_work(tmp_path):
    process = subprocess.Popen(
        [sys.executable, "-c", SCRIPT, LOOP, WITH_GRANDCHILD, str(tmp_path)], stdout=subprocess.PIPE, text=True
    )
    for _ in range(2):
        process.stdout.readline()
    parent = psutil.Process(process.pid)

    def guardian():
        for child in parent.children():
            with suppress(psutil.NoSuchProcess):  # it may end while it is looked at
                if child.status() != psutil.STATUS_ZOMBIE and "dashtrade.processes.guardian" in child.cmdline():
                    return child
        return None

    first = wait_for(guardian)
    first.kill()
    wait_for(lambda: (found := guardian()) and found.pid != first.pid)
    family = parent.children(recursive=True)
    process.kill()
    process.wait()
    _, left = psutil.wait_procs([each for each in family if each.pid != first.pid], timeout=20)
    assert left == []


def test_trouble_of_the_database_is_told_once_when_it_lasts_and_when_it_is_over(start, monkeypatch):
    monkeypatch.setattr("dashtrade.processes.supervisor.LOOK_EVERY", 0.05)
    wrong: list[str | None] = [None]
    looks = 0

    def look():
        nonlocal looks
        looks += 1
        return wrong[0]

    running = start(child("one", LOOP))
    running.supervisor.ground = Ground(look, "It stands again.")
    wrong[0] = "The embedded PostgreSQL does not run: No space left on device."
    told = "[up]  The embedded PostgreSQL does not run: No space left on device. It is tried again until it runs."
    wait_for(lambda: told in running.text)
    seen = looks
    wait_for(lambda: looks > seen + 3)
    assert running.text.count("No space left") == 1
    wrong[0] = None
    wait_for(lambda: "[up]  It stands again." in running.text)
    running.stop()


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere the server outlives its keeper")
def test_a_killed_keeper_of_the_database_is_replaced_at_the_address_the_services_hold(start, monkeypatch, tmp_path):
    monkeypatch.setattr("dashtrade.processes.supervisor.LOOK_EVERY", 0.05)

    def keepers():
        family = psutil.Process().children()
        return [
            each for each in family if "dashtrade.db.keeper" in each.cmdline() and str(tmp_path) in str(each.cmdline())
        ]

    with EmbeddedPostgres(tmp_path, durable=False) as server:
        port, url = server.port, server.url()
        running = start(child("one", LOOP))
        running.supervisor.ground = embedded(server)
        for times in (1, 2):
            (keeper,) = keepers()
            keeper.kill()
            wait_for(lambda times=times: running.text.count("both are started again") == times)
            wait_for(lambda: server.port == port)
            psycopg2.connect(url).close()
            assert len(keepers()) == 1
        running.stop()
    assert keepers() == [] and server.port is None
