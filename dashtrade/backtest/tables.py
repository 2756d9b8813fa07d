"""Tables of a result as HTML, for reports: key figures, statistics, trades, assumptions, provenance."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from html import escape

import pandas as pd

from dashtrade.backtest.evidence import evidence
from dashtrade.backtest.result import BacktestResult
from dashtrade.backtest.words import STATISTICS, shown
from dashtrade.domain.strategy import Rule, Stops, Strategy
from dashtrade.strategies import to_text

_KEY_FIGURES = ("total_return", "cagr", "sharpe", "max_drawdown", "win_rate", "profit_factor")


@dataclass(frozen=True, slots=True)
class Html:
    """Markup that a notebook shows as it is."""

    text: str

    def _repr_html_(self) -> str:
        return self.text


def headline(result: BacktestResult) -> Html:
    """Title, period and key figures."""
    first, last = result.equity.index[0], result.equity.index[-1]
    tiles = "".join(
        f'<div class="tile"><span>{escape(STATISTICS[k])}</span><b>{shown(k, result.statistics[k])}</b></div>'
        for k in _KEY_FIGURES
    )
    return Html(
        f"<header><h1>{escape(title(result.strategy))}</h1>"
        f"<p>{escape(_names(result))} · {first:%d %b %Y} – {last:%d %b %Y} · "
        f"{len(result.equity):,} bars of {escape(str(result.provenance['interval']))}</p></header>"
        f'<div class="tiles">{tiles}</div>'
    )


def _names(result: BacktestResult) -> str:
    names = list(result.request.bars)
    return ", ".join(names[:12]) + (f" and {len(names) - 12} more" if len(names) > 12 else "")


def symbols(result: BacktestResult) -> Html:
    """What each of several symbols added, the best first; nothing for a single one."""
    if len(result.request.bars) < 2:
        return Html("")
    closed = result.trades[result.trades["status"] == "closed"].groupby("symbol").size()
    rows = "".join(
        f"<tr><td>{escape(symbol)}</td><td>{pnl:+,.2f}</td><td>{pnl / result.request.cash:+.2%}</td>"
        f"<td>{int(closed.get(symbol, 0))}</td></tr>"
        for symbol, pnl in sorted(result.contribution.items(), key=lambda item: -item[1])
    )
    head = "<tr><th>Symbol</th><th>Profit</th><th>Of the capital</th><th>Closed trades</th></tr>"
    return Html(f'<h2>Symbols</h2><table class="wide"><thead>{head}</thead><tbody>{rows}</tbody></table>')


def title(strategy: Strategy) -> str:
    from dashtrade.strategies import PRESETS

    return PRESETS[strategy.name].label if strategy.name in PRESETS else strategy.name


def notes(result: BacktestResult) -> Html:
    """The sentences that belong beside the numbers."""
    if not result.warnings:
        return Html("")
    items = "".join(f"<li>{escape(w)}</li>" for w in result.warnings)
    return Html(f'<aside class="notes"><h3>Read this first</h3><ul>{items}</ul></aside>')


def statistics(result: BacktestResult) -> Html:
    """All statistics in two columns."""
    items = list(STATISTICS.items())
    half = (len(items) + 1) // 2
    columns = (
        _pairs((label, shown(k, result.statistics[k])) for k, label in part) for part in (items[:half], items[half:])
    )
    return Html(f'<div class="columns">{"".join(columns)}</div>')


def trades(result: BacktestResult, most: int = 25) -> Html:
    """The last trades, newest first."""
    table = result.trades.tail(most).iloc[::-1]
    if table.empty:
        return Html("<p>No trade was made.</p>")
    names = ["Symbol", "Side", "Entry", "Price", "Exit", "Price", "Quantity", "Profit", "Return", "Bars", "Reason"]
    head = "".join(f"<th>{n}</th>" for n in names)
    rows = "".join(_trade(row) for row in table.to_dict("records"))
    more = f"<p>The last {most} of {len(result.trades)} trades.</p>" if len(result.trades) > most else ""
    return Html(f'<table class="wide"><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>{more}')


def _trade(t: dict) -> str:
    colour = "gain" if t["pnl"] > 0 else "loss"
    cells = [
        t["symbol"], t["direction"], _when(t["entry_time"]), f"{t['entry_price']:,.2f}", _when(t["exit_time"]),
        f"{t['exit_price']:,.2f}", f"{t['qty']:,.4g}", f"{t['pnl']:,.2f}", f"{t['return']:.2%}", t["bars"], t["reason"],
    ]  # fmt: skip
    marks = {7: colour, 8: colour}
    return (
        "<tr>" + "".join(f'<td class="{marks.get(n, "")}">{escape(str(c))}</td>' for n, c in enumerate(cells)) + "</tr>"
    )


def _when(time: pd.Timestamp) -> str:
    return f"{time:%Y-%m-%d}" if time.hour == time.minute == 0 else f"{time:%Y-%m-%d %H:%M}"


def evidence_panel(result: BacktestResult, trials: int = 1, variance: float = 0.0) -> Html:
    """What speaks for and against the result: chance, order of trades, costs, neighbouring settings."""
    if not len(result.trades):
        return Html("<p>The panel needs at least one trade.</p>")
    found = evidence(result, trials, variance)
    pairs = list(found.to_frame()[["label", "shown"]].itertuples(index=False, name=None))
    words = "".join(f"<li>{escape(w)}</li>" for w in found.sentences())
    return Html(f"{_pairs(pairs)}<ul>{words}</ul>")


def assumptions(result: BacktestResult) -> Html:
    """Rules, sizes, stops and costs, as they were taken."""
    request, strategy = result.request, result.strategy
    made = result.provenance
    rules: list[tuple[str, Rule | None]] = [
        ("Enter long", strategy.long_entry), ("Leave long", strategy.long_exit),
        ("Enter short", strategy.short_entry), ("Leave short", strategy.short_exit),
    ]  # fmt: skip
    pairs = [(name, to_text(rule)) for name, rule in rules if rule is not None]
    empty = Stops()
    stops = [
        f"{n.replace('_', ' ')} {getattr(strategy.stops, n):g}"
        for n in Stops.__slots__
        if getattr(strategy.stops, n) != getattr(empty, n)
    ]
    pairs += [
        ("Positions", str(request.direction).replace("_", " ")),
        ("Stops", ", ".join(stops) or "none"),
        ("Size", f"{type(request.size).__name__} {request.size.value:g}"),
        ("Money at the start", f"{request.cash:,.2f}"),
        (
            "Fills",
            "at the next bar's open; stops inside the bar"
            if request.fill == "next_open"
            else "at the same close (not tradable)",
        ),
        ("Commission, each side", f"{request.costs.commission:.3%}"),
        ("Slippage and half spread, each side", f"{made['slippage_per_side']:.3%}"),
        ("Annualisation", f"{made['annualisation']['bars_per_year']:g} bars a year: {made['annualisation']['basis']}"),
        ("Risk-free rate", f"{request.risk_free:.2%}"),
    ]
    return Html(_pairs(pairs))


def provenance(result: BacktestResult) -> Html:
    """Where the data came from and how to make the same result again."""
    made = result.provenance
    pairs = [
        ("Price source", f"{made['source']}{' (made-up sample data)' if made['simulated'] else ''}"),
        ("Prices corrected for", made["adjustment"]),
        ("Prices fetched", made.get("fetched_at", "unknown")),
        ("Delay of the source", f"{made.get('delay_seconds', 0) // 60} min"),
        ("Bars, SHA-256", made["bars_hash"]),
        ("Request, SHA-256", made["request_hash"]),
        ("Orders, SHA-256", made["result_hash"]),
        ("Engine", made["engine"]),
        ("Versions", ", ".join(f"{k} {v}" for k, v in made["versions"].items())),
    ]
    return Html(_pairs(pairs))


def _pairs(pairs: Iterable[tuple[str, str]]) -> str:
    rows = "".join(f"<tr><th>{escape(name)}</th><td>{escape(str(value))}</td></tr>" for name, value in pairs)
    return f'<table class="pairs"><tbody>{rows}</tbody></table>'
