"""A strategy as a file or a text to take elsewhere."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from dashtrade.domain.strategy import Strategy
from dashtrade.errors import InvalidInput

if TYPE_CHECKING:
    import pandas as pd

KINDS = {
    "pine": "Pine v6 script",
    "alert": "TradingView alert message",
    "notebook": "Notebook",
    "json": "JSON",
}
_HINTS = {
    "pine": "Paste it into TradingView's Pine editor and add it to the chart.",
    "alert": "Paste it under Message of an alert on that script; the webhook address is on the trading bot page.",
    "notebook": "Open it in JupyterLab: it fetches the bars, backtests, and draws the result.",
    "json": "Read it back with “dashtrade strategy save --file”.",
}
_ENDINGS = {"pine": "pine", "alert": "json", "notebook": "ipynb", "json": "json"}


@dataclass(frozen=True, slots=True)
class Export:
    """The text and the name of its file; ``problem`` says instead why there is none."""

    kind: str
    text: str
    filename: str
    hint: str
    problem: str = ""


def make_export(
    kind: str, strategy: Strategy, symbol: str, period: str, interval: str, bars: pd.DataFrame | None = None
) -> Export:
    """InvalidInput for an unknown kind. What Pine cannot express is named in ``problem``.

    With the ``bars`` of the preview a notebook makes the same orders on them, and its hint says their hashes.
    """
    from dashtrade.strategies import to_dict
    from dashtrade.strategies.exporters import CannotExport, alert_message, to_notebook, to_pine

    if kind not in KINDS:
        raise InvalidInput("export", f"{kind[:40]!r} is not known.", allowed=KINDS)
    text, problem, hint = "", "", _HINTS[kind]
    if kind == "pine":
        try:
            text = to_pine(strategy, percent=_percent(strategy.size))
        except CannotExport as error:
            problem = f"Pine has no words for {', '.join(error.names)}. Use other conditions to export it."
    elif kind == "alert":
        text = alert_message() + "\n"
    elif kind == "notebook" and bars is not None:
        from dashtrade.services.open_notebook import strategy_notebook

        text, numbers = strategy_notebook(strategy, symbol, bars, interval=interval)
        hint += f" It says whether it makes these: bars {numbers.data_hash}, orders {numbers.result_hash}."
    elif kind == "notebook":
        text = to_notebook(strategy, symbol, period, interval)
    else:
        text = json.dumps(to_dict(strategy), indent=2, ensure_ascii=False) + "\n"
    stem = re.sub(r"[^A-Za-z0-9]+", "_", strategy.name).strip("_").lower()[:40].rstrip("_") or "strategy"
    name = f"{stem}_alert" if kind == "alert" else stem
    return Export(kind, text, f"{name}.{_ENDINGS[kind]}", hint, problem)


def _percent(size: str) -> float:
    """The share of the equity that a size names; all of it where it names something else."""
    word = size.strip().removesuffix("%").strip()
    try:
        return float(word) if word else 100.0
    except ValueError:
        return 100.0
