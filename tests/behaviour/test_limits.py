"""Limits: message and fragment sizes, the inbox (``max_queue``), the outbox (``write_limit``)."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from .ends import BINARY, CONT, TEXT, RawPeer, encode_frame, ends, stays_pending, wire
from .library import Library

KIB = 1024
MIB = 1024 * KIB


# max_size.


async def test_default_max_size_is_one_mebibyte(lib: Library, role: str) -> None:
    async with ends(lib, role, close_timeout=0.2) as (local, remote):
        await remote.send(b"x" * MIB)
        assert len(await local.recv()) == MIB
        await remote.send(b"x" * (MIB + 1))
        with pytest.raises(lib.ConnectionClosedError) as raised:
            await local.recv()
        assert raised.value.sent.code == 1009


@pytest.mark.parametrize("compression", ["deflate", None])
async def test_max_size(lib: Library, role: str, compression: str | None) -> None:
    options: dict[str, Any] = {"max_size": 2000, "compression": compression, "close_timeout": 0.2}
    async with ends(lib, role, remote={"compression": compression}, **options) as (local, remote):
        await remote.send("a" * 2000)
        assert await local.recv() == "a" * 2000
        await remote.send("a" * 2001)
        with pytest.raises(lib.ConnectionClosedError) as raised:
            await local.recv()
        assert raised.value.sent.code == 1009
        cause = raised.value.__cause__
        assert isinstance(cause, lib.PayloadTooBig)
        assert cause.max_size == 2000
        assert "2000" in str(cause)
        await remote.wait_closed()
        assert remote.close_code == 1009


async def test_cause_names_the_size(lib: Library, role: str) -> None:
    async with wire(lib, role, max_size=100, close_timeout=0.1) as (connection, peer):
        await peer.send(TEXT, b"x" * 101)
        assert (await peer.receive_close())[0] == 1009
        peer.writer.close()
        with pytest.raises(lib.ConnectionClosedError) as raised:
            await connection.recv()
        cause = raised.value.__cause__
        assert isinstance(cause, lib.PayloadTooBig)
        assert (cause.size, cause.max_size) == (101, 100)


async def test_max_size_is_checked_before_the_payload_arrives(lib: Library, role: str) -> None:
    async with wire(lib, role, max_size=100, close_timeout=0.1) as (_, peer):
        octets = encode_frame(BINARY, b"x" * 70_000, mask=role == "server")
        await peer.send_octets(octets[:14])
        assert (await peer.receive_close())[0] == 1009


async def test_max_size_counts_the_whole_message(lib: Library, role: str) -> None:
    async with wire(lib, role, max_size=10_000, close_timeout=0.1) as (connection, peer):
        await peer.send(BINARY, b"x" * 6_000, fin=False)
        await peer.send(CONT, b"x" * 6_000, fin=False)
        assert (await peer.receive_close())[0] == 1009
        peer.writer.close()
        with pytest.raises(lib.ConnectionClosedError) as raised:
            await connection.recv()
        assert isinstance(raised.value.__cause__, lib.PayloadTooBig)


@pytest.mark.parametrize("max_size", [None, (None, None)])
async def test_no_max_size(lib: Library, role: str, max_size: Any) -> None:
    async with ends(lib, role, max_size=max_size) as (local, remote):
        sending = asyncio.create_task(remote.send(b"x" * (3 * MIB)))
        assert len(await local.recv()) == 3 * MIB
        await sending


async def test_max_fragment_size(lib: Library, role: str) -> None:
    async with wire(lib, role, max_size=(None, 1_000), close_timeout=0.1) as (connection, peer):
        await peer.send(BINARY, b"x" * 1_000, fin=False)
        await peer.send(CONT, b"x" * 1_000)
        assert len(await connection.recv()) == 2_000
        await peer.send(BINARY, b"x" * 1_001)
        assert (await peer.receive_close())[0] == 1009


async def test_max_message_and_fragment_size(lib: Library, role: str) -> None:
    async with wire(lib, role, max_size=(10_000, 4_000), close_timeout=0.1) as (connection, peer):
        for _ in range(2):
            await peer.send(BINARY, b"x" * 4_000, fin=False)
            await peer.send(CONT, b"x" * 4_000)
            assert len(await connection.recv()) == 8_000
        await peer.send(BINARY, b"x" * 4_000, fin=False)
        await peer.send(CONT, b"x" * 4_000, fin=False)
        await peer.send(CONT, b"x" * 4_000)
        assert (await peer.receive_close())[0] == 1009


def tiny_fragments(count: int, role: str) -> bytes:
    mask = role == "server"
    first = encode_frame(BINARY, b"x", fin=False, mask=mask)
    last = encode_frame(CONT, b"x", mask=mask)
    return first + encode_frame(CONT, b"x", fin=False, mask=mask) * (count - 2) + last


async def test_too_many_fragments(lib: Library, role: str) -> None:
    async with wire(lib, role, close_timeout=0.1) as (connection, peer):
        receiving = asyncio.create_task(connection.recv())
        pouring = asyncio.create_task(peer.send_octets(tiny_fragments(20_000, role)))
        assert (await peer.receive_close())[0] == 1009
        pouring.cancel()
        peer.abort()
        with pytest.raises(lib.ConnectionClosedError) as raised:
            await receiving
        assert isinstance(raised.value.__cause__, lib.TooManyFragments)
        assert raised.value.sent.code == 1009


async def test_streaming_takes_any_number_of_fragments(lib: Library, role: str) -> None:
    async with wire(lib, role) as (connection, peer):
        pouring = asyncio.create_task(peer.send_octets(tiny_fragments(20_000, role)))
        received = 0
        async for fragment in connection.recv_streaming():
            received += len(fragment)
        assert received == 20_000
        await pouring


async def test_messages_before_the_large_one_are_delivered(lib: Library, role: str) -> None:
    async with wire(lib, role, max_size=100, close_timeout=0.1) as (connection, peer):
        await peer.send(TEXT, b"fits")
        await peer.send(TEXT, b"x" * 101)
        assert await connection.recv() == "fits"
        assert (await peer.receive_close())[0] == 1009
        peer.writer.close()
        with pytest.raises(lib.ConnectionClosedError):
            await connection.recv()


async def test_sending_is_not_limited_by_max_size(lib: Library, role: str) -> None:
    async with ends(lib, role, max_size=10) as (local, remote):
        await local.send("x" * 1_000)
        assert await remote.recv() == "x" * 1_000


# max_queue.


async def flood(peer: RawPeer, messages: int, size: int) -> None:
    octets = encode_frame(BINARY, b"x" * size, mask=peer.masks)
    for _ in range(messages):
        await peer.send_octets(octets)


@pytest.mark.parametrize("max_queue", [1, 16, (16, 4), (8, None)])
async def test_reading_pauses_when_nobody_receives(lib: Library, role: str, max_queue: Any) -> None:
    async with wire(lib, role, max_queue=max_queue, compression=None, ping_interval=None) as (
        connection,
        peer,
    ):
        flooding = asyncio.create_task(flood(peer, 200, 64 * KIB))
        assert await stays_pending(flooding, 0.1)
        for _ in range(200):
            assert len(await connection.recv()) == 64 * KIB
        await flooding


async def test_reading_resumes_for_iteration(lib: Library, role: str) -> None:
    async with wire(lib, role, max_queue=2, compression=None) as (connection, peer):
        flooding = asyncio.create_task(flood(peer, 100, 64 * KIB))
        received = 0
        async for _ in connection:
            received += 1
            if received == 100:
                break
        await flooding


async def test_no_max_queue(lib: Library, role: str) -> None:
    async with wire(lib, role, max_queue=None, compression=None) as (connection, peer):
        await asyncio.wait_for(flood(peer, 200, 64 * KIB), 10)
        for _ in range(200):
            await connection.recv()


async def test_sending_goes_on_while_reading_is_paused(lib: Library, role: str) -> None:
    options: dict[str, Any] = {"max_queue": 1, "compression": None, "close_timeout": 0.05}
    async with wire(lib, role, **options) as (connection, peer):
        flooding = asyncio.create_task(flood(peer, 200, 64 * KIB))
        assert await stays_pending(flooding, 0.05)
        await connection.send("out")
        assert (await peer.receive()).payload == b"out"
        flooding.cancel()


async def test_echo_of_more_than_fits(lib: Library) -> None:
    """Two ends that echo and pour at once come to no deadlock as long as one of them reads."""
    async with ends(lib, compression=None, max_size=None) as (client, server):

        async def pour() -> None:
            for _ in range(100):
                await client.send(b"x" * (64 * KIB))

        async def echo() -> None:
            for _ in range(100):
                await server.send(await server.recv())

        async def drink() -> None:
            for _ in range(100):
                assert len(await client.recv()) == 64 * KIB

        await asyncio.wait_for(asyncio.gather(pour(), echo(), drink()), 10)


# write_limit.


async def test_send_waits_for_a_slow_reader(lib: Library, role: str) -> None:
    options: dict[str, Any] = {"compression": None, "close_timeout": 0.05, "ping_interval": None}
    async with wire(lib, role, receive_buffer=16 * KIB, **options) as (connection, peer):

        async def pour() -> None:
            for _ in range(200):
                await connection.send(b"x" * (64 * KIB))

        pouring = asyncio.create_task(pour())
        assert await stays_pending(pouring, 0.2)
        for _ in range(200):
            await peer.reader.readexactly(_frame_size(role))
        await pouring


def _frame_size(role: str) -> int:
    """Octets of a frame with 64 KiB of payload: a client's has a masking key too."""
    return 64 * KIB + 10 + (4 if role == "client" else 0)


async def test_large_write_limit(lib: Library, role: str) -> None:
    options: dict[str, Any] = {"compression": None, "close_timeout": 0.05, "write_limit": 14 * MIB}
    async with wire(lib, role, receive_buffer=16 * KIB, **options) as (connection, _):
        for _ in range(200):
            await asyncio.wait_for(connection.send(b"x" * (64 * KIB)), 1)


@pytest.mark.parametrize("write_limit", [KIB, (64 * KIB, 16 * KIB), (64 * KIB, None)])
async def test_write_limits(lib: Library, role: str, write_limit: Any) -> None:
    async with ends(lib, role, write_limit=write_limit) as (local, remote):
        sending = asyncio.gather(*(local.send(b"x" * 100_000) for _ in range(20)))
        for _ in range(20):
            assert len(await remote.recv()) == 100_000
        await sending


async def test_waiting_send_ends_when_the_connection_is_cut(lib: Library, role: str) -> None:
    options: dict[str, Any] = {"compression": None, "close_timeout": 0.05, "ping_interval": None}
    async with wire(lib, role, receive_buffer=16 * KIB, **options) as (connection, peer):

        async def pour() -> None:
            while True:
                await connection.send(b"x" * (64 * KIB))

        pouring = asyncio.create_task(pour())
        assert await stays_pending(pouring, 0.1)
        peer.abort()
        with pytest.raises(lib.ConnectionClosedError):
            await pouring
