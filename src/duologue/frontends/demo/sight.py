"""Frames as they stand on the wire, taken apart to be looked at.

A reader gets one direction's octets in pieces of any size and yields each frame whole: the octets
of its header, what they say, and the beginning of its payload. Compressed messages are inflated as
well, if that was agreed. It judges nothing: a frame that breaks the rules is shown like any other,
since it is the connection that has to refuse it.

It must never know sides or states, nor keep a payload: :data:`~.bounds.PREVIEW` bytes are kept,
whatever the frame's length.

Sources: RFC 6455 §5.2 and §5.3, RFC 7692 §7.2.2.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass

from duologue.frontends.demo.bounds import MAX_INFLATED, PREVIEW
from duologue.wire.frame import apply_mask

__all__ = ["FrameReader", "Sighting"]

_TAIL = b"\x00\x00\xff\xff"  # what a sender removes from the end of each message


@dataclass(frozen=True, slots=True)
class Sighting:
    """One frame that has passed.

    Attributes:
        header: Its octets before the payload, masking key included.
        length: Octets of its payload.
        payload: The beginning of it, unmasked.
        inflated: The beginning of what this frame adds to the message once inflated; ``None`` if
            the message isn't compressed, or can't be inflated.
    """

    header: bytes
    length: int
    payload: bytes
    inflated: bytes | None

    @property
    def fin(self) -> bool:
        """Whether the frame ends its message."""
        return bool(self.header[0] & 0x80)

    @property
    def rsv(self) -> tuple[bool, bool, bool]:
        """The three reserved bits."""
        first = self.header[0]
        return bool(first & 0x40), bool(first & 0x20), bool(first & 0x10)

    @property
    def opcode(self) -> int:
        """The opcode, from 0 to 15."""
        return self.header[0] & 15

    @property
    def key(self) -> bytes | None:
        """The masking key; ``None`` if the payload isn't masked."""
        return self.header[-4:] if self.header[1] & 0x80 else None


class _Inflater:
    """Inflates one direction's messages, up to :data:`~.bounds.MAX_INFLATED` bytes each."""

    def __init__(self) -> None:
        self._codec = zlib.decompressobj(-15)
        self._room = MAX_INFLATED
        self._broken = False

    def feed(self, octets: bytes, end: bool) -> bytes | None:
        """Inflates a part of a message; ``None`` from the first fault on."""
        if self._broken:
            return None
        try:
            text = self._codec.decompress(octets + _TAIL if end else octets, self._room)
        except zlib.error:
            self._broken = True
            return None
        self._room = MAX_INFLATED if end else self._room - len(text)
        # Without what is left over, later messages can't be understood.
        self._broken = bool(self._codec.unconsumed_tail) or self._room <= 0
        return text


class FrameReader:
    """Finds the frames in one direction's octets.

    Args:
        inflates: Whether permessage-deflate was agreed.
    """

    def __init__(self, inflates: bool = False) -> None:
        self._inflater = _Inflater() if inflates else None
        self._compressed = False  # the message under way
        self._header = bytearray()
        self._in_payload = False
        self._taken = 0
        self._payload = bytearray()
        self._inflated: bytearray | None = None

    def feed(self, octets: bytes) -> list[Sighting]:
        """Takes octets; returns the frames that they complete.

        Args:
            octets: What has passed, in order.
        """
        seen = []
        rest = memoryview(octets)
        while rest:
            if not self._in_payload:
                missing = _header_size(self._header) - len(self._header)
                self._header += rest[:missing]
                rest = rest[missing:]
                if len(self._header) < _header_size(self._header):
                    continue
                self._begin()
            else:
                size = min(len(rest), _length(self._header) - self._taken)
                self._take(bytes(rest[:size]))
                rest = rest[size:]
            if self._taken == _length(self._header):
                seen.append(self._finish())
        return seen

    def _begin(self) -> None:
        self._in_payload = True
        self._taken = 0
        opcode = self._header[0] & 15
        if opcode in (1, 2):
            self._compressed = self._inflater is not None and bool(self._header[0] & 0x40)
        self._inflated = bytearray() if self._compressed and opcode < 3 else None

    def _take(self, octets: bytes) -> None:
        wanted = PREVIEW - len(self._payload)
        if self._header[1] & 0x80 and (wanted > 0 or self._inflated is not None):
            turn = self._taken % 4
            key = bytes(self._header[-4:])
            octets = apply_mask(octets, key[turn:] + key[:turn])
        self._taken += len(octets)
        if wanted > 0:
            self._payload += octets[:wanted]
        self._inflate(octets, False)

    def _inflate(self, octets: bytes, end: bool) -> None:
        if self._inflated is None or self._inflater is None:
            return
        text = self._inflater.feed(octets, end)
        if text is None:
            self._inflated = None
        else:
            self._inflated += text[: PREVIEW - len(self._inflated)]

    def _finish(self) -> Sighting:
        if self._header[0] & 0x80:
            self._inflate(b"", True)
        inflated = None if self._inflated is None else bytes(self._inflated)
        header = bytes(self._header)
        seen = Sighting(header, _length(header), bytes(self._payload), inflated)
        self._in_payload = False
        self._header.clear()
        self._payload.clear()
        return seen


def _header_size(header: bytes | bytearray) -> int:
    """How many octets a header has, as far as those that are there tell."""
    if len(header) < 2:
        return 2
    extended = {126: 2, 127: 8}.get(header[1] & 0x7F, 0)
    return 2 + extended + (4 if header[1] & 0x80 else 0)


def _length(header: bytes | bytearray) -> int:
    """The payload's length by a whole header."""
    short = header[1] & 0x7F
    if short < 126:
        return short
    return int.from_bytes(header[2:4] if short == 126 else header[2:10], "big")
