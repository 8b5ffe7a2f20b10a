"""Sockets handed over by systemd."""

from __future__ import annotations

import os
import socket
import subprocess
import sys

import pytest

from duologue.net.activation import activated_sockets, inherited

PROGRAM = """
import os
from duologue.net.activation import activated_sockets
os.environ["LISTEN_PID"] = str(os.getpid())
first = activated_sockets()
print([each.getsockname()[1] for each in first], activated_sockets(), "LISTEN_FDS" in os.environ)
print([each.get_inheritable() for each in first])
"""


def test_sockets_are_taken_once() -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as one,
        socket.create_server(("127.0.0.1", 0)) as two,
    ):
        fds = (one.fileno(), two.fileno())

        def put() -> None:
            # Both out of the way first: one may be where the other is to go.
            copies = [os.dup(fd) for fd in fds]
            high = [os.dup2(copy, 200 + index) for index, copy in enumerate(copies)]
            for index, fd in enumerate(high):
                os.dup2(fd, 3 + index)

        done = subprocess.run(
            [sys.executable, "-c", PROGRAM],
            env={**os.environ, "LISTEN_FDS": "2"},
            preexec_fn=put,
            close_fds=False,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        ports = [one.getsockname()[1], two.getsockname()[1]]
    assert done.stdout.splitlines() == [f"{ports} [] False", "[False, False]"], done.stderr


def test_those_of_another_process_are_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LISTEN_PID", str(os.getpid() + 1))
    monkeypatch.setenv("LISTEN_FDS", "1")
    assert activated_sockets() == []
    assert os.environ["LISTEN_FDS"] == "1"


def test_without_systemd_there_are_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LISTEN_PID", raising=False)
    assert activated_sockets() == []


def test_a_datagram_socket_is_refused_and_not_closed() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        with pytest.raises(OSError, match="not a stream socket"):
            inherited(sock.fileno())
        sock.bind(("127.0.0.1", 0))
