"""What pyproject.toml cannot say: a wheel also carries the folders that lie beside the package in a checkout."""

from __future__ import annotations

import shutil
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

ROOT = Path(__file__).resolve().parent
FOLDERS = {"apps": ("*.ipynb",), "notebooks": ("*.ipynb", "*.md", "*.csv"), "migrations": ("*.py", "*.mako")}


class WithFolders(build_py):
    """Copies them to ``dashtrade/share``, where ``dashtrade.resources`` looks; an editable install needs no copy."""

    def run(self) -> None:
        super().run()
        if self.editable_mode:
            return
        share = Path(self.build_lib, "dashtrade", "share")
        shutil.rmtree(share, ignore_errors=True)  # of an earlier build
        for source, target in self._pairs(share):
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, target)

    def get_outputs(self, include_bytecode: bool = True) -> list[str]:
        found = super().get_outputs(include_bytecode)
        if self.editable_mode:
            return found
        return [*found, *(str(target) for _, target in self._pairs(Path(self.build_lib, "dashtrade", "share")))]

    def _pairs(self, share: Path) -> list[tuple[Path, Path]]:
        return [
            (file, share / file.relative_to(ROOT))
            for folder, patterns in FOLDERS.items()
            for pattern in patterns
            for file in sorted((ROOT / folder).rglob(pattern))
            if not {"__pycache__", ".ipynb_checkpoints"} & set(file.parts)
        ]


setup(cmdclass={"build_py": WithFolders})
