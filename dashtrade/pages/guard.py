"""The one guard between a page's callbacks and the person who looks at it: no traceback ever reaches the page."""

from __future__ import annotations

import logging
import os
import re
import secrets
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from typing import Any, Literal

from dashtrade.errors import DashTradeError

log = logging.getLogger("dashtrade.pages")

Kind = Literal["info", "success", "warning", "error"]


@dataclass(frozen=True, slots=True)
class Message:
    """A sentence for the user; ``action`` names a method of the page's model that the offered button calls."""

    kind: Kind
    text: str
    action: str = ""
    action_label: str = ""


_LONG_LIST = re.compile(r" Allowed: (?:[^\s,]+, ){20,}[^,(]+?(?:\.?$|(?=\.? \())")


def sentence(error: DashTradeError) -> str:
    """The error's text for a page: a list of more than twenty allowed names is left out."""
    return _LONG_LIST.sub("", str(error))


def describe(error: BaseException) -> Message:
    """An expected error speaks for itself; anything else is logged under a reference that the user can quote."""
    if isinstance(error, DashTradeError):
        return Message("error", sentence(error))
    reference = secrets.token_hex(4)
    log.error("unexpected error on a page, reference %s", reference, exc_info=error)
    return Message(
        "error",
        f"Something went wrong on our side. Try again; if it stays, give your operator the reference {reference}.",
    )


def guarded(callback: Callable[..., Any], say: Callable[[Message], None]) -> Callable[..., None]:
    """``callback`` whose failures become a message; its result is dropped."""

    @wraps(callback)
    def call(*args: Any, **kwargs: Any) -> None:
        try:
            callback(*args, **kwargs)
        except Exception as error:  # noqa: BLE001 - the edge of the page: logged by describe()
            say(describe(error))

    return call


class ProcessStderr(logging.StreamHandler):
    """Writes to the process's own stderr, past the one that a kernel shows on the page."""

    def __init__(self) -> None:
        descriptor = getattr(sys.stderr, "_original_stdstream_copy", None)
        super().__init__(
            os.fdopen(os.dup(descriptor), "w", buffering=1) if isinstance(descriptor, int) else sys.__stderr__
        )
        self.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))


def log_to_process_stderr() -> None:
    """Keeps log records off the page; called when a page opens, never at import.

    The warm process has seen to that already: its kernels' records go into the server's log.
    """
    if logging.getLogger("dashtrade").handlers:
        return
    if not any(isinstance(handler, ProcessStderr) for handler in log.handlers):
        log.addHandler(ProcessStderr())
        log.propagate = False
