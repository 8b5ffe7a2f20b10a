"""Two workers of the demo in one process, as far as visitors can tell."""

from __future__ import annotations

import contextlib

import pytest

from duologue.asyncio.client import connect
from duologue.frontends.demo import Demo
from duologue.hub.backplanes.memory import Exchange, MemoryBackplane


class Worker:
    """One of them.

    Attributes:
        demo: What it serves.
        backplane: What joins it to the other.
        log: Lines of its chat's log.
    """

    def __init__(self, exchange, number):
        self.log = []
        self.demo = Demo(self.log.append, workers=2)
        self.demo.app.worker = number
        self.backplane = MemoryBackplane(exchange)
        self.demo.app.topics.use(self.backplane)

    @contextlib.asynccontextmanager
    async def serving(self):
        async with self.demo.app.serving("127.0.0.1", 0) as server:
            self.port = server.sockets[0].getsockname()[1]
            yield self

    def connect(self, path="/", **options):
        return connect(f"ws://127.0.0.1:{self.port}{path}", **options)


@contextlib.asynccontextmanager
async def _two_workers():
    exchange = Exchange()
    async with Worker(exchange, 1).serving() as one, Worker(exchange, 2).serving() as two:
        yield one, two


@pytest.fixture
def two_workers():
    """What serves the demo with two workers as long as its context lasts."""
    return _two_workers
