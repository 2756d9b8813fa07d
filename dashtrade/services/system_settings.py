"""Settings that a superadmin changes while everything runs. The environment goes first, then what is kept here, then
the default.

One row of ``app_state``, which page kernels cannot write, holds what was changed. What is allowed is said once, by the
fields of :class:`Settings`. A value that does not pass any more, or was written there by hand, is left out.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from typing import Annotated, Any, Literal, get_args, get_origin

import structlog
from pydantic import TypeAdapter, ValidationError

from dashtrade.db.unit_of_work import UnitOfWork
from dashtrade.domain.users import Role
from dashtrade.errors import InvalidInput, UnknownOption
from dashtrade.services import audit
from dashtrade.services.actors import require_role
from dashtrade.services.app_state import get_state, lock_state, set_state
from dashtrade.settings import AT_RUN_TIME, Settings, environment_names

log = structlog.get_logger(__name__)

STATE = "system_settings"


class Origin(StrEnum):
    """Where the value in use comes from."""

    ENVIRONMENT = "environment"
    STORED = "stored"
    DEFAULT = "default"


@dataclass(frozen=True, slots=True)
class SettingView:
    """A setting as people see it. ``value`` is in use; ``stored`` is the text that is kept, empty where none is.

    ``choices`` are the words it may be; without, it is a whole number from ``least`` to ``most``. ``refused`` says that
    what is stored is not allowed and not used.
    """

    name: str
    title: str
    about: str
    value: str
    default: str
    origin: Origin
    stored: str
    choices: tuple[str, ...]
    least: int | None
    most: int | None
    variable: str
    refused: bool

    @property
    def allowed(self) -> str:
        return ", ".join(self.choices) if self.choices else f"a whole number from {self.least} to {self.most}"


def effective(uow: UnitOfWork, settings: Settings) -> Settings:
    """What holds now; ``settings`` are those of the environment. A stored value that is not allowed is logged."""
    return _with_stored(settings, get_state(uow, STATE))


class CurrentSettings:
    """What holds now in a process that lives long: :attr:`now` is what the last :meth:`refresh` found.

    While the database is away the last known values go on.
    """

    def __init__(self, settings: Settings) -> None:
        self.environment = settings
        self.now = settings
        self._seen: object = {}
        self._lock = threading.Lock()

    def refresh(self, uow: UnitOfWork) -> Settings:
        """Look at the database, one small row; the object stays the same where nothing was changed."""
        with self._lock:  # who has read first must not come last
            stored = get_state(uow, STATE)
            if stored != self._seen:
                self.now, self._seen = _with_stored(self.environment, stored), stored
            return self.now


def list_settings(uow: UnitOfWork, settings: Settings, actor_id: int | None) -> list[SettingView]:
    """All that can be changed at run time; needs the role superadmin. ``settings`` are those of the environment."""
    require_role(uow, actor_id, Role.SUPERADMIN)
    stored = _as_mapping(get_state(uow, STATE))
    return [_view(settings, name, stored) for name in AT_RUN_TIME]


def change_settings(uow: UnitOfWork, settings: Settings, actor_id: int | None, wanted: Mapping[str, str]) -> list[str]:
    """Keep these values, an empty one meaning the default again; all of them or none. Returns the names that changed.

    Needs the role superadmin. Raises InvalidInput, with the field and what is allowed, for a bad value and for a
    setting that the environment has set; UnknownOption for one that cannot be changed at run time.
    """
    require_role(uow, actor_id, Role.SUPERADMIN)
    values = {name: _checked(settings, name, text) for name, text in wanted.items()}
    before = _as_mapping(lock_state(uow, STATE))
    after = {name: value for name, value in {**before, **values}.items() if value is not None}
    changed = [name for name in values if before.get(name) != after.get(name)]
    old, new = _with_stored(settings, before), _with_stored(settings, after)
    for name in changed:
        was, now = getattr(old, name), getattr(new, name)
        audit.record(
            uow, "setting_changed", actor_id=actor_id, setting=name, old=was, new=now, default=name not in after
        )
    if changed:
        set_state(uow, STATE, after)
    uow.commit()
    return changed


def _checked(settings: Settings, name: str, text: str) -> Any:
    """The value, None for an empty text."""
    if name not in AT_RUN_TIME:
        raise UnknownOption("setting", name, AT_RUN_TIME)
    if name in settings.model_fields_set:
        raise InvalidInput(name, f"is set in the server's environment ({environment_names(name)[0]}): change it there.")
    if not text.strip():
        return None
    try:
        return _rule(name).validate_python(text.strip())
    except ValidationError:
        allowed = _view(settings, name, {}).allowed
        raise InvalidInput(name, f"{text.strip()[:40]!r} is not allowed.", allowed=[allowed]) from None


@lru_cache(maxsize=len(AT_RUN_TIME))
def _rule(name: str) -> TypeAdapter[Any]:
    """The very rule that the environment's value has to pass."""
    field = Settings.model_fields[name]
    return TypeAdapter(Annotated[field.annotation, field])  # type: ignore[arg-type]


def _view(settings: Settings, name: str, stored: Mapping[str, Any]) -> SettingView:
    field = Settings.model_fields[name]
    choices = tuple(map(str, get_args(field.annotation))) if get_origin(field.annotation) is Literal else ()
    given, refused = name in settings.model_fields_set, name in stored and not _passes(name, stored[name])
    origin = Origin.ENVIRONMENT if given else Origin.STORED if name in stored and not refused else Origin.DEFAULT
    value = _rule(name).validate_python(stored[name]) if origin is Origin.STORED else getattr(settings, name)
    limits = {type(rule).__name__: rule for rule in field.metadata}
    return SettingView(
        name=name,
        title=field.title or name,
        about=field.description or "",
        value=str(value),
        default=str(field.default),
        origin=origin,
        stored=str(stored[name])[:40] if name in stored else "",
        choices=choices,
        least=getattr(limits.get("Ge"), "ge", None),
        most=getattr(limits.get("Le"), "le", None),
        variable=environment_names(name)[0],
        refused=refused,
    )


def _with_stored(settings: Settings, stored: object) -> Settings:
    values = {}
    for name, value in _as_mapping(stored).items():
        if name not in AT_RUN_TIME or name in settings.model_fields_set:
            continue
        if _passes(name, value):
            values[name] = _rule(name).validate_python(value)
        else:
            log.warning(
                "A stored setting is not allowed and left out; set it again", setting=name, value=str(value)[:40]
            )
    return settings.model_copy(update=values) if values else settings


def _passes(name: str, value: object) -> bool:
    try:
        _rule(name).validate_python(value)
    except ValidationError:
        return False
    return True


def _as_mapping(stored: object) -> dict[str, Any]:
    return stored if isinstance(stored, dict) else {}
