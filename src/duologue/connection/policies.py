"""What becomes of messages for a peer that takes too little: the names of the policies.

A policy decides about messages that are not framed yet, when those that wait take more than
``Limits.max_outbox`` octets. What is framed already is always sent.

Pure. :mod:`duologue.connection.outbox` does what the names say.
"""

from __future__ import annotations

from typing import Literal, get_args

__all__ = ["Overflow", "name_of", "number_of"]

Overflow = Literal["wait", "drop_newest", "drop_oldest", "newest_per_key", "close"]
"""What happens to a message that finds the outbox full:

* ``"wait"``: an awaited ``send()`` waits for room, above ``write_limit`` already. What nobody
  awaits is queued, and above ``max_outbox`` the connection is closed with 1013.
* ``"drop_newest"``: it is dropped.
* ``"drop_oldest"``: those that wait longest are dropped.
* ``"newest_per_key"``: as ``"drop_oldest"``; besides, a published message without a ``key`` has its
  topic for one.
* ``"close"``: the connection is closed with 1013.

With all but ``"wait"`` sending never waits. Messages that were sent with ``"wait"`` or ``"close"``
are never dropped. With any of them a message that has a ``key`` replaces the one of the same key,
if that still waits: only the newest of each key is kept.
"""

NAMES: tuple[Overflow, ...] = get_args(Overflow)


def number_of(overflow: str) -> int:
    """Return the number by which compiled code knows a policy.

    Raises:
        ValueError: If there is no such policy.
    """
    for number, name in enumerate(NAMES):
        if name == overflow:
            return number
    raise ValueError(f"overflow must be one of {', '.join(NAMES)}, not {overflow!r}")


def name_of(number: int) -> Overflow:
    """Return the name of a policy."""
    return NAMES[number]
