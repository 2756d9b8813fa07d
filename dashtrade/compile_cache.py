"""Where compiled loops are kept on disk: beside their source, else in the data folder.

numba looks for its folder when a function is declared, and without a home folder to fall back on it fails where the
package cannot be written to. So compiled modules take ``njit`` from here, which settles that first.
"""

from __future__ import annotations

import os
from pathlib import Path

import numba
from numba import njit

__all__ = ["keep_compiled", "njit"]


def keep_compiled(package: Path, data_dir: Path | None = None) -> Path | None:
    """Chooses the folder for modules below ``package``: None when they are kept beside their source (or where
    ``NUMBA_CACHE_DIR`` says), else the folder inside ``data_dir`` (the configured one when left out)."""
    if os.environ.get("NUMBA_CACHE_DIR"):
        return None
    if all(
        _writable(folder / "__pycache__")
        for folder in (package / name for name in ("indicators", "patterns", "backtest"))
    ):
        return None
    if data_dir is None:
        from dashtrade.settings import default_data_dir

        data_dir = Path(os.environ.get("DASHTRADE_DATA_DIR") or default_data_dir())
    chosen = data_dir / "compiled"
    if not _writable(chosen):
        return None
    numba.config.CACHE_DIR = str(chosen)  # type: ignore[attr-defined]
    return chosen


def _writable(folder: Path) -> bool:
    """Whether files can be made in the folder, or it can be made itself."""
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    return folder.is_dir() and os.access(folder, os.W_OK | os.X_OK)


keep_compiled(Path(__file__).resolve().parent)
