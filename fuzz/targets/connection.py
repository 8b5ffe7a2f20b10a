"""Two connections of ours on a simulated network, driven by the input: one event for each octet.

Whatever happens, each end hears what the other said, in order and once, up to the end; and in the
end nothing is left in the event loop.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from typing import Any

from duologue import ConnectionClosed, connect, serve
from duologue.base.limits import Limits
from duologue.testing import SimulatedNetwork, pending_tasks

LIMITS = Limits(
    max_size=3000, max_queue=4, max_queue_bytes=5000, write_limit=2000, max_outbox=20_000,
    open_timeout=5.0, close_timeout=5.0, ping_interval=7.0, ping_timeout=3.0, write_timeout=9.0,
    compress_threshold=100,
)  # fmt: skip
EVENTS = 200
QUIET = logging.Logger("fuzz", logging.CRITICAL)


def run(data: bytes) -> None:
    """Play the events that the input stands for; its first octet is the network's seed."""
    if not data:
        return
    network = SimulatedNetwork(seed=data[0], split=(1, 200), delay=0.001)
    with asyncio.Runner(loop_factory=network.loop_factory) as runner:
        runner.run(play(network, data[1 : EVENTS + 1]))


class End:
    """One end: what it said, what it heard, and its unfinished tasks."""

    def __init__(self, ws: Any) -> None:
        self.ws = ws
        self.said: list[str | bytes] = []
        self.fragmented: list[str | bytes] = []
        self.heard: list[str | bytes] = []
        self.tasks: list[asyncio.Task[Any]] = []
        self.receiving = False

    def start(self, coroutine: Any) -> None:
        """Await something in a task."""
        self.tasks.append(asyncio.ensure_future(coroutine))

    async def receive(self, count: int) -> None:
        """Receive so many messages, unless somebody receives already."""
        if self.receiving:
            return
        self.receiving = True
        try:
            for _ in range(count):
                self.heard.append(await self.ws.recv())
        finally:
            self.receiving = False

    async def receive_all(self) -> None:
        """Receive to the end, after whoever receives now."""
        while self.receiving:
            await asyncio.sleep(0.1)
        await self.receive(1_000_000)

    async def send(self, message: Any) -> None:
        """Send a message."""
        await self.ws.send(message)

    def say(self, message: str | bytes, awaited: bool) -> None:
        """Send a message, in a task of its own if it is awaited: that may be cancelled later."""
        self.said.append(message)
        sending = self.ws.send(message)
        if awaited:
            self.start(sending)


async def play(network: SimulatedNetwork, events: bytes) -> None:
    """Open a connection, play the events at its ends, and close it."""
    accepted: asyncio.Queue[Any] = asyncio.Queue()
    options: dict[str, Any] = {"limits": LIMITS, "logger": QUIET}

    async def handler(ws: Any) -> None:
        accepted.put_nowait(ws)
        await ws.wait_closed()

    # The whole of the bounds comes from LIMITS: connect() and serve() add nothing.
    async with serve(handler, "server.test", 80, **options):
        async with connect("ws://server.test/", proxy=None, **options) as ws:
            ends = End(ws), End(await accepted.get())
            for number, event in enumerate(events):
                await act(network, ends, number, event)
            for end in ends:
                end.start(end.receive_all())
            await asyncio.sleep(1)
            for link in network.links:
                link.change(split=(1, 5000))
            await ws.close()
        for end in ends:
            async with asyncio.timeout(60):
                await end.ws.wait_closed()
            async with asyncio.timeout(60):
                await asyncio.gather(*end.tasks, return_exceptions=True)
            with contextlib.suppress(ConnectionClosed):
                while True:
                    end.heard.append(await end.ws.recv())
    check(ends[0], ends[1])
    check(ends[1], ends[0])
    await asyncio.sleep(100)
    assert not pending_tasks(asyncio.get_running_loop())


def check(speaker: End, listener: End) -> None:
    """What was heard is what was said, without those that were taken back, up to some point."""
    said = iter(speaker.said)
    for message in listener.heard:
        if message in speaker.fragmented:  # sent when its task came to it
            speaker.fragmented.remove(message)
        else:
            assert any(message == each for each in said), (message, speaker.said, listener.heard)


async def act(network: SimulatedNetwork, ends: tuple[End, End], number: int, event: int) -> None:
    """One event: bit 7 says which end, the rest what."""
    end = ends[event >> 7]
    kind, size = event & 15, (event >> 4) & 7
    ws = end.ws
    if kind < 2:
        end.say(f"{number} " + "x" * (size * 150), awaited=bool(kind))
    elif kind < 4:
        end.say(b"%d " % number + b"\x80" * (size * 150), awaited=kind == 3)
    elif kind < 6:
        end.start(end.receive(size + 1))
    elif kind == 6:
        await asyncio.sleep(0.01 * size)
    elif kind == 7:
        with contextlib.suppress(IndexError):
            end.tasks.pop(size % len(end.tasks) if end.tasks else 0).cancel()
    elif kind == 8:
        end.start(ws.ping())
    elif kind == 9:
        parts = [f"{number}/", "é" * (size * 20), ".", ""]
        end.fragmented.append("".join(parts))
        end.start(end.send(parts))
    elif kind == 10:
        network.links[0].change(split=(1, 1 + size * 100))
    elif kind == 11:
        (ws.transport.pause_reading if size & 1 else ws.transport.resume_reading)()
    elif kind == 12 and size > 5:
        end.start(ws.close(3000 + size, "by the fuzzer"))
    elif kind == 13 and size == 7:
        ws.transport.abort()
    elif kind == 14:
        await asyncio.sleep(size)
    elif kind == 15:
        await asyncio.sleep(0)
