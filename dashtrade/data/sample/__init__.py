"""Sample data that ships with the package; see SOURCE.md."""

from __future__ import annotations

from dashtrade.data.sample.source import SampleSource

__all__ = ["SampleSource"]
