"""Composition root: the one place where ports meet implementations.

Heavy imports stay inside the functions, so that a process pays only for what it uses.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Any

from dashtrade.settings import Settings, get_settings

if TYPE_CHECKING:
    import pandas as pd
    from sqlalchemy import Engine

    from dashtrade.data.cache import BarCache
    from dashtrade.db.unit_of_work import UnitOfWork
    from dashtrade.domain.market import NewsItem, SymbolMatch
    from dashtrade.domain.ports import CallBudget, PriceSource, PriceStream
    from dashtrade.services.jobs import Job
    from dashtrade.services.live import LivePoller, LivePrices
    from dashtrade.services.market import MarketData
    from dashtrade.services.shared_prices import SharedPrices
    from dashtrade.services.source_requests import RequestServer


@dataclass(frozen=True, slots=True)
class Runtime:
    """What a process works with: its settings and its database."""

    settings: Settings
    engine: Engine

    def uow(self) -> UnitOfWork:
        from dashtrade.db.unit_of_work import UnitOfWork

        return UnitOfWork(self.engine)

    def alert_market(self, order: tuple[str, ...] | None = None) -> MarketData:
        """Market data whose cached bars are no older than alerts may be late, in a user's order of sources or the
        installation's."""
        return _alert_market(self.settings, order)


@lru_cache(maxsize=32)
def _alert_market(settings: Settings, order: tuple[str, ...] | None) -> MarketData:
    return make_market(settings, order=order, fresh=timedelta(seconds=20))


#: The trader has two threads for each account, and a connection costs more than the transaction it is opened for.
POOL: dict[str, Any] = {"pool_size": 15, "max_overflow": 15}


def connect(settings: Settings) -> Runtime:
    """A runtime without a look at the schema. Without DATABASE_URL the embedded server in the data folder is joined,
    or started for as long as this process lives."""
    from dashtrade.db.engine import make_engine
    from dashtrade.db.lingering_pool import LingeringPool

    if settings.database_url is not None:
        page = "DASHTRADE_USER_ID" in os.environ
        pool: dict[str, Any] = {"poolclass": LingeringPool, "pool_pre_ping": True} if page else POOL
        return Runtime(settings, make_engine(settings.database_url.get_secret_value(), **pool))
    import atexit

    from dashtrade.db.embedded import EmbeddedPostgres

    server = EmbeddedPostgres(settings.data_dir).start()
    engine = make_engine(server.url())
    atexit.register(server.stop)
    atexit.register(engine.dispose)
    return Runtime(settings, engine)


@lru_cache(maxsize=1)
def runtime() -> Runtime:
    """The process's runtime, with a current schema. A new embedded database is migrated; any other that is not current
    raises MigrationNeeded."""
    from dashtrade.db.schema import check_schema, is_empty

    made = connect(get_settings())
    if made.settings.database_url is None and is_empty(made.engine):
        from dashtrade.db.migrate import upgrade

        upgrade(made.engine)
    check_schema(made.engine)
    return made


# modules of services that declare background jobs
JOB_MODULES = (
    "dashtrade.services.housekeeping",
    "dashtrade.services.deliveries",
    "dashtrade.services.alert_engine",
    "dashtrade.services.alert_prefetch",
    "dashtrade.services.reconcile_hint",
    "dashtrade.services.report_schedules",
    "dashtrade.services.report_control",
    "dashtrade.services.password_reset",
    "dashtrade.services.equity",
    "dashtrade.services.key_changes",
)


def load_jobs() -> list[Job]:
    """All declared jobs, after importing the modules that declare them."""
    from importlib import import_module

    from dashtrade.services.jobs import JOBS

    for module in JOB_MODULES:
        import_module(module)
    return list(JOBS.values())


def bar_cache(settings: Settings, fresh: timedelta | None = None) -> BarCache:
    """The cache of bars the settings name; ``fresh`` is for how long its newest bars are taken as they are."""
    from dashtrade.data.cache import FRESH, BarCache

    return BarCache(
        settings.cache_url or settings.cache_dir,
        settings.data_dir / "locks",
        max_bytes=settings.cache_max_mb * 1_000_000,
        fresh=FRESH if fresh is None else fresh,
    )


def source_order(settings: Settings) -> tuple[str, ...]:
    """The installation's sources in order: as set, else Yahoo, then Alpha Vantage where it has a key."""
    if settings.alpha_vantage_key is not None and "sources" not in settings.model_fields_set:
        return (*settings.sources, "alpha_vantage")
    return settings.sources


def make_market(
    settings: Settings,
    *,
    order: tuple[str, ...] | None = None,
    user_id: int | None = None,
    fresh: timedelta | None = None,
) -> MarketData:
    """Market data with the sources and the cache the settings name; ``order`` and the keys of ``user_id`` are a
    user's own."""
    from dashtrade.data.sources import SOURCES, BuiltSources, SourceContext
    from dashtrade.services.market import MarketData

    if order is None:
        order = source_order(settings)
    budget = _budget(settings)
    uncached = frozenset(key for key, entry in SOURCES.items() if not entry.cached)
    elsewhere = None if user_id is None else partial(own_source, settings, user_id)
    sources = BuiltSources(SourceContext(settings, budget, elsewhere=elsewhere))
    limits = {key: entry.limits for key, entry in SOURCES.items() if entry.limits is not None}
    return MarketData(sources, order, cache=bar_cache(settings, fresh), uncached=uncached, limits=limits)


def own_source(settings: Settings, user_id: int, key: str) -> PriceSource | None:
    """A source asked with the user's own key; None where the user has none and the installation's is at hand.

    A page kernel opens no keys: there the jobs worker is asked, which holds the installation's keys too.
    """
    from dashtrade.services.source_keys import list_source_keys
    from dashtrade.services.source_requests import RemoteSource

    has = any(view.source == key for view in list_source_keys(runtime().uow(), user_id))
    if "DASHTRADE_USER_ID" not in os.environ:
        return _keyed_source(settings, user_id, key) if has else None
    shared = {"alpha_vantage": settings.alpha_vantage_key, "alpaca": settings.alpaca_secret}
    if not has and shared.get(key) is not None:
        return None
    return RemoteSource(key, lambda: runtime().engine, user_id)


def _keyed_source(settings: Settings, user_id: int, key: str) -> PriceSource:
    from pydantic import SecretStr

    from dashtrade.auth.secret_files import encryption_key
    from dashtrade.auth.vault import Vault
    from dashtrade.data.sources import SOURCES, SourceContext
    from dashtrade.db.call_budget import DatabaseCallBudget
    from dashtrade.services.source_keys import open_source_keys

    made = runtime()
    opened = open_source_keys(made.uow(), user_id, Vault(encryption_key(settings)), key)
    if opened is None:
        return SOURCES[key].build(SourceContext(settings, _budget(settings)))
    budget = DatabaseCallBudget(lambda: runtime().engine, settings.alpha_vantage_calls, owner=user_id)
    pair = (SecretStr(opened.key), SecretStr(opened.secret))
    return SOURCES[key].build(SourceContext(settings, budget, {key: pair}, user_id))


def _budget(settings: Settings) -> CallBudget:
    from dashtrade.db.call_budget import DatabaseCallBudget

    return DatabaseCallBudget(lambda: runtime().engine, settings.alpha_vantage_calls)


def source_request_server(made: Runtime) -> RequestServer:
    """What answers the questions of page kernels to sources with keys; ``run(stop)`` works until told to stop."""
    from dashtrade.services.source_keys import list_source_keys
    from dashtrade.services.source_requests import RequestServer

    @lru_cache(maxsize=64)
    def built(user_id: int, key: str, changed: datetime | None) -> MarketData:
        from dashtrade.services.market import MarketData

        return MarketData({key: _keyed_source(made.settings, user_id, key)}, (key,))

    def asked(user_id: int, key: str) -> MarketData:
        changed = {view.source: view.updated_at for view in list_source_keys(made.uow(), user_id)}
        return built(user_id, key, changed.get(key))

    return RequestServer(made.engine, asked)


@lru_cache(maxsize=1)
def market() -> MarketData:
    """The process's market data, in the installation's order."""
    return make_market(get_settings())


def order_of(user_id: int, settings: Settings) -> tuple[str, ...]:
    """The order the user has chosen, else the installation's, and Alpha Vantage where the user has a key there."""
    from dashtrade.services.source_keys import list_source_keys
    from dashtrade.services.source_order import get_source_order

    order = get_source_order(runtime().uow(), user_id)
    if order is not None:
        return order
    order = source_order(settings)
    if "sources" not in settings.model_fields_set and "alpha_vantage" not in order:
        keys = {view.source for view in list_source_keys(runtime().uow(), user_id)}
        return (*order, "alpha_vantage") if "alpha_vantage" in keys else order
    return order


def market_of(user_id: int, fresh: timedelta | None = None) -> MarketData:
    """Market data in the user's order of sources, asked with the user's own keys where there are any.

    ``fresh`` is for how long cached bars are taken as they are.
    """
    settings = get_settings()
    return make_market(settings, order=order_of(user_id, settings), user_id=user_id, fresh=fresh)


def market_named(username: str) -> MarketData:
    """:func:`market_of` the user of this name; raises NotFound."""
    from dashtrade.services.users import user_named

    with runtime().uow() as uow:
        user_id = user_named(uow, username).id
    return market_of(user_id)


def market_here() -> MarketData:
    """Market data of the signed-in user in a page's or notebook's kernel; elsewhere, the installation's."""
    user_id = os.environ.get("DASHTRADE_USER_ID", "")
    return market_of(int(user_id)) if user_id.isdigit() and os.environ.get("DATABASE_URL") else market()


def shared_prices(
    settings: Settings | None = None, engine: Engine | None = None, *, user_id: int | None = None
) -> SharedPrices:
    """Latest prices for everything but the poller itself. Without arguments, those of this process's runtime."""
    from dashtrade.services.live import LivePrices
    from dashtrade.services.shared_prices import SharedPrices

    chosen = settings or get_settings()
    order = source_order(chosen) if user_id is None else order_of(user_id, chosen)

    @lru_cache(maxsize=1)
    def made() -> MarketData:
        return make_market(chosen, order=order, user_id=user_id)

    return SharedPrices(LivePrices(engine or runtime().engine), made, order)


def live_prices() -> LivePrices:
    """Latest prices as the jobs worker polls them for everybody."""
    from dashtrade.services.live import LivePrices

    return LivePrices(runtime().engine)


def live_poller(made: Runtime) -> LivePoller:
    """The poller of live prices; ``run(engine, stop)`` works until told to stop."""
    from dashtrade.data.sessions import ExchangeHours
    from dashtrade.services.live import LivePoller, LivePrices

    def alpaca() -> PriceStream | None:
        return price_stream(made.settings)

    return LivePoller(LivePrices(made.engine), market, ExchangeHours(), streams={"alpaca": alpaca})


def price_stream(settings: Settings) -> PriceStream | None:
    """Alpaca's trades as they happen; None without keys, or where only the data's address has been replaced."""
    if settings.alpaca_key is None or settings.alpaca_secret is None:
        return None
    if settings.alpaca_data_url is not None and settings.alpaca_stream_url is None:
        return None
    from dashtrade.data.alpaca_stream import TradeStream

    return TradeStream(settings.alpaca_key, settings.alpaca_secret, url=settings.alpaca_stream_url)


def live_bars(bars: pd.DataFrame) -> pd.DataFrame:
    """``bars`` with the last bar moved on by the latest polled price; as they are where there is none yet."""
    from dashtrade.data.live import with_quote
    from dashtrade.data.pipeline import session_edges

    symbol, source = bars.attrs["symbol"], bars.attrs["source"]
    quote = live_prices().latest([symbol], source).get(symbol)
    return bars if quote is None else with_quote(bars, quote, session_edges(symbol))


def _moment(value: str | date | datetime | None, field: str) -> datetime | None:
    """A day or a time as UTC; a day without a time is its midnight, UTC."""
    from dashtrade.errors import InvalidInput

    if value is None:
        return None
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(value.strip())
        except ValueError:
            message = f"{str(value)[:40]!r} is not a date; write 2024-01-31 or 2024-01-31T15:30+00:00."
            raise InvalidInput(field, message) from None
    if not isinstance(value, date) or value != value:  # a datetime is a date, and pandas' NaT is both
        raise InvalidInput(field, f"{value!r} is not a date; write 2024-01-31 or 2024-01-31T15:30+00:00.")
    if not isinstance(value, datetime):
        value = datetime(value.year, value.month, value.day, tzinfo=UTC)
    return value.astimezone(UTC) if value.tzinfo else value.replace(tzinfo=UTC)


def history(
    symbol: str,
    period: str = "1y",
    interval: str = "1d",
    start: str | date | datetime | None = None,
    end: str | date | datetime | None = None,
    source: str | None = None,
    *,
    user: str | None = None,
) -> pd.DataFrame:
    """Bars of ``symbol``: a DataFrame of open, high, low, close, volume with a UTC time index; ``attrs`` say whence.

    ``start`` (inclusive) and ``end`` (exclusive) replace ``period``; times without a zone are UTC. ``source`` asks only
    that source (``"sample"`` works offline); ``user`` asks with that user's keys and order of sources. Raises
    InvalidInput for bad input, SourceError where a source fails.

    >>> import dashtrade as dt
    >>> bars = dt.history("AAPL", period="1mo", source="sample")
    >>> list(bars.columns), bars.attrs["source"]
    (['open', 'high', 'low', 'close', 'volume'], 'sample')
    """
    from dashtrade.domain.market import HistoryRequest

    request = HistoryRequest.parse(symbol, interval, period, _moment(start, "start"), _moment(end, "end"))
    return (market_here() if user is None else market_named(user)).history(request, source)


def news_of(symbol: str, *, user: str | None = None) -> tuple[list[NewsItem], str]:
    """News with sentiment for the signal's vote, from Alpha Vantage where there is a key, and why there are none.

    The reason is empty where no key is set: then nobody expects news.
    """
    from dashtrade.errors import DashTradeError, SourceKeyProblem

    data = market_here() if user is None else market_named(user)
    try:
        data.source("alpha_vantage")
    except SourceKeyProblem:
        return [], ""
    try:
        return data.news(symbol, "alpha_vantage"), ""
    except DashTradeError as error:
        return [], str(error)


def search(text: str, source: str | None = None) -> list[SymbolMatch]:
    """Symbols whose ticker or name matches ``text``.

    >>> import dashtrade as dt
    >>> [match.symbol for match in dt.search("microsoft", source="sample")]
    ['MSFT']
    """
    return market_here().search(text, source)
