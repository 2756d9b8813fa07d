"""The catalogue of patterns: every entry has its words and a picture of a real example."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from pathlib import Path

import numpy as np
import pytest
import talib

from dashtrade.analysis import reference
from dashtrade.indicators import reference as indicator_reference
from dashtrade.patterns.candlestick import CANDLESTICKS
from dashtrade.patterns.chart_names import CHART_PATTERNS
from dashtrade.patterns.definitions import CANDLESTICK_DEFINITIONS, CHART_DEFINITIONS


def test_every_pattern_is_defined_once() -> None:
    assert list(CANDLESTICK_DEFINITIONS) == list(CANDLESTICKS)
    assert set(CHART_DEFINITIONS) == set(CHART_PATTERNS)
    assert len(set(CANDLESTICK_DEFINITIONS.values())) == 61


def test_pages_and_pictures_are_whole_and_the_same_every_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(indicator_reference, "draw", lambda entry, bars, path: None)
    pages = reference.write(tmp_path / "a")
    assert [page.name for page in pages] == ["indicators.md", "candlesticks.md", "chart_patterns.md"]
    titles = (
        {key: entry.name for key, entry in CANDLESTICKS.items()},
        {key: entry.name for key, entry in CHART_PATTERNS.items()},
    )
    for page, folder, registry in zip(pages[1:], ("candlesticks", "chart_patterns"), titles, strict=True):
        text = page.read_text(encoding="utf-8")
        assert text.count("\n### ") == len(registry)
        for key in registry:
            assert f"({folder}/{key}.svg)" in text
            root = ET.fromstring((tmp_path / "a" / folder / f"{key}.svg").read_text(encoding="utf-8"))
            assert root.findtext("{http://www.w3.org/2000/svg}title") == registry[key]
            assert len(root) > 20
    reference.write(tmp_path / "b")
    files = [path for path in (tmp_path / "a").rglob("*") if path.is_file()]
    assert len(files) == 3 + 61 + len(CHART_PATTERNS)
    for path in files:
        assert (tmp_path / "b" / path.relative_to(tmp_path / "a")).read_bytes() == path.read_bytes()


def test_the_shaded_bars_are_the_pattern() -> None:
    for key, (bars, at, direction) in reference.candlestick_examples().items():
        # on more bars in front than are shown, since TA-Lib compares with the bars before
        assert bars.index[at] > bars.index[0] and direction in (1, -1), key
    shown, at, _ = reference.candlestick_examples()["CDLMATHOLD"]
    whole = reference.mat_hold()
    opened, high, low, close = (np.ascontiguousarray(whole[name]) for name in ("open", "high", "low", "close"))
    assert whole.index[talib.CDLMATHOLD(opened, high, low, close).nonzero()[0]].tolist() == [shown.index[at]]
