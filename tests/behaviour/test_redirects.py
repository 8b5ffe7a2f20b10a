"""Redirects of the opening handshake: which are followed, and what goes along."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Callable
from typing import Any

import pytest
import trustme

from .ends import url
from .library import Library


async def greet(connection: Any) -> None:
    """Tell the client what it asked for, and with which credentials."""
    headers = connection.request.headers
    told = [connection.request.path]
    told += [headers.get(name, "-") for name in ("Authorization", "Cookie", "X-Other")]
    await connection.send(" ".join(told))


def redirecting(target: Callable[[str], str | None], status: int = 302) -> Any:
    """Answer requests whose path has a target with a redirect to it."""

    def process_request(connection: Any, request: Any) -> Any:
        location = target(request.path)
        if location is None:
            return None
        response = connection.respond(status, "elsewhere\n")
        response.headers["Location"] = location
        return response

    return process_request


@pytest.mark.parametrize("status", [300, 301, 302, 303, 307, 308])
async def test_statuses(lib: Library, status: int) -> None:
    hook = redirecting({"/old": "/new?x=1"}.get, status)
    async with lib.serve(greet, "127.0.0.1", 0, process_request=hook) as server:
        async with lib.connect(url(server, "/old")) as client:
            assert await client.recv() == "/new?x=1 - - -"


@pytest.mark.parametrize("status", [201, 304, 305, 401, 503])
async def test_statuses_that_are_no_redirects(lib: Library, status: int) -> None:
    hook = redirecting({"/old": "/new"}.get, status)
    async with lib.serve(greet, "127.0.0.1", 0, process_request=hook) as server:
        with pytest.raises(lib.InvalidStatus) as refused:
            await lib.connect(url(server, "/old"))
    assert refused.value.response.status_code == status


@pytest.mark.parametrize(
    ("location", "path"),
    [("/new", "/new"), ("new", "/a/new"), ("../new", "/new"), ("?q=1", "/a/old?q=1")],
)
async def test_relative(lib: Library, location: str, path: str) -> None:
    hook = redirecting({"/a/old": location}.get)
    async with lib.serve(greet, "127.0.0.1", 0, process_request=hook) as server:
        async with lib.connect(url(server, "/a/old")) as client:
            assert await client.recv() == f"{path} - - -"


CREDENTIALS = {"Authorization": "secret", "Cookie": "a=b", "X-Other": "other"}


async def test_same_origin_keeps_credentials(lib: Library) -> None:
    hook = redirecting({"/old": "/new"}.get)
    async with lib.serve(greet, "127.0.0.1", 0, process_request=hook) as server:
        async with lib.connect(url(server, "/old"), additional_headers=CREDENTIALS) as client:
            assert await client.recv() == "/new secret a=b other"


async def test_other_origin_gets_no_credentials(lib: Library) -> None:
    async with lib.serve(greet, "127.0.0.1", 0) as there:
        hook = redirecting({"/old": url(there, "/there")}.get)
        async with lib.serve(greet, "127.0.0.1", 0, process_request=hook) as server:
            uri = url(server, "/old")
            async with lib.connect(uri, additional_headers=CREDENTIALS) as client:
                assert await client.recv() == "/there - - other"
            # Those of the URI are for its origin, too.
            async with lib.connect(uri.replace("//", "//me:secret@")) as client:
                assert await client.recv() == "/there - - -"


async def test_there_and_back_is_without_credentials(lib: Library) -> None:
    """Who was sent away once isn't trusted to send back."""
    origins: list[str] = []

    def back(path: str) -> str | None:
        return f"{origins[0]}new"

    async with lib.serve(greet, "127.0.0.1", 0, process_request=redirecting(back)) as there:
        hook = redirecting({"/old": url(there)}.get)
        async with lib.serve(greet, "127.0.0.1", 0, process_request=hook) as server:
            origins.append(url(server))
            async with lib.connect(url(server, "/old"), additional_headers=CREDENTIALS) as client:
                assert await client.recv() == "/new - - other"


async def test_at_most_ten(lib: Library) -> None:
    asked: list[str] = []

    def onwards(path: str) -> str:
        asked.append(path)
        return path + "x"

    async with lib.serve(greet, "127.0.0.1", 0, process_request=redirecting(onwards)) as server:
        with pytest.raises(lib.SecurityError, match=r"(?i)more.*redirects"):
            await lib.connect(url(server))
    assert len(asked) in (10, 11)


async def test_never_to_a_weaker_place(lib: Library) -> None:
    authority = trustme.CA()
    server_tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(server_tls)
    client_tls = ssl.create_default_context()
    authority.configure_trust(client_tls)
    async with lib.serve(greet, "127.0.0.1", 0) as plain:
        hook = redirecting({"/old": url(plain), "/near": "/new"}.get)
        async with lib.serve(greet, "127.0.0.1", 0, process_request=hook, ssl=server_tls) as server:
            with pytest.raises(lib.SecurityError, match="non-secure"):
                await lib.connect(url(server, "/old", "wss"), ssl=client_tls)
            async with lib.connect(url(server, "/near", "wss"), ssl=client_tls) as client:
                assert await client.recv() == "/new - - -"


async def test_a_given_place_is_kept_to(lib: Library) -> None:
    hook = redirecting({"/old": "ws://elsewhere.invalid/", "/near": "/new"}.get)
    async with lib.serve(greet, "127.0.0.1", 0, process_request=hook) as server:
        host, port = server.sockets[0].getsockname()[:2]
        for given in ({"host": host}, {"port": port}):
            with pytest.raises(ValueError, match="explicit host or port"):
                await lib.connect(url(server, "/old"), **given)
            async with lib.connect(url(server, "/near"), **given) as client:
                assert await client.recv() == "/new - - -"
        with pytest.raises(ValueError, match="preexisting socket"):
            sock = socket.create_connection((host, port))
            await lib.connect(url(server, "/old"), sock=sock)


@pytest.mark.parametrize("location", ["mailto:me", "gopher://x/", "ws://:x/"])
async def test_location_that_is_no_uri(lib: Library, location: str) -> None:
    hook = redirecting({"/old": location}.get)
    async with lib.serve(greet, "127.0.0.1", 0, process_request=hook) as server:
        with pytest.raises((lib.InvalidURI, ValueError)):
            await lib.connect(url(server, "/old"))


async def test_no_location(lib: Library) -> None:
    def process_request(connection: Any, request: Any) -> Any:
        return connection.respond(302, "where to?\n")

    async with lib.serve(greet, "127.0.0.1", 0, process_request=process_request) as server:
        with pytest.raises(lib.InvalidStatus):
            await lib.connect(url(server))
