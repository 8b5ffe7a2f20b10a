"""Connections under load: callbacks that answer an answer with the next message.

No task for each connection: what a message costs here is time that the server doesn't get on the
same machine. Each message is told from all others by a number in front, if it has room for one, and
is compared with its echo octet for octet.

Invariants: a latency begins when its message was to be sent, not when it could be; every message
sent is answered, wrong or unanswered in the end, and is counted as exactly one of them.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from time import perf_counter_ns

from duologue.base.types import Data
from duologue.base.vocabulary import State
from duologue.cli.bench.counts import Counts
from duologue.cli.bench.plan import Plan
from duologue.client.connection import ClientConnection
from duologue.connection.connection import Callbacks, Connection
from duologue.connection.endpoint import Endpoint
from duologue.connection.settings import Settings
from duologue.net.link import Link

__all__ = ["NUMBERED", "PROCESS_BITS", "Lane", "Load"]

NUMBERED = 8
"""Bytes of the number in front of a message; shorter messages are all alike."""

PROCESS_BITS = 27
"""Bits of that number below the process's: it repeats after 134 million messages."""


class Lane(ClientConnection):
    """A connection under load.

    Args:
        settings: See :class:`~duologue.connection.connection.Connection`.
        load: Whose it is.
    """

    def __init__(self, settings: Settings, load: Load) -> None:
        super().__init__(settings)
        self.load = load
        self.waiting: deque[tuple[int, Data]] = deque()
        self.last: Data | None = None
        self.greetings = load.plan.greetings

    def open(self, link: Link, rest: bytes = b"") -> None:
        """Takes callbacks instead of waiting for somebody to receive."""
        self.serve_endpoint(self.load.callbacks, self.load.gone)
        super().open(link, rest)


class Load(Endpoint):
    """The load of one process.

    Args:
        plan: What to do.
        finished: Called when the last message that was to be sent has been answered.

    Attributes:
        plan: What to do.
        counts: What has happened since they were taken last.
        lanes: The open connections.
        sending: Whether answers are answered with a next message.
        left: Messages still to be sent; ``None`` for any number.
        outstanding: Messages that are not answered yet.
        heard: When a message came last, by :func:`time.perf_counter_ns`.
    """

    def __init__(self, plan: Plan, finished: Callable[[], object]) -> None:
        self.plan = plan
        self.callbacks = Callbacks(self, Endpoint)
        self.counts = Counts()
        self.lanes: dict[Lane, None] = {}
        self.sending = False
        self.left: int | None = None
        self.outstanding = 0
        self.heard = 0
        self._finished = finished
        self._closing = False
        self._number = plan.process << PROCESS_BITS
        self._numbered = plan.payload is None and plan.size >= NUMBERED
        self._closed_loop = plan.rate is None
        filler = b"duologue bench " * (plan.size // 15 + 1)
        self._octets = filler[: plan.size - NUMBERED * self._numbered]
        if plan.payload is not None:
            self._octets = plan.payload
        self._text = self._octets.decode() if plan.text else ""

    # -- sending

    def start(self) -> None:
        """Begins a closed loop on every connection."""
        self.sending = True
        for lane in [each for each in self.lanes if each.state is State.OPEN]:
            for _ in range(self.plan.in_flight):
                self.send_next(lane, perf_counter_ns())
        self._look()

    def stop(self) -> None:
        """Sends no more; what is unanswered is waited for by whoever calls this."""
        self.sending = False
        self._look()

    def send_next(self, lane: Lane, due: int) -> None:
        """Sends the next message on a connection, unless all are sent.

        Args:
            lane: The connection.
            due: When the message was to be sent, by :func:`time.perf_counter_ns`.
        """
        if self.left is not None:
            if not self.left:
                return
            self.left -= 1
        payload = self._message()
        lane.waiting.append((due, payload))
        self.outstanding += 1
        self.counts.sent += 1
        lane.send(payload)  # type: ignore[unused-coroutine]  # sent already

    def _message(self) -> Data:
        if not self._numbered:
            return self._text if self.plan.text else self._octets
        self._number = number = (self._number + 1) & 0xFFFFFFFF
        if self.plan.text:
            return f"{number:08x}{self._text}"
        return number.to_bytes(NUMBERED) + self._octets

    # -- what connections call

    def on_open(self, ws: Connection) -> None:
        """A connection is open."""
        assert isinstance(ws, Lane)
        self.lanes[ws] = None
        self.counts.open += 1

    def on_message(self, ws: Connection, message: Data) -> None:
        """An answer has come, or what the server says by itself."""
        now = self.heard = perf_counter_ns()
        assert isinstance(ws, Lane)
        if ws.greetings:
            ws.greetings -= 1
            return
        if not ws.waiting:
            self.counts.unasked += 1
            self.counts.example(f"a message that answers nothing: {_shown(message)}")
            return
        counts = self.counts
        due, expected = ws.waiting[0]
        if message == expected:
            ws.waiting.popleft()
            counts.answered += 1
            counts.latency.record(now - due)
        elif not self._take_wrong(ws, message, expected):
            return
        ws.last = message
        self.outstanding -= 1
        if self.sending and self._closed_loop:
            self.send_next(ws, now)
        if not self.outstanding:
            self._look()

    def _take_wrong(self, lane: Lane, message: Data, expected: Data) -> bool:
        """Counts what isn't the next answer; tells whether it answers anything."""
        if message == lane.last:
            self.counts.unasked += 1
            self.counts.example(f"a second answer, where one was enough: {_shown(message)}")
            return False
        for place, (_, later) in enumerate(lane.waiting):
            if message == later:
                del lane.waiting[place]
                self.counts.disordered += 1
                text = f"out of order: {_shown(message)} before {_shown(expected)}"
                self.counts.example(text)
                return True
        lane.waiting.popleft()
        self.counts.different += 1
        self.counts.example(f"{_shown(expected)} came back as {_shown(message)}")
        return True

    def gone(self, ws: Connection) -> None:
        """A connection is closed."""
        assert isinstance(ws, Lane)
        if ws not in self.lanes:
            return
        del self.lanes[ws]
        self.counts.open -= 1
        if not self._closing:
            self.counts.lost += 1
            reason = f" {ws.close_reason}" if ws.close_reason else ""
            self.counts.example(f"a connection was closed with {ws.close_code}{reason}")
        self.give_up(ws)
        self._look()

    def give_up(self, lane: Lane) -> None:
        """Counts what is unanswered on a connection as that."""
        self.counts.unanswered += len(lane.waiting)
        self.outstanding -= len(lane.waiting)
        lane.waiting.clear()

    def close(self) -> None:
        """Begins to close all connections."""
        self._closing = True
        for lane in list(self.lanes):
            lane.start_close(1000, "load test done")

    def _look(self) -> None:
        """Says so if nothing is left to wait for."""
        if not self.outstanding and (not self.sending or self.left == 0 or not self.lanes):
            self._finished()

    def take_counts(self) -> Counts:
        """Returns what has happened since the last time."""
        counts, self.counts = self.counts, Counts()
        return counts


def _shown(message: Data) -> str:
    text = repr(message[:24])
    return f"{text}… of {len(message)}" if len(message) > 24 else text
