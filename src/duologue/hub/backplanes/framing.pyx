"""What goes over the socket between a process and the bus: frames of a kind and a body.

A frame is the length of its body (4 octets, numbers here being as the processor has them), its kind
(1) and the body. Both ends are the same version of the same program on the same machine, which the
first frame makes sure of; nothing here has to be understood by anybody else.

Knows neither sockets nor hubs.
"""

cimport cython

import enum

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.stdint cimport int8_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memcpy

from duologue.connection.prepared cimport Prepared

from duologue.hub.message import Message

VERSION = 1

cdef packed struct Head:
    uint32_t size
    uint8_t kind

# What PUBLISH begins with; topic, key, label, compressed frame and payload follow.
cdef packed struct Published:
    uint8_t opcode
    int8_t policy
    uint32_t topic
    uint16_t key
    uint16_t label
    uint32_t packed

cdef enum:
    # What stands for the length of a key that there isn't.
    NO_KEY = 0xFFFF
    NAME_SIZE = 16

NAME = NAME_SIZE
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


def frame(uint8_t kind, *parts):
    """Build a frame from the parts of its body."""
    cdef Head head
    cdef Py_ssize_t size = 0
    cdef bytes part, built
    cdef char* at
    for part in parts:
        size += PyBytes_GET_SIZE(part)
    if size > 0xFFFFFFFF:
        raise OverflowError(f"{size} octets are too much for a frame")
    head.size = <uint32_t>size
    head.kind = kind
    built = PyBytes_FromStringAndSize(NULL, sizeof(Head) + size)
    at = PyBytes_AS_STRING(built)
    memcpy(at, &head, sizeof(Head))
    at += sizeof(Head)
    for part in parts:
        memcpy(at, PyBytes_AS_STRING(part), PyBytes_GET_SIZE(part))
        at += PyBytes_GET_SIZE(part)
    return built


@cython.final
@cython.auto_pickle(False)
cdef class Frames:
    """Cuts a stream into frames.

    Args:
        most: octets of a body above which :meth:`feed` refuses it, ``None`` for any number.
    """

    cdef Py_ssize_t most
    # What has come of a frame that is not whole, and how much of it there has to be.
    cdef bytearray rest
    cdef Py_ssize_t needed

    def __init__(self, most=None):
        self.most = -1 if most is None else most
        self.rest = bytearray()
        self.needed = sizeof(Head)

    def feed(self, bytes data not None):
        """Return the kinds and bodies of all frames that are complete now.

        Raises:
            ValueError: If a frame is larger than allowed.
        """
        cdef Head head
        cdef Py_ssize_t at = 0, end, size
        cdef list found = []
        cdef const char* octets
        if self.rest:
            self.rest += data
            if len(self.rest) < self.needed:
                return found
            data = bytes(self.rest)
            self.rest.clear()
        octets = PyBytes_AS_STRING(data)
        size = PyBytes_GET_SIZE(data)
        self.needed = sizeof(Head)
        while size - at >= <Py_ssize_t>sizeof(Head):
            memcpy(&head, octets + at, sizeof(Head))
            if 0 <= self.most < head.size:
                raise ValueError(f"a frame of {head.size} octets is larger than {self.most}")
            end = at + <Py_ssize_t>sizeof(Head) + head.size
            if end > size:
                self.needed = end - at
                break
            at += sizeof(Head)
            found.append((head.kind, PyBytes_FromStringAndSize(octets + at, end - at)))
            at = end
        if at < size:
            self.rest += data[at:]
        return found


def published(message not None):
    """Build the body that PUBLISH has, and DELIVER after the position."""
    cdef Published head
    cdef Prepared prepared = message.prepared
    cdef bytes topic = message.topic.encode(), label = message.label, packed = message.packed
    cdef bytes key = b"" if prepared.key is None else prepared.key[1].encode()
    head.opcode = <uint8_t>prepared.opcode
    head.policy = <int8_t>prepared.policy
    head.topic = <uint32_t>PyBytes_GET_SIZE(topic)
    head.key = NO_KEY if prepared.key is None else <uint16_t>PyBytes_GET_SIZE(key)
    head.label = <uint16_t>PyBytes_GET_SIZE(label)
    head.packed = <uint32_t>PyBytes_GET_SIZE(packed)
    return b"".join(
        (
            PyBytes_FromStringAndSize(<char*>&head, sizeof(Published)),
            topic, key, label, packed, prepared.payload,
        )
    )  # fmt: skip


cdef Py_ssize_t read_head(bytes body, Py_ssize_t start, Published* head) except -1:
    """Read what PUBLISH begins with; return where the payload begins."""
    cdef Py_ssize_t at = start + <Py_ssize_t>sizeof(Published)
    if at > PyBytes_GET_SIZE(body):
        raise ValueError("a message that has no head")
    memcpy(head, PyBytes_AS_STRING(body) + start, sizeof(Published))
    at += <Py_ssize_t>head.topic + head.label + head.packed
    if head.key != NO_KEY:
        at += head.key
    if at > PyBytes_GET_SIZE(body):
        raise ValueError("a message that is shorter than its head says")
    return at


def topic_of(bytes body not None):
    """Read the topic of a PUBLISH frame."""
    cdef Published head
    read_head(body, 0, &head)
    return PyBytes_AS_STRING(body)[sizeof(Published) : sizeof(Published) + head.topic].decode()


def delivered(bytes body not None):
    """Read a DELIVER frame."""
    cdef Published head
    cdef Py_ssize_t payload_at = read_head(body, sizeof(uint64_t), &head)
    cdef Py_ssize_t key_at = sizeof(uint64_t) + sizeof(Published) + <Py_ssize_t>head.topic
    cdef Py_ssize_t packed_at = payload_at - <Py_ssize_t>head.packed
    cdef Py_ssize_t label_at = packed_at - head.label
    cdef str topic = body[key_at - <Py_ssize_t>head.topic : key_at].decode()
    key = None if head.key == NO_KEY else (topic, body[key_at:label_at].decode())
    message = Message(
        topic, Prepared(head.opcode, body[payload_at:], head.policy, key, (topic,))
    )
    if head.packed:
        message.label = body[label_at:packed_at]
        message.packed = body[packed_at:payload_at]
    message.position = number_of(body)
    return message


def number(uint64_t value):
    """Write a position."""
    return PyBytes_FromStringAndSize(<char*>&value, sizeof(value))


cpdef uint64_t number_of(bytes body) except? 0:
    """Read the position that a body begins with."""
    cdef uint64_t value
    if PyBytes_GET_SIZE(body) < <Py_ssize_t>sizeof(value):
        raise ValueError("a position of too few octets")
    memcpy(&value, PyBytes_AS_STRING(body), sizeof(value))
    return value


def addressed(str name not None, uint32_t identifier, *parts):
    """Write a name and a question's number, and what follows them."""
    cdef bytes question = PyBytes_FromStringAndSize(<char*>&identifier, sizeof(identifier))
    return b"".join((name.encode(), question, *parts))


def address_of(bytes body not None):
    """Read what :func:`addressed` has written."""
    cdef uint32_t identifier
    cdef Py_ssize_t after = NAME_SIZE + sizeof(identifier)
    if PyBytes_GET_SIZE(body) < after:
        raise ValueError("an address of too few octets")
    memcpy(&identifier, PyBytes_AS_STRING(body) + NAME_SIZE, sizeof(identifier))
    return body[:NAME_SIZE].decode(), identifier, body[after:]


def names_in(bytes body not None):
    """Read names that stand one behind the other."""
    return [body[at : at + NAME_SIZE].decode() for at in range(0, len(body), NAME_SIZE)]
