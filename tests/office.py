"""Forms of the dashboard server's own pages, filled in as a browser does."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

import httpx
from dashboards_server import DashboardsServer, form_token
from sqlalchemy import select, update

from dashtrade.db.tables.accounts import UserRow, UserSessionRow


def submit(client: httpx.Client, path: str, **fields: str) -> httpx.Response:
    """POST to ``account/…`` or ``admin/…`` with the form token of that page; what is shown once is looked at."""
    token = form_token(client.get(path.split("/")[0]).text)
    answer = client.post(path, data={"_xsrf": token, **fields})
    return client.get(answer.headers["Location"]) if "/shown?" in answer.headers.get("Location", "") else answer


def user_id(server: DashboardsServer, username: str) -> int:
    with server.database() as uow:
        found = uow.session.scalar(select(UserRow.id).where(UserRow.username == username))
    assert found is not None
    return found


def forget_confirmation(server: DashboardsServer, username: str) -> None:
    """As if the user had typed their password an hour ago."""
    with server.database() as uow:
        mine = UserSessionRow.user_id == select(UserRow.id).where(UserRow.username == username).scalar_subquery()
        long_ago = datetime.now(UTC) - timedelta(hours=1)
        uow.session.execute(update(UserSessionRow).where(mine).values(confirmed_at=long_ago))
        uow.commit()


def problem(html: str) -> str:
    """The sentence the page shows."""
    found = re.search(r'class="dt-problem" role="alert">([^<]+)<', html)
    assert found, "the page shows no problem"
    return found.group(1)


def link_shown(html: str) -> str:
    found = re.search(r'value="https?://[^/"]+/([^"]+)" readonly', html)
    assert found, html[-1500:]
    return found.group(1)
