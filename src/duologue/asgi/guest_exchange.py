"""One request of another ASGI server, as an exchange of ours.

What it must never know: what answers it, and which server it is.

Invariants: ``receive`` is awaited by one at a time: who reads the body, the watch for the peer's
end, or the connection's transport; a connection is closed before the application returns, since
the server around us takes that for its end.

Source: ASGI HTTP and WebSocket message formats 2.5.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import Any, NoReturn
from urllib.parse import quote

from duologue.asgi.guest_transport import GuestTransport
from duologue.asgi.scope import Event, Receive, Scope, Send, raw_headers
from duologue.base.exceptions import (
    ASGIError,
    BodyTooLarge,
    ClientDisconnected,
    ConcurrencyError,
    InvalidUpgrade,
)
from duologue.base.types import DataLike, LoggerLike, StatusLike, Subprotocol
from duologue.connection.connection import Callbacks
from duologue.connection.endpoint import Endpoint
from duologue.connection.settings import Settings
from duologue.net.asyncio_link import AsyncioLink
from duologue.protocol.handshake import Origins, check_origin
from duologue.server.connection import ServerConnection
from duologue.server.exchanges import (
    Address,
    RequestHandler,
    check_offered,
    own_headers,
    phrase,
)
from duologue.server.handling import HandledExchange
from duologue.server.serving import Server
from duologue.server.terms import ConnectionOptions
from duologue.wire.headers import Headers, HeadersLike
from duologue.wire.http11 import Request, Response

_SCHEMES = {"ws": "http", "wss": "https"}
# About the connection to the peer, which is not ours (RFC 9110 section 7.6.1).
_HOP_BY_HOP = ("Connection", "Keep-Alive", "Transfer-Encoding", "Upgrade")
_NO_PING = "ASGI has no pings; the server around this application keeps connections alive"


class GuestConnection(ServerConnection):
    """A connection that another ASGI server carries."""

    async def ping(self, data: DataLike | None = None) -> NoReturn:
        """Not possible.

        Raises:
            NotImplementedError: Always.
        """
        raise NotImplementedError(_NO_PING)

    def send_ping(self, data: bytes | None = None) -> NoReturn:
        """Not possible.

        Raises:
            NotImplementedError: Always.
        """
        raise NotImplementedError(_NO_PING)

    async def pong(self, data: DataLike = b"") -> NoReturn:
        """Not possible.

        Raises:
            NotImplementedError: Always.
        """
        raise NotImplementedError(_NO_PING)


class GuestExchange(HandledExchange):
    """A request that came as scope, receive and send."""

    def __init__(
        self,
        handler: RequestHandler,
        server: Server,
        terms: ConnectionOptions,
        scope: Scope,
        receive: Receive,
        send: Send,
        max_body: int | None,
        logger: LoggerLike,
    ) -> None:
        super().__init__(handler, server, terms, logger)
        self.request = make_request(scope)
        self.asks_upgrade = scope["type"] == "websocket"
        scheme = scope.get("scheme") or ("ws" if self.asks_upgrade else "http")
        self.scheme = _SCHEMES.get(scheme, scheme)
        self.http_version = scope.get("http_version", "1.1")
        self.client = _address(scope.get("client"))
        self.server = _address(scope.get("server"))
        self.max_body = max_body
        self.root_path = (scope.get("root_path") or "").rstrip("/")
        self.scope = scope
        self._receive, self._send = receive, send
        self._body_read = self.asks_upgrade
        self._body_size = 0
        self._reading = False
        self._missing: int | None = None
        self._silent = False
        self._aborted = False
        self._disconnected: asyncio.Future[None] | None = None
        self._watch: asyncio.Task[None] | None = None

    async def run(self) -> None:
        """Answer the request, to its end.

        Raises:
            ASGIError: If an answer had begun that cannot be ended: the server is to cut it off.
        """
        try:
            if self.asks_upgrade:
                event = await self._receive()
                if event["type"] != "websocket.connect":
                    raise ASGIError(f"'websocket.connect' was expected, not {event['type']!r}")
            await self.handle()
            if self._connection is not None:
                await self._connection.until_closed()
        finally:
            if self._watch is not None:
                self._watch.cancel()
        if self._aborted:
            raise ASGIError("the answer could not be ended; see the log")

    def abort(self) -> None:
        """Have :meth:`run` raise, which is all that an application can do."""
        self._aborted = True

    # -- the peer's end

    @property
    def disconnected(self) -> asyncio.Future[None]:  # type: ignore[override]
        """See :attr:`HTTPExchange.disconnected`; being asked for it, it is watched for."""
        if self._disconnected is None:
            self._disconnected = asyncio.get_running_loop().create_future()
            if self._gone:
                self._disconnected.set_result(None)
        self._watch_if_possible()
        return self._disconnected

    def _watch_if_possible(self) -> None:
        wanted = self._disconnected is not None and not self._gone and self._watch is None
        if wanted and self._body_read and not self._reading and self._connection is None:
            self._watch = asyncio.ensure_future(self._until_disconnected())

    async def _until_disconnected(self) -> None:
        while not (await self._receive())["type"].endswith(".disconnect"):
            pass
        self._lost()

    def _lost(self) -> None:
        self._gone = True
        if self._disconnected is not None and not self._disconnected.done():
            self._disconnected.set_result(None)

    # -- reading

    async def read(self) -> bytes:
        """See :meth:`HTTPExchange.read`."""
        if self._reading:
            raise ConcurrencyError("another task reads the body of this request already")
        self._reading = True
        try:
            while not self._body_read:
                part = await self._read_part()
                if part:
                    return part
        finally:
            self._reading = False
        self._watch_if_possible()
        if self._gone:
            raise ClientDisconnected("the client is gone")
        return b""

    async def _read_part(self) -> bytes:
        event = await self._receive()
        if event["type"] == "http.disconnect":
            self._body_read = True
            self._lost()
            raise ClientDisconnected("the client is gone before the request's end")
        self._body_read = not event.get("more_body", False)
        part = bytes(event.get("body", b""))
        self._body_size += len(part)
        if self.max_body is not None and self._body_size > self.max_body:
            raise BodyTooLarge(
                f"HTTP body of {self._body_size} bytes or more exceeds the limit of "
                f"{self.max_body} bytes (setting: max_body)"
            )
        return part

    # -- answering

    async def respond(self, response: Response) -> None:
        """See :meth:`HTTPExchange.respond`."""
        body = bytes(response.body)
        headers = response.headers.copy()
        if "Content-Length" not in headers and response.status_code not in (204, 304):
            headers["Content-Length"] = str(len(body))
        await self.begin(response.status_code, headers, response.reason_phrase)
        if self._refused():
            return
        # Announced lengths are judged as for answers in parts.
        self._count(body)
        await self._end_with(b"" if self._silent else body)

    async def begin(
        self, status: StatusLike, headers: HeadersLike, reason: str | None = None
    ) -> None:
        """See :meth:`HTTPExchange.begin`; the server chooses framing and phrase."""
        self._expect_no_answer()
        status = int(status)
        if not 200 <= status < 600:
            raise ValueError(f"status {status} doesn't answer a request; it must be 200-599")
        fields = own_headers(headers)
        for name in _HOP_BY_HOP:
            if name in fields:
                del fields[name]
        length = fields.get("Content-Length")
        self._silent = self.request.method == "HEAD" or status in (204, 304)
        self._missing = None if length is None or self._silent else int(length)
        self._answered = True
        if self.asks_upgrade and "websocket.http.response" not in (
            self.scope.get("extensions") or {}
        ):
            # All that is left is the server's 403.
            self._silent, self._missing, self._finished = True, None, True
            await self._give({"type": "websocket.close"})
            return
        await self._give(
            {"type": self._kind("start"), "status": status, "headers": raw_headers(fields)}
        )

    async def write(self, octets: bytes) -> None:
        """See :meth:`HTTPExchange.write`."""
        if self._refused():
            return
        self._expect_begun()
        if self._silent or not octets:
            return
        self._count(octets)
        await self._give({"type": self._kind("body"), "body": bytes(octets), "more_body": True})

    async def finish(self) -> None:
        """See :meth:`HTTPExchange.finish`."""
        if self._refused():
            return
        self._expect_begun()
        await self._end_with(b"")

    def _count(self, octets: bytes) -> None:
        if self._missing is None:
            return
        if len(octets) > self._missing:
            excess = len(octets) - self._missing
            raise ValueError(f"the body is {excess} bytes longer than its Content-Length")
        self._missing -= len(octets)

    async def _end_with(self, octets: bytes) -> None:
        if self._missing:
            raise ValueError(f"the body is {self._missing} bytes shorter than its Content-Length")
        self._finished = True
        await self._give({"type": self._kind("body"), "body": octets, "more_body": False})

    def _refused(self) -> bool:
        """Whether the answer is a plain 403, whose body nobody can send."""
        return self.asks_upgrade and self._finished and self._silent

    def _kind(self, part: str) -> str:
        return f"{'websocket.' if self.asks_upgrade else ''}http.response.{part}"

    async def _give(self, event: Event) -> None:
        try:
            await self._send(event)
        except OSError as exc:
            self._lost()
            raise ClientDisconnected("the client is gone before the answer's end") from exc

    # -- WebSocket

    async def accept(
        self,
        subprotocol: Subprotocol | str | None = None,
        headers: HeadersLike = (),
        user_data: Any = None,
        *,
        endpoint: Endpoint | Callbacks | None = None,
        origins: Origins | None = None,
        terms: ConnectionOptions | None = None,
        prepare: Callable[[ServerConnection], None] | None = None,
        gone: Callable[[], None] | None = None,
        **options: Any,
    ) -> ServerConnection:
        """See :meth:`HTTPExchange.accept`; compression and pings are the server's."""
        self._expect_no_answer()
        if not self.asks_upgrade:
            raise InvalidUpgrade("Upgrade")
        terms = self._choose_terms(terms, options)
        offered = self.scope.get("subprotocols") or ()
        chosen = check_offered(subprotocol, offered)
        origin = check_origin(self.request.headers, origins)
        fields = own_headers(headers)
        self._answered = self._finished = True
        if self._watch is not None:
            # From now on the connection's transport receives.
            self._watch.cancel()
            await asyncio.wait({self._watch})
        accept: Event = {"type": "websocket.accept", "headers": raw_headers(fields)}
        accept["subprotocol"] = chosen
        await self._give(accept)
        connection = GuestConnection(_without_pings(terms.settings), self._server)
        connection.request = self.request
        connection.response = Response(101, phrase(101), fields)
        connection.subprotocol = chosen
        connection.origin = origin
        if user_data is not None:
            connection.user_data = user_data
        if gone is not None:
            connection.gone = gone
        if prepare is not None:
            prepare(connection)
        self._open(connection, endpoint)
        return connection

    def _open(self, connection: ServerConnection, endpoint: Endpoint | Callbacks | None) -> None:
        self._connection = connection
        self._endpoint = endpoint is not None
        if isinstance(endpoint, Endpoint):
            endpoint = Callbacks(endpoint, Endpoint)
        task = None if endpoint is not None else asyncio.current_task()
        reception = self._server.reception
        link = AsyncioLink(lambda link: reception.adopt(connection, link, b"", endpoint, task))
        link.connection_made(GuestTransport(self.scope, self._receive, self._send, link))


def make_request(scope: Scope) -> Request:
    """Build the head that a scope tells of; ``root_path`` is not part of the path."""
    root = (scope.get("root_path") or "").rstrip("/")
    raw = scope.get("raw_path")
    path = quote(scope["path"]) if raw is None else bytes(raw).decode("latin-1")
    for prefix in (root, quote(root)):
        if prefix and f"{path}/".startswith(f"{prefix}/"):
            path = path[len(prefix) :]
            break
    query = bytes(scope.get("query_string") or b"").decode("latin-1")
    target = (path or "/") + (f"?{query}" if query else "")
    headers = Headers(
        [
            (bytes(name).decode("latin-1"), bytes(value).decode("latin-1"))
            for name, value in scope["headers"]
        ]
    )
    version = scope.get("http_version", "1.1")
    return Request(target, headers, scope.get("method", "GET"), f"HTTP/{version}")


def _address(address: Any) -> Address | None:
    if address is None:
        return None
    host, port = address[0], address[1]
    # Some servers give it as text.
    return str(host), None if port is None else int(port)


_settings: dict[int, tuple[Settings, Settings]] = {}


def _without_pings(settings: Settings) -> Settings:
    """Return the same settings without keepalive, the same object each time."""
    found = _settings.get(id(settings))
    if found is None or found[0] is not settings:
        found = _settings[id(settings)] = (settings, replace(settings, ping_interval=None))
    return found[1]
