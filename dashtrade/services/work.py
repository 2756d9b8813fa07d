"""Lets a service be called with a unit of work that is open already, or with a fresh one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from dashtrade.db.unit_of_work import UnitOfWork


@contextmanager
def working(uow: UnitOfWork) -> Iterator[UnitOfWork]:
    """Enter ``uow`` unless the caller has; the service commits in both cases."""
    try:
        uow.session  # noqa: B018 - raises outside a with block
    except RuntimeError:
        with uow:
            yield uow
        return
    yield uow
