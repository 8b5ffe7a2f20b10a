"""A peer whose octets are written by hand, so that a test says exactly what arrives."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
from collections.abc import AsyncIterator
from typing import Any

from .venue import Venue

GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # RFC 6455, section 1.3
KEY = base64.b64encode(b"0123456789abcdef").decode()
REQUEST = (
    "GET / HTTP/1.1\r\nHost: server.test\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    f"Sec-WebSocket-Key: {KEY}\r\nSec-WebSocket-Version: 13\r\n\r\n"
).encode()
TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10


class RawPeer:
    """Frames by hand over asyncio streams; a client masks with zeros, which changes nothing."""

    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, masks: bool
    ) -> None:
        self.reader = reader
        self.writer = writer
        self.masks = masks

    def frame(self, opcode: int, payload: bytes = b"", *, head: int = 0x80) -> bytes:
        """Build a frame; ``head`` holds FIN and the reserved bits."""
        size = len(payload)
        length = bytes([size]) if size < 126 else b"\x7e" + size.to_bytes(2, "big")
        if self.masks:
            length = bytes([length[0] | 0x80]) + length[1:] + bytes(4)
        return bytes([head | opcode]) + length + payload

    async def receive(self) -> tuple[int, bytes]:
        """Read one frame: its opcode and its payload, unmasked."""
        first, second = await self.reader.readexactly(2)
        size = second & 0x7F
        if size == 126:
            size = int.from_bytes(await self.reader.readexactly(2), "big")
        key = await self.reader.readexactly(4) if second & 0x80 else bytes(4)
        payload = await self.reader.readexactly(size)
        return first & 15, bytes(octet ^ key[i % 4] for i, octet in enumerate(payload))

    async def close(self) -> None:
        """Close the stream."""
        self.writer.close()
        with contextlib.suppress(OSError):
            await self.writer.wait_closed()


async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer the opening handshake of a client."""
    request = (await reader.readuntil(b"\r\n\r\n")).decode()
    lines = (line.partition(": ") for line in request.split("\r\n"))
    key = {name.lower(): value for name, _, value in lines}["sec-websocket-key"]
    proof = base64.b64encode(hashlib.sha1(key.encode() + GUID).digest())
    writer.write(
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Accept: " + proof + b"\r\n\r\n"
    )


@contextlib.asynccontextmanager
async def raw_ends(venue: Venue, role: str, **options: Any) -> AsyncIterator[tuple[Any, RawPeer]]:
    """Open a connection that plays ``role`` with a peer by hand, and give both."""
    options = {"compression": None, **options}
    arrived: asyncio.Queue[Any] = asyncio.Queue()
    if role == "server":

        async def handler(connection: Any) -> None:
            arrived.put_nowait(connection)
            await connection.wait_closed()

        async with venue.served(handler, **options) as way:
            reader, writer = await venue.open_streams(way)
            writer.write(REQUEST)
            await reader.readuntil(b"\r\n\r\n")
            peer = RawPeer(reader, writer, masks=True)
            try:
                yield await arrived.get(), peer
            finally:
                await peer.close()
        return

    async def serve_raw(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await accept(reader, writer)
        arrived.put_nowait(RawPeer(reader, writer, masks=False))

    async with venue.streams_served(serve_raw) as way:
        async with venue.dial(way, **options) as client:
            peer = await arrived.get()
            try:
                yield client, peer
            finally:
                await peer.close()
