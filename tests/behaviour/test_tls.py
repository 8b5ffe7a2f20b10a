"""wss:// with certificates made for the test."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
import trustme

from .ends import accepting, echo, raw_server, turns, url, wait_until_closed
from .library import Library


@dataclass
class Certificates:
    server: ssl.SSLContext
    client: ssl.SSLContext


@pytest.fixture(scope="module")
def certificates() -> Iterator[Certificates]:
    """A server context for ``localhost`` and 127.0.0.1, and a client context that trusts it."""
    authority = trustme.CA()
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost", "127.0.0.1").configure_cert(server)
    client = ssl.create_default_context()
    authority.configure_trust(client)
    yield Certificates(server, client)


async def test_echo(lib: Library, certificates: Certificates) -> None:
    async with lib.serve(echo, "127.0.0.1", 0, ssl=certificates.server) as server:
        async with lib.connect(url(server, scheme="wss"), ssl=certificates.client) as client:
            for message in ("hello", b"\x00" * 300_000, "x" * 100_000):
                await client.send(message)
                assert await client.recv() == message
        assert client.close_code == 1000


async def test_many_messages(lib: Library, certificates: Certificates) -> None:
    async with lib.serve(echo, "127.0.0.1", 0, ssl=certificates.server) as server:
        async with lib.connect(url(server, scheme="wss"), ssl=certificates.client) as client:
            sending = asyncio.gather(*(client.send(str(i) * 1000) for i in range(100)))
            assert [await client.recv() for _ in range(100)] == [str(i) * 1000 for i in range(100)]
            await sending


async def test_server_hostname(lib: Library, certificates: Certificates) -> None:
    async with accepting(lib, ssl=certificates.server) as (server, accepted):
        uri = url(server, scheme="wss")
        async with lib.connect(uri, ssl=certificates.client, server_hostname="localhost"):
            assert (await accepted.get()).request.headers["Host"].startswith("127.0.0.1:")
        with pytest.raises(ssl.SSLCertVerificationError):
            await lib.connect(uri, ssl=certificates.client, server_hostname="other.example")


async def test_host_overrides_the_destination_not_the_name(
    lib: Library, certificates: Certificates
) -> None:
    async with lib.serve(echo, "127.0.0.1", 0, ssl=certificates.server) as server:
        host, port = server.sockets[0].getsockname()[:2]
        uri = f"wss://localhost:{port}/"
        async with lib.connect(uri, ssl=certificates.client, host=host) as client:
            assert client.request.headers["Host"] == f"localhost:{port}"


async def test_untrusted_certificate(lib: Library, certificates: Certificates) -> None:
    async with lib.serve(echo, "127.0.0.1", 0, ssl=certificates.server) as server:
        with pytest.raises(ssl.SSLCertVerificationError):
            await lib.connect(url(server, scheme="wss"))


async def test_certificate_for_another_name(lib: Library) -> None:
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("other.example").configure_cert(context)
    trusting = ssl.create_default_context()
    authority.configure_trust(trusting)
    async with lib.serve(echo, "127.0.0.1", 0, ssl=context) as server:
        with pytest.raises(ssl.SSLCertVerificationError):
            await lib.connect(url(server, scheme="wss"), ssl=trusting)


async def test_tls_to_a_plain_server(lib: Library, certificates: Certificates) -> None:
    async with lib.serve(echo, "127.0.0.1", 0) as server:
        with pytest.raises((OSError, ssl.SSLError)):
            await lib.connect(url(server, scheme="wss"), ssl=certificates.client)


async def test_plain_to_a_tls_server(lib: Library, certificates: Certificates) -> None:
    async with lib.serve(echo, "127.0.0.1", 0, ssl=certificates.server) as server:
        with pytest.raises((lib.InvalidMessage, OSError)):
            await lib.connect(url(server))
        async with lib.connect(url(server, scheme="wss"), ssl=certificates.client) as client:
            await client.send("still serving")
            assert await client.recv() == "still serving"


async def test_wss_uri_must_not_have_ssl_off(lib: Library) -> None:
    with pytest.raises(ValueError):
        async with lib.connect("wss://127.0.0.1:1/", ssl=None):
            pytest.fail("wss:// without TLS")


async def test_open_timeout_during_the_tls_handshake(
    lib: Library, certificates: Certificates
) -> None:
    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(-1)

    async with raw_server(silent) as address:
        with pytest.raises(TimeoutError):
            await lib.connect(
                address.replace("ws://", "wss://"), ssl=certificates.client, open_timeout=0.05
            )


async def test_handler_that_returns(lib: Library, certificates: Certificates) -> None:
    async def handler(connection: object) -> None:
        pass

    async with lib.serve(handler, "127.0.0.1", 0, ssl=certificates.server) as server:
        async with lib.connect(url(server, scheme="wss"), ssl=certificates.client) as client:
            with pytest.raises(lib.ConnectionClosedOK):
                await client.recv()


async def test_server_close(lib: Library, certificates: Certificates) -> None:
    async with lib.serve(wait_until_closed, "127.0.0.1", 0, ssl=certificates.server) as server:
        async with lib.connect(url(server, scheme="wss"), ssl=certificates.client) as client:
            await turns()
            server.close()
            await client.wait_closed()
            assert client.close_code == 1001


async def test_slow_reader(lib: Library, certificates: Certificates) -> None:
    async def pour(connection: object) -> None:
        for _ in range(100):
            await connection.send(b"x" * 65536)  # type: ignore[attr-defined]

    async with lib.serve(pour, "127.0.0.1", 0, ssl=certificates.server, compression=None) as server:
        async with lib.connect(
            url(server, scheme="wss"), ssl=certificates.client, compression=None
        ) as client:
            await asyncio.sleep(0.05)
            received = [len(message) async for message in client]
    assert received == [65536] * 100
