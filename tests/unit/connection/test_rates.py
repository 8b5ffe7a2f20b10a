"""Rates of messages and octets, and silence: bounds on what a peer sends, by their effect."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from duologue import Endpoint, Limits, Rate
from duologue.asyncio.client import connect
from duologue.asyncio.server import serve
from duologue.connection.connection import Connection
from duologue.connection.ending import Cause
from duologue.exceptions import ConnectionClosed, ConnectionClosedError, RateExceeded
from duologue.testing import pair

pytestmark = pytest.mark.virtual_time


async def receive_all(ws: Connection) -> list[Any]:
    messages = []
    try:
        while True:
            messages.append(await ws.recv())
    except ConnectionClosed:
        return messages


async def test_a_burst_within_the_rate_is_delivered() -> None:
    async with pair(server={"limits": Limits(message_rate=Rate(10, 60))}) as (client, server):
        for _ in range(3):
            for number in range(10):
                await client.send(str(number))
            for number in range(10):
                assert await server.recv() == str(number)
            await asyncio.sleep(60)


async def test_one_message_too_many() -> None:
    async with pair(server={"limits": Limits(message_rate=Rate(1, burst=10))}) as (client, server):
        for number in range(15):
            _ = client.send(str(number))
        # Those before are delivered, and can be answered.
        for number in range(10):
            assert await server.recv() == str(number)
            await server.send(f"got {number}")
        with pytest.raises(ConnectionClosedError):
            await server.recv()
        assert await receive_all(client) == [f"got {number}" for number in range(10)]
        assert (client.close_code, client.close_reason) == (1008, "too many messages")
        assert server.ending is not None
        assert server.ending.cause is Cause.LIMIT
        assert server.ending.detail == (
            "messages come faster than 1/s, 10 at once (setting: message_rate)"
        )
        assert isinstance(server.ending.exc, RateExceeded)


async def test_without_a_rate_nothing_is_counted() -> None:
    async with pair() as (client, server):
        for number in range(1000):
            await client.send(str(number))
            assert await server.recv() == str(number)


async def test_the_bucket_fills_again() -> None:
    async with pair(server={"limits": Limits(message_rate=2)}) as (client, server):
        for _ in range(20):
            await client.send("tick")
            assert await server.recv() == "tick"
            await asyncio.sleep(0.5)
        _ = client.send("a")
        _ = client.send("b")
        assert [await server.recv(), await server.recv()] == ["a", "b"]
        _ = client.send("c")
        with pytest.raises(ConnectionClosedError):
            await server.recv()


async def test_a_fragmented_message_counts_once() -> None:
    async with pair(server={"limits": Limits(message_rate=Rate(2, 60))}) as (client, server):
        for _ in range(2):
            await client.send(["a"] * 20)
            assert await server.recv() == "a" * 20
        await client.send(["b", "c"])
        with pytest.raises(ConnectionClosedError):
            await server.recv()
        assert await receive_all(client) == []
        assert client.close_code == 1008


async def test_pings_are_no_messages() -> None:
    async with pair(server={"limits": Limits(message_rate=Rate(3, 60))}) as (client, server):
        for _ in range(20):
            await (await client.ping())
        await client.send("hello")
        assert await server.recv() == "hello"


async def test_pings_are_octets() -> None:
    async with pair(server={"limits": Limits(octet_rate=Rate(100, 60))}) as (client, _):
        for _ in range(20):
            await client.ping()
        assert await receive_all(client) == []
        assert client.close_code == 1008


async def test_octets() -> None:
    limits = Limits(octet_rate=Rate(1000, 1, burst=3000))
    async with pair(server={"limits": limits, "compression": None}) as (client, server):
        for size in (990, 990, 990):
            await client.send(bytes(size))
            assert len(await server.recv()) == size
        await asyncio.sleep(1)
        await client.send(bytes(990))
        assert len(await server.recv()) == 990
        # What goes over it is still delivered, what comes afterwards isn't.
        await client.send(bytes(990))
        assert len(await server.recv()) == 990
        with pytest.raises(ConnectionClosedError):
            await server.recv()
        assert await receive_all(client) == []
        assert (client.close_code, client.close_reason) == (1008, "too many octets")
        assert server.ending is not None
        assert server.ending.detail == (
            "octets come faster than 1000/s, 3000 at once (setting: octet_rate)"
        )


async def test_octets_that_wait_for_the_application_are_not_dropped() -> None:
    limits = Limits(octet_rate=Rate(100), max_queue=2)
    async with pair(server={"limits": limits, "compression": None}) as (client, server):
        for number in range(40):
            _ = client.send(f"{number:020}")
        assert await receive_all(server) == [f"{number:020}" for number in range(40)]
        assert await receive_all(client) == []
        assert client.close_code == 1008


class Count(Endpoint):
    def __init__(self) -> None:
        self.messages: list[Any] = []

    def on_message(self, ws: Connection, message: Any) -> None:
        self.messages.append(message)


async def test_an_endpoint_gets_what_came_before() -> None:
    endpoint = Count()
    limits = Limits(message_rate=Rate(5, 60))
    async with serve(endpoint, "127.0.0.1", 0, limits=limits) as server:
        port = server.sockets[0].getsockname()[1]
        async with connect(f"ws://127.0.0.1:{port}") as client:
            for number in range(9):
                _ = client.send(str(number))
            assert await receive_all(client) == []
            assert client.close_code == 1008
    assert endpoint.messages == [str(number) for number in range(5)]


async def test_silence() -> None:
    async with pair(server={"limits": Limits(idle_timeout=60)}) as (client, server):
        for _ in range(3):
            await asyncio.sleep(50)
            await client.send("still here")
            assert await server.recv() == "still here"
        before = asyncio.get_running_loop().time()
        # The keepalive goes on meanwhile: answers to pings are no messages.
        assert await receive_all(client) == []
        assert asyncio.get_running_loop().time() - before == pytest.approx(60, abs=1)
        assert (client.close_code, client.close_reason) == (1008, "no message for too long")
        assert server.ending is not None
        assert (server.ending.cause, server.ending.detail) == (
            Cause.LIMIT,
            "idle_timeout: no message in 60 seconds",
        )


async def test_silence_without_a_limit() -> None:
    async with pair() as (client, server):
        await asyncio.sleep(10_000)
        await client.send("good morning")
        assert await server.recv() == "good morning"


async def test_messages_that_wait_for_the_application_are_no_silence() -> None:
    limits = Limits(idle_timeout=60, max_queue=1, ping_interval=None)
    async with pair(server={"limits": limits}) as (client, server):
        for number in range(5):
            _ = client.send(str(number))
        await asyncio.sleep(600)
        assert [await server.recv() for _ in range(5)] == list("01234")
