"""``python -m dashtrade.dashboards``: serves the pages until it is told to stop."""

from __future__ import annotations

import sys


def main() -> int:
    from dashtrade.dashboards.zygote.warm import skip_unwanted

    skip_unwanted()  # before Jupyter is imported: saves seconds
    from dashtrade.dashboards.running import run
    from dashtrade.errors import DashTradeError

    try:
        run()
    except DashTradeError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
