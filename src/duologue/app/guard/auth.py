"""Who is it? Authenticators for ``auth=`` of a route, before the handshake is answered, or after.

An authenticator is called with the request and returns the user, anything but ``None``; it raises
:exc:`Denied` for everybody else. The user becomes ``ws.user_data``.

Invariants: secrets are compared in constant time, and never logged or sent back; what a verifier
raises is a failure of ours (500), and never lets anybody in.

Sources: RFC 7617 (Basic), RFC 6750 (bearer tokens), RFC 9110 section 11.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable, Iterable
from typing import Any

from duologue.app.errors import HTTPError
from duologue.app.guard.tickets import InvalidTicket, Tickets
from duologue.app.request import Request
from duologue.base.types import Data
from duologue.connection.connection import Connection
from duologue.protocol.handshake import offered_subprotocols
from duologue.server.auth import Check, check_against, read_credentials
from duologue.wire.grammar import build_www_authenticate_basic
from duologue.wire.headers import HeadersLike

Verify = Callable[[Any], Any]
"""From a token or a message to the user, ``None`` or ``False`` for nobody; may be a coroutine."""

UNAUTHENTICATED = 4401
TOO_LATE = 4408


class Denied(HTTPError):
    """Nobody whom we know.

    Args:
        detail: body of the answer, and reason of a Close frame.
        headers: more header fields of the answer.
        close_code: accept and close with this code instead of answering with 401: see
            ``UpgradeRequest.reject``.
    """

    def __init__(
        self,
        detail: str = "Unauthorized",
        headers: HeadersLike | None = None,
        close_code: int | None = None,
    ) -> None:
        super().__init__(401, detail, headers)
        self.close_code = close_code
        self.close_reason = detail


async def user_of(outcome: Any) -> Any:
    """Return what a verifier has found, or finds when awaited; ``None`` for nobody."""
    if inspect.isawaitable(outcome):
        outcome = await outcome
    return None if outcome is False else outcome


class BasicAuth:
    """HTTP Basic authentication; the user is the name.

    Browsers ask for name and password when a page is loaded, and send them with its WebSockets.

    Args:
        credentials: a ``(username, password)`` pair, or several of them.
        check: function or coroutine function instead, from name and password to whether they are
            right.
        realm: what is protected, in ASCII.

    Raises:
        TypeError: If ``credentials`` has another shape.
        ValueError: If not exactly one of the two is given.
    """

    def __init__(
        self,
        credentials: tuple[str, str] | Iterable[tuple[str, str]] | None = None,
        *,
        check: Check | None = None,
        realm: str = "",
    ) -> None:
        if (credentials is None) == (check is None):
            raise ValueError("give either credentials or check")
        self._check = check or check_against(credentials)
        self._challenge = [("WWW-Authenticate", build_www_authenticate_basic(realm))]

    async def __call__(self, request: Request) -> str:
        """Return the name.

        Raises:
            Denied: If name or password are missing or wrong.
        """
        given = read_credentials(request.exchange.request)
        if isinstance(given, str):
            raise Denied(given, self._challenge)
        if not await user_of(self._check(*given)):
            raise Denied("Invalid credentials", self._challenge)
        return given[0]


class BearerAuth:
    """A token in ``Authorization: Bearer ...``; the user is what ``verify`` makes of it.

    Args:
        verify: function or coroutine function from the token to the user; ``None`` or ``False`` for
            nobody.
        realm: what is protected, in ASCII.
    """

    def __init__(self, verify: Verify, *, realm: str = "") -> None:
        self._verify = verify
        self._challenge = f'Bearer realm="{realm}"' if realm else "Bearer"

    async def __call__(self, request: Request) -> Any:
        """Return the user.

        Raises:
            Denied: If the token is missing or wrong.
        """
        values = request.headers.get_all("Authorization")
        scheme, _, token = (values[0] if len(values) == 1 else "").partition(" ")
        token = token.strip()
        if scheme.lower() != "bearer" or not token:
            raise Denied("Missing token", [("WWW-Authenticate", self._challenge)])
        user = await user_of(self._verify(token))
        if user is None:
            separator = "," if " " in self._challenge else ""
            challenge = f'{self._challenge}{separator} error="invalid_token"'
            raise Denied("Invalid token", [("WWW-Authenticate", challenge)])
        return user


class TicketAuth:
    """A :class:`Tickets` ticket in the query or in a subprotocol, for scripts in browsers.

    ::

        new WebSocket(`/chat?ticket=${ticket}`)
        new WebSocket("/chat", ["chat.v1", `ticket.${ticket}`])

    URLs end up in logs, subprotocols mostly don't. A ticket is never chosen as subprotocol unless
    the client offers nothing else, as it would then not open.

    Args:
        tickets: verifies them.
        parameter: name in the query, ``None`` to look for none there.
        prefix: what a subprotocol that is a ticket begins with, ``None`` to look for none there.
        close_code: accept and close with this code instead of answering with 401, for scripts
            cannot see the latter; ``None`` for 401.
    """

    def __init__(
        self,
        tickets: Tickets,
        *,
        parameter: str | None = "ticket",
        prefix: str | None = "ticket.",
        close_code: int | None = None,
    ) -> None:
        if parameter is None and prefix is None:
            raise ValueError("tickets come in the query (parameter) or in a subprotocol (prefix)")
        self._tickets = tickets
        self._parameter = parameter
        self._prefix = prefix
        self._close_code = close_code

    async def __call__(self, request: Request) -> Any:
        """Return the user.

        Raises:
            Denied: If the ticket is missing or doesn't count.
        """
        ticket = self._find(request)
        if ticket is None:
            raise Denied("Missing ticket", close_code=self._close_code)
        try:
            return self._tickets.verify(ticket)
        except InvalidTicket as exc:
            raise Denied("Invalid ticket", close_code=self._close_code) from exc

    def _find(self, request: Request) -> str | None:
        if self._prefix is not None and request.asks_upgrade:
            for offered in offered_subprotocols(request.headers):
                if offered.startswith(self._prefix):
                    if hasattr(request, "ticket_protocol"):
                        request.ticket_protocol = offered
                    return offered.removeprefix(self._prefix)
        if self._parameter is None:
            return None
        found: str | None = request.query_params.get(self._parameter)
        return found


async def first_message(
    ws: Connection,
    verify: Verify,
    *,
    timeout: float = 10.0,
    close_code: int = UNAUTHENTICATED,
) -> Any:
    """Wait for a first message that says who is there; nothing else is read before.

    ::

        async def chat(ws):
            user = await first_message(ws, lambda text: tickets.verify(text))
            ...

    Args:
        ws: the connection, just opened.
        verify: function or coroutine function from the message to the user; ``None``, ``False`` or
            :exc:`InvalidTicket` for nobody.
        timeout: seconds for the message and for ``verify``.
        close_code: closes the connection of whoever isn't known; 4408 is used if nothing came.

    Returns:
        The user.

    Raises:
        ConnectionClosed: If the connection ended, or was closed for want of a user. A handler may
            leave it alone: that is how handlers usually end.
    """
    try:
        async with asyncio.timeout(timeout):
            message: Data = await ws.recv()
            try:
                user = await user_of(verify(message))
            except InvalidTicket:
                user = None
    except TimeoutError:
        return await _turn_away(ws, TOO_LATE, "nobody said who it is in time")
    if user is None:
        return await _turn_away(ws, close_code, "unauthenticated")
    return user


async def _turn_away(ws: Connection, code: int, reason: str) -> None:
    await ws.close(code, reason)
    raise ws.protocol.close_exc
