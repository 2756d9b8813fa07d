"""``dashtrade sweep --resume``, killed without warning and run again."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pandas as pd


def test_a_killed_command_goes_on_where_it_was(tmp_path):
    rng = np.random.default_rng(6)
    closes = 70 * np.exp(np.cumsum(rng.normal(0.0003, 0.013, 900)))
    index = pd.date_range("2018-01-01", periods=900, freq="D", name="time")
    bars = pd.DataFrame({"open": closes, "high": closes * 1.01, "low": closes * 0.99, "close": closes, "volume": 1.0})
    bars.set_index(index).to_csv(tmp_path / "bars.csv")
    kept = tmp_path / "kept"
    words = [sys.executable, "-m", "dashtrade.cli", "sweep", "ema_cross", "--file", str(tmp_path / "bars.csv"),
             "-p", "fast=3:62:1", "-p", "slow=63:122:1", "-p", "stops.loss=0.05", "--threads", "1", "--json",
             "--top", "3600"]  # fmt: skip
    environment = {**os.environ, "DASHTRADE_DATA_DIR": str(tmp_path / "data")}
    with subprocess.Popen([*words, "--resume", str(kept)], env=environment, stdout=subprocess.DEVNULL) as first:
        while len(list(kept.glob("*.npy"))) < 4:
            assert first.poll() is None, "it must not end before it is killed"
            time.sleep(0.01)
        first.send_signal(signal.SIGKILL)
    before = {p: p.stat().st_mtime_ns for p in kept.glob("*.npy")}
    assert 4 <= len(before) < 57

    def run(*more: str) -> dict:
        done = subprocess.run([*words, *more], env=environment, capture_output=True, text=True, check=True)
        return json.loads(done.stdout)

    went_on, straight = run("--resume", str(kept)), run()
    assert {p: p.stat().st_mtime_ns for p in before} == before, "finished blocks are not computed again"
    assert len(list(kept.glob("*.npy"))) == 57 and went_on["combinations"] == 3600
    assert went_on == straight
    assert went_on["provenance"]["result_hash"] == straight["provenance"]["result_hash"]
