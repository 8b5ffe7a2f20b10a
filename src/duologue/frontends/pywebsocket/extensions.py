"""permessage-deflate: what is agreed, and the filters that do it.

Handlers find the processor in ``request.ws_extension_processors`` and may change it, or take it
out. Messages sent are compressed, unless they switch that off.

What is inflated is bounded by ``--max-size`` while it is inflated.

Source: RFC 7692 sections 6 and 7.
"""

from __future__ import annotations

import logging
from typing import Any

from zlib_ng import zlib_ng as zlib

from duologue.frontends.pywebsocket import common
from duologue.frontends.pywebsocket.common import ExtensionParameter
from duologue.frontends.pywebsocket.exceptions import (
    InvalidFrameException,
    MessageTooBigException,
)
from duologue.frontends.pywebsocket.frames import Frame
from duologue.frontends.pywebsocket.stream import StreamOptions

__all__ = [
    "DEFLATE_LOGGER",
    "PerMessageDeflateExtensionProcessor",
    "get_extension_processor",
]

DEFLATE_LOGGER = f"{__name__}.deflate"
"""The logger of compression; ``--deflate-log-level`` is for it alone."""

# What the module raises; to a type checker it is a variable.
_Broken: Any = zlib.error

_TAIL = b"\x00\x00\xff\xff"
_WINDOW_BITS = {str(bits): bits for bits in range(8, 16)}
_SERVER_BITS = "server_max_window_bits"
_SERVER_NO_CONTEXT = "server_no_context_takeover"
_CLIENT_BITS = "client_max_window_bits"
_CLIENT_NO_CONTEXT = "client_no_context_takeover"


class _Compressor:
    """Compresses messages, each perhaps in parts (RFC 7692 section 7.2.1)."""

    def __init__(self, window_bits: int, no_context_takeover: bool) -> None:
        # zlib has no raw window of 8; history that fits in 256 octets comes of 9 with Huffman only.
        self._settings = (
            {"wbits": -9, "strategy": zlib.Z_HUFFMAN_ONLY}
            if window_bits == 8
            else {"wbits": -window_bits}
        )
        self._no_context_takeover = no_context_takeover
        self._zlib: Any = None

    def compress(self, octets: bytes, end: bool, bfinal: bool) -> bytes:
        """Returns a message compressed, or a part of one."""
        if self._zlib is None:
            self._zlib = zlib.compressobj(**self._settings)
        result: bytes = self._zlib.compress(octets)
        if bfinal:
            result += self._zlib.flush(zlib.Z_FINISH) + b"\x00"
            self._zlib = None
            return result
        result += self._zlib.flush(zlib.Z_SYNC_FLUSH)
        if not end:
            return result
        if self._no_context_takeover:
            self._zlib = None
        return result.removesuffix(_TAIL)


class _Inflater:
    """Inflates messages (RFC 7692 section 7.2.2)."""

    def __init__(self) -> None:
        self._zlib: Any = zlib.decompressobj(-15)

    def inflate(self, octets: bytes, max_size: int | None) -> bytes:
        """Returns a message inflated."""
        rest, parts, size = octets + _TAIL, [], 0
        while rest:
            # One more than allowed tells that it is too much; 0 would lift the limit.
            room = 0 if max_size is None else max_size - size + 1
            try:
                part = self._zlib.decompress(rest, room)
            except _Broken as error:
                raise InvalidFrameException(f"Message can't be inflated: {error}") from error
            parts.append(part)
            size += len(part)
            if max_size is not None and size > max_size:
                raise MessageTooBigException(f"Message inflates to over max_size ({max_size})")
            rest = self._zlib.unconsumed_tail
            if self._zlib.eof:
                # A block with BFINAL ends a stream; the next one begins anew.
                rest = self._zlib.unused_data
                self._zlib = zlib.decompressobj(-15)
        return b"".join(parts)


class PerMessageDeflateExtensionProcessor:
    """Answers an offer of permessage-deflate, and sets a stream up for it.

    Args:
        request: The offer.
    """

    def __init__(self, request: ExtensionParameter) -> None:
        self._logger = logging.getLogger(DEFLATE_LOGGER)
        self._request = request
        self._active = True
        self._client_bits: int | None = None
        self._client_no_context = False
        self._bfinal = False
        self._compress = True
        self._server_bits = 15
        self._server_no_context = False

    def request(self) -> ExtensionParameter:
        """Returns the offer."""
        return self._request

    def name(self) -> str:
        """Returns ``deflate``."""
        return "deflate"

    def is_active(self) -> bool:
        """Tells whether the offer may be accepted."""
        return self._active

    def set_active(self, active: bool) -> None:
        """Says whether the offer may be accepted."""
        self._active = active

    def set_client_max_window_bits(self, value: int | None) -> None:
        """Asks the client for a smaller window; declines an offer that doesn't allow that."""
        self._client_bits = value

    def set_client_no_context_takeover(self, value: bool) -> None:
        """Asks the client to compress each message by itself."""
        self._client_no_context = value

    def set_bfinal(self, value: bool) -> None:
        """Ends each message sent with a block that has BFINAL set, to test clients."""
        self._bfinal = value

    def enable_outgoing_compression(self) -> None:
        """Compresses the messages sent from now on."""
        self._compress = True

    def disable_outgoing_compression(self) -> None:
        """Sends messages as they are from now on."""
        self._compress = False

    def get_extension_response(self) -> ExtensionParameter | None:
        """Returns what is accepted; ``None`` to decline."""
        if not self._active:
            return None
        refused = self._refusal()
        if refused is not None:
            self._logger.debug("%s is declined: %s", self._request.name(), refused)
            self._active = False
            return None
        response = ExtensionParameter(self._request.name())
        if self._request.has_parameter(_SERVER_BITS):
            bits = self._request.get_parameter_value(_SERVER_BITS)
            self._server_bits = _WINDOW_BITS[bits or ""]
            response.add_parameter(_SERVER_BITS, bits)
        self._server_no_context = self._request.has_parameter(_SERVER_NO_CONTEXT)
        if self._server_no_context:
            response.add_parameter(_SERVER_NO_CONTEXT, None)
        if self._client_bits is not None:
            response.add_parameter(_CLIENT_BITS, str(self._client_bits))
        if self._client_no_context:
            response.add_parameter(_CLIENT_NO_CONTEXT, None)
        return response

    def _refusal(self) -> str | None:
        """Returns why the offer can't be accepted."""
        offer = self._request
        names = offer.get_parameter_names()
        if len(set(names)) < len(names):
            return "a parameter occurs twice"
        for name, value in offer.get_parameters():
            if name not in (_SERVER_BITS, _SERVER_NO_CONTEXT, _CLIENT_BITS):
                return f"unknown parameter {name}"
            if value not in _WINDOW_BITS if name == _SERVER_BITS else value is not None:
                return f"bad value of {name}: {value!r}"
        if self._client_bits is not None and _CLIENT_BITS not in names:
            return f"{_CLIENT_BITS} can't be asked for"
        return None

    def setup_stream_options(self, stream_options: StreamOptions) -> None:
        """Has a stream compress and inflate."""
        if self._active:
            _Filters(self, stream_options)


class _Filters:
    """Both directions of one connection: what the stream calls."""

    def __init__(self, processor: PerMessageDeflateExtensionProcessor, options: StreamOptions):
        self._processor = processor
        self._logger = processor._logger
        self._options = options
        self._compressor = _Compressor(processor._server_bits, processor._server_no_context)
        self._inflater = _Inflater()
        self._mark = False
        self._within: bool | None = None
        self._compressed = False
        options.outgoing_message_filters.append(_Filter(self._outgoing_message))
        options.outgoing_frame_filters.append(_Filter(self._outgoing_frame))
        options.incoming_frame_filters.append(_Filter(self._incoming_frame))
        options.incoming_message_filters.append(_Filter(self._incoming_message))
        options.encode_text_message_to_utf8 = False

    def _outgoing_message(self, message: str | bytes, end: bool, binary: bool) -> bytes:
        octets = message.encode() if isinstance(message, str) else message
        # Decided by a message's first part.
        first = self._within is None
        compress = self._processor._compress if self._within is None else self._within
        self._within = None if end else compress
        if not compress:
            return octets
        self._mark = first
        compressed = self._compressor.compress(octets, end, self._processor._bfinal)
        self._logger.debug("Compressed %d bytes to %d", len(octets), len(compressed))
        return compressed

    def _outgoing_frame(self, frame: Frame) -> None:
        if self._mark and not common.is_control_opcode(frame.opcode or 0):
            frame.rsv1, self._mark = 1, False

    def _incoming_frame(self, frame: Frame) -> None:
        if frame.rsv1 and frame.opcode in (common.OPCODE_TEXT, common.OPCODE_BINARY):
            frame.rsv1, self._compressed = 0, True

    def _incoming_message(self, message: bytes) -> bytes:
        if not self._compressed:
            return message
        self._compressed = False
        inflated = self._inflater.inflate(message, self._options.max_size)
        self._logger.debug("Inflated %d bytes to %d", len(message), len(inflated))
        return inflated


class _Filter:
    """A function as the object with a ``filter`` method that a stream wants."""

    def __init__(self, function: Any) -> None:
        self.filter = function


def get_extension_processor(
    extension_request: ExtensionParameter,
) -> PerMessageDeflateExtensionProcessor | None:
    """Returns what can answer an offer; ``None`` if it is of an extension that we don't have."""
    if extension_request.name() != common.PERMESSAGE_DEFLATE_EXTENSION:
        return None
    return PerMessageDeflateExtensionProcessor(extension_request)
