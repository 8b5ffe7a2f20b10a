"""When to connect again after a failure or a loss, and how long to wait before it.

Nothing here waits or connects: :class:`Reconnection` is told what happened and says how long.
"""

from __future__ import annotations

import random
import re
import time
from collections import deque
from collections.abc import Callable, Generator
from dataclasses import dataclass

from duologue.base.exceptions import (
    InvalidMessage,
    InvalidProxyMessage,
    InvalidProxyStatus,
    InvalidStatus,
    ProxyError,
)
from duologue.base.vocabulary import CloseCode

BACKOFF_INITIAL_DELAY = 0.5
"""Seconds; upper bound of the first delay."""
BACKOFF_MIN_DELAY = 0.0
"""Seconds; lower bound of every delay."""
BACKOFF_MAX_DELAY = 30.0
"""Seconds; upper bound of every delay."""
BACKOFF_FACTOR = 2.0
"""By how much the bound grows from one delay to the next."""
STABLE_PERIOD = 10.0
"""Seconds a connection must have been open for the delays to begin anew."""
RETRY_AFTER_MAX = 3600.0
"""Seconds; what a server asks for beyond it is taken for a mistake, and this is waited instead."""
ATTEMPTS_KEPT = 10
"""How many failed attempts are remembered, the latest ones."""

CLOSE_DELAYS: dict[int, tuple[float, float]] = {
    CloseCode.SERVICE_RESTART: (5.0, 30.0),
    CloseCode.TRY_AGAIN_LATER: (10.0, 60.0),
}
"""Seconds, least and greatest, to wait after these close codes.

Those of 1012 are in its registration with IANA; 1013 says that the server has too much to do, for
which nobody has named a time.
"""

LEAVING = frozenset({CloseCode.GOING_AWAY, CloseCode.SERVICE_RESTART, CloseCode.TRY_AGAIN_LATER})
"""Close codes whose reason may say when to come back."""

_ASKED = re.compile(r"retry after ([0-9]{1,9}(?:\.[0-9]{1,3})?) s")

# Server errors that time may mend; 503 is also how servers say that they restart, and 429 that a
# client has asked too often.
RETRYABLE_STATUS = frozenset({429, 500, 502, 503, 504})

# Replies of SOCKS proxies that speak of the server or the network: RFC 1928 section 6 without "not
# allowed by ruleset" and what isn't supported; "rejected or failed" of SOCKS4.
_RETRYABLE_REPLIES = frozenset({1, 3, 4, 5, 6, 91})


def process_exception(exc: Exception) -> Exception | None:
    """Tell whether to connect again after ``exc``.

    Network errors, time-outs and the HTTP statuses 429, 500, 502, 503 and 504 pass, also when a
    proxy tells of them; everything else is likely to happen again.

    Args:
        exc: what ``connect`` raised.

    Returns:
        ``None`` to try again, else the exception to raise.
    """
    if isinstance(exc, OSError):
        return None
    cause = exc.__cause__
    if isinstance(exc, InvalidMessage | InvalidProxyMessage) and isinstance(
        cause, EOFError | OSError
    ):
        return None
    if isinstance(exc, InvalidStatus | InvalidProxyStatus):
        return None if exc.response.status_code in RETRYABLE_STATUS else exc
    if isinstance(exc, ProxyError) and getattr(cause, "error_code", None) in _RETRYABLE_REPLIES:
        return None
    return exc


def backoff(
    initial_delay: float = BACKOFF_INITIAL_DELAY,
    min_delay: float = BACKOFF_MIN_DELAY,
    max_delay: float = BACKOFF_MAX_DELAY,
    factor: float = BACKOFF_FACTOR,
) -> Generator[float]:
    """Generate delays before connecting again: exponential, with full jitter.

    Each delay is drawn between 0 and a bound that grows, so that clients that lost their server
    together don't come back together (RFC 6455 section 7.2.3).

    Args:
        initial_delay: seconds, bound of the first delay.
        min_delay: seconds, least delay; above 0 it gives up some of the jitter.
        max_delay: seconds, greatest bound.
        factor: from one bound to the next.

    Yields:
        float: seconds to wait.
    """
    bound = initial_delay
    while True:
        yield max(min_delay, random.random() * bound)
        bound = min(bound * factor, max_delay)


def retry_after(exc: Exception, now: float | None = None) -> float:
    """Read how long a server or proxy asks to wait (RFC 9110 section 10.2.3).

    Args:
        exc: why the handshake failed.
        now: seconds since the epoch; by default the present.

    Returns:
        Seconds, at most :data:`RETRY_AFTER_MAX`; 0 if it asks for nothing, or not with 429 or 503.
    """
    if not isinstance(exc, InvalidStatus | InvalidProxyStatus):
        return 0.0
    values = exc.response.headers.get_all("Retry-After")
    if exc.response.status_code not in (429, 503) or len(values) != 1:
        return 0.0
    value: str = values[0].strip()
    if value.isascii() and value.isdigit():
        # Nine digits are a century; more would only cost time.
        seconds = float(value[:9])
    else:
        # Not at the top: most connections are never refused like this.
        from email.utils import parsedate_to_datetime

        try:
            when = parsedate_to_datetime(value).timestamp()
        except (ValueError, OverflowError):
            return 0.0
        seconds = when - (time.time() if now is None else now)
    return min(max(seconds, 0.0), RETRY_AFTER_MAX)


def asked_delay(close_reason: str | None) -> float | None:
    """Read how long a server asks to wait in its Close frame, as an ``App`` that ends does.

    Args:
        close_reason: such as ``retry after 2.7 s``.

    Returns:
        Seconds, at most :data:`RETRY_AFTER_MAX`; ``None`` if it says no such thing.
    """
    found = _ASKED.fullmatch(close_reason or "")
    return None if found is None else min(float(found[1]), RETRY_AFTER_MAX)


@dataclass(frozen=True, slots=True)
class Attempt:
    """What became of an attempt to have a connection.

    Attributes:
        number: Counted from 1; begins anew when a connection was stable for
            :data:`STABLE_PERIOD`, or ended by us.
        uri: Where it led.
        reason: Why it failed, or how the connection was lost.
        lasted: Seconds the connection was open; ``None`` if it never was.
        delay: Seconds waited afterwards; ``None`` if there was no other attempt.
    """

    number: int
    uri: str
    reason: str
    lasted: float | None
    delay: float | None

    def __str__(self) -> str:
        """One line, for a log."""
        what = "failed" if self.lasted is None else f"was lost after {self.lasted:.1f} s"
        then = "" if self.delay is None else f"; waited {self.delay:.1f} s"
        return f"attempt {self.number} to connect to {self.uri} {what}: {self.reason}{then}"


def explain(exc: BaseException) -> str:
    """Say in one line what an exception and its notes say."""
    notes: list[str] = getattr(exc, "__notes__", [])
    text = f"{type(exc).__name__}: {exc}" if str(exc) else type(exc).__name__
    if isinstance(exc, InvalidMessage | InvalidProxyMessage) and exc.__cause__ is not None:
        # Only there it says what was wrong, such as a limit, its value and its setting.
        text += f" ({exc.__cause__})"
    return "; ".join([text, *notes])


class Reconnection:
    """How long to wait before each new attempt, and what became of those before.

    Args:
        make_delays: makes the generator of seconds to wait; called anew when the delays begin
            anew.
    """

    def __init__(self, make_delays: Callable[[], Generator[float]]) -> None:
        self._make_delays = make_delays
        self._delays: Generator[float] | None = None
        self._count = 0
        self.attempts: deque[Attempt] = deque(maxlen=ATTEMPTS_KEPT)

    def begin_anew(self) -> None:
        """Forget what was: the connection was as it should be."""
        self._delays = None
        self._count = 0
        self.attempts.clear()

    def failed(self, uri: str, exc: Exception) -> Attempt:
        """A connection could not be made; return the attempt with the seconds to wait now."""
        return self._add(uri, explain(exc), None, retry_after(exc) + self._next_delay())

    def lost(
        self,
        uri: str,
        reason: str,
        lasted: float,
        close_code: int | None,
        close_reason: str | None = None,
    ) -> Attempt:
        """A connection was ended by the peer or the network; return the attempt."""
        if lasted >= STABLE_PERIOD:
            self.begin_anew()
        delay = self._next_delay()
        asked = asked_delay(close_reason) if close_code in LEAVING else None
        if asked is not None:
            delay += asked
        # A program's own delays are what it wants.
        elif self._make_delays is backoff and close_code in CLOSE_DELAYS:
            delay = max(delay, random.uniform(*CLOSE_DELAYS[close_code]))
        return self._add(uri, reason, lasted, delay)

    def given_up(self, uri: str, exc: Exception) -> None:
        """There will be no other attempt: note on ``exc`` what became of those before."""
        reason = explain(exc)
        forgotten = self._count - len(self.attempts)
        if forgotten:
            exc.add_note(f"attempts before number {forgotten + 1} are not shown")
        for attempt in self.attempts:
            exc.add_note(str(attempt))
        self._add(uri, reason, None, None)

    def _next_delay(self) -> float:
        if self._delays is None:
            self._delays = self._make_delays()
        return next(self._delays)

    def _add(self, uri: str, reason: str, lasted: float | None, delay: float | None) -> Attempt:
        self._count += 1
        attempt = Attempt(self._count, uri, reason, lasted, delay)
        self.attempts.append(attempt)
        return attempt
