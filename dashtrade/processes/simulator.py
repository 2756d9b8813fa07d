"""The simulated brokerage as a process: ``python -m dashtrade.processes.simulator``. Loopback only."""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from decimal import Decimal
from typing import TYPE_CHECKING

import uvicorn

from dashtrade import bootstrap
from dashtrade.auth import secret_files
from dashtrade.brokers.simulator.app import SimulatorOptions, create_app
from dashtrade.brokers.simulator.clock import SimulatorClock
from dashtrade.brokers.simulator.hours import hours_for
from dashtrade.brokers.simulator.matching import Costs
from dashtrade.brokers.simulator.prices import BackgroundFeed
from dashtrade.brokers.simulator.store import ensure_schema
from dashtrade.domain.market import Quote
from dashtrade.errors import DashTradeError
from dashtrade.processes.logs import configure
from dashtrade.services.endpoint import serve
from dashtrade.services.listening import listen
from dashtrade.settings import Settings, get_settings

if TYPE_CHECKING:
    from sqlalchemy import Engine
    from starlette.applications import Starlette

logger = logging.getLogger(__name__)
HOST = "127.0.0.1"
# price sources bring pandas along; they load after the workbench has started
WARM_AFTER = 3.0


class Server(uvicorn.Server):
    """Ends with exit code 0 on SIGTERM; the base class would raise the signal again when it is done."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self.handle_exit)
        yield


def feeds(settings: Settings, engine: Engine, clock: SimulatorClock) -> list[BackgroundFeed]:
    """The market as the settings name it, then simulated prices; both are asked in the background.

    The prices are those that all pages see, polled by one process, as long as it runs.
    """
    shared = bootstrap.shared_prices(settings, engine)

    def of_market(symbols: Sequence[str]) -> dict[str, Quote]:
        return shared.latest(symbols)

    def of_sample(symbols: Sequence[str]) -> dict[str, Quote]:
        return shared.latest(symbols, "sample")

    found = [BackgroundFeed(of_sample, clock)]
    if settings.sources != ("sample",):
        found.insert(0, BackgroundFeed(of_market, clock))
    return found


def build(settings: Settings, engine: Engine) -> Starlette:
    """The app with this installation's prices, hours and costs."""
    clock = SimulatorClock()
    costs = Costs(
        spread_bps=Decimal(str(settings.simulator_spread_bps)),
        slippage_bps=Decimal(str(settings.simulator_slippage_bps)),
        jitter_bps=Decimal(str(settings.simulator_jitter_bps)),
        seed=settings.simulator_seed,
    )
    return create_app(
        engine,
        feeds(settings, engine, clock),
        secret_files.session_secret(settings),
        clock,
        hours=hours_for(settings.simulator_hours),
        options=SimulatorOptions(costs=costs, faults=settings.simulator_faults),
    )


def _warm(app: Starlette) -> None:
    """Load the price sources before the first order needs them."""
    app.state.service.prices.price("AAPL")  # every source has it, the sample too


def main() -> int:
    try:
        settings = get_settings()
        configure("simulator", settings)
        # at DEBUG the server logs the frames of websockets, and clients sign in with one
        logging.getLogger("uvicorn.error").setLevel(max(logging.INFO, logging.getLogger().level))
        runtime = bootstrap.connect(settings)
        app = build(settings, runtime.engine)
        # before serving, so that what is wrong is one sentence
        ensure_schema(runtime.engine)
        listener = listen(HOST, settings.simulator_port, "DASHTRADE_SIMULATOR_PORT")
    except DashTradeError as error:
        logger.error("%s", error)
        return 1
    config = uvicorn.Config(
        app,
        log_config=None,
        access_log=False,
        timeout_graceful_shutdown=2,
        # longer than the trader's pauses: a connection that ends under a new request leaves its outcome open
        timeout_keep_alive=75,
        ws_ping_interval=20,
    )
    warm = threading.Timer(WARM_AFTER, _warm, (app,))
    warm.daemon = True
    warm.start()
    server = Server(config)
    endpoint = None
    try:
        endpoint = serve("simulator", settings, runtime.uow)
        server.run(sockets=[listener])
    except KeyboardInterrupt:
        pass
    except DashTradeError as error:
        logger.error("%s", error)
    finally:
        warm.cancel()
        if endpoint is not None:
            endpoint.stop()
        runtime.engine.dispose()
    return 0 if server.started else 1


if __name__ == "__main__":
    code = main()
    logging.shutdown()
    sys.stdout.flush()
    os._exit(code)  # a question to a price source that does not answer would be waited for
