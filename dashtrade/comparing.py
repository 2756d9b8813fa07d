"""``compare`` and ``ComparisonAnalyzer``: several symbols, fetched from the sources and measured side by side."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING

from dashtrade.domain.market import parse_symbol
from dashtrade.errors import InvalidInput
from dashtrade.portfolio import comparison as measured

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

    History = Callable[[str, str, str], pd.DataFrame]


def compare(
    symbols: Iterable[str] | str,
    period: str = "1y",
    interval: str = "1d",
    benchmark: str | None = None,
    source: str | None = None,
) -> measured.Comparison:
    """2 to 20 symbols on their common dates: ``.normalised``, ``.strength``, ``.correlation``, ``.drawdowns``,
    ``.statistics``, ``.rolling_correlation(60)`` and ``.ranking(weights)``, all DataFrames.

    ``benchmark`` is one of the symbols, the first where none is named; ``source`` asks only that source. Raises
    InvalidInput for bad input, BadBars for too few common dates, SourceError where a source fails.

    >>> import dashtrade as dt
    >>> found = dt.compare("AAPL, IBM, MSFT", benchmark="MSFT", source="sample")
    >>> list(found.ranking().columns[-2:])
    ['score', 'rank']
    """
    from dashtrade.bootstrap import history

    analyzer = ComparisonAnalyzer(
        symbols, period, interval, history=lambda s, p, i: history(s, period=p, interval=i, source=source)
    )
    return analyzer.compare(benchmark)


class ComparisonAnalyzer:
    """Compares ``symbols`` on their common dates. Bars are fetched once, on first need, and kept.

    ``history(symbol, period, interval)`` gives the bars of one; without it they come from the sources
    that the settings name.

    >>> import dashtrade as dt
    >>> fetch = lambda symbol, period, interval: dt.history(symbol, period, interval, source="sample")
    >>> dt.ComparisonAnalyzer("AAPL, IBM", history=fetch).calculate_correlation().shape
    (2, 2)
    """

    def __init__(
        self, symbols: Iterable[str] | str, period: str = "1y", interval: str = "1d", *, history: History | None = None
    ) -> None:
        self.symbols = measured.parse_symbols(symbols)
        self.period, self.interval = period, interval
        self._history = history
        self._data: dict[str, pd.DataFrame] = {}

    def fetch_all_data(self) -> dict[str, pd.DataFrame]:
        """Bars of every symbol; raises the source's error for the first one that cannot be had."""
        from dashtrade.bootstrap import history

        ask = self._history or history
        self._data = {symbol: ask(symbol, self.period, self.interval) for symbol in self.symbols}
        return dict(self._data)

    def prices(self) -> pd.DataFrame:
        """Closes on the common dates, one column a symbol."""
        return measured.common_prices(self._bars())

    def calculate_correlation(self) -> pd.DataFrame:
        """Pearson's correlation of the bars' returns, symbols by symbols."""
        return self.compare().correlation

    def relative_strength(self, benchmark: str | None = None) -> pd.DataFrame:
        """100 where a symbol grew as the benchmark did since the start; without one, the first symbol is it."""
        chosen = self.symbols[0] if benchmark is None else parse_symbol(benchmark, "benchmark")
        if chosen not in self.symbols:
            raise InvalidInput("benchmark", f"{chosen!r} is not compared.", allowed=self.symbols)
        return measured.relative_strength(self.prices(), chosen)

    def compare(self, benchmark: str | None = None) -> measured.Comparison:
        """Everything at once; see ``dashtrade.portfolio.compare``."""
        return measured.compare(self._bars(), parse_symbol(benchmark, "benchmark") if benchmark else None)

    def plot_normalized(self) -> Figure:
        """A matplotlib figure: every price from 100 at the first common date. Shown by a notebook as it is."""
        return self.compare().figure()

    def _bars(self) -> Mapping[str, pd.DataFrame]:
        if not self._data:
            self.fetch_all_data()
        return self._data
