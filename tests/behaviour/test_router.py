"""Dispatching connections by path with a werkzeug map."""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path
from typing import Any

import pytest
from werkzeug.routing import Map, Rule

from .ends import echo, upgrade_request, url
from .library import Library


async def root(connection: Any) -> None:
    await connection.send("root")


async def user(connection: Any, name: str) -> None:
    await connection.send(f"user {name}")


async def number(connection: Any, value: int, other: str = "none") -> None:
    await connection.send(f"number {value!r} {other}")


def url_map() -> Map:
    return Map(
        [
            Rule("/", endpoint=root),
            Rule("/user/<name>", endpoint=user),
            Rule("/number/<int:value>", endpoint=number),
            Rule("/number/<int:value>/<other>", endpoint=number),
            Rule("/echo", endpoint=echo),
            Rule("/old", redirect_to="/"),
            Rule("/slash/", endpoint=root),
        ]
    )


@pytest.mark.parametrize(
    ("path", "answer"),
    [
        ("/", "root"),
        ("/?query=ignored", "root"),
        ("/user/me", "user me"),
        ("/number/7", "number 7 none"),
        ("/number/7/x", "number 7 x"),
    ],
)
async def test_dispatches(lib: Library, path: str, answer: str) -> None:
    async with lib.route(url_map(), "127.0.0.1", 0) as server:
        async with lib.connect(url(server, path)) as client:
            assert await client.recv() == answer


@pytest.mark.parametrize("path", ["/nowhere", "/user/", "/number/x"])
async def test_not_found(lib: Library, path: str) -> None:
    async with lib.route(url_map(), "127.0.0.1", 0) as server:
        with pytest.raises(lib.InvalidStatus) as raised:
            await lib.connect(url(server, path))
    assert raised.value.response.status_code == 404


@pytest.mark.parametrize(
    ("options", "path", "location"),
    [
        ({}, "/old", "ws://{host}/"),
        ({}, "/slash", "ws://{host}/slash/"),
        ({"server_name": "example.com"}, "/old", "ws://example.com/"),
        ({"server_name": "example.com", "ssl": True}, "/old", "wss://example.com/"),
    ],
)
async def test_redirect_response(
    lib: Library, options: dict[str, Any], path: str, location: str
) -> None:
    async with lib.route(url_map(), "127.0.0.1", 0, **options) as server:
        host = "{}:{}".format(*server.sockets[0].getsockname()[:2])
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname()[:2])
        writer.write(upgrade_request(path, host=host))
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        writer.close()
    assert head.startswith("HTTP/1.1 302 Found\r\n")
    assert f"Location: {location.format(host=host)}\r\n" in head


async def test_handler_of_a_route_has_a_whole_connection(lib: Library) -> None:
    async with lib.route(url_map(), "127.0.0.1", 0) as server:
        async with lib.connect(url(server, "/echo")) as client:
            await client.send("hello")
            assert await client.recv() == "hello"


@pytest.mark.parametrize("asynchronous", [False, True])
async def test_process_request_comes_first(lib: Library, asynchronous: bool) -> None:
    def process_request(connection: Any, request: Any) -> Any:
        if request.path == "/":
            return connection.respond(403, "not the root\n")
        return None

    async def aprocess_request(connection: Any, request: Any) -> Any:
        return process_request(connection, request)

    process = aprocess_request if asynchronous else process_request
    async with lib.route(url_map(), "127.0.0.1", 0, process_request=process) as server:
        with pytest.raises(lib.InvalidStatus) as raised:
            await lib.connect(url(server, "/"))
        assert raised.value.response.status_code == 403
        async with lib.connect(url(server, "/user/me")) as client:
            assert await client.recv() == "user me"


async def test_create_router(lib: Library) -> None:
    class Mine(lib.Router):  # type: ignore[name-defined,misc]
        async def handler(self, connection: Any) -> Any:
            await connection.send("routed")
            return await super().handler(connection)

    async with lib.route(url_map(), "127.0.0.1", 0, create_router=Mine) as server:
        async with lib.connect(url(server, "/")) as client:
            assert [message async for message in client] == ["routed", "root"]


async def test_options_of_serve(lib: Library) -> None:
    async with lib.route(url_map(), "127.0.0.1", 0, subprotocols=["chat"]) as server:
        async with lib.connect(url(server), subprotocols=["chat"]) as client:
            assert client.subprotocol == "chat"


async def test_unix_route(lib: Library) -> None:
    with tempfile.TemporaryDirectory(prefix="behaviour") as folder:
        path = Path(folder) / "socket"
        async with lib.unix_route(url_map(), path):
            async with lib.unix_connect(path, uri="ws://localhost/user/me") as client:
                assert await client.recv() == "user me"
