"""Every bound of duologue in one record: unit, default, and why that default.

Two rules hold for all of them: None lifts a limit, and 0 never means "no limit". This module must
never enforce anything; the floors that own the resources do, and their errors name the field.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields

from duologue.base.rates import Rate

__all__ = ["DEFAULT_LIMITS", "Limits"]

# 0 says something useful for these: nothing allowed, or nothing charged. For the others it would
# stop the connection before it starts.
_ZERO_ALLOWED = frozenset(
    {"max_body", "max_size", "fragment_cost", "write_limit", "max_redirects", "compress_threshold"}
)
# These weigh or choose rather than bound, so lifting them means nothing.
_NONE_REFUSED = frozenset({"fragment_cost", "compress_threshold"})

_RATES = frozenset({"message_rate", "octet_rate"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Bounds of one client or server. Immutable; use `dataclasses.replace` to change some.

    Attributes:
        max_line: Octets in a request, status or header line without its CRLF. Default 8192, what
            common HTTP servers and proxies accept.
        max_headers: Header lines in a head. Default 100; browsers send about 20.
        max_head: Octets in a whole head. Default 32768: four full lines' worth, as in Node.js
            and nginx, so that a million half-sent heads stay countable.
        max_body: Octets in the body of an HTTP message. Default 1 MiB; bodies explain a refusal,
            they do not transfer files.
        max_size: Octets in a WebSocket message after decompression. Default 1 MiB, as in
            `websockets`.
        fragment_cost: Octets of `max_size` that each fragment takes besides its payload. Default
            64, about what storing one costs, so a million empty fragments are not free.
        max_queue: Messages received and not yet taken by the application before reading pauses.
            Default 16.
        max_queue_bytes: The same in octets. Default 1 MiB. After our Close frame, when reading
            pauses no more, twice this is kept and the rest discarded.
        write_limit: Octets waiting to be written above which `send()` waits. Default 32768. None
            leaves `max_outbox` as that mark.
        max_outbox: Octets waiting of messages whose `send()` nobody awaits, such as those of
            `broadcast()`, and 144 for each of them, about what it takes besides; above it the
            outbox policy decides, by default to close the connection with 1013. Default 16 MiB,
            1 MiB for an `App`. One message is always accepted while nothing waits.
        memory_budget: Octets in the buffers of all connections of the process, with the objects
            around them, above which those that hold most are closed with 1013 until an eighth of
            it is free again. Default 1 GiB: no single connection of the default limits comes near,
            64 full outboxes together do. The sum is the process's, the budget each connection's
            own: where there are several, the smallest gives way first, and None is never closed.
        max_redirects: HTTP redirects a client follows. Default 10.
        open_timeout: Seconds for the opening handshake. Default 10.
        close_timeout: Seconds for the closing handshake. Default 10.
        ping_interval: Seconds between keepalive pings. Default 20. None sends none.
        ping_timeout: Seconds without any octet after a keepalive ping until the peer counts as
            gone. Default 20.
        write_timeout: Seconds in which a blocked write must make progress. Default 60.
        keep_alive_timeout: Seconds an idle HTTP connection stays open between requests. Default
            5, as in Node.js and uvicorn.
        compress_threshold: Octets from which a message is worth compressing. Default 1024, near
            the size of one packet.
        message_rate: How fast messages of a peer may come: a `Rate`, or a number a second. Above
            it the connection is closed with 1008; what came before is delivered. Default None:
            applications differ too much.
        octet_rate: The same for all octets of a peer, those of frame heads and control frames
            among them; what is read when it is passed is still delivered. Default None.
        idle_timeout: Seconds without a message from the peer after which the connection is closed
            with 1008; pings and pongs are no messages. Default None: many peers only listen.
        codec_idle: Seconds after which a connection's compressor and inflater are freed (200 KiB)
            when they were not used; within twice that at the latest. Default 10: making them anew
            takes microseconds, and compression is as good as before after one message. None keeps
            them as long as the connection.
        max_topic: Octets in a topic's name. Default 1024: names are kept, and sent to every process
            that takes part.
        max_subscriptions: Topics that one connection is subscribed to. Default 10,000, a MiB or
            two of memory.
        max_topics: Topics in one process, counting those with a subscriber and those whose last
            position is remembered apart. Default 1,000,000, about half a KiB each.
        max_backlog: Octets of published messages that wait for a backplane, and that a backplane
            keeps for one process. Default 64 MiB. One message is always accepted while nothing
            waits.
        request_timeout: Seconds for the other processes to answer a question, such as how many
            subscribers a topic has. Default 5, as in Socket.IO.
        lease: Seconds without a sign of life until a process counts as gone, with everybody who is
            connected to it. Default 10; a third of it is the interval of the signs. None leaves it
            at those whose connection ends.

    Raises:
        TypeError: If a value is not a number of the field's kind.
        ValueError: If a value is negative, not finite, or 0 where 0 has no meaning.
    """

    max_line: int | None = 8192
    max_headers: int | None = 100
    max_head: int | None = 32768
    max_body: int | None = 1_048_576
    max_size: int | None = 1_048_576
    fragment_cost: int = 64
    max_queue: int | None = 16
    max_queue_bytes: int | None = 1_048_576
    write_limit: int | None = 32768
    max_outbox: int | None = 16_777_216
    memory_budget: int | None = 1_073_741_824
    max_redirects: int | None = 10
    open_timeout: float | None = 10.0
    close_timeout: float | None = 10.0
    ping_interval: float | None = 20.0
    ping_timeout: float | None = 20.0
    write_timeout: float | None = 60.0
    keep_alive_timeout: float | None = 5.0
    compress_threshold: int = 1024
    message_rate: Rate | float | None = None
    octet_rate: Rate | float | None = None
    idle_timeout: float | None = None
    codec_idle: float | None = 10.0
    max_topic: int | None = 1024
    max_subscriptions: int | None = 10_000
    max_topics: int | None = 1_000_000
    max_backlog: int | None = 67_108_864
    request_timeout: float | None = 5.0
    lease: float | None = 10.0

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if field.name in _RATES:
                object.__setattr__(self, field.name, _as_rate(field.name, value))
            else:
                _check(field.name, value, str(field.type).startswith("float"))


def _as_rate(name: str, value: Rate | float | None) -> Rate | None:
    if value is not None and not isinstance(value, Rate):
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise TypeError(f"{name} must be a Rate, a number a second or None, not {value!r}")
        if not math.isfinite(value) or value <= 0:
            raise ValueError(f"{name} must be more than 0, not {value!r}; None lifts the limit")
    return Rate.of(value)


def _check(name: str, value: object, is_seconds: bool) -> None:
    if value is None:
        if name in _NONE_REFUSED:
            raise TypeError(f"{name} must be a number of bytes, not None; 0 is the least")
        return
    kind, unit = ((int, float), "seconds") if is_seconds else (int, "an integer")
    if isinstance(value, bool) or not isinstance(value, kind):
        allowed = unit if name in _NONE_REFUSED else f"{unit} or None"
        raise TypeError(f"{name} must be {allowed}, not {value!r}")
    number = float(value)
    if not math.isfinite(number):
        raise ValueError(f"{name} must be finite, not {value!r}; None lifts the limit")
    if number < 0 or (number == 0 and name not in _ZERO_ALLOWED):
        least = "0 or more" if name in _ZERO_ALLOWED else "more than 0"
        lift = "" if name in _NONE_REFUSED else "; None lifts the limit"
        raise ValueError(f"{name} must be {least}, not {value!r}{lift}")


DEFAULT_LIMITS = Limits()
"""The defaults, shared by everything that is not told otherwise."""
