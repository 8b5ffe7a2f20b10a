from __future__ import annotations

import asyncio
import errno
import socket
from typing import Any

import pytest

from duologue.testing import (
    SimulatedLoop,
    SimulatedNetwork,
    VirtualClock,
)

from .ends import SERVER, Recorder, run


def test_servers_are_found_by_name_address_and_wildcard() -> None:
    network = SimulatedNetwork()

    async def main() -> None:
        loop = asyncio.get_running_loop()
        one = await loop.create_server(Recorder, "one.test", 80)
        every = await loop.create_server(Recorder, "", 81)
        free = await loop.create_server(Recorder, ["one.test", "two.test"], 0)
        address, port = free.sockets[0].getsockname()
        assert (address, port) == ("10.0.0.2", 49_152)
        assert len(free.sockets) == 2
        for host, number in [("ONE.test.", 80), ("x.test", 81), ("10.0.0.2", 80), ("::1", 81)]:
            transport, client = await loop.create_connection(Recorder, host, number)
            transport.close()
            await client.lost
        found = await loop.getaddrinfo("two.test", port)
        transport, client = await loop.create_connection(Recorder, *found[0][4])
        transport.close()
        await client.lost
        for server in (one, every, free):
            server.close()
            server.close()
            assert server.sockets == ()
            await server.wait_closed()
        began = loop.time()
        network.conditions = type(network.conditions)(delay=0.5)
        with pytest.raises(ConnectionRefusedError) as caught:
            await loop.create_connection(Recorder, "one.test", 80)
        assert caught.value.errno == errno.ECONNREFUSED
        assert loop.time() - began == 1.0

    run(network, main)


def test_unix_paths() -> None:
    network = SimulatedNetwork()

    async def main() -> None:
        loop = asyncio.get_running_loop()
        server = await loop.create_unix_server(Recorder, "/run/test.sock")
        transport, client = await loop.create_unix_connection(Recorder, "/run/test.sock")
        assert transport.get_extra_info("peername") == "/run/test.sock"
        transport.close()
        await client.lost
        server.close()
        await server.wait_closed()
        with pytest.raises(ConnectionRefusedError):
            await loop.create_unix_connection(Recorder, "/run/test.sock")

    run(network, main)


def test_an_address_in_use_is_refused() -> None:
    network = SimulatedNetwork()

    async def main() -> None:
        loop = asyncio.get_running_loop()
        async with await loop.create_server(Recorder, *SERVER):
            with pytest.raises(OSError, match="already in use") as caught:
                await loop.create_server(Recorder, *SERVER)
            assert caught.value.errno == errno.EADDRINUSE
        async with await loop.create_server(Recorder, *SERVER):
            pass

    run(network, main)


def test_a_silent_host_swallows_connections() -> None:
    network = SimulatedNetwork()
    network.silence("silent.test")

    async def main() -> None:
        loop = asyncio.get_running_loop()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(60):
                await loop.create_connection(Recorder, "silent.test", 80)
        assert loop.time() == 60.0

    run(network, main)


def test_connecting_can_be_cancelled() -> None:
    network = SimulatedNetwork(delay=10)

    async def main() -> None:
        loop = asyncio.get_running_loop()
        ends: list[Recorder] = []

        def factory() -> Recorder:
            ends.append(Recorder())
            return ends[-1]

        server = await loop.create_server(factory, *SERVER)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(15):
                await loop.create_connection(factory, *SERVER)
        server.close()
        await server.wait_closed()
        assert [end.marks for end in ends] == [["made", "eof", ("lost", type(None))]]

    run(network, main)


def test_a_server_waits_for_its_connections_to_end() -> None:
    network = SimulatedNetwork()

    async def main() -> None:
        loop = asyncio.get_running_loop()
        server = await loop.create_server(Recorder, *SERVER)
        for seconds in (30, 60):
            transport, _ = await loop.create_connection(Recorder, *SERVER)
            loop.call_later(seconds, transport.close)
        server.close()
        await server.wait_closed()
        assert loop.time() == 60.0

    run(network, main)


def test_serving_starts_late_and_ends_by_cancelling() -> None:
    network = SimulatedNetwork()

    async def main() -> None:
        loop = asyncio.get_running_loop()
        server = await loop.create_server(Recorder, *SERVER, start_serving=False)
        with pytest.raises(ConnectionRefusedError):
            await loop.create_connection(Recorder, *SERVER)
        forever = asyncio.create_task(server.serve_forever())
        await asyncio.sleep(1)
        assert server.is_serving()
        with pytest.raises(RuntimeError, match="already being awaited"):
            await server.serve_forever()
        _, client = await loop.create_connection(Recorder, *SERVER)
        loop.call_soon(server.abort_clients)
        await client.lost
        forever.cancel()
        with pytest.raises(asyncio.CancelledError):
            await forever
        assert not server.is_serving()
        with pytest.raises(RuntimeError, match="is closed"):
            await server.start_serving()

    run(network, main)


def test_a_factory_that_raises_resets_the_connection() -> None:
    network = SimulatedNetwork()
    reports: list[dict[str, Any]] = []

    async def main() -> None:
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _, context: reports.append(context))

        def factory() -> Recorder:
            raise ZeroDivisionError

        async with await loop.create_server(factory, *SERVER):
            with pytest.raises(ConnectionResetError):
                await loop.create_connection(Recorder, *SERVER)

    run(network, main)
    assert [type(report["exception"]) for report in reports] == [ZeroDivisionError]


def test_tls_is_refused_clearly() -> None:
    network = SimulatedNetwork()

    async def main() -> None:
        loop = asyncio.get_running_loop()
        with pytest.raises(ValueError, match="no TLS"):
            await loop.create_connection(Recorder, "server.test", 443, ssl=True)
        with pytest.raises(ValueError, match="host and port are needed"):
            await loop.create_connection(Recorder)

    run(network, main)


def test_a_real_socket_is_used_as_it_is() -> None:
    network = SimulatedNetwork()

    async def main() -> None:
        here, there = socket.socketpair()
        with there:
            transport, _ = await asyncio.get_running_loop().create_connection(
                asyncio.Protocol, sock=here
            )
            transport.write(b"real")
            assert there.recv(10) == b"real"
            transport.close()

    run(network, main)


def test_the_clock_can_be_given() -> None:
    clock = VirtualClock(100)

    async def main() -> None:
        await asyncio.sleep(5)

    with asyncio.Runner(loop_factory=lambda: SimulatedLoop(SimulatedNetwork(), clock)) as runner:
        runner.run(main())
    assert clock.time() == 105.0
