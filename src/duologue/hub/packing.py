"""Compressed frames that go with messages from process to process, so that one compresses for all.

A frame is of use to connections whose codec compresses in the same way, which is what its label
says. A hub packs for the way that the first of its connections uses which compresses at all: where
all processes serve the same page to the same browsers, that is the way of nearly all.

Knows codecs and messages, nothing of who gets them.
"""

from __future__ import annotations

from duologue.connection.connection import Connection
from duologue.hub.message import Message
from duologue.wire.deflate import PerMessageDeflate


class Packing:
    """The way of compressing that a hub packs for, once it knows one."""

    __slots__ = ("_codec", "_label")

    def __init__(self) -> None:
        self._codec: PerMessageDeflate | None = None
        self._label = b""

    def look_at(self, connection: Connection) -> None:
        """Learn the way of a connection, if none is known yet."""
        if self._codec is not None:
            return
        for codec in connection.extensions:
            # A dictionary is part of the way, and too long for a label.
            if type(codec) is PerMessageDeflate and "zdict" not in codec.compress_settings:
                self._codec = codec.fresh()
                settings = sorted(codec.compress_settings.items())
                self._label = repr((codec.local_max_window_bits, settings)).encode()

    def pack(self, message: Message) -> None:
        """Add a compressed frame to a message that is worth it."""
        codec = self._codec
        if codec is not None and len(message.prepared.payload) >= codec.threshold:
            message.packed = message.prepared.pack(codec)
            message.label = self._label

    def unpack(self, message: Message) -> None:
        """Make use of the frame that came with a message, if connections here can."""
        if self._codec is not None and message.label == self._label:
            message.prepared.unpack(self._codec, message.packed)
