"""Wheel and sdist, really built: everything the program needs is inside, and it is found where the wheel lies."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from importlib import metadata
from pathlib import Path

import pytest
from packaging.version import Version

ROOT = Path(__file__).resolve().parents[2]
SOURCES = ("dashtrade", "webhook", "apps", "notebooks", "migrations")
FILES = ("pyproject.toml", "setup.py", "MANIFEST.in", "README.md", "constraints.txt")


@pytest.fixture(scope="module")
def built(tmp_path_factory) -> Path:
    """A folder with the sdist and the wheel that was made from it. Built from a copy, without a network."""
    if importlib.util.find_spec("build") is None or Version(metadata.version("setuptools")) < Version("77"):
        pytest.skip("build and setuptools of the release extra are not installed")
    place = tmp_path_factory.mktemp("distribution")
    source = place / "source"
    source.mkdir()
    for name in SOURCES:
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__", ".ipynb*"))
    for name in FILES:
        shutil.copy(ROOT / name, source / name)
    (source / ".env").write_text("ENCRYPTION_KEY=very-secret\n")
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(place / "dist"), str(source)]
    ran = subprocess.run(command, capture_output=True, text=True, cwd=place, check=False)
    assert ran.returncode == 0, ran.stdout[-2000:] + ran.stderr[-2000:]
    return place / "dist"


def files(source: Path, folder: str) -> set[str]:
    return {
        str(path.relative_to(source))
        for path in (source / folder).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts and ".ipynb_checkpoints" not in path.parts
    }


def test_the_wheel_holds_the_whole_program_and_nothing_else(built):
    (wheel,) = built.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        inside = {name for name in archive.namelist() if ".dist-info/" not in name}
        entries = archive.read(next(n for n in archive.namelist() if n.endswith("entry_points.txt"))).decode()
    source = built.parent / "source"
    expected = files(source, "dashtrade") | files(source, "webhook")
    shared = ("apps", "notebooks", "migrations")
    expected |= {f"dashtrade/share/{name}" for each in shared for name in files(source, each)}
    assert expected - inside == set(), "missing from the wheel"
    assert inside - expected == set(), "in the wheel without need"
    assert "dashtrade = dashtrade.cli:main" in entries and "dashtrade-fork" in entries


def test_the_sdist_can_build_and_holds_no_secret(built):
    (sdist,) = built.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        inside = {name.split("/", 1)[1] for name in archive.getnames() if "/" in name}
    assert set(FILES) <= inside
    assert not [name for name in inside if name.startswith(".env") or ".dashtrade" in name]


def test_the_unpacked_wheel_finds_its_folders(built, tmp_path):
    (wheel,) = built.glob("*.whl")
    site = tmp_path / "site"
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(site)
    program = """
import dashtrade, pathlib, sys
from dashtrade.db import migrate, schema
from dashtrade.dashboards.running import find_apps
from dashtrade.resources import is_checkout, own_notebooks
from dashtrade.services.reports import reports
from dashtrade.settings import default_data_dir
from alembic.script import ScriptDirectory
site = pathlib.Path(sys.argv[1]).resolve()
assert pathlib.Path(dashtrade.__file__).is_relative_to(site), dashtrade.__file__
assert not is_checkout() and not default_data_dir().is_relative_to(site)
assert ScriptDirectory.from_config(migrate.make_config()).get_heads() == [schema.HEAD]
assert (find_apps() / "home.ipynb").is_file() and reports()
own = own_notebooks(pathlib.Path("data"))
(own / "01_first_backtest.ipynb").write_text("mine")
assert own_notebooks(pathlib.Path("data")) == own and (own / "01_first_backtest.ipynb").read_text() == "mine"
"""
    environment = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "PYTHONPATH": str(site)}
    ran = subprocess.run(
        [sys.executable, "-c", program, str(site)], env=environment, cwd=tmp_path, capture_output=True, text=True
    )
    assert ran.returncode == 0, ran.stderr
