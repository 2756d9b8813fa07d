"""Strategies: rules of one's own, built in rows or text, tried on a chart, saved with versions."""
