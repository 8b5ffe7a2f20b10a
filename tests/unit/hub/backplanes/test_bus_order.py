"""The bus knows of a subscription before it publishes what was written after it."""

from __future__ import annotations

import asyncio
import socket
import sys

import pytest

from duologue.hub.backplanes import bus as bus_module
from duologue.hub.backplanes import framing, streams
from duologue.hub.backplanes.bus import Bus
from duologue.hub.backplanes.framing import Frames, Kind, frame
from duologue.hub.backplanes.process import Process
from duologue.hub.message import Message, prepare

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="needs Unix sockets")

PATIENCE = 20


class Peer:
    """A process as the bus sees it: a plain socket, written to at once."""

    def __init__(self, bus: Bus, name: str) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(str(bus.path))
        self.sock.setblocking(False)
        self.frames = Frames()
        self.send(frame(Kind.HELLO, bytes([framing.VERSION]), name.encode()))

    def send(self, octets: bytes) -> None:
        assert self.sock.send(octets) == len(octets)

    async def until(self, wanted: Kind) -> bytes:
        """Read up to a frame of a kind."""
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(PATIENCE):
            while True:
                for kind, body in self.frames.feed(await loop.sock_recv(self.sock, 65536)):
                    if kind == wanted:
                        return bytes(body)


@pytest.fixture(params=["engine", "engine, one round at a time", "asyncio"])
def _way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each way in which a bus reads."""
    if request.param == "asyncio":
        monkeypatch.setattr(streams, "use_epoll", lambda *_: False)
    elif request.param != "engine":
        monkeypatch.setattr(bus_module, "ROUNDS", 1)


@pytest.mark.usefixtures("_way")
async def test_whichever_socket_is_read_first() -> None:
    async with Bus() as bus:
        publisher, subscriber = Peer(bus, "a" * 16), Peer(bus, "b" * 16)
        with publisher.sock, subscriber.sock:
            await publisher.until(Kind.WELCOME)
            await subscriber.until(Kind.WELCOME)
            # Readable first, so read first, with what comes last.
            publisher.send(frame(Kind.PING))
            subscriber.send(frame(Kind.INTEREST, b"news"))
            message = Message("news", prepare("hello", None), None)
            publisher.send(frame(Kind.PUBLISH, framing.published(message)))
            assert framing.delivered(await subscriber.until(Kind.DELIVER)).topic == "news"


@pytest.mark.usefixtures("_way")
async def test_what_is_written_while_the_sockets_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """The bus had looked when it came, and reads what was written after it."""
    async with Bus() as bus:
        publisher, subscriber = Peer(bus, "a" * 16), Peer(bus, "b" * 16)

        def read(process: Process, body: bytes) -> None:
            subscriber.send(frame(Kind.INTEREST, b"news"))
            later(process, body)

        later = bus.publish_later
        monkeypatch.setattr(bus, "publish_later", read)
        with publisher.sock, subscriber.sock:
            await publisher.until(Kind.WELCOME)
            await subscriber.until(Kind.WELCOME)
            message = Message("news", prepare("hello", None), None)
            publisher.send(frame(Kind.PUBLISH, framing.published(message)))
            assert framing.delivered(await subscriber.until(Kind.DELIVER)).topic == "news"
