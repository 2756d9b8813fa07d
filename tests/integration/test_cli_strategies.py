"""Saved strategies and the trial ledger from the command line, on a real server."""

from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner

from dashtrade.bootstrap import runtime
from dashtrade.cli import app
from dashtrade.errors import DashTradeError, InvalidInput, NotFound, UnknownOption
from dashtrade.settings import get_settings


@pytest.fixture
def call(database_url, make_user, tmp_path, monkeypatch):
    """The command line against the test's database, with the users ada and bob."""
    make_user("ada")
    make_user("bob")
    monkeypatch.setenv("DATABASE_URL", database_url)
    monkeypatch.setenv("DASHTRADE_DATA_DIR", str(tmp_path / "data"))
    get_settings.cache_clear()
    runtime.cache_clear()

    def run(*words: str) -> str:
        found = CliRunner().invoke(app, list(words))
        if isinstance(found.exception, DashTradeError):
            raise found.exception
        assert found.exit_code == 0, found.output
        return found.stdout

    yield run
    runtime().engine.dispose()
    get_settings.cache_clear()
    runtime.cache_clear()


SWEEP = ("sweep", "ema_cross", "AAPL", "--source", "sample", "-p", "fast=5,9", "-p", "slow=20,30", "--json")
WALK = ("walkforward", "ema_cross", "AAPL", "--source", "sample", "--period", "5y", "-p", "fast=5,9", "--json")


def test_save_show_run_export_and_delete(call, tmp_path):
    rules = ("--entry", "rsi < 30", "--exit", "rsi > 60", "--stop-loss", "3%", "--cooldown", "2")
    assert "version 1" in call("strategy", "save", "dip", "--user", "ada", *rules)
    assert "version 2" in call("strategy", "save", "dip", "--user", "ada", *rules)
    text = call("strategy", "show", "dip", "--user", "ada")
    assert "rsi < 30" in text and "loss 0.03" in text and "cooldown    2 bars" in text
    listed = json.loads(call("strategy", "list", "--user", "ada", "--json"))
    assert [s["kind"] for s in listed if s["name"] == "dip"] == ["version 2"]
    assert not [s for s in json.loads(call("strategy", "list", "--user", "bob", "--json")) if s["name"] == "dip"]

    file = tmp_path / "dip.json"
    call("strategy", "export", "dip", "--to", "json", "--user", "ada", "-o", str(file))
    call("strategy", "save", "copy", "--user", "bob", "--file", str(file))
    mine, copy = (
        json.loads(call("strategy", "show", name, "--user", user, "--json"))
        for name, user in (("dip", "ada"), ("copy", "bob"))
    )
    assert {k: v for k, v in mine.items() if k not in {"name", "version"}} == {
        k: v for k, v in copy.items() if k not in {"name", "version"}
    }
    assert json.loads(call("strategy", "export", "dip", "--to", "notebook", "--user", "ada"))["nbformat"] == 4
    with pytest.raises(DashTradeError, match="cooldown"):
        call("strategy", "export", "dip", "--to", "pine", "--user", "ada")

    found = json.loads(call("backtest", "dip", "AAPL", "--source", "sample", "--user", "ada", "--json"))
    assert found["strategy"] == "dip" and found["statistics"]["trades"] > 0
    swept = call(
        "sweep", "dip", "AAPL", "--source", "sample", "-p", "long_entry.rsi.window=10,14", "--user", "ada", "--json"
    )
    assert json.loads(swept)["trials"] == 3, "the backtest before and two combinations"
    call("strategy", "delete", "dip", "--user", "ada")
    with pytest.raises(NotFound, match="dip"):
        call("strategy", "show", "dip", "--user", "ada")


def test_every_try_is_counted_and_deflates(call):
    alone = json.loads(call(*SWEEP))
    assert alone["trials"] == 4
    first = json.loads(call(*SWEEP, "--user", "ada"))
    assert first["trials"] == 4 and first["deflated_sharpe"] == pytest.approx(alone["deflated_sharpe"])
    again = json.loads(call(*SWEEP, "--user", "ada"))
    assert again["trials"] == 8 and again["deflated_sharpe"] < first["deflated_sharpe"]
    assert json.loads(call(*SWEEP, "--user", "bob"))["trials"] == 4, "each user has a count of his own"
    panel = json.loads(
        call("backtest", "ema_cross", "AAPL", "--source", "sample", "--user", "ada", "--evidence", "--json")
    )["evidence"]
    assert panel["trials"] == 9 and 0 <= panel["deflated_sharpe"] <= 1
    walked = json.loads(call(*WALK, "--user", "ada"))
    assert walked["trials"] == 9 + 2 * len(walked["steps"]), "the same bars, two settings on each training stretch"


@pytest.mark.parametrize(
    ("words", "kind", "says"),
    [
        (("show", "nope"), UnknownOption, "ema_cross"),
        (("show", "nope", "--user", "ada"), NotFound, "nope"),
        (("show", "ema_cross", "--user", "eve"), None, ""),
        (("list", "--user", "eve"), InvalidInput, "no user 'eve'"),
        (("save", "x", "--user", "ada"), InvalidInput, "--entry"),
        (("save", "ema_cross", "--user", "ada", "--entry", "rsi < 30"), InvalidInput, "preset"),
        (("save", "x", "--user", "ada", "--entry", "rsii < 30"), DashTradeError, "did you mean rsi"),
        (("save", "x", "--user", "ada", "--file", "/nonexistent.json"), InvalidInput, "cannot be read"),
        (("export", "ema_cross", "--to", "excel"), InvalidInput, "pine, alert, notebook, json"),
        (("export", "ema_cross", "--to", "pine", "-o", "/nonexistent/x"), InvalidInput, "cannot be written"),
        (("export", "ema_cross", "--to", "pine", "--direction", "up"), InvalidInput, "long_only"),
    ],
)
def test_bad_input_is_one_clear_error(call, words, kind, says):
    if kind is None:
        assert "ema" in call("strategy", *words)
        return
    with pytest.raises(kind, match=says):
        call("strategy", *words)


def test_the_users_order_of_sources_is_asked(call):
    """Without --source: ada has chosen the sample data, so nothing is fetched from anywhere."""
    call("data", "sources", "--user", "ada", "--order", "sample")
    values = ("-p", "fast=5,9", "-p", "slow=20,30", "--json", "--user", "ada")
    for words in (
        ("backtest", "ema_cross", "AAPL", "--json", "--user", "ada"), ("sweep", "ema_cross", "AAPL", *values),
        ("walkforward", "ema_cross", "AAPL", "--period", "5y", *values),
    ):  # fmt: skip
        assert json.loads(call(*words))["provenance"]["source"] == "sample", words[0]
