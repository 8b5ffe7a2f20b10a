"""TLS of servers and clients on the engine: options, handshakes, and what goes wrong in them."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import ssl
from pathlib import Path
from typing import Any

import pytest

from duologue import connect, serve, unix_connect, unix_serve
from duologue.net import tls
from duologue.net.link import Link
from duologue.net.listening import listen
from duologue.net.tls import take_tls_options
from duologue.net.transport import LinkTransport

from .rig import Errors, read, reset, turns, watched
from .tls_rig import NAME, client_context, server_context


async def echo(connection: Any) -> None:
    async for message in connection:
        await connection.send(message)


def place(server: Any) -> tuple[str, int]:
    found: tuple[str, int] = server.sockets[0].getsockname()[:2]
    return found


# -- options


def test_options_have_asyncios_defaults() -> None:
    context = server_context()
    options: dict[str, Any] = {"ssl": context, "backlog": 5}
    taken = take_tls_options(options, server_side=True)
    assert taken is not None and taken.context is context and options == {"backlog": 5}
    assert (taken.handshake_timeout, taken.shutdown_timeout) == (60.0, 30.0)
    assert taken.server_hostname is None
    assert take_tls_options({}) is None
    assert take_tls_options({"ssl": False}) is None


def test_true_is_the_default_context() -> None:
    taken = take_tls_options({"ssl": True, "server_hostname": NAME})
    assert taken is not None and taken.server_hostname == NAME
    assert taken.context.check_hostname and taken.context.verify_mode == ssl.CERT_REQUIRED
    nameless = take_tls_options({"ssl": True, "server_hostname": ""})
    assert nameless is not None and not nameless.context.check_hostname


@pytest.mark.parametrize(
    ("options", "error", "says"),
    [
        ({"ssl": "yes"}, TypeError, "ssl argument must be an SSLContext or None, not 'yes'"),
        ({"server_hostname": NAME}, ValueError, "server_hostname is only meaningful with ssl"),
        ({"ssl_handshake_timeout": 5}, ValueError, "ssl_handshake_timeout is only meaningful"),
        ({"ssl_shutdown_timeout": 5}, ValueError, "ssl_shutdown_timeout is only meaningful"),
        ({"ssl": True, "ssl_handshake_timeout": 0}, ValueError, "positive number, got 0"),
        ({"ssl": True, "ssl_shutdown_timeout": -1}, ValueError, "positive number, got -1"),
    ],
)
def test_what_options_cannot_be(options: dict[str, Any], error: type, says: str) -> None:
    with pytest.raises(error, match=says):
        take_tls_options(options)


@pytest.mark.parametrize("context", [True, False])
def test_a_server_needs_a_context(context: bool) -> None:
    with pytest.raises(TypeError, match="SSLContext or None"):
        take_tls_options({"ssl": context}, server_side=True)


# -- conversations


async def test_both_ends_are_the_engines(loop_factory: Any) -> None:
    transports: list[Any] = []

    async def handler(connection: Any) -> None:
        transports.append(connection.transport)
        await echo(connection)

    async with serve(
        handler, "127.0.0.1", 0, ssl=server_context(), max_size=None, compression=None
    ) as server:
        host, port = place(server)
        async with connect(
            f"wss://{NAME}:{port}", host=host, ssl=client_context(), max_size=None
        ) as client:
            transports.append(client.transport)
            for message in ("hello", b"\0" * 70_000, "x" * 3_000_000):
                await client.send(message)
                assert await client.recv() == message
        assert client.close_code == 1000
    assert [type(each) for each in transports] == [LinkTransport] * 2
    assert all(isinstance(each.get_extra_info("ssl_object"), ssl.SSLObject) for each in transports)


async def test_over_a_unix_socket(loop_factory: Any, tmp_path: Path) -> None:
    path = str(tmp_path / "s")
    async with unix_serve(echo, path, ssl=server_context()):
        async with unix_connect(path, f"wss://{NAME}/", ssl=client_context()) as client:
            assert client.transport is not None and client.transport.get_extra_info("cipher")
            await client.send("hello")
            assert await client.recv() == "hello"


async def test_a_socket_of_ones_own(loop_factory: Any) -> None:
    async with serve(echo, "127.0.0.1", 0, ssl=server_context()) as server:
        sock = socket.create_connection(place(server))
        async with connect(f"wss://{NAME}/", sock=sock, ssl=client_context()) as client:
            await client.send("hello")
            assert await client.recv() == "hello"


async def test_the_name_that_is_checked(loop_factory: Any) -> None:
    async with serve(echo, "127.0.0.1", 0, ssl=server_context()) as server:
        host, port = place(server)
        uri = f"wss://{host}:{port}"
        async with connect(uri, ssl=client_context(), server_hostname=NAME):
            pass
        with pytest.raises(ssl.SSLCertVerificationError, match="IP address mismatch"):
            await connect(uri, ssl=client_context())
        with pytest.raises(ssl.SSLCertVerificationError, match=r"other\.test"):
            await connect(uri, ssl=client_context(), server_hostname="other.test")
        with pytest.raises(ValueError, match="check_hostname requires server_hostname"):
            await connect(uri, ssl=client_context(), server_hostname="")
        with pytest.raises(ssl.SSLCertVerificationError, match="unable to get local issuer"):
            await connect(uri, ssl=True, server_hostname=NAME)
    await turns(20)
    assert watched() == 0


# -- servers and peers that speak something else


@pytest.mark.parametrize(
    "octets", [b"", b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", b"\x16\3\1\xff\xff" + b"\0" * 300, b"?"]
)
async def test_a_server_outlives_them_quietly(
    loop_factory: Any, octets: bytes, caplog: pytest.LogCaptureFixture, capfd: Any
) -> None:
    caplog.set_level(logging.DEBUG, "duologue.net")
    errors = Errors()
    async with serve(echo, "127.0.0.1", 0, ssl=server_context()) as server:
        host, port = place(server)
        sock = socket.create_connection((host, port))
        sock.setblocking(False)
        with sock:
            sock.send(octets)
            sock.shutdown(socket.SHUT_WR)
            with contextlib.suppress(ConnectionResetError):
                await read(sock, 1 << 16)
        async with connect(f"wss://{NAME}:{port}", host=host, ssl=client_context()) as client:
            await client.send("still serving")
            assert await client.recv() == "still serving"
        assert watched() >= 1
    assert errors.contexts == []
    assert "TLS handshake failed" in caplog.text
    assert {record.levelno for record in caplog.records if record.name == "duologue.net"} == {
        logging.DEBUG
    }
    assert capfd.readouterr() == ("", "")


async def test_open_timeout_bounds_a_servers_handshakes(loop_factory: Any) -> None:
    async with serve(echo, "127.0.0.1", 0, ssl=server_context(), open_timeout=0.02) as server:
        with socket.create_connection(place(server)) as sock:
            sock.setblocking(False)
            assert await read(sock, 1) == b""
        await turns()
        assert watched() == 1  # the one that listens


async def test_ssl_handshake_timeout(loop_factory: Any) -> None:
    options: dict[str, Any] = {"ssl": server_context(), "ssl_handshake_timeout": 0.02}
    async with serve(echo, "127.0.0.1", 0, **options) as server:
        with socket.create_connection(place(server)) as sock:
            sock.setblocking(False)
            assert await read(sock, 1) == b""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        host, port = silent.getsockname()
        with pytest.raises(ConnectionAbortedError, match=r"ssl_handshake_timeout of 0\.02 s"):
            await connect(f"wss://{host}:{port}", ssl=client_context(), ssl_handshake_timeout=0.02)


async def test_a_server_that_closes_breaks_off_handshakes(loop_factory: Any) -> None:
    async with serve(echo, "127.0.0.1", 0, ssl=server_context()) as server:
        sock = socket.create_connection(place(server))
        sock.setblocking(False)
        while watched() < 2:
            await asyncio.sleep(0)
    with sock:
        assert await read(sock, 1) == b""
    assert watched() == 0


async def test_a_client_gives_up_its_handshake(loop_factory: Any) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        host, port = silent.getsockname()
        with pytest.raises(TimeoutError, match=r"open_timeout of 0\.02 s"):
            await connect(f"wss://{host}:{port}", ssl=client_context(), open_timeout=0.02)
        await turns()
        assert watched() == 0


async def test_a_client_meets_something_else_than_tls(loop_factory: Any) -> None:
    async with serve(echo, "127.0.0.1", 0) as server:
        host, port = place(server)
        with pytest.raises(ssl.SSLError):
            await connect(f"wss://{host}:{port}", ssl=client_context())
    with socket.create_server(("127.0.0.1", 0)) as rude:
        host, port = rude.getsockname()
        connecting = asyncio.create_task(
            connect(f"wss://{host}:{port}", ssl=client_context()).connect()
        )
        rude.setblocking(False)
        sock, _ = await asyncio.get_running_loop().sock_accept(rude)
        reset(sock)
        with pytest.raises(ConnectionResetError):
            await connecting
    await turns()
    assert watched() == 0


async def test_contexts_of_the_wrong_side(loop_factory: Any) -> None:
    errors = Errors()
    async with serve(echo, "127.0.0.1", 0, ssl=client_context()) as server:
        host, port = place(server)
        with pytest.raises(OSError):
            await connect(f"wss://{NAME}:{port}", host=host, ssl=client_context())
        with pytest.raises(ssl.SSLError, match="client socket with a PROTOCOL_TLS_SERVER"):
            await connect(f"wss://{NAME}:{port}", host=host, ssl=server_context())
    assert errors.exceptions == [ssl.SSLError] * 2


async def test_many_handshakes_cut_at_any_octet(loop_factory: Any) -> None:
    """A client's whole first flight, cut at each place in turn: nothing stays behind."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = client_context().wrap_bio(incoming, outgoing, server_hostname=NAME)
    with pytest.raises(ssl.SSLWantReadError):
        client.do_handshake()
    hello = outgoing.read()
    opened: list[Link] = []
    loop = asyncio.get_running_loop()
    server = await listen(loop, opened.append, "127.0.0.1", 0, ssl=server_context())
    for cut in range(0, len(hello), 7):
        sock = socket.create_connection(server.sockets[0].getsockname())
        sock.send(hello[:cut])
        await asyncio.sleep(0)
        sock.close()
    while watched() > 1:
        await asyncio.sleep(0.001)
    assert opened == [] and server._handshakes is not None and len(server._handshakes) == 0
    server.close()
    assert tls.HANDSHAKE_TIMEOUT == 60.0
