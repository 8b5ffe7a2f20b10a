"""Which messages a connection compresses, as seen on the wire by a peer written by hand."""

from __future__ import annotations

import asyncio
import base64
import hashlib
from typing import Any

import pytest

from duologue.asyncio.client import connect
from duologue.asyncio.server import serve
from duologue.base.limits import Limits

KEY = base64.b64encode(bytes(16))
EXTENSIONS = b"Sec-WebSocket-Extensions: permessage-deflate\r\n"


async def first_octets(reader: asyncio.StreamReader, count: int) -> list[int]:
    """Read frames of at most 125 octets or 65535; return the first octet of each."""
    found = []
    for _ in range(count):
        first, second = await reader.readexactly(2)
        length = second & 127
        if length == 126:
            length = int.from_bytes(await reader.readexactly(2), "big")
        await reader.readexactly(length + (4 if second & 128 else 0))
        found.append(first)
    return found


async def sent_by_server(messages: list[tuple[Any, Any]], limits: Limits) -> list[int]:
    async def handler(connection: Any) -> None:
        for message, compress in messages:
            await connection.send(message, compress=compress)

    async with serve(handler, "127.0.0.1", 0, limits=limits) as server:
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        writer.write(
            b"GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: " + KEY + b"\r\n"
            b"" + EXTENSIONS + b"\r\n"
        )
        await reader.readuntil(b"\r\n\r\n")
        found = await first_octets(reader, len(messages))
        writer.transport.abort()
        return found


async def sent_by_client(messages: list[tuple[Any, Any]], limits: Limits) -> list[int]:
    found: asyncio.Future[list[int]] = asyncio.get_running_loop().create_future()

    async def conversation(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        key = head.split(b"Sec-WebSocket-Key: ")[1].split(b"\r\n")[0]
        digest = hashlib.sha1(key + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest()
        writer.write(
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Accept: " + base64.b64encode(digest) + b"\r\n" + EXTENSIONS + b"\r\n"
        )
        found.set_result(await first_octets(reader, len(messages)))
        writer.transport.abort()

    server = await asyncio.start_server(conversation, "127.0.0.1", 0)
    host, port = server.sockets[0].getsockname()
    async with server, connect(f"ws://{host}:{port}/", limits=limits) as client:
        for message, compress in messages:
            await client.send(message, compress=compress)
        return await found


SIDES = pytest.mark.parametrize("sent", [sent_by_server, sent_by_client])


@SIDES
@pytest.mark.parametrize("threshold", [0, 10, 1024])
async def test_the_threshold_decides_by_default(sent: Any, threshold: int) -> None:
    sizes = [0, 9, 10, 1023, 1024]
    octets = await sent(
        [("x" * size, None) for size in sizes], Limits(compress_threshold=threshold)
    )
    assert octets == [0xC1 if size >= threshold else 0x81 for size in sizes]


@SIDES
async def test_the_threshold_counts_octets_not_characters(sent: Any) -> None:
    assert await sent([("€" * 4, None)], Limits(compress_threshold=12)) == [0xC1]
    assert await sent([("€" * 4, None)], Limits(compress_threshold=13)) == [0x81]


@SIDES
async def test_a_message_may_decide_for_itself(sent: Any) -> None:
    messages = [("x", True), ("x" * 5000, False), (b"x", True), (b"x" * 5000, False), ("x", None)]
    assert await sent(messages, Limits()) == [0xC1, 0x81, 0xC2, 0x82, 0x81]


@SIDES
async def test_a_fragmented_message_is_marked_in_its_first_frame(sent: Any) -> None:
    assert await sent([(["one", "two"], True)], Limits()) == [0x41]


@SIDES
async def test_a_fragmented_message_that_is_not_to_be_compressed(sent: Any) -> None:
    assert await sent([(["one", "two"], False)], Limits()) == [0x01]
