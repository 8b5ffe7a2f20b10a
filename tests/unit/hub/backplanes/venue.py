"""Where backplanes of one kind meet, and a receiver that writes down what it is told."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from typing import Any
from unittest import mock

from duologue.base.limits import Limits
from duologue.connection.prepared import Prepared
from duologue.hub.backplanes import streams
from duologue.hub.backplanes.bus import Bus
from duologue.hub.backplanes.interface import Backplane
from duologue.hub.backplanes.local import LocalBackplane
from duologue.hub.backplanes.memory import Exchange, MemoryBackplane
from duologue.hub.message import Message

#: Seconds for anything to happen; nothing is asserted about how long it takes.
PATIENCE = 20


class Recorder:
    """A hub's place."""

    def __init__(self) -> None:
        self.messages: list[Message] = []
        self.questions: list[bytes] = []
        self.words: list[tuple[str, bytes]] = []
        self.peers: list[tuple[str, str]] = []
        self.gaps: list[str] = []
        self.failures = 0
        self.answer: Callable[[bytes], bytes] = lambda question: b"re: " + question
        self._changed = asyncio.Event()

    def deliver(self, message: Message) -> None:
        assert message.position > 0
        self.messages.append(message)
        self._changed.set()

    def asked(self, question: bytes) -> bytes:
        self.questions.append(question)
        return self.answer(question)

    def told(self, peer: str, words: bytes) -> None:
        self.words.append((peer, words))
        self._changed.set()

    def peer_joined(self, peer: str) -> None:
        self.peers.append(("joined", peer))
        self._changed.set()

    def peer_gone(self, peer: str) -> None:
        self.peers.append(("gone", peer))
        self._changed.set()

    def missed(self, reason: str) -> None:
        self.gaps.append(reason)
        self._changed.set()

    def failed(self, count: int, reason: str) -> None:
        self.failures += count
        self._changed.set()

    @property
    def got(self) -> list[tuple[str, int, bytes]]:
        """Topic, position and payload of each message."""
        return [(each.topic, each.position, each.prepared.payload) for each in self.messages]

    async def until(self, condition: Callable[[], Any]) -> None:
        """Wait for something that the recorder is told."""
        async with asyncio.timeout(PATIENCE):
            while not condition():
                self._changed.clear()
                await self._changed.wait()


class Venue:
    """Makes backplanes that are connected to each other, each with a :class:`Recorder`."""

    def __init__(self, create: Callable[[], Backplane], bus: Bus | None = None) -> None:
        self.create = create
        self.bus = bus
        self.made: list[Backplane] = []

    async def join(self) -> tuple[Any, Recorder]:
        """Start one more."""
        backplane, recorder = self.create(), Recorder()
        self.made.append(backplane)
        await backplane.start(recorder)
        return backplane, recorder


@contextlib.asynccontextmanager
async def venue(kind: str, **limits: Any) -> AsyncIterator[Venue]:
    """A venue of one kind; all that is made there is closed in the end."""
    bounds = Limits(**limits)
    async with contextlib.AsyncExitStack() as stack:
        if kind == "memory":
            exchange = Exchange(bounds)
            place = Venue(lambda: MemoryBackplane(exchange))
        else:
            if kind == "local over asyncio":
                # As where the engine has no sockets of its own.
                without = mock.patch.object(streams, "use_epoll", return_value=False)
                stack.enter_context(without)
            bus = await stack.enter_async_context(Bus(limits=bounds))
            place = Venue(lambda: LocalBackplane(bus.path, limits=bounds), bus)
        try:
            yield place
        finally:
            for backplane in place.made:
                await backplane.close()


def text(topic: str, payload: str | bytes) -> Message:
    """A message to publish."""
    if isinstance(payload, bytes):
        return Message(topic, Prepared(2, payload))
    return Message(topic, Prepared(1, payload.encode()))
