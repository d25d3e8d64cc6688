"""What is listened on, and the variables of the service manager."""

from __future__ import annotations

import socket

import pytest
from fakes import settings

from scailookup.errors import SettingsError
from scailookup.processes import open_sockets


def test_each_worker_has_a_socket_of_its_own() -> None:
    """All on one free port, which the url names; the admin listener has another."""
    given = settings(SCAIFLOW_API_PORT="0", SCAILOOKUP_ADMIN="127.0.0.1:0", SCAILOOKUP_WORKERS="3")
    sockets = open_sockets(given, {})
    ports = {sock.getsockname()[1] for each in sockets.public for sock in each}
    assert (len(sockets.public), ports) == (3, {sockets.port})
    assert sockets.url == f"http://127.0.0.1:{sockets.port}"
    assert sockets.admin_url == f"http://127.0.0.1:{sockets.admin[0].getsockname()[1]}"
    sockets.close()


def test_an_admin_listener_that_is_off_has_no_socket() -> None:
    """Neither socket nor address."""
    sockets = open_sockets(settings(SCAIFLOW_API_PORT="0", SCAILOOKUP_ADMIN="off"), {})
    assert (sockets.admin, sockets.admin_url) == ([], None)
    sockets.close()


def test_variables_meant_for_another_process_are_dropped() -> None:
    """LISTEN_PID names somebody else: nothing is taken, and no child of ours may be misled."""
    environ = {"LISTEN_PID": "1", "LISTEN_FDS": "1", "LISTEN_FDNAMES": "web"}
    given = settings(SCAIFLOW_API_PORT="0", SCAILOOKUP_ADMIN="off")
    sockets = open_sockets(given, environ)
    assert environ == {}
    assert sockets.port > 0
    sockets.close()


def test_new_settings_do_not_open_what_is_bound_already() -> None:
    """Authentication cannot be switched off behind a socket that others reach."""
    given = settings(SCAIFLOW_API_HOST="0.0.0.0", SCAIFLOW_API_PORT="0", SCAILOOKUP_ADMIN="off")
    sockets = open_sockets(given, {})
    with pytest.raises(SettingsError, match="SCAIFLOW_AUTH_DISABLED"):
        sockets.check(settings(SCAIFLOW_AUTH_DISABLED="true"))
    sockets.close()


def test_a_taken_port_is_refused_with_several_workers_too() -> None:
    """Sharing a port is for our own workers; which of the two listeners it is about is said."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = str(other.getsockname()[1])
        with pytest.raises(OSError, match=f"port {port} of 127.0.0.1: .* in use"):
            open_sockets(settings(SCAIFLOW_API_PORT=port, SCAILOOKUP_WORKERS="2"), {})
