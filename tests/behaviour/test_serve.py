"""Serving: the forms of ``serve``, the Server object, the life of handlers."""

from __future__ import annotations

import asyncio
import logging
import re
import socket
from typing import Any

import pytest

from .ends import accepting, echo, ends, raw_client, turns, url, wait_until_closed
from .library import Library


async def test_context_manager(lib: Library) -> None:
    async with lib.serve(echo, "127.0.0.1", 0) as server:
        assert isinstance(server, lib.Server)
        assert server.is_serving()
    assert not server.is_serving()


async def test_await(lib: Library) -> None:
    server = await lib.serve(echo, "127.0.0.1", 0)
    try:
        async with lib.connect(url(server)) as client:
            await client.send("hello")
            assert await client.recv() == "hello"
    finally:
        server.close()
        await server.wait_closed()
    assert not server.is_serving()


async def test_sockets(lib: Library) -> None:
    async with lib.serve(echo, "127.0.0.1", 0) as server:
        (sock,) = server.sockets
        assert sock.getsockname()[0] == "127.0.0.1"
        assert sock.getsockname()[1] > 0


async def test_get_loop(lib: Library) -> None:
    async with lib.serve(echo, "127.0.0.1", 0) as server:
        assert server.get_loop() is asyncio.get_running_loop()


async def test_preexisting_socket(lib: Library) -> None:
    with socket.create_server(("127.0.0.1", 0)) as sock:
        async with lib.serve(echo, sock=sock):
            host, port = sock.getsockname()
            async with lib.connect(f"ws://{host}:{port}/") as client:
                await client.send("hello")
                assert await client.recv() == "hello"


async def test_host_and_port_by_keyword(lib: Library) -> None:
    async with lib.serve(echo, host="127.0.0.1", port=0) as server:
        async with lib.connect(url(server)):
            pass


async def test_address_in_use(lib: Library) -> None:
    async with lib.serve(echo, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        with pytest.raises(OSError):
            await lib.serve(echo, "127.0.0.1", port)


async def test_start_serving_later(lib: Library) -> None:
    server = await lib.serve(echo, "127.0.0.1", 0, start_serving=False)
    assert not server.is_serving()
    await server.start_serving()
    assert server.is_serving()
    async with lib.connect(url(server)) as client:
        await client.send("hello")
        assert await client.recv() == "hello"
    server.close()
    await server.wait_closed()


async def test_serve_forever_starts_serving(lib: Library) -> None:
    server = await lib.serve(echo, "127.0.0.1", 0, start_serving=False)
    forever = asyncio.create_task(server.serve_forever())
    await turns()
    assert server.is_serving()
    server.close()
    await forever


async def test_serve_forever_cancelled(lib: Library) -> None:
    server = await lib.serve(wait_until_closed, "127.0.0.1", 0)
    forever = asyncio.create_task(server.serve_forever())
    async with lib.connect(url(server)) as client:
        forever.cancel()
        with pytest.raises(asyncio.CancelledError):
            await forever
        assert not server.is_serving()
        await client.wait_closed()
        assert client.close_code == 1001


async def test_serve_forever_returns_after_close(lib: Library) -> None:
    server = await lib.serve(echo, "127.0.0.1", 0)
    forever = asyncio.create_task(server.serve_forever())
    await turns()
    assert not forever.done()
    server.close()
    await forever
    assert not server.is_serving()


async def test_serve_forever_inside_the_context(lib: Library) -> None:
    async def main() -> None:
        async with lib.serve(echo, "127.0.0.1", 0) as server:
            listening.set_result(server)
            await server.serve_forever()

    listening = asyncio.get_running_loop().create_future()
    running = asyncio.create_task(main())
    server = await listening
    async with lib.connect(url(server)) as client:
        await client.send("hello")
        assert await client.recv() == "hello"
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert not server.is_serving()


async def test_wrong_compression(lib: Library) -> None:
    with pytest.raises(ValueError, match="compression"):
        await lib.serve(echo, "127.0.0.1", 0, compression=False)


async def test_subprotocols_must_be_a_list(lib: Library) -> None:
    with pytest.raises(TypeError):
        await lib.serve(echo, "127.0.0.1", 0, subprotocols="chat")


async def test_connections(lib: Library) -> None:
    async with accepting(lib) as (server, accepted):
        assert server.connections == set()
        async with lib.connect(url(server)) as first:
            first_end = await accepted.get()
            assert set(server.connections) == {first_end}
            async with lib.connect(url(server)):
                second_end = await accepted.get()
                assert set(server.connections) == {first_end, second_end}
            await second_end.wait_closed()
            assert set(server.connections) == {first_end}
            await first.close()
            await first_end.wait_closed()
        assert set(server.connections) == set()


async def test_connection_knows_its_server(lib: Library) -> None:
    async with accepting(lib) as (server, accepted):
        async with lib.connect(url(server)):
            assert (await accepted.get()).server is server


async def test_create_connection(lib: Library) -> None:
    class Mine(lib.ServerConnection):  # type: ignore[name-defined,misc]
        async def shout(self, text: str) -> None:
            await self.send(text.upper())

    async def handler(connection: Any) -> None:
        assert type(connection) is Mine
        await connection.shout(await connection.recv())

    async with lib.serve(handler, "127.0.0.1", 0, create_connection=Mine) as server:
        async with lib.connect(url(server)) as client:
            await client.send("hey")
            assert await client.recv() == "HEY"


# The life of a handler.


async def test_connection_closes_with_1000_when_the_handler_returns(lib: Library) -> None:
    async def handler(connection: Any) -> None:
        await connection.send("bye")

    async with lib.serve(handler, "127.0.0.1", 0) as server:
        async with lib.connect(url(server)) as client:
            assert await client.recv() == "bye"
            with pytest.raises(lib.ConnectionClosedOK):
                await client.recv()
            assert (client.close_code, client.close_reason) == (1000, "")


async def test_connection_closes_with_1011_when_the_handler_raises(
    lib: Library, caplog: pytest.LogCaptureFixture
) -> None:
    async def handler(connection: Any) -> None:
        raise ZeroDivisionError("in the handler")

    logger = logging.getLogger("behaviour.handler")
    async with lib.serve(handler, "127.0.0.1", 0, logger=logger) as server:
        async with lib.connect(url(server)) as client:
            with pytest.raises(lib.ConnectionClosedError) as raised:
                await client.recv()
            assert raised.value.rcvd.code == 1011
            assert client.close_code == 1011
    errors = [r for r in caplog.records if r.levelno == logging.ERROR and r.exc_info]
    assert len(errors) == 1
    assert errors[0].exc_info is not None
    assert errors[0].exc_info[0] is ZeroDivisionError
    assert errors[0].name == "behaviour.handler"


async def test_a_failing_handler_does_not_stop_the_server(lib: Library) -> None:
    async def handler(connection: Any) -> None:
        if connection.request.path == "/fail":
            raise ZeroDivisionError
        await echo(connection)

    async with lib.serve(handler, "127.0.0.1", 0) as server:
        async with lib.connect(url(server, "/fail")) as client:
            with pytest.raises(lib.ConnectionClosedError):
                await client.recv()
        async with lib.connect(url(server)) as client:
            await client.send("still here")
            assert await client.recv() == "still here"


async def test_connection_closed_in_a_handler_is_no_failure_of_the_server(lib: Library) -> None:
    async def handler(connection: Any) -> None:
        await connection.recv()

    async with lib.serve(handler, "127.0.0.1", 0) as server:
        async with lib.connect(url(server)):
            pass
        async with lib.connect(url(server)):
            pass
        assert server.is_serving()


async def test_handler_may_close(lib: Library) -> None:
    async def handler(connection: Any) -> None:
        await connection.close(4001, "enough")

    async with lib.serve(handler, "127.0.0.1", 0) as server:
        async with lib.connect(url(server)) as client:
            with pytest.raises(lib.ConnectionClosedError) as raised:
                await client.recv()
            assert (raised.value.rcvd.code, raised.value.rcvd.reason) == (4001, "enough")


async def test_each_connection_has_its_own_task(lib: Library) -> None:
    tasks = set()

    async def handler(connection: Any) -> None:
        tasks.add(asyncio.current_task())
        await connection.wait_closed()

    async with lib.serve(handler, "127.0.0.1", 0) as server:
        async with lib.connect(url(server)), lib.connect(url(server)):
            while len(tasks) < 2:
                await asyncio.sleep(0.001)


# Closing the server.


async def test_close_sends_1001(lib: Library) -> None:
    async with accepting(lib) as (server, accepted):
        async with lib.connect(url(server)) as client:
            await accepted.get()
            server.close()
            with pytest.raises(lib.ConnectionClosedOK) as raised:
                await client.recv()
            assert raised.value.rcvd.code == 1001
            assert raised.value.rcvd_then_sent is True
        await server.wait_closed()


async def test_close_with_code_and_reason(lib: Library) -> None:
    async with accepting(lib) as (server, accepted):
        async with lib.connect(url(server)) as client:
            await accepted.get()
            server.close(code=1012, reason="maintenance")
            with pytest.raises(lib.ConnectionClosedError) as raised:
                await client.recv()
            assert raised.value.rcvd == lib.Close(1012, "maintenance")
        await server.wait_closed()


async def test_close_keeping_connections(lib: Library) -> None:
    async with lib.serve(echo, "127.0.0.1", 0) as server:
        async with lib.connect(url(server)) as client:
            await client.send("before")
            assert await client.recv() == "before"
            server.close(close_connections=False)
            await turns()
            assert not server.is_serving()
            await client.send("after")
            assert await client.recv() == "after"
            waiting = asyncio.create_task(server.wait_closed())
            await turns()
            assert not waiting.done()
        await waiting


async def test_close_is_idempotent(lib: Library) -> None:
    server = await lib.serve(echo, "127.0.0.1", 0)
    server.close()
    server.close()
    await server.wait_closed()
    server.close()
    await server.wait_closed()


async def test_no_connections_after_close(lib: Library) -> None:
    server = await lib.serve(echo, "127.0.0.1", 0)
    address = url(server)
    server.close()
    await server.wait_closed()
    with pytest.raises(OSError):
        await lib.connect(address)


async def test_wait_closed_waits_for_handlers(lib: Library) -> None:
    started, release, finished = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def handler(connection: Any) -> None:
        started.set()
        await connection.wait_closed()
        await release.wait()
        finished.set()

    server = await lib.serve(handler, "127.0.0.1", 0)
    async with lib.connect(url(server)):
        await started.wait()
        server.close()
        waiting = asyncio.create_task(server.wait_closed())
        await asyncio.sleep(0.02)
        assert not waiting.done()
        release.set()
        await waiting
        assert finished.is_set()


async def test_cancelling_wait_closed_does_not_stop_the_closing(lib: Library) -> None:
    release = asyncio.Event()

    async def handler(connection: Any) -> None:
        await connection.wait_closed()
        await release.wait()

    server = await lib.serve(handler, "127.0.0.1", 0)
    async with lib.connect(url(server)):
        server.close()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.02):
                await server.wait_closed()
        release.set()
        await server.wait_closed()


async def test_exit_closes_connections(lib: Library) -> None:
    async with lib.serve(wait_until_closed, "127.0.0.1", 0) as server:
        client = await lib.connect(url(server))
    await client.wait_closed()
    assert client.close_code == 1001


async def test_handler_sees_1001_as_a_normal_end(lib: Library) -> None:
    ended = asyncio.get_running_loop().create_future()

    async def handler(connection: Any) -> None:
        async for _ in connection:
            pass
        ended.set_result(connection.close_code)

    async with lib.serve(handler, "127.0.0.1", 0) as server:
        client = await lib.connect(url(server))
        await turns()
        server.close()
        await client.wait_closed()
        assert await ended == 1001


async def test_opening_connections_get_503_during_shutdown(lib: Library) -> None:
    asked, proceed = asyncio.Event(), asyncio.Event()

    async def process_request(connection: Any, request: Any) -> None:
        asked.set()
        await proceed.wait()

    async with lib.serve(echo, "127.0.0.1", 0, process_request=process_request) as server:
        opening = asyncio.create_task(lib.connect(url(server)).__aenter__())
        await asked.wait()
        server.close()
        await turns()
        proceed.set()
        with pytest.raises(lib.InvalidStatus) as raised:
            await opening
        assert raised.value.response.status_code == 503
        await server.wait_closed()


async def test_server_survives_clients_that_vanish(lib: Library) -> None:
    async with lib.serve(echo, "127.0.0.1", 0) as server:
        for _ in range(3):
            async with raw_client(server) as peer:
                peer.abort()
        async with lib.connect(url(server)) as client:
            await client.send("hello")
            assert await client.recv() == "hello"


async def test_server_survives_port_scans(lib: Library) -> None:
    async with lib.serve(echo, "127.0.0.1", 0) as server:
        for _ in range(3):
            _, writer = await asyncio.open_connection(*server.sockets[0].getsockname()[:2])
            writer.close()
        async with lib.connect(url(server)) as client:
            await client.send("hello")
            assert await client.recv() == "hello"


# Attributes of both ends.


async def test_addresses(lib: Library) -> None:
    async with ends(lib) as (client, server):
        assert client.local_address == server.remote_address
        assert client.remote_address == server.local_address
        assert client.remote_address[0] == "127.0.0.1"


async def test_addresses_stay_known_after_close(lib: Library) -> None:
    async with ends(lib) as (client, server):
        before = client.local_address
        await client.close()
        await server.wait_closed()
        assert client.local_address == before


async def test_request_and_response(lib: Library) -> None:
    async with ends(lib) as (client, server):
        for end in (client, server):
            assert isinstance(end.request, lib.Request)
            assert isinstance(end.response, lib.Response)
            assert end.request.path == "/"
            assert end.response.status_code == 101
            assert end.response.reason_phrase == "Switching Protocols"
        key = client.request.headers["Sec-WebSocket-Key"]
        assert server.request.headers["Sec-WebSocket-Key"] == key
        accept = server.response.headers["Sec-WebSocket-Accept"]
        assert client.response.headers["Sec-WebSocket-Accept"] == accept


async def test_ids_are_unique(lib: Library) -> None:
    async with ends(lib) as (client, server):
        assert client.id != server.id
        assert re.fullmatch(r"[0-9a-f-]{36}", str(client.id))


async def test_state(lib: Library, role: str) -> None:
    async with ends(lib, role) as (local, _):
        assert local.state is lib.State.OPEN
        await local.close()
        assert local.state is lib.State.CLOSED


async def test_close_code_and_reason_before_the_end(lib: Library, role: str) -> None:
    async with ends(lib, role) as (local, _):
        assert local.close_code is None
        assert local.close_reason is None


async def test_latency_starts_at_zero(lib: Library, role: str) -> None:
    async with ends(lib, role) as (local, _):
        assert local.latency == 0.0


async def test_connections_are_hashable(lib: Library) -> None:
    async with ends(lib) as (client, server):
        assert len({client, server, client}) == 2
