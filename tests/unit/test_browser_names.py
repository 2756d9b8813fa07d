"""Browsers in the list of sessions, as people know them."""

from __future__ import annotations

import pytest

from dashtrade.dashboards.office.browsers import LIMIT, browser_name

WEBKIT = "AppleWebKit/537.36 (KHTML, like Gecko)"


@pytest.mark.parametrize(
    ("agent", "name"),
    [
        (f"Mozilla/5.0 (Windows NT 10.0; Win64; x64) {WEBKIT} Chrome/126.0.0.0 Safari/537.36", "Chrome 126 on Windows"),
        (
            f"Mozilla/5.0 (Windows NT 10.0; Win64; x64) {WEBKIT} Chrome/126.0.0.0 Safari/537.36 Edg/126.0.2592.87",
            "Edge 126 on Windows",
        ),
        (f"Mozilla/5.0 (X11; CrOS x86_64 14541.0.0) {WEBKIT} Chrome/125.0.0.0 Safari/537.36", "Chrome 125 on ChromeOS"),
        (f"Mozilla/5.0 (X11; Linux x86_64) {WEBKIT} HeadlessChrome/156.0.0.0 Safari/537.36", "Chrome 156 on Linux"),
        ("Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0", "Firefox 128 on Linux"),
        (
            "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.5 "
            "Safari/605.1.15",
            "Safari 17 on macOS",
        ),
        (
            "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) "
            "CriOS/126.0.6478.54 Mobile/15E148 Safari/604.1",
            "Chrome 126 on iPhone",
        ),
        (
            f"Mozilla/5.0 (Linux; Android 14; SM-S921B) {WEBKIT} SamsungBrowser/25.0 Chrome/121.0.0.0 Mobile "
            "Safari/537.36",
            "Samsung Internet 25 on Android",
        ),
        ("python-httpx/0.28.1", "python-httpx/0.28.1"),
        ("Firefox/1", "Firefox 1"),
        ("x" * 300, "x" * (LIMIT - 1) + "…"),
        ("", "unknown"),
        (None, "unknown"),
    ],
)
def test_it_is_named_as_people_know_it(agent: str | None, name: str) -> None:
    assert browser_name(agent) == name
