"""From a page's notebook to its HTML, piece by piece: Voilà's renderer, made fast, and never without an end."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable
from typing import Any

import jinja2
import nbformat
from nbconvert.preprocessors.clearoutput import ClearOutputPreprocessor
from voila.execute import VoilaExecutor
from voila.exporter import VoilaExporter
from voila.notebook_renderer import NotebookRenderer


class MemoryCache(jinja2.BytecodeCache):
    """Compiled templates by key; jinja itself checks that the source is still the same."""

    def __init__(self) -> None:
        self._kept: dict[str, bytes] = {}

    def load_bytecode(self, bucket: Any) -> None:
        if bucket.key in self._kept:
            bucket.bytecode_from_string(self._kept[bucket.key])

    def dump_bytecode(self, bucket: Any) -> None:
        self._kept[bucket.key] = bucket.bytecode_to_string()


class CachingExporter(VoilaExporter):
    """Voilà's exporter with one cache for all pages: by default it compiles its templates anew for each."""

    _cache = MemoryCache()

    def _create_environment(self) -> jinja2.Environment:
        environment: jinja2.Environment = super()._create_environment()
        environment.bytecode_cache = self._cache
        return environment


def use_caching_exporter() -> None:
    """Voilà has no setting for the exporter's class, so the name its renderer uses is changed."""
    import voila.notebook_renderer

    voila.notebook_renderer.VoilaExporter = CachingExporter


class PageRenderer(NotebookRenderer):
    """Voilà's renderer, of which no failure leaves the browser waiting: the template shows it in place, here it is
    logged. ``failed`` says that there is no kernel the page could live on."""

    failed = False

    def close(self) -> None:
        """Let go of the channels to the kernel. Voilà does so after the last cell only: a browser that leaves before
        the first would keep two threads and a dozen sockets here for good."""
        client = getattr(getattr(self, "executor", None), "kc", None)
        if client is not None and client.channels_running:
            client.stop_channels()

    async def _jinja_kernel_start(self, nb: Any, kernel_id: str, kernel_future: Awaitable[Any]) -> str:
        """The kernel's id once it answers; nothing where it could not be started."""
        try:
            manager = await kernel_future
            self.executor = VoilaExecutor(nb, km=manager, config=self.traitlet_config, show_tracebacks=False)
            self.executor.kc = await self.executor.async_start_new_kernel_client()
        except Exception:  # whatever it was, the person gets a page that says so
            self.log.exception("Kernel %s could not be started", kernel_id)
            self.failed = True
            return ""
        self.kernel_started = True
        return kernel_id

    async def _jinja_cell_generator(self, nb: Any, kernel_id: str) -> AsyncIterator[Any]:
        """Each cell as soon as it has run; after one that failed, no more."""
        nb, _ = ClearOutputPreprocessor().preprocess(nb, {"metadata": {"path": self.cwd}})
        try:
            for number, cell in enumerate(nb.cells):
                try:
                    yield await self.executor.execute_cell(cell, None, number, store_history=False)
                except Exception:  # also a kernel that died, or that takes too long
                    if getattr(self.request_handler, "left", False):  # its end is ours
                        self.log.info("Kernel %s is not needed: its browser has left", kernel_id)
                        return
                    self.log.exception("Kernel %s could not run its page", kernel_id)
                    error = nbformat.v4.new_output("error", ename="Error", evalue="", traceback=[])
                    yield nbformat.v4.new_code_cell(outputs=[error])
                    return
        finally:
            await self._cleanup_resources()
