"""What arrived whole before a fault is delivered, and can be answered, before the connection fails.

RFC 6455, section 7.1.7, says that an endpoint fails the connection; it says nothing of throwing
away what came before.
"""

from __future__ import annotations

import asyncio

import pytest

from duologue import ConnectionClosedError

from .raw import BINARY, CLOSE, REQUEST, TEXT, RawPeer, raw_ends
from .venue import Venue

FAULTS = {
    "reserved bit": (1002, lambda peer: peer.frame(TEXT, b"x", head=0xC0)),
    "reserved opcode": (1002, lambda peer: peer.frame(3, b"x")),
    "control fragment": (1002, lambda peer: peer.frame(9, b"x", head=0)),
    "long ping": (1002, lambda peer: peer.frame(9, bytes(126))),
    "lone continuation": (1002, lambda peer: peer.frame(0, b"x")),
    "wrong mask": (1002, lambda peer: RawPeer.frame(unlike(peer), TEXT, b"x")),
    "short close": (1002, lambda peer: peer.frame(CLOSE, b"\x03")),
    "code that may not be sent": (1002, lambda peer: peer.frame(CLOSE, b"\x03\xee")),
    "text that is not UTF-8": (1007, lambda peer: peer.frame(TEXT, b"ok\xff")),
    "unfinished text that is not UTF-8": (1007, lambda peer: peer.frame(TEXT, b"\xff", head=0)),
    "message over the limit": (1009, lambda peer: peer.frame(BINARY, bytes(1001))),
}


def unlike(peer: RawPeer) -> RawPeer:
    """Make the same peer with the masking of the other role."""
    return RawPeer(peer.reader, peer.writer, not peer.masks)


@pytest.mark.parametrize("fault", FAULTS)
async def test_a_message_before_a_fault_is_answered_first(
    venue: Venue, role: str, fault: str
) -> None:
    code, make = FAULTS[fault]
    async with raw_ends(venue, role, max_size=1000) as (here, peer):
        peer.writer.write(peer.frame(TEXT, b"question") + make(peer))
        # The fault has been seen by the time the application looks.
        await asyncio.sleep(0.02)
        assert await here.recv() == "question"
        await here.send("answer")
        looking = asyncio.create_task(here.recv())
        assert await peer.receive() == (TEXT, b"answer")
        opcode, payload = await peer.receive()
        assert (opcode, int.from_bytes(payload[:2], "big")) == (CLOSE, code)
        await peer.close()
        with pytest.raises(ConnectionClosedError) as caught:
            await looking
        assert caught.value.sent is not None and caught.value.sent.code == code
        assert caught.value.rcvd is None


async def test_a_fault_alone_fails_at_once(venue: Venue, role: str) -> None:
    async with raw_ends(venue, role) as (here, peer):
        peer.writer.write(b"\xff" * 14)
        opcode, payload = await peer.receive()
        assert (opcode, payload[:2]) == (CLOSE, b"\x03\xea")
        await peer.close()
        with pytest.raises(ConnectionClosedError):
            await here.recv()


async def test_a_frame_right_after_the_handshake_is_not_lost(
    venue: Venue,
) -> None:
    async def handler(connection: object) -> None:
        async for message in connection:  # type: ignore[attr-defined]
            await connection.send(message)  # type: ignore[attr-defined]

    async with venue.served(handler, compression=None) as way:
        reader, writer = await venue.open_streams(way)
        peer = RawPeer(reader, writer, masks=True)
        writer.write(REQUEST + peer.frame(TEXT, b"early"))
        head = await reader.readuntil(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 101 ")
        assert await peer.receive() == (TEXT, b"early")
        writer.write(peer.frame(CLOSE, b"\x03\xe8"))
        assert await peer.receive() == (CLOSE, b"\x03\xe8")
        await peer.close()
