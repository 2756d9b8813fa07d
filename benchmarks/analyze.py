"""The whole reading, each indicator, and pivots, against TA-Lib and a single pass over the same arrays.

Values are compared before anything is timed. Times are medians of CPU time (everything here runs on one thread), so
that other work on the machine does not count.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import talib
from numba import njit
from talib import abstract

from dashtrade.analysis import analyze
from dashtrade.indicators import REGISTRY, Columns, compute
from dashtrade.patterns import ChartScanner
from dashtrade.patterns.pivots import PricesOf, Zigzag

# TA-Lib's own call for the same numbers (o, h, l, c, v are arrays)
PEERS: dict[str, Callable[..., Any]] = {
    "sma": lambda o, h, lo, c, v: talib.SMA(c, 20),
    "ema": lambda o, h, lo, c, v: talib.EMA(c, 20),
    "rma": lambda o, h, lo, c, v: talib.RMA(c, 14),
    "wma": lambda o, h, lo, c, v: talib.WMA(c, 20),
    "hma": lambda o, h, lo, c, v: talib.HMA(c, 20),
    "dema": lambda o, h, lo, c, v: talib.DEMA(c, 20),
    "tema": lambda o, h, lo, c, v: talib.TEMA(c, 20),
    "trima": lambda o, h, lo, c, v: talib.TRIMA(c, 20),
    "zlema": lambda o, h, lo, c, v: talib.ZLEMA(c, 20),
    "kama": lambda o, h, lo, c, v: talib.KAMA(c, 10),
    "t3": lambda o, h, lo, c, v: talib.T3(c, 5, 0.7),
    "vwma": lambda o, h, lo, c, v: talib.VWMA(c, v, 20),
    "macd": lambda o, h, lo, c, v: talib.MACD(c, 12, 26, 9),
    "adx": lambda o, h, lo, c, v: (talib.ADX(h, lo, c, 14), talib.PLUS_DI(h, lo, c, 14), talib.MINUS_DI(h, lo, c, 14)),
    "trix": lambda o, h, lo, c, v: talib.TRIX(c, 15),
    "dpo": lambda o, h, lo, c, v: talib.DPO(c, 20),
    "psar": lambda o, h, lo, c, v: talib.SAR(h, lo, 0.02, 0.2),
    "supertrend": lambda o, h, lo, c, v: talib.SUPERTREND(h, lo, c, 10, 3.0)[0],
    "vortex": lambda o, h, lo, c, v: talib.VORTEX(h, lo, c, 14),
    "mass_index": lambda o, h, lo, c, v: talib.MASSI(h, lo, 9, 25),
    "vhf": lambda o, h, lo, c, v: talib.VHF(c, 28),
    "rsi": lambda o, h, lo, c, v: talib.RSI(c, 14),
    "stochastic": lambda o, h, lo, c, v: talib.STOCH(h, lo, c, 14, 1, talib.MA_Type.SMA, 3, talib.MA_Type.SMA),
    "cci": lambda o, h, lo, c, v: talib.CCI(h, lo, c, 20),
    "roc": lambda o, h, lo, c, v: talib.ROC(c, 12),
    "momentum": lambda o, h, lo, c, v: talib.MOM(c, 10),
    "williams_r": lambda o, h, lo, c, v: talib.WILLR(h, lo, c, 14),
    "tsi": lambda o, h, lo, c, v: talib.TSI(c, 25, 13),
    "ultimate": lambda o, h, lo, c, v: talib.ULTOSC(h, lo, c, 7, 14, 28),
    "awesome": lambda o, h, lo, c, v: talib.AO(h, lo, 5, 34),
    "accelerator": lambda o, h, lo, c, v: talib.AC(h, lo, 5, 34, 5),
    "cmo": lambda o, h, lo, c, v: talib.CMOU(c, 14),
    "coppock": lambda o, h, lo, c, v: talib.COPPOCK(c, 10, 11, 14),
    "elder_ray": lambda o, h, lo, c, v: talib.ERI(h, lo, c, 13),
    "atr": lambda o, h, lo, c, v: talib.ATR(h, lo, c, 14),
    "natr": lambda o, h, lo, c, v: talib.NATR(h, lo, c, 14),
    "true_range": lambda o, h, lo, c, v: talib.TRANGE(h, lo, c),
    "stddev": lambda o, h, lo, c, v: talib.STDDEV(c, 20, 1.0),
    "chaikin_volatility": lambda o, h, lo, c, v: talib.CVI(h, lo, 10, 10),
    "ad": lambda o, h, lo, c, v: talib.AD(h, lo, c, v),
    "adosc": lambda o, h, lo, c, v: talib.ADOSC(h, lo, c, v, 3, 10),
    "cmf": lambda o, h, lo, c, v: talib.CMF(h, lo, c, v, 20),
    "mfi": lambda o, h, lo, c, v: talib.MFI(h, lo, c, v, 14),
    "force": lambda o, h, lo, c, v: talib.EFI(c, v, 13),
    "obv": lambda o, h, lo, c, v: talib.OBV(c, v) - v[0],
    "nvi": lambda o, h, lo, c, v: talib.NVI(c, v),
    "pvi": lambda o, h, lo, c, v: talib.PVI(c, v),
    "vpt": lambda o, h, lo, c, v: talib.PVT(c, v),
    "relative_volume": lambda o, h, lo, c, v: talib.RVOL(v, 20),
}


def bars_of(n: int, volatility: float = 0.01, freq: str = "D") -> pd.DataFrame:
    rng = np.random.default_rng(0)
    close = 100 * np.exp(np.cumsum(rng.normal(0, volatility, n)))
    open_ = np.r_[100.0, close[:-1]]
    high = np.maximum(open_, close) * (1 + np.abs(rng.normal(0, volatility / 2, n)))
    low = np.minimum(open_, close) * (1 - np.abs(rng.normal(0, volatility / 2, n)))
    index = pd.date_range("2000-01-01", periods=n, freq=freq, tz="UTC", name="time")
    volume = np.round(rng.lognormal(12, 0.5, n))
    return pd.DataFrame({"open": open_, "high": high, "low": low, "close": close, "volume": volume}, index=index)


def median(call: Callable[[], Any], runs: int = 9) -> float:
    """Milliseconds."""
    call()
    times = []
    for _ in range(runs):
        start = time.thread_time()
        call()
        times.append(time.thread_time() - start)
    return 1e3 * statistics.median(times)


def everything_of_talib(bars: pd.DataFrame) -> Callable[[], None]:
    """All of TA-Lib's functions (its candlestick patterns are among them), called directly on arrays."""
    arrays = {c: np.ascontiguousarray(bars[c].to_numpy()) for c in bars} | {"periods": np.full(len(bars), 5.0)}
    calls = []
    for name in talib.get_functions():
        inputs: list[np.ndarray] = []
        for names in abstract.Function(name).info["input_names"].values():
            inputs += [arrays[n] for n in ([names] if isinstance(names, str) else names)]
        calls.append((getattr(talib, name), inputs))

    def run() -> None:
        for function, inputs in calls:
            function(*inputs)

    return run


@njit
def one_pass(high: np.ndarray, low: np.ndarray, close: np.ndarray) -> float:
    """One read of the arrays, with the true range as its work."""
    total = 0.0
    before = close[0]
    for i in range(close.size):
        total += max(high[i], before) - min(low[i], before)
        before = close[i]
    return total


def whole_reading() -> None:
    bars = bars_of(2_500)
    ours, theirs = median(lambda: analyze(bars)), median(everything_of_talib(bars))
    print(
        f"analyze, 2,500 bars           {ours:8.2f} ms  {ours / theirs:5.2f}x all of TA-Lib ({theirs:.2f} ms), goal 3"
    )
    small, large = bars_of(50_000, 0.0005, "min"), bars_of(500_000, 0.0005, "min")
    a, b = median(lambda: analyze(small), 3) / 50_000, median(lambda: analyze(large), 3) / 500_000
    print(f"analyze, per bar              {1e3 * b:8.3f} us  {b / a:5.2f}x of 500,000 against 50,000 bars, goal 1.3")


def each_indicator() -> None:
    bars = bars_of(100_000)
    columns = Columns(bars)
    arrays = [np.ascontiguousarray(bars[c].to_numpy()) for c in ("open", "high", "low", "close", "volume")]
    slow = []
    over = []
    ratios = []
    for key, entry in REGISTRY.items():

        def ours(entry: Any = entry) -> Any:
            return compute(entry, columns, entry.defaults)

        took = median(ours)
        if took > 50:
            slow.append(f"{key} {took:.0f} ms")
        peer = PEERS.get(key)
        if peer is not None:
            expected = peer(*arrays)
            listed = expected if isinstance(expected, tuple) else (expected,)
            for got, want in zip(ours(), listed, strict=False):
                known = ~np.isnan(got)
                np.testing.assert_allclose(got[known], want[known], rtol=1e-12, atol=1e-12)
            ratios.append(took / median(lambda p=peer: p(*arrays)))
            if ratios[-1] > 2:
                over.append(f"{key} {ratios[-1]:.2f}x")
    print(f"indicators over 50 ms on 100,000 bars: {', '.join(slow) or 'none'}")
    print(
        f"indicators with a TA-Lib twin: {len(ratios)}, median {statistics.median(ratios):.2f}x, "
        f"over 2x: {', '.join(over) or 'none'}"
    )


def pivots_and_patterns() -> None:
    bars = bars_of(1_000_000, 0.0005, "min")
    prices = PricesOf.of(bars)
    read = median(lambda: one_pass(prices.high, prices.low, prices.close))
    took = median(lambda: Zigzag(3.0).update(prices))
    print(f"pivots of 1,000,000 bars      {took:8.2f} ms  {took / read:5.2f}x one pass ({read:.2f} ms), goal 3")
    took = median(lambda: ChartScanner().follow(bars), 5)
    print(f"pivots and patterns of 1 M    {took:8.2f} ms  {took / read:5.2f}x one pass, goal 5 and 10 ms")
    part = bars.iloc[:5_001]
    full = median(lambda: ChartScanner().update(part))
    scanner = ChartScanner()
    scanner.follow(bars.iloc[:4_000])
    steps = []
    for n in range(4_001, 5_002):
        piece = bars.iloc[:n]
        start = time.thread_time()
        scanner.update(piece)
        steps.append(time.thread_time() - start)
    one = 1e3 * statistics.median(steps)
    print(f"one bar appended to 5,000     {one:8.3f} ms  {one / full:5.1%} of all at once ({full:.2f} ms), goal 10 %")


def main() -> None:
    whole_reading()
    each_indicator()
    pivots_and_patterns()


if __name__ == "__main__":
    main()
