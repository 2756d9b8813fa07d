"""What the kernel of a page knows of the server: an allow-list, and settings that are no secrets."""

from __future__ import annotations

import os
from pathlib import Path

from pydantic import SecretStr

from dashtrade.dashboards.chart_library import SERVED, VARIABLE
from dashtrade.settings import Settings

#: Passed on as they are. Everything else in the server's environment stays there.
INHERITED = (
    "PATH", "HOME", "USER", "LANG", "LC_ALL", "LC_CTYPE", "TZ", "TMPDIR", "VIRTUAL_ENV", "PYTHONPATH",
    "PYTHONDONTWRITEBYTECODE", "PYTHONPYCACHEPREFIX", "SYSTEMROOT", "WINDIR", "TEMP", "TMP",
    "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy",
    "SSL_CERT_FILE", "REQUESTS_CA_BUNDLE",
)  # fmt: skip

#: Secrets a page does need: the operator's key for a source of prices.
NEEDED_SECRETS = ("alpha_vantage_key",)
NEVER = ("database_url", "encryption_key", "signin_key", "session_secret", "pages_password", "smtp_password")


def kernel_environment(settings: Settings, server_database_url: str, ipython_dir: Path) -> dict[str, str]:
    """Values every kernel gets. ``DASHTRADE_PAGES_DATABASE_URL`` is the address with the pages' own database role."""
    values: dict[str, str] = {}
    for name in type(settings).model_fields:
        if name in NEVER or not settings.is_handed_on(name):
            continue
        value = getattr(settings, name)
        if value is None:
            continue
        if isinstance(value, SecretStr):
            if name not in NEEDED_SECRETS:
                continue
            value = value.get_secret_value()
        values[f"DASHTRADE_{name.upper()}"] = value if isinstance(value, str) else _text(value)
    values["DATABASE_URL"] = os.environ.get("DASHTRADE_PAGES_DATABASE_URL") or server_database_url
    values["IPYTHONDIR"] = str(ipython_dir)  # not the operator's own, which may run start-up files
    values[VARIABLE] = SERVED
    values["OPENBLAS_NUM_THREADS"] = "1"
    return values


def _text(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, tuple):
        return ",".join(str(part) for part in value)
    return str(value)
