"""Answers whether an account's broker can be reached, for users who set up a bot. It places no order."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

import structlog

from dashtrade.db.unit_of_work import UnitOfWork
from dashtrade.domain.bots import AccountMode
from dashtrade.errors import BrokerError, DashTradeError
from dashtrade.processes.trader.access import open_broker
from dashtrade.services.bot_connection import answer_question
from dashtrade.services.trading_lease import Lease
from dashtrade.settings import Settings

log = structlog.get_logger("trader")


def check_account(
    uow: Callable[[], UnitOfWork], account: Lease, settings: Settings, now: Callable[[], datetime]
) -> None:
    """Ask the broker for the account and write down what it says."""
    ok, text = _ask(uow, account, settings)
    log.info("connection_checked", account=account.account_id, ok=ok)
    answer_question(uow(), account.account_id, ok, text, now())


def _ask(uow: Callable[[], UnitOfWork], account: Lease, settings: Settings) -> tuple[bool, str]:
    try:
        broker, _ = open_broker(uow(), account, settings)
    except DashTradeError as error:
        return False, str(error)
    who = "The simulator" if account.mode is AccountMode.SIMULATED else f"Alpaca ({account.mode.value})"
    try:
        seen = broker.account()
    except BrokerError as error:
        return False, f"{who} did not answer: {error}"
    finally:
        broker.close()
    if seen.status.upper() not in ("ACTIVE", ""):
        return False, f"{who} says that the account is {seen.status}: nothing can be bought until it is active."
    return True, f"{who} answers: equity ${seen.equity:,.2f}, buying power ${seen.buying_power:,.2f}."
