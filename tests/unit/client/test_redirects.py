"""Redirects: followed within limits, never to a weaker place, never with another's credentials."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from duologue import Limits
from duologue.asyncio.client import connect, unix_connect
from duologue.asyncio.server import Server, ServerConnection, serve, unix_serve
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


@pytest.mark.parametrize("userinfo", ["", "me:secret@"])
async def test_credentials_of_the_uri_stay_at_their_origin(userinfo: str) -> None:
    async with serve(greet, "127.0.0.1", 0) as there:
        targets = {"/": "/same", "/same": address(there) + "/other"}
        seen: list[str | None] = []

        def note(request: Request) -> str | None:
            seen.append(request.headers.get("Authorization"))
            return targets.get(request.path)

        async with serve(greet, "127.0.0.1", 0, process_request=sending_to(note)) as server:
            async with connect(address(server).replace("//", f"//{userinfo}")) as ws:
                assert await ws.recv() == "/other None None"
    # Relative redirects keep them, as in browsers.
    expected = "Basic bWU6c2VjcmV0" if userinfo else None
    assert seen == [expected, expected]


async def test_credentials_that_the_redirect_names() -> None:
    async with serve(greet, "127.0.0.1", 0) as there:
        target = address(there).replace("//", "//new:pass@")
        async with serve(greet, "127.0.0.1", 0, process_request=sending_to(lambda _: target)) as s:
            async with connect(address(s).replace("//", "//me:secret@")) as ws:
                assert await ws.recv() == "/ Basic bmV3OnBhc3M= None"


async def test_a_host_that_was_given_is_for_its_server_only() -> None:
    async def tell_host(ws: ServerConnection) -> None:
        await ws.send(ws.request.headers["Host"])

    async with serve(tell_host, "127.0.0.1", 0) as there:
        target = address(there)
        async with serve(greet, "127.0.0.1", 0, process_request=sending_to(lambda _: target)) as s:
            headers = {"Host": "virtual.example"}
            async with connect(address(s), additional_headers=headers) as ws:
                assert await ws.recv() == target.removeprefix("ws://")


async def test_every_attempt_begins_at_the_first_uri() -> None:
    """What a redirect led to may be gone when the connection is; the first server knows."""
    seen: list[str | None] = []

    async with serve(greet, "127.0.0.1", 0) as there:
        target = address(there)

        def note(request: Request) -> str:
            seen.append(request.headers.get("Authorization"))
            return target

        async with serve(greet, "127.0.0.1", 0, process_request=sending_to(note)) as server:
            count = 0
            async for ws in connect(
                address(server), additional_headers={"Authorization": "secret"}
            ):
                count += 1
                assert await ws.recv() == "/ None None"
                if count == 2:
                    break
    assert seen == ["secret", "secret"]


@pytest.mark.parametrize("suffix", ["#there", "?x=1#", "/p#a?b"])
async def test_fragments_are_left_out(suffix: str) -> None:
    async with serve(greet, "127.0.0.1", 0) as there:
        target = address(there) + suffix
        async with serve(greet, "127.0.0.1", 0, process_request=sending_to(lambda _: target)) as s:
            async with connect(address(s)) as ws:
                path = suffix.partition("#")[0]
                assert await ws.recv() == f"{'' if path[:1] == '/' else '/'}{path} None None"


@pytest.mark.parametrize("status", [201, 300, 304, 305])
async def test_other_statuses(status: int) -> None:
    hook = sending_to(lambda request: "/new" if request.path == "/old" else None, status)
    async with serve(greet, "127.0.0.1", 0, process_request=hook) as server:
        if status == 300:
            async with connect(address(server) + "/old") as ws:
                assert await ws.recv() == "/new None None"
            return
        with pytest.raises(InvalidStatus) as refused:
            await connect(address(server) + "/old")
        assert refused.value.response.status_code == status


async def test_two_locations() -> None:
    def refuse(connection: ServerConnection, request: Request) -> Response:
        response = connection.respond(302, "where to?\n")
        response.headers["Location"] = "/one"
        response.headers["Location"] = "/two"
        return response

    async with serve(greet, "127.0.0.1", 0, process_request=refuse) as server:
        with pytest.raises(InvalidStatus):
            await connect(address(server))


async def test_open_timeout_is_for_all_together() -> None:
    hook = sending_to(lambda request: request.path + "x")

    async def slow(connection: ServerConnection, request: Request) -> Response | None:
        await asyncio.sleep(0.04)
        answer: Response | None = hook(connection, request)
        return answer

    async with serve(greet, "127.0.0.1", 0, process_request=slow) as server:
        with pytest.raises(TimeoutError, match=r"open_timeout of 0\.1 s"):
            await connect(address(server), open_timeout=0.1)


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


async def test_a_unix_socket_is_kept_to(tmp_path: Path) -> None:
    path = str(tmp_path / "s")
    targets = {"/": "/same", "/away": "ws://elsewhere.invalid/"}
    hook = sending_to(lambda request: targets.get(request.path))
    async with unix_serve(greet, path, process_request=hook):
        async with unix_connect(path) as ws:
            assert await ws.recv() == "/same None None"
        with pytest.raises(ValueError, match="Unix socket"):
            await unix_connect(path, "ws://localhost/away")


def test_never_to_a_weaker_place() -> None:
    client = connect("wss://example.com/")
    response = Response(302, "Found", Headers([("Location", "ws://example.com/")]))
    verdict = client.process_redirect(InvalidStatus(response))
    assert isinstance(verdict, SecurityError)
