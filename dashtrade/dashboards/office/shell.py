"""The bar and the menu, for page notebooks and for the server's own pages alike; forms, and what they answer."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any, ClassVar, TypeVar
from urllib.parse import urlencode

from jupyter_server.base.handlers import JupyterHandler
from jupyter_server.utils import url_path_join
from markupsafe import Markup
from tornado import web

from dashtrade.dashboards.accounts import AccountsGate, TooBusy
from dashtrade.dashboards.catalogue import ACCOUNT, PageInfo
from dashtrade.dashboards.errors import Screens
from dashtrade.dashboards.headers import STRICT_POLICY
from dashtrade.dashboards.identity import SessionIdentity, SignedIn
from dashtrade.dashboards.office.browsers import browser_name
from dashtrade.dashboards.office.kept import Kept
from dashtrade.db.unit_of_work import UnitOfWork
from dashtrade.domain.formats import DASH, NUMBERS, TIME_ZONE, Formats
from dashtrade.errors import (
    AuthFailed,
    ConfigurationError,
    DashTradeError,
    DatabaseUnavailable,
    Forbidden,
    InvalidInput,
    NotFound,
    TooManyAttempts,
)
from dashtrade.services import accounts
from dashtrade.services.preferences import get_preferences

T = TypeVar("T")
FIELD_LIMIT = 1024
_TIME = Markup('<time datetime="{}" title="{}">{}</time>')
SHOWN = "shown"  # the part of a page that has what is shown once
NO_LONGER_SHOWN = "What was here is shown once, and its time is over. Make a new one if you did not keep it."
BUSY = "Many passwords are being checked at this moment. Try again in a few seconds."
STATUS: tuple[tuple[type[DashTradeError], int], ...] = (
    (TooManyAttempts, 429), (AuthFailed, 403), (Forbidden, 403), (NotFound, 404), (InvalidInput, 400),
    (DatabaseUnavailable, 503), (ConfigurationError, 503),
)  # fmt: skip


def shell_context(handler: Any, page: PageInfo) -> dict[str, Any]:
    """What the bar shows: the pages this person may open, and who they are."""
    user, base = handler.current_user, handler.settings["base_url"]

    def link(item: PageInfo) -> dict[str, str]:
        return {"slug": item.slug, "title": item.title, "url": url_path_join(base, item.slug)}

    pages = [link(item) for item in handler.settings["dashtrade_catalogue"].menu(user.role)]
    return {
        "slug": page.slug,
        "title": page.title,
        "assets": handler.settings["dashtrade_assets_url"],
        "has_chart": page.has_chart,
        "menu": pages,
        "account_menu": [link(ACCOUNT)],
        "username": user.username,
        "display_name": user.display_name or user.username,
        "initials": (user.username[:2]).upper(),
        "role": user.role.value,
        "form_token": handler.xsrf_token.decode("ascii"),
        "alerts_url": next((item["url"] + "?tab=history" for item in pages if item["slug"] == "alerts"), ""),
    }


class Forms(Screens, JupyterHandler):
    """Reading a form and asking the services, in threads."""

    identity_provider: SessionIdentity

    @property
    def gate(self) -> AccountsGate:
        return self.identity_provider.gate

    def field(self, name: str) -> str:
        """What the form says, without the blanks around it."""
        return str(self.get_body_argument(name, ""))[:FIELD_LIMIT].strip()

    def secret(self, name: str) -> str:
        """What the form says, with every blank."""
        return str(self.get_body_argument(name, "", strip=False))[:FIELD_LIMIT]

    def number(self, name: str) -> int:
        text = self.field(name)
        if not (text.isascii() and text.isdigit() and len(text) < 19):
            raise InvalidInput(name, "is not a number.")
        return int(text)

    @property
    def address(self) -> str:
        return str(self.request.remote_ip or "")

    async def answer(self, act: Callable[[], Awaitable[None]], show: Callable[[str], Awaitable[None]]) -> None:
        """``act()``; where it fails in an expected way, its form again with the sentence and the right status."""
        try:
            await act()
            self.settings["dashtrade_check_sessions"]()  # it may have ended somebody's
        except TooBusy as error:
            self.set_status(503)
            await show(str(error) or BUSY)
        except DashTradeError as error:
            self.set_status(next((status for kind, status in STATUS if isinstance(error, kind)), 400))
            if isinstance(error, TooManyAttempts):
                self.set_header("Retry-After", str(math.ceil(error.retry_after)))
            await show(sentence(error))

    def write_screen(self, template: str, **values: Any) -> None:
        self.write_html(self.screen(template, **values))

    def write_html(self, html: str) -> None:
        self.set_header("Content-Type", "text/html; charset=utf-8")
        self.set_header("Cache-Control", "no-store")
        self.set_header("Content-Security-Policy", STRICT_POLICY)
        self.finish(html)


class OfficePage(Forms, ABC):
    """One page of the office, for a signed-in person with the role ``page.role``.

    ``get`` shows it; ``post`` takes the last part of the address as the name of one of ``actions``. Every service asks
    for the role again.
    """

    page: ClassVar[PageInfo]
    #: what happened, shown after the redirect that follows every form
    done: ClassVar[dict[str, str]] = {}
    actions: ClassVar[dict[str, str]] = {}
    #: the action whose form is shown again
    refused = ""

    async def prepare(self, **_: Any) -> None:
        await super().prepare()
        user = self.current_user
        if isinstance(user, SignedIn) and not user.role.includes(self.page.role):
            self.log.warning("%s (%s) may not open %s", user.username, user.role.value, self.page.slug)
            raise web.HTTPError(403)

    @property
    def me(self) -> SignedIn:
        user: SignedIn = self.current_user
        return user

    @property
    def here(self) -> str:
        return url_path_join(self.base_url, self.page.slug)

    @web.authenticated
    async def get(self, part: str | None = None) -> None:
        try:
            if part == SHOWN:
                await self._show_kept()
            else:
                await self.show(part or "")
        except DatabaseUnavailable:
            raise web.HTTPError(503) from None

    @web.authenticated
    async def post(self, part: str | None = None) -> None:
        method = self.actions.get(part or "")
        if part is None or method is None:
            raise web.HTTPError(404)

        async def again(problem: str) -> None:
            self.refused = part
            await self.show(self.shown_after(part), problem)

        async def act() -> str:
            await self.answer(getattr(self, method), again)
            return str(self._headers.get("Location", ""))

        address = await self._kept.once(self.me.token, self.request.path, self.field("once"), act)
        if not self._finished:  # acted on before: the form was sent again, since its answer was lost or took long
            self.redirect(address, status=303)

    @property
    def _kept(self) -> Kept:
        kept: Kept = self.settings["dashtrade_kept"]
        return kept

    def write_screen(self, template: str, **values: Any) -> None:
        """What a form shows when it went well is shown once. It has a page of its own for a moment, so that loading
        that page again does not send the form again."""
        if self.request.method != "POST" or self.get_status() != 200:
            super().write_screen(template, **values)
            return
        number = self._kept.keep_page(self.me.token, self.screen(template, **values))
        self.redirect(f"{url_path_join(self.here, SHOWN)}?{urlencode({'number': number})}", status=303)

    async def _show_kept(self) -> None:
        html = self._kept.page(self.me.token, self.get_query_argument("number", ""))
        if html is None:
            self.set_status(410)
            await self.show("", NO_LONGER_SHOWN)
        else:
            self.write_html(html)

    def shown_after(self, action: str) -> str:
        """The part of the page that has the form of this action."""
        return ""

    @abstractmethod
    async def show(self, part: str = "", problem: str = "") -> None:
        """Write the page, or the part of it; ``problem`` is what went wrong with a form of it."""

    async def confirm(self, always: bool = False) -> None:
        """Step-up: the password was given in the last minutes, or is in this form. Raises AuthFailed."""
        token = self.me.token
        if not always and await self.gate.ask(lambda uow: accounts.session_is_confirmed(uow, token)):
            return
        password, address = self.secret("confirm_password"), self.address
        if not password:
            raise AuthFailed("Type your password to confirm this.")
        await self.gate.check(lambda uow: _confirm(uow, token, password, address))

    def common(self, uow: UnitOfWork) -> dict[str, Any]:
        """What every page asks the database for: see :meth:`write_page`."""
        confirmed, formats = accounts.session_is_confirmed(uow, self.me.token), formats_of(uow, self.me.user_id)
        return {"formats": formats, "confirmed": confirmed}

    def state(self, part: str) -> dict[str, str]:
        """What of the address stays when a form of this part has been sent."""
        return {}

    def changed(self, name: str) -> bool:
        """Whether the field says another thing than when its form was shown (``was-NAME``, where the form has that):
        what was left alone may have been changed by another browser meanwhile, and stays."""
        return self.get_body_argument(f"was-{name}", None) != self.field(name)

    def typed(self, action: str, name: str, otherwise: object = "") -> object:
        """What somebody typed into this field of a form that was refused, so that nothing is lost; never a secret."""
        return self.field(name) if self.refused == action and self.changed(name) else otherwise

    def go(self, done: str, part: str = "") -> None:
        """Back to the page, which then says what happened."""
        address = url_path_join(self.here, part) if part else self.here
        self.redirect(f"{address}?{urlencode({**self.state(part), 'done': done})}", status=303)

    def write_page(self, template: str, *, formats: Formats, confirmed: bool, problem: str, **values: Any) -> None:
        def when(moment: datetime | None) -> str:
            if moment is None:
                return DASH
            utc = f"{moment.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"
            return _TIME.format(utc, formats.hint(moment), formats.when(moment))

        self.write_screen(
            template,
            dt=shell_context(self, self.page),
            done="" if problem else self.done.get(self.get_query_argument("done", ""), ""),
            here=self.here,
            problem=problem,
            confirmed=confirmed,
            zone=formats.zone,
            when=when,
            moment=lambda text: when(datetime.fromisoformat(text)),
            browser=browser_name,
            typed=self.typed,
            refused=self.refused,
            count=lambda value: formats.number(value, 0),
            **values,
        )


def _confirm(uow: UnitOfWork, token: str, password: str, address: str) -> None:
    try:
        accounts.confirm_session(uow, token, password, address=address)
    except TooManyAttempts:
        raise
    except AuthFailed:
        raise AuthFailed("The password is not right.") from None


def sentence(error: DashTradeError) -> str:
    """What the person reads."""
    text = str(error)
    return text[:1].upper() + text[1:]


def formats_of(uow: UnitOfWork, user_id: int) -> Formats:
    """How the user reads numbers and times."""
    kept = get_preferences(uow, user_id, (TIME_ZONE, NUMBERS))
    return Formats.of(kept.get(TIME_ZONE), kept.get(NUMBERS))
