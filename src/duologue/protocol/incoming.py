"""The body of a request, read in parts by who wants it, and skipped where nobody does.

What it is: `IncomingBody`, made of what a request's head says about it. What it must never know:
sockets, and what the body is for.

Invariants: it keeps no octets between two calls; a body that nobody reads is read over up to
`MAX_SKIPPED` octets.

Sources: RFC 9112 §6.3 (length) and §7.1 (chunks).
"""

from __future__ import annotations

import dataclasses
from typing import Final

from duologue.base.limits import Limits
from duologue.wire.body import Body, ChunkedBody, SizedBody

__all__ = ["MAX_SKIPPED", "IncomingBody"]

MAX_SKIPPED: Final = 65536
"""Octets of a body nobody read that are skipped to keep the connection: two reads' worth."""


class IncomingBody:
    """The body that follows a request's head.

    Args:
        limits: Bound what frames the body.
        chunked: Whether it comes in chunks.
        length: Its octets, if it doesn't.
    """

    def __init__(self, limits: Limits, *, chunked: bool, length: int) -> None:
        self._limits = limits
        self._chunked = chunked
        self._length = length
        self._skipped = 0
        # Made by the first call, which says how much is allowed.
        self._reader: Body | None = None

    @property
    def complete(self) -> bool:
        """Whether it was read, or skipped, to its end."""
        if self._reader is not None:
            return self._reader.complete
        return not self._chunked and self._length == 0

    def read(self, data: bytes, max_body: int | None) -> tuple[bytes, bytes]:
        """Read on.

        Args:
            data: What has arrived.
            max_body: Octets the whole body may have; the first call decides.

        Returns:
            The next part, and what came after the body's end.

        Raises:
            SecurityError: If the body passes a limit.
            ValueError: If it is malformed.
        """
        if self._reader is None:
            if self.complete:
                return b"", data
            self._reader = self._new_reader(max_body)
        reader = self._reader
        if reader.complete:
            return b"", data
        rest = reader.rest if reader.feed(data) else b""
        part = bytes(reader.data)
        reader.data.clear()
        return part, rest

    def _new_reader(self, max_body: int | None) -> Body:
        limits = self._limits
        if max_body != limits.max_body:
            limits = dataclasses.replace(limits, max_body=max_body)
        if self._chunked:
            return ChunkedBody(limits)
        return SizedBody(self._length, limits)

    def read_eof(self) -> None:
        """Take the end of the stream.

        Raises:
            EOFError: If it comes before the end of the body.
        """
        if not self.complete:
            raise EOFError("connection ended within an HTTP body")

    def skip(self, data: bytes) -> bytes:
        """Read over what has arrived; return what came after the body's end.

        Raises:
            SecurityError: If the body passes a limit.
            ValueError: If it is malformed, or longer than what is skipped.
        """
        part, rest = self.read(data, None)
        self._skipped += len(part)
        if self._skipped > MAX_SKIPPED:
            raise ValueError(f"more than {MAX_SKIPPED} bytes of a body that nobody reads")
        return rest

    def can_be_skipped(self, arrived: int) -> bool:
        """Whether it may be short enough to be skipped; known if nothing of it was read yet.

        Args:
            arrived: Octets that have arrived and will cost no time.
        """
        return self._reader is not None or self._chunked or self._length <= MAX_SKIPPED + arrived
