"""What the tests of pywebsocket's handlers send and read."""

from __future__ import annotations

import contextlib
import socket
import ssl
from collections.abc import Callable

from duologue.frontends.pywebsocket.server import Server

PATIENCE = 30.0
KEY = "dGhlIHNhbXBsZSBub25jZQ=="
ECHO = """
    from pywebsocket3 import msgutil

    def web_socket_do_extra_handshake(request):
        pass

    def web_socket_transfer_data(request):
        while (message := request.ws_stream.receive_message()) is not None:
            msgutil.send_message(request, message, binary=isinstance(message, bytes))
"""


def frame(opcode: int, payload: bytes = b"", *, fin: bool = True, rsv: int = 0) -> bytes:
    length = len(payload)
    size = bytes([0x80 | length]) if length < 126 else b"\xfe" + length.to_bytes(2, "big")
    return bytes([fin << 7 | rsv << 4 | opcode]) + size + bytes(4) + payload


CLOSE = frame(8, b"\x03\xe8")


def request(target: str = "/h", *headers: str) -> bytes:
    lines = [
        f"GET {target} HTTP/1.1",
        *("Host: x", "Upgrade: websocket", "Connection: Upgrade"),
        *("Sec-WebSocket-Version: 13", f"Sec-WebSocket-Key: {KEY}"),
        *headers,
    ]
    return "\r\n".join([*lines, "", ""]).encode("latin-1")


class Running:
    """A server that serves."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.port = server.port

    def open(self, octets: bytes = b"", tls: ssl.SSLContext | None = None) -> socket.socket:
        """Connect, and send something."""
        sock = socket.create_connection(("127.0.0.1", self.port), PATIENCE)
        if tls is not None:
            sock = tls.wrap_socket(sock, server_hostname="localhost")
        sock.sendall(octets)
        return sock

    def converse(self, *parts: bytes, tls: ssl.SSLContext | None = None) -> bytes:
        """Send everything, and return what came until the end."""
        with self.open(b"".join(parts), tls) as sock:
            return read_all(sock)

    def talk(self, *parts: bytes, target: str = "/h") -> bytes:
        """Open a WebSocket and return what came after the 101."""
        head, _, came = self.converse(request(target), *parts).partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 101 "), head
        return came


def read_all(sock: socket.socket) -> bytes:
    came = b""
    with contextlib.suppress(ConnectionError):
        while part := sock.recv(65536):
            came += part
    return came


def read_exactly(sock: socket.socket, length: int) -> bytes:
    came = b""
    while len(came) < length:
        part = sock.recv(length - len(came))
        assert part, came
        came += part
    return came


def read_head(sock: socket.socket) -> bytes:
    came = b""
    while not came.endswith(b"\r\n\r\n"):
        came += read_exactly(sock, 1)
    return came


Serve = Callable[..., contextlib.AbstractContextManager[Running]]
