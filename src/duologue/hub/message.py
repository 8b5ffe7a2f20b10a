"""One published message, from the call that publishes it to its position.

Knows neither topics nor processes: whoever carries the message settles it, once.
"""

from __future__ import annotations

import asyncio
from collections.abc import Generator
from typing import Any

from duologue.base.types import DataLike
from duologue.base.vocabulary import Opcode
from duologue.connection.connection import Connection
from duologue.connection.policies import Overflow, number_of
from duologue.connection.prepared import Prepared

MAX_KEY = 1024
"""Octets of a key that goes with a published message."""


class Message:
    """What ``publish()`` returns: awaiting it gives the message's position in its topic.

    Nobody needs to await it.

    Args:
        topic: its name.
        prepared: opcode and payload, with the frames made of them.
        exclude: a connection of this process that does not get it.

    Attributes:
        packed: its compressed frame for other processes, empty if there is none.
        label: which codecs may send that frame.
        position: 0 until it is known.
        error: why it was not published, ``None`` if it was, or may yet be.
    """

    __slots__ = (
        "_waiters", "error", "exclude", "label", "packed", "position", "prepared", "topic"
    )  # fmt: skip

    def __init__(self, topic: str, prepared: Prepared, exclude: Connection | None = None) -> None:
        self.topic = topic
        self.prepared = prepared
        self.exclude = exclude
        self.packed = b""
        self.label = b""
        self.position = 0
        self.error: Exception | None = None
        self._waiters: list[asyncio.Future[None]] | None = None

    @property
    def settled(self) -> bool:
        """Whether its position or its failure is known."""
        return self.position != 0 or self.error is not None

    def settle(self, position: int) -> None:
        """Note the position."""
        self.position = position
        self._wake()

    def fail(self, error: Exception) -> None:
        """Note that there will be no position; who awaits it gets the error."""
        self.error = error
        self._wake()

    def _wake(self) -> None:
        waiters, self._waiters = self._waiters, None
        for waiter in waiters or ():
            if not waiter.done():
                waiter.set_result(None)

    def __await__(self) -> Generator[Any, None, int]:
        while not self.settled:
            waiter = asyncio.get_running_loop().create_future()
            if self._waiters is None:
                self._waiters = []
            self._waiters.append(waiter)
            yield from waiter
        if self.error is not None:
            raise self.error
        return self.position


def prepare(
    message: DataLike,
    text: bool | None,
    topic: str | None = None,
    key: str | None = None,
    overflow: Overflow | None = None,
) -> Prepared:
    """Return the prepared form of what an application publishes.

    Args:
        message: str for a text message, bytes-like for a binary one.
        text: ``True`` to send bytes as text, ``False`` to send str as binary.
        topic: where it is published.
        key: of which it is the newest message there.
        overflow: outbox policy; by default that of each connection.

    Raises:
        TypeError: If ``message`` or ``key`` has another type.
        ValueError: If there is no such policy, or the key is too long.
        UnicodeEncodeError: If it is a str that has no UTF-8 form.
    """
    if not isinstance(key, str | None):
        raise TypeError(f"a key must be str, not {key!r}")
    if key is not None and len(key.encode()) > MAX_KEY:
        raise ValueError(f"a key of {len(key.encode())} octets is longer than {MAX_KEY}")
    policy = -1 if overflow is None else number_of(overflow)
    # Keys of different topics have nothing to do with each other.
    own = None if key is None else (topic, key)
    if isinstance(message, str):
        opcode = Opcode.BINARY if text is False else Opcode.TEXT
        return Prepared(opcode, message.encode(), policy, own, (topic,))
    if isinstance(message, bytes | bytearray | memoryview):
        opcode = Opcode.TEXT if text else Opcode.BINARY
        return Prepared(opcode, bytes(message), policy, own, (topic,))
    raise TypeError(f"a message must be str or bytes, not {message!r}")
