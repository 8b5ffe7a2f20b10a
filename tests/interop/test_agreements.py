"""What both ends agree on while they open, with every other implementation in each role."""

from __future__ import annotations

import pytest

from .conversation import MIB, RANDOM_MIB, UNICODE, Pairing, conversation, pairings
from .peer import TlsFiles


@pairings()
async def test_path_and_query_reach_the_other_end(pairing: Pairing) -> None:
    target = "/some/path?room=a%20b&x=%E5%B0%8D"
    async with conversation(pairing, path=target) as (ours, theirs):
        opened = await theirs.next("open")
        assert ours.request.path == target
        if pairing.role == "server":
            assert opened.path == target


@pairings()
async def test_common_subprotocol_is_agreed(pairing: Pairing) -> None:
    offers = ["chat.v3", "chat.v2", "chat.v1"]
    supported = ["chat.v2"]
    ours, theirs = (offers, supported) if pairing.role == "server" else (supported, offers)
    async with conversation(pairing, ours=ours, theirs=theirs) as (connection, peer):
        assert (await peer.next("open")).subprotocol == "chat.v2"
        assert connection.subprotocol == "chat.v2"


@pairings(role="server")
async def test_offered_subprotocols_may_all_be_declined(pairing: Pairing) -> None:
    async with conversation(pairing, ours=["chat.v3"]) as (connection, peer):
        assert (await peer.next("open")).subprotocol is None
        assert connection.subprotocol is None


@pairings(deflates=True)
async def test_compression_is_agreed_by_default(pairing: Pairing) -> None:
    async with conversation(pairing) as (ours, theirs):
        assert "permessage-deflate" in (await theirs.next("open")).extensions
        assert "permessage-deflate" in ours.response.headers["Sec-WebSocket-Extensions"]
        for message in ("compress me " * 1000, RANDOM_MIB[:100_000], "compress me " * 1000):
            await ours.send(message)
            assert await theirs.message() == message
            await theirs.send(message)
            assert await ours.recv() == message


@pairings()
async def test_compression_can_be_turned_off_by_us(pairing: Pairing) -> None:
    async with conversation(pairing, compression=None) as (ours, theirs):
        opened = await theirs.next("open")
        assert not opened.details.get("extensions")
        assert "Sec-WebSocket-Extensions" not in ours.response.headers
        await ours.send("plain " * 1000)
        assert await theirs.message() == "plain " * 1000


@pairings(deflates=True, deflate_optional=True)
async def test_compression_can_be_turned_off_by_them(pairing: Pairing) -> None:
    async with conversation(pairing, their_deflate=False) as (ours, theirs):
        await theirs.next("open")
        assert "Sec-WebSocket-Extensions" not in ours.response.headers
        await theirs.send("plain " * 1000)
        assert await ours.recv() == "plain " * 1000


@pairings(deflates=False)
async def test_compression_is_not_forced_on_a_peer_without_it(pairing: Pairing) -> None:
    async with conversation(pairing) as (ours, theirs):
        await theirs.next("open")
        assert "Sec-WebSocket-Extensions" not in ours.response.headers
        await ours.send("plain " * 1000)
        assert await theirs.message() == "plain " * 1000


@pairings(name="ws")
@pytest.mark.parametrize(("compression", "octets"), [("deflate", 65536), (None, 2 * MIB)])
async def test_compression_shows_on_the_wire(
    pairing: Pairing, compression: str | None, octets: int
) -> None:
    async with conversation(pairing, compression=compression) as (ours, theirs):
        await theirs.next("open")
        await ours.send("0123456789abcde\n" * (MIB // 16))
        assert octets // 2 - 65536 < (await theirs.next("message")).octets < octets


@pairings(secures=True)
async def test_over_tls(pairing: Pairing, tls_files: TlsFiles) -> None:
    async with conversation(pairing, tls=tls_files) as (ours, theirs):
        await theirs.next("open")
        for message in (UNICODE, RANDOM_MIB):
            await ours.send(message)
            assert await theirs.message() == message
            await theirs.send(message)
            assert await ours.recv() == message
        await theirs.close(3000, "done")
        assert (await theirs.next("closed")).code == 3000
        assert (ours.close_code, ours.close_reason) == (3000, "done")
