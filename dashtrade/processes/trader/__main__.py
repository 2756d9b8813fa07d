"""``python -m dashtrade.processes.trader``: the trader; ``dashtrade up`` starts it with the rest."""

from __future__ import annotations

import sys

from dashtrade.bootstrap import runtime
from dashtrade.errors import DashTradeError
from dashtrade.processes.logs import configure
from dashtrade.processes.trader.runner import run


def main() -> int:
    configure("trader")
    try:
        made = runtime()
        run(made.engine, made.settings)
    except DashTradeError as error:
        print(str(error), file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
