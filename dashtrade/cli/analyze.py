"""``dashtrade analyze SYMBOL``: the whole reading of one symbol in words, or as one JSON object."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    import pandas as pd


def analyze(
    symbol: Annotated[str, typer.Argument(help="Ticker, such as AAPL or BTC-USD.")],
    period: Annotated[str, typer.Option(help="How far back: 1mo, 6mo, 1y, 5y, max …")] = "1y",
    interval: Annotated[str, typer.Option(help="Length of a bar: 1d, 1h, 5m …")] = "1d",
    source: Annotated[str | None, typer.Option(help="Price source; sample works offline.")] = None,
    balance: Annotated[float, typer.Option(help="Account balance for the risk plan.")] = 10_000.0,
    risk: Annotated[float, typer.Option(help="Percent of the balance to risk.")] = 1.0,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
    user: Annotated[str | None, typer.Option(help="Username: ask with this user's keys and order of sources.")] = None,
    evidence: Annotated[bool, typer.Option("--evidence", help="Add what each chart pattern was worth here.")] = False,
) -> None:
    """Read a symbol's chart: signal, votes, levels, volume, patterns and a risk plan."""
    from dashtrade.analysis import analyze as read
    from dashtrade.bootstrap import history, news_of
    from dashtrade.domain.market import parse_symbol
    from dashtrade.services.market import provenance

    bars = history(symbol, period, interval, source=source, user=user)
    news, problem = ([], "") if bars.attrs.get("simulated") else news_of(parse_symbol(symbol), user=user)
    result = read(bars, parse_symbol(symbol), balance, risk, news=news)
    if json:
        from json import dumps

        found = result.as_dict() | {"data": _origin(bars, problem)}
        if evidence:
            found["evidence"] = _evidence(bars)
        typer.echo(dumps(found, ensure_ascii=False))
        return
    typer.echo(
        f"{result.symbol}  {result.price:,.6g}  at the close of {result.time:%Y-%m-%d %H:%M} UTC, {result.bars} bars"
    )
    if bars.attrs.get("simulated"):
        typer.echo("Made-up sample prices.")
    typer.echo(f"Prices: {provenance(bars, datetime.now(UTC))}")
    if problem:
        typer.echo(f"Without news: {problem}")
    typer.echo(result.signal.sentence)
    for vote in result.signal.votes:
        typer.echo(f"  {vote.value:+.2f} × {vote.weight:g}  {vote.group}: {vote.sentence} [{vote.time:%Y-%m-%d}]")
    typer.echo("Levels")
    for level in result.levels[:8]:
        typer.echo(f"  {level.sentence} Known since {level.known_at:%Y-%m-%d}.")
    if result.volume is not None:
        typer.echo("Volume")
        for sentence in result.volume.sentences:
            typer.echo(f"  {sentence}")
    typer.echo("Open chart patterns")
    for hit in result.open_patterns[-5:]:
        state = (
            f"confirmed {hit.confirmed_at:%Y-%m-%d}, target {hit.target:,.6g}"
            if hit.confirmed_at is not None
            else "waiting for confirmation"
        )
        typer.echo(
            f"  {hit.name}, formed {hit.formed_at:%Y-%m-%d}, {state}, stop {hit.stop:,.6g}, quality {hit.quality:.2f}"
        )
    if not result.open_patterns:
        typer.echo("  none")
    if result.risk is not None:
        typer.echo(f"Risk plan\n  {result.risk.sentence}")
    if evidence:
        typer.echo("Evidence on these bars: confirmed patterns that reached their target, against random entries")
        rows = _evidence(bars)
        for row in rows:
            typer.echo(f"  {_evidence_text(row)}")
        if not rows:
            typer.echo("  no pattern was found")


def _origin(bars: pd.DataFrame, problem: str) -> dict[str, Any]:
    """Where the prices come from, how old they are, what was wrong with them, and why there are no news."""
    from dashtrade.services.market import provenance

    names = ("source", "interval", "adjustment", "delay_seconds", "simulated", "cached", "fetched_at", "quality")
    told = {name: bars.attrs.get(name) for name in (*names, "notes")}
    return told | {"sentence": provenance(bars, datetime.now(UTC)), "news_problem": problem or None}


def _evidence(bars: pd.DataFrame) -> list[dict[str, Any]]:
    """Each pattern's row of evidence as plain values; None where there is no number."""
    from dashtrade.patterns import pattern_evidence

    rows = pattern_evidence(bars).reset_index().to_dict("records")
    return [{str(name): None if value != value else value for name, value in row.items()} for row in rows]


def _evidence_text(row: dict[str, Any]) -> str:
    name = str(row["pattern"]).replace("_", " ").capitalize()
    if not row["confirmed"]:
        return f"{name}: formed {row['formed']}, none confirmed."
    wait = f", after {row['bars_to_target']:.0f} bars" if row["bars_to_target"] is not None else ""
    text = (
        f"{name}: formed {row['formed']}, confirmed {row['confirmed']}, target reached {row['target_rate']:.0%}{wait}, "
        f"failed {row['failure_rate']:.0%}"
    )
    if row["random_rate"] is None:
        return text + "."
    verdict = "clear" if row["clear"] else "may be chance"
    return (
        f"{text}; random entries {row['random_rate']:.0%}, difference {row['edge']:+.0%} "
        f"({row['edge_low']:+.0%} to {row['edge_high']:+.0%}), {verdict}."
    )


def register(app: typer.Typer) -> None:
    app.command("analyze")(analyze)
