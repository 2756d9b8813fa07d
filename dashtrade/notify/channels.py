"""Channels to people outside the program: any address that apprise understands."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from dashtrade.errors import InvalidInput

LONGEST_ADDRESS = 2_000
SECONDS, SECONDS_EACH = 20.0, 12.0
# services of the machine the program runs on, not of the person
_LOCAL = frozenset({"syslog", "rsyslog", "dbus", "kde", "qt", "glib", "gnome", "macosx", "windows", "mqtt", "mqtts"})
_PASSED_ON = ("PATH", "LANG", "TZ", "TMPDIR", "PYTHONPATH", "SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE")
_PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy")


@dataclass(frozen=True, slots=True)
class Message:
    """``picture`` is a PNG, for services that take one; the others get the text alone. ``key`` goes to web services of
    one's own as ``Idempotency-Key``, so that they can tell a repeat from a second message."""

    title: str
    body: str
    picture: bytes | None = None
    key: str = ""


@dataclass(frozen=True, slots=True)
class Outcome:
    """``final``: trying again would not help."""

    sent: bool
    error: str | None = None
    final: bool = False


def service_of(url: str) -> str:
    """The service's name, such as ``Telegram``. Raises InvalidInput, which never repeats the address."""
    import apprise

    url = url.strip()
    scheme = url.partition("://")[0].lower()
    example = "write it as apprise does, for example mailto://user:password@example.com or ntfy://topic"
    if not 0 < len(url) <= LONGEST_ADDRESS or "://" not in url or not url.isprintable():
        raise InvalidInput("url", f"is not a channel's address; {example}.")
    if scheme in _LOCAL:
        raise InvalidInput("url", f"{scheme} is not offered; choose a service that reaches you elsewhere.")
    plugin = apprise.Apprise.instantiate(url)
    if plugin is None:
        raise InvalidInput("url", f"is not understood; {example}.")
    return str(plugin.service_name)


def takes_pictures(url: str) -> bool:
    """Whether the service behind this address can carry a picture. Nothing is sent."""
    import apprise

    plugin = apprise.Apprise.instantiate(url.strip())
    return plugin is not None and bool(plugin.attachment_support)


def seconds_for(count: int) -> float:
    """The time that sending so many messages may take; the sending process ends itself after it."""
    return SECONDS + SECONDS_EACH * count


def send(url: str, messages: Sequence[Message], diary: Path, *, allow_private: bool = False) -> list[Outcome]:
    """One outcome for each message. Sent from a process of its own, which may reach public addresses only.

    That process writes to ``diary`` what it begins and what came of it, so that it is known (:func:`read_diary`) even
    where the caller is killed meanwhile. A proxy would hide where a message goes, so one is used only where private
    addresses are allowed anyway.
    """
    names = (*_PASSED_ON, *_PROXIES) if allow_private else _PASSED_ON
    order = {
        "url": url,
        "allow_private": allow_private,
        "seconds": seconds_for(len(messages)),
        "messages": [
            {
                "title": each.title,
                "body": each.body,
                "key": each.key,
                "picture": each.picture and base64.b64encode(each.picture).decode("ascii"),
            }
            for each in messages
        ],
    }
    why = "the sending process failed"
    with diary.open("wb") as output:
        sender = subprocess.Popen(
            [sys.executable, "-m", "dashtrade.notify.sender"],
            env={name: os.environ[name] for name in names if name in os.environ},
            stdin=subprocess.PIPE,
            stdout=output,
            stderr=subprocess.DEVNULL,
        )
        try:
            sender.communicate(json.dumps(order).encode(), timeout=seconds_for(len(messages)) + 5)
        except subprocess.TimeoutExpired:
            why = "the service took too long"
        finally:
            sender.kill()
            sender.wait()
    known = read_diary(diary, len(messages))
    return [each or Outcome(False, f"Not delivered: {why}.") for each in known.outcomes]


@dataclass(frozen=True, slots=True)
class Diary:
    """What is known of each message: its outcome, or None. ``begun`` are the numbers of those whose sending began."""

    outcomes: tuple[Outcome | None, ...]
    begun: frozenset[int]


def read_diary(path: Path, count: int) -> Diary:
    """What the sending process wrote about ``count`` messages; a line that was cut off is left out."""
    outcomes: list[Outcome | None] = [None] * count
    begun: set[int] = set()
    for line in path.read_bytes().splitlines():
        try:
            said = json.loads(line)
        except ValueError:
            continue
        if said.get("begins"):
            begun.add(said["number"])
        elif said["number"] < count:
            outcomes[said["number"]] = Outcome(said["sent"], said.get("error"), said.get("final", False))
    return Diary(tuple(outcomes), frozenset(begun))
