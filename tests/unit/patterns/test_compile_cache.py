"""Where compiled loops are kept, and that the next process finds them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numba
import pytest

from dashtrade.analysis.warm import warm
from dashtrade.compile_cache import keep_compiled

_ASK = """
import json
from dashtrade.analysis.warm import warm
warm()
from dashtrade.indicators import kernels as a
from dashtrade.patterns import kernels as b
names = {f"{m.__name__}.{n}": f for m in (a, b) for n, f in vars(m).items() if hasattr(f, "stats")}
print(json.dumps({n: [sum(f.stats.cache_hits.values()), sum(f.stats.cache_misses.values())] for n, f in names.items()}))
"""


def test_once_warm_the_next_process_compiles_nothing() -> None:
    warm()
    answer = subprocess.run([sys.executable, "-c", _ASK], capture_output=True, text=True, check=True, timeout=120)
    counts = json.loads(answer.stdout)
    for entry in ("zigzag", "detect", "first_touch"):
        assert counts[f"dashtrade.patterns.kernels.{entry}"] == [1, 0]
    for entry in ("anchored_vwap", "fisher", "trailing_band"):
        assert counts[f"dashtrade.indicators.kernels.{entry}"] == [1, 0]
    assert all(misses == 0 for _, misses in counts.values())


@pytest.fixture
def no_choice(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(numba.config, "CACHE_DIR", "")
    monkeypatch.delenv("NUMBA_CACHE_DIR", raising=False)


@pytest.mark.usefixtures("no_choice")
def test_beside_the_source_where_that_can_be_written(tmp_path: Path) -> None:
    assert keep_compiled(tmp_path, tmp_path / "data") is None
    assert numba.config.CACHE_DIR == ""


@pytest.mark.usefixtures("no_choice")
def test_in_the_data_folder_where_the_package_cannot_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "package"
    package.write_text("a file, in which nobody can make a folder, not even root")
    data = tmp_path / "data"
    assert keep_compiled(package, data) == data / "compiled"
    assert str(data / "compiled") == numba.config.CACHE_DIR
    monkeypatch.setenv("DASHTRADE_DATA_DIR", str(tmp_path / "other"))
    assert keep_compiled(package) == tmp_path / "other" / "compiled"
    monkeypatch.setenv("NUMBA_CACHE_DIR", os.fspath(tmp_path))
    assert keep_compiled(package, data) is None
