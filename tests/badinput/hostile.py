"""What a hostile peer needs: frames of any shape, raw connections, and a server that is watched."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import logging
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from duologue.asyncio.client import connect
from duologue.asyncio.server import serve
from duologue.exceptions import ConnectionClosed

CONT, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10
KEY = base64.b64encode(b"0123456789abcdef").decode()
PATIENCE = 5.0


def frame(
    opcode: int,
    payload: bytes = b"",
    *,
    fin: bool = True,
    rsv: int = 0,
    mask: bool = True,
    length_size: int | None = None,
    declared: int | None = None,
) -> bytes:
    """Build the octets of a frame, right or wrong.

    Args:
        opcode: 0 to 15.
        payload: What follows the head.
        fin: Final bit.
        rsv: Reserved bits, 0 to 7; 4 is RSV1.
        mask: Whether to mask the payload, with a fixed key.
        length_size: Octets of the extended length: 0, 2 or 8; by default the shortest.
        declared: Length to write instead of the true one.
    """
    length = len(payload) if declared is None else declared
    if length_size is None:
        length_size = 0 if length < 126 else 2 if length < 65536 else 8
    short = {0: length, 2: 126, 8: 127}[length_size]
    head = bytes([fin << 7 | rsv << 4 | opcode, mask << 7 | short])
    head += length.to_bytes(length_size, "big") if length_size else b""
    if not mask:
        return head + payload
    key = b"\x5a\xa5\x3c\xc3"
    repeated = key * (len(payload) // 4 + 1)
    number = int.from_bytes(payload, "big") ^ int.from_bytes(repeated[: len(payload)], "big")
    return head + key + number.to_bytes(len(payload), "big")


def close_frame(code: int, reason: str = "", *, mask: bool = True) -> bytes:
    return frame(CLOSE, struct.pack("!H", code) + reason.encode(), mask=mask)


def parse_frames(octets: bytes) -> list[tuple[int, bytes]]:
    """Return opcode and payload of each whole frame, unmasked."""
    found = []
    while len(octets) >= 2:
        length, at = octets[1] & 127, 2
        if length > 125:
            size = 2 if length == 126 else 8
            length, at = int.from_bytes(octets[2 : 2 + size], "big"), 2 + size
        key = b""
        if octets[1] & 128:
            key, at = octets[at : at + 4], at + 4
        if len(octets) < at + length:
            break
        payload = octets[at : at + length]
        if key:
            payload = bytes(octet ^ key[i % 4] for i, octet in enumerate(payload))
        found.append((octets[0] & 15, payload))
        octets = octets[at + length :]
    return found


def close_code(octets: bytes) -> int | None:
    """Return the code of the only Close frame in `octets`; None if there is no such frame."""
    closes = [payload for opcode, payload in parse_frames(octets) if opcode == CLOSE]
    assert len(closes) <= 1, closes
    return struct.unpack("!H", closes[0][:2])[0] if closes else None


def request(*headers: str, path: str = "/", host: str = "127.0.0.1") -> bytes:
    """Build a correct opening request, with more header lines."""
    lines = [
        f"GET {path} HTTP/1.1",
        f"Host: {host}",
        "Upgrade: websocket",
        "Connection: Upgrade",
        f"Sec-WebSocket-Key: {KEY}",
        "Sec-WebSocket-Version: 13",
        *headers,
    ]
    return "".join(f"{line}\r\n" for line in lines).encode() + b"\r\n"


def response(head: bytes, *headers: str) -> bytes:
    """Build a correct response to the request in `head`."""
    key = next(
        line.split(b":", 1)[1].strip()
        for line in head.split(b"\r\n")
        if line.lower().startswith(b"sec-websocket-key:")
    )
    digest = hashlib.sha1(key + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest()
    lines = [
        "HTTP/1.1 101 Switching Protocols",
        "Upgrade: websocket",
        "Connection: Upgrade",
        f"Sec-WebSocket-Accept: {base64.b64encode(digest).decode()}",
        *headers,
    ]
    return "".join(f"{line}\r\n" for line in lines).encode() + b"\r\n"


class Raw:
    """A connection of the hostile peer's."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def send(self, octets: bytes, *, piece: int | None = None) -> None:
        """Send octets, in pieces that the other side reads one by one if a size is given."""
        with contextlib.suppress(ConnectionError):
            for start in range(0, len(octets), piece or len(octets) or 1):
                self.writer.write(octets[start : start + (piece or len(octets))])
                await self.writer.drain()
                if piece:
                    await asyncio.sleep(0)

    async def rest(self) -> bytes:
        """Return all that comes until the other side ends the connection; then end it too.

        Raises:
            TimeoutError: If it does not within `PATIENCE` seconds.
        """
        octets = b""
        async with asyncio.timeout(PATIENCE):
            with contextlib.suppress(ConnectionError):
                while data := await self.reader.read(65536):
                    octets += data
        self.writer.close()
        return octets

    async def head(self) -> bytes:
        """Return an HTTP head."""
        async with asyncio.timeout(PATIENCE):
            return await self.reader.readuntil(b"\r\n\r\n")

    async def close(self) -> bytes:
        """Answer the Close frame that comes, as an honest client; return all that came."""
        octets = b""
        async with asyncio.timeout(PATIENCE):
            while not (closes := [p for code, p in parse_frames(octets) if code == CLOSE]):
                data = await self.reader.read(65536)
                assert data, "the connection ended without a Close frame"
                octets += data
        await self.send(frame(CLOSE, closes[0]))
        return octets + await self.rest()

    def abort(self) -> None:
        self.writer.transport.abort()


def address(server: Any) -> tuple[str, int]:
    host, port = server.sockets[0].getsockname()[:2]
    return host, port


def url(server: Any, scheme: str = "ws") -> str:
    host, port = address(server)
    return f"{scheme}://{host}:{port}/"


@contextlib.asynccontextmanager
async def raw(server: Any, **options: Any) -> AsyncIterator[Raw]:
    """Connect to a server and say nothing yet."""
    peer = Raw(*await asyncio.open_connection(*address(server), **options))
    try:
        yield peer
    finally:
        peer.abort()


@contextlib.asynccontextmanager
async def opened(server: Any, *headers: str) -> AsyncIterator[Raw]:
    """Connect to a server and do the opening handshake."""
    async with raw(server) as peer:
        await peer.send(request(*headers))
        head = await peer.head()
        assert head.startswith(b"HTTP/1.1 101 "), head
        yield peer


async def echo(connection: Any) -> None:
    async for message in connection:
        await connection.send(message)


@dataclass
class Ending:
    """What a handler saw of a connection.

    Attributes:
        messages: What was received before the end.
        exc: What ended it.
        connection: The connection.
    """

    messages: list[Any] = field(default_factory=list)
    exc: BaseException | None = None
    connection: Any = None


class Watch:
    """A server whose handler echoes and notes how each connection ended."""

    def __init__(self) -> None:
        self.server: Any = None
        self.endings: asyncio.Queue[Ending] = asyncio.Queue()
        self.handled = 0
        self.records: list[logging.LogRecord] = []
        self.unhandled: list[dict[str, Any]] = []

    async def handle(self, connection: Any) -> None:
        self.handled += 1
        ending = Ending(connection=connection)
        try:
            while True:
                message = await connection.recv()
                ending.messages.append(message)
                await connection.send(message)
        except ConnectionClosed as exc:
            ending.exc = exc
            raise
        finally:
            self.endings.put_nowait(ending)

    async def ending(self) -> Ending:
        async with asyncio.timeout(PATIENCE):
            return await self.endings.get()

    def problems(self) -> list[str]:
        """Return what was logged as an error or found its way to the event loop."""
        logged = [
            f"{record.levelname} {record.getMessage()} {record.exc_info}"
            for record in self.records
            if record.levelno >= logging.WARNING
        ]
        return logged + [str(context) for context in self.unhandled]


@contextlib.asynccontextmanager
async def watched(
    handler: Callable[[Any], Awaitable[None]] | None = None,
    *,
    quiet: bool = True,
    honest: dict[str, Any] | None = None,
    **options: Any,
) -> AsyncIterator[Watch]:
    """Serve on loopback; afterwards the server must still work and hold nothing.

    Args:
        handler: Handler instead of the one that notes endings.
        quiet: Whether the peer's misbehaviour must not show as a warning, an error or an
            exception outside of any handler.
        honest: Options of the honest client that looks whether the server still works.
        options: Options of `serve`.
    """
    watch = Watch()
    logger = logging.Logger("badinput", logging.DEBUG)
    sink = logging.Handler()
    sink.emit = watch.records.append  # type: ignore[method-assign]
    logger.addHandler(sink)
    asyncio.get_running_loop().set_exception_handler(
        lambda _, context: watch.unhandled.append(context)
    )
    options.setdefault("logger", logger)
    async with serve(handler or watch.handle, "127.0.0.1", 0, **options) as watch.server:
        yield watch
        if handler is None:
            scheme = "wss" if "ssl" in options else "ws"
            async with connect(url(watch.server, scheme), **honest or {}) as client:
                await client.send("still there?")
                async with asyncio.timeout(PATIENCE):
                    assert await client.recv() == "still there?"
        async with asyncio.timeout(PATIENCE):
            while watch.server.connections:
                await asyncio.sleep(0.01)
    if quiet:
        assert watch.problems() == []


Conversation = Callable[[Raw], Awaitable[None]]


@contextlib.asynccontextmanager
async def hostile_server(conversation: Conversation, **options: Any) -> AsyncIterator[str]:
    """Serve raw connections; yield the URL. What a conversation raises fails the test."""
    failures: list[BaseException] = []
    tasks: set[asyncio.Task[Any]] = set()

    async def accepted(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        peer = Raw(reader, writer)
        try:
            await conversation(peer)
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        except BaseException as exc:
            failures.append(exc)
        finally:
            peer.abort()

    server = await asyncio.start_server(accepted, "127.0.0.1", 0, **options)
    try:
        yield url(server)
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)
        await server.wait_closed()
    if failures:
        raise failures[0]
