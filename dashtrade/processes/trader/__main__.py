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
from dashtrade.services.key_rotation import check_sealed


def main() -> int:
    try:
        configure("trader")
        made = runtime()
        if made.settings.encryption_key is not None:
            vault = Vault(secret_files.encryption_key(made.settings))
            with made.uow() as uow:
                # the dashboards seal API keys to it: with a wrong key, what people enter would be lost
                check_sealed(uow, vault)
                publish_public_key(uow, vault)
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
