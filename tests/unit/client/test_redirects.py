"""Redirects: followed within limits, never to a weaker place, never with another's credentials."""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import Any

import pytest

from duologue import Limits
from duologue.asyncio.client import connect
from duologue.asyncio.server import Server, ServerConnection, serve
from duologue.datastructures import Headers
from duologue.exceptions import InvalidStatus, InvalidURI, SecurityError
from duologue.http11 import Request, Response


async def greet(ws: ServerConnection) -> None:
    headers = ws.request.headers
    await ws.send(f"{ws.request.path} {headers.get('Authorization')} {headers.get('X-Other')}")


def sending_to(target: Callable[[Request], str | None], status: int = 302) -> Any:
    def process_request(connection: ServerConnection, request: Request) -> Response | None:
        location = target(request)
        if location is None:
            return None
        response = connection.respond(status, "elsewhere\n")
        response.headers["Location"] = location
        return response

    return process_request


def address(server: Server) -> str:
    host, port = server.sockets[0].getsockname()[:2]
    return f"ws://{host}:{port}"


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_relative(status: int) -> None:
    hook = sending_to(lambda request: "/new?x=1" if request.path == "/old" else None, status)
    async with serve(greet, "127.0.0.1", 0, process_request=hook) as server:
        headers = {"Authorization": "secret", "X-Other": "kept"}
        async with connect(address(server) + "/old", additional_headers=headers) as ws:
            assert await ws.recv() == "/new?x=1 secret kept"


async def test_other_origin_gets_no_credentials() -> None:
    async with serve(greet, "127.0.0.1", 0) as there:
        target = address(there).replace("ws:", "http:") + "/there"
        async with serve(greet, "127.0.0.1", 0, process_request=sending_to(lambda _: target)) as s:
            headers = {"Authorization": "secret", "X-Other": "kept"}
            async with connect(address(s), additional_headers=headers) as ws:
                assert await ws.recv() == "/there None kept"


@pytest.mark.parametrize("limit", [0, 1, 3])
async def test_max_redirects(limit: int) -> None:
    requests = []

    def onwards(request: Request) -> str:
        requests.append(request.path)
        return f"{request.path}x"

    hook = sending_to(onwards)
    async with serve(greet, "127.0.0.1", 0, process_request=hook) as server:
        with pytest.raises(SecurityError, match=f"max_redirects of {limit}"):
            await connect(address(server), limits=Limits(max_redirects=limit))
    assert len(requests) == limit + 1


async def test_location_that_is_no_uri() -> None:
    hook = sending_to(lambda _: "mailto:somebody")
    async with serve(greet, "127.0.0.1", 0, process_request=hook) as server:
        with pytest.raises((InvalidURI, ValueError)):
            await connect(address(server))


async def test_redirect_without_location() -> None:
    def refuse(connection: ServerConnection, request: Request) -> Response:
        return connection.respond(302, "where to?\n")

    async with serve(greet, "127.0.0.1", 0, process_request=refuse) as server:
        with pytest.raises(InvalidStatus) as raised:
            await connect(address(server))
    assert raised.value.response.status_code == 302


async def test_given_address_is_kept_to() -> None:
    hook = sending_to(lambda _: "ws://elsewhere.invalid/")
    async with serve(greet, "127.0.0.1", 0, process_request=hook) as server:
        host, port = server.sockets[0].getsockname()
        with pytest.raises(ValueError, match="explicit host or port"):
            await connect("ws://named.invalid/", host=host, port=port)
        sock = socket.create_connection((host, port))
        with pytest.raises(ValueError, match="preexisting socket"):
            await connect("ws://named.invalid/", sock=sock)


def test_never_to_a_weaker_place() -> None:
    client = connect("wss://example.com/")
    response = Response(302, "Found", Headers([("Location", "ws://example.com/")]))
    verdict = client.process_redirect(InvalidStatus(response))
    assert isinstance(verdict, SecurityError)
