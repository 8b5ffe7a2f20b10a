"""What has become of a connection that was lost without a closing handshake.

Decides from what is known at that moment: the exception, whether our own loop was blocked, and how
long the stream was silent. Proxies, load balancers and address translators cut what is silent for
too long, most after one of a few well-known times, and always after the same: a silence that is one
of these, or that has ended connections with the same host before, is taken for theirs.

Many connections that are lost at one moment are no habit: their host or its network is gone.

Pure, but for the memory of earlier silences. Knows neither sockets nor clocks.
"""

from __future__ import annotations

import ssl
from collections import OrderedDict, deque

from duologue.connection.ending import Cause, Ending

__all__ = ["BLOCKED", "Silences", "blocked_detail", "explain_loss"]

BLOCKED = 1.0
"""Seconds by which a loop must be late for that to count as the cause of something."""
LEAST = 0.5
"""Seconds of silence that are worth looking at."""
KNOWN = (30, 55, 60, 90, 100, 120, 180, 240, 300, 350, 600, 900, 1800, 3600)
"""Seconds after which widespread programs and services cut silent connections by default."""
LATE = 1.5
"""Seconds by which a cut may follow its time."""
HOSTS = 256
REMEMBERED = 8
AGREEING = 2
"""Earlier silences of the same length that make a habit of it, if no more have another length."""


class Silences:
    """How long connections with each host were silent when they were lost."""

    def __init__(self) -> None:
        # With each host the silences that count, and when they ended.
        self._hosts: OrderedDict[object, deque[tuple[float, float]]] = OrderedDict()

    def add(self, host: object, seconds: float, now: float) -> float | None:
        """Note a silence that ends now; return the period if something between has one like it."""
        earlier = self._hosts.setdefault(host, deque(maxlen=REMEMBERED))
        self._hosts.move_to_end(host)
        while len(self._hosts) > HOSTS:
            self._hosts.popitem(last=False)
        near = max(0.25, seconds / 50)
        alike = [(each, ended) for each, ended in earlier if abs(each - seconds) <= near]
        habit = len(alike) >= max(AGREEING, len(earlier) / 2)
        if all(ended <= now - seconds / 2 for _, ended in alike):
            earlier.append((seconds, now))
        for known in KNOWN:
            if 0 <= seconds - known <= LATE:
                return float(known)
        if habit:
            return round(min(seconds, *(each for each, _ in alike)), 1)
        return None


SILENCES = Silences()
"""Of this process."""


def blocked_detail(seconds: float) -> str:
    """Say for how long our loop was blocked."""
    return f"for {seconds:.1f} s at least"


def explain_loss(
    exc: BaseException | None,
    what: str,
    *,
    behind: bool = False,
    blocked: float,
    idle: float | None,
    now: float,
    host: object,
    round_trips: tuple[float, ...],
    silences: Silences = SILENCES,
) -> Ending:
    """Explain why a connection was lost.

    Args:
        exc: what the link failed with.
        what: how the end looked, in words.
        behind: whether more waited for the peer than it took: then nothing was idle.
        blocked: seconds for which our loop was blocked just before.
        idle: seconds since the last octet came or went, ``None`` if unknown.
        now: seconds of any clock that all connections share.
        host: at the other end.
        round_trips: of pings.
        silences: those of earlier connections.
    """
    if isinstance(exc, ssl.SSLError) and not isinstance(exc, ssl.SSLEOFError):
        return Ending(Cause.TLS_FAILED, str(exc), exc, idle=idle)
    if blocked >= BLOCKED:
        detail = f"{blocked_detail(blocked)}; then {what}"
        return Ending(
            Cause.LOOP_BLOCKED, detail, exc, round_trips=round_trips, blocked=blocked, idle=idle
        )
    if behind and idle is not None and idle >= LEAST:
        what = f"{what} after {idle:.1f} s in which it took nothing of what waited for it"
    elif idle is not None and idle >= LEAST:
        period = silences.add(host, idle, now)
        if period is not None:
            detail = f"{what} after {idle:.1f} s of silence; cut after {period:g} s, it seems"
            return Ending(Cause.IDLE_CUT, detail, exc, idle=idle, period=period)
        what = f"{what} after {idle:.1f} s of silence"
    return Ending(Cause.CONNECTION_LOST, what, exc, idle=idle)
