"""The scripts that every page needs, in one file.

Voilà's front end and the widget libraries come in nearly a hundred parts, of which a page asks for one after the other:
that costs the browser and the server more than their contents do. The parts are written for webpack, which takes those
that are there already and fetches the rest by itself. So a list that is not up to date costs time and breaks nothing;
the browser tests count what pages still fetch one by one.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from functools import cached_property
from pathlib import Path
from typing import ClassVar

from dashtrade.dashboards.assets import Asset, AssetStore, squeezed
from dashtrade.dashboards.chart_library import NAME as CHART
from dashtrade.dashboards.chart_library import chart_library

NAME = "front.js"
#: Addresses below the assets' folder, in the order in which a page asks for them.
PARTS = Path(__file__).resolve().parent / "front_end.txt"
#: Starts the front end once the parts are there.
ENTRY = "voila/voila.js"


class OneFile(ABC):
    """A store that knows one name."""

    name: ClassVar[str]

    def find(self, path: str) -> Asset | None:
        return self.whole if path == self.name else None

    def build(self) -> None:
        """Put it together before anybody asks: work that the first page would wait for."""
        self.whole  # noqa: B018  kept from now on

    @cached_property
    def whole(self) -> Asset:
        return self._made()

    @abstractmethod
    def _made(self) -> Asset: ...


class FrontEnd(OneFile):
    """``stores`` is first folder of an address → where to look for the rest of it."""

    name = NAME

    def __init__(self, stores: dict[str, AssetStore]) -> None:
        self._stores = stores

    def _made(self) -> Asset:
        parts = [part for address in PARTS.read_text().split() if (part := self._part(address)) is not None]
        # each in a function of its own: whether it is strict is said at its top
        text = b"".join(b"(()=>{" + part + b"\n})();\n" for part in parts)
        return squeezed(text + (self._part(ENTRY) or b""), "text/javascript")

    def _part(self, address: str) -> bytes | None:
        folder, _, path = address.partition("/")
        asset = self._stores[folder].find(path)
        return None if asset is None else asset.body


class ChartLibrary(OneFile):
    """The script of price charts."""

    name = CHART

    def _made(self) -> Asset:
        return squeezed(chart_library().encode(), "text/javascript")
