"""Two protocols that write down everything that happens to them, joined by a simulated network."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from duologue.testing import (
    SimulatedLink,
    SimulatedNetwork,
    SimulatedTransport,
)

SERVER = ("server.test", 8000)


class Recorder(asyncio.Protocol):
    """Writes down everything that happens to it, with its time."""

    keep_open = False
    echo = False

    def __init__(self) -> None:
        self.events: list[tuple[float, Any]] = []
        self.loop = asyncio.get_running_loop()
        self.transport: SimulatedTransport
        self.lost = self.loop.create_future()
        self.received = b""

    def note(self, event: Any) -> None:
        self.events.append((round(self.loop.time(), 9), event))

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, SimulatedTransport)
        self.transport = transport
        self.note("made")

    def data_received(self, data: bytes) -> None:
        self.note(data)
        self.received += data
        if self.echo:
            self.transport.write(data)

    def eof_received(self) -> bool:
        self.note("eof")
        return self.keep_open

    def connection_lost(self, exc: Exception | None) -> None:
        self.note(("lost", type(exc)))
        self.lost.set_result(exc)

    def pause_writing(self) -> None:
        self.note("pause")

    def resume_writing(self) -> None:
        self.note("resume")

    @property
    def pieces(self) -> list[bytes]:
        return [event for _, event in self.events if isinstance(event, bytes)]

    @property
    def marks(self) -> list[Any]:
        return [event for _, event in self.events if not isinstance(event, bytes)]


def run(network: SimulatedNetwork, main: Callable[[], Any]) -> Any:
    with asyncio.Runner(loop_factory=network.loop_factory) as runner:
        return runner.run(main())


async def join(
    network: SimulatedNetwork, kind: type[Recorder] = Recorder
) -> tuple[Recorder, Recorder, SimulatedLink]:
    """Connect a client and a server that write everything down."""
    ends: list[Recorder] = []

    def factory() -> Recorder:
        ends.append(kind())
        return ends[-1]

    loop = asyncio.get_running_loop()
    server = await loop.create_server(factory, *SERVER)
    _, client = await loop.create_connection(factory, *SERVER)
    server.close()
    await asyncio.sleep(0)
    return client, ends[0], network.links[-1]
