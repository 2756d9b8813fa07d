"""Servers shared by the integration tests; each is started once, when first asked for."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from dashboards_server import DashboardsServer, clone_database, running_server, write_page

from dashtrade.auth.vault import new_key

SIGNIN_KEY = new_key()
WIDGETS_PAGE = """
import os
import ipywidgets as w
from IPython.display import display

word = w.Label(value="hello " + os.environ["DASHTRADE_USERNAME"])
button = w.Button(description="Say it")
button.on_click(lambda _: setattr(word, "value", "said by " + os.environ["DASHTRADE_USERNAME"]))
failing = w.Button(description="Fail")

def fail(_):
    raise RuntimeError("private-detail-4711")

failing.on_click(fail)
display(w.VBox([word, button, failing]))
"""

ENVIRONMENT_PAGE = """
import os
from IPython.display import display

display({"application/json": dict(os.environ), "text/plain": os.getcwd()}, raw=True)
"""

BROKEN_PAGE = """
raise RuntimeError("private-detail-4712")
"""

#: What a busy machine does: the reply is there long before the output.
LATE_PAGE = """
import time
from IPython.display import display

get_ipython().kernel.iopub_thread.schedule(lambda: time.sleep(6))
display({"text/plain": "here after all"}, raw=True)
"""

DYING_PAGE = """
import os, signal

os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.fixture(scope="session")
def guarded(postgres_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[DashboardsServer]:
    """A server with small pages for people with bad intentions; users ada, bob (user), grace (admin)."""
    folder = tmp_path_factory.mktemp("guarded")
    apps = folder / "apps"
    apps.mkdir()
    write_page(apps, "hello", WIDGETS_PAGE)
    write_page(apps, "environment", ENVIRONMENT_PAGE)
    write_page(apps, "broken", BROKEN_PAGE)
    write_page(apps, "late", LATE_PAGE)
    write_page(apps, "dying", DYING_PAGE)
    write_page(apps, "empty", "print(1)")
    write_page(apps, "office", "print(1)", role="admin")
    write_page(apps, "undeclared", "print(1)", role=None)
    (apps / "secret.txt").write_text("private-file")
    (folder / "outside.svg").write_text("<svg>private-file</svg>")
    database_url = clone_database(postgres_url, "guarded_dashboards")
    users = {"ada": "user", "bob": "user", "grace": "admin", "mallory": "user", "victim": "user"}
    secrets = {
        "ENCRYPTION_KEY": "secret-encryption-key",
        "DASHTRADE_SESSION_SECRET": "secret-session-key",
        "AWS_SECRET_ACCESS_KEY": "secret-of-the-operator",
        "DASHTRADE_SMTP_HOST": "mail.example.com",
        "DASHTRADE_SMTP_PASSWORD": "secret-of-the-mail",
        "DASHTRADE_PAGES_DATABASE_URL": database_url.replace("dashtrade:", "dashtrade:", 1) + "?application_name=pages",
    }
    with running_server(database_url, folder, apps=apps, users=users, **secrets) as server:
        yield server


@pytest.fixture(scope="session")
def office(postgres_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[DashboardsServer]:
    """A server where accounts are opened freely; tests add the people they need."""
    folder = tmp_path_factory.mktemp("office")
    apps = folder / "apps"
    apps.mkdir()
    write_page(apps, "hello", WIDGETS_PAGE)
    database_url = clone_database(postgres_url, "office_dashboards")
    users = {"root": "superadmin", "boss": "admin"}
    settings = {"DASHTRADE_REGISTRATION": "open", "DASHTRADE_SIGNIN_KEY": SIGNIN_KEY}
    with running_server(database_url, folder, apps=apps, users=users, **settings) as server:
        yield server
