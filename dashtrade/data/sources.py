"""The one place where market-data sources are registered: key → how to build it from the settings."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from dashtrade.data import reach
from dashtrade.data.limits import Limits
from dashtrade.domain.market import Adjustment, Interval
from dashtrade.errors import ConfigurationError, SourceKeyProblem
from dashtrade.registry import Registry
from dashtrade.settings import Settings

if TYPE_CHECKING:
    from pydantic import SecretStr

    from dashtrade.domain.ports import CallBudget, PriceSource


@dataclass(frozen=True, slots=True)
class SourceContext:
    """What sources are built from.

    ``keys`` are a user's own, key and secret (empty where there is none), and go before the settings'; ``owner`` is
    then that user, whose limits are counted apart. ``elsewhere`` gives the source itself where its key is not in this
    process, and None where it is.
    """

    settings: Settings
    budget: CallBudget
    keys: Mapping[str, tuple[SecretStr, SecretStr]] = field(default_factory=dict)
    owner: int | None = None
    elsewhere: Callable[[str], PriceSource | None] | None = None

    def allowance(self, key: str) -> str:
        """Whose limit counts: the installation's, or the user's whose key it is."""
        return f"{key}-{self.owner}" if key in self.keys else ""


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
    adjustment: Callable[[Interval], Adjustment] | None = None


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
    own = context.keys.get("alpha_vantage")
    key = own[0] if own else context.settings.alpha_vantage_key
    if key is None:
        raise SourceKeyProblem(
            "alpha_vantage",
            "Alpha Vantage needs a key: get one at alphavantage.co and enter it on the account page or with "
            "`dashtrade data keys`, or set DASHTRADE_ALPHA_VANTAGE_KEY for everybody.",
        )
    from dashtrade.data.alpha_vantage import AlphaVantageSource

    return AlphaVantageSource(
        key, context.budget, url=context.settings.alpha_vantage_url, allowance=context.allowance("alpha_vantage")
    )


def _alpaca(context: SourceContext) -> PriceSource:
    settings = context.settings
    shared = None
    if settings.alpaca_key is not None and settings.alpaca_secret is not None:
        shared = (settings.alpaca_key, settings.alpaca_secret)
    keys = context.keys.get("alpaca") or shared
    if keys is None:
        raise SourceKeyProblem(
            "alpaca",
            "Alpaca's data need keys: enter yours on the account page or with `dashtrade data keys`, or set "
            "DASHTRADE_ALPACA_KEY and DASHTRADE_ALPACA_SECRET for everybody.",
        )
    from dashtrade.data.alpaca import AlpacaSource

    return AlpacaSource(*keys, url=settings.alpaca_data_url, allowance=context.allowance("alpaca"))


def _files(context: SourceContext) -> PriceSource:
    from dashtrade.data.files import FilesSource

    return FilesSource(context.settings.imported_dir)


def _sample(context: SourceContext) -> PriceSource:
    from dashtrade.data.sample import SampleSource

    return SampleSource()


SOURCES.register("yahoo", SourceEntry("yahoo", "Yahoo Finance", _yahoo, limits=reach.YAHOO))
SOURCES.register(
    "alpha_vantage",
    SourceEntry(
        "alpha_vantage",
        "Alpha Vantage",
        _alpha_vantage,
        needs_key=True,
        limits=reach.ALPHA_VANTAGE,
        adjustment=reach.alpha_vantage_adjustment,
    ),
)
SOURCES.register(
    "alpaca",
    SourceEntry("alpaca", "Alpaca", _alpaca, needs_key=True, limits=reach.ALPACA, adjustment=reach.alpaca_adjustment),
)
SOURCES.register("files", SourceEntry("files", "Own files", _files, cached=False))
SOURCES.register("sample", SourceEntry("sample", "Sample data (offline)", _sample, cached=False))


class BuiltSources(Mapping[str, "PriceSource"]):
    """Sources built on first use, so that a process imports only the libraries of the source it asks."""

    def __init__(self, context: SourceContext) -> None:
        self._context = context
        self._built: dict[str, PriceSource] = {}

    def __getitem__(self, key: str) -> PriceSource:
        if key not in self._built:
            entry, elsewhere = SOURCES[key], self._context.elsewhere
            found = elsewhere(key) if elsewhere is not None and entry.needs_key else None
            self._built[key] = found or entry.build(self._context)
        return self._built[key]

    def __contains__(self, key: object) -> bool:
        return key in SOURCES

    def __iter__(self) -> Iterator[str]:
        return iter(SOURCES)

    def __len__(self) -> int:
        return len(SOURCES)
