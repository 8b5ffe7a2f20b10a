"""Unix sockets."""

from __future__ import annotations

import ssl
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import trustme

from .ends import accepting, echo, wait_until_closed
from .library import Library

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no Unix sockets")


@pytest.fixture
def path() -> Iterator[Path]:
    """A path short enough for a socket."""
    with tempfile.TemporaryDirectory(prefix="behaviour") as folder:
        yield Path(folder) / "socket"


@pytest.mark.parametrize("convert", [str, Path])
async def test_echo(lib: Library, path: Path, convert: type) -> None:
    async with lib.unix_serve(echo, convert(path)):
        async with lib.unix_connect(convert(path)) as client:
            await client.send("hello")
            assert await client.recv() == "hello"
            assert client.request.headers["Host"] == "localhost"
            assert client.request.path == "/"


async def test_uri(lib: Library, path: Path) -> None:
    seen = []

    async def handler(connection: object) -> None:
        seen.append(connection.request)  # type: ignore[attr-defined]

    async with lib.unix_serve(handler, path):
        async with lib.unix_connect(path, uri="ws://example.com:1234/room") as client:
            with pytest.raises(lib.ConnectionClosedOK):
                await client.recv()
    assert seen[0].headers["Host"] == "example.com:1234"
    assert seen[0].path == "/room"


async def test_addresses(lib: Library, path: Path) -> None:
    async with lib.unix_serve(wait_until_closed, path) as server:
        assert server.sockets[0].getsockname() == str(path)
        async with lib.unix_connect(path) as client:
            assert client.remote_address == str(path)


async def test_nobody_listens(lib: Library, path: Path) -> None:
    with pytest.raises(OSError):
        await lib.unix_connect(path)


async def test_tls(lib: Library, path: Path) -> None:
    authority = trustme.CA()
    server_context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(server_context)
    client_context = ssl.create_default_context()
    authority.configure_trust(client_context)
    async with lib.unix_serve(echo, path, ssl=server_context):
        async with lib.unix_connect(path, ssl=client_context) as client:
            await client.send("hello")
            assert await client.recv() == "hello"


async def test_options(lib: Library, path: Path) -> None:
    async with lib.unix_serve(echo, path, subprotocols=["chat"]):
        async with lib.unix_connect(path, subprotocols=["chat"], max_size=10) as client:
            assert client.subprotocol == "chat"


async def test_tcp_and_unix_do_not_mix(lib: Library, path: Path) -> None:
    async with accepting(lib) as (server, _):
        assert server.is_serving()
        with pytest.raises(OSError):
            await lib.unix_connect(path)
