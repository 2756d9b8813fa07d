"""The documented class: one method for each thing a chart reader asks."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pandas as pd

from dashtrade.analysis.level_finder import find_support_resistance
from dashtrade.analysis.risk_plan import RiskPlan, plan_trade, stop_price
from dashtrade.analysis.volume_reading import VolumeReading, read_volume
from dashtrade.analysis.votes import SignalReport, signal
from dashtrade.errors import BadBars
from dashtrade.indicators import EMA_RIBBON, indicator
from dashtrade.patterns import candlestick_patterns, chart_patterns


def _table(bars: pd.DataFrame, key: str, **params: Any) -> pd.DataFrame:
    values = indicator(bars, key, **params)
    return values.to_frame(key) if isinstance(values, pd.Series) else values


class TechnicalAnalyzer:
    """Methods over a frame of OHLCV bars; nothing is kept between calls, and the frame given is never changed.

    Column names may be capitalised, as yfinance gives them. The ``calculate_…`` methods give a copy of the bars with
    columns added.
    """

    @staticmethod
    def _bars(df: pd.DataFrame) -> pd.DataFrame:
        if not isinstance(df, pd.DataFrame):
            raise BadBars(f"Bars are a DataFrame with open, high, low, close, volume, not {type(df).__name__}.")
        names = {c: str(c).lower() for c in df.columns if str(c).lower() in ("open", "high", "low", "close", "volume")}
        return df.rename(columns=names)

    def calculate_emas(self, df: pd.DataFrame, periods: Iterable[int] = EMA_RIBBON) -> pd.DataFrame:
        """Adds ``ema_9``, ``ema_20`` … for the lengths given."""
        bars = self._bars(df)
        added = bars.copy()
        for n in periods:
            added[f"ema_{n}"] = indicator(bars, "ema", window=n)
        return added

    def calculate_ma_cloud(self, df: pd.DataFrame, fast: int = 4, slow: int = 20, window: int = 20) -> pd.DataFrame:
        """Adds ``ema_4``, ``ema_20``, ``sma_20`` and ``cloud``: 1 while the fast line is above both, −1 below both, 0
        between, NaN during warm-up."""
        bars = self._bars(df)
        lines = _table(bars, "ma_cloud", fast=fast, slow=slow, window=window)
        upper, lower = lines[["ema_slow", "sma"]].max(axis=1), lines[["ema_slow", "sma"]].min(axis=1)
        cloud = (lines["ema_fast"] > upper).astype(float) - (lines["ema_fast"] < lower).astype(float)
        return bars.assign(
            **{f"ema_{fast}": lines["ema_fast"], f"ema_{slow}": lines["ema_slow"], f"sma_{window}": lines["sma"]},
            cloud=cloud.where(lines.notna().all(axis=1)),
        )

    def calculate_vwap(self, df: pd.DataFrame, anchor: str = "auto", deviations: float = 1.0) -> pd.DataFrame:
        """Adds ``vwap``, ``vwap_upper`` and ``vwap_lower``, begun anew at each anchor."""
        bars = self._bars(df)
        lines = _table(bars, "vwap", anchor=anchor, deviations=deviations)
        return bars.assign(vwap=lines["vwap"], vwap_upper=lines["upper"], vwap_lower=lines["lower"])

    def calculate_qqe(self, df: pd.DataFrame, window: int = 14, smooth: int = 5, factor: float = 4.238) -> pd.DataFrame:
        """Adds ``qqe``, ``qqe_signal`` and ``qqe_direction``."""
        bars = self._bars(df)
        lines = _table(bars, "qqe", window=window, smooth=smooth, factor=factor)
        return bars.assign(qqe=lines["qqe"], qqe_signal=lines["signal"], qqe_direction=lines["direction"])

    def detect_candlestick_patterns(self, df: pd.DataFrame, patterns: Iterable[str] | None = None) -> pd.DataFrame:
        """One row for each candlestick pattern; see ``candlestick_patterns``."""
        return candlestick_patterns(self._bars(df), patterns)

    def detect_chart_patterns(self, df: pd.DataFrame, factor: float = 3.0) -> pd.DataFrame:
        """One row for each chart pattern and its life; see ``chart_patterns``."""
        return chart_patterns(self._bars(df), factor)

    def find_support_resistance(self, df: pd.DataFrame, lookback: int = 50) -> dict[str, list[float]]:
        """``{"support": [...], "resistance": [...]}``, prices sorted by distance from the last close."""
        return find_support_resistance(self._bars(df), lookback)

    def analyze_volume(self, df: pd.DataFrame, window: int = 20) -> VolumeReading | None:
        """Trend, shape, breakout volume, climax and dry-up."""
        return read_volume(self._bars(df), window)

    def calculate_risk_metrics(
        self,
        df: pd.DataFrame,
        balance: float = 10_000.0,
        risk_percent: float = 1.0,
        side: int | str = "long",
        method: str = "atr",
        buying_power: float | None = None,
    ) -> RiskPlan:
        """Stop, targets and share size for an entry at the last close."""
        bars = self._bars(df)
        stop, reason = stop_price(bars, side, method)
        entry = float(bars["close"].dropna().iloc[-1])
        return plan_trade(entry, stop, balance, risk_percent, side, (), buying_power, reason)

    def generate_signals(self, df: pd.DataFrame) -> SignalReport:
        """BUY, SELL or HOLD with its votes."""
        return signal(self._bars(df))
