"""Each user's own order of sources, from the command line to the page."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from test_data_commands import run

from dashtrade import bootstrap
from dashtrade.db.unit_of_work import UnitOfWork
from dashtrade.domain.users import Role, User
from dashtrade.errors import InvalidInput
from dashtrade.pages.context import PageContext
from dashtrade.pages.sources import own_market
from dashtrade.services.preferences import set_preference
from dashtrade.services.source_order import KEY, get_source_order, set_source_order
from dashtrade.settings import get_settings


def test_each_user_has_an_order_of_their_own(
    make_user: Callable[..., User], uow_factory: Callable[[], UnitOfWork]
) -> None:
    ada, bob = make_user("ada"), make_user("bob")
    assert get_source_order(uow_factory(), ada.id) is None
    set_source_order(uow_factory(), ada.id, [" files", "yahoo", "files", ""])
    assert get_source_order(uow_factory(), ada.id) == ("files", "yahoo")
    assert get_source_order(uow_factory(), bob.id) is None
    with pytest.raises(InvalidInput, match="'bloomberg' is not a source"):
        set_source_order(uow_factory(), ada.id, ["yahoo", "bloomberg"])
    assert get_source_order(uow_factory(), ada.id) == ("files", "yahoo")
    set_source_order(uow_factory(), ada.id, [])
    assert get_source_order(uow_factory(), ada.id) is None


def test_a_source_that_is_gone_is_passed_over(
    make_user: Callable[..., User], uow_factory: Callable[[], UnitOfWork]
) -> None:
    ada = make_user("ada")
    set_preference(uow_factory(), ada.id, KEY, "gone,sample")
    assert get_source_order(uow_factory(), ada.id) == ("sample",)
    set_preference(uow_factory(), ada.id, KEY, "gone")
    assert get_source_order(uow_factory(), ada.id) is None


def test_the_command_line_sets_it_and_pages_follow_it(
    database_url: str, make_user: Callable[..., User], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ada, bob = make_user("ada"), make_user("bob")
    done = run(tmp_path, "sources", "--user", "Ada", "--order", "sample,files", DATABASE_URL=database_url)
    assert done.stdout.startswith("1. sample"), done.stderr
    for words, sentence in (
        (("--user", "ada", "--order", "bloomberg"), "Allowed: yahoo, alpha_vantage, alpaca, files, sample"),
        (("--user", "nobody"), "There is no user 'nobody'"),
        (("--order", "sample"), "give --user NAME"),
    ):
        wrong = run(tmp_path, "sources", *words, DATABASE_URL=database_url)
        assert wrong.returncode == 1
        assert sentence in wrong.stderr
        assert "Traceback" not in wrong.stderr
    monkeypatch.setenv("DATABASE_URL", database_url)
    monkeypatch.setenv("DASHTRADE_DATA_DIR", str(tmp_path))
    monkeypatch.delenv("DASHTRADE_SOURCES", raising=False)
    caches = (get_settings, bootstrap.runtime, bootstrap.market)
    for cached in caches:
        cached.cache_clear()
    try:
        assert own_market(PageContext(ada.id, "ada", Role.USER)).order == ("sample", "files")
        assert own_market(PageContext(bob.id, "bob", Role.USER)).order == ("yahoo",)
        found = bootstrap.shared_prices(user_id=ada.id).latest(["AAPL"])
        assert found["AAPL"].simulated
    finally:
        bootstrap.runtime().engine.dispose()
        for cached in caches:
            cached.cache_clear()
