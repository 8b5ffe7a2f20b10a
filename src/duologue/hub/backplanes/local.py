"""The backplane between processes of one machine: a Unix socket to a :class:`Bus`.

Two queues hold what is published: what waits for the connection, and what was written to it and has
no position yet. The first outlives a connection, the second does not: whether the bus had read it
nobody knows. The bus answers in order, so the first of the second queue is always whom a position
is for.

With ``host=True`` a process that finds no bus runs it itself, besides; when it dies the others find
none either, and one of them goes on. Positions grow on nevertheless, since they are reserved in a
file beside the socket.

Knows frames; what a message or a question means is the hub's affair.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections import deque
from pathlib import Path

from duologue.base.exceptions import BackplaneError
from duologue.base.limits import DEFAULT_LIMITS, Limits
from duologue.hub.backplanes import framing
from duologue.hub.backplanes.asking import Questions
from duologue.hub.backplanes.bus import Bus
from duologue.hub.backplanes.framing import EVERYBODY, Kind, frame
from duologue.hub.backplanes.interface import Backplane, Receiver
from duologue.hub.backplanes.line import Line
from duologue.hub.backplanes.streams import connect
from duologue.hub.message import Message

SHORTEST_PAUSE = 0.02
LONGEST_PAUSE = 1.0
"""Seconds between attempts to connect: they double, and a part of each is left to chance."""


class LocalBackplane(Backplane):
    """One process's connection to the bus of its machine.

    Args:
        path: of the bus's socket.
        host: whether to run the bus when there is none.
        limits: ``max_backlog``, ``request_timeout``, ``lease``, ``open_timeout`` and
            ``close_timeout`` count here; ``lease`` should be the bus's.

    Attributes:
        bus: the bus, while this process runs it.
    """

    def __init__(
        self, path: str | Path, *, host: bool = False, limits: Limits = DEFAULT_LIMITS
    ) -> None:
        super().__init__(limits)
        self.path = Path(path)
        self.bus: Bus | None = None
        self._host = host
        self._receiver: Receiver | None = None
        self._task: asyncio.Task[None] | None = None
        self._line: Line | None = None
        self._welcomed = asyncio.Event()
        self._was_connected = False
        self._trouble: Exception | None = None
        self._interests: dict[str, None] = {}
        self._waiting: deque[Message] = deque()
        self._sent: deque[Message] = deque()
        self._octets = 0
        self._emptied: asyncio.Future[None] | None = None
        self._questions = Questions()
        self._doubted: set[str] = set()
        self._doubt_timer: asyncio.TimerHandle | None = None

    # -- life

    async def start(self, receiver: Receiver) -> None:
        """See :meth:`Backplane.start`."""
        if self._task is not None:
            raise RuntimeError("a backplane is started once")
        self._receiver = receiver
        self._task = asyncio.create_task(self._stay_connected(), name="duologue local backplane")
        try:
            async with asyncio.timeout(self.limits.open_timeout):
                await self._welcomed.wait()
        except TimeoutError:
            await self.close()
            raise BackplaneError(
                f"no bus at {self.path} within open_timeout of {self.limits.open_timeout} s"
            ) from self._trouble

    async def close(self) -> None:
        """See :meth:`Backplane.close`."""
        if self._receiver is not None and self._welcomed.is_set() and (self._sent or self._waiting):
            self._emptied = asyncio.get_running_loop().create_future()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self.limits.close_timeout):
                    await self._emptied
        task = self._task
        self.abort()
        if task is not None:
            with contextlib.suppress(asyncio.CancelledError):
                await task
        if self.bus is not None:
            bus, self.bus = self.bus, None
            bus.dismiss(self.name)
            await bus.close()

    def abort(self) -> None:
        """See :meth:`Backplane.abort`."""
        if self._task is not None:
            self._task.cancel()
        if self._doubt_timer is not None:
            self._doubt_timer.cancel()
        if self._line is not None:
            self._line.transport.abort()
        self.lost(self._line)
        waiting, self._waiting = self._waiting, deque()
        for message in waiting:
            message.fail(BackplaneError("the backplane is closed"))
        if waiting and self._receiver is not None:
            self._receiver.failed(len(waiting), "the backplane is closed")
        self._receiver = None
        self._octets = 0

    async def _stay_connected(self) -> None:
        """Connect, and connect again whenever the connection is lost."""
        pause = SHORTEST_PAUSE
        while True:
            try:
                line = await self._connect()
                await line.ended
                if line.welcomed:
                    pause = SHORTEST_PAUSE
            except OSError as exc:
                self._trouble = exc
                if self._host:
                    await self._run_bus()
            await asyncio.sleep(random.uniform(0, pause))
            pause = min(2 * pause, LONGEST_PAUSE)

    async def _connect(self) -> Line:
        line = Line(self, self.limits.lease)
        await connect(str(self.path), line)
        return line

    async def _run_bus(self) -> None:
        """Run the bus in this process, unless another one is about to."""
        if self.bus is not None:
            return
        bus = Bus(self.path, limits=self.limits)
        try:
            await bus.start()
            self.bus = bus
        except (BackplaneError, OSError) as exc:
            self._trouble = exc

    # -- what the hub calls

    def publish(self, message: Message) -> None:
        """See :meth:`Backplane.publish`."""
        size = _size(message)
        most = self.limits.max_backlog
        if self._receiver is None:
            message.fail(BackplaneError("the backplane is not started, or closed"))
        elif most is not None and self._octets and self._octets + size > most:
            message.fail(BackplaneError(f"max_backlog={most} octets wait already"))
        else:
            self._octets += size
            if self._line is not None and self._line.welcomed:
                self._send(self._line, message)
            else:
                self._waiting.append(message)

    def _send(self, line: Line, message: Message) -> None:
        line.write(frame(Kind.PUBLISH, framing.published(message)))
        self._sent.append(message)

    def interest(self, topic: str) -> None:
        """See :meth:`Backplane.interest`."""
        self._interests[topic] = None
        self._write(frame(Kind.INTEREST, topic.encode()))
        if self._line is not None:
            # Before anybody can be told that he is subscribed.
            self._line.flush()

    def no_interest(self, topic: str) -> None:
        """See :meth:`Backplane.no_interest`."""
        self._interests.pop(topic, None)
        self._write(frame(Kind.NO_INTEREST, topic.encode()))

    def tell(self, words: bytes, peer: str | None = None) -> None:
        """See :meth:`Backplane.tell`."""
        self._write(frame(Kind.TELL, framing.addressed(peer or EVERYBODY, 0, words)))

    async def request(self, question: bytes) -> dict[str, bytes]:
        """See :meth:`Backplane.request`."""
        timeout = self.limits.request_timeout
        asked = self._questions.ask()
        try:
            async with asyncio.timeout(timeout):
                await self._welcomed.wait()
                body = framing.addressed(self.name, asked.identifier, question)
                self._write(frame(Kind.REQUEST, body))
                asked.sent = True
                return await asked.answered
        except TimeoutError:
            missing = "the bus" if asked.expected is None else f"{len(asked.expected)} processes"
            raise BackplaneError(
                f"{missing} did not answer within request_timeout of {timeout} s"
            ) from None
        finally:
            self._questions.forget(asked)

    def _write(self, octets: bytes) -> None:
        """Write a frame if there is a connection; else it is of no use."""
        if self._line is not None and self._line.welcomed:
            self._line.write(octets)

    # -- what the connection calls

    def connected(self, line: Line) -> None:
        """Greet the bus."""
        if self._receiver is None:
            line.transport.abort()
            return
        self._line = line
        line.write(frame(Kind.HELLO, bytes([framing.VERSION]), self.name.encode()))

    def lost(self, line: Line | None) -> None:
        """Let go of what was on its way when the connection ended."""
        if line is not self._line:
            return
        self._line = None
        self._welcomed.clear()
        self._questions.fail(BackplaneError("the connection to the bus was lost"))
        if self._sent:
            reason = "the connection to the bus was lost while they were on their way"
            sent, self._sent = self._sent, deque()
            for message in sent:
                self._octets -= _size(message)
                message.fail(BackplaneError(f"not known whether it was published: {reason}"))
            if self._receiver is not None:
                self._receiver.failed(len(sent), reason)
        self._tell_emptied()

    def welcome(self, line: Line, names: list[str]) -> None:
        """Go on where the connection before has ended."""
        assert self._receiver is not None
        line.welcomed = True
        for topic in self._interests:
            line.write(frame(Kind.INTEREST, topic.encode()))
        self._doubt(self.peers - set(names))
        for name in names:
            self.peer_joined(name)
        waiting, self._waiting = self._waiting, deque()
        for message in waiting:
            self._send(line, message)
        self._welcomed.set()
        if self._was_connected:
            self._receiver.missed("the connection to the bus was lost, and is there again")
        self._was_connected = True

    def peer_joined(self, name: str) -> None:
        """Note a process that is there."""
        self._doubted.discard(name)
        self.peers.add(name)
        if self._receiver is not None:
            self._receiver.peer_joined(name)

    def peer_gone(self, name: str) -> None:
        """Note that a process is there no more."""
        self._doubted.discard(name)
        self.peers.discard(name)
        self._questions.gone(name)
        if self._receiver is not None:
            self._receiver.peer_gone(name)

    def _doubt(self, names: set[str]) -> None:
        """Give processes a lease to come back that were there before the bus was lost."""
        self._doubted = names
        if self._doubt_timer is not None:
            self._doubt_timer.cancel()
        if names:
            loop = asyncio.get_running_loop()
            self._doubt_timer = loop.call_later(self.limits.lease or 0, self._give_up)

    def _give_up(self) -> None:
        for name in list(self._doubted):
            self.peer_gone(name)

    def positioned(self, position: int) -> None:
        """Take the position of the first message that has none yet, and deliver it here."""
        message = self._sent.popleft()
        self._octets -= _size(message)
        message.settle(position)
        self.deliver(message)
        self._tell_emptied()

    def _tell_emptied(self) -> None:
        """Wake who waits for everything to have been published."""
        if self._emptied is not None and not self._sent and not self._emptied.done():
            self._emptied.set_result(None)

    def deliver(self, message: Message) -> None:
        """Hand a message to the hub."""
        if self._receiver is not None:
            self._receiver.deliver(message)

    def asked(self, peer: str, identifier: int, question: bytes) -> None:
        """Have a question answered."""
        if self._receiver is not None:
            answer = self._receiver.asked(question)
            self._write(frame(Kind.ANSWER, framing.addressed(peer, identifier, answer)))

    def told(self, peer: str, words: bytes) -> None:
        """Pass on what another process says."""
        if self._receiver is not None:
            self._receiver.told(peer, words)

    def expect(self, identifier: int, names: list[str]) -> None:
        """Note whom the bus has asked."""
        self._questions.expect(identifier, names)

    def answered(self, identifier: int, peer: str, answer: bytes) -> None:
        """Note an answer."""
        self._questions.take(identifier, peer, answer)


def _size(message: Message) -> int:
    """How many octets of a message count as backlog."""
    return len(message.prepared.payload) + len(message.packed) + len(message.topic)
