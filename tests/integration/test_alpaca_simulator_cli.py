"""``dashtrade simulator`` against a running simulator."""

from __future__ import annotations

import json
import signal
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from simulator_server import SimulatorProcess, order, until
from sqlalchemy import Engine

from dashtrade import bootstrap
from dashtrade.cli import main
from dashtrade.domain.users import User
from dashtrade.settings import get_settings


@dataclass(frozen=True)
class Done:
    returncode: int
    stdout: str
    stderr: str


Command = Callable[..., Done]


@pytest.fixture
def simulator(engine: Engine, tmp_path: Path) -> Iterator[SimulatorProcess]:
    process = SimulatorProcess(engine, tmp_path, DASHTRADE_SIMULATOR_FAULTS="1")
    process.start()
    yield process
    process.end(signal.SIGTERM)


@pytest.fixture
def command(
    simulator: SimulatorProcess, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Iterator[Command]:
    """The real command line, in this process; its settings are the running simulator's."""
    caches = (get_settings, bootstrap.runtime, bootstrap.market)
    for name, value in simulator.environment.items():
        monkeypatch.setenv(name, value)

    def run(*words: str) -> Done:
        for cache in caches:
            cache.cache_clear()
        monkeypatch.setattr(sys, "argv", ["dashtrade", "simulator", *words])
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main()
        printed = capsys.readouterr()
        return Done(int(ended.value.code or 0), printed.out, printed.err)

    yield run
    for cache in caches:
        cache.cache_clear()


def test_a_rehearsal_from_the_command_line(
    simulator: SimulatorProcess, command: Command, make_user: Callable[..., User]
) -> None:
    ada = make_user("ada")
    broker = simulator.broker(ada.id)
    broker.submit(order("wait", "4", symbol="NEWCO"))
    assert command("price", "NEWCO", "25", "--user", "ada").stdout == "NEWCO is 25 for ada.\n"
    until(lambda: broker.positions())
    shown = json.loads(command("account", "--user", "ada", "--json").stdout)
    assert [(p["symbol"], float(p["qty"])) for p in shown["positions"]] == [("NEWCO", 4)]
    # costs of 1 bps half spread and 1 bps slippage
    assert float(shown["cash"]) == pytest.approx(100_000 - 4 * 25 * 1.0002, abs=0.01)
    replayed = command("replay", "AAPL", "--source", "sample", "--period", "5d", "--seconds-per-bar", "0")
    assert replayed.returncode == 0, replayed.stderr
    assert "5 of 5 bars" in replayed.stdout
    assert "present" in command("now").stdout
    assert command("reset", "--user", "ada", "--yes").returncode == 0
    assert broker.positions() == [] and broker.account().equity == 100_000
    broker.submit(order("wait", "1", symbol="NEWCO"))  # the name is free again
    nobody = command("account", "--user", "nobody")
    assert (nobody.returncode, nobody.stdout) == (1, "")
    assert "nobody" in nobody.stderr and "Traceback" not in nobody.stderr
    wrong = command("fault", "{")
    assert wrong.returncode == 1 and "JSON" in wrong.stderr
    broker.close()
