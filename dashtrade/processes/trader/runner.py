"""The trader process: an agent in a thread of its own for each account that needs one, woken by notices."""

from __future__ import annotations

import json
import os
import secrets
import signal
import socket
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from types import FrameType

import structlog
from sqlalchemy import Engine
from sqlalchemy.dialects.postgresql import insert as pg_insert
from structlog.contextvars import bound_contextvars

from dashtrade.brokers.alpaca import AlpacaBroker
from dashtrade.db.engine import limit_idle
from dashtrade.db.listen import Listener
from dashtrade.db.tables.trading import TraderHeartbeatRow
from dashtrade.db.unit_of_work import UnitOfWork
from dashtrade.domain.bots import AccountMode, SessionRule
from dashtrade.domain.market import Quote
from dashtrade.errors import DashTradeError, DatabaseUnavailable
from dashtrade.processes.trader.access import BrokerClock, open_broker
from dashtrade.processes.trader.agent import AccountAgent, Tools, nothing
from dashtrade.processes.trader.checking import check_account
from dashtrade.services import bot_connection, trading
from dashtrade.services.alerts_in import ALERTS_CHANNEL
from dashtrade.services.trading_lease import Lease, LeaseLost, accounts_with_work, acquire_lease, release_lease
from dashtrade.settings import Settings

log = structlog.get_logger("trader")
SCAN_SECONDS = 2.0
RETRY_SECONDS = 5.0
QUOTE_AGE = timedelta(seconds=15)  # a price seen before that is asked for again


class Trader:
    """``run()`` until ``stop()``. Starts and restarts agents; owns nothing that is not in the database."""

    def __init__(
        self,
        engine: Engine,
        settings: Settings,
        *,
        checkpoint: Callable[[str], None] = nothing,
        quote: Callable[[str], Quote | None] = lambda symbol: None,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        limit_idle(engine)  # a frozen trader must not keep its account's lock from the one that takes over
        self.engine, self.settings = engine, settings
        self.checkpoint, self.quote, self.now = checkpoint, quote, now
        alive_key = secrets.randbelow(2**31)
        self.owner = f"{socket.gethostname()[:60]}:{os.getpid()}:{alive_key}"
        self._stop = threading.Event()
        self._look = threading.Event()
        self._lock = threading.Lock()
        self._threads: dict[int, threading.Thread] = {}
        self._checks: dict[int, threading.Thread] = {}
        self._agents: dict[tuple[int, str], AccountAgent] = {}
        self._listener = Listener(engine, [ALERTS_CHANNEL], self._noticed, alive_key=alive_key)

    def uow(self) -> UnitOfWork:
        return UnitOfWork(self.engine)

    def stop(self) -> None:
        self._stop.set()
        self._look.set()
        with self._lock:
            for agent in self._agents.values():
                agent.wake()

    def reconcile_soon(self) -> None:
        """Make every account compare its books now."""
        with self._lock:
            for agent in self._agents.values():
                agent.reconcile_soon()

    def run(self) -> None:
        self._listener.start()
        self._listener.connected.wait(5)
        log.info("trader_started", owner=self.owner)
        try:
            while not self._stop.is_set():
                try:
                    self._scan()
                except DatabaseUnavailable as error:
                    log.warning("database_away", reason=str(error))
                self._look.wait(SCAN_SECONDS)
                self._look.clear()
        finally:
            self._listener.stop()
            for thread in list(self._threads.values()):
                thread.join(timeout=25)
            log.info("trader_stopped")

    def _noticed(self, channel: str | None, payload: str) -> None:
        """An alert was stored: wake its account's agent, or look for an account without one."""
        with self._lock:
            if channel is None:
                agents = list(self._agents.values())
            else:
                told = json.loads(payload)
                agent = self._agents.get((int(told["user"]), str(told["mode"])))
                agents = [agent] if agent is not None else []
        for agent in agents:
            agent.wake()
        if channel is None or not agents:
            self._look.set()

    def _scan(self) -> None:
        for account_id in accounts_with_work(self.uow()):
            thread = self._threads.get(account_id)
            if thread is None or not thread.is_alive():
                thread = threading.Thread(
                    target=self._serve, args=(account_id,), name=f"account-{account_id}", daemon=True
                )
                self._threads[account_id] = thread
                thread.start()
        for account in bot_connection.open_questions(self.uow(), self.now()):
            asking = self._checks.get(account.account_id)
            if asking is None or not asking.is_alive():
                asking = threading.Thread(target=self._check, args=(account,), name="check", daemon=True)
                self._checks[account.account_id] = asking
                asking.start()
        self._beat()

    def _beat(self) -> None:
        with self._lock:
            heard = [agent.stream_heard for agent in self._agents.values() if agent.stream_heard is not None]
        values = {"beat_at": self.now(), "accounts": len(self._agents), "stream_at": max(heard, default=None)}
        statement = pg_insert(TraderHeartbeatRow).values(name=self.owner, **values)
        with self.uow() as uow:
            uow.session.execute(statement.on_conflict_do_update(index_elements=["name"], set_=values))
            uow.commit()

    def _serve(self, account_id: int) -> None:
        """One account, as long as its lease is ours."""
        try:
            lease = self._wait_for_lease(account_id)
            if lease is None:
                return
            try:
                with bound_contextvars(account=account_id, user=lease.user_id):
                    self._trade(lease)
            finally:
                release_lease(self.uow(), lease)
        except LeaseLost as error:
            log.warning("lease_lost", account=account_id, reason=str(error))
        except DatabaseUnavailable as error:
            log.warning("database_away", account=account_id, reason=str(error))
        except Exception:  # edge of a thread: logged, and the next scan starts it again
            log.exception("account_failed", account=account_id)

    def _check(self, account: Lease) -> None:
        try:
            check_account(self.uow, account, self.settings, self.now)
        except DatabaseUnavailable as error:
            log.warning("database_away", account=account.account_id, reason=str(error))
        except Exception:  # edge of a thread: logged; the question is asked again while it waits
            log.exception("check_failed", account=account.account_id)

    def _wait_for_lease(self, account_id: int) -> Lease | None:
        while not self._stop.is_set():
            lease = acquire_lease(self.uow(), account_id, self.owner)
            if lease is not None:
                return lease
            self._stop.wait(1.0)
        return None

    def _trade(self, lease: Lease) -> None:
        broker, hint = None, None
        try:
            broker, hint = open_broker(self.uow(), lease, self.settings)
        except DatabaseUnavailable:
            raise  # says nothing about the account: its alerts wait
        except DashTradeError as error:
            self._refuse(lease, error)
            return
        hours = _RegularHours()

        def session_open(symbol: str, rule: SessionRule, moment: datetime) -> bool:
            if rule is SessionRule.ANY or (rule is SessionRule.AUTO and lease.mode is AccountMode.SIMULATED):
                return True
            return hours.is_open(symbol, moment)

        rehearsed = lease.mode is AccountMode.SIMULATED and self.settings.simulator_faults
        now = BrokerClock(broker).now if rehearsed else self.now
        tools = Tools(
            self.uow, broker, hint, self.quote, session_open, hours.next_edge, now=now, checkpoint=self.checkpoint
        )
        agent = AccountAgent(lease, tools)
        with self._lock:
            self._agents[lease.user_id, lease.mode.value] = agent
        try:
            broker.stream(agent.on_update, agent.on_gap)
            agent.run(self._stop)
        finally:
            with self._lock:
                self._agents.pop((lease.user_id, lease.mode.value), None)
            _close(broker)

    def _refuse(self, lease: Lease, error: DashTradeError) -> None:
        """An account without a usable broker: its alerts end with the reason, until somebody mends it."""
        log.error("account_cannot_trade", account=lease.account_id, reason=str(error))
        trading.refuse_alerts(self.uow(), lease, self.now(), "ACCOUNT_UNAVAILABLE", str(error))
        self._look.wait(RETRY_SECONDS)


class _RegularHours:
    """The exchange calendar; a data frame's weight, so read when an account begins to trade."""

    def __init__(self) -> None:
        from dashtrade.data.sessions import ExchangeHours

        self._hours = ExchangeHours()

    def is_open(self, symbol: str, at: datetime) -> bool:
        return self._hours.is_open(symbol, at)

    def next_edge(self, at: datetime) -> datetime:
        """When New York next opens or closes."""
        close = self._hours.next_close("SPY", at)
        opening = self._hours.next_open("SPY", at)
        return opening if close is None else min(opening, close)


def _close(broker: AlpacaBroker) -> None:
    try:
        broker.close()
    except DashTradeError as error:
        log.info("broker_not_closed", reason=str(error))


def run(engine: Engine, settings: Settings, *, checkpoint: Callable[[str], None] = nothing) -> None:
    """Run a trader in this process until SIGTERM or SIGINT."""
    trader = Trader(engine, settings, checkpoint=checkpoint, quote=_market_quote(settings, engine))

    def ended(number: int, frame: FrameType | None) -> None:
        trader.stop()

    signal.signal(signal.SIGTERM, ended)
    signal.signal(signal.SIGINT, ended)
    trader.run()


def _market_quote(settings: Settings, engine: Engine) -> Callable[[str], Quote | None]:
    """Latest prices as polled for everybody, or asked for where nobody has polled the symbol lately."""
    from dashtrade.bootstrap import shared_prices

    prices = shared_prices(settings, engine)

    def quote(symbol: str) -> Quote | None:
        return prices.latest([symbol], max_age=QUOTE_AGE).get(symbol)

    return quote
