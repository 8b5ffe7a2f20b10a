"""A worker's place: which process is in it, and when there is to be another one. Decides only."""

from __future__ import annotations

from duologue.app.workers.child import Child

__all__ = ["Slot"]

SHORTEST_PAUSE = 0.1
LONGEST_PAUSE = 10.0
"""Seconds before a process is replaced that has ended soon: they double each time."""
STABLE = 5.0
"""Seconds of service after which a process has not ended soon."""
MOST_FAILURES = 10
"""How many in a row may end soon before the whole is given up."""


class Slot:
    """A place.

    Args:
        name: for log lines.
        number: of a worker, ``None`` for the hub process.

    Attributes:
        child: the process in it.
        successor: the one that takes its place once it serves.
        start_at: when to start a process if there is none.
        failures: how many in a row have ended soon.
    """

    def __init__(self, name: str, number: int | None) -> None:
        self.name = name
        self.number = number
        self.child: Child | None = None
        self.successor: Child | None = None
        self.start_at = 0.0
        self.failures = 0

    def lost(self, child: Child, now: float) -> None:
        """Decide when to replace a process that has ended unasked."""
        if child.ready and now - child.since >= STABLE:
            self.failures = 0
        pause = 0.0
        if self.failures:
            pause = min(SHORTEST_PAUSE * 2 ** (self.failures - 1), LONGEST_PAUSE)
        self.failures += 1
        self.start_at = now + pause

    @property
    def hopeless(self) -> bool:
        """Whether it makes no sense to go on."""
        return self.failures > MOST_FAILURES
