"""ipykernel's application for the kernel of a page: without what pages have no use for.

Each thing left out here would be done again in every kernel, and would write to memory that all of them share: reading
the reference count of an object copies its page. Together they made up a third of what a page took.
"""

from __future__ import annotations

import logging
import sys
from typing import Any, ClassVar

from ipykernel import ipkernel
from ipykernel.kernelapp import IPKernelApp
from traitlets import default


class PageKernelApp(IPKernelApp):
    """Takes ``["-f", FILE, …]``. There are no options, no configuration files, no start-up files and no history."""

    name = "page-kernel"

    def parse_command_line(self, argv: Any = None) -> None:
        self.connection_file = argv[argv.index("-f") + 1]
        self.config.HistoryManager.enabled = False
        # large buffers are copied: sending them from where they are takes one more thread and socket
        self.config.Session.copy_threshold = sys.maxsize

    def init_config_files(self) -> None:
        """None are read: they would be the operator's own, not a page's."""

    def load_config_file(self, *args: Any, **kwargs: Any) -> None:
        """See :meth:`init_config_files`."""

    @default("log")
    def _log_default(self) -> logging.Logger:
        return logging.getLogger("ipykernel")

    def _configure_logging(self) -> None:
        """The warm process has done so."""

    def configure_tornado_logger(self) -> None:
        """See :meth:`_configure_logging`."""

    def init_kernel(self) -> None:
        """A kernel lists the files of all modules for its debugger, which pages do not have."""
        ipkernel.sys = _WithoutModules()  # type: ignore[assignment]
        try:
            super().init_kernel()
        finally:
            ipkernel.sys = sys

    def init_code(self) -> None:
        """No code comes before the page's. IPython lists all modules here, for its magic ``%reset``."""
        if self.shell is not None:
            self.shell._sys_modules_keys = set()


class _WithoutModules:
    """The module ``sys``, with no modules in it."""

    modules: ClassVar[dict[str, Any]] = {}

    def __getattr__(self, name: str) -> Any:
        return getattr(sys, name)
