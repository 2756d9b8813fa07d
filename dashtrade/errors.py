"""The error tree: one subclass for each thing a caller does next.

Every error carries its fields as attributes and says the remedy in its text, so a page, a command or an HTTP handler
can show ``str(error)`` to a person as it is.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime


class DashTradeError(Exception):
    """Base of every expected failure. ``code`` is a stable short name for logs and HTTP bodies.

    >>> import dashtrade as dt
    >>> try:
    ...     dt.history("AAPL", period="3y", source="sample")
    ... except dt.DashTradeError as error:
    ...     print(error)
    period: '3y' is not a period. Allowed: 1d, 5d, 1mo, 3mo, 6mo, 1y, 2y, 5y, 10y, ytd, max.
    """

    code = "ERROR"

    def __reduce__(self) -> tuple[object, ...]:
        """Errors travel between processes whole, whatever their constructor takes."""
        return _revived, (type(self), self.args, self.__dict__)


def _revived(cls: type[DashTradeError], args: tuple[object, ...], fields: dict[str, object]) -> DashTradeError:
    error = cls.__new__(cls, *args)
    error.__dict__.update(fields)
    return error


class InvalidInput(DashTradeError):
    """A value the user gave is not allowed: ask again, naming the field and what is allowed."""

    code = "VALIDATION_ERROR"

    def __init__(self, field: str, message: str, *, allowed: Iterable[object] | None = None) -> None:
        self.field = field
        self.allowed = None if allowed is None else tuple(str(a) for a in allowed)
        hint = f" Allowed: {', '.join(self.allowed)}." if self.allowed else ""
        super().__init__(f"{field}: {message}{hint}")


class UnknownOption(InvalidInput):
    """A name is not in a registry; the options are listed."""

    def __init__(self, kind: str, name: str, options: Iterable[str]) -> None:
        from difflib import get_close_matches

        self.name = name
        known = sorted(options)
        near = get_close_matches(str(name), known, 1)
        super().__init__(
            kind, f"{name!r} is not known" + (f"; did you mean {near[0]}?" if near else "."), allowed=known
        )


class NotFound(DashTradeError):
    """The thing asked for does not exist, or is not this user's (which must look the same)."""

    code = "NOT_FOUND"


class AuthFailed(DashTradeError):
    """Sign in again. One text for every cause, so that nothing about accounts is revealed."""

    code = "AUTH_ERROR"


class TooManyAttempts(AuthFailed):
    """Too many wrong sign-ins: wait ``retry_after`` seconds. Says nothing about whether the account exists."""

    code = "TOO_MANY_ATTEMPTS"

    def __init__(self, retry_after: int) -> None:
        self.retry_after = retry_after
        super().__init__(f"Too many attempts to sign in. Try again in {retry_after} seconds.")


class Forbidden(DashTradeError):
    """Signed in, but not allowed to do this."""

    code = "FORBIDDEN"


class ConfigurationError(DashTradeError):
    """The operator must change a setting, a file or a permission."""

    code = "CONFIGURATION"


class DatabaseUnavailable(DashTradeError):
    """The database cannot be reached: start it or correct DATABASE_URL, then try again."""

    code = "DATABASE_UNAVAILABLE"


class ClusterUnavailable(DashTradeError):
    """The Dask scheduler or its workers cannot be reached, or run other versions: start or mend them, or unset
    DASHTRADE_DASK_SCHEDULER to run on this machine."""

    code = "CLUSTER_UNAVAILABLE"


class MigrationNeeded(ConfigurationError):
    """The database schema is older or newer than the program: run ``dashtrade migrate``."""

    code = "MIGRATION_NEEDED"


class SourceError(DashTradeError):
    """Base of market-data failures. ``source`` is the source's key.

    ``cached_at`` is set where older bars are in the cache, so that a person can be offered them with their age.
    """

    code = "SOURCE_ERROR"
    cached_at: datetime | None = None

    def __init__(self, source: str, message: str) -> None:
        self.source = source
        super().__init__(message)


class UnknownSymbol(SourceError):
    """The source has no such symbol: correct the ticker."""

    code = "UNKNOWN_SYMBOL"


class NoDataInRange(SourceError):
    """The symbol exists, but has no bars in the range asked for: widen it."""

    code = "NO_DATA"


class RateLimited(SourceError):
    """The source asks to wait; ``retry_after`` seconds, when known."""

    code = "RATE_LIMITED"

    def __init__(self, source: str, message: str, retry_after: float | None = None) -> None:
        self.retry_after = retry_after
        super().__init__(source, message)


class BudgetUsedUp(RateLimited):
    """The source's daily number of calls is used up."""

    code = "BUDGET_USED_UP"


class SourceUnreachable(SourceError):
    """No answer, or the source's own fault (HTTP 5xx): check the network, try again, or choose sample data."""

    code = "UNREACHABLE"


class BadAnswer(SourceError):
    """The source answered with something that is not market data."""

    code = "BAD_ANSWER"


class SourceKeyProblem(SourceError):
    """The source's key is missing or refused: set it."""

    code = "KEY_PROBLEM"


class BadBars(DashTradeError):
    """A frame of bars breaks the OHLCV contract and cannot be mended by a stated rule."""

    code = "BAD_BARS"


class BrokerError(DashTradeError):
    """Base of broker failures."""

    code = "BROKER_ERROR"


class BrokerUnavailable(BrokerError):
    """The broker could not be asked, or gave no usable answer to a question: nothing is known, ask again later.

    Never read this as "no orders" or "no positions". ``retry_after`` seconds, when the broker said so.
    """

    code = "BROKER_UNAVAILABLE"

    def __init__(self, message: str, retry_after: float | None = None) -> None:
        self.retry_after = retry_after
        super().__init__(message)


class OrderRefused(BrokerError):
    """The broker said no; nothing was placed.

    ``reason`` is the broker's own text, ``broker_code`` its number, ``kind`` a value of domain.orders.Refusal, and
    ``related_order_id`` the order in the way, when the broker names it.
    """

    code = "ORDER_REFUSED"

    def __init__(
        self, reason: str, broker_code: int | None = None, kind: str = "other", related_order_id: str | None = None
    ) -> None:
        self.reason = reason
        self.broker_code = broker_code
        self.kind = kind
        self.related_order_id = related_order_id
        super().__init__(f"The broker refused the order: {reason}")


class OutcomeUnknown(BrokerError):
    """The order may or may not have landed: ask the broker by client order id, never send a new one.

    ``retry_after`` seconds, when the broker asked to wait.
    """

    code = "OUTCOME_UNKNOWN"

    def __init__(self, message: str = "", retry_after: float | None = None) -> None:
        self.retry_after = retry_after
        super().__init__(message or "The broker's answer is not known. Ask it by client order id.")


class RiskLimitReached(DashTradeError):
    """A limit of the bot or the account forbids this entry."""

    code = "RISK_LIMIT"

    def __init__(self, limit: str, message: str) -> None:
        self.limit = limit
        super().__init__(message)


class BotDisabled(DashTradeError):
    """The bot exists but is switched off."""

    code = "BOT_DISABLED"


class PayloadTooLarge(DashTradeError):
    """A request's body is larger than is read: send less."""

    code = "PAYLOAD_TOO_LARGE"


class RequestTimeout(DashTradeError):
    """A request's body did not arrive in time: send it again."""

    code = "REQUEST_TIMEOUT"
