"""`dashtrade user …`, `migrate` and `version`: what they do, print and return."""

from __future__ import annotations

import errno
import io
import os
import subprocess
import sys

import pytest
from sqlalchemy import NullPool, inspect

from dashtrade import __version__
from dashtrade.bootstrap import runtime
from dashtrade.cli import main
from dashtrade.db.engine import make_engine
from dashtrade.db.schema import HEAD
from dashtrade.errors import AuthFailed
from dashtrade.services import accounts
from dashtrade.settings import get_settings


@pytest.fixture
def dashtrade(database_url, tmp_path, monkeypatch, capsys):
    """Runs the entry point in this process, as the installed command does; no process to start makes it quick."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DASHTRADE_DATA_DIR", str(tmp_path / "data"))

    def run(*arguments, stdin="", url=database_url):
        monkeypatch.setenv("DATABASE_URL", url)
        monkeypatch.setattr(sys, "argv", ["dashtrade", *arguments])
        monkeypatch.setattr(sys, "stdin", io.StringIO(stdin))
        get_settings.cache_clear()
        runtime.cache_clear()
        try:
            main()
            code = 0
        except SystemExit as end:
            code = end.code or 0
        finally:
            if runtime.cache_info().currsize:
                runtime().engine.dispose()
            get_settings.cache_clear()
            runtime.cache_clear()
        out, err = capsys.readouterr()
        return code, out, err

    return run


def test_a_users_life(dashtrade, uow_factory):
    secret = "a good long password"
    code, out, _ = dashtrade("user", "create", "Ada", "--email", "Ada@b.c", "--password-stdin", stdin=secret + "\n")
    assert (code, out) == (0, "Created user ada.\n")
    code, out, _ = dashtrade("user", "list")
    assert code == 0 and out.split() == ["ada", "user", "active", "last", "login", "never", "ada@b.c"]
    assert dashtrade("user", "role", "ada", "superadmin")[:2] == (0, "ada is superadmin now.\n")
    code, out, err = dashtrade("user", "disable", "ada")
    assert code == 1 and "last superadmin" in err and out == ""
    code, out, _ = dashtrade("user", "password", "ada", "--generate")
    new = out.rsplit("Password: ", 1)[1].strip()
    with uow_factory() as uow:
        assert accounts.authenticate(uow, "ada", new).role == "superadmin"
        with pytest.raises(AuthFailed):
            accounts.authenticate(uow, "ada", secret)
    dashtrade("user", "create", "boss", "--email", "boss@b.c", "--role", "superadmin", "--generate")
    assert dashtrade("user", "disable", "ada")[:2] == (0, "ada is disabled now.\n")
    assert dashtrade("user", "enable", "ADA")[:2] == (0, "ada is active now.\n")


@pytest.mark.parametrize(
    ("arguments", "stdin", "said"),
    [
        (("user", "create", "a b", "--email", "a@b.c", "--password-stdin"), "", "username: use 1 to 50"),
        (("user", "create", "ada", "--email", "nowhere", "--password-stdin"), "", "email: is not"),
        (
            ("user", "create", "ada", "--email", "a@b.c", "--role", "god", "--generate"),
            "",
            "Allowed: user, admin, superadmin",
        ),
        (("user", "create", "ada", "--email", "a@b.c", "--password-stdin"), "short\n", "at least 10 characters"),
        (("user", "role", "nobody", "admin"), "", "There is no user 'nobody'"),
        (("migrate", "--down", "9999", "--yes"), "", f"The newest revision is {HEAD}"),
    ],
)
def test_bad_input_is_one_sentence(dashtrade, arguments, stdin, said):
    code, out, err = dashtrade(*arguments, stdin=stdin)
    assert code == 1 and out == "" and err.count("\n") == 1
    assert err.startswith("Error: ") and said in err


def test_a_password_is_never_an_argument(dashtrade):
    code, out, _ = dashtrade("user", "create", "--help")
    assert code == 0 and "--password-stdin" in out and "--password " not in out


def test_migrate_up_down_and_the_sentence_before(dashtrade, empty_database_url):
    code, _, err = dashtrade("user", "list", url=empty_database_url)
    assert code == 1 and "dashtrade migrate" in err
    assert dashtrade("migrate", url=empty_database_url)[:2] == (0, f"The schema is at {HEAD}.\n")
    assert dashtrade("user", "list", url=empty_database_url)[0] == 0
    code, _, _ = dashtrade("migrate", "--down", "base", url=empty_database_url)
    assert code == 1, "without an answer nothing is deleted"
    assert dashtrade("migrate", "--down", "base", "--yes", url=empty_database_url)[0] == 0
    engine = make_engine(empty_database_url, poolclass=NullPool)
    assert inspect(engine).get_table_names() == ["alembic_version"]


def test_version(dashtrade):
    assert dashtrade("version") == (0, __version__ + "\n", "")


def test_as_a_process_a_failure_is_one_line_without_a_traceback(tmp_path):
    passed = {name: os.environ[name] for name in ("PATH", "PYTHONPATH") if name in os.environ}
    environment = passed | {"DATABASE_URL": "mysql://ada:very-secret@db/books"}
    done = subprocess.run(
        [sys.executable, "-m", "dashtrade.cli", "user", "list"],
        capture_output=True, text=True, env=environment, cwd=tmp_path, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("Error: DATABASE_URL names 'mysql'") and done.stderr.count("\n") == 1
    assert "very-secret" not in done.stderr


@pytest.mark.parametrize("below", ["", "/x"])
@pytest.mark.parametrize("command", [["status"], ["backup"], ["lab"], ["user", "list"]])
def test_a_data_folder_that_is_a_file_is_said_without_a_traceback(tmp_path, command, below):
    (tmp_path / "file").write_text("")
    environment = {"PATH": os.environ["PATH"], "DASHTRADE_DATA_DIR": f"{tmp_path}/file{below}"}
    done = subprocess.run(
        [sys.executable, "-m", "dashtrade.cli", *command],
        capture_output=True, text=True, env=environment, check=False, stdin=subprocess.DEVNULL,
    )  # fmt: skip
    said = done.stdout + done.stderr
    assert done.returncode == (2 if command == ["status"] else 1) and "Traceback" not in said
    assert "dashtrade up" in said if command == ["status"] else "DASHTRADE_DATA_DIR" in said


@pytest.mark.parametrize(("kind", "remedy"), [(errno.ENOSPC, "free space"), (errno.EACCES, "DASHTRADE_DATA_DIR")])
def test_a_full_disk_and_missing_rights_are_one_sentence(dashtrade, monkeypatch, kind, remedy):
    def fail(*_):
        raise OSError(kind, os.strerror(kind), "/data/reports")

    monkeypatch.setattr("dashtrade.services.users.list_users", fail)
    code, out, err = dashtrade("user", "list")
    assert (code, out) == (1, "") and err.count("\n") == 1
    assert err.startswith("Error: /data/reports cannot be") and remedy in err


def test_links_for_those_who_come_and_those_who_forgot(dashtrade, uow_factory, monkeypatch):
    from dashtrade.services import invitations
    from dashtrade.services.system_settings import effective
    from dashtrade.settings import load_settings

    code, out, err = dashtrade("user", "invite")
    assert code == 1 and out == "" and "`dashtrade settings set registration invitation`" in err
    assert dashtrade("settings", "set", "registration", "invitation")[:2] == (0, "registration is invitation.\n")
    monkeypatch.setenv("DASHTRADE_REGISTRATION", "")
    monkeypatch.setenv("DASHTRADE_HOST", "0.0.0.0")
    monkeypatch.setenv("DASHTRADE_BASE_URL", "/trade")
    code, out, _ = dashtrade("user", "invite", "--email", "ada@b.c")
    assert code == 0 and out.startswith("http://127.0.0.1:5000/trade/register?invitation=")
    with uow_factory() as uow:
        token = out.strip().split("=")[1]
        now = effective(uow, load_settings())
        user = invitations.register(uow, now, "ada", "ada@b.c", "a good long password", invitation=token)
    code, out, _ = dashtrade("user", "reset-link", "ada")
    assert code == 0 and out.startswith("http://127.0.0.1:5000/trade/set-password?link=")
    with uow_factory() as uow:
        assert invitations.owner_of_link(uow, out.strip().split("=")[1]) == user
    assert dashtrade("user", "reset-link", "nobody")[0] == 1


def test_settings_are_shown_changed_and_given_back(dashtrade, monkeypatch):
    monkeypatch.setenv("DASHTRADE_PAGES_TOTAL", "50")
    code, out, err = dashtrade("settings", "set", "keep_job_days", "1")
    assert (code, out) == (1, "") and "keep_job_days: '1' is not allowed. Allowed: a whole number from 2" in err
    assert dashtrade("settings", "set", "keep_job_days", " ")[0] == 2
    assert "is set in the server's environment" in dashtrade("settings", "set", "pages_total", "9")[2]
    code, _, err = dashtrade("settings", "set", "registartion", "open")
    assert code == 1 and "did you mean registration?" in err
    assert dashtrade("settings", "set", "keep_job_days", "20")[:2] == (0, "keep_job_days is 20.\n")
    shown = {line.split()[0]: line.split()[1:] for line in dashtrade("settings", "list")[1].splitlines()}
    assert shown["keep_job_days"] == ["20", "changed"] and shown["registration"] == ["closed", "default"]
    assert shown["pages_total"] == ["50", "set", "in", "the", "environment"]
    assert dashtrade("settings", "reset", "keep_job_days")[:2] == (0, "keep_job_days is 14.\n")
