"""The analyst notebooks and reports run from a clean kernel, define nothing, and carry no results."""

from __future__ import annotations

import ast
import json
import re
from pathlib import Path

import nbformat
import pytest

from dashtrade.errors import InvalidInput, UnknownOption
from dashtrade.services.reports import ReportFailed, report, reports, run_report

ROOT = Path(__file__).parents[2]
NOTEBOOKS = sorted(path for path in (ROOT / "notebooks").rglob("*.ipynb") if "-Copy" not in path.name)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_a_notebook_is_narrative_and_calls(path):
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    for cell in notebook.cells:
        if cell.cell_type != "code":
            continue
        assert not cell.outputs and cell.execution_count is None, "outputs are stripped"
        for node in ast.walk(ast.parse(cell.source)):
            assert not isinstance(node, ast.FunctionDef | ast.ClassDef | ast.Lambda), "notebooks define nothing"
    assert any(cell.cell_type == "markdown" for cell in notebook.cells)


def test_the_first_notebook_runs(tmp_path, monkeypatch):
    import papermill

    monkeypatch.setenv("DASHTRADE_DATA_DIR", str(tmp_path))
    out = tmp_path / "out.ipynb"
    notebook = papermill.execute_notebook(
        str(ROOT / "notebooks" / "01_first_steps.ipynb"), str(out), progress_bar=False, kernel_name="python3"
    )
    text = json.dumps([cell.get("outputs") for cell in notebook.cells])
    assert "Sharpe" in text and "<svg" in text and "bars_hash" not in text


@pytest.fixture(scope="module")
def page(tmp_path_factory) -> str:
    folder = tmp_path_factory.mktemp("data")
    values = {"symbol": "AAPL", "source": "sample", "stop_loss": "5%"}
    path = run_report("backtest", values, data_dir=folder)
    assert path.is_relative_to(folder / "reports")
    kept = nbformat.read(path.with_suffix(".ipynb"), as_version=4)
    assert any(cell.get("outputs") for cell in kept.cells), "the executed notebook lies beside it"
    return path.read_text(encoding="utf-8")


def test_a_report_shows_results_and_no_code(page):
    assert page.startswith("<!DOCTYPE html>")
    for word in ("EMA cross", "Sharpe ratio", "Max drawdown", "Assumptions", "Provenance", "SHA-256", "ema(window=9)"):
        assert word in page, word
    assert page.count("<svg") == 5
    for code in ("import ", "from_text", "run_backtest", "tables.headline", "Traceback", "/work/", "UserWarning"):
        assert code not in page, code


def test_a_report_of_own_rules_with_own_stops_over_several_symbols(tmp_path):
    from dashtrade.data.sample import SampleSource
    from dashtrade.domain.strategy import Stops, Strategy
    from dashtrade.services.backtest_texts import texts_of
    from dashtrade.services.backtests import RunRequest, run_backtest
    from dashtrade.services.market import MarketData
    from dashtrade.strategies import parse_condition

    rules = Strategy(
        "Dip", parse_condition("rsi < 35"), parse_condition("rsi > 60"), stops=Stops(atr_loss=2.5), cooldown=3
    )
    request = RunRequest(rules, ("AAPL", "IBM"), source="sample", stops=Stops(bars=15), whole_shares=True)
    texts = texts_of(request)
    path = run_report("backtest", {"symbol": texts.pop("symbols"), **texts}, data_dir=tmp_path)
    text = path.read_text(encoding="utf-8")
    result = run_backtest(MarketData({"sample": SampleSource()}, ["sample"]), request)
    for word in ("AAPL, IBM", "Of the capital", "<h1>Dip</h1>", result.provenance["result_hash"]):
        assert word in text, word


def test_the_numbers_in_the_report_are_the_engines(page):
    import dashtrade as dt
    from dashtrade.backtest import BacktestRequest, Stops
    from dashtrade.data.sample import SampleSource
    from dashtrade.domain.market import HistoryRequest

    bars = SampleSource().history(HistoryRequest.parse("AAPL", "1d", "5y"))
    result = dt.backtest(BacktestRequest("ema_cross", {"AAPL": bars}, stops=Stops(loss=0.05)))
    assert f"{result.final_equity:,.2f}" in page
    assert f"{result.statistics['sharpe']:.2f}" in page
    assert result.provenance["result_hash"] in page


def test_a_failing_report_says_why_and_keeps_its_notebook(tmp_path):
    with pytest.raises(ReportFailed, match="nonsense") as failed:
        run_report("backtest", {"strategy": "nonsense", "source": "sample"}, data_dir=tmp_path)
    page = failed.value.path.read_text()
    assert "This report is not complete" in page and "nonsense" in page
    assert "Traceback" not in page and "from_text" not in page
    notebook = failed.value.path.with_suffix(".ipynb").read_text()
    assert "Traceback" in notebook and "from_text" in notebook


def test_parameters_are_checked_before_a_kernel_starts(tmp_path):
    with pytest.raises(InvalidInput, match="colour"):
        run_report("backtest", {"colour": "red"}, data_dir=tmp_path)
    with pytest.raises(InvalidInput, match="cash"):
        run_report("backtest", {"cash": "much"}, data_dir=tmp_path)
    for name in ("nothing", "../01_first_steps"):
        with pytest.raises(UnknownOption, match="backtest"):
            run_report(name, data_dir=tmp_path)


def test_every_report_declares_parameters():
    found = reports()
    assert "backtest" in found
    for name in found:
        assert report(name).parameters
        assert re.fullmatch(r"[a-z][a-z0-9_]*", name)


def test_secrets_do_not_reach_the_kernel(tmp_path, monkeypatch):
    from dashtrade.services.reports import report as load

    monkeypatch.setenv("ENCRYPTION_KEY", "very-secret-key")
    monkeypatch.setenv("DATABASE_URL", "postgresql://someone:pass@nowhere/db")
    chosen = load("backtest")
    notebook = nbformat.v4.new_notebook(
        cells=[
            nbformat.v4.new_code_cell("symbol = 'x'", metadata={"tags": ["parameters"]}),
            nbformat.v4.new_code_cell(
                "import os; print(sorted(k for k in os.environ if 'KEY' in k or 'DATABASE' in k))"
            ),
        ],
        metadata=nbformat.read(chosen.path, as_version=4).metadata,
    )
    folder = tmp_path / "reports_folder"
    folder.mkdir()
    nbformat.write(notebook, folder / "probe.ipynb")
    page = run_report("probe", data_dir=tmp_path, folder=folder).read_text()
    assert "ENCRYPTION_KEY" not in page and "DATABASE_URL" not in page
