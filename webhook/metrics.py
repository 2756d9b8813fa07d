"""Counters for GET /metrics, in a registry of their own, so that two applications in one process do not meet."""

from __future__ import annotations

from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

_BUCKETS = (0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 3.0)


class Metrics:
    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        prefix = "dashtrade_webhook"
        self.requests = Counter(
            f"{prefix}_requests_total", "Requests by route and status", ["route", "status"], registry=self._registry
        )
        self.stored = Histogram(
            f"{prefix}_stored_seconds", "Time until an alert was committed", buckets=_BUCKETS, registry=self._registry
        )
        self.answered = Histogram(
            f"{prefix}_answered_seconds", "Time until the answer", buckets=_BUCKETS, registry=self._registry
        )
        self._gauges = {
            name: Gauge(f"{prefix}_{name}", text, registry=self._registry)
            for name, text in (
                ("queue_age_seconds", "Age of the oldest undecided alert"),
                ("trader_age_seconds", "Time since a trader's last heartbeat"),
                ("stream_age_seconds", "Time since the broker's stream was last heard"),
            )
        }

    def show(self, report: dict[str, Any]) -> None:
        """Take ages from a health report; one that is not known becomes NaN."""
        for name, gauge in self._gauges.items():
            value = report.get(name)
            gauge.set(float("nan") if value is None else value)

    def text(self) -> bytes:
        return generate_latest(self._registry)
