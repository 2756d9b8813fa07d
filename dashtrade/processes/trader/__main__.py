"""``python -m dashtrade.processes.trader``: the trader; ``dashtrade up`` starts it with the rest."""

from __future__ import annotations

import sys

from dashtrade.auth import secret_files
from dashtrade.auth.vault import Vault
from dashtrade.bootstrap import runtime
from dashtrade.errors import DashTradeError
from dashtrade.processes.logs import configure
from dashtrade.processes.trader.runner import run
from dashtrade.services.api_keys import publish_public_key
from dashtrade.services.endpoint import serve


def main() -> int:
    configure("trader")
    try:
        made = runtime()
        if made.settings.encryption_key is not None:
            with made.uow() as uow:  # the dashboards seal API keys to it
                publish_public_key(uow, Vault(secret_files.encryption_key(made.settings)))
        endpoint = serve("trader", made.settings, made.uow)
        try:
            run(made.engine, made.settings)
        finally:
            if endpoint is not None:
                endpoint.stop()
    except DashTradeError as error:
        print(str(error), file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
