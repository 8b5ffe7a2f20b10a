"""Opening a connection: the forms of ``connect``, its arguments and its failures."""

from __future__ import annotations

import asyncio
import re
import socket
from typing import Any

import pytest

from .ends import (
    TEXT,
    accepting,
    echo,
    ends,
    raw_server,
    upgrade_response,
    url,
    wait_until_closed,
    wire,
)
from .library import Library


async def test_context_manager(lib: Library) -> None:
    async with lib.serve(echo, "127.0.0.1", 0) as server:
        async with lib.connect(url(server)) as connection:
            assert connection.state is lib.State.OPEN
            await connection.send("hello")
            assert await connection.recv() == "hello"
        assert connection.state is lib.State.CLOSED
        assert connection.close_code == 1000


async def test_context_manager_closes_with_1011_after_an_exception(lib: Library) -> None:
    async with accepting(lib) as (server, accepted):
        with pytest.raises(ZeroDivisionError):
            async with lib.connect(url(server)) as connection:
                raise ZeroDivisionError
        server_end = await accepted.get()
        await server_end.wait_closed()
        assert server_end.close_code == 1011
        assert connection.state is lib.State.CLOSED


async def test_await(lib: Library) -> None:
    async with lib.serve(echo, "127.0.0.1", 0) as server:
        connection = await lib.connect(url(server))
        assert isinstance(connection, lib.ClientConnection)
        await connection.send(b"\x00\xff")
        assert await connection.recv() == b"\x00\xff"
        await connection.close()
        assert connection.state is lib.State.CLOSED


async def test_connect_can_be_used_again_after_its_context(lib: Library) -> None:
    async with lib.serve(echo, "127.0.0.1", 0) as server:
        connecting = lib.connect(url(server))
        async with connecting as first:
            pass
        async with connecting as second:
            assert second is not first
            assert second.state is lib.State.OPEN


async def test_nothing_happens_before_the_first_await(lib: Library) -> None:
    connecting = lib.connect("ws://127.0.0.1:1/")
    assert connecting is not None


async def test_connection_refused(lib: Library) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
    with pytest.raises(OSError):
        async with lib.connect(f"ws://127.0.0.1:{port}/"):
            pytest.fail("there is no server")


@pytest.mark.parametrize(
    "uri", ["ftp://localhost/", "//localhost/", "", "ws://", "ws://localhost/#fragment"]
)
def test_uri_must_be_a_websocket_uri(lib: Library, uri: str) -> None:
    with pytest.raises(lib.InvalidURI):
        asyncio.run(lib.connect(uri).__aenter__())


async def test_wrong_compression(lib: Library) -> None:
    with pytest.raises(ValueError, match="compression"):
        lib.connect("ws://localhost/", compression=False)


async def test_subprotocols_must_be_a_list(lib: Library) -> None:
    with pytest.raises(TypeError):
        lib.connect("ws://localhost/", subprotocols="chat")


async def test_request_target(lib: Library) -> None:
    async with accepting(lib) as (server, accepted):
        async with lib.connect(url(server, "/room/1?user=me&x=%20")):
            assert (await accepted.get()).request.path == "/room/1?user=me&x=%20"
        async with lib.connect(url(server, "")):
            assert (await accepted.get()).request.path == "/"


async def test_host_header_names_the_port(lib: Library) -> None:
    async with ends(lib) as (client, server):
        host, port = client.remote_address[:2]
        assert server.request.headers["Host"] == f"{host}:{port}"


async def test_host_and_port_override_the_destination_only(lib: Library) -> None:
    async with accepting(lib) as (server, accepted):
        host, port = server.sockets[0].getsockname()[:2]
        async with lib.connect("ws://overridden.example:1234/", host=host, port=port):
            assert (await accepted.get()).request.headers["Host"] == "overridden.example:1234"


async def test_preexisting_socket(lib: Library) -> None:
    async with accepting(lib) as (server, accepted):
        address = server.sockets[0].getsockname()[:2]
        with socket.create_connection(address) as sock:
            local = sock.getsockname()
            async with lib.connect("ws://localhost/", sock=sock) as client:
                assert client.local_address == local
                assert (await accepted.get()).remote_address == local


async def test_credentials_in_the_uri(lib: Library) -> None:
    async with accepting(lib) as (server, accepted):
        uri = url(server).replace("ws://", "ws://hello:iloveyou@")
        async with lib.connect(uri):
            headers = (await accepted.get()).request.headers
            assert headers["Authorization"] == "Basic aGVsbG86aWxvdmV5b3U="


@pytest.mark.parametrize(
    "headers",
    [
        {"X-Spam": "Eggs"},
        [("X-Spam", "Eggs")],
    ],
)
async def test_additional_headers(lib: Library, headers: Any) -> None:
    async with ends(lib, additional_headers=headers) as (_, server):
        assert server.request.headers["X-Spam"] == "Eggs"


async def test_additional_headers_object(lib: Library) -> None:
    headers = lib.Headers([("X-Spam", "1"), ("X-Spam", "2")])
    async with ends(lib, additional_headers=headers) as (_, server):
        assert server.request.headers.get_all("X-Spam") == ["1", "2"]


async def test_user_agent(lib: Library) -> None:
    async with ends(lib) as (_, server):
        agent = server.request.headers["User-Agent"]
        assert re.fullmatch(rf"Python/\S+ {lib.name}/{re.escape(lib.version)}", agent)
        assert agent == lib.USER_AGENT


@pytest.mark.parametrize("agent", ["Smith", None])
async def test_user_agent_header(lib: Library, agent: str | None) -> None:
    async with ends(lib, user_agent_header=agent) as (_, server):
        assert server.request.headers.get("User-Agent") == agent


async def test_user_agent_in_additional_headers(lib: Library) -> None:
    async with ends(lib, additional_headers={"User-Agent": "Smith"}) as (_, server):
        assert server.request.headers.get_all("User-Agent") == ["Smith"]


async def test_origin(lib: Library) -> None:
    async with ends(lib, origin="https://example.com") as (_, server):
        assert server.request.headers["Origin"] == "https://example.com"
    async with ends(lib) as (_, server):
        assert "Origin" not in server.request.headers


async def test_create_connection(lib: Library) -> None:
    class Mine(lib.ClientConnection):  # type: ignore[name-defined,misc]
        async def shout(self, text: str) -> None:
            await self.send(text.upper())

    async with lib.serve(echo, "127.0.0.1", 0) as server:
        async with lib.connect(url(server), create_connection=Mine) as connection:
            assert type(connection) is Mine
            await connection.shout("hey")
            assert await connection.recv() == "HEY"


async def test_subclass_sees_messages_it_sends(lib: Library) -> None:
    sent = []

    class Counting(lib.ClientConnection):  # type: ignore[name-defined,misc]
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **kwargs)
            self.mine = "attribute"

        async def send(self, message: Any, **kwargs: Any) -> None:
            sent.append(message)
            await super().send(message, **kwargs)

    async with lib.serve(echo, "127.0.0.1", 0) as server:
        async with lib.connect(url(server), create_connection=Counting) as connection:
            assert connection.mine == "attribute"
            await connection.send("one")
            assert await connection.recv() == "one"
    assert sent == ["one"]


# Failures of the opening handshake.


async def test_rejection_raises_invalid_status(lib: Library) -> None:
    def forbid(connection: Any, request: Any) -> Any:
        return connection.respond(403, "no way\n")

    async with lib.serve(echo, "127.0.0.1", 0, process_request=forbid) as server:
        with pytest.raises(lib.InvalidStatus) as raised:
            async with lib.connect(url(server)):
                pytest.fail("the handshake was refused")
    assert str(raised.value) == "server rejected WebSocket connection: HTTP 403"
    assert raised.value.response.status_code == 403
    assert raised.value.response.reason_phrase == "Forbidden"
    assert bytes(raised.value.response.body) == b"no way\n"


async def respond_with(lib: Library, octets: bytes, **options: Any) -> BaseException:
    """What ``connect`` raises when a server answers the request with ``octets`` and closes."""

    async def conversation(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        writer.write(octets or upgrade_response(head).replace(b"Accept: ", b"Accept: x"))
        writer.write_eof()
        await reader.read()

    async with raw_server(conversation) as address:
        with pytest.raises(Exception) as raised:
            await lib.connect(address, **options)
    return raised.value


async def test_body_with_content_length(lib: Library) -> None:
    exc = await respond_with(lib, b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nhello!")
    assert isinstance(exc, lib.InvalidStatus)
    assert bytes(exc.response.body) == b"hello!"


async def test_body_in_chunks(lib: Library) -> None:
    exc = await respond_with(
        lib,
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nhel\r\n3\r\nlo!\r\n0\r\n\r\n",
    )
    assert isinstance(exc, lib.InvalidStatus)
    assert bytes(exc.response.body) == b"hello!"


async def test_body_up_to_the_end(lib: Library) -> None:
    exc = await respond_with(lib, b"HTTP/1.1 200 OK\r\n\r\nhello!")
    assert isinstance(exc, lib.InvalidStatus)
    assert bytes(exc.response.body) == b"hello!"


async def test_not_http(lib: Library) -> None:
    exc = await respond_with(lib, b"220 smtp.invalid ESMTP Postfix\r\n")
    assert isinstance(exc, lib.InvalidMessage)
    assert str(exc) == "did not receive a valid HTTP response"


async def test_server_closes_before_answering(lib: Library) -> None:
    async def conversation(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.close()

    async with raw_server(conversation) as address:
        with pytest.raises(lib.InvalidMessage) as raised:
            await lib.connect(address)
    assert str(raised.value) == "did not receive a valid HTTP response"
    assert isinstance(raised.value.__cause__, EOFError)


async def test_wrong_accept(lib: Library) -> None:
    exc = await respond_with(lib, b"")
    assert isinstance(exc, lib.InvalidHeaderValue)
    assert exc.name == "Sec-WebSocket-Accept"


@pytest.mark.parametrize(
    ("removed", "exception", "header"),
    [
        (b"Upgrade: websocket\r\n", "InvalidUpgrade", "Upgrade"),
        (b"Connection: Upgrade\r\n", "InvalidUpgrade", "Connection"),
    ],
)
async def test_missing_header(lib: Library, removed: bytes, exception: str, header: str) -> None:
    async def conversation(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        writer.write(upgrade_response(head).replace(removed, b""))
        await reader.read()

    async with raw_server(conversation) as address:
        with pytest.raises(getattr(lib, exception)) as raised:
            await lib.connect(address)
    assert raised.value.name == header


@pytest.mark.parametrize(
    "header",
    [
        "Sec-WebSocket-Protocol: never-offered",
        "Sec-WebSocket-Extensions: x-never-offered",
        "Sec-WebSocket-Extensions: permessage-deflate; x-unknown",
    ],
)
async def test_server_agrees_to_what_was_not_offered(lib: Library, header: str) -> None:
    with pytest.raises(lib.NegotiationError):
        async with wire(lib, headers=(header,)):
            pytest.fail("the handshake is wrong")


async def test_two_subprotocols_in_the_answer(lib: Library) -> None:
    headers = ("Sec-WebSocket-Protocol: one, two",)
    with pytest.raises(lib.InvalidHandshake):
        async with wire(lib, headers=headers, subprotocols=["one", "two"]):
            pytest.fail("the handshake is wrong")


async def test_frames_right_behind_the_handshake(lib: Library) -> None:
    async def conversation(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        writer.write(upgrade_response(head) + b"\x81\x05first\x81\x06second")
        await reader.read()

    async with raw_server(conversation) as address:
        async with lib.connect(address, close_timeout=0.05) as connection:
            assert await connection.recv() == "first"
            assert await connection.recv() == "second"


async def test_cancelled_while_connecting(lib: Library) -> None:
    gone = asyncio.Event()
    reached = asyncio.Event()

    async def conversation(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        reached.set()
        try:
            await reader.read()
        finally:
            gone.set()

    async with raw_server(conversation) as address:
        task = asyncio.create_task(lib.connect(address).__aenter__())
        await reached.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await gone.wait()


async def test_request_as_it_leaves(lib: Library) -> None:
    async with wire(lib, compression=None) as (_, peer):
        lines = peer.handshake.decode().split("\r\n")
    assert lines[0] == "GET / HTTP/1.1"
    fields = {name.lower(): value.strip() for name, _, value in (x.partition(":") for x in lines)}
    assert fields["upgrade"].lower() == "websocket"
    assert fields["connection"] == "Upgrade"
    assert fields["sec-websocket-version"] == "13"
    assert len(fields["sec-websocket-key"]) == 24
    assert "sec-websocket-extensions" not in fields
    assert "sec-websocket-protocol" not in fields


async def test_every_request_has_its_own_key(lib: Library) -> None:
    keys = set()
    async with accepting(lib) as (server, accepted):
        for _ in range(3):
            async with lib.connect(url(server)):
                keys.add((await accepted.get()).request.headers["Sec-WebSocket-Key"])
    assert len(keys) == 3


async def test_client_masks_and_server_does_not(lib: Library, role: str) -> None:
    async with wire(lib, role) as (connection, peer):
        await connection.send("hello")
        frame = await peer.receive()
        assert (frame.opcode, frame.masked) == (TEXT, role == "client")


async def test_ssl_needs_a_wss_uri(lib: Library) -> None:
    async with lib.serve(wait_until_closed, "127.0.0.1", 0) as server:
        with pytest.raises(ValueError, match="ssl"):
            async with lib.connect(url(server), ssl=True):
                pytest.fail("ws:// with ssl")
