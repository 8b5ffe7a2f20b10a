"""How long a connection was silent, as the operating system tells."""

from __future__ import annotations

import os
import socket
import sys
import time

import pytest

from duologue.net.silence import (
    arrival_of,
    arrival_of_descriptor,
    silence_of,
    silence_of_descriptor,
)


@pytest.fixture
def ends() -> tuple[socket.socket, socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        client = socket.create_connection(server.getsockname())
        return client, server.accept()[0]


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells")
def test_silence_begins_with_the_last_octet(ends: tuple[socket.socket, socket.socket]) -> None:
    client, server = ends
    with client, server:
        client.sendall(b"x")
        server.recv(1)
        time.sleep(0.3)
        for sock in ends:
            silence = silence_of(sock)
            assert silence is not None and 0.25 <= silence < 60
        server.sendall(b"y")
        client.recv(1)
        told = silence_of_descriptor(client.fileno())
        assert told is not None and told < silence  # type: ignore[operator]
        # What is sent is no arrival, and reading is not what counts.
        for ask in (arrival_of, lambda sock: arrival_of_descriptor(sock.fileno())):
            arrival = ask(server)
            assert arrival is not None and arrival >= 0.25
        # It is still open, and a reset changes nothing.
        os.fstat(client.fileno())


def test_others_do_not_tell() -> None:
    one, other = socket.socketpair()
    with one, other:
        assert silence_of(one) is arrival_of(one) is None
    assert silence_of(None) is None
    assert silence_of(object()) is None
    assert silence_of_descriptor(-1) is None

    class Simulated:
        family = socket.AF_INET

        def getsockopt(self, level: int, name: int) -> int:
            return 0

    assert silence_of(Simulated()) is None
