"""The one place where market-data sources are registered: key → how to build it from the settings."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from dashtrade.data import reach
from dashtrade.data.limits import Limits
from dashtrade.errors import ConfigurationError, SourceKeyProblem
from dashtrade.registry import Registry
from dashtrade.settings import Settings

if TYPE_CHECKING:
    from pydantic import SecretStr

    from dashtrade.domain.ports import CallBudget, PriceSource


@dataclass(frozen=True, slots=True)
class SourceContext:
    """What sources are built from. ``alpaca_keys`` are a user's own, which go before the settings'."""

    settings: Settings
    budget: CallBudget
    alpaca_keys: tuple[SecretStr, SecretStr] | None = None


@dataclass(frozen=True, slots=True)
class SourceEntry:
    """A source one can choose. ``limits`` are what it has, known without building it.

    ``build`` raises SourceKeyProblem where a key is needed and none is set.
    """

    key: str
    label: str
    build: Callable[[SourceContext], PriceSource]
    needs_key: bool = False
    cached: bool = True
    limits: Limits | None = None


SOURCES: Registry[SourceEntry] = Registry("source")


def _yahoo(context: SourceContext) -> PriceSource:
    from dashtrade.data.yahoo import YahooSource

    settings = context.settings
    folder = settings.data_dir / "yahoo"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigurationError(
            f"The data folder {settings.data_dir} cannot be written ({error.strerror}): "
            "correct its permissions or set DASHTRADE_DATA_DIR."
        ) from None
    return YahooSource(url=settings.yahoo_url, cache_dir=folder)


def _alpha_vantage(context: SourceContext) -> PriceSource:
    key = context.settings.alpha_vantage_key
    if key is None:
        raise SourceKeyProblem(
            "alpha_vantage", "Alpha Vantage needs a key: get one at alphavantage.co, set DASHTRADE_ALPHA_VANTAGE_KEY."
        )
    from dashtrade.data.alpha_vantage import AlphaVantageSource

    return AlphaVantageSource(key, context.budget, url=context.settings.alpha_vantage_url)


def _alpaca(context: SourceContext) -> PriceSource:
    settings = context.settings
    own = None
    if settings.alpaca_key is not None and settings.alpaca_secret is not None:
        own = (settings.alpaca_key, settings.alpaca_secret)
    keys = context.alpaca_keys or own
    if keys is None:
        raise SourceKeyProblem(
            "alpaca", "Alpaca's data need keys: set DASHTRADE_ALPACA_KEY and DASHTRADE_ALPACA_SECRET."
        )
    from dashtrade.data.alpaca import AlpacaSource

    return AlpacaSource(*keys, url=settings.alpaca_data_url)


def _files(context: SourceContext) -> PriceSource:
    from dashtrade.data.files import FilesSource

    return FilesSource(context.settings.imported_dir)


def _sample(context: SourceContext) -> PriceSource:
    from dashtrade.data.sample import SampleSource

    return SampleSource()


SOURCES.register("yahoo", SourceEntry("yahoo", "Yahoo Finance", _yahoo, limits=reach.YAHOO))
SOURCES.register(
    "alpha_vantage",
    SourceEntry("alpha_vantage", "Alpha Vantage", _alpha_vantage, needs_key=True, limits=reach.ALPHA_VANTAGE),
)
SOURCES.register("alpaca", SourceEntry("alpaca", "Alpaca", _alpaca, needs_key=True, limits=reach.ALPACA))
SOURCES.register("files", SourceEntry("files", "Own files", _files, cached=False))
SOURCES.register("sample", SourceEntry("sample", "Sample data (offline)", _sample, cached=False))


class BuiltSources(Mapping[str, "PriceSource"]):
    """Sources built on first use, so that a process imports only the libraries of the source it asks."""

    def __init__(self, context: SourceContext) -> None:
        self._context = context
        self._built: dict[str, PriceSource] = {}

    def __getitem__(self, key: str) -> PriceSource:
        if key not in self._built:
            self._built[key] = SOURCES[key].build(self._context)
        return self._built[key]

    def __contains__(self, key: object) -> bool:
        return key in SOURCES

    def __iter__(self) -> Iterator[str]:
        return iter(SOURCES)

    def __len__(self) -> int:
        return len(SOURCES)
