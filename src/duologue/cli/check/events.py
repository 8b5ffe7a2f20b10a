"""What happens on a connection under examination, and the exceptions that end a step."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from duologue.wire.http11 import Response

__all__ = ["End", "Ended", "Event", "HandshakeFailed"]


@dataclass(frozen=True, slots=True)
class Event:
    """Something that arrived.

    Attributes:
        kind: What it is; fragments have become one message.
        data: Its payload.
        at: When, by :func:`time.perf_counter`.
    """

    kind: Literal["text", "binary", "ping", "pong", "close"]
    data: bytes
    at: float


@dataclass(frozen=True, slots=True)
class End:
    """How a connection ended.

    Attributes:
        how: A Close frame, TCP's regular end, its reset, a breach of the protocol, or a message
            that is longer than what this check takes.
        text: The same in words.
        at: When, by :func:`time.perf_counter`.
        code: Close code, for a Close frame; 1005 if it has none.
    """

    how: Literal["close", "eof", "reset", "violation", "limit"]
    text: str
    at: float
    code: int | None = None

    @property
    def of_no_step(self) -> bool:
        """Whether it says nothing about what was being looked at."""
        return self.how in ("violation", "limit")


class Ended(Exception):
    """The connection ended while something was awaited."""

    def __init__(self, end: End) -> None:
        super().__init__(end.text)
        self.end = end


class HandshakeFailed(Exception):
    """The server did not open a WebSocket.

    Attributes:
        response: What it answered, if that is HTTP.
        octets: What it answered, the first of it.
        seconds: How long that took.
    """

    def __init__(
        self, cause: Exception, response: Response | None, octets: bytes, seconds: float
    ) -> None:
        super().__init__(str(cause))
        self.__cause__ = cause
        self.response = response
        self.octets = octets
        self.seconds = seconds
