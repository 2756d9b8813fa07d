"""Which addresses count as private, and that the guard holds where the sending library connects."""

from __future__ import annotations

import subprocess
import sys

import pytest

from dashtrade.errors import InvalidInput
from dashtrade.notify.channels import service_of
from dashtrade.notify.guard import is_private


@pytest.mark.parametrize(
    "address",
    ["127.0.0.1", "10.1.2.3", "192.168.0.9", "172.16.0.1", "169.254.169.254", "100.64.0.1", "0.0.0.0", "224.0.0.1",
     "::1", "fe80::1%eth0", "fd00::1", "::ffff:10.0.0.1", "2002:7f00:1::", "64:ff9b::a00:1", "no address"],
)  # fmt: skip
def test_private(address):
    assert is_private(address)


@pytest.mark.parametrize("address", ["93.184.216.34", "2606:4700:4700::1111", "::ffff:8.8.8.8", "64:ff9b::808:808"])
def test_public(address):
    assert not is_private(address)


ATTEMPTS = {
    "connect": "import socket; s=socket.socket(); s.connect(('127.0.0.1', 9))",
    "udp": "import socket; s=socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.sendto(b'x', ('127.0.0.1', 9))",
    "unix": "import socket; s=socket.socket(socket.AF_UNIX); s.connect('/tmp/nothing')",
    "program": "import subprocess; subprocess.run(['true'])",
    "file": "open('/etc/passwd').read()",
    "written": "open('/tmp/written-by-a-message', 'w')",
}


@pytest.mark.parametrize("name", ATTEMPTS)
def test_the_guard_stops(name):
    code = (
        "import socket, subprocess\nfrom dashtrade.notify.guard import Guard, Refused\n"
        f"Guard(False).install()\ntry:\n    {ATTEMPTS[name]}\nexcept Refused: print('refused')"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout == "refused\n", done.stderr


FOLLOWED = """
import http.server, socket, threading, requests
from dashtrade.notify import guard
got = []
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        got.append(self.server.server_address[0])
        self.send_response(302 if self.server.server_address[0] == "127.0.0.1" else 200)
        self.send_header("Location", f"http://127.0.0.2:{inner.server_address[1]}/secret")
        self.send_header("Content-Length", "0")
        self.end_headers()
    def log_message(self, *_): pass
outer, inner = (http.server.ThreadingHTTPServer((a, 0), Handler) for a in ("127.0.0.1", "127.0.0.2"))
for server in (outer, inner):
    threading.Thread(target=server.serve_forever, daemon=True).start()
guard.is_private = lambda address: address == "127.0.0.2"  # stands for what is private
hold = guard.Guard(False)
hold.install()
answers = ["127.0.0.1", "127.0.0.2"]
real = socket.getaddrinfo
def named(host, port, *a, **k):
    return real(answers.pop(0) if host == "rebinds.example" else host, port, *a, **k)
socket.getaddrinfo = named
def ask(url, **more):
    try:
        return requests.get(url, timeout=5, **more).status_code
    except Exception as error:
        return type(error).__name__ if not hold.refused else "refused"
"""
WAYS = {
    "a redirect to a private address": "print(ask(f'http://127.0.0.1:{outer.server_address[1]}/'), got)",
    "a name that points elsewhere the second time": (
        "url = f'http://rebinds.example:{outer.server_address[1]}/'\n"
        "print(ask(url, allow_redirects=False), end=' ')\nprint(ask(url, allow_redirects=False), got)"
    ),
}


@pytest.mark.parametrize("way", WAYS)
def test_the_guard_holds_where_the_connection_is_made(way):
    done = subprocess.run([sys.executable, "-c", FOLLOWED + WAYS[way]], capture_output=True, text=True)
    first = "" if way.startswith("a redirect") else "302 "
    assert done.stdout == f"{first}refused ['127.0.0.1']\n", done.stderr


def test_services_are_named():
    assert service_of("tgram://123456789:abcdefg_hijklmnop/12315544/") == "Telegram"
    with pytest.raises(InvalidInput, match="not offered"):
        service_of("syslog://")
