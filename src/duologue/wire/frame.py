"""`Frame` and `Close`: one WebSocket frame as a value, and what a Close frame carries.

These are the values that the sans-I/O API takes and yields, and what logs show. It must never know
states or sides: whether a frame may be sent now is for `protocol` to say. Frames received are
parsed by the compiled machine, not here.

Invariants:
    * `serialize` uses the shortest length field, and a fresh masking key from the operating
      system for each masked frame (RFC 6455 sections 5.2 and 5.3);
    * `str` never fails, whatever the payload, and stays short.

Sources: RFC 6455 sections 5.2 to 5.5 and 7.4.
"""

from __future__ import annotations

import codecs
import os
import re
import struct
from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar, Protocol, Self

from duologue.base.exceptions import ProtocolError
from duologue.base.types import BytesLike
from duologue.base.vocabulary import (
    CTRL_OPCODES,
    LOCAL_CLOSE_CODES,
    CloseCode,
    Opcode,
    explain_close_code,
    is_wire_close_code,
)

__all__ = ["MAX_CONTROL_PAYLOAD", "MAX_REASON", "Close", "CloseCode", "Frame", "Opcode"]

MAX_CONTROL_PAYLOAD = 125
"""Octets in the payload of a control frame (RFC 6455 section 5.5)."""

MAX_REASON = MAX_CONTROL_PAYLOAD - 2
"""Octets in a close reason: what a control frame holds besides the code."""

_is_printable_ascii = re.compile(rb"[\t-\r\x20-\x7e]*").fullmatch
_has_controls = re.compile("[\0-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]").search


class FrameEncoder(Protocol):
    """What `Frame.serialize` needs of an extension."""

    def encode(self, frame: Frame) -> Frame:
        """Transform an outgoing frame."""


@dataclass
class Frame:
    """One WebSocket frame, unmasked.

    The mask bit, the length and the masking key are not kept: they follow from the side that
    sends and from the payload.

    Attributes:
        opcode: What kind of frame it is.
        data: Payload.
        fin: Whether it ends its message.
        rsv1: First reserved bit; permessage-deflate marks compressed messages with it.
        rsv2: Second reserved bit.
        rsv3: Third reserved bit.
    """

    opcode: Opcode
    data: BytesLike
    fin: bool = True
    rsv1: bool = False
    rsv2: bool = False
    rsv3: bool = False

    MAX_LOG_SIZE: ClassVar[int] = 75
    """Characters of the payload that `str` shows; a multiple of 3."""

    def __str__(self) -> str:
        """Describe the frame for a log: opcode, shortened payload, length, what is unusual."""
        shown, kind = self._payload()
        expected = {Opcode.TEXT: "text", Opcode.BINARY: "binary", Opcode.CLOSE: "text"}
        notes = [f"{len(self.data)} byte{'' if len(self.data) == 1 else 's'}"]
        if self.data and kind != expected.get(self.opcode):
            notes.insert(0, kind)
        if not self.fin:
            notes.append("continued")
        if len(shown) > self.MAX_LOG_SIZE:
            third = self.MAX_LOG_SIZE // 3 - 1
            shown = f"{shown[: 2 * third]}...{shown[-third:]}"
        return f"{Opcode(self.opcode).name} {shown} [{', '.join(notes)}]"

    def _payload(self) -> tuple[str, str]:
        """Return the payload in words, perhaps too long, and "text" or "binary"."""
        if not self.data:
            return "''", ""
        if self.opcode == Opcode.CLOSE:
            try:
                return str(Close.parse(self.data)), "text"
            except (ProtocolError, UnicodeDecodeError):
                return self._hexadecimal(), "binary"
        if self.opcode in CTRL_OPCODES:
            # Not UTF-8: four random octets, common in pings, are too often valid by accident.
            if _is_printable_ascii(self.data):
                return repr(bytes(self.data).decode()), "text"
            return self._hexadecimal(), "binary"
        text = self._text()
        return (self._hexadecimal(), "binary") if text is None else (repr(text), "text")

    def _text(self) -> str | None:
        """Return what a data frame shows if it may be a piece of UTF-8 text, else None."""
        starts_clean = self.opcode != Opcode.CONT
        if len(self.data) <= 4 * self.MAX_LOG_SIZE:
            whole = bytes(self.data)
            if not _may_be_utf8(whole, starts_clean, self.fin):
                return None
            return whole.decode(errors="replace")
        # Only both ends will be shown; a megabyte need not be decoded for that.
        head = bytes(self.data[: 8 * self.MAX_LOG_SIZE // 3])
        tail = bytes(self.data[-4 * self.MAX_LOG_SIZE // 3 :])
        if not (_may_be_utf8(head, starts_clean, False) and _may_be_utf8(tail, False, self.fin)):
            return None
        return (head + tail).decode(errors="replace")

    def _hexadecimal(self) -> str:
        data = bytes(self.data[: self.MAX_LOG_SIZE]) + bytes(self.data[-self.MAX_LOG_SIZE :])
        if len(self.data) <= 2 * self.MAX_LOG_SIZE:
            data = bytes(self.data)
        return data.hex(" ")

    def serialize(self, *, mask: bool, extensions: Iterable[FrameEncoder] | None = None) -> bytes:
        """Return the frame as octets.

        Args:
            mask: True for frames of a client, False for those of a server.
            extensions: Applied in order before the frame is written.

        Raises:
            ProtocolError: If the frame breaks the rules that `check` knows.
        """
        self.check()
        frame = self
        for extension in extensions or ():
            frame = extension.encode(frame)
        reserved = frame.rsv1 << 6 | frame.rsv2 << 5 | frame.rsv3 << 4
        first = frame.fin << 7 | reserved | frame.opcode
        masked = mask << 7
        length = len(frame.data)
        if length < 126:
            head = struct.pack("!BB", first, masked | length)
        elif length < 1 << 16:
            head = struct.pack("!BBH", first, masked | 126, length)
        else:
            head = struct.pack("!BBQ", first, masked | 127, length)
        if not mask:
            return head + frame.data
        key = os.urandom(4)
        return head + key + apply_mask(frame.data, key)

    def check(self) -> None:
        """Check what can be judged without a connection.

        Raises:
            ProtocolError: If a reserved bit is set (an extension sets it later), or a control
                frame is fragmented or longer than 125 octets.
        """
        if self.rsv1 or self.rsv2 or self.rsv3:
            raise ProtocolError("reserved bits must be 0")
        if self.opcode in CTRL_OPCODES:
            if len(self.data) > MAX_CONTROL_PAYLOAD:
                raise ProtocolError(
                    f"control frame too long: {len(self.data)} bytes, limit {MAX_CONTROL_PAYLOAD}"
                )
            if not self.fin:
                raise ProtocolError("fragmented control frame")


@dataclass
class Close:
    """Code and reason of a Close frame (RFC 6455 section 5.5.1).

    Attributes:
        code: Close code; 1005 stands for a frame without one.
        reason: Text for developers, at most 123 octets of UTF-8.
    """

    code: CloseCode | int
    reason: str

    def __str__(self) -> str:
        named = f"{int(self.code)} ({explain_close_code(self.code)})"
        return f"{named} {self.reason}" if self.reason else named

    @classmethod
    def parse(cls, data: BytesLike) -> Self:
        """Read the payload of a Close frame.

        Args:
            data: The unmasked payload; nothing at all means code 1005.

        Raises:
            ProtocolError: If it is one octet long, or has a code that must not be sent.
            UnicodeDecodeError: If the reason is not UTF-8.
        """
        close = cls.parse_any(data)
        if data:
            close.check()
        return close

    @classmethod
    def parse_any(cls, data: BytesLike) -> Self:
        """Read the payload of a Close frame as browsers do, which take codes without a meaning.

        Args:
            data: The unmasked payload; nothing at all means code 1005.

        Raises:
            ProtocolError: If it is one octet long, or has one of the codes that only describe an
                end.
            UnicodeDecodeError: If the reason is not UTF-8.
        """
        octets = bytes(data)
        if not octets:
            return cls(CloseCode.NO_STATUS_RCVD, "")
        if len(octets) < 2:
            raise ProtocolError("close frame too short")
        close = cls(int.from_bytes(octets[:2]), octets[2:].decode())
        if close.code in LOCAL_CLOSE_CODES:
            raise ProtocolError(f"invalid status code: {int(close.code)}")
        return close

    def serialize(self) -> bytes:
        """Return the payload of a Close frame.

        Raises:
            ProtocolError: If the code must not be sent or the reason is too long.
        """
        self.check()
        return int(self.code).to_bytes(2) + self.reason.encode()

    def check(self) -> None:
        """Check that a Close frame may carry this.

        Raises:
            ProtocolError: If the code must not be sent (RFC 6455 section 7.4), or the reason
                has more than 123 octets of UTF-8.
        """
        if not is_wire_close_code(self.code):
            raise ProtocolError(f"invalid status code: {int(self.code)}")
        if len(self.reason) * 3 > MAX_REASON and len(self.reason.encode()) > MAX_REASON:
            raise ProtocolError(
                f"close reason too long: {len(self.reason.encode())} bytes, limit {MAX_REASON}"
            )


def apply_mask(data: BytesLike, key: bytes) -> bytes:
    """Mask or unmask a payload (RFC 6455 section 5.3).

    The compiled path masks what connections send; this serves single frames.

    Args:
        data: Payload.
        key: Masking key, 4 octets.

    Raises:
        ValueError: If the key does not have 4 octets.
    """
    if len(key) != 4:
        raise ValueError(f"a masking key has 4 bytes, not {len(key)}")
    length = len(data)
    repeated = (key * (length // 4 + 1))[:length]
    number = int.from_bytes(data, "little") ^ int.from_bytes(repeated, "little")
    return number.to_bytes(length, "little")


def _may_be_utf8(data: bytes, starts_clean: bool, ends_clean: bool) -> bool:
    """Tell whether data may be cut out of UTF-8 text that people would read."""
    if not starts_clean:
        start = 0
        while start < min(3, len(data)) and 0x80 <= data[start] < 0xC0:
            start += 1
        data = data[start:]
    try:
        text = codecs.getincrementaldecoder("utf-8")().decode(data, ends_clean)
    except UnicodeDecodeError:
        return False
    return not _has_controls(text)
