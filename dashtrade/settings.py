"""All settings, read once from the environment and ``.env``; secrets print as ``**********``.

Environment names are ``DASHTRADE_`` plus the field's name in capitals, except for ``DATABASE_URL`` and
``ENCRYPTION_KEY``, which keep the names operators expect.
"""

from __future__ import annotations

import json
import os
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import urlsplit

from platformdirs import user_data_path
from pydantic import AliasChoices, Field, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from dashtrade.errors import ConfigurationError

#: What a superadmin may change while everything runs, where the environment says nothing (``system_settings``). No
#: secret, address, port or folder is among them.
AT_RUN_TIME = (
    "registration", "pages_per_user", "pages_total", "page_idle_seconds",
    "keep_message_days", "keep_alert_days", "keep_report_days", "keep_signal_days", "keep_job_days",
)  # fmt: skip
#: Handed on to other processes only where the operator has set them: that they are not set says more than the default
#: does. Without a list of sources, Alpha Vantage joins them where there is a key for it.
IF_SET = (*AT_RUN_TIME, "sources")

PACKAGE_ROOT = Path(__file__).resolve().parent
CHECKOUT = PACKAGE_ROOT.parent


def bare(text: str) -> str:
    """Without what editors and shells put around a secret: a byte order mark, line ends, blanks."""
    return text.strip().removeprefix("\ufeff").strip()


def default_data_dir() -> Path:
    """``.dashtrade`` beside the checkout the program runs from, else the user's data folder."""
    if (CHECKOUT / "pyproject.toml").is_file() and (CHECKOUT / "apps").is_dir():
        return CHECKOUT / ".dashtrade"
    return user_data_path("dashtrade", appauthor=False)


class Settings(BaseSettings):
    """Frozen. Build through :func:`load_settings`, which turns bad values into one clear sentence."""

    model_config = SettingsConfigDict(
        env_prefix="DASHTRADE_", env_file=".env", env_ignore_empty=True, extra="ignore", frozen=True
    )

    data_dir: Path = Field(default_factory=default_data_dir, description="where everything is kept")
    database_url: SecretStr | None = Field(
        default=None,
        validation_alias=AliasChoices("DATABASE_URL", "DASHTRADE_DATABASE_URL"),
        description="PostgreSQL server; unset: embedded PostgreSQL in the data folder",
    )
    encryption_key: SecretStr | None = Field(
        default=None,
        validation_alias=AliasChoices("ENCRYPTION_KEY", "DASHTRADE_ENCRYPTION_KEY"),
        description="Fernet key(s) for stored API keys, newest first, comma separated; unset: file in the data folder",
    )
    signin_key: SecretStr | None = Field(
        default=None,
        description="Fernet key(s) for second factors, newest first, comma separated; unset: file in the data folder",
    )
    session_secret: SecretStr | None = Field(default=None, description="signs cookies; unset: file in the data folder")
    pages_password: SecretStr | None = Field(
        default=None, description="of the database account that pages use; unset: file in the data folder"
    )

    host: str = Field(default="127.0.0.1", description="address the dashboards and the webhook listen on")
    dashboards_port: int = Field(default=5000, ge=1, le=65535)
    webhook_port: int = Field(default=8080, ge=1, le=65535)
    simulator_port: int = Field(default=8190, ge=1, le=65535)
    base_url: str = Field(default="/", description="path the dashboards are served below, behind a proxy")
    public_url: str | None = Field(
        default=None,
        description="address people reach the dashboards by, such as https://trade.example.com/; unset: messages that "
        "go out carry no link",
    )
    secure_cookies: bool = Field(default=False, description="set where the dashboards are reached by https")
    behind_proxy: bool = Field(
        default=False, description="set where only a proxy reaches the dashboards: it tells the callers' addresses"
    )
    pages_per_user: int = Field(
        default=8, ge=1, le=100_000, title="Pages per person", description="pages one person may have open at once"
    )
    pages_total: int = Field(
        default=200, ge=1, le=100_000, title="Pages in all", description="pages open at once on this server"
    )
    page_idle_seconds: int = Field(
        default=900,
        ge=5,
        le=31_536_000,
        title="Idle seconds",
        description="a page nobody looks at ends after this long",
    )
    warm_kernels: bool = Field(default=True, description="fork the pages' processes from a warm one (Linux)")
    registration: Literal["open", "invitation", "closed"] = Field(
        default="closed",
        title="Registration",
        description="who may open an account: anybody, people with an invitation, or nobody but an administrator",
    )
    smtp_host: str | None = Field(default=None, description="mail server; set: forgotten passwords are reset by mail")
    smtp_port: int = Field(default=587, ge=1, le=65535)
    smtp_security: Literal["starttls", "tls", "none"] = Field(
        default="starttls", description="none only for a mail server on this machine"
    )
    smtp_user: str | None = None
    smtp_password: SecretStr | None = Field(default=None, description="the jobs worker alone is given it")
    smtp_from: str | None = Field(default=None, description="sender, such as DashTrade <trade@example.com>")

    sources: Annotated[tuple[str, ...], NoDecode] = Field(
        default=("yahoo",), description="market-data sources in order of preference, comma separated"
    )
    cache_url: str | None = Field(default=None, description="where bars are cached, an fsspec path; unset: data folder")
    cache_max_mb: int = Field(default=2048, ge=1, description="size limit of the bar cache")
    alpha_vantage_key: SecretStr | None = None
    alpha_vantage_calls: int = Field(default=25, ge=1, description="calls a day the Alpha Vantage key allows")
    alpha_vantage_url: str | None = Field(default=None, description="another address that speaks its protocol")
    alpaca_key: SecretStr | None = Field(default=None, description="Alpaca key id for market data, shared by all users")
    alpaca_secret: SecretStr | None = Field(default=None, description="secret key to DASHTRADE_ALPACA_KEY")
    alpaca_data_url: str | None = Field(default=None, description="another address that speaks Alpaca's data protocol")
    alpaca_stream_url: str | None = Field(default=None, description="another address that speaks Alpaca's data stream")
    yahoo_url: str | None = Field(
        default=None, description="another address that speaks Yahoo's protocol; for tests and proxies"
    )
    simulator_slippage_bps: float = Field(default=1.0, ge=0, description="basis points, against the trader")
    simulator_spread_bps: float = Field(default=2.0, ge=0, description="whole bid-ask spread, basis points")
    simulator_jitter_bps: float = Field(default=0.0, ge=0, description="most that slippage varies between orders")
    simulator_seed: int = Field(default=0, description="repeats the simulator's slippage exactly")
    simulator_hours: Literal["always", "exchange"] = Field(
        default="always", description="when the simulated market is open: around the clock, or New York's sessions"
    )
    simulator_faults: bool = Field(default=False, description="lets rehearsals break the simulator over loopback")
    report_seconds: float = Field(default=900.0, gt=0, description="how long a scheduled report may take")
    report_memory_mb: int = Field(default=4096, ge=256, description="memory for each process of a scheduled report")
    dask_scheduler: str | None = Field(
        default=None, description="Dask scheduler that sweeps run on, such as tcp://10.0.0.5:8786; unset: this machine"
    )
    keep_message_days: int = Field(
        default=90,
        ge=7,
        le=36_500,
        title="Messages",
        description="messages in the program, with their deliveries",
    )
    keep_alert_days: int = Field(default=365, ge=14, le=36_500, title="Alerts", description="history of alerts")
    keep_report_days: int = Field(
        default=180, ge=1, le=36_500, title="Reports", description="runs of reports, with their pages and notebooks"
    )
    keep_signal_days: int = Field(
        default=400, ge=30, le=36_500, title="Signals", description="requests to the webhook that led to no order"
    )
    keep_job_days: int = Field(
        default=14, ge=2, le=36_500, title="Jobs", description="jobs that failed; those that succeeded stay one day"
    )
    private_channels: bool = Field(
        default=False, description="lets notifications go to private addresses, such as a server in the same network"
    )
    webhook_wait_seconds: float = Field(
        default=2.0, ge=0, le=2.8, description="how long the webhook waits for an outcome"
    )

    metrics_host: str = Field(
        default="127.0.0.1", description="address on which processes serve health and metrics, where they have a port"
    )
    dashboards_metrics_port: int = Field(default=0, ge=0, le=65535, description="health and metrics; 0: none")
    trader_metrics_port: int = Field(default=0, ge=0, le=65535, description="health and metrics; 0: none")
    jobs_metrics_port: int = Field(default=0, ge=0, le=65535, description="health and metrics; 0: none")
    simulator_metrics_port: int = Field(default=0, ge=0, le=65535, description="health and metrics; 0: none")

    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    log_format: Literal["text", "json"] = "text"

    @field_validator("database_url", "encryption_key", "signin_key", "session_secret", "pages_password", mode="before")
    @classmethod
    def _bare(cls, value: object) -> object:
        return bare(value) if isinstance(value, str) else value

    @field_validator("public_url")
    @classmethod
    def _reachable(cls, value: str | None) -> str | None:
        if value is None:
            return None
        parts = urlsplit(value.strip())
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment:
            raise ValueError("write the whole address, such as https://trade.example.com/")
        if parts.username or parts.password:
            raise ValueError("write the address without a name and a password")
        return value.strip().rstrip("/") + "/"

    @field_validator("base_url")
    @classmethod
    def _slashes(cls, value: str) -> str:
        return "/" + value.strip("/") + "/" if value.strip("/") else "/"

    @field_validator("sources", mode="before")
    @classmethod
    def _listed(cls, value: object) -> object:
        if not isinstance(value, str):
            return value
        if value.lstrip().startswith("["):  # as a list is handed from one process to another
            return tuple(json.loads(value))
        return tuple(part.strip() for part in value.split(",") if part.strip())

    @field_validator("data_dir")
    @classmethod
    def _absolute(cls, value: Path) -> Path:
        return value.expanduser().absolute()

    def is_handed_on(self, name: str) -> bool:
        """Whether another process is told this setting: see ``IF_SET``."""
        return name not in IF_SET or name in self.model_fields_set

    @property
    def secrets_dir(self) -> Path:
        return self.data_dir / "secrets"

    @property
    def cache_dir(self) -> Path:
        return self.data_dir / "bars"

    @property
    def imported_dir(self) -> Path:
        return self.data_dir / "imported"

    @property
    def simulator_url(self) -> str:
        return f"http://127.0.0.1:{self.simulator_port}"


def load_settings(**overrides: object) -> Settings:
    """Settings from the environment; raises ConfigurationError naming the variable and what is allowed.

    A secret can also be the contents of a file: ``ENCRYPTION_KEY_FILE=/run/secrets/encryption_key``.
    """
    try:
        return Settings(**(_secrets_from_files() | overrides))  # type: ignore[arg-type]
    except ValidationError as error:
        problems = []
        for item in error.errors():
            name = str(item["loc"][0]) if item["loc"] else "settings"
            name = name if name.isupper() else f"DASHTRADE_{name.upper()}"
            problems.append(f"{name}: {item['msg']}")
        raise ConfigurationError("Wrong setting. " + "; ".join(problems) + ".") from None


def environment_names(field: str) -> tuple[str, ...]:
    """The names a field is read by, the usual one first."""
    alias = Settings.model_fields[field].validation_alias
    return tuple(map(str, alias.choices)) if isinstance(alias, AliasChoices) else (f"DASHTRADE_{field.upper()}",)


def secret_fields() -> tuple[str, ...]:
    """The settings that are secrets."""
    return tuple(name for name, info in Settings.model_fields.items() if "SecretStr" in str(info.annotation))


def _secrets_from_files() -> dict[str, object]:
    found: dict[str, object] = {}
    for field in secret_fields():
        for name in environment_names(field):
            path = os.environ.get(f"{name}_FILE")
            if not path:
                continue
            if os.environ.get(name):
                raise ConfigurationError(f"{name} and {name}_FILE are both set. Unset one of them.")
            try:
                value = bare(Path(path).read_text(encoding="utf-8"))
            except (OSError, UnicodeDecodeError) as error:
                reason = getattr(error, "strerror", None) or "no text"
                raise ConfigurationError(f"{name}_FILE: {path} cannot be read ({reason}).") from None
            if not value:
                raise ConfigurationError(f"{name}_FILE: {path} is empty.")
            found[environment_names(field)[0] if len(environment_names(field)) > 1 else field] = value
    return found


@lru_cache(maxsize=1)
def get_settings() -> Settings:
    """The process's settings, read once."""
    return load_settings()
