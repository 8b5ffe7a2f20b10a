"""Extensions written by an application: negotiated, then run over every frame."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import pytest

from .ends import TEXT, ends, wire
from .library import Library

Parameters = Sequence[tuple[str, str | None]]


def rot13(lib: Library, name: str = "x-rot13", parameter: str | None = None) -> tuple[Any, Any]:
    """A client and a server factory of an extension that sets RSV2 and rotates letters."""
    table = bytes.maketrans(
        b"abcdefghijklmnopqrstuvwxyz",
        b"nopqrstuvwxyzabcdefghijklm",
    )
    offered = [(parameter, None)] if parameter else []

    class Rot13(lib.Extension):  # type: ignore[name-defined,misc]
        def __init__(self) -> None:
            self.name = name

        def decode(self, frame: Any, *, max_size: int | None = None) -> Any:
            if not frame.rsv2:
                return frame
            data = bytes(frame.data).translate(table)
            return dataclasses.replace(frame, data=data, rsv2=False)

        def encode(self, frame: Any) -> Any:
            if frame.opcode not in (lib.Opcode.TEXT, lib.Opcode.CONT):
                return frame
            data = bytes(frame.data).translate(table)
            return dataclasses.replace(frame, data=data, rsv2=True)

    class ClientFactory(lib.ClientExtensionFactory):  # type: ignore[name-defined,misc]
        def __init__(self) -> None:
            self.name = name

        def get_request_params(self) -> Parameters:
            return offered

        def process_response_params(self, params: Parameters, accepted: Sequence[Any]) -> Any:
            if list(params) != offered:
                raise lib.NegotiationError(f"unexpected parameters: {params}")
            return Rot13()

    class ServerFactory(lib.ServerExtensionFactory):  # type: ignore[name-defined,misc]
        def __init__(self) -> None:
            self.name = name

        def process_request_params(self, params: Parameters, accepted: Sequence[Any]) -> Any:
            if list(params) != offered:
                raise lib.NegotiationError(f"unexpected parameters: {params}")
            return list(params), Rot13()

    return ClientFactory(), ServerFactory()


async def test_runs_both_ways(lib: Library) -> None:
    client_factory, server_factory = rot13(lib)
    async with ends(
        lib,
        extensions=[client_factory],
        compression=None,
        remote={"extensions": [server_factory], "compression": None},
    ) as (client, server):
        assert client.request.headers["Sec-WebSocket-Extensions"] == "x-rot13"
        assert client.response.headers["Sec-WebSocket-Extensions"] == "x-rot13"
        await client.send("hello")
        assert await server.recv() == "hello"
        await server.send(["good", "bye"])
        assert await client.recv() == "goodbye"
        await (await client.ping(b"abc"))


async def test_on_the_wire(lib: Library, role: str) -> None:
    client_factory, server_factory = rot13(lib)
    factory = client_factory if role == "client" else server_factory
    async with wire(
        lib,
        role,
        headers=("Sec-WebSocket-Extensions: x-rot13",),
        extensions=[factory],
        compression=None,
    ) as (connection, peer):
        await connection.send("hello")
        frame = await peer.receive()
        assert frame.payload == b"uryyb"
        await peer.send(TEXT, b"uryyb", rsv=2)
        assert await connection.recv() == "hello"


async def test_parameters(lib: Library) -> None:
    client_factory, server_factory = rot13(lib, parameter="shift")
    async with ends(
        lib,
        extensions=[client_factory],
        compression=None,
        remote={"extensions": [server_factory], "compression": None},
    ) as (client, _):
        assert client.request.headers["Sec-WebSocket-Extensions"] == "x-rot13; shift"
        assert client.response.headers["Sec-WebSocket-Extensions"] == "x-rot13; shift"


async def test_server_declines_what_it_cannot_accept(lib: Library) -> None:
    client_factory, _ = rot13(lib)
    _, server_factory = rot13(lib, parameter="needed")
    async with ends(
        lib,
        extensions=[client_factory],
        compression=None,
        remote={"extensions": [server_factory], "compression": None},
    ) as (client, server):
        assert "Sec-WebSocket-Extensions" not in client.response.headers
        await client.send("hello")
        assert await server.recv() == "hello"


async def test_client_refuses_wrong_parameters(lib: Library) -> None:
    client_factory, _ = rot13(lib)
    with pytest.raises(lib.NegotiationError):
        async with wire(
            lib,
            headers=("Sec-WebSocket-Extensions: x-rot13; surprise",),
            extensions=[client_factory],
        ):
            pytest.fail("the handshake is wrong")


async def test_with_compression(lib: Library) -> None:
    client_factory, server_factory = rot13(lib)
    async with ends(lib, extensions=[client_factory], remote={"extensions": [server_factory]}) as (
        client,
        server,
    ):
        header = client.response.headers["Sec-WebSocket-Extensions"]
        assert "x-rot13" in header
        assert "permessage-deflate" in header
        for message in ("hello" * 1000, b"\x00\xff" * 1000):
            await client.send(message)
            assert await server.recv() == message
            await server.send(message)
            assert await client.recv() == message


async def test_configured_deflate_is_kept_as_it_is(lib: Library) -> None:
    factory = lib.ClientPerMessageDeflateFactory(server_no_context_takeover=True)
    assert lib.enable_client_permessage_deflate([factory]) == [factory]
    (made,) = lib.enable_client_permessage_deflate(None)
    assert made.name == "permessage-deflate"
    server_factory = lib.ServerPerMessageDeflateFactory()
    assert lib.enable_server_permessage_deflate([server_factory]) == [server_factory]
    async with ends(lib, extensions=[factory]) as (client, _):
        assert client.request.headers["Sec-WebSocket-Extensions"].count("permessage-deflate") == 1


async def test_deflate_factory_with_compression_off(lib: Library) -> None:
    factory = lib.ClientPerMessageDeflateFactory()
    async with ends(lib, extensions=[factory], compression=None) as (client, server):
        assert "permessage-deflate" in client.response.headers["Sec-WebSocket-Extensions"]
        await client.send("x" * 5000)
        assert await server.recv() == "x" * 5000
