"""``python -m dashtrade.dashboards``: serves the pages until it is told to stop."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m dashtrade.dashboards", description="Serve the dashboards.")
    parser.add_argument("--apps", type=Path, default=None, help="folder of page notebooks; default: the program's own")
    arguments = parser.parse_args()

    from dashtrade.dashboards.zygote.warm import skip_unwanted

    skip_unwanted()  # before Jupyter is imported: saves seconds
    from dashtrade.dashboards.running import run
    from dashtrade.errors import DashTradeError

    try:
        run(arguments.apps)
    except DashTradeError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
