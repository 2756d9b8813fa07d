"""``dashtrade analyze SYMBOL``: the whole reading of one symbol in words, or as one JSON object."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

import typer


def analyze(
    symbol: Annotated[str, typer.Argument(help="Ticker, such as AAPL or BTC-USD.")],
    period: Annotated[str, typer.Option(help="How far back: 1mo, 6mo, 1y, 5y, max …")] = "1y",
    interval: Annotated[str, typer.Option(help="Length of a bar: 1d, 1h, 5m …")] = "1d",
    source: Annotated[str | None, typer.Option(help="Price source; sample works offline.")] = None,
    balance: Annotated[float, typer.Option(help="Account balance for the risk plan.")] = 10_000.0,
    risk: Annotated[float, typer.Option(help="Percent of the balance to risk.")] = 1.0,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Read a symbol's chart: signal, votes, levels, volume, patterns and a risk plan."""
    from dashtrade.analysis import analyze as read
    from dashtrade.bootstrap import history
    from dashtrade.services.market import provenance

    bars = history(symbol, period, interval, source=source)
    result = read(bars, symbol.upper(), balance, risk)
    if json:
        from json import dumps

        typer.echo(dumps(result.as_dict(), ensure_ascii=False))
        return
    typer.echo(
        f"{result.symbol}  {result.price:,.6g}  at the close of {result.time:%Y-%m-%d %H:%M} UTC, {result.bars} bars"
    )
    if bars.attrs.get("simulated"):
        typer.echo("Made-up sample prices.")
    typer.echo(f"Prices: {provenance(bars, datetime.now(UTC))}")
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


def register(app: typer.Typer) -> None:
    app.command("analyze")(analyze)
