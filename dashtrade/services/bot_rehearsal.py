"""A strategy rehearsed through the whole path: its signals as alerts, traded by a bot, compared with its backtest.

The simulator's clock and prices are moved through history bar by bar, so that months pass in seconds. At the open of
the bar where the backtest fills, the alert of the signal before it is sent to the webhook as TradingView would, and the
trader does the rest. A rehearsal has a user and an account of its own, or a bot of a user who is named, whose page then
shows it; what was traded stays for looking at, switched off.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING

from sqlalchemy import select

from dashtrade.bots.performance import Pair, PricedFill, match_fills
from dashtrade.db.tables.accounts import UserRow
from dashtrade.db.tables.trading import ExecutionRow
from dashtrade.db.unit_of_work import UnitOfWork
from dashtrade.domain.bot_views import NewBot
from dashtrade.domain.bots import BotTimeframe, SessionRule
from dashtrade.errors import InvalidInput
from dashtrade.services import bots
from dashtrade.services.backtests import Market, RunRequest, build, fetch
from dashtrade.services.bot_performance import _BARS, opening

if TYPE_CHECKING:
    import pandas as pd

MOST_BARS = 20_000


@dataclass(frozen=True, slots=True)
class Moment:
    """One bar of the rehearsal: when it opens, at what price, and the alert that is sent then, if any."""

    time: datetime
    price: Decimal
    alert: dict[str, str] | None = None


@dataclass(frozen=True, slots=True)
class Script:
    """What will be played, and the fills that the backtest has; costs are left to the simulator."""

    symbol: str
    timeframe: BotTimeframe
    length: timedelta
    moments: tuple[Moment, ...]
    expected: tuple[PricedFill, ...]


@dataclass(frozen=True, slots=True)
class Cast:
    """Whose bot plays, and with which token. ``extra_user``: the user was made for it."""

    user_id: int
    username: str
    bot_id: int
    token: str
    extra_user: bool


@dataclass(frozen=True, slots=True)
class Rehearsal:
    """``pairs`` are fills of both, ``missed`` the backtest's alone, ``extra`` the bot's alone.

    ``held`` is what the bot holds in the end, ``expected_held`` what the backtest does; ``realized_pnl`` in dollars.
    """

    bars: int
    alerts: int
    pairs: tuple[Pair, ...]
    missed: tuple[PricedFill, ...]
    extra: tuple[PricedFill, ...]
    held: float
    expected_held: float
    realized_pnl: float

    @property
    def agrees(self) -> bool:
        """Every fill of the backtest was traded once, in the same quantity but for the simulator's costs."""
        same = all(abs(p.actual.qty / p.expected.qty - 1) < 0.01 for p in self.pairs)
        return not self.missed and not self.extra and same


def write_script(market: Market, request: RunRequest) -> Script:
    """The strategy's orders over these bars, as alerts. One symbol, long only, filled at the next open.

    Raises InvalidInput, SourceError.
    """
    from dashtrade.backtest.run import backtest

    timeframe = next((t for t, (interval, _) in _BARS.items() if interval == request.interval), None)
    if timeframe is None:
        raise InvalidInput("interval", "bots do not trade bars of this length.", allowed=[i for i, _ in _BARS.values()])
    if len(request.symbols) != 1 or request.direction != "long_only" or request.fill != "next_open":
        raise InvalidInput("symbol", "a rehearsal takes one symbol, long only, filled at the next open.")
    frames = fetch(market, request)
    ((symbol, frame),) = frames.items()
    if len(frame) > MOST_BARS:
        raise InvalidInput("period", f"{len(frame)} bars are too many; rehearse at most {MOST_BARS}.")
    orders = backtest(build(request, frames)).orders
    length = _BARS[timeframe][1]
    at = {start: opening(symbol, start, length) for start in (m.to_pydatetime() for m in frame.index)}
    columns = (orders[name] for name in ("time", "side", "price", "qty"))
    fills = [
        PricedFill(at[t.to_pydatetime()], str(side).lower(), float(price), float(qty))
        for t, side, price, qty in zip(*columns, strict=True)
    ]
    return Script(symbol, timeframe, length, tuple(_moments(symbol, timeframe, frame, at, fills)), tuple(fills))


def _moments(
    symbol: str, timeframe: BotTimeframe, frame: pd.DataFrame, at: dict[datetime, datetime], fills: list[PricedFill]
) -> Iterator[Moment]:
    by_time: dict[datetime, PricedFill] = {fill.time: fill for fill in fills}
    if len(by_time) != len(fills):
        raise InvalidInput("strategy", "it trades twice in one bar, which one alert a bar cannot say.")
    before: float | None = None
    name = secrets.token_hex(4)
    for start, opened, closed in zip(frame.index, frame["open"], frame["close"], strict=True):
        time = at[start.to_pydatetime()]
        fill, alert = by_time.get(time), None
        if fill is not None:
            alert = {
                "ticker": symbol,
                "action": fill.side,
                "interval": timeframe.value,
                "price": f"{opened if before is None else before:.4f}",
                "timenow": time.strftime("%Y-%m-%dT%H:%M:%SZ"),
                "id": f"rehearsal {name} {time:%Y-%m-%dT%H:%M}",
            }
        yield Moment(time, Decimal(f"{opened:.6f}"), alert)
        before = closed


def hire(
    uow: Callable[[], UnitOfWork], script: Script, position_size: Decimal, strategy: str, user_id: int | None = None
) -> Cast:
    """A bot of this user, or of a new one who cannot sign in, with a token. Limits are off, since the backtest has
    none."""
    extra = user_id is None
    username = ""
    if user_id is None:
        user_id, username = _extra_user(uow)
    request = NewBot(
        script.symbol, script.timeframe, position_size, session_rule=SessionRule.REGULAR, is_active=True,
        risk_limit_percent=None, max_orders_per_day=None, strategy_name=strategy,
    )  # fmt: skip
    bot = bots.create_bot(uow(), user_id, request)
    token = bots.create_token(uow(), user_id, bot_id=bot.id, label="rehearsal").secret
    return Cast(user_id, username, bot.id, token, extra)


def _extra_user(uow: Callable[[], UnitOfWork]) -> tuple[int, str]:
    username = f"rehearsal-{datetime.now(UTC):%y%m%d%H%M%S}-{secrets.token_hex(2)}"
    with uow() as work:
        nobody = "!"  # no password has this hash
        user = UserRow(username=username, email=f"{username}@rehearsal.invalid", password_hash=nobody, role="user")
        work.session.add(user)
        work.commit()
        return user.id, username


def dismiss(uow: Callable[[], UnitOfWork], cast: Cast) -> None:
    """Switch off what was made for it; what was traded stays in the books."""
    bots.set_bot_active(uow(), cast.user_id, cast.bot_id, False)
    for token in bots.list_tokens(uow(), cast.user_id):
        if token.bot_id == cast.bot_id:
            bots.revoke_token(uow(), cast.user_id, token.id)
    if not cast.extra_user:
        return
    with uow() as work:
        work.session.get_one(UserRow, cast.user_id).is_active = False
        work.commit()


def compare(uow: UnitOfWork, script: Script, cast: Cast) -> Rehearsal:
    """The bot's ledger beside the backtest's orders."""
    with uow:
        query = select(ExecutionRow.executed_at, ExecutionRow.side, ExecutionRow.price, ExecutionRow.qty).where(
            ExecutionRow.user_id == cast.user_id, ExecutionRow.bot_id == cast.bot_id
        )
        actual = [PricedFill(t, side, float(price), float(qty)) for t, side, price, qty in uow.session.execute(query)]
    pairs, missed, extra = match_fills(script.expected, actual, within=script.length / 2)
    bot = bots.get_bot(uow, cast.user_id, cast.bot_id)
    held = sum(fill.qty if fill.side == "buy" else -fill.qty for fill in script.expected)
    return Rehearsal(
        len(script.moments), sum(m.alert is not None for m in script.moments), tuple(pairs), tuple(missed),
        tuple(extra), float(bot.position_qty), held, float(bot.total_pnl),
    )  # fmt: skip
