"""Receiving a message fragment by fragment.

Empty fragments carry nothing; whether an implementation yields them is left open.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from .ends import BINARY, CONT, PING, TEXT, ends, stays_pending, turns, wire
from .library import Library


async def collect(iterator: AsyncIterator[Any]) -> list[Any]:
    return [fragment async for fragment in iterator if fragment]


async def test_text(lib: Library, role: str) -> None:
    async with wire(lib, role) as (connection, peer):
        await peer.send(TEXT, b"one ", fin=False)
        await peer.send(CONT, b"two ", fin=False)
        await peer.send(CONT, b"three")
        assert await collect(connection.recv_streaming()) == ["one ", "two ", "three"]


async def test_binary(lib: Library, role: str) -> None:
    async with wire(lib, role) as (connection, peer):
        await peer.send(BINARY, b"\x00", fin=False)
        await peer.send(CONT, b"\x01")
        fragments = await collect(connection.recv_streaming())
        assert fragments == [b"\x00", b"\x01"]
        assert all(type(fragment) is bytes for fragment in fragments)


@pytest.mark.parametrize("message", ["whole", b"whole"])
async def test_unfragmented(lib: Library, role: str, message: str | bytes) -> None:
    async with ends(lib, role) as (local, remote):
        await remote.send(message)
        assert await collect(local.recv_streaming()) == [message]


@pytest.mark.parametrize("message", ["", b""])
async def test_empty_message_ends(lib: Library, role: str, message: str | bytes) -> None:
    async with ends(lib, role) as (local, remote):
        await remote.send(message)
        await remote.send("next")
        assert await collect(local.recv_streaming()) == []
        assert await local.recv() == "next"


async def test_character_split_between_fragments(lib: Library, role: str) -> None:
    octets = "a😀b".encode()
    async with wire(lib, role) as (connection, peer):
        await peer.send(TEXT, octets[:2], fin=False)
        await peer.send(CONT, octets[2:4], fin=False)
        await peer.send(CONT, octets[4:])
        fragments = await collect(connection.recv_streaming())
        assert "".join(fragments) == "a😀b"
        assert fragments[0] == "a"


@pytest.mark.parametrize(
    ("opcode", "decode", "expected"),
    [
        (TEXT, False, [b"caf\xc3", b"\xa9"]),
        (TEXT, True, ["caf", "é"]),
        (BINARY, True, ["caf", "é"]),
        (BINARY, False, [b"caf\xc3", b"\xa9"]),
    ],
)
async def test_decode(
    lib: Library, role: str, opcode: int, decode: bool, expected: list[Any]
) -> None:
    async with wire(lib, role) as (connection, peer):
        await peer.send(opcode, b"caf\xc3", fin=False)
        await peer.send(CONT, b"\xa9")
        assert await collect(connection.recv_streaming(decode=decode)) == expected


async def test_fragments_come_as_they_arrive(lib: Library, role: str) -> None:
    async with wire(lib, role) as (connection, peer):
        iterator = connection.recv_streaming()
        await peer.send(TEXT, b"one", fin=False)
        assert await anext(iterator) == "one"
        waiting = asyncio.create_task(anext(iterator))
        assert await stays_pending(waiting, 0.02)
        await peer.send(CONT, b"two", fin=False)
        assert await waiting == "two"
        await peer.send(CONT, b"three")
        assert await anext(iterator) == "three"
        with pytest.raises(StopAsyncIteration):
            await anext(iterator)


async def test_next_message_after_a_streamed_one(lib: Library, role: str) -> None:
    async with ends(lib, role) as (local, remote):
        await remote.send(["streamed", " message"])
        await remote.send("whole message")
        assert "".join(await collect(local.recv_streaming())) == "streamed message"
        assert await local.recv() == "whole message"
        await remote.send([b"again", b"!"])
        assert b"".join(await collect(local.recv_streaming())) == b"again!"


async def test_control_frames_between(lib: Library, role: str) -> None:
    async with wire(lib, role) as (connection, peer):
        await peer.send(TEXT, b"one", fin=False)
        await peer.send(PING, b"p")
        await peer.send(CONT, b"two")
        assert await collect(connection.recv_streaming()) == ["one", "two"]
        assert (await peer.receive()).payload == b"p"


async def test_two_at_once(lib: Library, role: str) -> None:
    async with ends(lib, role) as (local, remote):
        first = asyncio.create_task(collect(local.recv_streaming()))
        await turns()
        with pytest.raises(lib.ConcurrencyError) as raised:
            await collect(local.recv_streaming())
        assert str(raised.value) == (
            "cannot call recv_streaming while another coroutine "
            "is already running recv or recv_streaming"
        )
        await remote.send("first")
        assert await first == ["first"]


async def test_during_recv(lib: Library, role: str) -> None:
    async with ends(lib, role) as (local, remote):
        receiving = asyncio.create_task(local.recv())
        await turns()
        with pytest.raises(lib.ConcurrencyError):
            await anext(local.recv_streaming())
        await remote.send("hello")
        assert await receiving == "hello"


async def test_left_half_way_makes_the_connection_unusable(lib: Library, role: str) -> None:
    async with wire(lib, role) as (connection, peer):
        await peer.send(TEXT, b"one", fin=False)
        iterator = connection.recv_streaming()
        assert await anext(iterator) == "one"
        await peer.send(CONT, b"two")
        await turns()
        with pytest.raises(lib.ConcurrencyError):
            await connection.recv()
        with pytest.raises(lib.ConcurrencyError):
            await anext(connection.recv_streaming())


async def test_cancelled_before_the_first_fragment(lib: Library, role: str) -> None:
    async with ends(lib, role) as (local, remote):
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.01):
                await anext(local.recv_streaming())
        await remote.send("hello")
        assert await collect(local.recv_streaming()) == ["hello"]


async def test_closed_before(lib: Library, role: str) -> None:
    async with ends(lib, role) as (local, remote):
        await remote.close()
        with pytest.raises(lib.ConnectionClosedOK):
            await collect(local.recv_streaming())


async def test_closed_while_waiting(lib: Library, role: str) -> None:
    async with ends(lib, role) as (local, remote):
        task = asyncio.create_task(collect(local.recv_streaming()))
        await turns()
        await remote.close(1011)
        with pytest.raises(lib.ConnectionClosedError):
            await task


async def test_cut_half_way(lib: Library, role: str) -> None:
    async with wire(lib, role) as (connection, peer):
        await peer.send(TEXT, b"one", fin=False)
        iterator = connection.recv_streaming()
        assert await anext(iterator) == "one"
        peer.abort()
        with pytest.raises(lib.ConnectionClosedError):
            await collect(iterator)


async def test_invalid_utf8_in_a_later_fragment(lib: Library, role: str) -> None:
    async with wire(lib, role, close_timeout=0.1) as (connection, peer):
        await peer.send(TEXT, b"one", fin=False)
        iterator = connection.recv_streaming()
        assert await anext(iterator) == "one"
        await peer.send(CONT, b"\xff")
        task = asyncio.create_task(collect(iterator))
        assert (await peer.receive_close())[0] == 1007
        peer.writer.close()
        with pytest.raises(lib.ConnectionClosedError):
            await task


async def test_message_larger_than_the_queue(lib: Library, role: str) -> None:
    async with ends(lib, role, max_queue=2) as (local, remote):
        sending = asyncio.create_task(remote.send(str(i) for i in range(100)))
        fragments = await collect(local.recv_streaming())
        await sending
        assert "".join(fragments) == "".join(map(str, range(100)))
