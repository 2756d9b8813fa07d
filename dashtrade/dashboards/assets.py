"""Scripts, styles and fonts: public parts of installed packages, kept compressed in memory and cached for good.

The address holds a version made from the packages, so a browser never asks again for a file it has, and never uses
one from before an update.
"""

from __future__ import annotations

import gzip
import hashlib
import mimetypes
import re
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Protocol

from tornado import web

COMPRESSIBLE = (".js", ".css", ".svg", ".json", ".map", ".ttf", ".eot", ".html", ".txt")
PACKAGES = ("dashtrade", "voila", "ipywidgets", "jupyterlab_widgets", "bqplot", "anywidget", "lwcharts", "jupyterlab")
#: What is served; a notebook or a Python file that lies beside them is not.
SUFFIXES = (".js", ".css", ".svg", ".json", ".woff", ".woff2", ".ttf", ".eot", ".png", ".gif", ".map", ".txt")


def assets_version(own: Path) -> str:
    """Changes whenever an installed package or one of our own files in ``own`` does."""
    digest = hashlib.sha256()
    for name in PACKAGES:
        try:
            digest.update(f"{name}={version(name)};".encode())
        except PackageNotFoundError:
            continue
    for file in sorted(own.rglob("*")):
        if file.is_file():
            digest.update(file.name.encode() + file.read_bytes())
    return digest.hexdigest()[:12]


#: Pairs: what stands in the scripts of others, and what is served instead. Both make pages come on a busy machine.
#:
#: The widgets' script gives the kernel four seconds for the state of all widgets, and that counts from before it is
#: connected. After them it asks for each widget by itself: hundreds of questions to a machine that is too busy already,
#: and if one of those widgets is closed meanwhile, its page stays empty for good.
#:
#: It looks for a page's widget every tenth of a second, for two seconds, then it has not been found. Where the last
#: pause takes long, the widget has come meanwhile, and nobody looks: so we look once more.
AMENDED = (
    (re.compile(rb'("Control comm did not respond in time"\)+),4e3\)'), rb"\1,6e4)"),
    (
        re.compile(
            rb"(if\(void 0!==\(\w+=this\._models\[\w+\]\)\)return \w+;)(await new Promise\([^{}]{1,60}\)\})(?=throw )"
        ),
        rb"\1\2\1",
    ),
)


def amended(body: bytes) -> bytes:
    """A script with our changes."""
    for found, better in AMENDED:
        body = found.sub(better, body)
    return body


@dataclass(frozen=True, slots=True)
class Asset:
    body: bytes
    squeezed: bytes | None
    kind: str


def squeezed(body: bytes, kind: str) -> Asset:
    return Asset(body, gzip.compress(body, 6, mtime=0), kind)


class AssetStore:
    """Files below several folders; the first folder that has a path wins."""

    def __init__(self, roots: list[Path]) -> None:
        self.roots = [root.resolve() for root in roots if root.is_dir()]
        self._kept: dict[str, Asset | None] = {}

    def find(self, path: str) -> Asset | None:
        if path not in self._kept:
            asset = self._read(path)
            if asset is None:  # not kept: strangers could fill the memory with names
                return None
            self._kept[path] = asset
        return self._kept[path]

    def _read(self, path: str) -> Asset | None:
        if not path.endswith(SUFFIXES) or "\0" in path:
            return None
        for root in self.roots:
            file = (root / path).resolve()
            # links are followed only to where an installed package may keep its files: below the same root
            if file.is_relative_to(root) and file.is_file():
                body = file.read_bytes()
                kind = mimetypes.guess_type(file.name)[0] or "application/octet-stream"
                if file.suffix == ".js":
                    kind, body = "text/javascript", amended(body)
                return (
                    squeezed(body, kind) if file.suffix in COMPRESSIBLE and len(body) > 512 else Asset(body, None, kind)
                )
        return None


class Store(Protocol):
    """Where an :class:`AssetHandler` looks."""

    def find(self, path: str) -> Asset | None: ...


class AssetHandler(web.RequestHandler):
    """Needs no session: there is nothing in it that a package index would not give to anybody."""

    SUPPORTED_METHODS = ("GET", "HEAD")

    def initialize(self, store: Store, headers: dict[str, str]) -> None:
        self.store = store
        self.extra = headers

    def set_default_headers(self) -> None:
        for name, value in getattr(self, "extra", {}).items():
            self.set_header(name, value)

    def get(self, path: str) -> None:
        asset = self.store.find(path)
        if asset is None:
            raise web.HTTPError(404)
        for name, value in self.extra.items():
            self.set_header(name, value)
        self.set_header("Content-Type", asset.kind)
        self.set_header("Cache-Control", "public, max-age=31536000, immutable")
        body = asset.body
        if asset.squeezed is not None:
            self.set_header("Vary", "Accept-Encoding")
            if "gzip" in self.request.headers.get("Accept-Encoding", ""):
                self.set_header("Content-Encoding", "gzip")
                body = asset.squeezed
        self.set_header("Content-Length", str(len(body)))
        self.finish(body if self.request.method == "GET" else None)

    head = get

    def write_error(self, status_code: int, **kwargs: object) -> None:
        self.set_header("Content-Type", "text/plain; charset=utf-8")
        self.set_header("Cache-Control", "no-store")
        self.finish("Not found" if status_code == 404 else "Error")

    def compute_etag(self) -> None:
        return None
