"""When to connect again after a failure, and how long to wait before it."""

from __future__ import annotations

import random
from collections.abc import Generator

from duologue.base.exceptions import InvalidMessage, InvalidStatus

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

# Server errors that time may mend; 503 is also how servers say that they restart.
RETRYABLE_STATUS = frozenset({500, 502, 503, 504})


def process_exception(exc: Exception) -> Exception | None:
    """Tell whether to connect again after ``exc``.

    Network errors, time-outs and the HTTP statuses 500, 502, 503 and 504 pass; everything else is
    likely to happen again.

    Args:
        exc: what ``connect`` raised.

    Returns:
        ``None`` to try again, else the exception to raise.
    """
    if isinstance(exc, OSError):
        return None
    if isinstance(exc, InvalidMessage) and isinstance(exc.__cause__, EOFError):
        return None
    if isinstance(exc, InvalidStatus) and exc.response.status_code in RETRYABLE_STATUS:
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
