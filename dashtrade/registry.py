"""A registry of named things: refuses duplicates, is read-only from outside, lists its options on a miss."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TypeVar

from dashtrade.errors import UnknownOption

T = TypeVar("T")


class Registry(Mapping[str, T]):
    """Name → entry, in the order of registration.

    ``kind`` is the word used in error texts, such as ``"indicator"``. A missing name raises UnknownOption,
    which lists the options; registering a name twice raises ValueError, since that is a mistake in the program.
    """

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self._entries: dict[str, T] = {}

    def register(self, name: str, entry: T) -> T:
        if name in self._entries:
            raise ValueError(f"{self.kind} {name!r} is registered twice")
        self._entries[name] = entry
        return entry

    def __getitem__(self, name: str) -> T:
        try:
            return self._entries[name]
        except (KeyError, TypeError):
            raise UnknownOption(self.kind, str(name), self._entries) from None

    def __contains__(self, name: object) -> bool:
        return name in self._entries

    def get(self, name: str, default: T | None = None) -> T | None:  # type: ignore[override]
        return self._entries.get(name, default)

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)
