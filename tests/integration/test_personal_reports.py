"""The reports about a user's own data: run by papermill against a real database, with the rights of a page."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pandas as pd
import pytest

from dashtrade.db.pages_role import ensure_pages_role, pages_url
from dashtrade.db.tables.trading import AccountRow, ExecutionRow, IntentRow, LotClosingRow, LotRow
from dashtrade.domain.bot_views import NewBot
from dashtrade.domain.bots import AccountMode
from dashtrade.errors import InvalidInput, NotFound
from dashtrade.services import bots, report_bot, report_watchlist
from dashtrade.services.reports import ReportFailed, run_report
from dashtrade.services.source_order import set_source_order
from dashtrade.services.watchlist import watch

NOW = datetime.now(UTC).replace(microsecond=0)
TICKERS = ("AAPL", "MSFT", "IBM")


@pytest.fixture
def ada(make_user):
    return make_user("ada").id


@pytest.fixture
def bot(uow_factory, ada):
    """A bot on IBM that made 12.50 and lost 5, and holds 3 shares bought at 100."""
    with uow_factory() as uow:
        made = bots.create_bot(uow, ada, NewBot("IBM", "1 Day", Decimal(1000), strategy_name="ema_cross"))
        account = bots.ensure_account(uow.session, ada, AccountMode.SIMULATED)
        account.equity, account.last_equity, account.cash = Decimal(10_250), Decimal(10_000), Decimal(9_800)
        uow.session.flush()
        own = {"account_id": account.id, "user_id": ada, "bot_id": made.id, "symbol": "IBM"}

        def fill(number, side, qty, price, day):
            at = NOW - timedelta(days=day)
            row = ExecutionRow(**own, execution_id=f"x{number}", side=side, qty=Decimal(qty), price=Decimal(price),
                               executed_at=at, trade_date=at.date(), source="poll")  # fmt: skip
            uow.session.add(row)
            uow.session.flush()
            return row

        for number, (pnl, day) in enumerate([("12.5", 20), ("-5", 10)]):
            bought, sold = fill(f"b{number}", "buy", 1, 100, day + 1), fill(f"s{number}", "sell", 1, 100, day)
            lot = LotRow(**own, execution_id=bought.id, opened_qty=1, open_qty=0, price=100,
                         opened_at=bought.executed_at, closed_at=sold.executed_at)  # fmt: skip
            uow.session.add(lot)
            uow.session.flush()
            uow.session.add(
                LotClosingRow(lot_id=lot.id, execution_id=sold.id, user_id=ada, bot_id=made.id, qty=1, open_price=100,
                              close_price=100, realized_pnl=Decimal(pnl), closed_at=sold.executed_at,
                              trade_date=sold.trade_date)
            )  # fmt: skip
        held = fill("held", "buy", 3, 100, 2)
        uow.session.add(LotRow(**own, execution_id=held.id, opened_qty=3, open_qty=3, price=100,
                               opened_at=held.executed_at))  # fmt: skip
        uow.commit()
        return made


@pytest.fixture
def page(uow_factory, database_url, engine, ada, tmp_path, monkeypatch):
    """Runs a report for ada as the jobs worker does, and gives its words."""
    monkeypatch.setenv("ENCRYPTION_KEY", "not for reports")
    assert ensure_pages_role(engine, "a-password-of-the-test") is None
    monkeypatch.setenv("DASHTRADE_PAGES_DATABASE_URL", pages_url(database_url, "a-password-of-the-test"))
    monkeypatch.setenv("DASHTRADE_DATA_DIR", str(tmp_path))
    with uow_factory() as uow:
        set_source_order(uow, ada, ["sample"])  # a report reads the user's own order of sources

    def run(name, **parameters):
        found = run_report(name, parameters, data_dir=tmp_path, uow=uow_factory(), user_id=ada)
        text = found.read_text(encoding="utf-8")
        for code in ("import ", "page.read", "runtime()", "Traceback", "/work/", "not for reports", "a-password"):
            assert code not in text, code
        for word in ("Assumptions", "Provenance", "Versions", "<svg"):
            assert word in text, word
        return re.sub(r"\s+", " ", re.sub(r"<svg.*?</svg>", "[chart]", text, flags=re.S))

    return run


def test_the_watchlist_report(page, uow_factory, ada, make_user):
    with uow_factory() as uow:
        for symbol in TICKERS:
            watch(uow, ada, symbol)
        watch(uow, make_user("bob").id, "GOOG")
    text = page("watchlist", rule="close > 1")
    for symbol in TICKERS:
        assert f"<td>{symbol}</td>" in text
    assert "GOOG" not in text and "sample data" in text
    assert text.count("[chart]") == 3 and text.count('<td class="gain">yes</td>') == 3
    assert "<td>GOOG</td>" in page("watchlist", symbols="GOOG")


def test_the_portfolio_report(page, bot):
    text = page("portfolio", benchmark="AAPL")
    assert "10,250.00" in text and "+250.00" in text and '<td class="gain">+2.50%</td>' in text
    assert "<td>IBM</td><td>simulated</td><td>3</td><td>100.00</td>" in text
    assert text.count("[chart]") == 2 and "VaR 5 %" in text and "no real money" in text


def test_the_bot_report(page, bot):
    text = page("bot_performance", bot=bot.id, days="30")
    assert "+7.50" in text and "<b>50%</b>" in text and "<b>2.50</b>" in text, "12.50 won, 5 lost"
    assert "ema_cross" in text and "Past 30 days" in text


class Bars:
    """Daily closes at 100, but 120 on days 3 to 5 before the bot's fill on the open of day 4."""

    def history(self, request, source=None):
        closes = [100.0] * 30 + [120.0] * 3 + [100.0] * 5
        index = pd.date_range(end=NOW.date(), periods=len(closes), freq="D", tz="UTC", name="time")
        frame = pd.DataFrame(dict.fromkeys(("open", "high", "low", "close"), closes), index=index)
        frame["volume"] = 1000.0
        frame.attrs.update(symbol=request.symbol, source="test", interval="1d")
        return frame


def test_a_bot_is_set_beside_its_backtest(uow_factory, ada, engine, make_user):
    from dashtrade.domain.strategy import Strategy
    from dashtrade.services.strategies import save_strategy
    from dashtrade.strategies import parse_condition

    with uow_factory() as uow:
        rules = Strategy("above", long_entry=parse_condition("close > 110"), long_exit=parse_condition("close < 110"))
        save_strategy(uow, ada, rules)
        made = bots.create_bot(uow, ada, NewBot("AAPL", "1 Day", Decimal(1000), strategy_name="above"))
        account = uow.session.query(AccountRow).one()
        bought = pd.Timestamp(NOW.date(), tz="UTC") - timedelta(days=6)  # the bar after the first close at 120
        uow.session.add(
            IntentRow(user_id=ada, bot_id=made.id, account_id=account.id, symbol="AAPL", client_order_id="c1",
                      purpose="entry", side="buy", qty=8, state="filled", deadline=NOW, filled_qty=8,
                      filled_avg_price=Decimal("120.12"), acknowledged_at=bought + timedelta(seconds=20), ended_at=NOW)
        )  # fmt: skip
        uow.commit()
        uow.session.connection().exec_driver_sql("UPDATE user_bot_configs SET created_at = now() - interval '20 days'")
        uow.commit()
        found = report_bot.read(uow, Bars(), ada, made.id)
        table = report_bot.against_backtest(found).text
        assert "<td>above</td><td>1</td><td>1</td><td>0</td>" in table and '<td class="loss">+10.0</td>' in table
        assert "<svg" in report_bot.slippage_chart(found).text
        with pytest.raises(NotFound):
            report_bot.read(uow, Bars(), make_user("eve").id, made.id)
        with pytest.raises(InvalidInput, match="days"):
            report_bot.read(uow, Bars(), ada, made.id, days=0)


def test_a_personal_report_needs_its_user_and_something_to_tell(page, uow_factory, ada, tmp_path):
    with pytest.raises(InvalidInput, match="--user"):
        run_report("watchlist", data_dir=tmp_path)
    with pytest.raises(ReportFailed, match="watchlist is empty"):
        page("watchlist")
    with uow_factory() as uow, pytest.raises(InvalidInput, match="symbol"):
        report_watchlist.read(uow, Bars(), ada, ["no ticker"])
