"""Each registered page is built as a kernel would build it: from the environment, on a real database."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from dashtrade import bootstrap
from dashtrade.domain.users import User
from dashtrade.pages import PAGES, PageContext
from dashtrade.pages.opening import build, show
from dashtrade.pages.widgets.shell import PageShell
from dashtrade.settings import get_settings

CACHES = (get_settings, bootstrap.runtime, bootstrap.market)


@pytest.fixture
def kernel(
    database_url: str, make_user: Callable[..., User], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[User]:
    """The environment of a page's kernel, for a user who may open everything."""
    user = make_user("grace", role="superadmin")
    values = {
        "DATABASE_URL": database_url, "DASHTRADE_DATA_DIR": str(tmp_path), "DASHTRADE_SOURCES": "sample",
        "DASHTRADE_USER_ID": str(user.id), "DASHTRADE_USERNAME": user.username, "DASHTRADE_ROLE": user.role.value,
        "QUERY_STRING": "",
    }  # fmt: skip
    for name, value in values.items():
        monkeypatch.setenv(name, value)
    for cached in CACHES:
        cached.cache_clear()
    yield user
    bootstrap.runtime().engine.dispose()
    for cached in CACHES:
        cached.cache_clear()


def walk(widget: Any) -> Iterator[Any]:
    yield widget
    for child in getattr(widget, "children", ()):
        yield from walk(child)


@pytest.mark.parametrize("slug", list(PAGES))
def test_a_page_opens(kernel: User, slug: str) -> None:
    widgets = list(walk(build(slug, PageContext.from_environment())))
    [shell] = [w for w in widgets if isinstance(w, PageShell)]
    assert (shell.slug, shell.title) == (slug, PAGES[slug].title)
    assert not [w for w in widgets if 'role="alert"' in str(getattr(w, "value", ""))]


def test_last_inputs_are_kept_for_the_user(kernel: User, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QUERY_STRING", "symbol=IBM&period=6mo&source=sample")
    build("analysis", PageContext.from_environment())
    monkeypatch.setenv("QUERY_STRING", "")
    widgets = list(walk(build("analysis", PageContext.from_environment())))
    assert "IBM" in [getattr(w, "value", None) for w in widgets]


def test_a_page_that_cannot_open_shows_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    shown: list[Any] = []
    monkeypatch.setattr("dashtrade.pages.opening.display", shown.append)
    monkeypatch.delenv("DASHTRADE_USER_ID", raising=False)
    show("analysis")
    [widget] = shown
    assert any("not signed in" in str(getattr(w, "value", "")) for w in walk(widget))
