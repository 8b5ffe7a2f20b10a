"""One message to many connections of the threads API, without waiting for any of them."""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from typing import Any

from duologue.base.types import DataLike
from duologue.connection.broadcast import broadcast as queue_for_all
from duologue.connection.policies import Overflow
from duologue.connection.threads import Connection

EXECUTOR_OPTIONS = frozenset({"max_workers", "thread_name_prefix", "initializer", "initargs"})


def broadcast(
    connections: Iterable[Connection],
    message: DataLike,
    *,
    raise_exceptions: bool = False,
    text: bool | None = None,
    key: Hashable | None = None,
    overflow: Overflow | None = None,
    **kwargs: Any,
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
        overflow: the outbox policy for this message, by default that of each connection.
        **kwargs: ``max_workers`` and the other options of
            :class:`~concurrent.futures.ThreadPoolExecutor`, which `websockets` needs here, change
            nothing: no thread is needed.

    Raises:
        TypeError: If ``message`` has another type, or an option isn't known.
        ValueError: If there is no such policy.
        UnicodeEncodeError: If ``message`` is a str that has no UTF-8 form.
    """
    for name in kwargs:
        if name not in EXECUTOR_OPTIONS:
            raise TypeError(f"unexpected option {name!r}")
    receivers = list(connections)
    for receiver in receivers:
        if not isinstance(receiver, Connection):
            raise TypeError(f"broadcast needs connections of duologue.sync, not {receiver!r}")
        receiver.thread.check()

    def queue() -> None:
        queue_for_all(
            receivers,
            message,
            raise_exceptions=raise_exceptions,
            text=text,
            key=key,
            overflow=overflow,
        )

    if receivers:
        receivers[0].thread.call(queue)
    else:
        queue()
