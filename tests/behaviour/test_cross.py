"""One library's client against the other's server, and the other way round."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import pytest

from .ends import accepting, url
from .library import Library

PAIRS = {
    "client of websockets": ("websockets", "duologue"),
    "client of duologue": ("duologue", "websockets"),
}


@pytest.fixture(params=list(PAIRS.values()), ids=list(PAIRS))
def pair(request: pytest.FixtureRequest) -> tuple[Library, Library]:
    """The library of the client and that of the server."""
    client, server = request.param
    return Library(client), Library(server)


@contextlib.asynccontextmanager
async def crossed(
    pair: tuple[Library, Library], *, remote: dict[str, Any] | None = None, **options: Any
) -> AsyncIterator[tuple[Any, Any]]:
    client, server = pair
    async with accepting(server, **(remote or {})) as (listening, accepted):
        async with client.connect(url(listening), **options) as client_end:
            yield client_end, await accepted.get()


MESSAGES = ["", "hello", "😀" * 100, "a" * 200_000, b"", b"\x00\xff" * 50, bytes(200_000)]


@pytest.mark.parametrize("compression", ["deflate", None])
async def test_messages(pair: tuple[Library, Library], compression: str | None) -> None:
    async with crossed(pair, compression=compression) as ends:
        for here, there in (ends, ends[::-1]):
            for message in MESSAGES * 2:
                await here.send(message)
                assert await there.recv() == message


async def test_fragments(pair: tuple[Library, Library]) -> None:
    async with crossed(pair) as ends:
        for here, there in (ends, ends[::-1]):
            await here.send(["one ", "two ", "three " * 1000])
            assert await there.recv() == "one two " + "three " * 1000
            await here.send([b"one ", b"two "])
            streamed = [fragment async for fragment in there.recv_streaming()]
            assert b"".join(streamed) == b"one two "


async def test_pings(pair: tuple[Library, Library]) -> None:
    async with crossed(pair, ping_interval=0.02, remote={"ping_interval": 0.02}) as ends:
        for end in ends:
            assert await (await end.ping(b"payload")) >= 0
        await asyncio.sleep(0.1)
        await ends[0].send("alive")
        assert await ends[1].recv() == "alive"


@pytest.mark.parametrize("closing", [0, 1])
@pytest.mark.parametrize("code", [1000, 1001, 1011, 3000, 4999])
async def test_close(pair: tuple[Library, Library], closing: int, code: int) -> None:
    async with crossed(pair) as ends:
        await ends[closing].close(code, "reason")
        await ends[1 - closing].wait_closed()
        assert [(end.close_code, end.close_reason) for end in ends] == [(code, "reason")] * 2


async def test_subprotocol_and_headers(pair: tuple[Library, Library]) -> None:
    async with crossed(
        pair,
        subprotocols=["chat", "other"],
        additional_headers={"X-Extra": "yes"},
        remote={"subprotocols": ["other"]},
    ) as (client, server):
        assert client.subprotocol == server.subprotocol == "other"
        assert server.request.headers["X-Extra"] == "yes"
        assert client.response.headers["Server"] == server.response.headers["Server"]


async def test_basic_auth(pair: tuple[Library, Library]) -> None:
    client_lib, server_lib = pair
    auth = server_lib.basic_auth(credentials=("hello", "iloveyou"))
    async with accepting(server_lib, process_request=auth) as (server, accepted):
        uri = url(server).replace("ws://", "ws://hello:iloveyou@")
        async with client_lib.connect(uri):
            assert (await accepted.get()).username == "hello"
        with pytest.raises(client_lib.InvalidStatus) as raised:
            await client_lib.connect(url(server))
        assert raised.value.response.status_code == 401


async def test_too_big(pair: tuple[Library, Library]) -> None:
    async with crossed(pair, max_size=1000, close_timeout=0.2) as (_, server):
        await server.send("x" * 1001)
        await server.wait_closed()
        assert server.close_code == 1009


@pytest.mark.parametrize(
    "parameters",
    [
        {"server_no_context_takeover": True, "client_no_context_takeover": True},
        {"server_max_window_bits": 9, "client_max_window_bits": 9},
        {"client_max_window_bits": 12},
    ],
)
async def test_compression_parameters(
    pair: tuple[Library, Library], parameters: dict[str, Any]
) -> None:
    client_lib, server_lib = pair
    async with crossed(
        pair,
        extensions=[client_lib.ClientPerMessageDeflateFactory(**parameters)],
        remote={"extensions": [server_lib.ServerPerMessageDeflateFactory(**parameters)]},
    ) as ends:
        assert "permessage-deflate" in ends[0].response.headers["Sec-WebSocket-Extensions"]
        for here, there in (ends, ends[::-1]):
            for i in range(5):
                message = f"{i} brown foxes jump over {i} lazy dogs. " * 500
                await here.send(message)
                assert await there.recv() == message


async def test_load(pair: tuple[Library, Library]) -> None:
    async with crossed(pair) as (client, server):

        async def echo() -> None:
            for _ in range(500):
                await server.send(await server.recv())

        async def receive() -> list[Any]:
            return [await client.recv() for _ in range(500)]

        async def send() -> None:
            for i in range(500):
                await client.send(str(i) * (i % 50))

        async with asyncio.TaskGroup() as group:
            group.create_task(echo())
            group.create_task(send())
            received = group.create_task(receive())
        assert received.result() == [str(i) * (i % 50) for i in range(500)]


async def test_reconnection(pair: tuple[Library, Library]) -> None:
    client_lib, server_lib = pair
    async with accepting(server_lib) as (server, accepted):
        opened = 0
        async for client in client_lib.connect(url(server)):
            opened += 1
            if opened == 3:
                break
            # Not 1012 or 1013, after which we wait longer.
            await (await accepted.get()).close(1011)
            with pytest.raises(client_lib.ConnectionClosedError):
                await client.recv()


async def test_broadcast(pair: tuple[Library, Library]) -> None:
    async with crossed(pair) as (client, server):
        pair[1].broadcast([server], "to everyone")
        assert await client.recv() == "to everyone"
