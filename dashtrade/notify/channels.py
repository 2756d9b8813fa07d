"""Channels to people outside the program: any address that apprise understands."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass

from dashtrade.errors import InvalidInput

LONGEST_ADDRESS = 2_000
SECONDS, SECONDS_EACH = 20.0, 12.0
# services of the machine the program runs on, not of the person
_LOCAL = frozenset({"syslog", "rsyslog", "dbus", "kde", "qt", "glib", "gnome", "macosx", "windows", "mqtt", "mqtts"})
_PASSED_ON = ("PATH", "LANG", "TZ", "TMPDIR", "PYTHONPATH", "SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE")
_PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy")


@dataclass(frozen=True, slots=True)
class Message:
    """``picture`` is a PNG, for services that take one; the others get the text alone."""

    title: str
    body: str
    picture: bytes | None = None


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


def send(url: str, messages: Sequence[Message], *, allow_private: bool = False) -> list[Outcome]:
    """One outcome for each message. Sent from a process of its own, which may reach public addresses only.

    A proxy would hide where a message goes, so one is used only where private addresses are allowed anyway.
    """
    names = (*_PASSED_ON, *_PROXIES) if allow_private else _PASSED_ON
    order = {
        "url": url,
        "allow_private": allow_private,
        "messages": [
            {
                "title": each.title,
                "body": each.body,
                "picture": each.picture and base64.b64encode(each.picture).decode("ascii"),
            }
            for each in messages
        ],
    }
    try:
        done = subprocess.run(
            [sys.executable, "-m", "dashtrade.notify.sender"],
            input=json.dumps(order),
            env={name: os.environ[name] for name in names if name in os.environ},
            capture_output=True,
            text=True,
            timeout=SECONDS + SECONDS_EACH * len(messages),
            check=True,
        )
        results = json.loads(done.stdout)
    except subprocess.TimeoutExpired:
        return [Outcome(False, "Not delivered: the service took too long.")] * len(messages)
    except (subprocess.CalledProcessError, ValueError):
        return [Outcome(False, "Not delivered: the sending process failed.")] * len(messages)
    return [Outcome(r["sent"], r.get("error"), r.get("final", False)) for r in results]
