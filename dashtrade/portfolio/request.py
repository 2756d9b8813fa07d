"""What is to be compared, and what came of it."""

from __future__ import annotations

from dataclasses import dataclass

from dashtrade.domain.market import HistoryRequest, parse_symbol
from dashtrade.portfolio.comparison import Comparison, parse_symbols


@dataclass(frozen=True, slots=True)
class CompareRequest:
    """2 to 20 symbols, the benchmark among them (the first where it is empty), and which bars."""

    symbols: tuple[str, ...]
    benchmark: str
    period: str
    interval: str
    source: str | None = None

    @classmethod
    def parse(
        cls, symbols: str, benchmark: str = "", period: str = "1y", interval: str = "1d", source: str | None = None
    ) -> CompareRequest:
        """From text. A benchmark that is not among the symbols is added to them."""
        wanted = parse_symbol(benchmark, "benchmark") if benchmark.strip() else ""
        names = parse_symbols(f"{symbols},{wanted}")
        request = HistoryRequest.parse(names[0], interval, period)
        return cls(names, wanted or names[0], str(request.period), request.interval.value, source)

    def history(self, symbol: str) -> HistoryRequest:
        return HistoryRequest.parse(symbol, self.interval, self.period)


@dataclass(frozen=True, eq=False)
class Compared:
    """A comparison, the bars' attributes by symbol, and a sentence for each symbol that was left out."""

    request: CompareRequest
    comparison: Comparison
    attributes: dict[str, dict[str, object]]
    left_out: tuple[str, ...] = ()
