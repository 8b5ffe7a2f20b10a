"""Conversations to test: two ends of one library, or one end against octets written by hand."""

from __future__ import annotations

import contextlib
import queue
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

from ..ends import (
    BINARY,
    CLOSE,
    CONT,
    PING,
    PONG,
    TEXT,
    WireFrame,
    close_payload,
    encode_frame,
    upgrade_request,
    upgrade_response,
)
from .library import SyncLibrary

__all__ = ["BINARY", "CLOSE", "CONT", "PING", "PONG", "TEXT", "close_payload", "encode_frame"]

PATIENCE = 10.0
"""Seconds after which a test fails instead of waiting."""


def url(server: Any, path: str = "/", scheme: str = "ws") -> str:
    """URL of ``path`` on a server that listens on a loopback TCP port."""
    host, port = server.socket.getsockname()[:2]
    return f"{scheme}://{host}:{port}{path}"


def echo(connection: Any) -> None:
    """A handler that sends back what it receives."""
    for message in connection:
        connection.send(message)


def wait_until_closed(connection: Any) -> None:
    """A handler that leaves the connection to the test."""
    connection.wait_closed()


@contextlib.contextmanager
def running(server: Any) -> Iterator[Any]:
    """Run a server's ``serve_forever`` in a thread."""
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        with server:
            yield server
    finally:
        thread.join(PATIENCE)
        assert not thread.is_alive(), "serve_forever() goes on after shutdown()"


@contextlib.contextmanager
def serving(lib: SyncLibrary, handler: Callable[[Any], None], **options: Any) -> Iterator[Any]:
    """A server on a loopback port that accepts connections."""
    with running(lib.serve(handler, "127.0.0.1", 0, **options)) as server:
        yield server


@contextlib.contextmanager
def accepting(lib: SyncLibrary, **options: Any) -> Iterator[tuple[Any, queue.SimpleQueue[Any]]]:
    """A server whose open connections appear in a queue; its handler waits for their end."""
    accepted: queue.SimpleQueue[Any] = queue.SimpleQueue()

    def handler(connection: Any) -> None:
        accepted.put(connection)
        connection.wait_closed()

    with serving(lib, handler, **options) as server:
        yield server, accepted


@contextlib.contextmanager
def ends(
    lib: SyncLibrary, role: str = "client", *, remote: dict[str, Any] | None = None, **local: Any
) -> Iterator[tuple[Any, Any]]:
    """Join two ends of ``lib``; yield the one that plays ``role``, and the other one.

    Args:
        lib: The library that plays both.
        role: ``"client"`` or ``"server"``: what the first of the two is.
        remote: Options of the second end.
        local: Options of the first end.
    """
    client, server = (local, remote or {}) if role == "client" else (remote or {}, local)
    with accepting(lib, **server) as (listening, accepted):
        with lib.connect(url(listening), **client) as client_end:
            server_end = accepted.get(timeout=PATIENCE)
            yield (client_end, server_end) if role == "client" else (server_end, client_end)


class RawPeer:
    """The other end of a connection, written by hand."""

    def __init__(self, sock: socket.socket, *, masks: bool) -> None:
        self.sock = sock
        self.masks = masks
        self.handshake = b""
        """Head that the library under test sent."""
        self._buffer = b""
        sock.settimeout(PATIENCE)

    def read(self, count: int) -> bytes:
        while len(self._buffer) < count:
            octets = self.sock.recv(65536)
            if not octets:
                raise EOFError("the library has ended the stream")
            self._buffer += octets
        octets, self._buffer = self._buffer[:count], self._buffer[count:]
        return octets

    def read_head(self) -> bytes:
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            head += self.read(1)
        return head

    def send_octets(self, octets: bytes) -> None:
        self.sock.sendall(octets)

    def send(self, opcode: int, payload: bytes = b"", *, fin: bool = True, rsv: int = 0) -> None:
        self.send_octets(encode_frame(opcode, payload, fin=fin, rsv=rsv, mask=self.masks))

    def receive(self) -> WireFrame:
        """Read one frame."""
        first, second = self.read(2)
        length = second & 0x7F
        if length == 126:
            (length,) = struct.unpack("!H", self.read(2))
        elif length == 127:
            (length,) = struct.unpack("!Q", self.read(8))
        masked = bool(second & 0x80)
        key = self.read(4) if masked else b""
        payload = self.read(length)
        if masked:
            repeated = (key * (length // 4 + 1))[:length]
            mixed = int.from_bytes(payload, "big") ^ int.from_bytes(repeated, "big")
            payload = mixed.to_bytes(length, "big")
        return WireFrame(first & 0x0F, payload, bool(first & 0x80), bool(first & 0x40), masked)

    def receive_close(self) -> tuple[int | None, str]:
        """Skip frames up to the Close frame; its code (None when it has none) and reason."""
        while True:
            frame = self.receive()
            if frame.opcode == CLOSE:
                if not frame.payload:
                    return None, ""
                return struct.unpack("!H", frame.payload[:2])[0], frame.payload[2:].decode()

    def close(self, code: int | None = 1000, reason: str = "") -> int | None:
        """Perform the closing handshake; return the code of the answer."""
        self.send(CLOSE, b"" if code is None else close_payload(code, reason))
        answered, _ = self.receive_close()
        self.sock.close()
        return answered

    def answer_close(self) -> tuple[int | None, str]:
        """Wait for a Close frame and echo it; return its code and reason."""
        code, reason = self.receive_close()
        self.send(CLOSE, b"" if code is None else close_payload(code, reason))
        self.sock.close()
        return code, reason

    def abort(self) -> None:
        """Cut the TCP connection."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()


@contextlib.contextmanager
def raw_client(server: Any, *headers: str, receive_buffer: int | None = None) -> Iterator[RawPeer]:
    """Connect to ``server`` of the library under test and perform the opening handshake."""
    sock = socket.socket()
    if receive_buffer is not None:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
    sock.connect(server.socket.getsockname()[:2])
    with sock:
        peer = RawPeer(sock, masks=True)
        peer.send_octets(upgrade_request("/", *headers))
        peer.handshake = peer.read_head()
        yield peer


@contextlib.contextmanager
def raw_server(conversation: Callable[[RawPeer], None]) -> Iterator[str]:
    """A TCP server that runs ``conversation`` for one connection; yields its ws:// URL."""
    failures: list[BaseException] = []
    listening = socket.create_server(("127.0.0.1", 0))

    def run() -> None:
        try:
            sock, _ = listening.accept()
        except OSError:
            return
        with sock:
            try:
                conversation(RawPeer(sock, masks=False))
            except (OSError, EOFError):
                pass
            except BaseException as exc:
                failures.append(exc)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield f"ws://127.0.0.1:{listening.getsockname()[1]}/"
    finally:
        # accept() isn't woken by close().
        with contextlib.suppress(OSError):
            listening.shutdown(socket.SHUT_RDWR)
        listening.close()
        thread.join(PATIENCE)
        assert not thread.is_alive()
    for failure in failures:
        raise failure


@contextlib.contextmanager
def wire(
    lib: SyncLibrary,
    role: str = "client",
    *,
    headers: tuple[str, ...] = (),
    receive_buffer: int | None = None,
    **options: Any,
) -> Iterator[tuple[Any, RawPeer]]:
    """Join one end of ``lib`` to a :class:`RawPeer`."""
    if role == "server":
        with accepting(lib, **options) as (server, accepted):
            with raw_client(server, *headers, receive_buffer=receive_buffer) as peer:
                try:
                    yield accepted.get(timeout=PATIENCE), peer
                finally:
                    with contextlib.suppress(OSError):
                        peer.abort()
        return

    peers: queue.SimpleQueue[RawPeer] = queue.SimpleQueue()
    done = threading.Event()

    def conversation(peer: RawPeer) -> None:
        if receive_buffer is not None:
            peer.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        peer.handshake = peer.read_head()
        peer.send_octets(upgrade_response(peer.handshake, *headers))
        peers.put(peer)
        done.wait()

    with raw_server(conversation) as address:
        connection = lib.connect(address, legacy=True, **options)
        peer = peers.get(timeout=PATIENCE)
        try:
            yield connection, peer
        finally:
            with contextlib.suppress(OSError):
                peer.abort()
            done.set()
            connection.close()


class Call:
    """A call that runs in a thread of its own."""

    def __init__(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> None:
        self._outcome: queue.SimpleQueue[tuple[Any, BaseException | None]] = queue.SimpleQueue()

        def run() -> None:
            try:
                self._outcome.put((function(*args, **kwargs), None))
            except BaseException as exc:
                self._outcome.put((None, exc))

        self._thread = threading.Thread(target=run)
        self._thread.start()

    def result(self) -> Any:
        """Wait for the end; return what the call returned, or raise what it raised."""
        value, exc = self._outcome.get(timeout=PATIENCE)
        self._thread.join()
        if exc is not None:
            raise exc
        return value

    def waits(self, seconds: float = 0.1) -> bool:
        """Whether it is still running after ``seconds``."""
        self._thread.join(seconds)
        return self._thread.is_alive()


def until(condition: Callable[[], bool]) -> None:
    """Wait until something that nobody announces has come about."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, "it never came about"
        time.sleep(0.005)
