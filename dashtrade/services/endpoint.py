"""Health and metrics of a process over HTTP, on a port of their own: ``/health``, ``/health/live``, ``/health/ready``,
``/metrics``. Off unless a port is set, and on loopback unless a host is. No label and no answer holds user data.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import structlog
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.platform_collector import PlatformCollector
from prometheus_client.process_collector import ProcessCollector
from sqlalchemy.exc import SQLAlchemyError

from dashtrade import __version__
from dashtrade.db import schema
from dashtrade.db.engine import refused
from dashtrade.db.unit_of_work import UnitOfWork
from dashtrade.errors import ConfigurationError, DashTradeError
from dashtrade.services.listening import port_problem
from dashtrade.services.observation import Observation, observe, problems

log = structlog.get_logger(__name__)

READ_AGAIN_AFTER = 5.0  # however often it is asked, the database is read no more often

#: What processes count themselves, in one registry a process.
REGISTRY = CollectorRegistry()
PAGES_OPEN = Gauge("dashtrade_dashboards_pages_open", "Page kernels that live", registry=REGISTRY)
DASHBOARD_REQUESTS = Counter(
    "dashtrade_dashboards_requests_total", "Requests to the dashboards", ["status"], registry=REGISTRY
)
DASHBOARD_SECONDS = Histogram(
    "dashtrade_dashboards_request_seconds", "Time to answer a request", registry=REGISTRY,
    buckets=(0.01, 0.05, 0.1, 0.25, 0.5, 1, 2, 4, 8, 16),
)  # fmt: skip
JOB_RUNS = Counter("dashtrade_jobs_runs_total", "Runs of jobs by outcome", ["job", "outcome"], registry=REGISTRY)
JOB_SECONDS = Histogram(
    "dashtrade_jobs_run_seconds", "Time a job took", ["job"], registry=REGISTRY, buckets=(0.05, 0.25, 1, 5, 15, 60, 300)
)

#: Field of an observation → name and help of its gauge.
GAUGES = {
    "queue_age": ("dashtrade_queue_age_seconds", "Age of the oldest undecided alert"),
    "alerts_waiting": ("dashtrade_alerts_waiting", "Alerts that wait for a decision"),
    "traders": ("dashtrade_traders", "Traders whose heart beats"),
    "trader_age": ("dashtrade_trader_age_seconds", "Time since a trader's last heartbeat"),
    "stream_age": ("dashtrade_stream_age_seconds", "Time since the broker's stream was last heard"),
    "jobs_waiting": ("dashtrade_jobs_waiting", "Jobs that are due and wait"),
    "jobs_running": ("dashtrade_jobs_running", "Jobs at work"),
    "jobs_failed": ("dashtrade_jobs_failed", "Failed jobs that are kept"),
    "jobs_age": ("dashtrade_jobs_age_seconds", "How long the oldest due job has waited"),
    "workers": ("dashtrade_workers", "Jobs workers whose heart beats"),
    "worker_age": ("dashtrade_worker_age_seconds", "Time since a jobs worker's last heartbeat"),
    "halts": ("dashtrade_halts", "Kill switches that are on"),
}


class Reader:
    """Observations, none more often than every few seconds; ``None`` while the database cannot be read."""

    def __init__(self, uow: Callable[[], UnitOfWork]) -> None:
        self._uow = uow
        self._lock = threading.Lock()
        self._seen: Observation | None = None
        self._read_at = float("-inf")

    def __call__(self) -> Observation | None:
        with self._lock:
            if time.monotonic() - self._read_at >= READ_AGAIN_AFTER:
                try:
                    self._seen = observe(self._uow(), datetime.now(UTC))
                except (DashTradeError, SQLAlchemyError) as error:
                    log.warning("not_observed", kind=type(error).__name__)
                    self._seen = None
                self._read_at = time.monotonic()
            return self._seen


class DatabaseCollector:
    """The observation as gauges."""

    def __init__(self, name: str, reader: Reader) -> None:
        self._name, self._reader = name, reader

    def describe(self) -> list[Metric]:
        return []

    def collect(self) -> Iterator[Metric]:
        info = GaugeMetricFamily("dashtrade_build_info", "Version", labels=["service", "version", "schema"])
        info.add_metric([self._name, __version__, schema.HEAD], 1)
        yield info
        seen = self._reader()
        yield GaugeMetricFamily("dashtrade_database_up", "Whether the database answers", value=seen is not None)
        if seen is None:
            return
        for field, (name, text) in GAUGES.items():
            value = getattr(seen, field)
            yield GaugeMetricFamily(name, text, value=float("nan") if value is None else value)
        orders = GaugeMetricFamily("dashtrade_orders_open", "Open orders by state", labels=["state"])
        for state, count in seen.orders.items():
            orders.add_metric([state], count)
        yield orders


class Endpoint:
    """``start()`` serves in a thread; ``stop()`` ends it. ``alive`` says what is wrong inside this very process."""

    def __init__(
        self,
        name: str,
        uow: Callable[[], UnitOfWork],
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        alive: Callable[[], str | None] = lambda: None,
    ) -> None:
        self.name, self._alive, self._uow, self._reader = name, alive, uow, Reader(uow)
        self._registry = CollectorRegistry()
        for collector in (DatabaseCollector(name, self._reader), REGISTRY):
            self._registry.register(collector)
        ProcessCollector(registry=self._registry)
        PlatformCollector(registry=self._registry)
        try:
            self._server = ThreadingHTTPServer((host, port), self._handler())
        except OSError as error:
            setting = f"DASHTRADE_{name.upper()}_METRICS_PORT"
            raise ConfigurationError(port_problem(error, host, port, setting, "DASHTRADE_METRICS_HOST")) from None
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, name="metrics", daemon=True)
        self.port = int(self._server.server_address[1])

    def start(self) -> Endpoint:
        self._thread.start()
        log.info("metrics_served", port=self.port)
        return self

    def stop(self) -> None:
        if self._thread.is_alive():
            self._server.shutdown()
        self._server.server_close()

    def answer(self, path: str) -> tuple[int, str, bytes]:
        """Status, media type and body."""
        if path == "/metrics":
            return 200, "text/plain; version=0.0.4; charset=utf-8", generate_latest(self._registry)
        if path == "/health/live":
            wrong = self._alive()
            return _json(
                503 if wrong else 200, {"status": "down" if wrong else "ok", "problems": [wrong] if wrong else []}
            )
        if path in ("/health", "/health/ready"):
            wrong, seen = self._alive() or refused(self._uow().engine), self._reader()
            if wrong or seen is None:
                said = wrong or "The database cannot be read."
                return _json(503, {"status": "down", "service": self.name, "problems": [said]})
            if path == "/health/ready":
                return _json(200, {"status": "ok", "service": self.name, "problems": []})
            found = problems(seen)
            body = asdict(seen) | {"at": seen.at.isoformat(), "version": __version__, "service": self.name}
            return _json(200, body | {"status": "degraded" if found else "ok", "problems": found})
        return _json(404, {"status": "error", "message": "Ask for /health, /health/live, /health/ready or /metrics."})

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        endpoint = self

        class Handler(BaseHTTPRequestHandler):
            server_version, sys_version = "DashTrade", ""
            timeout = 5

            def do_GET(self) -> None:
                status, kind, body = endpoint.answer(self.path.partition("?")[0])
                self.send_response(status)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(body)))
                self.send_header("Cache-Control", "no-store")
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: Any) -> None:
                """A request every few seconds is no news."""

        return Handler


def serve(
    name: str, settings: Any, uow: Callable[[], UnitOfWork], alive: Callable[[], str | None] = lambda: None
) -> Endpoint | None:
    """The endpoint of a process, if the settings name a port for it."""
    port = int(getattr(settings, f"{name}_metrics_port"))
    return Endpoint(name, uow, host=settings.metrics_host, port=port, alive=alive).start() if port else None


def _json(status: int, body: dict[str, Any]) -> tuple[int, str, bytes]:
    return status, "application/json", json.dumps(body).encode()
