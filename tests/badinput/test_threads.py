"""Peers that break the protocol or send floods, against the threads API."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from duologue import Limits
from duologue.base.accounts import accounts
from duologue.exceptions import ConnectionClosedError, InvalidMessage
from duologue.sync.client import connect
from duologue.sync.server import serve

REQUEST = (
    b"GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)


def masked(first: int, payload: bytes, length: int | None = None) -> bytes:
    """A frame with a mask of zeros."""
    size = len(payload) if length is None else length
    if size < 126:
        head = bytes([first, 0x80 | size])
    elif size < 65536:
        head = bytes([first, 0xFE]) + size.to_bytes(2, "big")
    else:
        head = bytes([first, 0xFF]) + size.to_bytes(8, "big")
    return head + bytes(4) + payload


@contextmanager
def victim(**options: Any) -> Iterator[tuple[socket.socket, list[Any]]]:
    """A server whose handler notes what it receives, and a raw client after the handshake."""
    seen: list[Any] = []
    ended = threading.Event()

    def handler(ws: Any) -> None:
        try:
            for message in ws:
                seen.append(message)
        except ConnectionClosedError as exc:
            seen.append(exc)
        ended.set()

    with serve(handler, "127.0.0.1", 0, **options) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        with socket.create_connection(server.socket.getsockname()) as sock:
            sock.settimeout(10)
            sock.sendall(REQUEST)
            head = b""
            while not head.endswith(b"\r\n\r\n"):
                head += sock.recv(1)
            yield sock, seen
        assert ended.wait(10)
    thread.join()


def close_code(sock: socket.socket) -> int:
    """Read on to the Close frame of a server that sends nothing else."""
    octets = b""
    while len(octets) < 4:
        more = sock.recv(1000)
        assert more, "no Close frame"
        octets += more
    assert octets[0] == 0x88
    return int.from_bytes(octets[2:4], "big")


@pytest.mark.parametrize(
    ("octets", "code"),
    [
        (b"\x81\x00", 1002),  # not masked
        (masked(0x83, b""), 1002),  # unknown opcode
        (masked(0x91, b""), 1002),  # reserved bit
        (masked(0x80, b""), 1002),  # nothing to continue
        (masked(0x09, b""), 1002),  # a fragmented ping
        (masked(0x89, b"x" * 126), 1002),  # a ping that is too long
        (masked(0x88, b"\x03"), 1002),  # half a close code
        (masked(0x88, b"\x03\xed"), 1002),  # 1005
        (masked(0x81, b"\xff"), 1007),
        (masked(0x81, b"", 2**63), 1002),
        (masked(0x82, b"", 2**62), 1009),
    ],
)
def test_faults(octets: bytes, code: int) -> None:
    with victim() as (sock, seen):
        sock.sendall(masked(0x81, b"before") + octets)
        assert close_code(sock) == code
    assert seen[0] == "before"
    assert isinstance(seen[1], ConnectionClosedError)
    assert seen[1].sent is not None
    assert seen[1].sent.code == code


@pytest.mark.parametrize("octets", [b"", b"\x81", masked(0x01, b"half"), masked(0x81, b"x", 100)])
def test_cut_off(octets: bytes) -> None:
    with victim() as (sock, seen):
        sock.sendall(octets)
        sock.shutdown(socket.SHUT_RDWR)
    assert [type(each) for each in seen] == [ConnectionClosedError]


def test_a_flood_of_messages_is_bounded() -> None:
    """A handler that takes nothing holds at most its inbox; the rest waits at the peer."""
    release, begun = threading.Event(), threading.Event()

    def handler(ws: Any) -> None:
        begun.set()
        release.wait(20)

    limits = Limits(max_queue_bytes=100_000)
    with serve(handler, "127.0.0.1", 0, limits=limits) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        with socket.create_connection(server.socket.getsockname()) as sock:
            sock.settimeout(0.5)
            sock.sendall(REQUEST)
            assert begun.wait(10)
            frame = masked(0x82, b"x" * 10_000)
            with pytest.raises(TimeoutError):
                while True:
                    sock.sendall(frame)
            # Two reads of the engine at most beyond the mark.
            assert accounts().octets < 100_000 + 2 * 262_144
        release.set()
    thread.join()


def test_a_flood_of_pings_wakes_nobody() -> None:
    with victim() as (sock, seen):
        pongs = 0
        for _ in range(50):
            sock.sendall(masked(0x89, b"") * 20)
            got = b""
            while len(got) < 40:
                got += sock.recv(1000)
            pongs += got.count(b"\x8a\x00")
        assert pongs == 1000
        sock.sendall(masked(0x88, b"\x03\xe8"))
        assert close_code(sock) == 1000
    assert seen == []


@pytest.mark.parametrize(
    "answer", [b"", b"\r\n\r\n", b"HTTP/1.1 nonsense\r\n\r\n", b"\x00" * 100_000]
)
def test_clients_of_wrong_servers(answer: bytes) -> None:
    def answering() -> None:
        sock, _ = listening.accept()
        with sock:
            sock.recv(10_000)
            sock.sendall(answer)

    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=answering)
        thread.start()
        with pytest.raises((InvalidMessage, OSError)):
            connect(f"ws://127.0.0.1:{listening.getsockname()[1]}/", proxy=None, open_timeout=10)
        thread.join()
