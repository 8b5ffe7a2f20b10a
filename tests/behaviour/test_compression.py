"""permessage-deflate (RFC 7692) as applications meet it."""

from __future__ import annotations

import asyncio
import zlib
from typing import Any

import pytest

from .ends import BINARY, CONT, TEXT, ends, wire
from .library import Library

LONG = "The quick brown fox jumps over the lazy dog. " * 200


def deflate(data: bytes, *, level: int = 9) -> bytes:
    compressor = zlib.compressobj(level, wbits=-15)
    return (compressor.compress(data) + compressor.flush(zlib.Z_SYNC_FLUSH))[:-4]


async def test_negotiated_by_default(lib: Library) -> None:
    async with ends(lib) as (client, server):
        assert "permessage-deflate" in client.request.headers["Sec-WebSocket-Extensions"]
        assert "permessage-deflate" in client.response.headers["Sec-WebSocket-Extensions"]
        await client.send(LONG)
        assert await server.recv() == LONG
        await server.send(LONG.encode())
        assert await client.recv() == LONG.encode()


@pytest.mark.parametrize(("client", "server"), [(None, "deflate"), ("deflate", None), (None, None)])
async def test_either_end_may_decline(lib: Library, client: str | None, server: str | None) -> None:
    async with ends(lib, compression=client, remote={"compression": server}) as (here, there):
        assert "Sec-WebSocket-Extensions" not in here.response.headers
        assert ("Sec-WebSocket-Extensions" in here.request.headers) is (client == "deflate")
        await here.send(LONG)
        assert await there.recv() == LONG


AGREED = ("Sec-WebSocket-Extensions: permessage-deflate",)


async def test_long_messages_shrink(lib: Library, role: str) -> None:
    async with wire(lib, role, headers=AGREED) as (connection, peer):
        await connection.send(LONG)
        frame = await peer.receive()
        assert (frame.opcode, frame.rsv1) == (TEXT, True)
        assert len(frame.payload) < len(LONG) / 10
        inflater = zlib.decompressobj(wbits=-15)
        assert inflater.decompress(frame.payload + b"\x00\x00\xff\xff") == LONG.encode()


async def test_context_is_kept_between_messages(lib: Library, role: str) -> None:
    async with wire(lib, role, headers=AGREED) as (connection, peer):
        inflater = zlib.decompressobj(wbits=-15)
        sizes = []
        for _ in range(3):
            await connection.send(LONG)
            frame = await peer.receive()
            sizes.append(len(frame.payload))
            octets = inflater.decompress(frame.payload + b"\x00\x00\xff\xff")
            assert octets == LONG.encode()
        assert sizes[1] < sizes[0]


async def test_without_context_takeover(lib: Library, role: str) -> None:
    parameter = f"{role}_no_context_takeover"
    if role == "client":
        headers = (f"{AGREED[0]}; {parameter}",)
        factory = lib.ClientPerMessageDeflateFactory(client_no_context_takeover=True)
    else:
        headers = AGREED
        factory = lib.ServerPerMessageDeflateFactory(server_no_context_takeover=True)
    async with wire(lib, role, headers=headers, extensions=[factory]) as (connection, peer):
        if role == "server":
            assert parameter.encode() in peer.handshake
        for _ in range(2):
            await connection.send(LONG)
            frame = await peer.receive()
            inflater = zlib.decompressobj(wbits=-15)
            octets = inflater.decompress(frame.payload + b"\x00\x00\xff\xff")
            assert octets == LONG.encode()


async def test_receives_compressed_messages(lib: Library, role: str) -> None:
    compressor = zlib.compressobj(wbits=-15)
    async with wire(lib, role, headers=AGREED) as (connection, peer):
        for i in range(3):
            text = f"{i} {LONG}"
            octets = compressor.compress(text.encode()) + compressor.flush(zlib.Z_SYNC_FLUSH)
            await peer.send(TEXT, octets[:-4], rsv=4)
            assert await connection.recv() == text


async def test_receives_uncompressed_messages_too(lib: Library, role: str) -> None:
    async with wire(lib, role, headers=AGREED) as (connection, peer):
        await peer.send(TEXT, b"plain")
        await peer.send(BINARY, deflate(b"compressed"), rsv=4)
        await peer.send(TEXT, b"plain again")
        assert await connection.recv() == "plain"
        assert await connection.recv() == b"compressed"
        assert await connection.recv() == "plain again"


async def test_receives_compressed_fragments(lib: Library, role: str) -> None:
    octets = deflate(LONG.encode(), level=0)
    async with wire(lib, role, headers=AGREED) as (connection, peer):
        third = len(octets) // 3
        await peer.send(TEXT, octets[:third], fin=False, rsv=4)
        await peer.send(CONT, octets[third : 2 * third], fin=False)
        await peer.send(CONT, octets[2 * third :])
        assert await connection.recv() == LONG


async def test_sends_compressed_fragments(lib: Library, role: str) -> None:
    pieces = [LONG, LONG.upper(), LONG]
    async with ends(lib, role) as (local, remote):
        await local.send(pieces)
        assert await remote.recv() == "".join(pieces)


@pytest.mark.parametrize("message", [b"", b"\x00", bytes(range(256)) * 300])
async def test_messages_that_do_not_shrink(lib: Library, role: str, message: bytes) -> None:
    async with ends(lib, role) as (local, remote):
        await local.send(message)
        assert await remote.recv() == message


async def test_garbage(lib: Library, role: str) -> None:
    async with wire(lib, role, headers=AGREED, close_timeout=0.1) as (connection, peer):
        await peer.send(BINARY, b"\xff\xff\xff\xff", rsv=4)
        code, _ = await peer.receive_close()
        assert code in (1002, 1007)
        peer.writer.close()
        with pytest.raises(lib.ConnectionClosedError):
            await connection.recv()


async def test_bomb(lib: Library, role: str) -> None:
    bomb = deflate(b"\x00" * 10_000_000)
    assert len(bomb) < 20_000
    async with wire(lib, role, headers=AGREED, close_timeout=0.1) as (connection, peer):
        await peer.send(BINARY, bomb, rsv=4)
        assert (await peer.receive_close())[0] == 1009
        peer.writer.close()
        with pytest.raises(lib.ConnectionClosedError) as raised:
            await connection.recv()
        assert isinstance(raised.value.__cause__, lib.PayloadTooBig)


async def test_invalid_utf8_inside(lib: Library, role: str) -> None:
    async with wire(lib, role, headers=AGREED, close_timeout=0.1) as (connection, peer):
        receiving = asyncio.create_task(connection.recv())
        await peer.send(TEXT, deflate(b"caf\xff"), rsv=4)
        assert (await peer.receive_close())[0] == 1007
        peer.writer.close()
        with pytest.raises(lib.ConnectionClosedError):
            await receiving


async def test_rsv1_on_a_continuation_frame(lib: Library, role: str) -> None:
    octets = deflate(LONG.encode())
    async with wire(lib, role, headers=AGREED, close_timeout=0.1) as (connection, peer):
        receiving = asyncio.create_task(connection.recv())
        await peer.send(TEXT, octets[:10], fin=False, rsv=4)
        await peer.send(CONT, octets[10:], rsv=4)
        assert (await peer.receive_close())[0] == 1002
        peer.writer.close()
        with pytest.raises(lib.ConnectionClosedError):
            await receiving


# Negotiation with the extension's own factories.


@pytest.mark.parametrize(
    "parameters",
    [
        {},
        {"server_no_context_takeover": True},
        {"client_no_context_takeover": True},
        {"server_max_window_bits": 10},
        {"client_max_window_bits": 10},
        {"server_max_window_bits": 9, "client_max_window_bits": 9},
        {"compress_settings": {"memLevel": 4}},
        {"compress_settings": {"level": 1}},
    ],
)
async def test_parameters_of_the_client(lib: Library, parameters: dict[str, Any]) -> None:
    extensions = [lib.ClientPerMessageDeflateFactory(**parameters)]
    async with ends(lib, extensions=extensions) as (client, server):
        for name, value in parameters.items():
            if name != "compress_settings":
                text = name if value is True else f"{name}={value}"
                assert text in client.request.headers["Sec-WebSocket-Extensions"]
        for _ in range(2):
            await client.send(LONG)
            assert await server.recv() == LONG
            await server.send(LONG)
            assert await client.recv() == LONG


@pytest.mark.parametrize(
    "parameters",
    [
        {"server_no_context_takeover": True},
        {"client_no_context_takeover": True},
        {"server_max_window_bits": 10},
        {"client_max_window_bits": 10},
        {"client_max_window_bits": 12, "require_client_max_window_bits": True},
        {"compress_settings": {"memLevel": 4}},
    ],
)
async def test_parameters_of_the_server(lib: Library, parameters: dict[str, Any]) -> None:
    extensions = [lib.ServerPerMessageDeflateFactory(**parameters)]
    async with ends(lib, "server", extensions=extensions) as (server, client):
        for name, value in parameters.items():
            if name not in ("compress_settings", "require_client_max_window_bits"):
                text = name if value is True else f"{name}={value}"
                assert text in client.response.headers["Sec-WebSocket-Extensions"]
        for _ in range(2):
            await client.send(LONG)
            assert await server.recv() == LONG
            await server.send(LONG)
            assert await client.recv() == LONG


async def test_required_client_max_window_bits(lib: Library) -> None:
    extensions = [
        lib.ServerPerMessageDeflateFactory(
            client_max_window_bits=12, require_client_max_window_bits=True
        )
    ]
    async with wire(lib, "server", headers=AGREED, extensions=extensions) as (_, peer):
        assert b"permessage-deflate" not in peer.handshake


@pytest.mark.parametrize(
    ("side", "parameters"),
    [
        ("Client", {"server_max_window_bits": 7}),
        ("Client", {"server_max_window_bits": 16}),
        ("Client", {"client_max_window_bits": 7}),
        ("Client", {"client_max_window_bits": 16}),
        ("Server", {"server_max_window_bits": 7}),
        ("Server", {"server_max_window_bits": 16}),
        ("Server", {"client_max_window_bits": 7}),
        ("Server", {"client_max_window_bits": 16}),
        ("Server", {"require_client_max_window_bits": True}),
        ("Client", {"compress_settings": {"wbits": 10}}),
        ("Server", {"compress_settings": {"wbits": 10}}),
    ],
)
def test_wrong_parameters(lib: Library, side: str, parameters: dict[str, Any]) -> None:
    with pytest.raises(ValueError):
        getattr(lib, f"{side}PerMessageDeflateFactory")(**parameters)


@pytest.mark.parametrize(
    "offer",
    [
        "permessage-deflate; server_max_window_bits=20",
        "permessage-deflate; client_no_context_takeover=1",
        "permessage-deflate; client_no_context_takeover; client_no_context_takeover",
        "permessage-deflate; unknown",
        "permessage-bzip2",
    ],
)
async def test_offers_that_cannot_be_accepted_are_declined(lib: Library, offer: str) -> None:
    headers = (f"Sec-WebSocket-Extensions: {offer}",)
    async with wire(lib, "server", headers=headers) as (connection, peer):
        assert b"extensions" not in peer.handshake.lower()
        await peer.send(TEXT, b"plain")
        assert await connection.recv() == "plain"


async def test_first_acceptable_offer_wins(lib: Library) -> None:
    headers = (
        "Sec-WebSocket-Extensions: permessage-deflate; unknown, "
        "permessage-deflate; server_no_context_takeover",
    )
    async with wire(lib, "server", headers=headers) as (_, peer):
        assert peer.handshake.count(b"permessage-deflate") == 1
        assert b"server_no_context_takeover" in peer.handshake
