"""What a browser says of itself, in a few words: people look whether they know it."""

from __future__ import annotations

import re

#: The first that fits: most browsers also say the name of another one, for the sake of old pages.
_BROWSERS = tuple(
    (name, re.compile(rf"\b(?:{tokens})/(\d+)"))
    for name, tokens in (
        ("Edge", "Edg|EdgA|EdgiOS"),
        ("Opera", "OPR|OPT"),
        ("Vivaldi", "Vivaldi"),
        ("Samsung Internet", "SamsungBrowser"),
        ("Firefox", "Firefox|FxiOS"),
        ("Chrome", "CriOS|Chrome|HeadlessChrome"),
        ("Safari", r"Version(?=/.*\bSafari/)"),
    )
)
_SYSTEMS = (
    ("iPhone", "iPhone"),
    ("iPad", "iPad"),
    ("Android", "Android"),
    ("Windows", "Windows NT"),
    ("macOS", "Macintosh"),
    ("ChromeOS", "CrOS"),
    ("Linux", "Linux"),
)
LIMIT = 60  # characters of what is not known


def browser_name(agent: str | None) -> str:
    """``Firefox 128 on Windows``; the text itself, cut, where it is none of the usual ones. Anybody can claim anything:
    it is for people to read, never to decide by."""
    if not agent:
        return "unknown"
    system = next((name for name, mark in _SYSTEMS if mark in agent), "")
    for name, pattern in _BROWSERS:
        if found := pattern.search(agent):
            return f"{name} {found[1]}" + (f" on {system}" if system else "")
    return agent if len(agent) <= LIMIT else agent[: LIMIT - 1] + "…"
