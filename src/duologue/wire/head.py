"""`HeadReader`: collects the head of an HTTP/1.1 message within bounds, before any parser sees it.

A head is a first line, header lines, and an empty line. The reader counts octets and refuses what
can be refused without understanding: lines that do not end in CRLF, control characters, folded
lines, and whatever passes a limit. It must never know what a line means, except that the first one
is handed to `first_line` as soon as it is complete, so that a peer speaking something else is told
at once.

Invariants:
    * the outcome depends on the octets alone, never on how they were split;
    * what is buffered never passes `max_head` by more than one call's data;
    * each octet is looked at a bounded number of times.

Sources: RFC 9112 sections 2.1, 2.2 and 5.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar

from duologue.base.exceptions import HeaderLineTooLong, SecurityError, TooManyHeaders
from duologue.base.limits import Limits
from duologue.base.types import BytesLike

__all__ = ["HeadReader", "check_octets"]

Line = TypeVar("Line")

# Field content: tab, space, visible ASCII and obs-text (RFC 9110 section 5.5).
_ALLOWED = bytes([0x09, *range(0x20, 0x7F), *range(0x80, 0x100)])


class HeadReader(Generic[Line]):
    """Collects one head.

    Args:
        limits: Uses `max_line`, `max_headers` and `max_head`.
        kind: "request" or "response", for error texts.
        line_error: Raised when the first line passes `max_line`.
        first_line: Called with the first line, without its CRLF; raises what it thinks of it. No
            method of who holds the reader: the two would hold each other.
        skip_empty: Whether empty lines before the first line are ignored, as servers should
            (RFC 9112 section 2.2). They count towards `max_head`.

    Attributes:
        first: What `first_line` has returned, None before.
        octets: Octets of the head, known once it is complete.
        rest: What came after the head, known once it is complete.
    """

    def __init__(
        self,
        limits: Limits,
        kind: str,
        line_error: type[SecurityError],
        first_line: Callable[[bytes], Line],
        *,
        skip_empty: bool,
    ) -> None:
        self.first: Line | None = None
        self.octets = b""
        self.rest = b""
        self._limits = limits
        self._kind = kind
        self._line_error = line_error
        self._first_line = first_line
        self._skip_empty = skip_empty
        self._buffer = bytearray()
        self._line_start = 0  # of the first line not yet complete
        self._scanned = 0  # octets already looked at
        self._lines = 0  # complete lines, without skipped ones

    @property
    def position(self) -> str:
        """Say what is being read, for errors about a connection that ends here."""
        if self._lines:
            return f"in the header lines of an HTTP {self._kind}"
        if self._buffer:
            return f"in the first line of an HTTP {self._kind}"
        return f"before an HTTP {self._kind}"

    def feed(self, data: BytesLike) -> list[bytes] | None:
        """Take octets from the peer.

        Args:
            data: The next octets.

        Returns:
            The head's lines without their CRLF and without the empty one at the end; None while
            the head is incomplete.

        Raises:
            ValueError: If a line cannot be part of a head.
            SecurityError: If the head passes a limit; `line_error`, `HeaderLineTooLong` and
                `TooManyHeaders` tell which, others mean `max_head`.
        """
        if not self._buffer:
            lines = self._try_whole(bytes(data))
            if lines is not None:
                return lines
        self._buffer += data
        return self._scan()

    def _try_whole(self, data: bytes) -> list[bytes] | None:
        """Take a head that arrives at once and has no fault; leave every other case to `_scan`."""
        end = data.find(b"\r\n\r\n")
        limits = self._limits
        if end <= 0 or data[0] <= 0x20:
            return None
        for limit in (limits.max_line, limits.max_head):
            if limit is not None and end + 4 > limit:
                return None
        head = data[:end]
        lines = head.split(b"\r\n")
        if len(head.translate(None, _ALLOWED)) != 2 * (len(lines) - 1):
            return None
        if limits.max_headers is not None and len(lines) - 1 > limits.max_headers:
            return None
        if b"\n " in head or b"\n\t" in head:
            return None
        self.first = self._first_line(lines[0])
        self.octets = data[: end + 4]
        self.rest = data[end + 4 :]
        return lines

    def _scan(self) -> list[bytes] | None:
        buffer = self._buffer
        limit = self._limits.max_head
        window = len(buffer) if limit is None else min(len(buffer), limit)
        while (feed := buffer.find(b"\n", self._scanned, window)) != -1:
            self._check_content(feed)
            if feed == self._line_start or buffer[feed - 1] != 0x0D:
                raise ValueError(f"line of an HTTP {self._kind} ends in LF, not CRLF")
            line = bytes(buffer[self._line_start : feed - 1])
            self._line_start = self._scanned = feed + 1
            if not line and self._lines:
                return self._finish()
            if line or not self._skip_empty:
                self._take_line(line)
        self._check_content(window)
        self._scanned = window
        if limit is not None and len(buffer) > limit:
            raise SecurityError(
                f"HTTP {self._kind} head of {len(buffer)} bytes or more exceeds "
                f"the limit of {limit} bytes (setting: max_head)"
            )
        return None

    def _check_content(self, end: int) -> None:
        """Check the unfinished line up to `end`, which is where its LF stands or will stand."""
        limit = self._limits.max_line
        start = self._line_start
        # The octet before what is new may be a CR that turned out not to end the line.
        since = max(start, self._scanned - 1)
        stop = end if limit is None else min(end, start + limit)
        fresh = bytes(self._buffer[since:stop])
        if stop == end:
            fresh = fresh.removesuffix(b"\r")
        check_octets(fresh, f"HTTP {self._kind} head")
        length = end - start - (end > start and self._buffer[end - 1] == 0x0D)
        if limit is not None and length > limit:
            error = HeaderLineTooLong if self._lines else self._line_error
            line = "header" if self._lines else "first"
            raise error(
                f"{line} line of an HTTP {self._kind} has {length} bytes or more, exceeding "
                f"the limit of {limit} bytes (setting: max_line)"
            )

    def _take_line(self, line: bytes) -> None:
        if self._lines == 0:
            self.first = self._first_line(line)
        elif line[0] in b" \t":
            raise ValueError(f"folded header line in an HTTP {self._kind}")
        self._lines += 1
        limit = self._limits.max_headers
        if limit is not None and self._lines - 1 > limit:
            raise TooManyHeaders(
                f"HTTP {self._kind} has {self._lines - 1} headers or more, exceeding "
                f"the limit of {limit} headers (setting: max_headers)"
            )

    def _finish(self) -> list[bytes]:
        head = bytes(self._buffer[: self._line_start]).lstrip(b"\r\n")
        self.octets = head
        self.rest = bytes(self._buffer[self._line_start :])
        self._buffer.clear()
        return head.split(b"\r\n")[:-2]


def check_octets(line: bytes, where: str) -> None:
    """Refuse control characters other than tab (RFC 9110 section 5.5).

    Args:
        line: A line, or a part of one, without its CRLF.
        where: What it belongs to, for the error.

    Raises:
        ValueError: If there is one.
    """
    if forbidden := line.translate(None, _ALLOWED):
        raise ValueError(f"control character 0x{forbidden[0]:02x} in an {where}")
