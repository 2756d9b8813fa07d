"""The portfolio's report: accounts, holdings, exposure, and the risk of holding them as they are."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING

import pandas as pd

from dashtrade.db.unit_of_work import UnitOfWork
from dashtrade.domain.market import parse_symbol
from dashtrade.services import bots
from dashtrade.services import report_parts as parts
from dashtrade.services.portfolio import Bars, Book, read_book
from dashtrade.services.report_parts import Cell, Html

if TYPE_CHECKING:
    from dashtrade.portfolio.holdings import HoldingsRisk


@dataclass(frozen=True, eq=False)
class PortfolioReport:
    book: Book
    benchmark: str
    bars: dict[str, pd.DataFrame]


def read(uow: UnitOfWork, market: Bars, user_id: int, source: str = "", benchmark: str = "SPY") -> PortfolioReport:
    """The user's accounts as last reconciled, their holdings at the newest daily close, and a year of risk."""
    kept = parts.Kept(market)
    wanted = parse_symbol(benchmark, "benchmark")
    accounts, held, made = (
        bots.list_accounts(uow, user_id),
        bots.list_positions(uow, user_id),
        bots.list_bots(uow, user_id),
    )
    return PortfolioReport(read_book(kept, accounts, held, made, source or None, benchmark=wanted), wanted, kept.bars)


def headline(found: PortfolioReport) -> Html:
    accounts = found.book.accounts
    equity = [a.equity for a in accounts if a.equity is not None]
    day = [a.day_pnl for a in accounts if a.day_pnl is not None]
    tiles = [
        ("Equity", _money(sum(equity, Decimal(0)) if equity else None)),
        ("Day P&L", _money(sum(day, Decimal(0)) if day else None, "+")),
        ("Unrealised", _money(sum((a.unrealised for a in accounts), Decimal(0)), "+")),
        ("Realised", _money(sum((a.realised for a in accounts), Decimal(0)), "+")),
        ("Gross exposure", _money(sum((a.gross for a in accounts), Decimal(0)))),
        ("Holdings", str(len(found.book.holdings))),
    ]
    names = ", ".join(a.account for a in accounts) or "no account"
    return parts.heading("Portfolio", f"{datetime.now(UTC):%d %b %Y, %H:%M} UTC · {names}", tiles)


def notes(found: PortfolioReport) -> Html:
    said = list(found.book.notes)
    if any(a.account == "simulated" for a in found.book.accounts):
        said.append("The simulated account holds no real money.")
    if found.bars and parts.is_made_up(found.bars.values()):
        said.append("The prices are sample data, not today's market.")
    if not found.book.holdings:
        said.append("No bot holds a position.")
    return parts.aside(said)


def accounts_table(found: PortfolioReport) -> Html:
    rows: list[list[Cell | str]] = [
        [a.account, _money(a.equity), _money(a.cash), _signed(a.day_pnl), parts.signed(_float(a.day_return), "+.2%"),
         _signed(a.unrealised), _signed(a.realised), parts.plain(_float(a.leverage), ".2f") + "×",
         f"{a.largest} {a.largest_share:.0%}" if a.largest_share is not None else "–"]
        for a in found.book.accounts
    ]  # fmt: skip
    names = ["Account", "Equity", "Cash", "Day", "Day %", "Unrealised", "Realised", "Leverage", "Largest"]
    return parts.table(names, rows, "No account has been used yet.")


def holdings_table(found: PortfolioReport) -> Html:
    rows: list[list[Cell | str]] = [
        [h.symbol, h.account, parts.quantity(h.qty), _money(h.avg_price), _money(h.price), _money(h.value),
         _signed(h.unrealised), parts.signed(_float(h.unrealised_share), "+.2%"),
         "–" if h.opened_at is None else f"{h.opened_at:%Y-%m-%d}"]
        for h in found.book.holdings
    ]  # fmt: skip
    names = ["Symbol", "Account", "Quantity", "Average price", "Price", "Value", "Unrealised", "%", "Since"]
    return parts.table(names, rows, "No bot holds a position.")


def allocation_chart(found: PortfolioReport) -> Html:
    """Value of each holding, short positions to the left."""
    from dashtrade.display.figures import bars_figure

    values: dict[str, float] = {}
    for holding in found.book.holdings:
        if holding.value is not None:
            values[holding.symbol] = values.get(holding.symbol, 0.0) + float(holding.value)
    if not values:
        return Html("<p>There is no holding with a price.</p>")
    series = pd.Series(values).sort_values(key=abs, ascending=False).head(25)
    return parts.chart(bars_figure(series, "Value"), "Value of each holding")


def risk_chart(found: PortfolioReport) -> Html:
    """Today's holdings taken through the past year, account by account."""
    from dashtrade.display.figures import lines_figure

    lines = {name: (1 + risk.returns).cumprod() - 1 for name, risk in found.book.risks.items()}
    if not lines:
        return Html("<p>Risk needs a holding with a price and an account with equity.</p>")
    frame = pd.DataFrame(lines)
    if found.benchmark in found.bars:
        close = found.bars[found.benchmark]["close"].reindex(frame.index, method="ffill")
        frame[found.benchmark] = close / close.iloc[0] - 1
    figure = lines_figure(frame, "Change, in parts of equity", percent=True, level=0.0)
    return parts.chart(figure, "What today's holdings would have gained over the past year")


def risk_table(found: PortfolioReport) -> Html:
    def row(name: str, risk: HoldingsRisk) -> list[Cell | str]:
        return [
            name, parts.signed(risk.total_return, "+.1%"), parts.plain(risk.volatility, ".1%"),
            parts.signed(risk.max_drawdown, ".1%"), parts.signed(risk.value_at_risk, ".2%"),
            parts.signed(risk.expected_shortfall, ".2%"), parts.plain(risk.beta, ".2f"),
            parts.plain(risk.benchmark_correlation, ".2f"),
        ]  # fmt: skip

    names = ["Account", "Year", "Volatility", "Max drawdown", "VaR 5 %", "Shortfall", "Beta", "Correlation"]
    return parts.table(names, [row(n, r) for n, r in found.book.risks.items()], "There is no risk to measure.")


def correlation_chart(found: PortfolioReport) -> Html:
    from dashtrade.display.figures import heatmap_figure

    charts = [
        parts.chart(heatmap_figure(risk.correlation, "Correlation"), f"Correlation of the holdings of {name}").text
        for name, risk in found.book.risks.items()
        if len(risk.correlation) > 1
    ]
    return Html("".join(charts) or "<p>It takes two holdings.</p>")


def assumptions(found: PortfolioReport) -> Html:
    return parts.pairs(
        [
            ("Accounts", "equity and cash as the broker last told them; day = equity less equity at the last close"),
            ("Holdings", "open lots of the bots, priced with the newest daily bar"),
            ("Realised", "of all bots on the account since they were made, before fees"),
            ("Risk", "today's holdings, unchanged in size, taken through the past year's daily closes: not a forecast"),
            ("VaR and shortfall", "of one day, historical, 5 %: the quantile, and the mean of what is worse"),
            ("Beta and correlation", f"of daily returns against {found.benchmark}"),
            ("Leverage", "gross exposure / equity"),
        ]
    )


def provenance(found: PortfolioReport) -> Html:
    return parts.data_provenance(found.bars, [("Accounts", "the ledger of this installation")])


def _float(value: Decimal | None) -> float | None:
    return None if value is None else float(value)


def _money(value: Decimal | None, sign: str = "") -> str:
    return "–" if value is None else f"{value:{sign},.2f}"


def _signed(value: Decimal | None) -> Cell:
    return parts.signed(_float(value), "+,.2f")
