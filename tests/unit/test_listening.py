"""A port that cannot be had is one sentence, whoever wants it."""

from __future__ import annotations

import os
import socket

import psutil
import pytest

from dashtrade.errors import ConfigurationError
from dashtrade.services.endpoint import Endpoint
from dashtrade.services.listening import check_port, listen, port_problem

SETTING = "DASHTRADE_X_PORT"


@pytest.mark.parametrize("ask", [listen, check_port])
def test_a_taken_port_names_who_has_it_and_the_setting(ask):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ConfigurationError) as refused:
            ask("127.0.0.1", port, SETTING)
    assert str(refused.value) == (
        f"Port {port} of 127.0.0.1 is in use by {psutil.Process().name()} (process {os.getpid()}). "
        f"Stop what uses it, or set {SETTING} to another one."
    )


def test_the_metrics_say_it_the_same_way():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ConfigurationError, match=f"Port {port} of .* is in use .*DASHTRADE_JOBS_METRICS_PORT"):
            Endpoint("jobs", lambda: None, port=port)  # type: ignore[arg-type, return-value]


@pytest.mark.parametrize("host", ["no such host", "203.0.113.7"])
@pytest.mark.parametrize("ask", [listen, check_port])
def test_an_address_of_another_machine_names_its_setting(ask, host):
    with pytest.raises(ConfigurationError, match=f"The address {host} is not one of this machine. Correct DASHTRADE_H"):
        ask(host, 0, SETTING)


def test_a_port_without_the_right_to_it_names_the_remedy():
    text = port_problem(PermissionError(13, "Permission denied"), "127.0.0.1", 80, SETTING)
    assert text == f"Port 80 of 127.0.0.1 may not be opened by this account. Set {SETTING} to one above 1023."


def test_a_free_port_is_no_problem():
    check_port("127.0.0.1", 0, SETTING)
    listen("127.0.0.1", 0, SETTING).close()
