"""What an application knows of itself in numbers: :meth:`App.stats`.

Everything is of this process; what several workers have is added up by who asks them all
(:mod:`duologue.app.metrics`). Counters only grow, gauges are as they are now. Nothing here happens
for each message: counting is done where octets are, and the rest is looked at when somebody asks.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from duologue.base.accounts import accounts
from duologue.base.traffic import traffic
from duologue.connection.ending import ENDED

__all__ = ["COUNTERS", "LoopLag", "Stats", "Tally", "collect"]

INTERVAL = 0.5
"""Seconds between two looks at how late the event loop is."""


@dataclass(frozen=True, slots=True)
class Stats:
    """An application's numbers.

    Attributes:
        connections: WebSocket connections that are open.
        connections_total: how many were opened so far.
        messages_received: whole messages of peers.
        messages_sent: messages written; a published one once for each subscriber.
        octets_received: of sockets, plain HTTP included.
        octets_sent: the same.
        rtt: seconds that the latest keepalive pings took, the mean of open connections; 0 before
            there was one.
        rtt_max: the longest of these.
        queued_octets: octets in all buffers, of messages received or to be sent.
        queues: connections with octets in a buffer.
        ended: connections that have ended, by cause: names of
            :class:`~duologue.connection.ending.Cause` in lower case.
        dropped_newest: messages that found no room in an outbox.
        dropped_oldest: messages that made room for others.
        dropped_replaced: messages that gave their place to a newer one of the same key.
        dropped_unsent: messages that were not written when their connection ended.
        shed: connections closed for ``memory_budget``.
        compression_ratio: octets of compressed messages before, by those after; 1 without any.
        requests: plain HTTP requests that were answered.
        handler_seconds: seconds that their handlers took together.
        handler_seconds_max: the longest of one.
        loop_lag: seconds by which the event loop was late the last time somebody looked, every
            half a second from the first call of ``stats()`` on.
        loop_lag_max: the longest so far.
        topics: topics with subscribers in this process.
        publish_failures: messages that may not have reached other processes.
        gaps: how often messages of other processes may have been missed.
    """

    connections: int = 0
    connections_total: int = 0
    messages_received: int = 0
    messages_sent: int = 0
    octets_received: int = 0
    octets_sent: int = 0
    rtt: float = 0.0
    rtt_max: float = 0.0
    queued_octets: int = 0
    queues: int = 0
    ended: Mapping[str, int] = field(default_factory=dict)
    dropped_newest: int = 0
    dropped_oldest: int = 0
    dropped_replaced: int = 0
    dropped_unsent: int = 0
    shed: int = 0
    compression_ratio: float = 1.0
    requests: int = 0
    handler_seconds: float = 0.0
    handler_seconds_max: float = 0.0
    loop_lag: float = 0.0
    loop_lag_max: float = 0.0
    topics: int = 0
    publish_failures: int = 0
    gaps: int = 0


COUNTERS = frozenset(
    {
        "connections_total",
        "messages_received",
        "messages_sent",
        "octets_received",
        "octets_sent",
        "ended",
        "dropped_newest",
        "dropped_oldest",
        "dropped_replaced",
        "dropped_unsent",
        "shed",
        "requests",
        "handler_seconds",
        "publish_failures",
        "gaps",
    }
)
"""Those that only grow; the others are gauges."""

NAMES = tuple(each.name for each in fields(Stats))


class LoopLag:
    """How late the event loop is, by a timer of its own."""

    def __init__(self) -> None:
        self.last = 0.0
        self.longest = 0.0
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Begin to look; again changes nothing."""
        if self._timer is None:
            self._wait(asyncio.get_running_loop())

    def stop(self) -> None:
        """Look no more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _wait(self, loop: asyncio.AbstractEventLoop) -> None:
        due = loop.time() + INTERVAL
        self._timer = loop.call_at(due, self._look, loop, due)

    def _look(self, loop: asyncio.AbstractEventLoop, due: float) -> None:
        self.last = max(0.0, loop.time() - due)
        self.longest = max(self.longest, self.last)
        self._wait(loop)


class Tally:
    """What an application counts itself."""

    def __init__(self) -> None:
        self.connections = 0
        self.requests = 0
        self.seconds = 0.0
        self.longest = 0.0
        self.lag = LoopLag()
        # What is asked for connections: servers, while they serve.
        self.servers: list[Any] = []

    @contextlib.contextmanager
    def handling(self) -> Iterator[None]:
        """Count a request, and the time that its handler takes."""
        loop = asyncio.get_running_loop()
        begun = loop.time()
        try:
            yield
        finally:
            took = loop.time() - begun
            self.requests += 1
            self.seconds += took
            self.longest = max(self.longest, took)


def collect(tally: Tally, hub: Any) -> Stats:
    """Look at everything.

    Args:
        tally: the application's.
        hub: its :class:`~duologue.Hub`.
    """
    connections = [ws for server in tally.servers for ws in server.connections]
    held, went = accounts(), traffic()
    latencies = [ws.latency for ws in connections if ws.latency]
    return Stats(
        connections=len(connections),
        connections_total=tally.connections,
        messages_received=went.messages_received,
        messages_sent=went.messages_sent,
        octets_received=went.octets_received,
        octets_sent=went.octets_sent,
        rtt=_mean(latencies),
        rtt_max=max(latencies, default=0.0),
        queued_octets=held.octets,
        queues=held.holding,
        ended={cause.name.lower(): count for cause, count in ENDED.items()},
        dropped_newest=held.dropped_newest,
        dropped_oldest=held.dropped_oldest,
        dropped_replaced=held.dropped_replaced,
        dropped_unsent=held.dropped_unsent,
        shed=held.shed,
        compression_ratio=went.uncompressed / went.compressed if went.compressed else 1.0,
        requests=tally.requests,
        handler_seconds=tally.seconds,
        handler_seconds_max=tally.longest,
        loop_lag=tally.lag.last,
        loop_lag_max=tally.lag.longest,
        topics=hub.topic_count,
        publish_failures=hub.failures,
        gaps=hub.gaps,
    )


def _mean(values: Iterable[float]) -> float:
    found = list(values)
    return sum(found) / len(found) if found else 0.0
