"""Pings, pongs, latency and keepalive."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from .ends import PING, PONG, TEXT, ends, stays_pending, turns, wire
from .library import Library


async def test_round_trip(lib: Library, role: str) -> None:
    async with ends(lib, role) as (local, _):
        pong = await local.ping()
        latency = await pong
        assert isinstance(latency, float)
        assert 0 <= latency < 5  # uvloop's clock has a resolution of 1 ms
        assert local.latency == latency


@pytest.mark.parametrize(
    ("data", "payload"),
    [
        ("ping", b"ping"),
        ("pïng", "pïng".encode()),
        (b"ping", b"ping"),
        (bytearray(b"ping"), b"ping"),
        (memoryview(b"ping"), b"ping"),
        (b"", b""),
        ("", b""),
    ],
)
async def test_payload(lib: Library, role: str, data: Any, payload: bytes) -> None:
    async with wire(lib, role) as (connection, peer):
        pong = await connection.ping(data)
        frame = await peer.receive()
        assert (frame.opcode, frame.payload) == (PING, payload)
        await peer.send(PONG, payload)
        await pong


async def test_default_payload_is_random(lib: Library, role: str) -> None:
    async with wire(lib, role) as (connection, peer):
        for _ in range(3):
            await connection.ping()
        payloads = [(await peer.receive()).payload for _ in range(3)]
        assert len(set(payloads)) == 3
        assert [len(payload) for payload in payloads] == [4, 4, 4]


@pytest.mark.parametrize("data", [42, ["list"], 1.5])
async def test_wrong_type(lib: Library, role: str, data: Any) -> None:
    async with ends(lib, role) as (local, _):
        with pytest.raises(TypeError):
            await local.ping(data)
        with pytest.raises(TypeError):
            await local.pong(data)


@pytest.mark.parametrize("method", ["ping", "pong"])
async def test_payload_too_long(lib: Library, role: str, method: str) -> None:
    async with ends(lib, role) as (local, _):
        with pytest.raises(lib.ProtocolError):
            await getattr(local, method)(b"x" * 126)
        await (await local.ping(b"x" * 125))


async def test_same_payload_while_waiting(lib: Library, role: str) -> None:
    async with wire(lib, role) as (connection, peer):
        pong = await connection.ping("idem")
        with pytest.raises(lib.ConcurrencyError):
            await connection.ping("idem")
        await peer.receive()
        await peer.send(PONG, b"idem")
        await pong
        again = await connection.ping("idem")
        await peer.receive()
        await peer.send(PONG, b"idem")
        await again


async def test_pong_acknowledges_older_pings(lib: Library, role: str) -> None:
    async with wire(lib, role) as (connection, peer):
        first = await connection.ping("1")
        second = await connection.ping("2")
        third = await connection.ping("3")
        await peer.send(PONG, b"2")
        await asyncio.gather(first, second)
        assert not third.done()
        await peer.send(PONG, b"3")
        await third


async def test_pong_of_an_older_ping_leaves_newer_ones(lib: Library, role: str) -> None:
    async with wire(lib, role) as (connection, peer):
        first = await connection.ping("1")
        second = await connection.ping("2")
        await peer.send(PONG, b"1")
        await first
        assert not second.done()
        await peer.send(PONG, b"2")
        await second


async def test_acknowledged_payload_may_be_used_again(lib: Library, role: str) -> None:
    async with wire(lib, role) as (connection, peer):
        first = await connection.ping("1")
        await connection.ping("2")
        await peer.send(PONG, b"2")
        await first
        await connection.ping("1")


async def test_unsolicited_pong_is_ignored(lib: Library, role: str) -> None:
    async with wire(lib, role) as (connection, peer):
        await peer.send(PONG, b"nobody asked")
        pong = await connection.ping("mine")
        await peer.send(PONG, b"other")
        await peer.send(TEXT, b"after")
        assert await connection.recv() == "after"
        assert not pong.done()


async def test_waiter_may_be_cancelled(lib: Library, role: str) -> None:
    async with wire(lib, role) as (connection, peer):
        pong = await connection.ping("1")
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(pong, 0.01)
        await peer.send(PONG, b"1")
        await peer.send(TEXT, b"alive")
        assert await connection.recv() == "alive"


async def test_latency_measures_time(lib: Library, role: str) -> None:
    async with wire(lib, role) as (connection, peer):
        pong = await connection.ping("1")
        await peer.receive()
        await asyncio.sleep(0.05)
        await peer.send(PONG, b"1")
        latency = await pong
        assert 0.045 <= latency < 2
        assert connection.latency == latency


async def test_pings_are_answered(lib: Library, role: str) -> None:
    async with wire(lib, role) as (_, peer):
        for payload in (b"", b"spam", b"\x00" * 125):
            await peer.send(PING, payload)
            frame = await peer.receive()
            assert (frame.opcode, frame.payload) == (PONG, payload)


async def test_pings_are_answered_in_order_between_messages(lib: Library, role: str) -> None:
    async with wire(lib, role) as (connection, peer):
        await peer.send(PING, b"1")
        await peer.send(TEXT, b"message")
        await peer.send(PING, b"2")
        assert [(await peer.receive()).payload for _ in range(2)] == [b"1", b"2"]
        assert await connection.recv() == "message"


@pytest.mark.parametrize(
    ("data", "payload"),
    [
        ("pong", b"pong"),
        (b"pong", b"pong"),
        (bytearray(b"pong"), b"pong"),
        (memoryview(b"pong"), b"pong"),
        (b"", b""),
    ],
)
async def test_pong(lib: Library, role: str, data: Any, payload: bytes) -> None:
    async with wire(lib, role) as (connection, peer):
        await connection.pong(data)
        frame = await peer.receive()
        assert (frame.opcode, frame.payload) == (PONG, payload)


async def test_pong_without_payload(lib: Library, role: str) -> None:
    async with wire(lib, role) as (connection, peer):
        await connection.pong()
        frame = await peer.receive()
        assert (frame.opcode, frame.payload) == (PONG, b"")


async def test_waiting_pings_when_the_connection_closes(lib: Library, role: str) -> None:
    async with wire(lib, role) as (connection, peer):
        pong = await connection.ping("1")
        assert await stays_pending(asyncio.ensure_future(pong), 0.01)
        await peer.close(1000)
        with pytest.raises(lib.ConnectionClosedOK):
            await pong


async def test_waiting_pings_when_the_connection_is_cut(lib: Library, role: str) -> None:
    async with wire(lib, role) as (connection, peer):
        pong = await connection.ping("1")
        peer.abort()
        with pytest.raises(lib.ConnectionClosedError):
            await pong


async def test_after_close(lib: Library, role: str) -> None:
    async with ends(lib, role) as (local, _):
        await local.close()
        with pytest.raises(lib.ConnectionClosedOK):
            await local.ping()
        with pytest.raises(lib.ConnectionClosedOK):
            await local.pong()


# Keepalive.


async def test_keepalive_sends_pings(lib: Library, role: str) -> None:
    async with wire(lib, role, ping_interval=0.02) as (connection, peer):
        for _ in range(3):
            frame = await peer.receive()
            assert frame.opcode == PING
            await peer.send(PONG, frame.payload)
        await turns()
        assert connection.state is lib.State.OPEN


async def test_keepalive_measures_latency(lib: Library, role: str) -> None:
    async with wire(lib, role, ping_interval=0.02) as (connection, peer):
        assert connection.latency == 0
        frame = await peer.receive()
        await asyncio.sleep(0.01)
        await peer.send(PONG, frame.payload)
        await peer.receive()
        assert 0.008 <= connection.latency < 2


async def test_keepalive_fails_the_connection_with_1011(lib: Library, role: str) -> None:
    options: dict[str, Any] = {"ping_interval": 0.02, "ping_timeout": 0.02, "close_timeout": 0.05}
    async with wire(lib, role, **options) as (connection, peer):
        receiving = asyncio.create_task(connection.recv())
        code, _ = await peer.receive_close()
        assert code == 1011
        with pytest.raises(lib.ConnectionClosedError) as raised:
            await receiving
        assert raised.value.sent.code == 1011
        assert raised.value.rcvd is None
        assert connection.close_code == 1006


async def test_keepalive_without_timeout(lib: Library, role: str) -> None:
    async with wire(lib, role, ping_interval=0.02, ping_timeout=None) as (connection, peer):
        for _ in range(3):
            assert (await peer.receive()).opcode == PING
        assert connection.state is lib.State.OPEN


async def test_no_keepalive(lib: Library, role: str) -> None:
    async with wire(lib, role, ping_interval=None) as (_, peer):
        receiving = asyncio.create_task(peer.receive())
        assert await stays_pending(receiving, 0.05)
        receiving.cancel()


async def test_keepalive_stops_with_the_connection(lib: Library, role: str) -> None:
    async with ends(lib, role, ping_interval=0.01) as (local, _):
        await asyncio.sleep(0.03)
        await local.close()
        assert local.close_code == 1000


async def test_both_ends_keep_alive(lib: Library) -> None:
    keepalive: dict[str, Any] = {"ping_interval": 0.01, "ping_timeout": 0.5}
    async with ends(lib, remote=keepalive, **keepalive) as (client, server):
        await asyncio.sleep(0.1)
        await client.send("alive")
        assert await server.recv() == "alive"
