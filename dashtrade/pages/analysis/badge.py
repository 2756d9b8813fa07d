"""Where bars come from, in one line: source, adjustment, delay and age."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from dashtrade.pages.analysis.times import clock, in_zone

if TYPE_CHECKING:
    import pandas as pd

SAMPLE = "sample"


@dataclass(frozen=True, slots=True)
class DataBadge:
    """Where the bars come from. Simulated and sample data are marked: they must never look like the market."""

    source: str
    delay_seconds: int
    fetched_at: datetime | None
    sample: bool
    simulated: bool
    notes: tuple[str, ...] = ()
    adjustment: str = ""

    def text(self, zone: str = "") -> str:
        """With the time of fetching in ``zone`` (IANA name), else in UTC."""
        if self.simulated:
            return "Simulated · not market prices"
        if self.sample:
            return "Sample data · past prices"
        delay = f"{round(self.delay_seconds / 60)} min delayed" if self.delay_seconds >= 60 else "not delayed"
        adjusted = {"splits": " · split-adjusted", "all": " · adjusted"}.get(self.adjustment, "")
        fetched = f" · fetched {clock(self.fetched_at, zone)}" if self.fetched_at else ""
        return f"{self.source.replace('_', ' ').title()} · {delay}{adjusted}{fetched}"

    def tip(self, zone: str = "") -> str:
        """The whole of it, for hover."""
        adjusted = {
            "splits": "Prices are adjusted for splits.",
            "all": "Prices are adjusted for splits and dividends.",
            "none": "Prices are not adjusted.",
            "raw": "Prices are not adjusted.",
        }.get(self.adjustment, "")
        fetched = ""
        if self.fetched_at:
            local = in_zone(self.fetched_at, zone)
            fetched = f"Fetched {local:%Y-%m-%d} {clock(self.fetched_at, zone)}."
        return " ".join(filter(None, (adjusted, fetched)))


def badge_of(bars: pd.DataFrame) -> DataBadge:
    """From the attributes that the bars' source gave."""
    attrs = bars.attrs
    source = str(attrs.get("source", "unknown"))
    fetched = attrs.get("fetched_at")
    return DataBadge(
        source,
        int(attrs.get("delay_seconds") or 0),
        datetime.fromisoformat(fetched) if fetched else None,
        sample=source == SAMPLE,
        simulated=bool(attrs.get("simulated")),
        notes=tuple(attrs.get("notes") or ()),
        adjustment=str(attrs.get("adjustment") or ""),
    )
