"""What is to be checked, how, and within which bounds.

Every number that keeps a check harmless is here or is an option with a default here.
"""

from __future__ import annotations

import ssl
from dataclasses import dataclass

from duologue.base.types import Origin, Subprotocol
from duologue.client.proxy import Proxy
from duologue.wire.uri import WebSocketURI

__all__ = [
    "ATTEMPTS",
    "IDLE",
    "MAX_ADDRESSES",
    "MAX_CONNECTIONS",
    "MAX_MESSAGE",
    "PATIENCE",
    "PINGS",
    "Plan",
]

PATIENCE = 5.0
"""Seconds to wait for each answer."""

PINGS = 5
"""Pings whose answers are timed."""

MAX_MESSAGE = 1 << 20
"""Bytes in the longest message sent to find out how much is accepted."""

IDLE = 75.0
"""Seconds that ``--idle`` stays silent by default: proxies' usual 60 s, and some."""

ATTEMPTS = 8
"""Connections that the search for the longest message may use up."""

MAX_ADDRESSES = 8
"""Addresses of a host that are tried."""

MAX_CONNECTIONS = 40
"""Connections that a whole check may make; no server so far needed half of them."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to be checked, and how.

    Attributes:
        url: As given by the user, without the password; for showing.
        uri: The same, parsed, with it.
        headers: More headers of each handshake.
        origin: ``Origin`` of each handshake but the one that tries a foreign one.
        subprotocols: What the handshakes offer.
        tls: Settings for ``wss``, ``None`` for ``ws``.
        proxy: The proxy to go through; ``None`` for none.
        patience: Seconds to wait for each answer.
        pings: Pings whose answers are timed.
        max_message: Bytes in the longest message sent.
        messages: Whether text messages may be sent at all.
        idle: Seconds to stay silent; ``None`` leaves that out.
    """

    url: str
    uri: WebSocketURI
    headers: tuple[tuple[str, str], ...] = ()
    origin: Origin | None = None
    subprotocols: tuple[Subprotocol, ...] = ()
    tls: ssl.SSLContext | None = None
    proxy: Proxy | None = None
    patience: float = PATIENCE
    pings: int = PINGS
    max_message: int = MAX_MESSAGE
    messages: bool = True
    idle: float | None = None

    @property
    def verified(self) -> bool:
        """Whether the server's certificate is verified."""
        return self.tls is not None and self.tls.verify_mode is ssl.CERT_REQUIRED
