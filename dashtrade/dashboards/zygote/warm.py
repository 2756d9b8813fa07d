"""What the zygote imports, and the checks that forking afterwards is safe."""

from __future__ import annotations

import importlib
import re
import sys
import threading
from pathlib import Path

#: Libraries must not start threads at import: only the forking thread lives on in a child. The last one is pyarrow's
#: allocator, which otherwise has a thread that gives memory back.
SINGLE_THREADED = {
    "OPENBLAS_NUM_THREADS": "1",
    "OMP_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "NUMEXPR_MAX_THREADS": "1",
    "ARROW_DEFAULT_MEMORY_POOL": "system",
    "JE_ARROW_MALLOC_CONF": "background_thread:false",
}

#: Optional modules that cost start-up time and are never used in a page: a grammar that jsonschema tries, the debugger.
NEVER_IMPORT = ("rfc3987_syntax", "debugpy", "debugpy.server")

#: What every kernel needs before it can run its first line, so that a fork imports nothing.
KERNEL_MODULES = (
    "dashtrade.dashboards.zygote.kernel_app",
    "faulthandler",
    "IPython.core.logger",
    "ipykernel.kernelapp",
    "ipykernel.ipkernel",
    "ipykernel.zmqshell",
    "ipykernel.debugger",
    "ipykernel.subshell_manager",
    "IPython.core.completer",
    "IPython.core.completerlib",
    "IPython.core.historyapp",
    "IPython.core.debugger",
    "IPython.core.oinspect",
    "IPython.extensions.storemagic",
    "tornado.platform.asyncio",
    "tornado.queues",
    "email.parser",
    "encodings.idna",
    "encodings.ascii",
    "encodings.latin_1",
)

#: What nearly every page uses. The page modules themselves are added by the server, which knows the pages.
PAGE_MODULES = ("numpy", "pandas", "ipywidgets", "bqplot", "anywidget", "sqlalchemy.orm", "psycopg2", "talib")


def skip_unwanted() -> None:
    """Make the imports of :data:`NEVER_IMPORT` fail at once."""
    for name in NEVER_IMPORT:
        sys.modules.setdefault(name, None)  # type: ignore[arg-type]


CALL = re.compile(r"([\w.]+):(\w+)(?:\((\w*)\))?")


def import_one(name: str) -> str | None:
    """Import ``name``, or with ``module:function(word)`` also call that function, whose result a cache keeps.

    The problem as text when that fails, since one broken page must not stop the others.
    """
    try:
        call = CALL.fullmatch(name)
        if call is None:
            importlib.import_module(name)
        else:
            module, function, word = call.groups()
            getattr(importlib.import_module(module), function)(*([word] if word else []))
    except Exception as error:  # noqa: BLE001  any module may fail in any way; the page itself will say why
        return f"{type(error).__name__}: {error}"
    return None


def why_unsafe() -> list[str]:
    """Reasons why forking this process now would harm its children; empty when it is safe."""
    reasons = []
    tasks = len(list(Path("/proc/self/task").iterdir()))
    if tasks != 1 or threading.active_count() != 1:
        reasons.append(f"{tasks} threads of the system, {threading.active_count()} of Python")
    zmq = sys.modules.get("zmq")
    if zmq is not None and zmq.Context._instance is not None:
        reasons.append("a zmq context")
    widget = sys.modules.get("ipywidgets.widgets.widget")
    if getattr(widget, "_instances", None):
        reasons.append("live widgets")
    bootstrap = sys.modules.get("dashtrade.bootstrap")
    cached = getattr(getattr(bootstrap, "runtime", None), "cache_info", None)
    if cached is not None and cached().currsize:
        reasons.append("an open database engine")
    sockets = [fd for fd in _open_sockets() if fd not in _KNOWN_SOCKETS]
    if sockets:
        reasons.append(f"{len(sockets)} open network connections")
    return reasons


_KNOWN_SOCKETS: set[int] = set()


def allow_socket(fd: int) -> None:
    """The zygote's own listening socket is no reason to refuse."""
    _KNOWN_SOCKETS.add(fd)


def _open_sockets() -> list[int]:
    found = []
    for entry in Path("/proc/self/fd").iterdir():
        try:
            target = str(entry.readlink())
        except OSError:  # the descriptor of the listing itself
            continue
        # 0-2 are inherited: a supervisor may well have connected them to sockets
        if target.startswith("socket:") and int(entry.name) > 2:
            found.append(int(entry.name))
    return found
