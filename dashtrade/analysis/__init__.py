"""What the chart says: levels, volume, one signal with its votes, and a risk plan.

The public names are functions; the modules behind them are named differently on purpose.
"""

from __future__ import annotations

from dashtrade.analysis.level_finder import (
    Level,
    VolumeProfile,
    find_levels,
    find_support_resistance,
    levels,
    pivot_points,
    volume_profile,
)
from dashtrade.analysis.risk_plan import RiskPlan, Target, plan_trade, stop_price
from dashtrade.analysis.snapshot import Analysis, analyze
from dashtrade.analysis.technical import TechnicalAnalyzer
from dashtrade.analysis.volume_reading import VolumeReading, read_volume
from dashtrade.analysis.votes import WEIGHTS, Action, Group, SignalReport, Vote, signal

__all__ = [
    "WEIGHTS",
    "Action",
    "Analysis",
    "Group",
    "Level",
    "RiskPlan",
    "SignalReport",
    "Target",
    "TechnicalAnalyzer",
    "VolumeProfile",
    "VolumeReading",
    "Vote",
    "analyze",
    "find_levels",
    "find_support_resistance",
    "levels",
    "pivot_points",
    "plan_trade",
    "read_volume",
    "signal",
    "stop_price",
    "volume_profile",
]
