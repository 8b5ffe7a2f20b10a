"""One message to many connections, without waiting for any of them."""

from __future__ import annotations

from collections.abc import Hashable, Iterable

from duologue.base.types import DataLike
from duologue.base.vocabulary import Opcode
from duologue.connection.connection import Connection
from duologue.connection.fanout import fan_out
from duologue.connection.policies import Overflow, number_of
from duologue.connection.prepared import Prepared


def broadcast(
    connections: Iterable[Connection],
    message: DataLike,
    *,
    raise_exceptions: bool = False,
    text: bool | None = None,
    key: Hashable | None = None,
    overflow: Overflow | None = None,
) -> None:
    """Send a message to several connections.

    The message is queued for each of them; nothing waits. Connections that aren't open are
    skipped. Where the peer takes so little that more than ``Limits.max_outbox`` octets wait,
    the outbox policy decides; by default the connection is closed with code 1013.

    Args:
        connections: of either side.
        message: :class:`str` for text frames, bytes-like for binary ones.
        raise_exceptions: whether to collect what goes wrong with single connections and raise it
            as an :exc:`ExceptionGroup` in the end; by default it is logged.
        text: ``True`` to send bytes in text frames, ``False`` to send str in binary ones.
        key: where it has to wait, the message replaces the one of the same key.
        overflow: the outbox policy for this message, by default that of each connection; see
            :data:`~duologue.connection.policies.Overflow`.

    Raises:
        TypeError: If ``message`` has another type, or ``key`` can't be one.
        ValueError: If there is no such policy.
        UnicodeEncodeError: If ``message`` is a str that has no UTF-8 form.
    """
    if isinstance(message, str):
        opcode = Opcode.BINARY if text is False else Opcode.TEXT
        message = message.encode()
    elif isinstance(message, bytes | bytearray | memoryview):
        opcode = Opcode.TEXT if text else Opcode.BINARY
        message = bytes(message)
    else:
        raise TypeError("data must be str or bytes")
    hash(key)
    policy = -1 if overflow is None else number_of(overflow)
    prepared = Prepared(opcode, message, policy, key)
    failures: list[Exception] = []
    for connection, exc in fan_out(prepared, list(connections)) or ():
        if raise_exceptions:
            failure = RuntimeError("failed to write message")
            failure.__cause__ = exc
            failures.append(failure)
        else:
            connection.log().warning("skipped broadcast: failed to write message: %s", exc)
    if failures:
        raise ExceptionGroup("skipped broadcast", failures)
