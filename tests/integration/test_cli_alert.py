"""``dashtrade alert`` and ``dashtrade report`` as typed, against a real database."""

from __future__ import annotations

import os
import subprocess
import sys


def run(database_url, folder, *words, given=None):
    environment = {**os.environ, "DATABASE_URL": database_url, "DASHTRADE_DATA_DIR": str(folder)}
    environment["ENCRYPTION_KEY"] = "q3xkYQqC9v0mJz0Y0bY0g1m2n3o4p5q6r7s8t9u0v1w="
    command = [sys.executable, "-m", "dashtrade.cli", *words]
    return subprocess.run(command, env=environment, capture_output=True, text=True, input=given)


def test_alerts_from_the_command_line(database_url, tmp_path, make_user):
    make_user("ada")
    made = run(database_url, tmp_path, "alert", "add", "price_above", "1", "-u", "ada", "--symbol", "aapl")
    assert made.returncode == 0 and "AAPL price above 1" in made.stdout, made.stderr
    number = made.stdout.split()[1].rstrip(":")
    assert run(database_url, tmp_path, "alert", "test", number, "-u", "ada").returncode == 0
    history = run(database_url, tmp_path, "alert", "history", "-u", "ada").stdout
    assert "price above 1" in history
    channel = run(
        database_url, tmp_path, "alert", "channel", "add", "hook", "-u", "ada", given="ntfy://my-secret-topic\n"
    )
    assert channel.returncode == 0 and "my-secret-topic" not in channel.stdout + channel.stderr, channel.stderr
    few = run(database_url, tmp_path, "alert", "add", "price_above", "2", "-u", "ada", "--channel", "hook")
    assert few.returncode == 0, few.stderr
    second = few.stdout.split()[1].rstrip(":")
    assert run(database_url, tmp_path, "alert", "remove", second, "-u", "ada").returncode == 0
    bad = run(database_url, tmp_path, "alert", "add", "price_above", "2", "-u", "ada", "--channel", "fax")
    assert bad.returncode == 1 and "'fax' is not known" in bad.stderr and "hook" in bad.stderr
    assert run(database_url, tmp_path, "alert", "remove", number, "-u", "ada").returncode == 0
    assert number not in run(database_url, tmp_path, "alert", "list", "-u", "ada").stdout
    wrong = run(database_url, tmp_path, "alert", "add", "price_above", "much", "-u", "ada", "--symbol", "AAPL")
    assert wrong.returncode == 1 and "a price, such as 150" in wrong.stderr and "Traceback" not in wrong.stderr
