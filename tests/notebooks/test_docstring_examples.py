"""Every example in a docstring runs, and every public name has one."""

from __future__ import annotations

import doctest
import inspect
from importlib import import_module
from pathlib import Path

import pytest

import dashtrade
from dashtrade import bootstrap, settings

PACKAGE = Path(dashtrade.__file__).parent
WITH_EXAMPLES = sorted(path for path in PACKAGE.rglob("*.py") if "\n    >>> " in path.read_text(encoding="utf-8"))
MODULES = [".".join(("dashtrade", *path.relative_to(PACKAGE).with_suffix("").parts)) for path in WITH_EXAMPLES]
FLAGS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE


@pytest.fixture
def own_installation(database_url, tmp_path, monkeypatch):
    """A new user's: an empty database and an empty data folder."""
    monkeypatch.setenv("DATABASE_URL", database_url)
    monkeypatch.setenv("DASHTRADE_DATA_DIR", str(tmp_path))
    caches = (settings.get_settings, bootstrap.runtime, bootstrap.market)
    for cache in caches:
        cache.cache_clear()
    yield
    if bootstrap.runtime.cache_info().currsize:
        bootstrap.runtime().engine.dispose()
    for cache in caches:
        cache.cache_clear()


def test_the_examples_of_all_modules_run(own_installation):
    finder, runner = doctest.DocTestFinder(exclude_empty=True), doctest.DocTestRunner(optionflags=FLAGS)
    told: list[str] = []
    ran = 0
    for name in MODULES:
        for test in finder.find(import_module(name), name):
            if test.examples:
                runner.run(test, out=told.append, clear_globs=False)
                ran += len(test.examples)
    assert not runner.failures, "".join(told)
    assert ran == runner.tries > 60


def test_every_public_name_has_an_example():
    for name in dashtrade.__all__:
        if name == "__version__":
            continue
        found = getattr(dashtrade, name)
        shown = getattr(found, name) if inspect.ismodule(found) else found
        assert ">>> " in (inspect.getdoc(shown) or ""), f"{name} has no example"
        assert shown.__module__ in MODULES
