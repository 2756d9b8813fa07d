"""The one place where market-data sources are registered: key → how to build it from the settings."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from dashtrade.errors import ConfigurationError
from dashtrade.registry import Registry
from dashtrade.settings import Settings

if TYPE_CHECKING:
    from dashtrade.domain.ports import PriceSource


@dataclass(frozen=True, slots=True)
class SourceEntry:
    """A source one can choose. ``build`` raises SourceKeyProblem where a key is needed and none is set."""

    key: str
    label: str
    build: Callable[[Settings], PriceSource]
    needs_key: bool = False
    cached: bool = True


SOURCES: Registry[SourceEntry] = Registry("source")


def _yahoo(settings: Settings) -> PriceSource:
    from dashtrade.data.yahoo import YahooSource

    folder = settings.data_dir / "yahoo"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigurationError(
            f"The data folder {settings.data_dir} cannot be written ({error.strerror}): "
            "correct its permissions or set DASHTRADE_DATA_DIR."
        ) from None
    return YahooSource(url=settings.yahoo_url, cache_dir=folder)


def _sample(settings: Settings) -> PriceSource:
    from dashtrade.data.sample import SampleSource

    return SampleSource()


SOURCES.register("yahoo", SourceEntry("yahoo", "Yahoo Finance", _yahoo))
SOURCES.register("sample", SourceEntry("sample", "Sample data (offline)", _sample, cached=False))


class BuiltSources(Mapping[str, "PriceSource"]):
    """Sources built on first use, so that a process imports only the libraries of the source it asks."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._built: dict[str, PriceSource] = {}

    def __getitem__(self, key: str) -> PriceSource:
        if key not in self._built:
            self._built[key] = SOURCES[key].build(self._settings)
        return self._built[key]

    def __contains__(self, key: object) -> bool:
        return key in SOURCES

    def __iter__(self) -> Iterator[str]:
        return iter(SOURCES)

    def __len__(self) -> int:
        return len(SOURCES)
