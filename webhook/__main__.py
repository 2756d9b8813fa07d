"""``python -m webhook``: the webhook on its own; ``dashtrade up`` starts it with the rest."""

from __future__ import annotations

import sys

import uvicorn

from dashtrade.db.engine import make_engine
from dashtrade.errors import ConfigurationError, DashTradeError
from dashtrade.processes.logs import configure
from dashtrade.services.listening import listen
from dashtrade.settings import Settings, load_settings
from webhook.app import create_app

WORKERS = 16


def build_server(settings: Settings) -> uvicorn.Server:
    """The server, not yet running. Its own access log is off: it would show tokens."""
    if settings.database_url is None:
        raise ConfigurationError("DATABASE_URL is not set. Start the webhook with `dashtrade up`, or set it.")
    engine = make_engine(
        settings.database_url.get_secret_value(),
        pool_size=WORKERS + 1,  # one to wake the trader
        max_overflow=0,
        pool_timeout=2.0,
        connect_args={
            "connect_timeout": 2,
            "options": "-c timezone=UTC -c statement_timeout=2500 -c idle_in_transaction_session_timeout=5000",
        },
    )
    app = create_app(engine, wait_seconds=settings.webhook_wait_seconds, workers=WORKERS)
    config = uvicorn.Config(
        app,
        host=settings.host,
        port=settings.webhook_port,
        access_log=False,
        log_config=None,
        server_header=False,
        timeout_keep_alive=30,
        timeout_graceful_shutdown=4,
        h11_max_incomplete_event_size=16 * 1024,
        limit_concurrency=1000,
        backlog=1024,
    )
    return uvicorn.Server(config)


def main() -> int:
    try:
        configure("webhook")
        settings = load_settings()
        server = build_server(settings)
        server.run(sockets=[listen(settings.host, settings.webhook_port, "DASHTRADE_WEBHOOK_PORT")])
    except DashTradeError as error:
        print(str(error), file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
