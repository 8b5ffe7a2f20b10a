"""Frames as octets: what handlers build and take apart by hand, and what the stream uses.

Sans-I/O: :func:`parse_frame` is given a function that reads. Nothing here knows of messages or of
a connection's state; handlers may build frames that RFC 6455 forbids, since tests of clients need
those.

Source: RFC 6455 sections 5.2, 5.3, 5.5 and 7.4.
"""

from __future__ import annotations

import logging
import os
import struct
from collections.abc import Callable, Sequence
from typing import Any

from duologue.frontends.pywebsocket import common
from duologue.frontends.pywebsocket.exceptions import (
    BadOperationException,
    InvalidFrameException,
    MessageTooBigException,
)
from duologue.wire.octets import apply_mask

__all__ = [
    "Frame",
    "FragmentedFrameBuilder",
    "create_binary_frame",
    "create_close_frame",
    "create_closing_handshake_body",
    "create_header",
    "create_length_header",
    "create_ping_frame",
    "create_pong_frame",
    "create_text_frame",
    "parse_frame",
]

MAX_CONTROL_PAYLOAD = 125
"""Octets in the payload of a control frame (RFC 6455 section 5.5)."""

Parsed = tuple[int, bytes, int, int, int, int]
Filters = Sequence[Any]

_LONG = struct.Struct("!Q").unpack
_SHORT = struct.Struct("!H").unpack
_logger = logging.getLogger(__name__)


class Frame:
    """A frame that filters may change before it is sent, or after it has come.

    Attributes:
        fin, rsv1, rsv2, rsv3: Its bits, 0 or 1.
        opcode: What kind of frame it is.
        payload: Octets, not masked.
    """

    def __init__(
        self,
        fin: int = 1,
        rsv1: int = 0,
        rsv2: int = 0,
        rsv3: int = 0,
        opcode: int | None = None,
        payload: bytes = b"",
    ) -> None:
        self.fin = fin
        self.rsv1 = rsv1
        self.rsv2 = rsv2
        self.rsv3 = rsv3
        self.opcode = opcode
        self.payload = payload


def create_length_header(length: int, mask: bool) -> bytes:
    """Returns the octets of a length, with the mask bit.

    Raises:
        ValueError: If no frame can be so long.
    """
    bit = 0x80 if mask else 0
    if length < 0:
        raise ValueError("length must be non negative integer")
    if length <= MAX_CONTROL_PAYLOAD:
        return bytes((bit | length,))
    if length < 1 << 16:
        return struct.pack("!BH", bit | 126, length)
    if length < 1 << 63:
        return struct.pack("!BQ", bit | 127, length)
    raise ValueError("Payload is too big for one frame")


def create_header(
    opcode: int, payload_length: int, fin: int, rsv1: int, rsv2: int, rsv3: int, mask: bool
) -> bytes:
    """Returns what stands before the payload, or before the masking key.

    Raises:
        ValueError: If a value is out of range.
    """
    if not 0 <= opcode <= 0xF:
        raise ValueError("Opcode out of range")
    if not 0 <= payload_length < 1 << 63:
        raise ValueError("payload_length out of range")
    if (fin | rsv1 | rsv2 | rsv3) & ~1:
        raise ValueError("FIN bit and Reserved bit parameter must be 0 or 1")
    first = fin << 7 | rsv1 << 6 | rsv2 << 5 | rsv3 << 4 | opcode
    return bytes((first,)) + create_length_header(payload_length, mask)


def _format(frame: Frame, mask: bool) -> bytes:
    header = create_header(
        frame.opcode or 0,
        len(frame.payload),
        frame.fin,
        frame.rsv1,
        frame.rsv2,
        frame.rsv3,
        mask,
    )
    if not mask:
        return header + frame.payload
    key = os.urandom(4)
    return header + key + apply_mask(frame.payload, key)


def create_binary_frame(
    message: bytes,
    opcode: int = common.OPCODE_BINARY,
    fin: int = 1,
    mask: bool = False,
    frame_filters: Filters = (),
) -> bytes:
    """Returns a data frame with a payload of octets.

    Args:
        message: The payload.
        opcode: Of the frame.
        fin: 1 if it ends its message.
        mask: Whether to mask it, as clients must.
        frame_filters: Objects whose ``filter(frame)`` changes the frame first.
    """
    plain = not mask and not frame_filters and 0 <= opcode <= 15 and 0 <= fin <= 1
    if plain and len(message) <= MAX_CONTROL_PAYLOAD:
        # Most frames; the rest would take three times as long.
        return bytes((fin << 7 | opcode, len(message))) + message
    frame = Frame(fin=fin, opcode=opcode, payload=message)
    for each in frame_filters:
        each.filter(frame)
    return _format(frame, mask)


def create_text_frame(
    message: str,
    opcode: int = common.OPCODE_TEXT,
    fin: int = 1,
    mask: bool = False,
    frame_filters: Filters = (),
) -> bytes:
    """Returns a data frame with a text as payload; see :func:`create_binary_frame`."""
    return create_binary_frame(message.encode(), opcode, fin, mask, frame_filters)


def _create_control_frame(opcode: int, body: bytes, mask: bool, frame_filters: Filters) -> bytes:
    frame = Frame(opcode=opcode, payload=body)
    for each in frame_filters:
        each.filter(frame)
    if len(frame.payload) > MAX_CONTROL_PAYLOAD:
        raise BadOperationException(
            f"Payload data size of control frames must be {MAX_CONTROL_PAYLOAD} bytes or less"
        )
    return _format(frame, mask)


def create_ping_frame(body: bytes, mask: bool = False, frame_filters: Filters = ()) -> bytes:
    """Returns a Ping frame.

    Raises:
        BadOperationException: If the body is longer than 125 octets.
    """
    return _create_control_frame(common.OPCODE_PING, body, mask, frame_filters)


def create_pong_frame(body: bytes, mask: bool = False, frame_filters: Filters = ()) -> bytes:
    """Returns a Pong frame; see :func:`create_ping_frame`."""
    return _create_control_frame(common.OPCODE_PONG, body, mask, frame_filters)


def create_close_frame(body: bytes, mask: bool = False, frame_filters: Filters = ()) -> bytes:
    """Returns a Close frame; see :func:`create_closing_handshake_body` for its body."""
    return _create_control_frame(common.OPCODE_CLOSE, body, mask, frame_filters)


def create_closing_handshake_body(code: int | None, reason: str | bytes) -> bytes:
    """Returns the body of a Close frame.

    Args:
        code: From 1000 to 4999; ``None`` for an empty body.
        reason: Text; left out if there is no code.

    Raises:
        BadOperationException: If the code is out of range, or one that is never sent: 1005, 1006
            or 1015.
    """
    if code is None:
        return b""
    if not common.STATUS_NORMAL_CLOSURE <= code <= common.STATUS_USER_PRIVATE_MAX:
        raise BadOperationException("Status code is out of range")
    if code in (
        common.STATUS_NO_STATUS_RECEIVED,
        common.STATUS_ABNORMAL_CLOSURE,
        common.STATUS_TLS_HANDSHAKE,
    ):
        raise BadOperationException("Status code is reserved pseudo code")
    if isinstance(reason, str):
        reason = reason.encode()
    elif not isinstance(reason, bytes):
        raise BadOperationException("close reason must be an instance of bytes or unicode")
    return struct.pack("!H", code) + reason


def parse_frame(
    receive_bytes: Callable[[int], bytes],
    logger: logging.Logger | None = None,
    ws_version: int = common.VERSION_HYBI_LATEST,
    unmask_receive: bool = True,
    max_size: int | None = None,
) -> Parsed:
    """Reads a frame.

    Args:
        receive_bytes: Returns as many octets as it is asked for, or raises.
        logger: Told of lengths that take more octets than they need.
        ws_version: Of the protocol; there is only one.
        unmask_receive: Whether frames must be masked; otherwise they must not be.
        max_size: Octets that the payload may have; ``None`` lifts the limit.

    Returns:
        Opcode, payload, FIN and the three reserved bits.

    Raises:
        InvalidFrameException: If the mask bit is wrong, or the length impossible.
        MessageTooBigException: If the payload is larger than that; it was not read.
    """
    first, second = receive_bytes(2)
    if bool(second & 0x80) != unmask_receive:
        raise InvalidFrameException("Frame must be masked" if unmask_receive else "Frame is masked")
    length = second & 0x7F
    if length > MAX_CONTROL_PAYLOAD:
        shortest = 1 << 16 if length == 127 else 126
        length = _LONG(receive_bytes(8))[0] if length == 127 else _SHORT(receive_bytes(2))[0]
        if length >> 63:
            raise InvalidFrameException("Extended payload length >= 2^63")
        if length < shortest:
            (logger or _logger).warning("Payload length %d takes more bytes than needed", length)
    if max_size is not None and length > max_size:
        raise MessageTooBigException(f"Frame of {length} bytes is over max_size ({max_size})")
    if unmask_receive:
        key = receive_bytes(4)
        payload = apply_mask(receive_bytes(length), key) if length else b""
    else:
        payload = receive_bytes(length)
    return first & 15, payload, first >> 7, first >> 6 & 1, first >> 5 & 1, first >> 4 & 1


class FragmentedFrameBuilder:
    """Builds the frames of messages, in one piece or several.

    Args:
        mask: Whether to mask them.
        frame_filters: See :func:`create_binary_frame`.
        encode_utf8: Whether texts are yet to be encoded.
    """

    def __init__(self, mask: bool, frame_filters: Filters = (), encode_utf8: bool = True) -> None:
        self._mask = mask
        self._frame_filters = frame_filters
        self._encode_utf8 = encode_utf8
        self._started = False
        self._opcode = common.OPCODE_TEXT

    def is_plain(self, end: bool) -> bool:
        """Tells whether the next frame is a whole message, and nothing is done to it.

        Args:
            end: Whether it ends its message.
        """
        touched = self._mask or self._frame_filters or not self._encode_utf8
        return end and not self._started and not touched

    def build(self, payload_data: Any, end: bool, binary: bool) -> bytes:
        """Returns the next frame.

        Args:
            payload_data: What it carries.
            end: Whether it ends its message.
            binary: Whether the message is a binary one.

        Raises:
            ValueError: If the message began with the other type.
        """
        kind = common.OPCODE_BINARY if binary else common.OPCODE_TEXT
        if self._started and self._opcode != kind:
            raise ValueError("Message types are different in frames for the same message")
        opcode = common.OPCODE_CONTINUATION if self._started else kind
        create = create_text_frame if self._encode_utf8 and not binary else create_binary_frame
        frame: bytes = create(payload_data, opcode, int(end), self._mask, self._frame_filters)
        self._opcode, self._started = kind, not end
        return frame
