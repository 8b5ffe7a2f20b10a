"""Asks a running server what it is: extensions, TCP_NODELAY of its sockets, its cipher suite.

What the tables print of a set-up is looked up here, not believed.
"""

from __future__ import annotations

import ctypes
import os
import socket
import ssl
from contextlib import suppress
from pathlib import Path
from typing import Any

from measure import Running
from peers import version

_REQUEST = (
    b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
    b"Sec-WebSocket-Extensions: permessage-deflate\r\n\r\n"
)
# The same numbers on all architectures.
_PIDFD_GETFD = 438
_libc = ctypes.CDLL(None, use_errno=True)


def set_up(running: Running) -> dict[str, Any]:
    """Return a server's row of the set-up table.

    Returns:
        ``setup`` and ``versions`` from its declaration; ``nodelay`` and ``extensions`` as found,
        None where they could not be told.
    """
    server = running.server
    extensions, nodelay = look(running)
    return {
        "setup": server.setup,
        "versions": ", ".join(version(package) for package in server.packages) or None,
        "nodelay": nodelay,
        "extensions": extensions,
    }


def look(running: Running) -> tuple[str | None, bool | None]:
    """Return what a server without TLS agrees to when offered extensions, and its TCP_NODELAY."""
    extensions = nodelay = None
    with suppress(OSError), socket.create_connection(("127.0.0.1", running.port), 5) as ws:
        ws.sendall(_REQUEST)
        extensions = _extensions(_head(ws))
        nodelay = _nodelay(running.pids(), ws.getsockname()[1])
    return extensions, nodelay


def suite(running: Running) -> str | None:
    """Return the TLS version and cipher suite that a server with TLS chooses.

    It is offered what OpenSSL offers by default, as it is by the generator.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    with (
        suppress(OSError),
        socket.create_connection(("127.0.0.1", running.port), 5) as plain,
        context.wrap_socket(plain) as secured,
    ):
        chosen = secured.cipher()
        return f"{secured.version()}, {chosen[0]}" if chosen else None
    return None


def _head(ws: socket.socket) -> bytes:
    head = b""
    while b"\r\n\r\n" not in head:
        got = ws.recv(65536)
        if not got:
            raise OSError("no answer to the upgrade")
        head += got
    return head


def _extensions(head: bytes) -> str | None:
    if not head.startswith(b"HTTP/1.1 101"):
        return None
    for line in head.split(b"\r\n"):
        name, _, value = line.partition(b":")
        if name.lower() == b"sec-websocket-extensions":
            return value.strip().decode("latin-1")
    return "none"


def _nodelay(pids: list[int], port: int) -> bool | None:
    """Return TCP_NODELAY of the server's end of the connection from that port."""
    for pid in pids:
        with suppress(OSError):
            pidfd = os.pidfd_open(pid)
            try:
                for entry in Path(f"/proc/{pid}/fd").iterdir():
                    with suppress(OSError):
                        if os.readlink(entry).startswith("socket:"):
                            found = _nodelay_of(pidfd, int(entry.name), port)
                            if found is not None:
                                return found
            finally:
                os.close(pidfd)
    return None


def _nodelay_of(pidfd: int, number: int, port: int) -> bool | None:
    fd = _libc.syscall(_PIDFD_GETFD, pidfd, number, 0)
    if fd < 0:
        return None
    with socket.socket(fileno=fd) as copy:
        if copy.family != socket.AF_INET or copy.getpeername()[1] != port:
            return None
        return copy.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) != 0
