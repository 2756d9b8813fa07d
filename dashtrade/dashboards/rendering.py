"""Makes Voilà's template engine keep its compiled templates: by default it compiles them anew for every page."""

from __future__ import annotations

from typing import Any

import jinja2
from voila.exporter import VoilaExporter


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
    """Voilà's exporter with one cache for all pages."""

    _cache = MemoryCache()

    def _create_environment(self) -> jinja2.Environment:
        environment: jinja2.Environment = super()._create_environment()
        environment.bytecode_cache = self._cache
        return environment


def use_caching_exporter() -> None:
    """Voilà has no setting for the exporter's class, so the name its renderer uses is changed."""
    import voila.notebook_renderer

    voila.notebook_renderer.VoilaExporter = CachingExporter
