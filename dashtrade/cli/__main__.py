"""``python -m dashtrade.cli``."""

from __future__ import annotations

from dashtrade.cli import main

main()
