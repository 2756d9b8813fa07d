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
    """Methods over a frame of OHLCV bars, given to each call or once: ``TechnicalAnalyzer(df).calculate_emas()``.

    Nothing else is kept between calls, and the frame given is never changed. Column names may be capitalised, as
    yfinance gives them. The ``calculate_…`` methods that add columns give a copy of the bars. BadBars for missing bars.
    """

    def __init__(self, df: pd.DataFrame | None = None) -> None:
        self.df = None if df is None else self._named(df)

    @staticmethod
    def _named(df: pd.DataFrame) -> pd.DataFrame:
        if not isinstance(df, pd.DataFrame):
            raise BadBars(f"Bars are a DataFrame with open, high, low, close, volume, not {type(df).__name__}.")
        names = {c: str(c).lower() for c in df.columns if str(c).lower() in ("open", "high", "low", "close", "volume")}
        return df.rename(columns=names)

    def _bars(self, df: pd.DataFrame | None) -> pd.DataFrame:
        if df is not None:
            return self._named(df)
        if self.df is None:
            raise BadBars("There are no bars: give a frame to the method or to TechnicalAnalyzer.")
        return self.df

    def calculate_emas(self, df: pd.DataFrame | None = None, periods: Iterable[int] = EMA_RIBBON) -> pd.DataFrame:
        """Adds ``ema_9``, ``ema_20`` … for the lengths given."""
        bars = self._bars(df)
        added = bars.copy()
        for n in periods:
            added[f"ema_{n}"] = indicator(bars, "ema", window=n)
        return added

    def calculate_ma_cloud(
        self, df: pd.DataFrame | None = None, fast: int = 4, slow: int = 20, window: int = 20
    ) -> pd.DataFrame:
        """Adds ``ema_4``, ``ema_20``, ``sma_20``, by their lengths (also as ``ma_cloud_short``, ``ma_cloud_long``,
        ``ma_cloud_sma``), ``cloud``: 1 while the fast line is above both, −1 below both, 0 between, NaN during warm-up,
        and ``ma_cloud_trend``: the same as bullish, bearish, neutral, unknown."""
        bars = self._bars(df)
        lines = _table(bars, "ma_cloud", fast=fast, slow=slow, window=window)
        upper, lower = lines[["ema_slow", "sma"]].max(axis=1), lines[["ema_slow", "sma"]].min(axis=1)
        cloud = (lines["ema_fast"] > upper).astype(float) - (lines["ema_fast"] < lower).astype(float)
        cloud = cloud.where(lines.notna().all(axis=1))
        named = {f"ema_{fast}": lines["ema_fast"], f"ema_{slow}": lines["ema_slow"], f"sma_{window}": lines["sma"]}
        return bars.assign(
            **named,
            ma_cloud_short=lines["ema_fast"],
            ma_cloud_long=lines["ema_slow"],
            ma_cloud_sma=lines["sma"],
            cloud=cloud,
            ma_cloud_trend=cloud.map({1.0: "bullish", -1.0: "bearish", 0.0: "neutral"}).fillna("unknown"),
        )

    def calculate_vwap(
        self, df: pd.DataFrame | None = None, anchor: str = "auto", deviations: float = 1.0
    ) -> pd.DataFrame:
        """Adds ``vwap``, ``vwap_upper`` and ``vwap_lower``, begun anew at each anchor, the volume-weighted deviation
        ``vwap_std``, and the bands at 1, 2 and 3 of it: ``vwap_upper_1`` … ``vwap_lower_3``. ``anchor`` may also be
        daily, weekly or monthly."""
        bars = self._bars(df)
        anchor = {"daily": "session", "weekly": "week", "monthly": "month"}.get(anchor, anchor)
        lines = _table(bars, "vwap", anchor=anchor, deviations=deviations)
        std = (lines["upper"] - lines["vwap"]) / deviations
        bands = {
            f"vwap_{side}_{n}": lines["vwap"] + way * n * std
            for n in (1, 2, 3)
            for side, way in (("upper", 1), ("lower", -1))
        }
        return bars.assign(
            vwap=lines["vwap"], vwap_upper=lines["upper"], vwap_lower=lines["lower"], vwap_std=std, **bands
        )

    def calculate_qqe(
        self, df: pd.DataFrame | None = None, window: int = 14, smooth: int = 5, factor: float = 4.238
    ) -> pd.DataFrame:
        """Adds ``qqe``, ``qqe_signal`` and ``qqe_direction`` (also as ``qqe_trend``), and where the direction changes:
        ``qqe_long`` (to 1) and ``qqe_short`` (to −1)."""
        bars = self._bars(df)
        lines = _table(bars, "qqe", window=window, smooth=smooth, factor=factor)
        turn = lines["direction"] - lines["direction"].ffill().shift()  # bars with gaps have no direction
        return bars.assign(
            qqe=lines["qqe"],
            qqe_signal=lines["signal"],
            qqe_direction=lines["direction"],
            qqe_trend=lines["direction"],
            qqe_long=turn > 0,
            qqe_short=turn < 0,
        )

    def calculate_rsi(self, period: int = 14, df: pd.DataFrame | None = None) -> pd.Series:
        """Wilder's relative strength index of the closes."""
        return _table(self._bars(df), "rsi", window=period)["rsi"]

    def calculate_atr(self, period: int = 14, df: pd.DataFrame | None = None) -> pd.Series:
        """Wilder's average true range."""
        return _table(self._bars(df), "atr", window=period)["atr"]

    def get_signal_history(self, df: pd.DataFrame | None = None) -> list[dict[str, Any]]:
        """Each change of QQE's direction: ``timestamp``, ``type`` (LONG, SHORT), ``price``, ``indicator`` and
        ``strength``: strong when the averages' cloud agrees, else normal."""
        table = self.calculate_qqe(df).assign(cloud=self.calculate_ma_cloud(df)["cloud"])
        turns = table[table["qqe_long"] | table["qqe_short"]]
        return [
            {
                "timestamp": time,
                "type": "LONG" if way > 0 else "SHORT",
                "price": float(price),
                "indicator": "QQE",
                "strength": "strong" if cloud == way else "normal",
            }
            for time, way, price, cloud in zip(
                turns.index, turns["qqe_trend"], turns["close"], turns["cloud"], strict=True
            )
        ]

    def count_signals_by_period(self, hours_back: int = 24, df: pd.DataFrame | None = None) -> dict[str, Any]:
        """``long_count``, ``short_count``, ``total_signals`` and ``signals`` of the last hours before the last bar, and
        the ``latest_signal`` of all."""
        bars = self._bars(df)
        every = self.get_signal_history(df)
        recent = [s for s in every if s["timestamp"] >= bars.index[-1] - pd.Timedelta(hours=hours_back)]
        longs = sum(s["type"] == "LONG" for s in recent)
        return {
            "long_count": longs,
            "short_count": len(recent) - longs,
            "signals": recent,
            "latest_signal": every[-1] if every else None,
            "total_signals": len(recent),
        }

    def detect_candlestick_patterns(
        self, df: pd.DataFrame | None = None, patterns: Iterable[str] | None = None
    ) -> pd.DataFrame:
        """One row for each candlestick pattern; see ``candlestick_patterns``."""
        return candlestick_patterns(self._bars(df), patterns)

    def detect_chart_patterns(self, df: pd.DataFrame | None = None, factor: float = 3.0) -> pd.DataFrame:
        """One row for each chart pattern and its life; see ``chart_patterns``."""
        return chart_patterns(self._bars(df), factor)

    def find_support_resistance(self, df: pd.DataFrame | None = None, lookback: int = 50) -> dict[str, list[float]]:
        """``{"support": [...], "resistance": [...]}``, prices sorted by distance from the last close."""
        return find_support_resistance(self._bars(df), lookback)

    def analyze_volume(self, df: pd.DataFrame | None = None, window: int = 20) -> VolumeReading | None:
        """Trend, shape, breakout volume, climax and dry-up."""
        return read_volume(self._bars(df), window)

    def calculate_risk_metrics(
        self,
        df: pd.DataFrame | None = None,
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

    def generate_signals(self, df: pd.DataFrame | None = None) -> SignalReport:
        """BUY, SELL or HOLD with its votes."""
        return signal(self._bars(df))

    def run_complete_analysis(self, df: pd.DataFrame | None = None) -> dict[str, Any]:
        """Everything: ``dataframe`` (bars with the columns above), ``chart_patterns``, ``candlestick_patterns``,
        ``support_levels``, ``resistance_levels``, ``signals``, ``latest_price``, ``trend`` and ``volume_trend``."""
        bars = self._bars(df)
        table = self.calculate_emas(bars)
        for added in (self.calculate_ma_cloud(bars), self.calculate_qqe(bars), self.calculate_vwap(bars)):
            table = table.assign(**{c: added[c] for c in added.columns if c not in table.columns})
        found = find_support_resistance(bars)
        volume = read_volume(bars)
        report = signal(bars)
        return {
            "dataframe": table,
            "chart_patterns": chart_patterns(bars),
            "candlestick_patterns": candlestick_patterns(bars),
            "support_levels": found["support"],
            "resistance_levels": found["resistance"],
            "signals": report,
            "latest_price": report.price,
            "trend": str(table["ma_cloud_trend"].iloc[-1]),
            "volume_trend": "unknown" if volume is None else volume.trend,
        }
