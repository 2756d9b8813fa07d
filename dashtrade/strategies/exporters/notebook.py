"""A strategy as a notebook that backtests it."""

from __future__ import annotations

import json
from typing import Any

from dashtrade.domain.strategy import Strategy
from dashtrade.strategies.text import to_dict


def to_notebook(strategy: Strategy, symbol: str = "AAPL", period: str = "5y", interval: str = "1d") -> str:
    """The JSON text of a notebook with narrative and calls only; its outputs are empty."""
    definition = json.dumps(to_dict(strategy), indent=4, ensure_ascii=False)
    cells: list[dict[str, Any]] = [
        _markdown(f"# {strategy.name}\n\n{strategy.description or 'A strategy and what it would have earned.'}"),
        _code(
            "import json\n\nimport dashtrade as dt\nfrom dashtrade.backtest import BacktestRequest, charts, tables\n"
            "from dashtrade.strategies import from_dict"
        ),
        _markdown("## The rules"),
        _code(f"strategy = from_dict(json.loads({definition!r}))"),
        _markdown("## The result"),
        _code(
            f"bars = dt.history({symbol!r}, period={period!r}, interval={interval!r})\n"
            f"result = dt.backtest(BacktestRequest(strategy=strategy, bars={{{symbol!r}: bars}}))\n"
            "tables.headline(result)"
        ),
        _code("tables.notes(result)"),
        _code("charts.equity_chart(result)"),
        _code("tables.statistics(result)"),
        _code("tables.assumptions(result)"),
    ]
    for number, cell in enumerate(cells):
        cell["id"] = f"cell-{number:02d}"
    kernel = {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"}
    metadata = {"kernelspec": kernel, "language_info": {"name": "python"}}
    book = {"cells": cells, "metadata": metadata, "nbformat": 4, "nbformat_minor": 5}
    return json.dumps(book, indent=1, ensure_ascii=False) + "\n"


def _markdown(text: str) -> dict[str, Any]:
    return {"cell_type": "markdown", "metadata": {}, "source": text.splitlines(keepends=True)}


def _code(text: str) -> dict[str, Any]:
    source = text.splitlines(keepends=True)
    return {"cell_type": "code", "execution_count": None, "metadata": {}, "outputs": [], "source": source}
