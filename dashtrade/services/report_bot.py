"""The bots' report: realised results, trades, limits that were reached, and each bot against its backtest."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pandas as pd
from sqlalchemy import select

from dashtrade.db.tables.trading import LotClosingRow
from dashtrade.db.unit_of_work import UnitOfWork
from dashtrade.domain.bot_views import BotView, RiskEventView, TradeView
from dashtrade.errors import DashTradeError, InvalidInput, NotFound
from dashtrade.services import bots
from dashtrade.services import report_parts as parts
from dashtrade.services.bot_performance import BotPerformance, bot_performance
from dashtrade.services.report_parts import Cell, Html
from dashtrade.services.work import working

if TYPE_CHECKING:
    from dashtrade.services.backtests import Market

MOST_TRADES = 25


@dataclass(frozen=True, eq=False)
class BotReport:
    """``closings`` has time, bot and pnl, oldest first; ``compared`` maps a bot to its comparison, or to why not."""

    bots: Sequence[BotView]
    closings: pd.DataFrame
    trades: Sequence[TradeView]
    events: Sequence[RiskEventView]
    compared: dict[int, BotPerformance | str]
    days: int
    bars: dict[str, pd.DataFrame]


def read(uow: UnitOfWork, market: Market, user_id: int, bot: int = 0, days: int = 90, source: str = "") -> BotReport:
    """One bot, or with 0 all of the user's, over the past ``days``. Raises InvalidInput for a wrong span or no bots,
    NotFound for a bot that is not the user's."""
    if not 1 <= days <= 3650:
        raise InvalidInput("days", f"{days} is not allowed; use 1 to 3650.")
    made = [b for b in bots.list_bots(uow, user_id) if bot in (0, b.id)]
    if not made and bot:
        raise NotFound(f"There is no bot {bot}.")
    if not made:
        raise InvalidInput("bot", "is missing: there are no bots yet. Make one on the bot page first.")
    end = datetime.now(UTC)
    start = end - timedelta(days=days)
    compared: dict[int, BotPerformance | str] = {}
    kept = parts.Kept(market)
    for each in made:
        try:
            since = max(start, each.created_at)
            compared[each.id] = bot_performance(
                uow, kept, user_id, each.id, start=since, end=end, source=source or None
            )
        except DashTradeError as error:
            compared[each.id] = str(error)
    c, numbers = LotClosingRow, [b.id for b in made]
    query = select(c.closed_at, c.bot_id, c.realized_pnl).where(
        c.user_id == user_id, c.bot_id.in_(numbers), c.closed_at >= start
    )
    with working(uow) as work:
        closed = [
            (at, number, float(pnl)) for at, number, pnl in work.session.execute(query.order_by(c.closed_at, c.id))
        ]
    frame = pd.DataFrame(closed, columns=["time", "bot", "pnl"])
    trades = [t for t in bots.list_trades(uow, user_id, limit=1000) if t.bot_id in numbers and t.created_at >= start]
    events = [e for e in bots.list_risk_events(uow, user_id) if e.bot_id in (None, *numbers) and e.created_at >= start]
    return BotReport(made, frame, trades, events, compared, days, kept.bars)


def headline(found: BotReport) -> Html:
    pnl = found.closings["pnl"]
    won, lost = pnl[pnl > 0], pnl[pnl < 0]
    tiles = [
        ("Realised P&L", f"{pnl.sum():+,.2f}"),
        ("Closed lots", f"{len(pnl):,}"),
        ("Win rate", f"{len(won) / len(pnl):.0%}" if len(pnl) else "–"),
        ("Profit factor", f"{won.sum() / -lost.sum():.2f}" if len(lost) else "–"),
        ("Orders", f"{len(found.trades):,}"),
        ("Limits reached", f"{len(found.events):,}"),
    ]
    names = ", ".join(f"{b.config.symbol} {b.config.timeframe.value}" for b in found.bots[:6])
    return parts.heading(
        "Bot performance", f"Past {found.days} days · {names}{' …' if len(found.bots) > 6 else ''}", tiles
    )


def notes(found: BotReport) -> Html:
    modes = {b.config.account_mode.value for b in found.bots}
    said = ["Some of these bots trade a simulated account: no real money."] if "simulated" in modes else []
    said += [f"Bot {number}: {text}" for number, text in found.compared.items() if isinstance(text, str)]
    return parts.aside(said)


def pnl_chart(found: BotReport) -> Html:
    """Realised profit and loss added up, all bots and each of the first few."""
    from dashtrade.display.figures import lines_figure

    if found.closings.empty:
        return Html("<p>No position was closed in this time.</p>")
    by_time = found.closings.pivot_table(index="time", columns="bot", values="pnl", aggfunc="sum", fill_value=0.0)
    sums = by_time.cumsum()
    names = {b.id: f"{b.config.symbol} ({b.id})" for b in found.bots}
    frame = sums.rename(columns=names)
    if len(sums.columns) > 1:
        frame = pd.concat([sums.sum(axis=1).rename("All bots"), frame.iloc[:, :7]], axis=1)
    frame.loc[frame.index[0] - pd.Timedelta(hours=1)] = 0.0
    figure = lines_figure(frame.sort_index(), "Realised P&L, added up", level=0.0)
    return parts.chart(figure, "Realised profit and loss, added up over time")


def bots_table(found: BotReport) -> Html:
    rows: list[list[Cell | str]] = []
    for bot in found.bots:
        own = found.closings.loc[found.closings["bot"] == bot.id, "pnl"]
        won = f"{(own > 0).mean():.0%}" if len(own) else "–"
        rows.append(
            [f"{bot.id}", bot.config.symbol, bot.config.timeframe.value, bot.config.account_mode.value,
             bot.config.strategy_name or "–", "on" if bot.config.is_active else "off", parts.quantity(bot.position_qty),
             parts.signed(float(own.sum()), "+,.2f"), won, parts.signed(float(bot.total_pnl), "+,.2f")]
        )  # fmt: skip
    names = ["Bot", "Symbol", "Bars", "Account", "Strategy", "State", "Holds", "P&L", "Won", "P&L, all time"]
    return parts.table(names, rows)


def against_backtest(found: BotReport) -> Html:
    """What the same strategy's backtest would have filled over the same days, beside what the bot did."""
    rows: list[list[Cell | str]] = [
        [f"{number}", p.symbol, p.strategy, str(len(p.pairs)), str(len(p.missed)), str(len(p.extra)),
         *(parts.signed(bps, "+.1f", -(bps or 0.0)) for bps in (p.mean_slippage_bps, p.median_slippage_bps))]
        for number, p in found.compared.items() if isinstance(p, BotPerformance)
    ]  # fmt: skip
    names = ["Bot", "Symbol", "Strategy", "Matched fills", "Missed", "Unexpected", "Slippage bps", "Median"]
    return parts.table(names, rows, "No bot names a strategy that could be tested over the same days.")


def slippage_chart(found: BotReport) -> Html:
    """Slippage of every matched fill over time."""
    from dashtrade.display.figures import bars_figure

    fills = [
        (pair.actual.time, f"{p.symbol} {pair.expected.side} {pair.actual.time:%d %b}", pair.slippage_bps)
        for p in found.compared.values() if isinstance(p, BotPerformance) for pair in p.pairs
    ]  # fmt: skip
    if not fills:
        return Html("")
    last = sorted(fills)[-30:]
    series = pd.Series([-bps for _, _, bps in last], index=[name for _, name, _ in last])
    figure = bars_figure(series, "Better (+) or worse (-) than the backtest's fill, basis points")
    return parts.chart(figure, "Slippage of the last matched fills against the backtest")


def trades_table(found: BotReport) -> Html:
    rows: list[list[Cell | str]] = [
        [f"{t.created_at:%Y-%m-%d %H:%M}", f"{t.bot_id}", t.symbol, t.action, t.purpose, t.status,
         parts.quantity(t.filled_qty),
         "–" if t.filled_avg_price is None else f"{t.filled_avg_price:,.2f}",
         parts.signed(float(t.realized_pnl), "+,.2f")]
        for t in found.trades[:MOST_TRADES]
    ]  # fmt: skip
    names = ["Time, UTC", "Bot", "Symbol", "Side", "Purpose", "State", "Filled", "Price", "P&L"]
    made = parts.table(names, rows, "No order was sent in this time.")
    more = f"<p>The last {MOST_TRADES} of {len(found.trades)} orders.</p>" if len(found.trades) > MOST_TRADES else ""
    return Html(made.text + more)


def limits_table(found: BotReport) -> Html:
    rows = [
        [f"{e.created_at:%Y-%m-%d %H:%M}", "all" if e.bot_id is None else f"{e.bot_id}", e.event_type.replace("_", " "),
         e.action_taken or "", (e.message or "")[:160]]
        for e in found.events[:MOST_TRADES]
    ]  # fmt: skip
    return parts.table(["Time, UTC", "Bot", "Limit", "Done", "What happened"], rows, "No limit was reached.")


def assumptions(found: BotReport) -> Html:
    return parts.pairs(
        [
            ("P&L", "of lots closed in this time, first in first out, before fees"),
            ("Win rate", "share of closed lots with a profit"),
            ("Profit factor", "profits / losses of closed lots"),
            ("Backtest", "the bot's strategy on the same days, filled at the next bar's open, without costs"),
            ("Matched fills", "same side, at most one bar apart; each fill is matched once"),
            ("Slippage", "above zero where the bot paid more, or got less, than the backtest's fill"),
            ("Span", f"the past {found.days} days, or since the bot was made"),
        ]
    )


def provenance(found: BotReport) -> Html:
    sources = sorted({b.config.account_mode.value for b in found.bots})
    return parts.data_provenance(
        found.bars, [("Results", "the ledger of this installation"), ("Accounts", ", ".join(sources))]
    )
