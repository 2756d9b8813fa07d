"""Error pages that look like the app, and JSON where a program asks. No text of an exception is ever shown."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from jupyter_server.auth.decorator import allow_unauthenticated
from jupyter_server.base.handlers import JupyterHandler
from tornado import web

from dashtrade.dashboards.headers import STRICT_POLICY


@dataclass(frozen=True, slots=True)
class ErrorText:
    title: str
    text: str


TEXTS = {
    400: ErrorText("That request could not be read", "Go back and try again."),
    403: ErrorText(
        "You may not open this",
        "Your account does not have the role this needs, or the form was open too long. Go back, then try again.",
    ),
    404: ErrorText("There is no such page", "The address may be mistyped, or the page has moved."),
    401: ErrorText("Sign in again", "Your session has ended."),
    405: ErrorText("That is not possible here", "Go back and try again."),
    413: ErrorText("That is too large", "Send less at once."),
    429: ErrorText("Too many at once", "Wait a little, then try again."),
    500: ErrorText("Something went wrong", "It has been logged. Try again; if it stays, tell the administrator."),
    503: ErrorText("The database cannot be reached", "Try again in a moment; the administrator can start it."),
}
SIGNED_OUT = ErrorText(
    "You are signed out", "Your session has ended. Nothing was changed: sign in, then fill the form in again."
)
OLD_FORM = ErrorText(
    "This form is out of date",
    "It was opened in a session that has ended, or stood open too long. Nothing was changed: load its page again.",
)
#: Errors that may be over in a moment.
PASSING = (429, 500, 503)
TOO_MANY_PAGES = {
    "user": ErrorText("You have many pages open", "Close one of them, then reload this one."),
    "total": ErrorText("The server is full", "Many pages are open at the moment. Try again in a few minutes."),
}


def error_text(status: int, error: BaseException | None = None) -> ErrorText:
    """What a person reads for this status."""
    if status == 429 and isinstance(error, web.HTTPError) and error.log_message in TOO_MANY_PAGES:
        return TOO_MANY_PAGES[error.log_message]
    return TEXTS.get(status) or TEXTS[500 if status >= 500 else 400]


def form_text(handler: Any, error: BaseException | None) -> ErrorText | None:
    """What is said of a form whose session is not the one it was opened in; None where that is not the reason."""
    if not isinstance(error, web.HTTPError) or error.status_code != 403 or handler.request.method != "POST":
        return None
    if getattr(handler, "_current_user", None) is None and hasattr(handler, "here"):
        return SIGNED_OUT
    return OLD_FORM if "xsrf" in str(error.log_message).lower() else None


def retry_address(status: int, request: Any) -> str:
    """The same address once more where that may help: the way to one's pages would end the same way."""
    again = status in PASSING and request.method == "GET" and not request.uri.startswith("//")
    return str(request.uri) if again else ""


class Screens:
    """Mixin for handlers that answer with one of our own screens."""

    settings: dict[str, Any]

    def screen(self, template: str, **values: Any) -> str:
        """Render a template of this package with autoescaping; ``base_url`` and ``assets`` are always there."""
        env = self.settings["dashtrade_screens"]
        return str(
            env.get_template(template).render(
                base_url=self.settings["base_url"], assets=self.settings["dashtrade_assets_url"], **values
            )
        )

    def write_error(self, status_code: int, **kwargs: Any) -> None:
        handler: Any = self
        known = getattr(handler, "_current_user", None)  # asking the property would fail before anybody is known
        info = kwargs.get("exc_info")
        error = info[1] if info else None
        of_form = form_text(handler, error)
        shown = of_form or error_text(status_code, error)
        again = getattr(handler, "here", "") if of_form else retry_address(status_code, handler.request)
        handler.set_header("Cache-Control", "no-store")
        if wants_json(handler):
            handler.set_header("Content-Type", "application/json")
            handler.finish(json.dumps({"code": status_code, "message": shown.title}))
            return
        handler.set_header("Content-Type", "text/html; charset=utf-8")
        handler.set_header("Content-Security-Policy", STRICT_POLICY)
        handler.finish(
            self.screen(
                "error.html",
                status=status_code,
                title=shown.title,
                text=shown.text,
                user=known,
                retry=again,
                way="Sign in" if shown is SIGNED_OUT else "Load the page again" if of_form else "Try again",
            )
        )


def wants_json(handler: Any) -> bool:
    """Programs ask below api/, or say that they accept JSON and not HTML."""
    accept = handler.request.headers.get("Accept", "")
    return "/api/" in handler.request.path or ("application/json" in accept and "text/html" not in accept)


class NotFoundHandler(Screens, JupyterHandler):
    """Every address that nothing else answers."""

    @allow_unauthenticated
    async def prepare(self, **_: Any) -> None:
        # not the base class's: whoever asks gets the same answer, signed in or not
        self.current_user = None
        raise web.HTTPError(404)
