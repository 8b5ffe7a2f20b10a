"""One HTTP request in ASGI's events.

Invariants: ``http.response.start`` comes first and once, ``http.response.body`` until one without
``more_body``; whatever else is sent raises :exc:`~duologue.exceptions.ASGIError`, and anything for
a client that is gone :exc:`~duologue.exceptions.ClientDisconnected`. The head goes out with the
first part of the body, so that short answers have a ``Content-Length`` and are one write.

Source: ASGI HTTP message format 2.5.
"""

from __future__ import annotations

import asyncio

from duologue.asgi.scope import Event, text_headers
from duologue.base.exceptions import ASGIError, ClientDisconnected
from duologue.server.exchanges import HTTPExchange, phrase
from duologue.wire.headers import Headers
from duologue.wire.http11 import Response


class HTTPConversation:
    """``receive`` and ``send`` of one request.

    Args:
        exchange: the request.
    """

    def __init__(self, exchange: HTTPExchange) -> None:
        self._exchange = exchange
        self._body_read = False
        # With http.response.start, until the first http.response.body.
        self._head: tuple[int, Headers] | None = None
        self._begun = False
        self._complete = False
        self._over: asyncio.Future[None] | None = None

    @property
    def client_gone(self) -> bool:
        """Whether there is nobody to send to."""
        return self._exchange.disconnected.done()

    async def receive(self) -> Event:
        """Give the next part of the body; then wait for the client's end, or the answer's."""
        if not self._body_read and not self._complete:
            try:
                part = await self._exchange.read()
            except ClientDisconnected:
                self._body_read = True
                return {"type": "http.disconnect"}
            self._body_read = not part
            return {"type": "http.request", "body": part, "more_body": bool(part)}
        if not self._complete:
            await self._until_over()
        return {"type": "http.disconnect"}

    async def _until_over(self) -> None:
        if self._over is None:
            self._over = asyncio.get_running_loop().create_future()
        waiting = {self._over, self._exchange.disconnected}
        await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)

    async def send(self, event: Event) -> None:
        """Take an event of the answer; waits while the client takes no more."""
        kind = event["type"]
        if self._complete or kind not in _EXPECTED[self._head is not None or self._begun]:
            self._refuse(kind)
        if kind == "http.response.start":
            self._head = int(event["status"]), text_headers(event.get("headers", ()))
            return
        body, more = bytes(event.get("body", b"")), bool(event.get("more_body", False))
        try:
            await self._send_body(body, more)
        finally:
            if not more:
                self._complete = True
                if self._over is not None and not self._over.done():
                    self._over.set_result(None)

    async def _send_body(self, body: bytes, more: bool) -> None:
        if self._head is not None:
            (status, headers), self._head = self._head, None
            # Framing is the server's (as the specification has it).
            if "Transfer-Encoding" in headers:
                del headers["Transfer-Encoding"]
            if not more:
                await self._exchange.respond(Response(status, phrase(status), headers, body))
                return
            await self._exchange.begin(status, headers)
            self._begun = True
        await self._exchange.write(body)
        if not more:
            await self._exchange.finish()

    def _refuse(self, kind: str) -> None:
        if self.client_gone:
            raise ClientDisconnected("the client is gone")
        if self._complete:
            raise ASGIError(f"{kind!r} was sent after the answer was complete")
        expected = _EXPECTED[self._head is not None or self._begun]
        raise ASGIError(f"{kind!r} was sent where {expected[0]!r} was expected")

    def check_end(self) -> None:
        """Judge the application's return.

        Raises:
            ASGIError: If the answer isn't whole, and somebody still waits for it.
        """
        if self._complete or self.client_gone:
            return
        missing = _EXPECTED[self._head is not None or self._begun][0]
        raise ASGIError(f"the application returned without sending the last {missing!r}")


_EXPECTED = {False: ("http.response.start",), True: ("http.response.body",)}
