"""Short-lived signed tickets: who a visitor is, in a word that fits a URL or a subprotocol.

Scripts in browsers cannot set headers of a handshake. So a page asks its own site for a ticket,
with whatever authenticates it there, and shows the ticket when it connects.

A ticket is ``base64url(claims) "." base64url(HMAC-SHA256)``, without padding; the claims are JSON:
the user, when it expires, and a nonce if it may be used once only. It is signed, not encrypted:
whoever sees a ticket can read it, and use it until it expires.

Pure but for the clock, the system's entropy and the memory of tickets used.

Sources: RFC 2104 (HMAC), RFC 4648 section 5 (base64url), RFC 7230 section 3.2.6 (token).
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
import secrets
import time
from collections.abc import Callable, Sequence
from typing import Any

_DOMAIN = b"duologue ticket 1\0"
_SHORTEST_SECRET = 16
_LONGEST_TICKET = 4096

Secret = str | bytes


class InvalidTicket(ValueError):
    """A ticket that doesn't count; the text says why, and is not for the visitor."""


class Tickets:
    """Issues tickets and verifies them.

    ::

        tickets = Tickets(os.environ["TICKET_SECRET"])
        tickets.verify(tickets.issue("ada"))  # "ada"

    Args:
        secret: at least 16 octets that nobody else knows, the same in all processes of a site. Of
            several the first signs and all verify: put a new one in front, and drop the old one
            when its last ticket has expired.
        ttl: seconds that a ticket is good for. Default 30: it is used at once.
        single_use: whether a ticket counts once only. That is remembered in this process; several
            processes each accept it once.
        max_used: used tickets remembered until they expire; above it tickets are refused.
        clock: seconds since the epoch.

    Raises:
        TypeError: If a secret is neither str nor bytes.
        ValueError: If a secret is too short, or another value makes no sense.
    """

    def __init__(
        self,
        secret: Secret | Sequence[Secret],
        *,
        ttl: float = 30.0,
        single_use: bool = False,
        max_used: int = 100_000,
        clock: Callable[[], float] = time.time,
    ) -> None:
        secrets_given = [secret] if isinstance(secret, str | bytes) else list(secret)
        if not secrets_given:
            raise ValueError("tickets need a secret")
        self._keys = [_as_key(each) for each in secrets_given]
        if not ttl > 0:
            raise ValueError(f"ttl must be above 0, not {ttl!r}")
        if max_used < 1:
            raise ValueError(f"max_used must be above 0, not {max_used!r}")
        self.ttl = ttl
        self.single_use = single_use
        self._max_used = max_used
        self._clock = clock
        # Nonces and when their tickets expire.
        self._used: dict[str, float] = {}

    def __repr__(self) -> str:
        return f"<Tickets ttl={self.ttl}>"

    def issue(self, user: Any, ttl: float | None = None) -> str:
        """Make a ticket.

        Args:
            user: anything that JSON knows: a name, an id, a dict of both.
            ttl: seconds that it is good for, instead of the default.

        Returns:
            Letters, digits, ``-``, ``_`` and a dot.

        Raises:
            TypeError: If JSON doesn't know the user.
            ValueError: If the ticket would be longer than 4096 characters, or never valid.
        """
        seconds = self.ttl if ttl is None else ttl
        if not seconds > 0:
            raise ValueError(f"ttl must be above 0, not {ttl!r}")
        claims: list[Any] = [user, round(self._clock() + seconds, 3)]
        if self.single_use:
            claims.append(secrets.token_urlsafe(12))
        body = _encode(json.dumps(claims, separators=(",", ":")).encode())
        ticket = f"{body}.{_encode(_sign(self._keys[0], body))}"
        if len(ticket) > _LONGEST_TICKET:
            raise ValueError(f"a ticket of {len(ticket)} characters is longer than 4096")
        return ticket

    def verify(self, ticket: str) -> Any:
        """Return the user whom a ticket names; a single-use ticket is used by that.

        Raises:
            InvalidTicket: If it is malformed, signed by somebody else, expired or used before.
        """
        if len(ticket) > _LONGEST_TICKET or not ticket.isascii():
            raise InvalidTicket("the ticket is malformed")
        body, _, signature = ticket.partition(".")
        given = _decode(signature)
        # All are compared in any case: time doesn't tell which key it was.
        matches = [hmac.compare_digest(_sign(key, body), given) for key in self._keys]
        if not any(matches):
            raise InvalidTicket("the ticket's signature is wrong")
        try:
            user, expires, *nonce = json.loads(_decode(body))
        except (ValueError, TypeError):
            raise InvalidTicket("the ticket is malformed") from None
        now = self._clock()
        if now >= expires:
            raise InvalidTicket(f"the ticket has expired {now - expires:.1f} seconds ago")
        if self.single_use:
            self._use(nonce, expires, now)
        return user

    def _use(self, nonce: list[str], expires: float, now: float) -> None:
        if not nonce:
            raise InvalidTicket("the ticket was issued for more than one use")
        if nonce[0] in self._used:
            raise InvalidTicket("the ticket was used before")
        if len(self._used) >= self._max_used:
            self._used = {each: end for each, end in self._used.items() if end > now}
        if len(self._used) >= self._max_used:
            raise InvalidTicket(
                f"{self._max_used} tickets were used and have not expired (setting: max_used)"
            )
        self._used[nonce[0]] = expires


def _as_key(secret: Secret) -> bytes:
    if not isinstance(secret, str | bytes):
        raise TypeError(f"a secret is str or bytes, not {type(secret).__name__}")
    octets = secret.encode() if isinstance(secret, str) else secret
    if len(octets) < _SHORTEST_SECRET:
        raise ValueError(
            f"a secret has at least {_SHORTEST_SECRET} octets, not {len(octets)}; "
            "python -c 'import secrets; print(secrets.token_urlsafe(32))' makes one"
        )
    return octets


def _sign(key: bytes, body: str) -> bytes:
    return hmac.digest(key, _DOMAIN + body.encode(), hashlib.sha256)


def _encode(octets: bytes) -> str:
    return base64.urlsafe_b64encode(octets).decode().rstrip("=")


def _decode(text: str) -> bytes:
    try:
        octets = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except binascii.Error:
        raise InvalidTicket("the ticket is malformed") from None
    # One text for each ticket: stray last bits would make others of it.
    if _encode(octets) != text:
        raise InvalidTicket("the ticket is malformed")
    return octets
