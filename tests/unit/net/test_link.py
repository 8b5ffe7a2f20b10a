"""The seam itself: a link without a carrier, and large payloads received into place."""

from __future__ import annotations

import asyncio

import pytest

from duologue.base.limits import Limits
from duologue.base.vocabulary import Side
from duologue.connection.connection import Connection
from duologue.connection.settings import Settings
from duologue.net.asyncio_link import AsyncioLink
from duologue.net.link import Link
from duologue.protocol.machine import EventMachine


def test_a_bare_link_carries_nothing() -> None:
    link = Link()
    for call in (
        lambda: link.write_octets(b""),
        link.write_eof,
        link.close_link,
        link.abort_link,
        link.pause,
        link.resume,
        lambda: link.get_extra_info("socket"),
    ):
        with pytest.raises(NotImplementedError):
            call()


class Silent(asyncio.Transport):
    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        pass

    def is_closing(self) -> bool:
        return False


@pytest.mark.virtual_time
@pytest.mark.parametrize("side", Side)
@pytest.mark.parametrize("step", [1000, 50_000, 1_000_000])
async def test_large_payloads_are_received_into_place(side: Side, step: int) -> None:
    settings = Settings(side, Limits())
    connection = Connection(settings)
    link = AsyncioLink(lambda link: None)
    link.connection_made(Silent())
    connection.open(link)
    peer = EventMachine(Side.CLIENT if side is Side.SERVER else Side.SERVER)
    payload = bytes(range(256)) * 2000
    peer.send_binary(payload)
    peer.send_text(("é" * 100_000).encode())
    octets = b"".join(peer.data_to_send())
    shared = in_place = 0
    while octets:
        buffer = memoryview(link.get_buffer(-1)).cast("B")
        if buffer.obj is None:
            in_place += 1
        else:
            shared += 1
        count = min(len(buffer), len(octets), step)
        buffer[:count] = octets[:count]
        octets = octets[count:]
        link.buffer_updated(count)
    assert shared and in_place
    assert await connection.recv() == payload
    assert await connection.recv() == "é" * 100_000
    link.connection_lost(None)
