"""A request for a WebSocket that the application itself accepts or rejects, at once or later.

:class:`UpgradeRequest` is what ``on_request=`` of a route gets: the words are WebSocket-Node's,
``accept()`` and ``reject()``. It must never know routes; how a connection is opened for the route
is a function that it is given.

Invariants: a request is decided once; a decision that doesn't come within its time is a 503; no
octet of an answer is sent before the decision.

Sources: RFC 6455 sections 4.2.2 and 7.4.2.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import Awaitable, Callable
from types import EllipsisType
from typing import TYPE_CHECKING, Any

from duologue.app.errors import HTTPError
from duologue.app.guard.auth import Denied, user_of
from duologue.app.request import Request
from duologue.base.exceptions import ClientDisconnected, InvalidState
from duologue.base.types import StatusLike, Subprotocol
from duologue.base.vocabulary import is_wire_close_code
from duologue.protocol.handshake import offered_subprotocols
from duologue.server.connection import ServerConnection
from duologue.wire.headers import Headers, HeadersLike
from duologue.wire.response import Response

if TYPE_CHECKING:
    from duologue.app.application import App
    from duologue.server.exchanges import HTTPExchange

Open = Callable[[str | EllipsisType | None, HeadersLike, Any], Awaitable[ServerConnection]]
OnRequest = Callable[["UpgradeRequest"], Awaitable[None] | None]
Authenticator = Callable[["UpgradeRequest"], Any]

REASON_HEADER = "X-WebSocket-Reject-Reason"
DECISION_TIMEOUT = 10.0

_line_breaks = re.compile(r"[\r\n]+")


class UpgradeRequest(Request):
    """A handshake that waits for a decision.

    ::

        async def on_request(request):
            if request.origin not in known:
                await request.reject(403, "unknown origin")
            else:
                await request.accept("chat.v1", user_data=request.cookies.get("session"))

        @app.websocket("/chat", on_request=on_request)
        async def chat(ws): ...

    Args:
        exchange: the request and the way to its answer.
        app: the application that it came to.
        open: accepts with subprotocol, headers and user data, as the route has it; ``...`` for the
            subprotocol that the route chose.
        timeout: seconds for the decision, ``None`` for any time.

    Attributes:
        connection: the connection, once accepted.
        user: whom ``auth=`` found; ``user_data`` of the connection unless ``accept()`` says else.
        ticket_protocol: an offered subprotocol that is a ticket, and no real one.
    """

    __slots__ = (
        "_decided", "_deferred", "_open", "connection", "ticket_protocol", "timeout", "user",
    )  # fmt: skip

    def __init__(
        self, exchange: HTTPExchange, app: App, open: Open, timeout: float | None = DECISION_TIMEOUT
    ) -> None:
        super().__init__(exchange, app)
        self.connection: ServerConnection | None = None
        self.user: Any = None
        self.ticket_protocol: str | None = None
        self.timeout = timeout
        self._open = open
        self._deferred = False
        self._decided: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    # -- facts

    @property
    def decided(self) -> bool:
        """Whether the request was accepted or rejected."""
        return self._decided.done()

    @property
    def answered(self) -> bool:
        """Whether the request was rejected."""
        return self.decided and self.connection is None

    @property
    def origin(self) -> str | None:
        """The page that connects, ``None`` for what is no browser."""
        return next(iter(self.headers.get_all("Origin")), None)

    @property
    def subprotocols(self) -> list[Subprotocol]:
        """Subprotocols that the client offers, in its order, without a ticket among them."""
        return [each for each in offered_subprotocols(self.headers) if each != self.ticket_protocol]

    # -- deciding

    async def accept(
        self,
        subprotocol: str | EllipsisType | None = ...,
        headers: HeadersLike | None = None,
        user_data: Any = ...,
    ) -> ServerConnection:
        """Answer with 101.

        Args:
            subprotocol: one of those that the client offers, in any case; by default (``...``) the
                one that the route chose, ``None`` for none.
            headers: more header fields of the 101, such as ``Set-Cookie``.
            user_data: becomes ``ws.user_data``; by default the user that ``auth=`` found.

        Returns:
            The open connection; the route's handler gets it too.

        Raises:
            InvalidState: If the request is decided.
            ValueError: If the client didn't offer ``subprotocol``; the request is answered with
                500.
            ClientDisconnected: If the client is gone.
        """
        self._decide()
        chosen = await self._chosen(subprotocol)
        user = self.user if user_data is ... else user_data
        self.connection = await self._open(chosen, headers or (), user)
        return self.connection

    async def reject(
        self,
        status: StatusLike = 403,
        reason: str | None = None,
        headers: HeadersLike | None = None,
        body: str | bytes | None = None,
        *,
        close_code: int | None = None,
    ) -> None:
        """Refuse the request.

        Browsers don't tell scripts the status of a handshake that failed: every refusal looks like
        a lost connection (1006). With ``close_code`` the handshake is accepted and the connection
        closed at once with that code, which scripts do see. Any data that comes is discarded.

        Args:
            status: status code, from 300 to 599.
            reason: short text, sent as ``X-WebSocket-Reject-Reason`` without line breaks; with
                ``close_code`` the close reason, cut to 123 octets.
            headers: more header fields.
            body: by default the reason, as plain text.
            close_code: from 4000 to 4999 for an application's own codes (4401 and 4403 are usual),
                or any other that may be sent.

        Raises:
            InvalidState: If the request is decided.
            ValueError: If the status or the code can't be sent.
            ClientDisconnected: If the client is gone.
        """
        if not 300 <= int(status) <= 599:
            raise ValueError(f"a refusal's status is from 300 to 599, not {int(status)}")
        if close_code is not None and not is_wire_close_code(close_code):
            raise ValueError(f"{close_code} can't be sent as a close code")
        line = None if reason is None else _line_breaks.sub(" ", reason)
        response = Response(f"{line}\n" if body is None and line else body or b"", status, headers)
        if line is not None:
            response.headers[REASON_HEADER] = line.encode("ascii", "replace").decode()
        self._decide()
        if close_code is None:
            response.headers["Connection"] = "close"
            await self.exchange.respond(response)
        else:
            await self._close(close_code, line or "", headers or ())

    async def deny(self, error: HTTPError) -> None:
        """Refuse the request as an error says, such as that of an authenticator."""
        self._decide()
        error.response.headers["Connection"] = "close"
        if isinstance(error, Denied) and error.close_code is not None:
            await self._close(error.close_code, error.close_reason, ())
        else:
            await self.exchange.respond(error.response)

    def defer(self, timeout: float | EllipsisType | None = ...) -> None:
        """Leave the decision to somebody else, who calls :meth:`accept` or :meth:`reject` later.

        Args:
            timeout: seconds after which the answer is 503, ``None`` for any time; by default the
                route's ``open_timeout``.
        """
        self._deferred = True
        if not isinstance(timeout, EllipsisType):
            self.timeout = timeout

    async def run(
        self, on_request: OnRequest | None = None, auth: Authenticator | None = None
    ) -> None:
        """Have the request decided.

        Who neither accepts nor rejects nor defers lets the request pass: it is accepted as the
        route has it. Afterwards :attr:`connection` is there, or the request is answered.

        Args:
            on_request: function or coroutine function; what it raises is raised, an
                :exc:`HTTPError` answered.
            auth: asked before; function or coroutine function from the request to the user.
                ``None`` and ``False`` are nobody, who gets 401.
        """
        try:
            async with asyncio.timeout(self.timeout) as time_left:
                if auth is not None:
                    self.user = await user_of(auth(self))
                    if self.user is None:
                        raise Denied
                outcome = None if on_request is None else on_request(self)
                if outcome is not None:
                    await outcome
        except HTTPError as error:
            if self.decided:
                raise
            await self.deny(error)
        except TimeoutError:
            if self.decided or not time_left.expired():
                raise
            await self._give_up()
        if self._deferred and not self.decided:
            await self._wait()
        if not self.decided:
            await self.accept()

    # -- inside

    def _decide(self) -> None:
        if self.decided:
            raise InvalidState("the request was accepted or rejected already")
        self._decided.set_result(None)

    async def _chosen(self, subprotocol: str | EllipsisType | None) -> str | EllipsisType | None:
        if subprotocol is ... or subprotocol is None:
            # A browser that offers only its ticket would not open without an answer to it.
            lone_ticket = self.ticket_protocol is not None and not self.subprotocols
            return self.ticket_protocol if lone_ticket else subprotocol
        assert isinstance(subprotocol, str)
        for offered in offered_subprotocols(self.headers):
            if offered.lower() == subprotocol.lower():
                return offered
        await self.exchange.respond(Response.text("Internal Server Error\n", 500))
        names = ", ".join(self.subprotocols) or "none"
        raise ValueError(f"the client didn't offer {subprotocol!r}; it offered {names}")

    async def _close(self, code: int, reason: str, headers: HeadersLike) -> None:
        # Browsers fail a handshake that answers none of the subprotocols they offer.
        offered = offered_subprotocols(self.headers)
        ws = await self.exchange.accept(offered[0] if offered else None, Headers(headers))
        await ws.close(code, reason.encode()[:123].decode("utf-8", "ignore"))

    async def _give_up(self) -> None:
        self.app.logger.error(
            "nobody accepted or rejected a request for %s within %s seconds: answered with 503; "
            "to allow more time, raise open_timeout or call defer(timeout)",
            self.raw_path,
            self.timeout,
        )
        with contextlib.suppress(ClientDisconnected):
            await self.reject(503)

    async def _wait(self) -> None:
        """Wait for a deferred decision, for the end of its time, or for the client to go."""
        waiters = {self._decided, self.exchange.disconnected}
        await asyncio.wait(waiters, timeout=self.timeout, return_when=asyncio.FIRST_COMPLETED)
        if self.decided:
            return
        if self.exchange.disconnected.done():
            self._decided.set_result(None)
            raise ClientDisconnected("the client is gone before its request was decided")
        await self._give_up()
