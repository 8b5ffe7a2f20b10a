"""What all connections of one server, or of one ``connect()``, have in common."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from types import EllipsisType
from typing import TypeVar

from duologue.base.limits import DEFAULT_LIMITS, Limits
from duologue.base.types import LoggerLike
from duologue.base.vocabulary import Side
from duologue.connection.policies import Overflow, number_of

T = TypeVar("T")
MaxSize = int | tuple[int | None, int | None] | None
MaxSizeOption = MaxSize | EllipsisType
SecondsOption = float | EllipsisType | None
"""What options with a default in :class:`Limits` take: ``...`` stands for that default."""


def choose(option: T | EllipsisType, default: T) -> T:
    """Return the option if it was given, else the default."""
    return default if isinstance(option, EllipsisType) else option


def _pair(name: str, value: object, low: object) -> tuple[int | None, int | None]:
    high, low = value if isinstance(value, tuple) else (value, low)
    for number in (high, low):
        if number is not None and (not isinstance(number, int) or isinstance(number, bool)):
            raise TypeError(f"{name} must be int, None or a pair of them, not {value!r}")
        if number is not None and number < 0:
            raise ValueError(f"{name} must not be negative: {value!r}; None lifts the limit")
    return high, low  # type: ignore[return-value]


def _marks(name: str, value: object) -> tuple[int | None, int | None]:
    """A high and a low mark; each follows from the other, as in asyncio."""
    high, low = _pair(name, value, None)
    if high is None:
        return (None, None) if low is None else (4 * low, low)
    if low is not None and low > high:
        raise ValueError(f"{name} has its low mark {low} above its high mark {high}")
    return high, high // 4 if low is None else low


@dataclass(slots=True)
class Settings:
    """Bounds and times of a connection, resolved from options and :class:`Limits`.

    Attributes:
        side: which end.
        limits: where every bound that has no option of its own comes from.
        max_message: octets, ``None`` for no limit.
        max_fragment: octets, ``None`` for no limit.
        queue_high: messages waiting in the inbox at which reading pauses.
        queue_low: messages waiting at which it resumes.
        write_high: octets waiting to be written above which ``send()`` waits; ``None`` leaves
            ``Limits.max_outbox``.
        write_low: octets below which it goes on.
        ping_interval: seconds, ``None`` for no keepalive.
        ping_timeout: seconds, ``None`` to never give up on a silent peer.
        close_timeout: seconds for the closing handshake, ``None`` for any time.
        logger: where connections log.
        overflow: what happens to messages that find the outbox full.
        cancel_on_disconnect: whether a handler is cancelled when its peer is gone.
        any_close_code: whether the peer may close with codes that have no meaning, as browsers
            have it.
        common: what their connections share in compiled form, of the loop that used it last.
    """

    side: Side
    limits: Limits = DEFAULT_LIMITS
    max_message: int | None = None
    max_fragment: int | None = None
    queue_high: int | None = 16
    queue_low: int | None = None
    write_high: int | None = 32768
    write_low: int | None = None
    ping_interval: float | None = None
    ping_timeout: float | None = None
    close_timeout: float | None = None
    logger: LoggerLike = field(default_factory=lambda: logging.getLogger("duologue"))
    overflow: Overflow = "wait"
    cancel_on_disconnect: bool = False
    any_close_code: bool = False
    common: object = field(default=None, init=False, repr=False, compare=False)

    @classmethod
    def resolve(
        cls,
        side: Side,
        limits: Limits,
        *,
        max_size: MaxSizeOption = ...,
        max_queue: MaxSizeOption = ...,
        write_limit: MaxSizeOption = ...,
        ping_interval: SecondsOption = ...,
        ping_timeout: SecondsOption = ...,
        close_timeout: SecondsOption = ...,
        overflow: Overflow = "wait",
        cancel_on_disconnect: bool = False,
        logger: LoggerLike | None = None,
    ) -> Settings:
        """Check options as ``connect`` and ``serve`` take them.

        Raises:
            TypeError: If an option has the wrong type.
            ValueError: If an option is negative, or no policy, or a low mark is above its high one.
        """
        number_of(overflow)
        max_message, max_fragment = _pair("max_size", choose(max_size, limits.max_size), None)
        queue_high, queue_low = _marks("max_queue", choose(max_queue, limits.max_queue))
        write_high, write_low = _marks("write_limit", choose(write_limit, limits.write_limit))
        if queue_high is not None:
            queue_high = max(queue_high, 1)
        return cls(
            side=side,
            limits=limits,
            max_message=max_message,
            max_fragment=max_fragment,
            queue_high=queue_high,
            queue_low=queue_low,
            write_high=write_high,
            write_low=write_low,
            ping_interval=choose(ping_interval, limits.ping_interval),
            ping_timeout=choose(ping_timeout, limits.ping_timeout),
            close_timeout=choose(close_timeout, limits.close_timeout),
            overflow=overflow,
            cancel_on_disconnect=cancel_on_disconnect,
            logger=logger or logging.getLogger(f"duologue.{side.name.lower()}"),
        )
