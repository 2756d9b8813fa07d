"""The answers with which Alpaca says no: HTTP status, number and text, as one exception."""

from __future__ import annotations

from typing import Any


class Refused(Exception):
    """Ends a request; the transaction it is raised in is rolled back."""

    def __init__(self, status: int, code: int, message: str, **extra: Any) -> None:
        self.status = status
        self.body: dict[str, Any] = {"code": code, "message": message, **extra}
        super().__init__(message)


def invalid(message: str, **extra: Any) -> Refused:
    """The request makes no sense as an order."""
    return Refused(422, 42210000, message, **extra)


def malformed(message: str, **extra: Any) -> Refused:
    """A field is missing or cannot be read."""
    return Refused(422, 40010001, message, **extra)


def forbidden(message: str, **extra: Any) -> Refused:
    """The order is well formed, but the account may not place it now."""
    return Refused(403, 40310000, message, **extra)


def not_found(message: str) -> Refused:
    return Refused(404, 40410000, message)


def unauthorized() -> Refused:
    return Refused(401, 40110000, "request is not authorized")
