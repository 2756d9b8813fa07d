"""Measured comparisons, never part of the test run: ``python -m benchmarks [name …]``."""
