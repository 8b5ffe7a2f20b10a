"""Peers that send more than anyone could want, or read nothing: the server's memory stays flat.

The server runs in a process of its own; its peak of resident memory is what is judged.
"""

from __future__ import annotations

import contextlib
import json
import socket
import subprocess
import sys
import time
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from .hostile import BINARY, CONT, PING, TEXT, close_code, frame, request

MIB = 1024 * 1024
PATIENCE = 20.0

pytestmark = pytest.mark.skipif(
    not Path("/proc/self/clear_refs").exists(), reason="needs Linux to measure another process"
)


class Victim:
    """A running server.

    Attributes:
        process: Its process.
        port: Where it listens.
    """

    def __init__(self, process: subprocess.Popen[str], port: int) -> None:
        self.process = process
        self.port = port
        self._before = 0

    def _memory(self, name: str) -> int:
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        line = next(line for line in status.splitlines() if line.startswith(f"{name}:"))
        return int(line.split()[1]) * 1024

    def mark(self) -> None:
        """Measure growth from here on."""
        Path(f"/proc/{self.process.pid}/clear_refs").write_text("5")
        self._before = self._memory("VmRSS")

    def growth(self) -> int:
        """Return by how much memory had grown since the mark when it was largest."""
        return self._memory("VmHWM") - self._before

    def connect(self) -> socket.socket:
        sock = socket.create_connection(("127.0.0.1", self.port), timeout=PATIENCE)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return sock

    def open(self, *headers: str) -> socket.socket:
        sock = self.connect()
        sock.sendall(request(*headers))
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            head += sock.recv(1)
        assert b" 101 " in head, head
        return sock

    def report(self) -> dict[str, Any]:
        """Return how the next connection ended."""
        assert self.process.stdout is not None
        return dict(json.loads(self.process.stdout.readline()))


@contextlib.contextmanager
def victim(handler: str, **options: Any) -> Iterator[Victim]:
    """Start a server; an ordinary conversation first, so that what is loaded once is loaded."""
    script = Path(__file__).with_name("victim.py")
    with subprocess.Popen(
        [sys.executable, str(script), handler, json.dumps(options)],
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            assert process.stdout is not None
            server = Victim(process, int(process.stdout.readline()))
            with server.open("Sec-WebSocket-Extensions: permessage-deflate") as sock:
                sock.sendall(frame(BINARY, deflated(bytes(100_000)), rsv=4))
                sock.sendall(frame(8, b"\x03\xe8"))
                drain(sock)
            server.report()
            yield server
        finally:
            process.kill()


def deflated(data: bytes) -> bytes:
    encoder = zlib.compressobj(9, wbits=-15)
    return (encoder.compress(data) + encoder.flush(zlib.Z_SYNC_FLUSH))[:-4]


def test_the_measure_measures() -> None:
    """The same bomb where it is allowed, and a handler that keeps it."""
    with (
        victim("sink", max_size=None) as server,
        server.open("Sec-WebSocket-Extensions: permessage-deflate") as sock,
    ):
        server.mark()
        sock.sendall(frame(BINARY, deflated(bytes(64 * MIB)), rsv=4))
        sock.sendall(frame(8, b"\x03\xe8"))
        assert close_code(drain(sock)) == 1000
        assert server.growth() > 64 * MIB


def drain(sock: socket.socket) -> bytes:
    """Return what comes until the server ends the connection."""
    octets = b""
    with contextlib.suppress(ConnectionError):
        while data := sock.recv(65536):
            octets += data
    return octets


def pour(sock: socket.socket, octets: bytes, *, seconds: float = PATIENCE) -> int:
    """Send octets until all are sent, the server ends the connection, or it takes no more.

    Returns:
        How many were sent.
    """
    view, sent, end = memoryview(octets), 0, time.monotonic() + seconds
    sock.settimeout(1.0)
    with contextlib.suppress(ConnectionError, TimeoutError):
        while sent < len(view) and time.monotonic() < end:
            sent += sock.send(view[sent : sent + 262_144])
    sock.settimeout(PATIENCE)
    return sent


def test_a_million_empty_fragments() -> None:
    with victim("sink") as server, server.open() as sock:
        server.mark()
        sock.sendall(frame(TEXT, b"", fin=False))
        pour(sock, frame(CONT, b"", fin=False) * 1_000_000)
        assert close_code(drain(sock)) == 1009
        sock.close()
        assert server.report()["sent"] == 1009
        assert server.growth() < 4 * MIB


def test_a_million_empty_fragments_without_limits_of_their_own() -> None:
    """Empty fragments are not stored, so a message made of them costs nothing even unlimited."""
    with victim("sink", max_size=None) as server, server.open() as sock:
        server.mark()
        sock.sendall(frame(TEXT, b"", fin=False))
        octets = frame(CONT, b"", fin=False) * 1_000_000
        assert pour(sock, octets) == len(octets)
        sock.sendall(frame(CONT, b"end") + frame(8, b"\x03\xe8"))
        assert close_code(drain(sock)) == 1000
        assert server.growth() < 4 * MIB


@pytest.mark.parametrize("fragments", [1, 1000])
def test_a_zip_bomb(fragments: int) -> None:
    encoder = zlib.compressobj(9, wbits=-15)
    bomb = b"".join(encoder.compress(bytes(16 * MIB)) for _ in range(48)) + encoder.flush(
        zlib.Z_SYNC_FLUSH
    )
    size = len(bomb) // fragments + 1
    parts = [bomb[start : start + size] for start in range(0, len(bomb), size)]
    octets = b"".join(
        frame(
            CONT if number else BINARY,
            part,
            rsv=0 if number else 4,
            fin=number == len(parts) - 1,
        )
        for number, part in enumerate(parts)
    )
    with (
        victim("sink", max_size=MIB) as server,
        server.open("Sec-WebSocket-Extensions: permessage-deflate") as sock,
    ):
        server.mark()
        pour(sock, octets)
        assert close_code(drain(sock)) == 1009
        sock.close()
        assert server.report()["sent"] == 1009
        # A message of the limit, what growing it takes, and the compressed octets.
        assert server.growth() < 6 * MIB


def test_zip_bombs_within_the_limit_wait_outside_of_a_full_inbox() -> None:
    """Each of these 256 messages is allowed; all at once would be 256 MiB."""
    octets = frame(BINARY, deflated(bytes(MIB)), rsv=4) * 256
    with (
        victim("deaf", max_size=MIB) as server,
        server.open("Sec-WebSocket-Extensions: permessage-deflate") as sock,
    ):
        server.mark()
        pour(sock, octets, seconds=2)
        time.sleep(0.2)
        assert server.growth() < 8 * MIB


def test_a_handler_that_never_receives_stops_the_peer() -> None:
    with victim("deaf") as server, server.open() as sock:
        server.mark()
        octets = frame(BINARY, bytes(100_000)) * 640
        assert pour(sock, octets) < len(octets)
        assert server.growth() < 8 * MIB


def test_a_length_that_is_never_filled_takes_no_memory() -> None:
    with victim("sink", max_size=None) as server, contextlib.ExitStack() as stack:
        server.mark()
        for declared in (2**30, 2**40, 2**62, 2**63 - 1):
            sock = stack.enter_context(server.open())
            sock.sendall(frame(BINARY, bytes(1000), declared=declared))
        time.sleep(0.2)
        assert server.growth() < 8 * MIB
        with server.open() as sock:  # still there
            sock.sendall(frame(8, b"\x03\xe8"))
            assert close_code(drain(sock)) == 1000


def test_a_peer_that_sends_but_never_reads() -> None:
    limits = {"write_timeout": 1.0}
    with victim("echo", limits=limits) as server, server.open() as sock:
        server.mark()
        octets = frame(BINARY, bytes(100_000)) * 640
        assert pour(sock, octets) < len(octets)
        report = server.report()
        assert report["code"] == 1006
        assert "write_timeout of 1.0 s" in report["cause"]
        assert server.growth() < 8 * MIB


def test_a_peer_that_pings_but_never_reads() -> None:
    limits = {"write_timeout": 1.0}
    with victim("sink", limits=limits) as server, server.open() as sock:
        server.mark()
        octets = frame(PING, bytes(125)) * 400_000
        pour(sock, octets)
        assert server.report()["code"] == 1006
        assert server.growth() < 4 * MIB


def test_a_handler_that_does_not_wait_for_a_peer_that_never_reads() -> None:
    limits = {"max_outbox": 4 * MIB, "write_timeout": 60.0}
    with victim("gusher", limits=limits, close_timeout=1.0) as server, server.open() as sock:
        server.mark()
        sock.sendall(frame(TEXT, b"go"))
        assert server.report()["code"] == 1006
        assert server.growth() < 12 * MIB


def test_a_peer_that_floods_a_connection_that_closes() -> None:
    with victim("farewell", close_timeout=1.0) as server, server.open() as sock:
        server.mark()
        pour(sock, frame(BINARY, bytes(100_000)) * 1280, seconds=5)
        server.report()
        assert server.growth() < 8 * MIB


def test_a_head_that_never_ends() -> None:
    with victim("sink") as server, server.connect() as sock:
        server.mark()
        sock.sendall(b"GET / HTTP/1.1\r\n")
        pour(sock, b"X: y\r\n" * 5_000_000, seconds=5)
        assert server.growth() < 4 * MIB


def test_requests_without_end_on_one_connection() -> None:
    """Pipelined requests are answered in order; those that wait are not all read."""
    with victim("sink") as server, server.connect() as sock:
        server.mark()
        pour(sock, b"GET / HTTP/1.1\r\nHost: a\r\n\r\n" * 500_000, seconds=3)
        assert server.growth() < 8 * MIB


def test_five_hundred_connections_with_half_a_head() -> None:
    with victim("sink", open_timeout=60) as server, contextlib.ExitStack() as stack:
        server.mark()
        for _ in range(500):
            stack.enter_context(server.connect()).sendall(request()[:60])
        with server.open() as sock:
            sock.sendall(frame(8, b"\x03\xe8"))
            assert close_code(drain(sock)) == 1000
        assert server.growth() < 500 * 16_384
