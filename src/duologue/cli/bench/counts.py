"""What happened in a load test: numbers that add up over intervals and processes."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

from duologue.cli.bench.histogram import Histogram

__all__ = ["Counts"]

_EXAMPLES = 5


@dataclass(slots=True)
class Counts:
    """What happened; adds up over intervals and processes.

    Attributes:
        open: Connections opened less those that ended: those open now, once all is added up.
        sent: Messages sent.
        answered: Messages that came back as they were sent.
        different: Answers that are not what was sent.
        disordered: Answers that came before one that was due.
        unasked: Messages that answer nothing.
        unanswered: Messages without an answer.
        lost: Connections that ended by themselves.
        failed: Connections that could not be opened.
        unsent: Messages of an open loop that were due and could not be sent before the end.
        latency: Nanoseconds from when a message was to be sent to its answer.
        lateness: Nanoseconds by which an open loop's messages were sent too late.
        opening: Nanoseconds that opening a connection took.
        examples: What went wrong, in words, the first few.
    """

    open: int = 0
    sent: int = 0
    answered: int = 0
    different: int = 0
    disordered: int = 0
    unasked: int = 0
    unanswered: int = 0
    lost: int = 0
    failed: int = 0
    unsent: int = 0
    latency: Histogram = field(default_factory=Histogram)
    lateness: Histogram = field(default_factory=Histogram)
    opening: Histogram = field(default_factory=Histogram)
    examples: list[str] = field(default_factory=list)

    ERRORS: ClassVar = ("different", "disordered", "unasked", "unanswered", "lost", "failed")

    @property
    def errors(self) -> int:
        """How many things went wrong."""
        return sum(getattr(self, name) for name in self.ERRORS)

    def add(self, other: Counts) -> None:
        """Adds what happened elsewhere, or since."""
        for name in ("open", "sent", "answered", "unsent", *self.ERRORS):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.latency.add(other.latency)
        self.lateness.add(other.lateness)
        self.opening.add(other.opening)
        self.examples = (self.examples + other.examples)[:_EXAMPLES]

    def example(self, text: str) -> None:
        """Notes what went wrong, if it is among the first."""
        if len(self.examples) < _EXAMPLES:
            self.examples.append(text)
