"""What goes over the socket between a process and the bus: frames of a kind and a body.

A frame is the length of its body (4 octets, little-endian as all numbers here), its kind (1) and
the body. Both ends are the same version of the same program on the same machine, which the first
frame makes sure of; nothing here has to be understood by anybody else.

Knows neither sockets nor hubs.
"""

from __future__ import annotations

import enum
import struct

from duologue.connection.prepared import Prepared
from duologue.hub.message import Message

VERSION = 1

_HEAD = struct.Struct("<IB")
_PUBLISHED = struct.Struct("<BbIHHI")
# What stands for the length of a key that there isn't.
_NO_KEY = 0xFFFF
_NUMBER = struct.Struct("<Q")
_QUESTION = struct.Struct("<I")
NAME = 16
"""Octets of a process's name."""
EVERYBODY = "*" * NAME
"""The name that addresses all."""


class Kind(enum.IntEnum):
    """What a frame is about."""

    HELLO = 1
    WELCOME = 2
    JOINED = 3
    GONE = 4
    INTEREST = 5
    NO_INTEREST = 6
    PUBLISH = 7
    POSITION = 8
    DELIVER = 9
    REQUEST = 10
    ASKED = 11
    ANSWER = 12
    TELL = 13
    PING = 14


def frame(kind: int, *parts: bytes) -> bytes:
    """Build a frame from the parts of its body."""
    body = b"".join(parts)
    return _HEAD.pack(len(body), kind) + body


class Frames:
    """Cuts a stream into frames.

    Args:
        most: octets of a body above which :meth:`feed` refuses it, ``None`` for any number.
    """

    def __init__(self, most: int | None = None) -> None:
        self._most = most
        self._rest = bytearray()
        self._needed = _HEAD.size

    def feed(self, data: bytes) -> list[tuple[int, bytes]]:
        """Return the kinds and bodies of all frames that are complete now.

        Raises:
            ValueError: If a frame is larger than allowed.
        """
        if self._rest:
            self._rest += data
            if len(self._rest) < self._needed:
                return []
            data = bytes(self._rest)
            self._rest.clear()
        found = []
        at = 0
        self._needed = _HEAD.size
        while at + _HEAD.size <= len(data):
            size, kind = _HEAD.unpack_from(data, at)
            if self._most is not None and size > self._most:
                raise ValueError(f"a frame of {size} octets is larger than {self._most}")
            end = at + _HEAD.size + size
            if end > len(data):
                self._needed = end - at
                break
            found.append((kind, data[at + _HEAD.size : end]))
            at = end
        self._rest += data[at:]
        return found


def published(message: Message) -> bytes:
    """Build the body that PUBLISH has, and DELIVER after the position."""
    topic = message.topic.encode()
    prepared = message.prepared
    key = b"" if prepared.key is None else prepared.key[1].encode()
    key_size = _NO_KEY if prepared.key is None else len(key)
    lengths = len(topic), key_size, len(message.label), len(message.packed)
    head = _PUBLISHED.pack(prepared.opcode, prepared.policy, *lengths)
    return b"".join((head, topic, key, message.label, message.packed, prepared.payload))


def topic_of(body: bytes) -> str:
    """Read the topic of a PUBLISH frame."""
    return body[_PUBLISHED.size : _PUBLISHED.size + _PUBLISHED.unpack_from(body)[2]].decode()


def delivered(body: bytes) -> Message:
    """Read a DELIVER frame."""
    start = _NUMBER.size
    opcode, policy, topic_size, key_size, label_size, packed_size = _PUBLISHED.unpack_from(
        body, start
    )
    key_at = start + _PUBLISHED.size + topic_size
    label_at = key_at + (0 if key_size == _NO_KEY else key_size)
    packed_at = label_at + label_size
    payload_at = packed_at + packed_size
    topic = body[key_at - topic_size : key_at].decode()
    key = None if key_size == _NO_KEY else (topic, body[key_at:label_at].decode())
    message = Message(topic, Prepared(opcode, body[payload_at:], policy, key, (topic,)))
    message.label = body[label_at:packed_at]
    message.packed = body[packed_at:payload_at]
    message.position = number_of(body)
    return message


def number(value: int) -> bytes:
    """Write a position."""
    return _NUMBER.pack(value)


def number_of(body: bytes) -> int:
    """Read the position that a body begins with."""
    value: int = _NUMBER.unpack_from(body)[0]
    return value


def addressed(name: str, identifier: int, *parts: bytes) -> bytes:
    """Write a name and a question's number, and what follows them."""
    return b"".join((name.encode(), _QUESTION.pack(identifier), *parts))


def address_of(body: bytes) -> tuple[str, int, bytes]:
    """Read what :func:`addressed` has written."""
    after = NAME + _QUESTION.size
    return body[:NAME].decode(), _QUESTION.unpack_from(body, NAME)[0], body[after:]


def names_in(body: bytes) -> list[str]:
    """Read names that stand one behind the other."""
    return [body[at : at + NAME].decode() for at in range(0, len(body), NAME)]
