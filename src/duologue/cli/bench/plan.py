"""What a load test does, as a value that can be sent to other processes."""

from __future__ import annotations

from dataclasses import dataclass, replace

from duologue.cli.explain import without_password

__all__ = ["DRAIN", "OPENING", "STALL", "Plan", "Way"]

OPENING = 100
"""Connections of a process that are being opened at a time."""

DRAIN = 5.0
"""Seconds that answers which are still missing at the end are waited for."""


STALL = 5.0
"""Seconds without any answer after which a test without ``--duration`` is given up."""


@dataclass(frozen=True, slots=True)
class Way:
    """How to connect, in values that can be sent to other processes.

    Attributes:
        url: The endpoint.
        headers: More headers of the request.
        origin: Value of ``Origin``.
        subprotocols: Subprotocols to offer.
        insecure: Whether any certificate will do.
        ca: File of trusted authorities.
        cert: File of the client's certificate.
        key: File of its private key.
        proxy: Address of a proxy, ``none`` for none; ``None`` for the configured one.
        compress: Whether to offer permessage-deflate.
        patience: Seconds to open a connection in.
    """

    url: str
    headers: tuple[tuple[str, str], ...] = ()
    origin: str | None = None
    subprotocols: tuple[str, ...] = ()
    insecure: bool = False
    ca: str | None = None
    cert: str | None = None
    key: str | None = None
    proxy: str | None = None
    compress: bool = False
    patience: float = 10.0

    @property
    def shown(self) -> str:
        """The URL without the password."""
        return without_password(self.url)


@dataclass(frozen=True, slots=True)
class Plan:
    """What one process does, or all of them together.

    Attributes:
        way: How to connect.
        connections: How many.
        duration: Seconds to measure; ``None`` for as long as :attr:`messages` takes.
        messages: Messages to send after the warm-up; ``None`` for as many as go.
        size: Bytes in each.
        payload: The message itself, instead of one that is made.
        text: Whether messages are text.
        in_flight: Messages of a connection that are unanswered at a time, in a closed loop.
        rate: Messages each second in an open loop; ``None`` for a closed one.
        warm_up: Seconds of load before anything is measured.
        ramp: Connections to open each second; ``None`` for as quick as possible.
        greetings: Messages that the server says first on each connection.
        process: Which of the processes this is for.
    """

    way: Way
    connections: int = 10
    duration: float | None = 10.0
    messages: int | None = None
    size: int = 32
    payload: bytes | None = None
    text: bool = True
    in_flight: int = 1
    rate: float | None = None
    warm_up: float = 0.0
    ramp: float | None = None
    greetings: int = 0
    process: int = 0

    def shares(self, processes: int) -> list[Plan]:
        """Divides it among processes: each gets its share of connections, messages and rate.

        Args:
            processes: How many there are, at most one for each connection.
        """
        connections = _divide(self.connections, processes)
        messages = _by_weight(self.messages, connections)
        return [
            replace(
                self,
                connections=mine,
                messages=share,
                rate=None if self.rate is None else self.rate * mine / self.connections,
                ramp=None if self.ramp is None else self.ramp * mine / self.connections,
                process=number,
            )
            for number, (mine, share) in enumerate(zip(connections, messages, strict=True))
        ]


def _divide(number: int, parts: int) -> list[int]:
    each, more = divmod(number, parts)
    return [each + (place < more) for place in range(parts)]


def _by_weight(number: int | None, weights: list[int]) -> list[int | None]:
    """Divides a number so that the sum is right, as evenly as the weights are."""
    if number is None:
        return [None] * len(weights)
    total, taken, shares = sum(weights), 0, list[int | None]()
    seen = 0
    for weight in weights:
        seen += weight
        upto = number * seen // total
        shares.append(upto - taken)
        taken = upto
    return shares
