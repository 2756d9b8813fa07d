"""What the chart says: levels, volume, one signal with its votes, and a risk plan.

The public names are functions; the modules behind them are named differently on purpose.
"""

from __future__ import annotations

from dashtrade.analysis.votes import Action, Group, SignalReport, Vote, signal

__all__ = ["Action", "Group", "SignalReport", "Vote", "signal"]
