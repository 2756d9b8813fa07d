"""Health and metrics of a process over HTTP on a real database, and `dashtrade status`."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import urllib.error
import urllib.request
from datetime import UTC, datetime, timedelta

import pytest
from installation_rows import fill
from prometheus_client.parser import text_string_to_metric_families
from sqlalchemy import text

from dashtrade.db import schema
from dashtrade.db.embedded import free_port
from dashtrade.db.engine import make_engine
from dashtrade.db.unit_of_work import UnitOfWork
from dashtrade.errors import ConfigurationError, DatabaseUnavailable
from dashtrade.services import endpoint as endpoints
from dashtrade.services.endpoint import Endpoint, serve
from dashtrade.services.observation import observe, problems
from dashtrade.settings import Settings


def get(port: int, path: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=10) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


@pytest.fixture
def endpoint(uow_factory):
    made = Endpoint("trader", uow_factory).start()
    yield made
    made.stop()


def samples(port: int) -> dict[tuple, float]:
    status, body = get(port, "/metrics")
    assert status == 200
    return {
        (sample.name, *sorted(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(body)
        for sample in family.samples
    }


def test_what_waits_is_seen_and_no_user_data(engine, endpoint):
    fill(engine, schema.HEAD)
    with engine.begin() as connection:
        connection.execute(text("UPDATE alert_inbox SET received_at = now() - interval '2 minutes'"))
        connection.execute(text("UPDATE trader_heartbeats SET beat_at = now(), stream_at = now() - interval '40 s'"))
    found = samples(endpoint.port)
    assert found[("dashtrade_database_up",)] == 1
    assert found[("dashtrade_alerts_waiting",)] == 1 and 119 < found[("dashtrade_queue_age_seconds",)] < 180
    assert found[("dashtrade_traders",)] == 1 and found[("dashtrade_trader_age_seconds",)] < 30
    assert 39 < found[("dashtrade_stream_age_seconds",)] < 90
    assert found[("dashtrade_orders_open", ("state", "resting"))] == 1
    assert found[("dashtrade_halts",)] == 1 and found[("dashtrade_workers",)] == 0
    assert ("dashtrade_build_info", ("schema", schema.HEAD), ("service", "trader"), ("version", "0.1.0")) in found
    assert any(name[0] == "process_resident_memory_bytes" for name in found)
    for path in ("/metrics", "/health", "/health/ready", "/health/live"):
        status, body = get(endpoint.port, path)
        assert status == 200
        for private in ("ada", "AAPL", "sealed", "example.com", "dt-1"):
            assert private not in body, (path, private)
    body = json.loads(get(endpoint.port, "/health")[1])
    assert body["status"] == "degraded" and any("waited 1" in each for each in body["problems"])


def test_live_and_ready_are_told_apart(database_url):
    wrong: list[str] = []
    made = Endpoint(
        "jobs", lambda: UnitOfWork(make_engine(f"postgresql://a:secret-word@127.0.0.1:{free_port()}/x")),
        alive=lambda: wrong[0] if wrong else None,
    ).start()  # fmt: skip
    try:
        assert get(made.port, "/health/live")[0] == 200
        status, body = get(made.port, "/health/ready")
        assert status == 503 and "secret-word" not in body
        assert samples(made.port)[("dashtrade_database_up",)] == 0
        wrong.append("The loop stands still.")
        assert get(made.port, "/health/live") == (503, '{"status": "down", "problems": ["The loop stands still."]}')
        assert get(made.port, "/elsewhere")[0] == 404
    finally:
        made.stop()


def test_a_process_whose_changes_are_refused_is_not_ready(engine, endpoint, monkeypatch):
    full = "DO $$ BEGIN RAISE EXCEPTION 'could not extend file' USING ERRCODE = 'disk_full'; END $$"
    with pytest.raises(DatabaseUnavailable), engine.begin() as connection:
        connection.execute(text(full))
    for path in ("/health", "/health/ready"):
        status, body = get(endpoint.port, path)
        assert status == 503 and "no space left on its disk" in body
    assert get(endpoint.port, "/health/live")[0] == 200, "a restart would make no room"
    monkeypatch.setattr("dashtrade.db.engine.FULL_FOR", 0.0)
    assert get(endpoint.port, "/health/ready")[0] == 200


def test_off_by_default_on_loopback_and_a_busy_port_is_a_sentence(uow_factory):
    settings = Settings(_env_file=None)
    assert serve("trader", settings, uow_factory) is None and settings.metrics_host == "127.0.0.1"
    first = Endpoint("trader", uow_factory)
    with pytest.raises(ConfigurationError, match="DASHTRADE_TRADER_METRICS_PORT"):
        Endpoint("trader", uow_factory, port=first.port)
    first.stop()


def test_jobs_count_their_runs(uow_factory):
    from dashtrade.processes.job_queue import _runner
    from dashtrade.services.jobs import Job

    def work(context, fail):
        if fail:
            raise ValueError("no")

    run = _runner(Job("tried_here", work), None)
    run(fail=False)
    with pytest.raises(ValueError, match="no"):
        run(fail=True)
    read = endpoints.REGISTRY.get_sample_value
    for outcome in ("succeeded", "failed"):
        assert read("dashtrade_jobs_runs_total", {"job": "tried_here", "outcome": outcome}) == 1
    assert read("dashtrade_jobs_run_seconds_count", {"job": "tried_here"}) == 2


def test_a_quiet_installation_with_everything_running_has_no_problem(engine, uow_factory):
    with engine.begin() as connection:
        connection.execute(text("INSERT INTO trader_heartbeats (name) VALUES ('a')"))
        connection.execute(text("INSERT INTO jobs.procrastinate_workers DEFAULT VALUES"))
    seen = observe(uow_factory(), datetime.now(UTC))
    assert problems(seen) == [] and seen.queue_age == 0
    with engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '0001'"))
    late = observe(uow_factory(), datetime.now(UTC) + timedelta(hours=1))
    assert any("dashtrade migrate" in problem for problem in problems(late))


def status(tmp_path, *arguments, **environment):
    passed = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "DASHTRADE_DATA_DIR": str(tmp_path / "data")}
    ports = {f"DASHTRADE_{name}_PORT": str(free_port()) for name in ("DASHBOARDS", "WEBHOOK", "SIMULATOR")}
    return subprocess.run(
        [sys.executable, "-m", "dashtrade.cli", "status", *arguments], env=passed | ports | environment, cwd=tmp_path,
        capture_output=True, text=True, check=False,
    )  # fmt: skip


def test_the_command(tmp_path, database_url, engine):
    ran = status(tmp_path)
    assert ran.returncode == 2 and "is not running. Run `dashtrade up`" in ran.stdout
    assert not (tmp_path / "data").exists(), "it only looks"
    ran = status(tmp_path, "--json", DATABASE_URL=database_url)
    told = json.loads(ran.stdout)
    assert ran.returncode == told["exit_code"] == 1 and told["database"]["revision"] == schema.HEAD
    assert any("No trader" in problem for problem in told["problems"])
    with engine.begin() as connection:
        connection.execute(text("INSERT INTO trader_heartbeats (name) VALUES ('a')"))
        connection.execute(text("INSERT INTO jobs.procrastinate_workers DEFAULT VALUES"))
    ran = status(tmp_path, DATABASE_URL=database_url)
    assert ran.returncode == 0 and "All is well." in ran.stdout, ran.stdout + ran.stderr
