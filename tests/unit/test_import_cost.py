"""Import cost is a feature: the light doors must not pull in the research libraries."""

from __future__ import annotations

import subprocess
import sys

import pytest

HEAVY = {"pandas", "numpy", "numba", "vectorbt", "alpaca", "yfinance", "matplotlib", "scipy", "IPython", "ipywidgets"}


@pytest.mark.parametrize(
    "module", ["dashtrade", "webhook.app", "dashtrade.cli", "dashtrade.pages", "dashtrade.bootstrap"]
)
def test_importing_stays_light(module: str) -> None:
    code = f"import sys, {module}; print('\\n'.join(sorted({{m.partition('.')[0] for m in sys.modules}})))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    loaded = set(done.stdout.split())
    assert not loaded & HEAVY, f"importing {module} pulls in {sorted(loaded & HEAVY)}"


def test_public_names_resolve() -> None:
    import dashtrade

    for name in dashtrade.__all__:
        assert getattr(dashtrade, name) is not None
    for name in ("backtest", "indicators"):
        assert callable(getattr(dashtrade, name)), f"dashtrade.{name} must be callable although it is a package too"
