"""Rows of the page's tables."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from dashtrade.pages.strategies.sentence import describe
from dashtrade.pages.widgets.table import Column, action
from dashtrade.services.strategies import StrategyLine, StrategyVersion
from dashtrade.strategies import PRESETS

LIBRARY = (
    Column("name", "Name"),
    Column("actions", "", "actions"),
    Column("state", "State", "badge"),
    Column("version", "Version", "number", 0),
    Column("saved_at", "Saved", "time"),
)
TEMPLATES = (
    Column("name", "Template"),
    Column("actions", "", "actions"),
    Column("about", "What it does"),
)
VERSIONS = (
    Column("version", "Version", "number", 0),
    Column("saved_at", "Saved", "time"),
    Column("state", "State", "badge"),
    Column("actions", "", "actions"),
    Column("words", "In words"),
)


def library_rows(lines: Sequence[StrategyLine]) -> Iterator[dict[str, Any]]:
    for line in lines:
        yield {
            "id": line.name, "name": line.name, "version": line.version, "saved_at": line.saved_at,
            **_state(line.draft),
            "actions": [action("open", "Open"), action("copy", "Copy"), action("rename", "Rename"),
                        action("delete", "Delete", "danger")],
        }  # fmt: skip


def template_rows() -> Iterator[dict[str, Any]]:
    for preset in PRESETS.values():
        yield {"id": preset.key, "name": preset.label, "about": preset.description, "actions": [action("use", "Use")]}


def version_rows(versions: Sequence[StrategyVersion]) -> Iterator[dict[str, Any]]:
    for place, version in enumerate(versions):
        number = version.strategy.version
        actions = [action("compare", "Compare"), action("open", "Open")]
        yield {
            "id": number, "name": f"version {number}", "version": number, "saved_at": version.saved_at,
            **_state(version.draft), "words": " ".join(describe(version.strategy)),
            "actions": actions if place == 0 else [*actions, action("restore", "Restore")],
        }  # fmt: skip


def _state(draft: str) -> dict[str, Any]:
    if draft:
        return {"state": "⚠ Draft", "tones": {"state": "warn"}}
    return {"state": "✓ Checked", "tones": {"state": "good"}}
