"""The life of a forked kernel, from the fork to its end."""

from __future__ import annotations

import ctypes
import gc
import logging
import os
import random
import signal
import sys
import time
from collections.abc import Callable
from typing import Any

PR_SET_PDEATHSIG = 1
#: Pages give way to trading, alerts and the doors, which may run on the same machine. A little only: on a person's own
#: machine the browser beside them wants the processor, too. And only once they are built: somebody who waits for a page
#: to open goes before those who look at theirs.
NICENESS = 5


def die_with_parent() -> None:
    """Ask the kernel of the system to kill this process when the thread that made it ends."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def run_kernel(arguments: list[str], environment: dict[str, str], folder: str, zygote: int) -> None:
    """Become an IPython kernel; returns when it has been shut down."""
    die_with_parent()
    if os.getppid() != zygote:  # it ended before we asked
        os._exit(1)
    # A process group of its own, to be ended whole. All pages stay in the warm process's session: where the system
    # shares out time by session, they have together what one service has, however many are open.
    os.setpgid(0, 0)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.set_wakeup_fd(-1)
    os.environ.clear()
    os.environ.update(environment)
    time.tzset()
    os.chdir(folder)
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.close(null)
    sys.argv = ["ipykernel_launcher", *arguments]
    _forget_shared_state()

    from dashtrade.dashboards.zygote.kernel_app import PageKernelApp

    # parent_handle 1 means "no polling thread": the death signal above does that work
    app: Any = PageKernelApp.instance(parent_handle=1)
    app.initialize(arguments)
    ipywidgets = sys.modules.get("ipywidgets")
    if ipywidgets is not None:
        ipywidgets.register_comm_target()  # could not happen at import: there was no shell then
    logging.getLogger("Comm").addFilter(_not_while_routing)
    _keep_quiet_until_built(app.shell)
    app.shell.events.register("post_execute", _stand_back_once(app.shell))
    gc.enable()
    app.start()


def _stand_back_once(shell: Any) -> Callable[[], None]:
    """To be called after a page's cell has run."""

    def stand_back() -> None:
        shell.events.unregister("post_execute", stand_back)
        os.nice(NICENESS)

    return stand_back


def _keep_quiet_until_built(shell: Any) -> None:
    """Send nothing about widgets while the page's cell runs: no browser is there yet, and the one that comes asks for
    the state of all. The server would read hundreds of messages, twice, for nobody."""
    from ipykernel.comm.comm import BaseComm

    publish = BaseComm.publish_msg

    def say_nothing(comm: Any, *_: Any, **__: Any) -> None:
        comm.kernel = shell.kernel  # as publishing does; without it widgets take the comm for closed

    def speak() -> None:
        shell.events.unregister("post_execute", speak)
        BaseComm.publish_msg = publish  # type: ignore[method-assign]

    BaseComm.publish_msg = say_nothing  # type: ignore[method-assign, assignment]
    shell.events.register("post_execute", speak)


def _not_while_routing(record: logging.LogRecord) -> bool:
    """ipykernel's channel thread looks for the comm of each message to find its thread, also for one that the main
    thread is about to open: its "No such comm" there means nothing. What the main thread does not find is logged."""
    return record.threadName == "MainThread" or not str(record.msg).startswith("No such comm")


def _forget_shared_state() -> None:
    """What a fork copies and no two kernels may share: random streams and settings read before."""
    random.seed()
    numpy = sys.modules.get("numpy")
    if numpy is not None:
        numpy.random.seed()
    settings = sys.modules.get("dashtrade.settings")
    if settings is not None:
        settings.get_settings.cache_clear()
