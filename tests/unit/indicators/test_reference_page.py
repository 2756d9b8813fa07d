"""The generated page names every entry and has a picture for each."""

from __future__ import annotations

from pathlib import Path

import pytest

from dashtrade.indicators import REGISTRY, reference


def test_text_names_formula_source_and_parameters() -> None:
    for entry in REGISTRY.values():
        text = reference.text_of(entry)
        assert entry.source in text
        assert entry.formula[1:] in text
        assert f"indicators/{entry.key}.png" in text
        for p in entry.params:
            assert f"`{p.name}` = {p.default}" in text


@pytest.mark.parametrize("key", ["bollinger", "macd", "supertrend"])
def test_pictures(key: str, tmp_path: Path) -> None:
    path = tmp_path / f"{key}.png"
    reference.draw(REGISTRY[key], reference.made_up_bars(), path)
    assert path.read_bytes().startswith(b"\x89PNG")
    assert path.stat().st_size > 8_000


def test_the_page_covers_the_catalogue(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[str] = []
    monkeypatch.setattr(reference, "draw", lambda entry, bars, path: drawn.append(entry.key))
    page = reference.write(tmp_path).read_text(encoding="utf-8")
    assert sorted(drawn) == sorted(REGISTRY)
    assert page.count("\n### ") == len(REGISTRY)
