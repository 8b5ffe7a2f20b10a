"""A link of the engine as an asyncio transport."""

from __future__ import annotations

import asyncio
import socket
from typing import Any

from duologue.net.transport import LinkTransport

from .rig import linked, read


async def test_facts(loop_factory: Any) -> None:
    with linked(socket.AF_INET) as (link, owner, theirs):
        transport = link.transport
        assert isinstance(transport, LinkTransport) and isinstance(transport, asyncio.Transport)
        assert transport.get_extra_info("peername") == theirs.getsockname()
        assert transport.get_extra_info("sockname") == theirs.getpeername()
        assert transport.get_extra_info("cipher") is None
        assert transport.get_extra_info("cipher", "none") == "none"
        assert transport.can_write_eof()
        assert not transport.is_closing()
        assert transport.get_write_buffer_size() == 0
        link.write_octets(bytes(20_000_000))
        assert transport.get_write_buffer_size() == link.unsent_octets() > 0
        transport.abort()
        assert transport.is_closing() and transport.get_write_buffer_size() == 0
        await owner.until_lost()


async def test_pausing(loop_factory: Any) -> None:
    with linked() as (link, owner, theirs):
        transport = link.transport
        assert transport.is_reading()
        transport.pause_reading()
        assert not transport.is_reading()
        theirs.send(b"later")
        await asyncio.sleep(0.01)
        assert owner.received == b""
        transport.resume_reading()
        assert transport.is_reading()
        await owner.until(lambda: owner.received == b"later")


async def test_ending_and_closing(loop_factory: Any) -> None:
    with linked() as (link, owner, theirs):
        link.write_octets(b"last")
        link.transport.write_eof()
        assert await read(theirs, 100) == b"last"
        link.transport.close()
        await owner.until_lost()
        assert owner.reason is None
