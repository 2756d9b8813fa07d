"""The processes of an installation, and what each may know."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field

from pydantic import SecretStr

from dashtrade.dashboards.zygote.launcher import SPARING
from dashtrade.settings import Settings

#: As for a page; and since all pages pass through the dashboards, large pieces that the C library keeps would add up.
_DASHBOARDS_MEMORY = {**SPARING, "MALLOC_MMAP_THRESHOLD_": "131072"}
# Of the caller's environment, what a program needs to run at all; no secret is among it.
_PASSED_ON = (
    "PATH", "HOME", "USER", "LOGNAME", "LANG", "LANGUAGE", "TZ", "TMPDIR", "VIRTUAL_ENV", "PYTHONPATH", "SHELL",
    "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy", "SSL_CERT_FILE", "SSL_CERT_DIR",
    "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS",
)  # fmt: skip
_PASSED_ON_PREFIXES = ("LC_", "XDG_", "COVERAGE_")


@dataclass(frozen=True, slots=True)
class Child:
    """One process. ``url`` is what people open, ``health`` what is asked to see whether it answers."""

    name: str
    command: tuple[str, ...]
    environment: Mapping[str, str] = field(repr=False)
    title: str = ""
    url: str | None = None
    health: str | None = None
    last: bool = False  # stopped after the others, because they talk to it


def plain_environment(environ: Mapping[str, str]) -> dict[str, str]:
    passed = {name: environ[name] for name in _PASSED_ON if environ.get(name)}
    passed |= {name: value for name, value in environ.items() if name.startswith(_PASSED_ON_PREFIXES)}
    return passed | {"PYTHONUNBUFFERED": "1"}


def settings_environment(settings: Settings) -> dict[str, str]:
    """Every setting that is no secret, so that a child need not find and read the operator's ``.env``.

    Of those in ``IF_SET`` only what the operator has set: the child has to know that it was.
    """
    environment = {}
    for name in type(settings).model_fields:
        value = getattr(settings, name)
        if value is None or isinstance(value, SecretStr) or not settings.is_handed_on(name):
            continue
        if isinstance(value, tuple):
            import json

            environment[f"DASHTRADE_{name.upper()}"] = json.dumps(value)
        else:
            environment[f"DASHTRADE_{name.upper()}"] = str(value)
    return environment


def _own_host(settings: Settings) -> str:
    """Where this machine reaches what listens on the setting's address."""
    every = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}  # noqa: S104 - compared, not bound
    return every.get(settings.host, f"[{settings.host}]" if ":" in settings.host else settings.host)


def dashboards_url(settings: Settings) -> str:
    return f"http://{_own_host(settings)}:{settings.dashboards_port}{settings.base_url}"


def children(
    settings: Settings,
    *,
    database_url: str,
    pages_database_url: str | None,
    encryption_key: str,
    session_secret: str,
    signin_key: str = "",
) -> list[Child]:
    """The five services. The encryption key goes to those who open what is sealed: the trader (API keys) and the jobs
    worker (addresses of notification channels). The key of second factors goes to the dashboards, the mail server's
    password to the jobs worker. Those who start kernels get the pages' address of the database."""
    base = plain_environment(os.environ) | settings_environment(settings) | {"DATABASE_URL": database_url}
    signing = {"DASHTRADE_SESSION_SECRET": session_secret}
    sealing = {"ENCRYPTION_KEY": encryption_key}
    second_factors = {"DASHTRADE_SIGNIN_KEY": signin_key} if signin_key else {}
    mail = {}
    if settings.smtp_password is not None:
        mail["DASHTRADE_SMTP_PASSWORD"] = settings.smtp_password.get_secret_value()
    market = {}
    if settings.alpha_vantage_key is not None:
        market["DASHTRADE_ALPHA_VANTAGE_KEY"] = settings.alpha_vantage_key.get_secret_value()
    # Alpaca's pair can trade as well as read prices, so that it stays out of the pages' reach.
    alpaca = {}
    if settings.alpaca_key is not None and settings.alpaca_secret is not None:
        alpaca["DASHTRADE_ALPACA_KEY"] = settings.alpaca_key.get_secret_value()
        alpaca["DASHTRADE_ALPACA_SECRET"] = settings.alpaca_secret.get_secret_value()
    pages = {"DASHTRADE_PAGES_DATABASE_URL": pages_database_url} if pages_database_url else {}
    dashboards = dashboards_url(settings)
    webhook = f"http://{_own_host(settings)}:{settings.webhook_port}"

    def module(name: str) -> tuple[str, ...]:
        return (sys.executable, "-m", name)

    return [
        Child("dashboards", module("dashtrade.dashboards"), base | signing | second_factors | market | pages
              | _DASHBOARDS_MEMORY,
              "Dashboards", dashboards,
              f"{dashboards}login"),
        Child("webhook", module("webhook"), base, "Webhook", f"{webhook}/webhook", f"{webhook}/health"),
        Child("simulator", module("dashtrade.processes.simulator"), base | signing | market | alpaca, "Simulator",
              settings.simulator_url, f"{settings.simulator_url}/v2/clock", last=True),
        Child("trader", module("dashtrade.processes.trader"), base | signing | market | alpaca | sealing, "Trader"),
        Child("jobs", module("dashtrade.processes.jobs"), base | market | alpaca | sealing | mail | pages, "Jobs"),
    ]  # fmt: skip
