"""Values printed in spreadsheets and in Achelis' book, compared at every row after warm-up.

Recursive averages depend on how they begin, and the tables begin them differently (at the first price, not at the mean
of the first n). Bars put in front give ours the same beginning, so that every row can be compared, not only the last.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from dashtrade.indicators import indicator

ORACLES = Path(__file__).resolve().parents[3].parent / "shared" / "data" / "oracles"
pytestmark = [pytest.mark.shared, pytest.mark.skipif(not ORACLES.is_dir(), reason="recorded data not here")]


def frame(columns: dict[str, np.ndarray], in_front: int = 0) -> pd.DataFrame:
    """Bars from columns, the first bar repeated ``in_front`` times."""
    bars = pd.DataFrame(columns, dtype=float)
    if in_front:
        bars = pd.concat([bars.iloc[:1]] * in_front + [bars], ignore_index=True)
    bars.index = pd.date_range("2020-01-01", periods=len(bars), tz="UTC", name="time")
    return bars


def outputs(bars: pd.DataFrame, key: str, in_front: int, **params: Any) -> pd.DataFrame:
    values = indicator(bars, key, **params)
    table = values.to_frame(key) if isinstance(values, pd.Series) else values
    return table.iloc[in_front:].reset_index(drop=True)


def assert_rows(got: np.ndarray, expected: np.ndarray, at_least: int, rtol: float, atol: float) -> None:
    both = np.isfinite(got) & np.isfinite(expected)
    assert both.sum() >= at_least
    np.testing.assert_allclose(got[both], expected[both], rtol=rtol, atol=atol)


@dataclass(frozen=True)
class Table:
    file: str
    key: str
    columns: dict[str, str]
    """Our output → the table's column."""
    rows: int
    """The least number of rows that must be compared."""
    params: dict[str, Any] = field(default_factory=dict)
    in_front: int = 0
    scale: float = 1.0
    rtol: float = 2e-6
    atol: float = 1e-6
    skip: int = 0
    """Rows at the start left out, with the reason beside the entry."""


TABLES = (
    Table("roc", "roc", {"roc": "ROC"}, 8, {"window": 12}),
    Table("rsi", "rsi", {"rsi": "RSI"}, 19, in_front=20),
    Table("stochrsi", "stoch_rsi", {"k": "StochRSI(14)"}, 5, {"smooth": 1}, in_front=20, scale=100, atol=2e-5),
    Table("ultosc", "ultimate", {"ultimate": "Ult_Osc"}, 2),
    Table("soo", "stochastic", {"k": "SO", "d": "SO_SIG"}, 14),
    Table("percentr", "williams_r", {"williams_r": "Williams_%R"}, 17),
    Table("kama", "kama", {"kama": "KAMA"}, 39, {"window": 10}),
    Table("tsi", "tsi", {"tsi": "TSI"}, 445, atol=0.012),  # the table rounds its smoothing constants to four digits
    Table("ppo", "ppo", {"ppo": "PPO", "signal": "PPO_Signal_Line", "histogram": "PPO_Histogram"}, 40, in_front=60),
    Table("pvo", "pvo", {"pvo": "PVO", "signal": "PVO_Signal_Line", "histogram": "PVO_Histogram"}, 40, in_front=60),
    Table("macd", "macd", {"macd": "MACD_line"}, 122, in_front=60),
    Table("cci", "cci", {"cci": "CCI"}, 11, atol=5e-5),
    Table("vortex", "vortex", {"plus": "+VI14", "minus": "-VI14"}, 16),
    Table("stc", "stc", {"stc": "stc"}, 100, in_front=100, atol=1e-4),
    Table("wma", "wma", {"wma": "WMA"}, 32, {"window": 9}, atol=5e-5),
    Table(
        "bbands",
        "bollinger",
        {
            "middle": "MiddleBand",
            "upper": "HighBand",
            "lower": "LowBand",
            "percent": "PercentageBand",
            "width": "WidthBand",
        },
        23,
    ),
    Table("dc", "donchian", {"upper": "upper_band", "lower": "lower_band"}, 11),
    Table("dc2", "donchian", {"upper": "upper_band", "lower": "lower_band"}, 10, {"offset": 1}),
    Table("dc", "donchian", {"middle": "middle_band"}, 11, atol=0.00501),  # the table rounds to cents
    Table("kc", "keltner", {"middle": "middle_band"}, 30, in_front=60),
    Table("ui", "ulcer", {"ulcer": "ulcer_index"}, 1),
    Table("obv", "obv", {"obv": "OBV"}, 29),
    Table("easeofmovement", "eom", {"one_bar": "EMV"}, 29),
    Table("easeofmovement", "eom", {"eom": "SMA_EMV"}, 16),
    Table("accum", "ad", {"ad": "ADLine"}, 30, atol=1e-4),
    Table("mfi", "mfi", {"mfi": "MFI"}, 16, atol=1e-5),
    Table("vpt", "vpt", {"vpt": "unsmoothed vpt"}, 29),
    Table("vwap", "vwap", {"vwap": "vwap"}, 14, {"anchor": "all"}),
)


def read(file: str) -> tuple[pd.DataFrame, dict[str, np.ndarray]]:
    """The table, and its price columns with what it leaves out filled in where the indicator does not look."""
    table = pd.read_csv(ORACLES / "ta_reference" / f"cs-{file}.csv", thousands=None)
    table.columns = [str(c).strip() for c in table.columns]
    by_name = {c.lower(): table[c] for c in reversed(table.columns)}
    columns = {n: by_name[n].to_numpy(float) for n in ("open", "high", "low", "close", "volume") if n in by_name}
    if "close" in columns and "high" in columns:  # two tables begin the closes later than the ranges
        missing = np.isnan(columns["close"])
        columns["close"] = np.where(missing, (columns["high"] + columns["low"]) / 2, columns["close"])
    if "volume" in columns:  # and two leave out the first volume
        columns["volume"] = np.where(np.isnan(columns["volume"]), 1.0, columns["volume"])
    return table, columns


@pytest.mark.parametrize("case", TABLES, ids=lambda c: f"{c.file}-{'-'.join(c.columns)}")
def test_spreadsheet(case: Table) -> None:
    table, columns = read(case.file)
    got = outputs(frame(columns, case.in_front), case.key, case.in_front, **case.params)
    for output, column in case.columns.items():
        expected = table[column].to_numpy(float) * case.scale
        if case.file == "vwap":  # from its 15th row on, the table counts 14 bars only
            expected[14:] = np.nan
        values = got[output].to_numpy(copy=True)
        if case.file in ("rsi", "stochrsi", "macd"):  # the tables' own warm-up
            first = {"rsi": 14, "stochrsi": 27, "macd": 1}[case.file]
            values[:first] = np.nan
        if case.file == "stc":
            values[:10] = np.nan
        assert_rows(values, expected, case.rows, case.rtol, case.atol)


def test_rolling_vwap_is_the_volume_weighted_average_of_typical_prices() -> None:
    table, columns = read("vwap")
    typical = {"close": (columns["high"] + columns["low"] + columns["close"]) / 3, "volume": columns["volume"]}
    got = outputs(frame(typical), "vwma", 0, window=14)["vwma"].to_numpy()
    assert_rows(got, table["vwap"].to_numpy(float), 17, 2e-6, 1e-6)


@pytest.mark.parametrize(("file", "window"), [("atr", 14), ("atr2", 10)])
def test_atr_spreadsheet(file: str, window: int) -> None:
    """The spreadsheet counts the first bar's high − low as a true range: a bar in front makes it one."""
    table, columns = read(file)
    got = outputs(frame_with_close_in_front(columns), "atr", 1, window=window)["atr"].to_numpy()
    expected = table["ATR"].to_numpy(float)
    assert_rows(got, expected, 30 - window + 1, 1e-6, 1e-6)


def frame_with_close_in_front(columns: dict[str, np.ndarray]) -> pd.DataFrame:
    close = columns["close"][0]
    return frame({n: np.r_[close if n != "volume" else columns[n][0], v] for n, v in columns.items()})


def test_keltner_bands_spreadsheet() -> None:
    table, columns = read("kc")
    got = outputs(frame_with_close_in_front(columns), "keltner", 1)
    reach = (got["upper"] - got["middle"]).to_numpy()
    assert_rows(reach, (table["upper_band"] - table["middle_band"]).to_numpy(float), 11, 1e-6, 1e-6)
    assert_rows((got["middle"] - got["lower"]).to_numpy(), reach, 11, 1e-9, 1e-9)


def test_force_spreadsheet() -> None:
    """The table begins the average at the first value: bars in front that repeat that change and volume do the same."""
    table, columns = read("fi")
    change, volume = columns["close"][1] - columns["close"][0], columns["volume"][1]
    steps = np.arange(40, 0, -1)
    bars = frame(
        {
            "close": np.r_[columns["close"][0] - steps * change, columns["close"]],
            "volume": np.r_[np.full(41, volume), columns["volume"][1:]],
        }
    )
    got = outputs(bars, "force", 40)["force"].to_numpy()
    assert_rows(got, table["FI"].to_numpy(float), 29, 1e-6, 1e-4)


def test_psar_spreadsheet_from_the_first_turn() -> None:
    """Before the first turn the side is a convention: the table begins with a rise, TA-Lib by the first move."""
    table, columns = read("psar")
    got = outputs(frame(columns), "psar", 0)["psar"].to_numpy()
    expected = table["psar_up"].fillna(table["psar_down"]).to_numpy(float)
    assert_rows(got[8:], expected[8:], 22, 1e-6, 1e-6)


def test_adx_spreadsheet() -> None:
    """TA-Lib begins Wilder's sums with one bar less; the difference must die as Wilder's smoothing does."""
    table, columns = read("adx")
    got = outputs(frame(columns), "adx", 0)
    for output, column in {"adx": "ADX", "plus_di": "+DI14", "minus_di": "-DI14"}.items():
        off = np.abs(got[output].to_numpy() - table[column].to_numpy(float))
        off = off[np.isfinite(off)]
        assert off.size >= 470
        since = np.arange(off.size)
        assert (off <= 6.0 * (1 + since / 14) * (13 / 14) ** since + 2e-6).all()
        assert off[250:].max() < 1e-5


def test_macd_signal_spreadsheet() -> None:
    """The table begins the signal line with a value of its own; the difference must die as an ema of 9 does."""
    table, columns = read("macd")
    got = outputs(frame(columns, 60), "macd", 60)
    off = np.abs(got["signal"].to_numpy() - table["MACD_signal"].to_numpy(float))[2:]
    assert off.size == 122
    np.testing.assert_allclose(off, off[0] * 0.8 ** np.arange(off.size), atol=1e-6)


# --- Achelis, Technical Analysis from A to Z, and further cases worked by hand ----------------------------------------

H, L, C, OPEN, V = "high", "low", "close", "open", "volume"


@dataclass(frozen=True)
class Book:
    key: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    params: tuple[str, ...] = ()
    fixed: dict[str, Any] = field(default_factory=dict)
    in_front: int = 0
    scale: float = 1.0
    from_row: int = 0
    rtol: float = 1e-4
    atol: float = 2e-3
    dies: int = 0
    """Averages of averages, begun differently in the book: how many; the difference must die as they do."""


W = ("window",)
BOOK: dict[str, Book] = {
    "ad": Book("ad", (H, L, C, V), ("ad",), atol=0.01),
    "adosc": Book("adosc", (H, L, C, V), ("adosc",), ("fast", "slow"), in_front=0),
    "aroon": Book("aroon", (H, L), ("down", "up"), W),
    "aroonosc": Book("aroon", (H, L), ("oscillator",), W),
    "bbands": Book("bollinger", (C,), ("lower", "middle", "upper"), ("window", "deviations")),
    "cci": Book("cci", (H, L, C), ("cci",), W, atol=0.02),
    "cmo": Book("cmo", (C,), ("cmo",), W),
    "cvi": Book("chaikin_volatility", (H, L), ("chaikin_volatility",), W, {"change": 5}, in_front=40),
    "dema": Book("dema", (C,), ("dema",), W, in_front=60, dies=2),
    "dpo": Book("dpo", (C,), ("dpo",), W),
    "ema": Book("ema", (C,), ("ema",), W, in_front=60),
    "emv": Book("eom", (H, L, V), ("one_bar",), (), {"divisor": 1e4}),
    "mfi": Book("mfi", (H, L, C, V), ("mfi",), W),
    "nvi": Book("nvi", (C, V), ("nvi",), rtol=1e-3),
    "pvi": Book("pvi", (C, V), ("pvi",)),
    "obv": Book("obv", (C, V), ("obv",)),
    "psar": Book(
        "psar", (H, L), ("psar",), ("step", "maximum"), from_row=8
    ),  # before the first turn the side is a convention
    "rsi": Book("rsi", (C,), ("rsi",), W),
    "sma": Book("sma", (C,), ("sma",), W),
    "stddev": Book("stddev", (C,), ("stddev",), W),
    "stoch": Book("stochastic", (H, L, C), ("k", "d"), ("window", "smooth", "signal"), atol=0.01),
    "tema": Book("tema", (C,), ("tema",), W, in_front=60, dies=3),
    "tr": Book("true_range", (H, L, C), ("true_range",), from_row=1),
    "trima": Book("trima", (C,), ("trima",), W),
    "trix": Book("trix", (C,), ("trix",), W, in_front=60, dies=3),
    "ultosc": Book("ultimate", (H, L, C), ("ultimate",), ("short", "medium", "window")),
    "vhf": Book("vhf", (C,), ("vhf",), W),
    "willr": Book("williams_r", (H, L, C), ("williams_r",), W),
    "wma": Book("wma", (C,), ("wma",), W),
    "wilders": Book("rma", (C,), ("rma",), W),
    "ao": Book("awesome", (H, L), ("awesome",)),
    "bop": Book("bop", (OPEN, H, L, C), ("bop",), fixed={"window": 1}),
    "cmf": Book("cmf", (H, L, C, V), ("cmf",), W),
    "kama": Book("kama", (C,), ("kama",), W),
    "linreg": Book("linear_regression", (C,), ("line",), W),
    "linregslope": Book("linear_regression", (C,), ("slope",), W),
    "mom": Book("momentum", (C,), ("momentum",), W),
    "ppo": Book("ppo", (C,), ("ppo",), ("fast", "slow"), in_front=60),
    "roc": Book("roc", (C,), ("roc",), W, scale=100),
    "vwma": Book("vwma", (C, V), ("vwma",), W),
    "zlema": Book("zlema", (C,), ("zlema",), W, in_front=60, dies=1),
}


def cases(file: str) -> list[tuple[str, str, tuple[float, ...], list[np.ndarray]]]:
    path = ORACLES / "tulip" / file
    if not path.is_file():
        return []
    found: list[tuple[str, str, tuple[float, ...], list[np.ndarray]]] = []
    for line in path.read_text().splitlines():
        line = line.strip()
        if re.match(r"[a-z]", line):
            name, *options = line.split()
            found.append((file, name, tuple(float(o) for o in options), []))
        elif line.startswith("{") and found:
            found[-1][3].append(np.array([float(v) for v in re.sub(r"[{};]", "", line).split(",") if v.strip()]))
    return [c for c in found if c[1] in BOOK]


@pytest.mark.parametrize("case", [*cases("atoz.txt"), *cases("extra.txt")], ids=lambda c: f"{c[0][:-4]}-{c[1]}")
def test_book(case: tuple[str, str, tuple[float, ...], list[np.ndarray]]) -> None:
    _file, name, options, arrays = case
    book = BOOK[name]
    assert len(arrays) == len(book.inputs) + len(book.outputs)
    columns = dict(zip(book.inputs, arrays, strict=False))
    params = {
        p: int(o) if p not in ("deviations", "factor", "step", "maximum") else o
        for p, o in zip(book.params, options, strict=False)
    }
    got = outputs(frame(columns, book.in_front), book.key, book.in_front, **params, **book.fixed)
    for output, expected in zip(book.outputs, arrays[len(book.inputs) :], strict=True):
        values = got[output].to_numpy(copy=True)
        padded = np.r_[np.full(values.size - expected.size, np.nan), expected * book.scale]
        padded[: book.from_row] = np.nan
        if book.dies:
            off = np.abs(values - padded)
            off = off[np.isfinite(off)]
            since = np.arange(off.size)
            kept = 1 - 2 / (params["window"] + 1)
            assert off.size >= 3
            assert (off <= off[0] * (1 + since) ** (book.dies - 1) * kept**since + 1e-3).all()
            continue
        assert_rows(values, padded, 1, book.rtol, book.atol)


def test_the_book_covers_most_of_the_catalogue() -> None:
    assert {c[1] for c in [*cases("atoz.txt"), *cases("extra.txt")]} == set(BOOK)
