"""Conversations to test: two ends of one library, or one end against octets written by hand.

:func:`ends` joins a client and a server of the same library. :func:`wire` joins one of them to a
:class:`RawPeer`, which speaks RFC 6455 octet by octet, so that a test says exactly what arrives
and sees exactly what leaves.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import os
import socket
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from .library import Library

CONT, TEXT, BINARY, CLOSE, PING, PONG = 0x0, 0x1, 0x2, 0x8, 0x9, 0xA
KEY = base64.b64encode(b"0123456789abcdef").decode()


def url(server: Any, path: str = "/", scheme: str = "ws") -> str:
    """URL of ``path`` on a server that listens on one loopback TCP port."""
    host, port = server.sockets[0].getsockname()[:2]
    return f"{scheme}://{host}:{port}{path}"


async def echo(connection: Any) -> None:
    """A handler that sends back what it receives."""
    async for message in connection:
        await connection.send(message)


async def wait_until_closed(connection: Any) -> None:
    """A handler that leaves the connection to the test."""
    await connection.wait_closed()


@contextlib.asynccontextmanager
async def accepting(lib: Library, **options: Any) -> AsyncIterator[tuple[Any, asyncio.Queue[Any]]]:
    """A server whose open connections appear in a queue; its handler waits for their end."""
    accepted: asyncio.Queue[Any] = asyncio.Queue()

    async def handler(connection: Any) -> None:
        accepted.put_nowait(connection)
        await connection.wait_closed()

    async with lib.serve(handler, "127.0.0.1", 0, **options) as server:
        yield server, accepted


@contextlib.asynccontextmanager
async def ends(
    lib: Library, role: str = "client", *, remote: dict[str, Any] | None = None, **local: Any
) -> AsyncIterator[tuple[Any, Any]]:
    """Join two ends of ``lib``.

    Args:
        lib: The library that plays both.
        role: ``"client"`` or ``"server"``: what the first of the two is.
        remote: Options of the second end.
        local: Options of the first end.

    Yields:
        The end that plays ``role``, and the other one.
    """
    client, server = (local, remote or {}) if role == "client" else (remote or {}, local)
    async with accepting(lib, **server) as (listening, accepted):
        async with lib.connect(url(listening), **client) as client_end:
            server_end = await accepted.get()
            yield (client_end, server_end) if role == "client" else (server_end, client_end)


@dataclass
class WireFrame:
    """A frame as it was on the wire, unmasked."""

    opcode: int
    payload: bytes
    fin: bool
    rsv1: bool
    masked: bool


def close_payload(code: int, reason: str = "") -> bytes:
    """Payload of a Close frame (RFC 6455, 5.5.1)."""
    return struct.pack("!H", code) + reason.encode()


def encode_frame(
    opcode: int, payload: bytes = b"", *, fin: bool = True, rsv: int = 0, mask: bool
) -> bytes:
    """Octets of one frame (RFC 6455, 5.2)."""
    head = bytes([(0x80 if fin else 0) | rsv << 4 | opcode])
    bit = 0x80 if mask else 0
    if len(payload) < 126:
        head += bytes([bit | len(payload)])
    elif len(payload) < 65536:
        head += struct.pack("!BH", bit | 126, len(payload))
    else:
        head += struct.pack("!BQ", bit | 127, len(payload))
    if not mask:
        return head + payload
    key = os.urandom(4)
    repeated = key * (len(payload) // 4 + 1)
    masked = int.from_bytes(payload, "big") ^ int.from_bytes(repeated[: len(payload)], "big")
    return head + key + masked.to_bytes(len(payload), "big")


class RawPeer:
    """The other end of a connection, written by hand."""

    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, masks: bool
    ) -> None:
        self.reader = reader
        self.writer = writer
        self.masks = masks
        self.handshake = b""
        """Head that the library under test sent."""

    async def send_octets(self, octets: bytes) -> None:
        self.writer.write(octets)
        await self.writer.drain()

    async def send(
        self, opcode: int, payload: bytes = b"", *, fin: bool = True, rsv: int = 0
    ) -> None:
        await self.send_octets(encode_frame(opcode, payload, fin=fin, rsv=rsv, mask=self.masks))

    async def receive(self) -> WireFrame:
        """Read one frame.

        Raises:
            asyncio.IncompleteReadError: If the connection ended instead.
        """
        first, second = await self.reader.readexactly(2)
        length = second & 0x7F
        if length == 126:
            (length,) = struct.unpack("!H", await self.reader.readexactly(2))
        elif length == 127:
            (length,) = struct.unpack("!Q", await self.reader.readexactly(8))
        masked = bool(second & 0x80)
        key = await self.reader.readexactly(4) if masked else b""
        payload = await self.reader.readexactly(length)
        if masked:
            payload = bytes(octet ^ key[i % 4] for i, octet in enumerate(payload))
        return WireFrame(first & 0x0F, payload, bool(first & 0x80), bool(first & 0x40), masked)

    async def receive_close(self) -> tuple[int | None, str]:
        """Skip frames up to the Close frame; its code (None when it has none) and reason."""
        while True:
            frame = await self.receive()
            if frame.opcode == CLOSE:
                if not frame.payload:
                    return None, ""
                return struct.unpack("!H", frame.payload[:2])[0], frame.payload[2:].decode()

    async def close(self, code: int | None = 1000, reason: str = "") -> int | None:
        """Perform the closing handshake; return the code of the answer."""
        await self.send(CLOSE, b"" if code is None else close_payload(code, reason))
        answered, _ = await self.receive_close()
        self.writer.close()
        return answered

    async def answer_close(self) -> tuple[int | None, str]:
        """Wait for a Close frame and echo it; return its code and reason."""
        code, reason = await self.receive_close()
        await self.send(CLOSE, b"" if code is None else close_payload(code, reason))
        self.writer.close()
        return code, reason

    async def at_eof(self) -> None:
        """Wait until the library ends the TCP connection, whatever it sends before."""
        with contextlib.suppress(ConnectionError):
            while await self.reader.read(65536):
                pass

    def abort(self) -> None:
        """Cut the TCP connection."""
        self.writer.transport.abort()


def accept_for(head: bytes) -> str:
    """``Sec-WebSocket-Accept`` for the request in ``head`` (RFC 6455, 4.2.2)."""
    for line in head.decode("latin-1").split("\r\n"):
        name, _, value = line.partition(":")
        if name.lower() == "sec-websocket-key":
            guid = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
            return base64.b64encode(hashlib.sha1((value.strip() + guid).encode()).digest()).decode()
    raise AssertionError(f"no key in {head!r}")


def upgrade_request(path: str = "/", *headers: str, host: str = "localhost") -> bytes:
    """A correct opening request with more headers."""
    lines = [
        f"GET {path} HTTP/1.1",
        f"Host: {host}",
        "Upgrade: websocket",
        "Connection: Upgrade",
        f"Sec-WebSocket-Key: {KEY}",
        "Sec-WebSocket-Version: 13",
        *headers,
    ]
    return "\r\n".join(lines).encode() + b"\r\n\r\n"


def upgrade_response(head: bytes, *headers: str) -> bytes:
    """A correct answer to the request in ``head`` with more headers."""
    lines = [
        "HTTP/1.1 101 Switching Protocols",
        "Upgrade: websocket",
        "Connection: Upgrade",
        f"Sec-WebSocket-Accept: {accept_for(head)}",
        *headers,
    ]
    return "\r\n".join(lines).encode() + b"\r\n\r\n"


@contextlib.asynccontextmanager
async def raw_server(
    conversation: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]],
) -> AsyncIterator[str]:
    """A TCP server that runs ``conversation`` for each connection; yields its ws:// URL.

    What a conversation raises, other than the loss of its connection, fails the test.
    """
    failures: list[BaseException] = []
    writers: list[asyncio.StreamWriter] = []
    tasks: list[asyncio.Task[Any] | None] = []

    async def accepted(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.append(writer)
        tasks.append(asyncio.current_task())
        try:
            await conversation(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        except Exception as exc:
            failures.append(exc)
            writer.transport.abort()

    server = await asyncio.start_server(accepted, "127.0.0.1", 0)
    try:
        yield url(server)
    finally:
        server.close()
        for writer in writers:
            writer.transport.abort()
        for task in filter(None, tasks):
            task.cancel()
            await asyncio.wait([task])
        await server.wait_closed()
    for failure in failures:
        raise failure


@contextlib.asynccontextmanager
async def raw_client(
    server: Any, *headers: str, path: str = "/", receive_buffer: int | None = None
) -> AsyncIterator[RawPeer]:
    """Connect to ``server`` of the library under test and perform the opening handshake.

    Args:
        server: Where to connect.
        headers: Header lines to add to the request.
        path: Request target.
        receive_buffer: ``SO_RCVBUF`` of the socket, in bytes.
    """
    sock = socket.socket()
    if receive_buffer is not None:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
    sock.setblocking(False)
    await asyncio.get_running_loop().sock_connect(sock, server.sockets[0].getsockname()[:2])
    reader, writer = await asyncio.open_connection(sock=sock, limit=4096)
    peer = RawPeer(reader, writer, masks=True)
    try:
        await peer.send_octets(upgrade_request(path, *headers))
        peer.handshake = await reader.readuntil(b"\r\n\r\n")
        yield peer
    finally:
        peer.abort()


@contextlib.asynccontextmanager
async def wire(
    lib: Library,
    role: str = "client",
    *,
    headers: tuple[str, ...] = (),
    receive_buffer: int | None = None,
    **options: Any,
) -> AsyncIterator[tuple[Any, RawPeer]]:
    """Join one end of ``lib`` to a :class:`RawPeer`.

    Args:
        lib: The library under test.
        role: ``"client"`` or ``"server"``: what the library plays.
        headers: Header lines that the raw peer adds to its head.
        receive_buffer: ``SO_RCVBUF`` of a raw client's socket, in bytes.
        options: Options of the library's end.
    """
    if role == "server":
        async with accepting(lib, **options) as (server, accepted):
            async with raw_client(server, *headers, receive_buffer=receive_buffer) as peer:
                yield await accepted.get(), peer
        return

    peers: asyncio.Queue[RawPeer] = asyncio.Queue()
    done = asyncio.Event()

    async def conversation(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        peer = RawPeer(reader, writer, masks=False)
        peer.handshake = await reader.readuntil(b"\r\n\r\n")
        await peer.send_octets(upgrade_response(peer.handshake, *headers))
        peers.put_nowait(peer)
        await done.wait()

    async with raw_server(conversation) as address:
        connection = await lib.connect(address, **options)
        peer = await peers.get()
        try:
            yield connection, peer
        finally:
            done.set()
            peer.abort()
            await connection.close()


async def stays_pending(task: asyncio.Task[Any], seconds: float = 0.05) -> bool:
    """Whether ``task`` is still waiting after ``seconds``."""
    await asyncio.wait([task], timeout=seconds)
    return not task.done()


async def turns(count: int = 5) -> None:
    """Let the event loop run what is ready."""
    for _ in range(count):
        await asyncio.sleep(0)
