"""What a check finds: one finding a line, and how much was sent to find it.

Plain values. Nothing here talks to a network or prints.
"""

from __future__ import annotations

import enum
import time
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, field
from typing import Any

__all__ = ["Finding", "Report", "Sent", "Stopwatch", "Verdict"]


class Verdict(enum.Enum):
    """How good a finding is."""

    OK = "ok"
    NOTE = "note"
    PROBLEM = "problem"


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of a check.

    Attributes:
        step: What was looked at, such as ``tls``.
        verdict: How good it is. A note may be wanted; a problem never is.
        text: What was found, in one line. What the server has sent may be part of it; whoever
            prints it must escape it.
        seconds: How long it took; ``None`` where no time means anything.
        topics: What the advice is about, see :mod:`duologue.cli.check.snippets`.
        details: The same facts for programs; JSON values only.
    """

    step: str
    verdict: Verdict
    text: str
    seconds: float | None = None
    topics: tuple[str, ...] = ()
    details: dict[str, Any] = field(default_factory=dict)


@dataclass(slots=True)
class Sent:
    """What was sent to the endpoint.

    Attributes:
        connections: TCP connections made.
        handshakes: Opening handshakes asked for.
        requests: Plain HTTP requests.
        pings: Ping frames.
        pongs: Pong frames that no ping had asked for.
        messages: Text and binary messages.
        message_octets: Octets in their payloads.
    """

    connections: int = 0
    handshakes: int = 0
    requests: int = 0
    pings: int = 0
    pongs: int = 0
    messages: int = 0
    message_octets: int = 0

    def __str__(self) -> str:
        return (
            f"{_count(self.connections, 'connection')}, {_count(self.handshakes, 'handshake')}, "
            f"{_count(self.requests, 'plain request')}, {_count(self.pings, 'ping')}, "
            f"{_count(self.messages, 'message')} ({self.message_octets:,} bytes)"
        )


class Report:
    """The findings of a check, in order.

    Args:
        url: What is checked.
        listener: Called with each finding as soon as there is one.

    Attributes:
        url: What is checked.
        findings: What was found so far.
        sent: What was sent so far.
        software: What the server says it is: its ``Server`` header, else empty.
    """

    def __init__(self, url: str, listener: Callable[[Finding], object] = lambda _: None) -> None:
        self.url = url
        self.findings: list[Finding] = []
        self.sent = Sent()
        self.software = ""
        self._listener = listener

    def add(self, finding: Finding) -> None:
        """Adds a finding."""
        self.findings.append(finding)
        self._listener(finding)

    def ok(self, step: str, text: str, seconds: float | None = None, **details: Any) -> bool:
        """Adds that something is as it should be; returns True."""
        self.add(Finding(step, Verdict.OK, text, seconds, (), details))
        return True

    def note(
        self,
        step: str,
        text: str,
        seconds: float | None = None,
        *,
        topics: Iterable[str] = (),
        **details: Any,
    ) -> bool:
        """Adds something that one should know of, and that may be wanted; returns True."""
        self.add(Finding(step, Verdict.NOTE, text, seconds, tuple(topics), details))
        return True

    def problem(
        self,
        step: str,
        text: str,
        seconds: float | None = None,
        *,
        topics: Iterable[str] = (),
        **details: Any,
    ) -> bool:
        """Adds something that is wrong; returns False."""
        self.add(Finding(step, Verdict.PROBLEM, text, seconds, tuple(topics), details))
        return False

    def count(self, verdict: Verdict) -> int:
        """Returns how many findings have a verdict."""
        return sum(finding.verdict is verdict for finding in self.findings)

    @property
    def topics(self) -> list[str]:
        """What to give advice about, each once, problems first."""
        wanted: dict[str, None] = {}
        for verdict in (Verdict.PROBLEM, Verdict.NOTE):
            for finding in self.findings:
                if finding.verdict is verdict:
                    wanted.update(dict.fromkeys(finding.topics))
        return list(wanted)

    @property
    def exit_code(self) -> int:
        """0 if nothing is wrong, else 1."""
        return 1 if self.count(Verdict.PROBLEM) else 0

    def as_json(self) -> dict[str, Any]:
        """Returns the findings as JSON values, without the advice."""
        return {
            "url": self.url,
            "problems": self.count(Verdict.PROBLEM),
            "notes": self.count(Verdict.NOTE),
            "server": self.software,
            "findings": [
                {
                    "step": finding.step,
                    "verdict": finding.verdict.value,
                    "text": finding.text,
                    "seconds": finding.seconds,
                    "topics": list(finding.topics),
                    **finding.details,
                }
                for finding in self.findings
            ],
            "sent": asdict(self.sent),
        }


class Stopwatch:
    """Measures how long something takes, in seconds, from when it is made."""

    def __init__(self) -> None:
        self._start = time.perf_counter()

    @property
    def seconds(self) -> float:
        """Seconds since it was made."""
        return time.perf_counter() - self._start


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"
