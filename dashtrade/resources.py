"""Folders that belong to the program and are no Python packages: ``apps``, ``notebooks``, ``migrations``.

In a checkout they lie beside the package; a wheel carries them as ``dashtrade/share`` (see ``setup.py``).
"""

from __future__ import annotations

import shutil
from pathlib import Path

from dashtrade.errors import ConfigurationError
from dashtrade.settings import CHECKOUT, PACKAGE_ROOT

FOLDERS = ("apps", "notebooks", "migrations")
_SHIPPED = PACKAGE_ROOT / "share"


def is_checkout() -> bool:
    """Whether the program runs from its source tree; else it was installed."""
    return (CHECKOUT / "pyproject.toml").is_file() and (CHECKOUT / "apps").is_dir()


def folder(name: str) -> Path:
    """The folder of that name: of the checkout, else the installed copy.

    Raises ConfigurationError when neither is there.
    """
    if name not in FOLDERS:
        raise ValueError(f"{name!r} is none of {', '.join(FOLDERS)}")
    for parent in (CHECKOUT if is_checkout() else None, _SHIPPED):
        if parent is not None and (parent / name).is_dir():
            return parent / name
    raise ConfigurationError(f"The folder {name} is missing from this installation. Install DashTrade again.")


def own_notebooks(data_dir: Path) -> Path:
    """Where analysts work: the checkout's notebooks, else a copy in the data folder, which an update leaves alone."""
    shipped = folder("notebooks")
    if is_checkout():
        return shipped
    own = data_dir / "notebooks"
    if not own.exists():
        try:
            data_dir.mkdir(parents=True, exist_ok=True)
            shutil.copytree(shipped, own)
        except OSError as error:
            raise ConfigurationError(
                f"The notebooks cannot be copied to {own} ({error.strerror or 'not every file could be written'}). "
                "Make the data folder writable, set DASHTRADE_DATA_DIR to another, or name a folder with --notebooks."
            ) from None
    return own
