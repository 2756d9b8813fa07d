"""``dashtrade analyze`` on sample prices: words, and one JSON object."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from dashtrade.indicators import REGISTRY


def run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "DASHTRADE_DATA_DIR": str(folder)}
    command = [sys.executable, "-m", "dashtrade.cli", "analyze", *arguments]
    return subprocess.run(
        command, env=environment, cwd=folder, capture_output=True, text=True, timeout=110, check=False
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("data")


def test_json_is_one_object(folder: Path) -> None:
    done = run(folder, "aapl", "--source", "sample", "--period", "1y", "--json")
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert result["symbol"] == "AAPL"
    assert set(result["indicators"]) == set(REGISTRY)
    assert result["signal"]["action"] in ("BUY", "SELL", "HOLD")
    assert -100 <= result["signal"]["score"] <= 100
    assert result["bars"] > 200
    assert result["data"]["source"] == "sample"
    assert result["data"]["sentence"].startswith("sample · adjusted for splits and dividends")


def test_words(folder: Path) -> None:
    done = run(folder, "AAPL", "--source", "sample", "--balance", "20000", "--risk", "2", "--evidence")
    assert done.returncode == 0, done.stderr
    for part in (
        "with a score of",
        "Levels",
        "Volume",
        "Open chart patterns",
        "Risk plan",
        "Known since",
        "against random entries",
    ):
        assert part in done.stdout


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (["AAPL", "--source", "moon"], "moon"),
        (["AAPL", "--source", "sample", "--risk", "0"], "risk_percent"),
        (["AAPL", "--source", "sample", "--period", "1d"], "1 bar is too few for a signal, which needs 15, and 60"),
        (["ÄÖ€", "--source", "sample"], "is not a ticker"),
    ],
)
def test_bad_input_is_one_sentence(folder: Path, arguments: list[str], word: str) -> None:
    done = run(folder, *arguments)
    assert done.returncode == 1
    assert word in done.stderr
    assert "Traceback" not in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
