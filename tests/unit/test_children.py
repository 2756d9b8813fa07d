"""What each process of an installation is told, and what it is not."""

from __future__ import annotations

import os

import pytest

from dashtrade.bootstrap import source_order
from dashtrade.dashboards.environment import kernel_environment
from dashtrade.processes.children import children, dashboards_url, plain_environment
from dashtrade.settings import Settings, load_settings

SECRETS = {"key": "the-encryption-key", "session": "the-session-secret", "av": "the-vantage-key",
           "signin": "the-signin-key", "mail": "the-mail-password"}  # fmt: skip


def make(monkeypatch, **values):
    monkeypatch.setenv("ENCRYPTION_KEY", SECRETS["key"])
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "somebody-elses-secret")
    settings = Settings(_env_file=None, alpha_vantage_key=SECRETS["av"], smtp_password=SECRETS["mail"], **values)
    made = children(
        settings,
        database_url="postgresql://app:app-password@db/books",
        pages_database_url="postgresql://pages:pages-password@db/books",
        encryption_key=SECRETS["key"],
        session_secret=SECRETS["session"],
        signin_key=SECRETS["signin"],
    )
    return settings, {child.name: child for child in made}


def knows(made, secret):
    return {name for name, child in made.items() if any(secret in value for value in child.environment.values())}


def test_each_secret_reaches_those_who_need_it(monkeypatch):
    _, made = make(monkeypatch)
    assert set(made) == {"dashboards", "webhook", "simulator", "trader", "jobs"}
    assert knows(made, SECRETS["key"]) == {"trader", "jobs"}
    assert knows(made, SECRETS["session"]) == {"dashboards", "simulator", "trader"}
    assert knows(made, SECRETS["av"]) == {"dashboards", "simulator", "trader", "jobs"}
    assert knows(made, SECRETS["signin"]) == {"dashboards"}
    assert knows(made, SECRETS["mail"]) == {"jobs"}
    assert knows(made, "pages-password") == {"dashboards", "jobs"}
    assert knows(made, "somebody-elses-secret") == set()
    assert not any(secret in repr(child) for child in made.values() for secret in (*SECRETS.values(), "app-password"))


def test_settings_arrive_as_they_were(monkeypatch):
    values = {"sources": ("sample", "yahoo"), "webhook_port": 18080, "base_url": "/trade", "secure_cookies": True,
              "data_dir": "/srv/a folder", "host": "0.0.0.0"}  # fmt: skip
    settings, made = make(monkeypatch, **values)
    environment = made["webhook"].environment
    for name in list(os.environ):
        if name.startswith("DASHTRADE_") or name in ("DATABASE_URL", "ENCRYPTION_KEY"):
            monkeypatch.delenv(name)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    arrived = load_settings(_env_file=None)
    hidden = {"database_url", "encryption_key", "session_secret", "alpha_vantage_key", "smtp_password"}
    assert arrived.model_dump(exclude=hidden) == settings.model_dump(exclude=hidden)
    assert arrived.database_url.get_secret_value() == "postgresql://app:app-password@db/books"


@pytest.mark.parametrize(
    ("listed", "order"), [(None, ("yahoo", "alpha_vantage")), (("yahoo",), ("yahoo",)), (("sample",), ("sample",))]
)
def test_a_key_for_a_source_counts_in_every_process_where_no_sources_are_listed(monkeypatch, tmp_path, listed, order):
    """The operator's own list, which a child is handed, is the last word; the default is not."""
    given = {"alpha_vantage_key": "av-key", **({"sources": listed} if listed else {})}
    settings = Settings(_env_file=None, data_dir=tmp_path, **given)
    made = children(settings, database_url="postgresql://h/d", pages_database_url=None, encryption_key="k",
                    session_secret="s")  # fmt: skip
    kernel = kernel_environment(settings, "postgresql://h/d", tmp_path)
    for environment in (*(child.environment for child in made if child.name in ("trader", "jobs")), kernel):
        with monkeypatch.context() as patch:
            for name in list(os.environ):
                if name.startswith("DASHTRADE_"):
                    patch.delenv(name)
            for name, value in environment.items():
                patch.setenv(name, value)
            assert source_order(load_settings(_env_file=None)) == order


@pytest.mark.parametrize(
    ("host", "base", "url"),
    [("127.0.0.1", "/", "http://127.0.0.1:5000/"), ("0.0.0.0", "/trade", "http://127.0.0.1:5000/trade/"),
     ("::", "/", "http://[::1]:5000/"), ("fe80::1", "/", "http://[fe80::1]:5000/"),
     ("trade.example.com", "/", "http://trade.example.com:5000/")],
)  # fmt: skip
def test_the_address_people_open(host, base, url):
    assert dashboards_url(Settings(_env_file=None, host=host, base_url=base)) == url


def test_what_makes_python_slow_or_strange_is_not_passed_on():
    passed = plain_environment({"PATH": "/bin", "PYTHONDONTWRITEBYTECODE": "1", "PYTHONSTARTUP": "x.py", "LC_ALL": "C"})
    assert passed == {"PATH": "/bin", "LC_ALL": "C", "PYTHONUNBUFFERED": "1"}
