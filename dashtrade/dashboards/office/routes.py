"""The addresses of the server's own pages."""

from __future__ import annotations

from typing import Any

from dashtrade.dashboards.office.account import AccountPage
from dashtrade.dashboards.office.admin import AdminPage
from dashtrade.dashboards.office.passwords import ForgottenHandler, NewPasswordHandler
from dashtrade.dashboards.office.registration import RegisterHandler, SetPasswordHandler
from dashtrade.dashboards.office.settings import SettingsPage


def office_routes() -> list[tuple[Any, ...]]:
    return [
        (r"account(?:/([a-z-]{1,30}))?", AccountPage),
        (r"admin/settings(?:/([a-z-]{1,30}))?", SettingsPage),
        (r"admin(?:/([a-z-]{1,30}))?", AdminPage),
        (r"register", RegisterHandler),
        (r"set-password", SetPasswordHandler),
        (r"new-password", NewPasswordHandler),
        (r"forgotten", ForgottenHandler),
    ]
