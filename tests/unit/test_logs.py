"""Log lines: one format for all loggers, and no secret in any of them."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from dashtrade.processes.logs import CUT, redact

PROGRAM = """
import logging, sys, structlog
from dashtrade.processes.logs import configure
from dashtrade.settings import Settings
configure("unit", Settings(_env_file=None, log_format=sys.argv[1], log_level=sys.argv[2]))
log = structlog.get_logger("own")
log.info("signed in", user_id=7, password="hunter2hunter2", api_key="PKABC", note="two words")
log.debug("fine detail")
logging.getLogger("uvicorn.access").info("%s - %s", "GET /webhook?token=SECRETTOKEN&x=1", 200)
logging.getLogger("other").warning("connect to postgresql://ada:hunter2@db/books failed")
try:
    raise RuntimeError("DATABASE postgresql://ada:hunter2@db/books")
except RuntimeError:
    log.exception("broke")
"""


def run(log_format, level="INFO"):
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, log_format, level], capture_output=True, text=True, check=True
    )
    assert done.stderr == ""
    assert not any(secret in done.stdout for secret in ("hunter2", "PKABC", "SECRETTOKEN"))
    return done.stdout.splitlines()


def test_text():
    lines = run("text")
    assert lines[0].split(" ", 1)[1] == "INFO    signed in  user_id=7  password=*****  api_key=*****  note='two words'"
    assert lines[1].endswith("GET /webhook?token=*****&x=1 - 200")
    assert lines[2].split(" ", 1)[1] == "WARNING connect to postgresql://ada:*****@db/books failed"
    assert "fine detail" not in "".join(lines)
    assert lines[3].endswith("broke") and lines[-1] == "RuntimeError: DATABASE postgresql://ada:*****@db/books"


def test_json():
    first, second, *_ = (json.loads(line) for line in run("json"))
    assert first.pop("timestamp").endswith("Z")
    assert first == {
        "event": "signed in", "level": "info", "process": "unit", "user_id": 7, "password": CUT, "api_key": CUT,
        "note": "two words",
    }  # fmt: skip
    assert second["event"] == "GET /webhook?token=*****&x=1 - 200"


def test_the_level_is_a_setting():
    assert any("fine detail" in line for line in run("text", "DEBUG"))
    assert len([line for line in run("text", "ERROR") if "INFO" in line or "WARNING" in line]) == 0


@pytest.mark.parametrize(
    ("text", "cut"),
    [
        ("POST /webhook?token=abc", "POST /webhook?token=*****"),
        ("token=abc&passphrase=def&x=1", "token=*****&passphrase=*****&x=1"),
        ('{"passphrase": "open sesame", "price": 1}', '{"passphrase": "*****", "price": 1}'),
        ("Authorization: Bearer abcdefghijkl", "Authorization: Bearer *****"),
        ("postgresql://ada:pw@db:5432/books", "postgresql://ada:*****@db:5432/books"),
        ("http://127.0.0.1:5000/ at 12:30", "http://127.0.0.1:5000/ at 12:30"),
        ("nothing here", "nothing here"),
    ],
)
def test_redaction(text, cut):
    assert redact(text) == cut
