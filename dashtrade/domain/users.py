"""Users and roles."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Role(StrEnum):
    """Each role includes the ones before it."""

    USER = "user"
    ADMIN = "admin"
    SUPERADMIN = "superadmin"

    @property
    def rank(self) -> int:
        return list(Role).index(self)

    def includes(self, other: Role) -> bool:
        return self.rank >= other.rank


@dataclass(frozen=True, slots=True)
class User:
    """A signed-in person."""

    id: int
    username: str
    email: str
    role: Role
    full_name: str | None = None
    is_active: bool = True
    #: An administrator or the operator set the password: nothing else is open before it is changed.
    must_change_password: bool = False
    #: A trusted analyst: JupyterLab runs any code, so this is given to a person and comes with no role.
    may_use_lab: bool = False
