"""nbval runs every teaching notebook from a clean kernel, and what they teach holds: own ideas look at no later bar."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import nbformat
import numpy as np
import pandas as pd
import pytest

from dashtrade.data.sample import SampleSource
from dashtrade.domain.market import HistoryRequest
from dashtrade.indicators.catalogue import Indicator
from dashtrade.registry import Registry

FOLDER = Path(__file__).parents[2] / "notebooks"
TEACHING = sorted(path for path in FOLDER.glob("[0-9][0-9]_*.ipynb") if "-Copy" not in path.name)
CODE_CELLS = {
    path.stem: sum(cell.cell_type == "code" for cell in nbformat.read(path, as_version=4).cells) for path in TEACHING
}


@pytest.fixture(scope="module")
def cells(tmp_path_factory) -> dict[str, list[ElementTree.Element]]:
    """What nbval says of every cell, by notebook. Clean environment: no database, data in a new folder."""
    folder = tmp_path_factory.mktemp("nbval")
    hidden = ("PYTEST_", "DASHTRADE_", "DATABASE_URL")
    environment = {name: value for name, value in os.environ.items() if not name.startswith(hidden)}
    environment |= {"DASHTRADE_DATA_DIR": str(folder / "data"), "PYDEVD_DISABLE_FILE_VALIDATION": "1"}
    options = ["--nbval-lax", "--nbval-current-env", "--nbval-cell-timeout=120", f"--junitxml={folder / 'cells.xml'}"]
    plain = ["-p", "no:randomly", "-p", "no:cacheprovider", "-c", os.devnull, f"--rootdir={FOLDER}", "-q"]
    command = [sys.executable, "-m", "pytest", *plain, *options, *map(str, TEACHING)]
    done = subprocess.run(command, env=environment, cwd=FOLDER, capture_output=True, text=True, timeout=540)
    assert (folder / "cells.xml").is_file(), done.stdout + done.stderr
    found: dict[str, list[ElementTree.Element]] = {path.stem: [] for path in TEACHING}
    for case in ElementTree.parse(folder / "cells.xml").iter("testcase"):
        where = re.search(r"\d\d_\w+", case.get("classname", "") + case.get("name", ""))
        assert where is not None, case.attrib
        found[where.group()].append(case)
    return found


@pytest.mark.timeout(600)
@pytest.mark.parametrize("name", CODE_CELLS)
def test_every_cell_runs(name, cells):
    problems = [f"{case.get('name')}: {bad.text}" for case in cells[name] for bad in case if bad.tag != "properties"]
    assert not problems, "\n".join(problems)
    assert len(cells[name]) == CODE_CELLS[name]


def test_the_course_is_whole():
    assert [name[:2] for name in CODE_CELLS] == [f"{number:02d}" for number in range(1, 12)]
    for path in TEACHING:
        book = nbformat.read(path, as_version=4)
        first, texts = book.cells[0].source, [c.source for c in book.cells if c.cell_type == "markdown"]
        assert first.startswith(f"# {path.stem[:2]} · "), "its title says its number"
        assert any("doubt" in text.lower() or "When it pays" in text for text in texts), "it says what to doubt"
        calls = "".join(c.source for c in book.cells if c.cell_type == "code")
        assert calls.count("dt.history(") == len(re.findall(r'source="sample"', calls)) or "dt.compare(" in calls


@pytest.fixture
def ideas(monkeypatch):
    """The example module's entries, registered in registries of their own."""
    from dashtrade.indicators import catalogue
    from dashtrade.strategies import presets

    mine: Registry[Indicator] = Registry("indicator")
    monkeypatch.setattr(catalogue, "REGISTRY", mine)
    monkeypatch.setattr("dashtrade.strategies.PRESETS", Registry("strategy"))
    spec = importlib.util.spec_from_file_location("own_ideas_tested", FOLDER / "own_ideas.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert "calm_break" not in presets.PRESETS, "the program's own registry stays as it was"
    return mine


def test_own_ideas_never_look_ahead_and_keep_their_warm_up(ideas):
    bars = SampleSource().history(HistoryRequest.parse("AAPL", "1d", "1y"))
    for entry in ideas.values():
        arrays = {name: bars[name].to_numpy() for name in entry.inputs}
        (whole,) = entry.arrays(arrays)
        assert np.flatnonzero(np.isfinite(whole))[0] == entry.leading()[0], entry.key
        for cut in range(30, len(bars), 17):
            (part,) = entry.arrays({name: values[:cut] for name, values in arrays.items()})
            np.testing.assert_array_equal(part, whole[:cut], err_msg=entry.key)


def test_own_ideas_by_hand(ideas):
    up = pd.Series([1.0, 2, 3, 2, 3, 4]).to_numpy()
    (ratio,) = ideas["efficiency"].arrays({"close": up}, window=3)
    np.testing.assert_allclose(ratio[3:], [1 / 3, 1 / 3, 1 / 3])
    high, low = np.array([10.0, 9, 9.5, 9.4, 8]), np.array([5.0, 6, 6.5, 6.6, 5])
    close = np.array([7.0, 8, 9.2, 9.0, 5.5])
    (marks,) = ideas["inside_break"].arrays({"high": high, "low": low, "close": close})
    assert list(marks[2:]) == [1.0, 0.0, -1.0]
