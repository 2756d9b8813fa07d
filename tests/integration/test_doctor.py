"""The doctor names what is wrong and what to do, on a machine that is really wrong in that way."""

from __future__ import annotations

import socket
from importlib import metadata

import psutil
import pytest
from sqlalchemy import NullPool, text
from typer.testing import CliRunner

from dashtrade.auth import secret_files
from dashtrade.auth.vault import new_key
from dashtrade.cli import app
from dashtrade.db import migrate
from dashtrade.db.embedded import EmbeddedPostgres, free_port
from dashtrade.db.engine import make_engine
from dashtrade.db.schema import HEAD
from dashtrade.processes import checkup, prepare
from dashtrade.processes.checkup import FAIL, OK, WARN, examine
from dashtrade.settings import Settings


@pytest.fixture
def make_settings(tmp_path):
    def make(**values):
        ports = {"dashboards_port": free_port(), "webhook_port": free_port(), "simulator_port": free_port()}
        return Settings(_env_file=None, **({"data_dir": tmp_path / "data", "sources": ("sample",)} | ports | values))

    return make


def findings(settings, topic):
    return [
        (finding.level, f"{finding.text} {finding.remedy}") for finding in examine(settings) if finding.topic == topic
    ]


def only(settings, topic):
    found = findings(settings, topic)
    assert len(found) == 1
    return found[0]


def test_a_good_machine(make_settings, database_url):
    settings = make_settings(DATABASE_URL=database_url)
    secret_files.ensure_secrets(settings)
    found = list(examine(settings))
    assert [finding for finding in found if finding.level == FAIL] == []
    assert {"python", "packages", "TA-Lib", "data folder", "disk", "secrets", "ports", "database", "sample"} <= {
        finding.topic for finding in found if finding.level == OK
    }
    assert f"schema {HEAD}" in only(settings, "database")[1]


def test_unreachable_database(make_settings):
    level, text = only(make_settings(DATABASE_URL="postgresql://u:hidden-pw@127.0.0.1:1/books"), "database")
    assert level == FAIL and "127.0.0.1:1/books cannot be reached" in text and "hidden-pw" not in text


def test_schema_that_is_not_there(make_settings, empty_database_url):
    level, text = only(make_settings(DATABASE_URL=empty_database_url), "database")
    assert level == FAIL and "dashtrade migrate" in text


def test_busy_port_names_port_owner_and_setting(make_settings):
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        level, text = only(make_settings(webhook_port=port), "ports")
    assert level == FAIL
    assert str(port) in text and psutil.Process().name() in text and "DASHTRADE_WEBHOOK_PORT" in text


def test_the_same_port_twice(make_settings):
    port = free_port()
    level, text = only(make_settings(webhook_port=port, dashboards_port=port), "ports")
    assert level == FAIL and "DASHTRADE_WEBHOOK_PORT and DASHTRADE_DASHBOARDS_PORT are both" in text


def test_loose_secrets(make_settings):
    settings = make_settings()
    secret_files.ensure_secrets(settings)
    (settings.secrets_dir / "encryption_key").chmod(0o644)
    level, text = only(settings, "secrets")
    assert level == FAIL and "chmod 600" in text


def test_a_lost_and_a_broken_encryption_key(make_settings):
    settings = make_settings()
    secret_files.ensure_secrets(settings)
    (settings.secrets_dir / "encryption_key").unlink()
    level, text = only(settings, "secrets")
    assert level == FAIL and "encryption_key is missing" in text
    level, text = only(make_settings(ENCRYPTION_KEY=new_key()[:-4]), "secrets")
    assert level == FAIL and "not a Fernet key" in text


def test_a_data_folder_that_cannot_be_written(make_settings, tmp_path):
    (tmp_path / "file").write_text("")
    level, text = only(make_settings(data_dir=tmp_path / "file" / "data"), "data dir")
    assert level == FAIL and "DASHTRADE_DATA_DIR" in text


def test_a_missing_and_an_old_package(make_settings, monkeypatch):
    monkeypatch.setattr(checkup, "requirements", lambda: ["no-such-package>=1", "sqlalchemy>=99", "typer>=0.1"])
    level, text = only(make_settings(), "packages")
    assert level == FAIL and "no-such-package is missing" in text and "make setup" in text
    assert f"sqlalchemy is {metadata.version('sqlalchemy')}, >=99 is needed" in text and "typer" not in text


def test_an_unreachable_source_is_a_warning_with_a_way_out(make_settings):
    closed = f"http://127.0.0.1:{free_port()}"
    level, text = only(make_settings(sources=("yahoo",), yahoo_url=closed), "yahoo")
    assert level == WARN and "sample" in text
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"http://127.0.0.1:{server.getsockname()[1]}"
        assert only(make_settings(sources=("yahoo",), yahoo_url=url), "yahoo")[0] == OK


def test_a_check_that_breaks_hides_no_other(make_settings, monkeypatch):
    monkeypatch.setattr(checkup.shutil, "disk_usage", lambda path: 1 / 0)
    settings = make_settings()
    level, text = only(settings, "disk")
    assert level == FAIL and "ZeroDivisionError" in text
    assert only(settings, "chromium")


@pytest.mark.parametrize(("database", "code"), [("postgresql://u@127.0.0.1:1/x", 1), (None, 0)])
def test_the_command_says_it_with_its_exit_code(database, code, make_settings, monkeypatch, database_url):
    settings = make_settings(DATABASE_URL=database or database_url)
    monkeypatch.setattr("dashtrade.settings.get_settings", lambda: settings)
    result = CliRunner().invoke(app, ["doctor"])
    assert result.exit_code == code, result.output
    assert ("1 of" in result.output and "checks failed" in result.output) == bool(code)


def test_a_stopped_embedded_database_is_looked_into(make_settings, tmp_path):
    """Newer than the program: the next `up` would refuse, so the doctor has to know."""
    settings = make_settings()
    with EmbeddedPostgres(settings.data_dir, durable=False) as server:
        engine = make_engine(server.url(), poolclass=NullPool)
        migrate.upgrade(engine)
        assert "embedded, port" in only(settings, "database")[1]
        with engine.begin() as connection:
            connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
        engine.dispose()
    level, said = only(settings, "database")
    assert level == FAIL and "at 9999, newer than this program" in said and "Update the program" in said
    assert server.port is None, "it is stopped again"


def test_an_embedded_database_that_up_cannot_get_to_run_fails(make_settings, tmp_path):
    settings = make_settings()
    with EmbeddedPostgres(settings.data_dir, durable=False) as server:
        log = server.log
    with prepare.only_one(settings.data_dir, {"url": "http://127.0.0.1:1/"}):
        level, said = only(settings, "database")
    assert level == FAIL and "does not run" in said and str(log) in said
