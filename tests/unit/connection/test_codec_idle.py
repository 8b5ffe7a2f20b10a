"""Codecs that nobody uses are freed, and the conversation goes on."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
import websockets.extensions.permessage_deflate as theirs
import websockets.frames
from wsproto.extensions import PerMessageDeflate as Wsproto
from wsproto.frame_protocol import FrameProtocol, Opcode, RsvBits

from duologue.base.limits import Limits
from duologue.wire.deflate import PerMessageDeflate, own_codecs
from duologue.wire.frame import Frame

from .rig import rig, turns

pytestmark = pytest.mark.virtual_time

TEXT = b"[%s]" % b", ".join(b'{"id": %d, "name": "alpha"}' % n for n in range(60))


class Websockets:
    """A client's codec of websockets."""

    def __init__(self, server_no_takeover: bool, client_no_takeover: bool, bits: int = 13) -> None:
        self.codec = theirs.PerMessageDeflate(server_no_takeover, client_no_takeover, bits, bits)

    def compress(self, data: bytes) -> bytes:
        frame = websockets.frames.Frame(websockets.frames.Opcode.BINARY, data)
        return bytes(self.codec.encode(frame).data)

    def inflate(self, data: bytes) -> bytes:
        frame = websockets.frames.Frame(websockets.frames.Opcode.BINARY, data, rsv1=True)
        return bytes(self.codec.decode(frame).data)


class TheirWsproto:
    """A client's codec of wsproto."""

    def __init__(self, server_no_takeover: bool, client_no_takeover: bool, bits: int = 13) -> None:
        self.codec = Wsproto(
            server_no_context_takeover=server_no_takeover,
            client_no_context_takeover=client_no_takeover,
            server_max_window_bits=bits,
            client_max_window_bits=bits,
        )
        self.codec._enabled = True
        self.protocol = FrameProtocol(client=True, extensions=[self.codec])

    def compress(self, data: bytes) -> bytes:
        _, octets = self.codec.frame_outbound(
            self.protocol, Opcode.BINARY, RsvBits(False, False, False), data, True
        )
        return bytes(octets)

    def inflate(self, data: bytes) -> bytes:
        self.codec.frame_inbound_header(
            self.protocol, Opcode.BINARY, RsvBits(True, False, False), len(data)
        )
        octets = self.codec.frame_inbound_payload_data(self.protocol, data)
        rest = self.codec.frame_inbound_complete(self.protocol, True)
        assert isinstance(octets, bytes) and isinstance(rest, bytes)
        return octets + rest


class Raw:
    """Carries a rig's peer: frames as they are, compressed by somebody else."""

    name = "raw"

    def encode(self, frame: Frame) -> Frame:
        if frame.opcode >= 8:
            return frame
        return Frame(frame.opcode, frame.data, frame.fin, True)

    def decode(self, frame: Frame, *, max_size: int | None = None) -> Frame:
        return Frame(frame.opcode, frame.data, frame.fin)


async def exchange(r: Any, peer: Any, number: int) -> int:
    """One compressed message each way; return how long ours was."""
    text = TEXT + b"%d" % number
    r.peer.send_binary(peer.compress(text))
    r.say()
    assert await r.ws.recv() == text
    await r.ws.send(text)
    (data,) = await r.heard_data()
    assert peer.inflate(data) == text
    return len(data)


@pytest.mark.parametrize("peer", [Websockets, TheirWsproto])
@pytest.mark.parametrize("server_no_takeover", [False, True])
@pytest.mark.parametrize("client_no_takeover", [False, True])
@pytest.mark.parametrize("interval", [None, 20])
@pytest.mark.parametrize("bits", [12, 13])
async def test_codecs_go_when_idle_and_the_conversation_goes_on(
    peer: Any, server_no_takeover: bool, client_no_takeover: bool, interval: float | None, bits: int
) -> None:
    ours = PerMessageDeflate(client_no_takeover, server_no_takeover, bits, bits, {"level": 1})
    theirs = peer(server_no_takeover, client_no_takeover, bits)
    before = own_codecs()
    # With a window of 4 KiB a connection keeps what it sent, and borrows a compressor.
    held = (not server_no_takeover and bits > 12, not client_no_takeover)
    with rig(
        extensions=([ours], [Raw()]),
        limits=Limits(codec_idle=5),
        ping_interval=interval,
        ping_timeout=None,
    ) as r:
        for _ in range(3):
            sizes = []
            for number in range(4):
                sizes.append(await exchange(r, theirs, number))
                await asyncio.sleep(2)
            assert own_codecs() == (before[0] + held[0], before[1] + held[1])
            assert (max(sizes[1:]) < sizes[0] / 3) is not server_no_takeover
            await asyncio.sleep(10)
            assert own_codecs() == before
    assert own_codecs() == before


@pytest.mark.parametrize("idle, kept", [(5, False), (60, True), (None, True)])
async def test_the_limit_decides_how_long(idle: float | None, kept: bool) -> None:
    ours = PerMessageDeflate(False, False, 13, 13)
    before = own_codecs()
    with rig(extensions=([ours], [Raw()]), limits=Limits(codec_idle=idle)) as r:
        peer = Websockets(False, False)
        for number in range(3):
            await exchange(r, peer, number)
        await asyncio.sleep(11)
        assert (own_codecs() != before) is kept
        await asyncio.sleep(500)
        assert (own_codecs() != before) is (idle is None)
    assert own_codecs() == before


async def test_nothing_goes_in_the_middle_of_a_message() -> None:
    ours = PerMessageDeflate(False, False, 13, 13)
    peer = Websockets(False, False)
    going_on = asyncio.get_running_loop().create_future()

    async def parts() -> Any:
        yield TEXT
        await going_on
        yield TEXT

    before = own_codecs()
    with rig(extensions=([ours], [Raw()]), limits=Limits(codec_idle=1)) as r:
        for number in range(2):
            await exchange(r, peer, number)
        sending = asyncio.create_task(r.ws.send(parts(), compress=True))
        await asyncio.sleep(30)
        assert own_codecs()[0] == before[0] + 1
        going_on.set_result(None)
        await sending
        heard = [bytes(frame.data) for frame in await r.heard()]
        inflated = b""
        for number, data in enumerate(heard):
            kind = websockets.frames.Opcode.CONT if number else websockets.frames.Opcode.BINARY
            frame = websockets.frames.Frame(kind, data, number == len(heard) - 1, number == 0)
            inflated += bytes(peer.codec.decode(frame).data)
        assert inflated == TEXT * 2
        await asyncio.sleep(3)
        assert own_codecs() == before
        await exchange(r, peer, 9)


async def test_codecs_go_with_the_connection() -> None:
    ours = PerMessageDeflate(False, False, 13, 13)
    peer = Websockets(False, False)
    before = own_codecs()
    with rig(extensions=([ours], [Raw()]), limits=Limits(codec_idle=None)) as r:
        for number in range(2):
            await exchange(r, peer, number)
        assert own_codecs() == (before[0] + 1, before[1] + 1)
        r.wire.lose()
        await turns()
        assert own_codecs() == before
