"""A bot's orders against its strategy's backtest over made-up bars, the crossings known by hand."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pandas as pd
import pytest
from sqlalchemy import Engine, text

from dashtrade.db.unit_of_work import UnitOfWork
from dashtrade.domain.bot_views import NewBot
from dashtrade.domain.market import HistoryRequest
from dashtrade.domain.strategy import Strategy
from dashtrade.domain.users import User
from dashtrade.errors import InvalidInput, NotFound
from dashtrade.services import bots
from dashtrade.services.bot_performance import bot_performance
from dashtrade.services.strategies import save_strategy
from dashtrade.strategies import parse_condition

START = datetime(2026, 3, 2, tzinfo=UTC)


class Bars:
    """Daily closes 100, but 120 on days 3 to 5: above 110 is entered and left on the next open."""

    def history(self, request: HistoryRequest, source: str | None = None) -> pd.DataFrame:
        closes = [100.0] * 13 + [120.0] * 3 + [100.0] * 4
        index = pd.date_range(START - timedelta(days=10), periods=20, freq="D", tz="UTC", name="time")
        frame = pd.DataFrame(dict.fromkeys(("open", "high", "low", "close"), closes), index=index)
        frame["volume"] = 1000.0
        frame.attrs.update(symbol=request.symbol, source="test", interval="1d")
        return frame


def order(engine: Engine, bot: bots.BotView, side: str, day: int, price: str) -> None:
    with engine.begin() as connection:
        connection.execute(
            text(
                "INSERT INTO order_intents (user_id, bot_id, account_id, symbol, client_order_id, purpose, side, qty,"
                " state, deadline, filled_qty, filled_avg_price, acknowledged_at, ended_at) SELECT user_id, :b, id,"
                " 'AAPL', :c, :p, :s, 8, 'filled', :t, 8, :x, :t, :t FROM account_state"
            ),
            {"b": bot.id, "c": f"{side}{day}", "p": "entry" if side == "buy" else "exit", "s": side, "x": price,
             "t": START + timedelta(days=day, seconds=20)},
        )  # fmt: skip


def test_a_bot_against_its_backtest(engine: Engine, make_user: Callable[..., User]) -> None:
    user = make_user().id
    rules = Strategy(name="above", long_entry=parse_condition("close > 110"), long_exit=parse_condition("close < 110"))
    save_strategy(UnitOfWork(engine), user, rules)
    request = NewBot("AAPL", "1 Day", Decimal(1000), strategy_name="above")
    bot = bots.create_bot(UnitOfWork(engine), user, request)
    order(engine, bot, "buy", 4, "120.12")
    order(engine, bot, "buy", 9, "1")
    days = {"start": START, "end": START + timedelta(days=10)}
    found = bot_performance(UnitOfWork(engine), Bars(), user, bot.id, **days)  # type: ignore[arg-type]
    assert [(pair.expected.price, pair.actual.price) for pair in found.pairs] == [(120.0, 120.12)]
    assert found.mean_slippage_bps == pytest.approx(10)
    assert [(fill.side, fill.time) for fill in found.missed] == [
        ("sell", START + timedelta(days=7, hours=13, minutes=30))
    ]
    assert [fill.price for fill in found.extra] == [1.0]
    assert found.sentence.startswith("Of 2 fills of the backtest the bot had 1 and missed 1; 1 of its own")
    with pytest.raises(NotFound):
        bot_performance(UnitOfWork(engine), Bars(), make_user("eve").id, bot.id)
    other = bots.create_bot(UnitOfWork(engine), user, NewBot("MSFT", "1 Day", Decimal(1000)))
    with pytest.raises(InvalidInput, match="names no strategy"):
        bot_performance(UnitOfWork(engine), Bars(), user, other.id)
