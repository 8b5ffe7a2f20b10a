from __future__ import annotations

import asyncio
import time

import pytest

from duologue.exceptions import ConnectionClosedError, InvalidStatus
from duologue.testing import SimulatedNetwork, pair


async def test_both_ends_talk() -> None:
    async with pair(subprotocols=["chat.v1"]) as (client, server):
        await client.send("hello")
        assert await server.recv() == "hello"
        await server.send(b"\x00\x01")
        assert await client.recv() == b"\x00\x01"
        assert client.subprotocol == server.subprotocol == "chat.v1"
        assert client.remote_address == server.local_address == ("10.0.0.2", 80)
    assert client.close_code == server.close_code == 1000


async def test_options_for_one_end() -> None:
    async with pair(client={"max_size": 10}, server={"compression": None}) as (client, server):
        assert server.extensions == client.extensions == []
        await server.send("x" * 11)
        with pytest.raises(ConnectionClosedError) as caught:
            await client.recv()
        assert caught.value.sent is not None and caught.value.sent.code == 1009
    assert server.close_code == 1009


async def test_a_refused_handshake_is_raised() -> None:
    with pytest.raises(InvalidStatus):
        async with pair(server={"origins": ["https://only.test"]}):
            pytest.fail("the handshake should have been refused")


async def test_tls_is_refused() -> None:
    with pytest.raises(ValueError, match="no TLS"):
        async with pair("wss://server.test/"):
            pytest.fail("there is no TLS in memory")


async def test_real_delays_on_a_real_clock() -> None:
    network = SimulatedNetwork(delay=0.01)
    async with pair(network=network) as (client, server):
        began = time.monotonic()
        await client.send("there")
        await server.send(await server.recv())
        assert await client.recv() == "there"
        assert time.monotonic() - began >= 0.02


def test_virtual_delays_on_a_simulated_loop() -> None:
    network = SimulatedNetwork(delay=3)

    async def main() -> float:
        loop = asyncio.get_running_loop()
        async with pair(open_timeout=None, close_timeout=100) as (client, server):
            began = loop.time()
            await client.send("there")
            assert await server.recv() == "there"
            took = loop.time() - began
        assert (client.close_code, len(network.links)) == (1000, 1)
        return took

    with asyncio.Runner(loop_factory=network.loop_factory) as runner:
        assert runner.run(main()) == 3.0
