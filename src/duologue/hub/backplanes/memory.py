"""The backplane of hubs that live in one process, on one event loop.

For programs that have several hubs, and for tests: it keeps everything that the interface promises,
without a socket. All members of an :class:`Exchange` share one queue, which is emptied once a turn
of the loop; so nothing is delivered inside of a call, as with any other backplane.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable

from duologue.base.exceptions import BackplaneError
from duologue.base.limits import DEFAULT_LIMITS, Limits
from duologue.hub.backplanes.interests import Interests
from duologue.hub.backplanes.interface import Backplane, Receiver
from duologue.hub.message import Message
from duologue.hub.positions import Positions


class Exchange:
    """What the members have in common.

    Args:
        limits: ``max_backlog`` counts here, for all members together, and ``max_topics``.
    """

    def __init__(self, limits: Limits = DEFAULT_LIMITS) -> None:
        self.limits = limits
        self.members: dict[str, MemoryBackplane] = {}
        self.interests: Interests[MemoryBackplane] = Interests()
        self._positions = Positions(limits.max_topics)
        self._queue: deque[tuple[int, Callable[[], None]]] = deque()
        self._octets = 0
        self._due = False

    def put(self, action: Callable[[], None], octets: int = 0) -> bool:
        """Have something done after all that was put before; return whether there was room."""
        most = self.limits.max_backlog
        if most is not None and self._octets and self._octets + octets > most:
            return False
        self._queue.append((octets, action))
        self._octets += octets
        if not self._due:
            self._due = True
            asyncio.get_running_loop().call_soon(self._run)
        return True

    def _run(self) -> None:
        self._due = False
        # What is put meanwhile is for the next turn.
        for _ in range(len(self._queue)):
            octets, action = self._queue.popleft()
            self._octets -= octets
            action()

    def distribute(self, origin: MemoryBackplane, message: Message) -> None:
        """Give a message its position, and give it to everybody who wants it."""
        message.settle(self._positions.take(message.topic))
        if origin.receiver is not None:
            origin.receiver.deliver(message)
        for member in list(self.interests.peers(message.topic)):
            if member is not origin and member.receiver is not None:
                copy = Message(message.topic, message.prepared)
                copy.settle(message.position)
                member.receiver.deliver(copy)


class MemoryBackplane(Backplane):
    """One hub's place in an :class:`Exchange`.

    Args:
        exchange: joins it to others.
    """

    def __init__(self, exchange: Exchange) -> None:
        super().__init__(exchange.limits)
        self.receiver: Receiver | None = None
        self._exchange = exchange

    async def start(self, receiver: Receiver) -> None:
        """Join the exchange."""
        self.receiver = receiver
        for member in list(self._exchange.members.values()):
            member.see(self.name)
            self.see(member.name)
        self._exchange.members[self.name] = self

    def see(self, peer: str) -> None:
        """Note that another member is there."""
        self.peers.add(peer)
        if self.receiver is not None:
            self.receiver.peer_joined(peer)

    def lose(self, peer: str) -> None:
        """Note that another member is gone."""
        self.peers.discard(peer)
        if self.receiver is not None:
            self.receiver.peer_gone(peer)

    async def close(self) -> None:
        """Leave when all that was published has been distributed."""
        if self.receiver is not None:
            done = asyncio.get_running_loop().create_future()
            self._exchange.put(lambda: done.set_result(None))
            await done
        self.abort()

    def abort(self) -> None:
        """Leave at once."""
        if self._exchange.members.pop(self.name, None) is None:
            return
        self.receiver = None
        self.peers.clear()
        self._exchange.interests.drop(self)
        for member in list(self._exchange.members.values()):
            member.lose(self.name)

    def publish(self, message: Message) -> None:
        """Queue a message."""
        octets = len(message.prepared.payload)
        if self.receiver is None:
            message.fail(BackplaneError("the backplane is not started, or closed"))
        elif not self._exchange.put(lambda: self._exchange.distribute(self, message), octets):
            most = self.limits.max_backlog
            message.fail(BackplaneError(f"max_backlog={most} octets wait already"))

    def interest(self, topic: str) -> None:
        """Note an interest at once."""
        self._exchange.interests.add(self, topic)

    def no_interest(self, topic: str) -> None:
        """End an interest at once."""
        self._exchange.interests.discard(self, topic)

    async def request(self, question: bytes) -> dict[str, bytes]:
        """Ask the others."""
        answers: dict[str, bytes] = {}
        done = asyncio.get_running_loop().create_future()

        def ask() -> None:
            for member in list(self._exchange.members.values()):
                if member is not self and member.receiver is not None:
                    answers[member.name] = member.receiver.asked(question)
            if not done.done():
                done.set_result(None)

        self._exchange.put(ask)
        await done
        return answers

    def tell(self, words: bytes, peer: str | None = None) -> None:
        """Say something to one other member, or to all."""

        def say() -> None:
            for member in list(self._exchange.members.values()):
                addressed = peer is None or member.name == peer
                if addressed and member is not self and member.receiver is not None:
                    member.receiver.told(self.name, words)

        self._exchange.put(say)
