"""What the pages of reports are made of: tiles, tables, notes, static charts, and who the report is for."""

from __future__ import annotations

import io
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from html import escape
from typing import TYPE_CHECKING, Any, Protocol

from dashtrade.errors import InvalidInput

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

    from dashtrade.domain.market import HistoryRequest


class Bars(Protocol):
    """Where bars come from; see dashtrade.services.market.MarketData."""

    def history(self, request: HistoryRequest, source: str | None = None) -> pd.DataFrame: ...


class Kept:
    """A market that remembers what it handed out, for the page's account of its data."""

    def __init__(self, market: Bars) -> None:
        self._market = market
        self.bars: dict[str, pd.DataFrame] = {}

    def history(self, request: HistoryRequest, source: str | None = None) -> pd.DataFrame:
        found = self._market.history(request, source)
        self.bars[request.symbol] = found
        return found


@dataclass(frozen=True, slots=True)
class Html:
    """Markup that a notebook shows as it is."""

    text: str

    def _repr_html_(self) -> str:
        return self.text


@dataclass(frozen=True, slots=True)
class Cell:
    """A table's cell: text, and whether it is good (1), bad (-1) or neither (0)."""

    text: str
    tone: int = 0


def report_user() -> int:
    """The number of the user a personal report is for. Raises InvalidInput outside one."""
    number = os.environ.get("DASHTRADE_USER_ID", "")
    if not number.isdigit():
        raise InvalidInput("user", "is missing: run this report with `dashtrade report run NAME --user NAME`.")
    return int(number)


def heading(title: str, words: str, tiles: Iterable[tuple[str, str]]) -> Html:
    """Title, the line below it, and the key figures."""
    boxes = "".join(f'<div class="tile"><span>{escape(n)}</span><b>{escape(v)}</b></div>' for n, v in tiles)
    return Html(f'<header><h1>{escape(title)}</h1><p>{escape(words)}</p></header><div class="tiles">{boxes}</div>')


def aside(sentences: Sequence[str], title: str = "Read this first") -> Html:
    """Sentences that belong beside the numbers; nothing where there are none."""
    if not sentences:
        return Html("")
    items = "".join(f"<li>{escape(each)}</li>" for each in dict.fromkeys(sentences))
    return Html(f'<aside class="notes"><h3>{escape(title)}</h3><ul>{items}</ul></aside>')


def table(names: Sequence[str], rows: Iterable[Sequence[Cell | str]], empty: str = "There is nothing to list.") -> Html:
    """One row after another; an empty table is a sentence."""
    body = "".join("<tr>" + "".join(_cell(each) for each in row) + "</tr>" for row in rows)
    if not body:
        return Html(f"<p>{escape(empty)}</p>")
    head = "".join(f"<th>{escape(name)}</th>" for name in names)
    return Html(f'<table class="wide"><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>')


def pairs(rows: Iterable[tuple[str, str]]) -> Html:
    """Names with their values below each other."""
    body = "".join(f"<tr><th>{escape(name)}</th><td>{escape(value)}</td></tr>" for name, value in rows)
    return Html(f'<table class="pairs"><tbody>{body}</tbody></table>')


def chart(figure: Figure, description: str) -> Html:
    """A figure as SVG, with words for readers who do not see it."""
    out = io.StringIO()
    figure.savefig(out, format="svg", bbox_inches="tight", metadata={"Date": None})
    text = out.getvalue()
    label = escape(description, quote=True)
    return Html(f'<figure class="chart" role="img" aria-label="{label}">{text[text.index("<svg") :]}</figure>')


def signed(value: float | None, form: str, sign: float | None = None) -> Cell:
    """A number with its sign in colour; a dash for what is not known. ``form`` is Python's, such as ``+.2%``."""
    if value is None or value != value:
        return Cell("–")
    tone = value if sign is None else sign
    return Cell(format(value, form), int(tone > 0) - int(tone < 0))


def quantity(value: Decimal | None) -> str:
    """At most four decimals, without zeros at the end."""
    return "–" if value is None else f"{value:,.4f}".rstrip("0").rstrip(".")


def plain(value: float | None, form: str = ",.2f") -> str:
    return "–" if value is None or value != value else format(value, form)


def data_provenance(bars: Mapping[str, pd.DataFrame], further: Iterable[tuple[str, str]] = ()) -> Html:
    """Where the prices came from, how old they are, and with what they were read."""
    from dashtrade.backtest.provenance import versions

    def said(name: str, default: str = "unknown") -> str:
        return ", ".join(sorted({str(each.attrs.get(name) or default) for each in bars.values()})) or "none"

    rows = [] if not bars else [
        ("Price source", said("source") + (" (made-up sample data)" if is_made_up(bars.values()) else "")),
        ("Prices corrected for", said("adjustment")),
        ("Prices fetched", _newest(bars.values())),
        ("Newest bar", max((f"{b.index[-1]:%Y-%m-%d}" for b in bars.values() if len(b)), default="none")),
        ("Bars", ", ".join(f"{symbol} {len(each):,}" for symbol, each in list(bars.items())[:12])
         + (" …" if len(bars) > 12 else "")),
    ]  # fmt: skip
    rows += [
        *further,
        ("Read on", f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC"),
        ("Versions", ", ".join(f"{name} {number}" for name, number in versions().items())),
    ]  # fmt: skip
    return pairs(rows)


def is_made_up(bars: Iterable[pd.DataFrame]) -> bool:
    return any(each.attrs.get("simulated") or each.attrs.get("source") == "sample" for each in bars)


def _newest(bars: Iterable[pd.DataFrame]) -> str:
    return max((str(each.attrs["fetched_at"]) for each in bars if each.attrs.get("fetched_at")), default="unknown")


def _cell(cell: Cell | Any) -> str:
    if not isinstance(cell, Cell):
        return f"<td>{escape(str(cell))}</td>"
    tone = {1: ' class="gain"', -1: ' class="loss"'}.get(cell.tone, "")
    return f"<td{tone}>{escape(cell.text)}</td>"
