"""The page notebooks, read once and kept: what Voilà asks a contents manager for, and nothing more."""

from __future__ import annotations

from copy import deepcopy
from pathlib import Path
from typing import Any

import nbformat
from tornado import web

from dashtrade.dashboards.catalogue import Catalogue


class PageNotebooks:
    """Knows the notebooks of the catalogue by ``<slug>.ipynb``. It cannot list, write, or read any other file."""

    def __init__(self, catalogue: Catalogue) -> None:
        self._catalogue = catalogue
        self._kept: dict[Path, tuple[int, Any]] = {}

    def get(self, path: str, **_: Any) -> dict[str, Any]:
        slug, dot, suffix = path.partition(".")
        if (dot + suffix) != ".ipynb" or self._catalogue.get(slug) is None:
            raise web.HTTPError(404)
        file = self._catalogue.folder / path
        stamp = file.stat().st_mtime_ns
        kept = self._kept.get(file)
        if kept is None or kept[0] != stamp:
            kept = self._kept[file] = (stamp, nbformat.read(file, as_version=4))
        return {"path": path, "name": path, "type": "notebook", "content": deepcopy(kept[1])}

    def file_exists(self, path: str = "") -> bool:
        return False  # asked for pictures to be put into the page
