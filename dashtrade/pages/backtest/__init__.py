"""Backtests: what a strategy would have earned."""
