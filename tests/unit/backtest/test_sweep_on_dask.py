"""Sweeps on a real Dask cluster of processes: the same numbers, also when a worker is killed half-way."""

from __future__ import annotations

import builtins
import os
import pickle
import signal
import socket

import numpy as np
import pandas as pd
import pytest

import dashtrade as dt
from dashtrade.backtest import BacktestRequest, Cancelled, Costs, Stops, SweepOptions, Windows
from dashtrade.backtest import blocks as blocks_module
from dashtrade.errors import ClusterUnavailable, ConfigurationError, DashTradeError, InvalidInput, RateLimited
from dashtrade.settings import get_settings

distributed = pytest.importorskip("distributed")


def bars_of(size: int = 1500, seed: int = 4) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    closes = 90 * np.exp(np.cumsum(rng.normal(0.0003, 0.014, size)))
    opens = closes * np.exp(rng.normal(0, 0.005, size))
    highs, lows = np.maximum(opens, closes) * 1.004, np.minimum(opens, closes) * 0.996
    index = pd.date_range("2012-01-02", periods=size, freq="B", tz="UTC", name="time")
    frame = pd.DataFrame({"open": opens, "high": highs, "low": lows, "close": closes, "volume": 1e6}, index=index)
    frame.attrs = {"interval": "1d", "source": "yahoo"}
    return frame


REQUEST = BacktestRequest("ema_cross", {"X": bars_of()}, costs=Costs(0.001), stops=Stops(loss=0.04))
GRID = {"fast": list(range(3, 40)), "slow": list(range(40, 80))}


@pytest.fixture(scope="module")
def cluster():
    with distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, processes=True, dashboard_address=":0", host="127.0.0.1"
    ) as made:
        made.wait_for_workers(2)
        yield made


@pytest.fixture
def by_setting(cluster, monkeypatch):
    """The setting is all that changes."""
    monkeypatch.setenv("DASHTRADE_DASK_SCHEDULER", cluster.scheduler_address)
    get_settings.cache_clear()
    yield
    get_settings.cache_clear()


def here() -> SweepOptions:
    return SweepOptions(scheduler="")


def test_the_same_call_gives_the_same_numbers(by_setting, monkeypatch):
    def forbidden(*_):
        raise AssertionError("computed on this machine")

    local = dt.sweep(REQUEST, GRID, here())
    walk = {"fast": [5, 9], "slow": [20, 40]}
    walked = dt.walk_forward(REQUEST, walk, Windows(train=600, test=400), here())
    monkeypatch.setattr(blocks_module, "Threads", forbidden)
    spread = dt.sweep(REQUEST, GRID)
    pd.testing.assert_frame_equal(spread.table, local.table, check_exact=True)
    assert spread.provenance == local.provenance
    again = dt.walk_forward(REQUEST, walk, Windows(train=600, test=400))
    assert again.provenance["result_hash"] == walked.provenance["result_hash"]


def test_a_worker_killed_half_way_changes_nothing(by_setting, cluster, tmp_path):
    with distributed.Client(cluster.scheduler_address, set_as_default=False) as client:
        before = client.run(os.getpid)
        victim = next(iter(before.values()))
        killed = []

        def kill(share: float, _: str) -> None:
            if share > 0 and not killed:
                os.kill(victim, signal.SIGKILL)
                killed.append(share)

        spread = dt.sweep(REQUEST, GRID, SweepOptions(block=16, resume=tmp_path), progress=kill)
        assert killed and killed[0] < 0.9
        assert victim not in client.run(os.getpid).values()
    local = dt.sweep(REQUEST, GRID, here())
    pd.testing.assert_frame_equal(spread.table, local.table, check_exact=True)
    kept = len(list(tmp_path.glob("*.npy")))
    assert kept == -(-len(local.table) // 16), "every block was kept"


def test_cancelled_on_the_cluster_and_resumed_here(by_setting, tmp_path):
    seen: list[float] = []
    with pytest.raises(Cancelled, match="Stopped after"):
        dt.sweep(
            REQUEST, GRID, SweepOptions(block=16, resume=tmp_path), progress=lambda share, _: seen.append(share),
            cancel=lambda: len(seen) > 3,
        )  # fmt: skip
    assert 0 < len(list(tmp_path.glob("*.npy"))) < 93
    went_on = dt.sweep(REQUEST, GRID, SweepOptions(block=16, resume=tmp_path, scheduler=""))
    pd.testing.assert_frame_equal(went_on.table, dt.sweep(REQUEST, GRID, here()).table, check_exact=True)


def test_a_scheduler_that_is_not_there_is_named(monkeypatch):
    monkeypatch.setattr("dashtrade.backtest.cluster.SECONDS", 0.5)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"tcp://127.0.0.1:{free.getsockname()[1]}"
        with pytest.raises(ClusterUnavailable, match=r"does not answer.*DASHTRADE_DASK_SCHEDULER"):
            dt.sweep(REQUEST, {"fast": [5]}, SweepOptions(scheduler=address))
    with pytest.raises(ConfigurationError, match="not an address"):
        dt.sweep(REQUEST, {"fast": [5]}, SweepOptions(scheduler="nonsense://x:y"))


def test_a_scheduler_without_workers_is_named(monkeypatch):
    monkeypatch.setattr("dashtrade.backtest.cluster.SECONDS", 1.0)
    with (
        distributed.LocalCluster(n_workers=0, processes=True, dashboard_address=":0", host="127.0.0.1") as empty,
        pytest.raises(ClusterUnavailable, match="no workers"),
    ):
        dt.sweep(REQUEST, {"fast": [5]}, SweepOptions(scheduler=empty.scheduler_address))


def test_without_dask_the_remedy_is_said(monkeypatch):
    real = builtins.__import__

    def absent(name, *rest):
        if name == "distributed":
            raise ImportError(name)
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", absent)
    with pytest.raises(ConfigurationError, match=r"dashtrade\[scale\]"):
        dt.sweep(REQUEST, {"fast": [5]}, SweepOptions(scheduler="tcp://127.0.0.1:1"))


def test_errors_travel_between_processes_whole():
    for error in (InvalidInput("fast", "no", allowed=[1]), RateLimited("yahoo", "wait", 3.0), DashTradeError("x")):
        back = pickle.loads(pickle.dumps(error))
        assert type(back) is type(error) and str(back) == str(error) and back.__dict__ == error.__dict__
