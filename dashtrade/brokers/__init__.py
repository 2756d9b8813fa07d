"""Brokers: the account modes, and the one place that makes a broker for a mode.

Light on purpose: Alpaca's client is imported when a broker is made.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from dashtrade.domain.bots import AccountMode
from dashtrade.domain.simulated import PREFIX
from dashtrade.errors import ConfigurationError
from dashtrade.registry import Registry

if TYPE_CHECKING:
    from dashtrade.brokers.alpaca import AlpacaBroker


@dataclass(frozen=True, slots=True)
class ModeSpec:
    """What a form shows and a broker checks. ``key_prefixes`` are how this mode's key ids begin."""

    mode: AccountMode
    label: str
    description: str
    needs_keys: bool
    key_prefixes: tuple[str, ...]
    # the broker allows 200 a minute for each key; some room is left for what else uses the key
    requests_per_minute: int = 180

    def check_key(self, key: str) -> None:
        """Raises ConfigurationError for a key that belongs to another mode, or to none."""
        if not key:
            raise ConfigurationError(f"The {self.label.lower()} needs an API key.")
        for other in MODES.values():
            if other.mode is not self.mode and key.startswith(other.key_prefixes):
                raise ConfigurationError(
                    f"These are keys of the {other.label.lower()}, but the mode is {self.mode.value}. "
                    f"Enter the keys of the {self.label.lower()}, or choose the mode {other.mode.value}."
                )
        if self.mode is AccountMode.SIMULATED and not key.startswith(self.key_prefixes):
            raise ConfigurationError("The simulated account uses its own keys; do not enter any.")


MODES: Registry[ModeSpec] = Registry("account mode")
for _spec in (
    ModeSpec(
        AccountMode.SIMULATED,
        "Simulated account",
        "The built-in simulator on this machine: no sign-up, no money.",
        needs_keys=False,
        key_prefixes=(PREFIX,),
        requests_per_minute=60_000,
    ),
    ModeSpec(
        AccountMode.PAPER,
        "Paper account",
        "Alpaca's paper trading: real prices, no money.",
        needs_keys=True,
        key_prefixes=("PK",),
    ),
    ModeSpec(
        AccountMode.LIVE,
        "Live account",
        "Alpaca with real money.",
        needs_keys=True,
        key_prefixes=("AK",),
    ),
):
    MODES.register(_spec.mode.value, _spec)


def make_broker(mode: AccountMode | str, key: str, secret: str, *, url: str | None = None) -> AlpacaBroker:
    """A broker for an account. ``url`` is the simulator's address in simulated mode, else an Alpaca-compatible one or
    None.
    """
    from dashtrade.brokers.alpaca import AlpacaBroker

    return AlpacaBroker(key, secret, mode=MODES[str(mode)].mode, url_override=url)
