from __future__ import annotations

import asyncio

import pytest

from duologue.asyncio.client import connect
from duologue.asyncio.server import serve
from duologue.exceptions import ConnectionClosed
from duologue.frontends.demo.connection import DemoConnection


class Recorder:
    def __init__(self) -> None:
        self.request = self.response = b""
        self.octets = {"received": bytearray(), "sent": bytearray()}
        self.over = asyncio.Event()

    def heads(self, request: bytes, response: bytes) -> None:
        self.request, self.response = request, response

    def received(self, octets: bytes) -> None:
        self.octets["received"] += octets

    def sent(self, octets: bytes) -> None:
        self.octets["sent"] += octets

    def ended(self) -> None:
        self.over.set()


def tapped(handler, **options):
    """A server all of whose connections are listened in on, and its recorders."""
    recorders: list[Recorder] = []

    def listen_in(connection, request):
        recorders.append(Recorder())
        connection.tap = recorders[-1]

    return recorders, serve(
        handler,
        "127.0.0.1",
        0,
        process_request=listen_in,
        create_connection=DemoConnection,
        **options,
    )


async def echo(websocket):
    try:
        async for message in websocket:
            await websocket.send(message)
    except ConnectionClosed:
        pass


@pytest.fixture(params=["epoll", "asyncio"])
def engine(request):
    return request.param


async def test_octets_of_the_handshake_and_of_every_frame(place, engine):
    recorders, serving = tapped(echo, engine=engine, compression=None)
    async with serving as server, place(server).raw("/x?y=z") as (reader, writer):
        writer.write(b"\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58")
        assert await reader.readexactly(7) == b"\x81\x05Hello"
        writer.write(b"\x88\x80\x00\x00\x00\x00")
        assert await reader.read() == b"\x88\x00"
        (recorder,) = recorders
        await recorder.over.wait()
    assert recorder.request == (
        b"GET /x?y=z HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
    )
    assert recorder.response.startswith(b"HTTP/1.1 101 Switching Protocols\r\n")
    assert b"\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n" in recorder.response
    assert recorder.response.endswith(b"\r\n\r\n")
    assert recorder.octets["received"].hex(" ") == (
        "81 85 37 fa 21 3d 7f 9f 4d 51 58 88 80 00 00 00 00"
    )
    assert recorder.octets["sent"] == b"\x81\x05Hello\x88\x00"


async def test_frames_that_come_with_the_request(place, engine):
    recorders, serving = tapped(echo, engine=engine)
    async with serving as server:
        reader, writer = await asyncio.open_connection("127.0.0.1", place(server).port)
        writer.write(
            b"GET / HTTP/1.1\r\nHost:localhost\r\nupgrade: WebSocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
            b"\x81\x81\x00\x00\x00\x00a"
        )
        await reader.readuntil(b"\r\n\r\n")
        assert await reader.readexactly(3) == b"\x81\x01a"
        writer.close()
        await writer.wait_closed()
        await recorders[0].over.wait()
    # As it came, without the space that others would write.
    assert b"\r\nHost:localhost\r\nupgrade: WebSocket\r\n" in recorders[0].request
    assert recorders[0].octets["received"] == b"\x81\x81\x00\x00\x00\x00a"


async def test_large_messages_pass_unharmed_both_ways(place, engine):
    recorders, serving = tapped(echo, engine=engine, max_size=None, compression=None)
    payload = bytes(range(256)) * 8192
    async with serving as server:
        async with connect(place(server).url(), max_size=None, compression=None) as websocket:
            for _ in range(3):
                await websocket.send(payload)
                assert await websocket.recv() == payload
        await recorders[0].over.wait()
    assert len(recorders[0].octets["received"]) == 3 * (len(payload) + 14) + 8
    assert len(recorders[0].octets["sent"]) == 3 * (len(payload) + 10) + 4


async def test_a_handler_that_does_not_read_holds_the_peer_back_and_loses_nothing(place, engine):
    go_on = asyncio.Event()
    read: list[str] = []

    async def late(websocket):
        await go_on.wait()
        async for message in websocket:
            read.append(message)

    recorders, serving = tapped(late, engine=engine, max_queue=1, compression=None)
    sent = [f"{number}".ljust(5000) for number in range(3000)]
    async with serving as server:
        async with connect(place(server).url(), compression=None) as websocket:

            async def send_all():
                for message in sent:
                    await websocket.send(message)

            sending = asyncio.create_task(send_all())
            done, _ = await asyncio.wait([sending], timeout=0.3)
            assert not done  # 15 MB are more than the buffers on the way take
            assert len(recorders[0].octets["received"]) < 5000 * 3000
            go_on.set()
            await sending
    assert read == sent


async def test_aborting_and_a_peer_that_just_leaves(place, engine):
    async def abort(websocket):
        await websocket.recv()
        websocket.transport.abort()

    recorders, serving = tapped(abort, engine=engine)
    async with serving as server:
        async with connect(place(server).url()) as websocket:
            await websocket.send("cut")
            await websocket.wait_closed()
            assert websocket.close_code == 1006
        await recorders[0].over.wait()
        async with place(server).raw() as (_, writer):
            writer.close()
            await writer.wait_closed()
            await recorders[1].over.wait()


async def test_addresses_are_those_of_the_link(place, engine):
    addresses: list[object] = []

    async def note(websocket):
        addresses.append(websocket.remote_address)

    _, serving = tapped(note, engine=engine)
    async with serving as server, connect(place(server).url()) as websocket:
        await websocket.wait_closed()
        local = websocket.local_address
    assert addresses == [local]


async def test_without_a_tap_nothing_is_in_between(place):
    transports: list[object] = []

    async def note(websocket):
        transports.append(type(websocket.transport).__name__)

    async with serve(
        note,
        "127.0.0.1",
        0,
        create_connection=DemoConnection,
        process_request=lambda connection, request: None,
    ) as server:
        async with connect(place(server).url()) as websocket:
            await websocket.wait_closed()
    assert transports
    assert transports[0] != "Tapped"
