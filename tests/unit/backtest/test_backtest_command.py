"""The commands, as a user types them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from dashtrade.cli import app
from dashtrade.errors import BadBars, DashTradeError, InvalidInput
from dashtrade.services.backtests import parse_distance, parse_fraction, parse_size
from dashtrade.services.bar_files import read_bars

RUN = CliRunner()


def call(*words: str):
    found = RUN.invoke(app, list(words), catch_exceptions=True)
    if found.exception is not None and isinstance(found.exception, DashTradeError):
        raise found.exception
    assert found.exit_code == 0, found.output
    return found.stdout


@pytest.fixture
def csv(tmp_path):
    """Six days; the close rises over 11 on the third and falls under on the fifth."""
    path = tmp_path / "bars.csv"
    rows = [(10, 11, 9, 10), (10, 11, 9, 11), (11, 13, 11, 12), (13, 14, 12, 13), (12, 12, 10, 10), (9, 10, 8, 9)]
    lines = [f"2024-01-0{n + 1},{o},{h},{lo},{c},100" for n, (o, h, lo, c) in enumerate(rows)]
    path.write_text("Date,Open,High,Low,Close,Volume\n" + "\n".join(lines) + "\n")
    return path


def test_one_json_object():
    found = json.loads(call("backtest", "ema_cross", "AAPL", "--source", "sample", "--json"))
    assert {"final_equity", "orders", "trades", "statistics", "provenance"} <= set(found)
    assert {"time", "side", "price", "qty", "fees"} <= set(found["orders"][0])
    assert found["final_equity"] == found["statistics"]["final_equity"]
    assert found["provenance"]["source"] == "sample"
    spent = sum(
        (o["price"] * o["qty"] if o["side"] == "buy" else -o["price"] * o["qty"]) + o["fees"] for o in found["orders"]
    )
    assert len(found["orders"]) % 2 == 0
    assert found["final_equity"] == pytest.approx(10_000 - spent)


def test_own_conditions_over_a_file_by_hand(csv):
    """Bought at the open after the cross (13), sold at the open after the fall (9): 10,000 / 13 shares."""
    words = [
        "backtest",
        "--file",
        str(csv),
        "--entry",
        "close crosses_above 11",
        "--exit",
        "close < 11",
        "--slippage",
        "0",
    ]
    found = json.loads(call(*words, "--json"))
    assert [(o["time"][:10], o["side"], o["price"]) for o in found["orders"]] == [
        ("2024-01-04", "buy", 13.0),
        ("2024-01-06", "sell", 9.0),
    ]
    assert found["final_equity"] == pytest.approx(10_000 / 13 * 9)
    stopped = json.loads(call(*words, "--stop-loss", "10%", "--json"))
    assert [o["price"] for o in stopped["orders"]] == [13.0, pytest.approx(11.7)]
    paid = json.loads(call(*words, "--commission", "0.01", "--size", "10 shares", "--cash", "500", "--json"))
    assert [o["fees"] for o in paid["orders"]] == pytest.approx([1.3, 0.9])
    assert paid["final_equity"] == pytest.approx(500 - 40 - 2.2)
    short = json.loads(
        call(
            "backtest",
            "--file",
            str(csv),
            "--short-entry",
            "close < 11 and close[1] > 11",
            "--direction",
            "short_only",
            "--json",
        )
    )
    assert short["orders"][0]["side"] == "sell"


def test_tables_for_people(csv):
    out = call("backtest", "buy_and_hold", "--file", str(csv))
    assert "Sharpe ratio" in out and "Final equity" in out and "Only 1 trades" not in out.splitlines()[0]


def test_sweep_and_walkforward():
    words = ["AAPL", "-p", "fast=5:15:5", "-p", "slow=20,40", "--source", "sample", "--json"]
    found = json.loads(call("sweep", "ema_cross", *words))
    assert found["combinations"] == 6 and len(found["rows"]) == 6
    single = json.loads(
        call(
            "backtest",
            "ema_cross",
            "AAPL",
            "--source",
            "sample",
            "--json",
            *[w for k, v in found["best"].items() for w in ("--set", f"{k}={v}")],
        )
    )
    assert single["statistics"]["sharpe"] == pytest.approx(found["rows"][0]["sharpe"])
    walked = json.loads(call("walkforward", "ema_cross", *words, "--train", "400", "--test", "200", "--period", "5y"))
    assert len(walked["steps"]) == walked["statistics"]["stretches"] == 4


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["backtest", "nothing", "AAPL", "--source", "sample"], "ema_cross"),
        (["backtest"], "entry"),
        (["backtest", "ema_cross", "--source", "sample"], "symbol"),
        (["backtest", "ema_cross", "AAPL", "--source", "nothing"], "sample"),
        (["backtest", "ema_cross", "AAPL", "--source", "sample", "--size", "lots"], "50%"),
        (["backtest", "ema_cross", "AAPL", "--source", "sample", "--stop-loss", "x"], "2%"),
        (["backtest", "ema_cross", "AAPL", "--source", "sample", "--direction", "up"], "long_only"),
        (["backtest", "ema_cross", "AAPL", "--source", "sample", "--set", "fast"], "fast=5"),
        (["backtest", "--file", "/nothing.csv", "--entry", "close > 1"], "does not exist"),
        (["backtest", "AAPL", "--entry", "close >> 1", "--source", "sample"], "expected"),
        (["sweep", "ema_cross", "AAPL", "--source", "sample"], "fast"),
        (["sweep", "ema_cross", "AAPL", "-p", "fast=9:1", "--source", "sample"], "write fast"),
        (["report", "run", "nothing"], "backtest"),
        (["report", "run", "backtest", "-p", "x"], "NAME=VALUE"),
    ],
)
def test_bad_input_is_one_clear_error(words, says):
    with pytest.raises(DashTradeError, match=says):
        call(*words)


def test_what_people_type():
    assert (
        parse_fraction("2%", "x") == 0.02
        and parse_fraction("20bps", "x") == 0.002
        and parse_fraction("0.5", "x") == 0.5
    )
    assert parse_distance("3atr", "loss") == {"atr_loss": 3.0} and parse_distance("2 %", "trail") == {"trail": 0.02}
    names = [
        type(parse_size(t)).__name__ for t in ("50", "50%", "$2000", "cash:2000", "10 shares", "shares:10", "risk 1%")
    ]
    assert names == ["Percent", "Percent", "Cash", "Cash", "Shares", "Shares", "RiskPercent"]
    assert [parse_size(t).value for t in ("50%", "$2000", "10sh", "risk 1.5%")] == [50, 2000, 10, 1.5]


def test_files_of_many_shapes(tmp_path):
    index = pd.date_range("2024-01-01", periods=5, freq="h")
    values = pd.DataFrame({c: np.arange(5.0) + 10 for c in ("o", "h", "l", "c")})
    milliseconds = values.assign(timestamp=index.astype("datetime64[ms]").astype("int64"))
    milliseconds.to_csv(tmp_path / "short.csv", index=False)
    bars = read_bars(tmp_path / "short.csv")
    assert list(bars.index) == list(index.tz_localize("UTC")) and (bars["volume"] == 0).all()
    full = values.rename(columns={"o": "open", "h": "high", "l": "low", "c": "close"}).assign(volume=1.0, time=index)
    full.to_parquet(tmp_path / "bars.parquet")
    assert len(read_bars(tmp_path / "bars.parquet")) == 5
    two = pd.concat([full.assign(symbol="A"), full.assign(symbol="B")])
    two.to_csv(tmp_path / "two.csv", index=False)
    assert read_bars(tmp_path / "two.csv", "B").attrs["symbol"] == "B"
    with pytest.raises(InvalidInput, match="2 symbols"):
        read_bars(tmp_path / "two.csv")
    full.drop(columns="low").to_csv(tmp_path / "gone.csv", index=False)
    with pytest.raises(BadBars, match="no column low"):
        read_bars(tmp_path / "gone.csv")
    (tmp_path / "empty.csv").write_text("")
    with pytest.raises(BadBars, match="cannot be read"):
        read_bars(tmp_path / "empty.csv")


def test_symbols_are_rebalanced():
    words = ["buy_and_hold", "AAPL", "MSFT", "IBM", "--source", "sample", "--json"]
    found = json.loads(call("backtest", *words, "--rebalance", "equal", "--every", "quarter", "--band", "2%"))
    assert {o["reason"] for o in found["orders"]} == {"rebalance"}
    assert sum(found["contribution"].values()) == pytest.approx(found["final_equity"] - 10_000)
    first = [o for o in found["orders"] if o["time"] == found["orders"][0]["time"]]
    assert [o["symbol"] for o in first] == ["AAPL", "MSFT", "IBM"]
    assert len({round(o["price"] * o["qty"]) for o in first}) == 1
    with pytest.raises(InvalidInput, match="inverse_volatility"):
        call("backtest", *words, "--rebalance", "cap")


def written(bars: pd.DataFrame, path) -> str:
    bars.to_csv(path, index_label="time")
    return str(path)


@pytest.fixture(scope="module")
def bars() -> pd.DataFrame:
    rng = np.random.default_rng(4)
    closes = 100 * np.exp(np.cumsum(rng.normal(0, 0.01, 200)))
    index = pd.date_range("2020-01-01", periods=200, freq="D", tz="UTC")
    return pd.DataFrame(
        {"open": closes, "high": closes * 1.01, "low": closes * 0.99, "close": closes, "volume": 1.0}, index
    )


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--stop-loss", "abc"], "stop-loss: 'abc' is not understood; write for example 0.02"),
        (["--take-profit", "-1"], "take-profit: -1.0 is not a distance"),
        (["--time-stop", "0"], "time-stop: 0 is not a time stop"),
        (["--fixed-fee", "-1"], "fixed-fee: -1.0 is not an allowed"),
        (["--exit", "rsii < 3"], "exit: indicator: 'rsii' is not known; did you mean rsi? (character 1: '⟶rsii < 3')"),
        (["--entry", "ema(9) crossing ema(20)"], "entry: 'crossing' is not an operator; did you mean crosses_above?"),
        (["--interval", "1h"], "interval: the bars of bars.csv are 1 day apart, not 1h. Allowed: 1d."),
        (["--period", "zzz"], "period: is for price sources"),
    ],
)
def test_what_is_wrong_is_named_as_it_was_typed(bars, tmp_path, words, says):
    file = written(bars, tmp_path / "bars.csv")
    rules = {"--entry": "ema(3) > ema(9)", "--exit": "ema(3) < ema(9)"} | dict(
        zip(words[::2], words[1::2], strict=True)
    )
    with pytest.raises(InvalidInput) as raised:
        call("backtest", "--file", file, *(w for pair in rules.items() for w in pair))
    assert str(raised.value).startswith(says)


def test_mended_bars_are_told(bars, tmp_path):
    awkward = pd.concat([bars.iloc[:50], bars.iloc[40:]]).iloc[::-1].copy()
    awkward.iloc[7, 3] = np.nan
    rules = ("--entry", "ema(3) > ema(9)", "--exit", "ema(3) < ema(9)", "--json")
    found = json.loads(call("backtest", "--file", written(awkward, tmp_path / "bars.csv"), *rules))
    notes = " ".join(found["warnings"])
    assert "bars out of order" in notes and "10 bars with a time seen before" in notes and "1 bars without" in notes
    assert found["provenance"]["bars"] == {"BARS": 199}
    clean = json.loads(call("backtest", "--file", written(bars.drop(awkward.index[7]), tmp_path / "bars.csv"), *rules))
    assert clean["orders"] == found["orders"] and not [w for w in clean["warnings"] if "mended" in w]


def test_a_sweep_that_never_trades_and_one_that_cannot_keep_its_blocks(bars, tmp_path):
    file = written(bars, tmp_path / "bars.csv")
    found = json.loads(call("sweep", "rsi_reversal", "--file", file, "-p", "low=1,2", "--json"))
    assert found["best"] is None and [row["trades"] for row in found["rows"]] == [0, 0]
    with pytest.raises(InvalidInput, match=r"resume: .*no folder"):
        call("sweep", "ema_cross", "--file", file, "-p", "fast=3,5", "--resume", file)
    with pytest.raises(InvalidInput, match="top: -1"):
        call("sweep", "ema_cross", "--file", file, "-p", "fast=3,5", "--top", "-1")


def test_a_table_with_semicolons_is_read(bars, tmp_path):
    bars.to_csv(tmp_path / "bars.csv", sep=";", index_label="time")
    assert len(read_bars(tmp_path / "bars.csv")) == 200


@pytest.mark.shared
def test_the_published_rows_from_a_file():
    shared = Path(__file__).parents[3].parent / "shared" / "data"
    file, reference = (
        shared / "daily" / "backtestingpy_GOOG_daily.csv.gz",
        shared / "backtests" / "backtestingpy_GOOG.json",
    )
    if not file.is_file():
        pytest.skip("the recorded data is not beside the checkout")
    for row in json.loads(reference.read_text())["backtestingpy_GOOG_SmaCross_0.6.6"]["rows"]:
        up, down = (f"sma({row['n1']}) crosses_{way} sma({row['n2']})" for way in ("above", "below"))
        found = json.loads(
            call(
                "backtest", "--file", str(file), "--entry", up, "--exit", down, "--short-entry", down,
                "--short-exit", up, "--direction", "long_short", "--whole-shares",
                "--commission", str(row["fee"]), "--slippage", "0", "--json",
            )
        )  # fmt: skip
        assert found["final_equity"] == pytest.approx(row["equity_final"], abs=1e-6)
        assert found["statistics"]["trades"] == row["trades"]
        assert 100 * found["statistics"]["max_drawdown"] == pytest.approx(row["max_dd_pct"], abs=1e-6)
