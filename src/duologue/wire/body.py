"""Readers for the body of an HTTP/1.1 message: by length, in chunks, or up to the stream's end.

They bound what they keep and what they skip. They must never know whose body it is; the head has
decided which of them applies (RFC 9112 section 6.3).

Invariants:
    * no reader keeps more than `max_body` octets of body, and one call's data besides;
    * octets after the body are in `rest`, untouched;
    * the outcome does not depend on how octets were split.

Sources: RFC 9112 sections 6 to 8.
"""

from __future__ import annotations

import re

from duologue.base.exceptions import BodyTooLarge, HeaderLineTooLong, SecurityError, TooManyHeaders
from duologue.base.limits import Limits
from duologue.base.types import BytesLike
from duologue.wire.head import check_octets

__all__ = ["Body", "ChunkedBody", "EndlessBody", "SizedBody"]

# 15 hexadecimal digits say more than any machine can hold, and int() stays cheap.
_is_chunk_size = re.compile(rb"[0-9A-Fa-f]{1,15}").fullmatch


class Body:
    """What the three readers have in common.

    Args:
        limits: Uses `max_body`.
        keep: False throws the octets away and only counts them.

    Attributes:
        data: The body so far; stays empty if it is not kept.
        complete: Whether all of it came.
        rest: What came after it, known once it is complete.
    """

    def __init__(self, limits: Limits, *, keep: bool = True) -> None:
        self.data = bytearray()
        self.complete = False
        self.rest = b""
        self._size = 0
        self._limits = limits
        self._keep = keep

    def feed(self, data: BytesLike) -> bool:
        """Take octets from the peer.

        Args:
            data: The next octets.

        Returns:
            Whether the body is complete.

        Raises:
            ValueError: If the framing is malformed.
            SecurityError: If a limit is passed.
        """
        raise NotImplementedError

    def feed_eof(self) -> None:
        """Take the end of the stream.

        Raises:
            EOFError: If it comes before the end of the body.
        """
        if not self.complete:
            raise EOFError(f"connection ended after {self._size} bytes of an incomplete HTTP body")

    def _add(self, data: BytesLike) -> None:
        self._size += len(data)
        if self._keep:
            self.data += data

    def _check_size(self, size: int) -> None:
        limit = self._limits.max_body
        if limit is not None and size > limit:
            raise BodyTooLarge(
                f"HTTP body of {size} bytes or more exceeds the limit of {limit} bytes "
                f"(setting: max_body)"
            )


class SizedBody(Body):
    """A body whose length is known from `Content-Length`.

    Args:
        length: Octets to come.
        limits: Uses `max_body`.
        keep: False throws the octets away and only counts them.

    Raises:
        SecurityError: If `length` passes `max_body`.
    """

    def __init__(self, length: int, limits: Limits, *, keep: bool = True) -> None:
        super().__init__(limits, keep=keep)
        self._check_size(length)
        self._length = length
        self.complete = length == 0

    def feed(self, data: BytesLike) -> bool:
        """Take octets from the peer; see `Body.feed`."""
        missing = self._length - self._size
        self._add(data[:missing])
        self.rest += bytes(data[missing:])
        self.complete = self._size == self._length
        return self.complete


class EndlessBody(Body):
    """A body that ends with the stream; only responses may have one (RFC 9112 section 6.3)."""

    def feed(self, data: BytesLike) -> bool:
        """Take octets from the peer; see `Body.feed`. Never completes the body."""
        self._check_size(self._size + len(data))
        self._add(data)
        return False

    def feed_eof(self) -> None:
        """Take the end of the stream, which completes the body."""
        self.complete = True


class ChunkedBody(Body):
    """A body in chunks (RFC 9112 section 7.1).

    Chunk extensions are ignored and trailer fields dropped; both count against `max_head`, so
    that framing cannot outweigh the body for long.

    Args:
        limits: Uses `max_body`, `max_line`, `max_headers` and `max_head`.
        keep: False throws the octets away and only counts them.
    """

    def __init__(self, limits: Limits, *, keep: bool = True) -> None:
        super().__init__(limits, keep=keep)
        self._buffer = bytearray()
        self._missing = 0  # of the present chunk, with its CRLF
        self._in_trailer = False
        self._trailers = 0
        self._extra = 0  # octets of extensions and trailers

    def feed(self, data: BytesLike) -> bool:
        """Take octets from the peer; see `Body.feed`."""
        self._buffer += data
        while not self.complete:
            if not (self._read_data() if self._missing else self._read_line()):
                break
        return self.complete

    def _read_data(self) -> bool:
        """Move on within a chunk; tell whether there may be more to do."""
        if self._missing > 2:
            piece = self._buffer[: self._missing - 2]
            self._add(piece)
            del self._buffer[: len(piece)]
            self._missing -= len(piece)
        if self._missing > 2 or not self._buffer:
            return False
        if not b"\r\n".startswith(bytes(self._buffer[:2])):
            raise ValueError("chunk of an HTTP body does not end in CRLF")
        if len(self._buffer) < 2:
            return False
        del self._buffer[:2]
        self._missing = 0
        return True

    def _read_line(self) -> bool:
        """Take a chunk's size or a trailer field; tell whether there may be more to do."""
        end = self._buffer.find(b"\n")
        limit = self._limits.max_line
        length = (len(self._buffer) if end == -1 else end) - 1
        if limit is not None and length > limit:
            raise HeaderLineTooLong(
                f"line between chunks of an HTTP body has {length} bytes or more, exceeding "
                f"the limit of {limit} bytes (setting: max_line)"
            )
        if end == -1:
            return False
        line = bytes(self._buffer[: end + 1])
        del self._buffer[: end + 1]
        if not line.endswith(b"\r\n"):
            raise ValueError("line between chunks of an HTTP body ends in LF, not CRLF")
        line = line[:-2]
        check_octets(line, "HTTP chunked body")
        if self._in_trailer:
            self._take_trailer(line)
        else:
            self._take_size(line)
        return True

    def _take_size(self, line: bytes) -> None:
        digits, _, extension = line.partition(b";")
        digits = digits.rstrip(b" \t") if extension else digits
        if not _is_chunk_size(digits):
            shown = digits[:20].decode("ascii", "backslashreplace")
            raise ValueError(f"chunk of an HTTP body has an invalid size: {shown!r}")
        self._count_extra(len(extension))
        size = int(digits, 16)
        self._check_size(self._size + size)
        self._in_trailer = size == 0
        self._missing = size + 2 if size else 0

    def _take_trailer(self, line: bytes) -> None:
        if not line:
            self.complete = True
            self.rest = bytes(self._buffer)
            self._buffer.clear()
            return
        self._count_extra(len(line))
        self._trailers += 1
        limit = self._limits.max_headers
        if limit is not None and self._trailers > limit:
            raise TooManyHeaders(
                f"HTTP body has {self._trailers} trailer fields or more, exceeding "
                f"the limit of {limit} headers (setting: max_headers)"
            )

    def _count_extra(self, count: int) -> None:
        self._extra += count
        limit = self._limits.max_head
        if limit is not None and self._extra > limit:
            raise SecurityError(
                f"chunk extensions and trailers of an HTTP body have {self._extra} bytes or more, "
                f"exceeding the limit of {limit} bytes (setting: max_head)"
            )
