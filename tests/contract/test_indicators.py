"""What every entry of the catalogue promises; the list is the registry itself."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import dashtrade
from dashtrade.errors import BadBars, InvalidInput, UnknownOption
from dashtrade.indicators import REGISTRY, Columns, Indicator, compute, indicator, indicators

ENTRIES = list(REGISTRY.values())
each = pytest.mark.parametrize("entry", ENTRIES, ids=lambda e: e.key)


def walk(n: int = 420, seed: int = 11, freq: str = "D") -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    close = 100 * np.exp(np.cumsum(rng.normal(0, 0.012, n)))
    open_ = np.r_[100.0, close[:-1]] * np.exp(rng.normal(0, 0.004, n))
    high = np.maximum(open_, close) * (1 + rng.uniform(0, 0.01, n))
    low = np.minimum(open_, close) * (1 - rng.uniform(0, 0.01, n))
    index = pd.date_range("2021-03-01", periods=n, freq=freq, tz="UTC", name="time")
    volume = np.round(rng.lognormal(13, 0.6, n))
    return pd.DataFrame({"open": open_, "high": high, "low": low, "close": close, "volume": volume}, index=index)


BARS = walk()


def table(bars: pd.DataFrame, key: str, **params: Any) -> pd.DataFrame:
    values = indicator(bars, key, **params)
    return values.to_frame(key) if isinstance(values, pd.Series) else values


def other_params(entry: Indicator) -> dict[str, Any]:
    """Other allowed values than the defaults: whole numbers one higher, others a tenth higher."""
    out: dict[str, Any] = {}
    for p in entry.params:
        if p.kind == "choice":
            out[p.name] = "week"
        elif p.kind == "int":
            out[p.name] = min(int(p.default) + 1, int(p.high))
        else:
            out[p.name] = min(float(p.default) * 1.1, p.high)
    return out


def test_the_catalogue_is_large_and_complete() -> None:
    listed = indicators()
    assert len(ENTRIES) >= 60
    assert list(listed.index) == list(REGISTRY)
    assert listed.notna().all().all()
    assert listed["formula"].str.len().min() > 5
    wanted = (
        "sma ema wma hma dema tema kama rsi atr cci williams_r roc mfi obv ultimate cmf adx macd bollinger donchian "
        "keltner psar vortex awesome bop force chandelier supertrend ichimoku stochastic stoch_rsi qqe vwap"
    )
    assert set(wanted.split()) <= set(REGISTRY)
    assert len(dashtrade.indicators()) == len(listed)  # the subpackage of that name can be called as well


@each
def test_index_type_and_columns(entry: Indicator) -> None:
    values = indicator(BARS, entry.key)
    assert values.index is BARS.index or values.index.equals(BARS.index)
    if len(entry.outputs) == 1:
        assert isinstance(values, pd.Series)
        assert values.dtype == np.float64
    else:
        assert isinstance(values, pd.DataFrame)
        assert tuple(values.columns) == entry.outputs
        assert (values.dtypes == np.float64).all()


@each
@pytest.mark.parametrize("defaults", [True, False], ids=["defaults", "others"])
def test_warm_up_is_exactly_as_declared(entry: Indicator, defaults: bool) -> None:
    params = {} if defaults else other_params(entry)
    got = table(BARS, entry.key, **params)
    for column, leading in zip(got, entry.leading(**params), strict=True):
        values = got[column].to_numpy()
        assert np.isnan(values[:leading]).all()
        assert np.isfinite(values[leading:]).all()


@each
def test_no_look_ahead(entry: Indicator) -> None:
    """Cutting later bars off changes no value, not by one bit."""
    whole = table(BARS, entry.key)
    for cut in (2, 37, 150, 301, len(BARS) - 1):
        pd.testing.assert_frame_equal(
            table(BARS.iloc[:cut], entry.key), whole.iloc[:cut], check_exact=True, check_freq=False
        )


@each
def test_inputs_are_not_changed(entry: Indicator) -> None:
    before = BARS.copy(deep=True)
    indicator(BARS, entry.key)
    pd.testing.assert_frame_equal(BARS, before)


@each
@pytest.mark.parametrize("price", [100.0, 100.1, 3e-7, 60_123.45])
def test_constant_prices(entry: Indicator, price: float) -> None:
    """NaN where the formula is 0/0; elsewhere a finite value, and the price itself for lines drawn over prices."""
    bars = BARS.assign(**dict.fromkeys(("open", "high", "low", "close"), price))
    got = table(bars, entry.key)
    if entry.flat_nan:
        assert got.isna().all().all()
        return
    for column, leading in zip(got, entry.leading(), strict=True):
        values = got[column].to_numpy()[leading:]
        if column == "percent":  # the place within a band without width
            assert np.isnan(values).all()
            continue
        assert np.isfinite(values).all()
        if entry.panel.overlay and column not in entry.off_price:
            np.testing.assert_allclose(values, price, rtol=1e-9)


@each
def test_all_zero_volume_gives_no_infinity(entry: Indicator) -> None:
    got = table(BARS.assign(volume=0.0), entry.key).to_numpy()
    assert not np.isinf(got).any()


@each
def test_gaps_are_skipped_as_if_the_exchange_had_been_shut(entry: Indicator) -> None:
    bars = BARS.copy()
    rng = np.random.default_rng(5)
    for column in ("open", "high", "low", "close", "volume"):
        bars.iloc[rng.choice(len(bars), 3, replace=False), bars.columns.get_loc(column)] = np.nan
    bars.iloc[200, bars.columns.get_loc("close")] = np.inf
    got = table(bars, entry.key)
    used = [c for c in entry.inputs if c != "time"]
    complete = np.isfinite(bars[used]).all(axis=1).to_numpy()
    assert got[~complete].isna().all().all()
    pd.testing.assert_frame_equal(got[complete], table(bars[complete], entry.key), check_exact=True, check_freq=False)


@each
def test_too_short_input_is_all_nan(entry: Indicator) -> None:
    for n in {0, 1, 2, min(entry.leading()), max(entry.leading())}:
        got = table(BARS.iloc[:n], entry.key)
        assert len(got) == n
        for column, leading in zip(got, entry.leading(), strict=True):
            assert got[column].iloc[:leading].isna().all()
            assert got[column].iloc[leading:].notna().all()


@each
def test_wrong_parameters_name_the_range(entry: Indicator) -> None:
    for p in entry.params:
        wrong: list[Any] = [None, [], True, math.nan, math.inf, -math.inf]
        if p.kind == "choice":
            wrong = [None, 3, []]
        else:
            wrong += [p.low - 1, p.high + 1, "many"]
        if p.kind == "int":
            wrong.append(float(p.default) + 0.5)
        for value in wrong:
            with pytest.raises(InvalidInput) as caught:
                indicator(BARS, entry.key, **{p.name: value})
            assert caught.value.field == f"{entry.key}.{p.name}"
            assert p.range_text in str(caught.value)
    with pytest.raises(InvalidInput, match="not a parameter"):
        indicator(BARS, entry.key, windw=3)


@each
def test_smallest_and_large_parameters_work(entry: Indicator) -> None:
    for pick in ("low", "large"):
        params: dict[str, Any] = {}
        for p in entry.params:
            if p.kind != "choice":
                value = p.low if pick == "low" else min(p.high, float(p.default) * 7 + 3)
                params[p.name] = int(value) if p.kind == "int" else float(value)
        if entry.rule and entry.rule(**entry.checked_without_rule(params)):
            with pytest.raises(InvalidInput, match="must"):
                indicator(BARS, entry.key, **params)
            continue
        got = table(BARS, entry.key, **params)
        for column, leading in zip(got, entry.leading(**params), strict=True):
            assert got[column].iloc[:leading].isna().all(), (entry.key, pick)
            assert not np.isinf(got[column]).any()


@each
def test_a_missing_column_is_named(entry: Indicator) -> None:
    for name in entry.inputs:
        if name == "time":
            with pytest.raises(BadBars, match="time"):
                indicator(BARS.reset_index(drop=True), entry.key)
        else:
            with pytest.raises(BadBars, match=name):
                indicator(BARS.drop(columns=name), entry.key)


@each
def test_the_quick_path_for_sweeps_gives_the_same(entry: Indicator) -> None:
    columns = Columns(BARS)
    quick = entry.arrays({name: columns[name] for name in entry.inputs})
    for got, expected in zip(quick, compute(entry, columns, entry.defaults), strict=True):
        np.testing.assert_array_equal(got, expected)


def test_bars_out_of_order_are_refused() -> None:
    """Newest first, an average would look ahead."""
    with pytest.raises(BadBars, match="oldest first"):
        indicator(BARS.iloc[::-1], "sma")


def test_unknown_key_lists_the_catalogue() -> None:
    with pytest.raises(UnknownOption, match="rsi"):
        indicator(BARS, "rsl")


def test_whole_numbers_as_floats_are_taken() -> None:
    pd.testing.assert_series_equal(indicator(BARS, "sma", window=10.0), indicator(BARS, "sma", window=10))


def test_columns_of_other_types() -> None:
    whole = (BARS * 100).round()
    for dtype in ("int64", "float32", "Int64", "Float64"):
        bars = whole.astype(dtype)
        expected = indicator(bars.astype("float64"), "adx")
        pd.testing.assert_frame_equal(indicator(bars, "adx"), expected)
    with pytest.raises(BadBars, match="not a number"):
        indicator(BARS.astype({"close": object}).assign(close="high"), "sma")


def test_real_bars_with_holes() -> None:
    path = Path(__file__).resolve().parents[2].parent / "shared" / "data" / "daily" / "dow31_2006_2017.csv.gz"
    if not path.is_file():
        pytest.skip("recorded data not here")
    rows = pd.read_csv(path, parse_dates=["date"])
    for _symbol, part in rows[rows.isna().any(axis=1).groupby(rows["symbol"]).transform("any")].groupby("symbol"):
        bars = part.set_index("date").tz_localize("UTC").drop(columns="symbol")
        holes = int(bars.isna().any(axis=1).sum())
        lost = indicator(bars, "atr").isna().sum() - 14
        assert 0 < lost <= holes
        return
    pytest.fail("the recorded data has no holes")
