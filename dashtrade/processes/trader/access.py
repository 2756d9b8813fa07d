"""From an account to a broker: derived credentials for the simulator, decrypted ones for paper and live.

Only the trader does this, and only it is given the encryption key.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import httpx
import structlog

from dashtrade.auth import secret_files
from dashtrade.auth.vault import Vault
from dashtrade.brokers import make_broker
from dashtrade.brokers.alpaca import AlpacaBroker
from dashtrade.db.tables.trading import AccountRow
from dashtrade.db.unit_of_work import UnitOfWork
from dashtrade.domain.bots import AccountMode
from dashtrade.domain.simulated import simulated_credentials
from dashtrade.errors import BrokerError, ConfigurationError, NotFound
from dashtrade.services.api_keys import list_api_keys, open_api_keys
from dashtrade.services.trading_lease import Lease
from dashtrade.settings import Settings

log = structlog.get_logger("trader")
PriceHint = Callable[[str, Decimal], None]


def open_broker(uow: UnitOfWork, lease: Lease, settings: Settings) -> tuple[AlpacaBroker, PriceHint | None]:
    """The account's broker, and for simulated accounts a way to say what price the alert named.

    Raises ConfigurationError or NotFound with the remedy: no keys, no encryption key, live trading not confirmed.
    """
    if lease.mode is AccountMode.SIMULATED:
        given = settings.session_secret
        session_secret = given.get_secret_value() if given is not None else secret_files.session_secret(settings)
        key, secret = simulated_credentials(session_secret, lease.user_id)
        broker = make_broker(lease.mode.value, key, secret, url=settings.simulator_url)
        # in a rehearsal the market's price is replayed, and the alert's is not the market's
        return broker, None if settings.simulator_faults else _hint(settings.simulator_url, key, secret)
    mode = lease.mode.value
    with uow:
        account = uow.session.get_one(AccountRow, lease.account_id)
        if lease.mode is AccountMode.LIVE and account.live_confirmed_at is None:
            raise ConfigurationError("Live trading is not confirmed. Confirm it on the account page.")
        # what the user must do comes before what the operator must do
        if not any(view.mode == mode and view.is_active for view in list_api_keys(uow, lease.user_id)):
            raise NotFound(f"There are no API keys for {mode} trading. Enter them on the account page.")
        vault = Vault(secret_files.encryption_key(settings))  # of this moment: it may have been rotated
        keys = open_api_keys(uow, lease.user_id, vault, mode)
    return make_broker(mode, keys.key, keys.secret), None


class BrokerClock:
    """The simulator's clock, which a rehearsal moves through history. Asked at most every ``seconds``.

    For simulated accounts of an installation that is set up for rehearsals, and nowhere else: freshness, session and
    day limits must count the time in which the rehearsed market lives.
    """

    def __init__(self, broker: AlpacaBroker, seconds: float = 0.1) -> None:
        self._broker, self._seconds = broker, seconds
        self._lock = threading.Lock()
        self._offset, self._asked_at = timedelta(0), 0.0

    def now(self) -> datetime:
        with self._lock:
            if time.monotonic() - self._asked_at >= self._seconds:
                try:
                    self._offset = self._broker.clock().now.astimezone(UTC) - datetime.now(UTC)
                except BrokerError as error:
                    log.info("clock_not_known", reason=str(error))
                self._asked_at = time.monotonic()
            return datetime.now(UTC) + self._offset


def _hint(url: str, key: str, secret: str) -> PriceHint:
    client = httpx.Client(
        base_url=url,
        timeout=2.0,
        headers={"APCA-API-KEY-ID": key, "APCA-API-SECRET-KEY": secret},
        trust_env=False,
    )

    def hint(symbol: str, price: Decimal) -> None:
        try:
            client.post("/sim/prices", json={"symbol": symbol, "price": f"{price:f}"})
        except httpx.HTTPError as error:
            # Only the price of a simulated fill hangs on it; the order itself goes its own way.
            log.info("price_hint_failed", symbol=symbol, reason=type(error).__name__)

    return hint
