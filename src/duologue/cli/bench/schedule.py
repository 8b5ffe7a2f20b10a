"""An open loop: messages are due at fixed times, whether or not the server keeps up.

What can't be sent in time is sent as soon as it can, and its latency still begins when it was due:
a server that stops for a second is seen to have made a second's messages late, not only one
("coordinated omission").

Bound: :func:`most_waiting` messages of a connection are unanswered at a time; more stay due.
"""

from __future__ import annotations

import asyncio
import math
from time import perf_counter_ns

from duologue.base.vocabulary import State
from duologue.cli.bench.lanes import Lane, Load

__all__ = [
    "BURST",
    "GRACE",
    "WAITING",
    "WAITING_OCTETS",
    "WAKEFUL",
    "keep_schedule",
    "most_waiting",
]

WAITING = 1024
"""Messages of a connection that may be unanswered."""

WAITING_OCTETS = 8 * 1024 * 1024
"""Bytes in them; one message is always allowed."""

BURST = 64
"""Messages sent in one go before what has arrived is looked at."""

WAKEFUL = 0.002
"""Seconds before a message is due in which the loop turns without sleeping: a selector's sleep is
late by a millisecond, which is more than many servers take to answer."""

GRACE = 0.5
"""Seconds after the end in which messages that were due before it are still sent."""


def most_waiting(size: int) -> int:
    """Returns how many messages of a connection may be unanswered.

    Args:
        size: Bytes in each.
    """
    return max(1, min(WAITING, WAITING_OCTETS // max(size, 1)))


async def keep_schedule(load: Load, rate: float, size: int, seconds: float | None) -> None:
    """Sends messages at their times until there is nothing more to send.

    What was due and could not be sent by the end is still sent within :data:`GRACE`; what then is
    left is counted as unsent.

    Args:
        load: What sends them.
        rate: Messages a second.
        size: Bytes in each.
        seconds: For how long messages are due; ``None`` for as long as ``load`` has some left.
    """
    start = perf_counter_ns()
    step = 1e9 / rate
    total = None if seconds is None else math.ceil(seconds * rate - 1e-9)
    end = None if seconds is None else start + round((seconds + GRACE) * 1e9)
    most = most_waiting(size)
    number = 0
    while load.lanes and load.left != 0 and number != total:
        now = perf_counter_ns()
        if end is not None and now >= end:
            break
        for _ in range(BURST):
            due = start + int(number * step)
            lane = None if due > now or number == total else _next_lane(load, most)
            if lane is None:
                break
            load.counts.lateness.record(now - due)
            load.send_next(lane, due)
            number += 1
        left = (start + int(number * step) - perf_counter_ns()) / 1e9
        # Held up, it is answers that are waited for: they come in the loop's next turns.
        await asyncio.sleep(left - WAKEFUL if left > WAKEFUL else 0)
    if total is not None and load.left != 0:
        load.counts.unsent += total - number


def _next_lane(load: Load, most: int) -> Lane | None:
    """Returns the next connection in turn that may take a message; ``None`` if none may."""
    for _ in range(len(load.lanes)):
        lane = next(iter(load.lanes))
        del load.lanes[lane]
        load.lanes[lane] = None
        if lane.state is State.OPEN and len(lane.waiting) < most:
            return lane
    return None
