"""A client for an :class:`~duologue.App` in memory: its lifespan, its rules, HTTP and WebSockets.

What this module is: ``App.serving()`` on a simulated network, and a way to it. What it must never
know: how requests are answered; everything goes through the application's front door, as octets.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Iterable, Mapping
from typing import Any
from urllib.parse import urlencode

from duologue.app.application import App
from duologue.net.asyncio_link import AsyncioLink
from duologue.wire.http11 import Response, ResponseParser

from .loop import SimulatedLoop
from .network import SimulatedNetwork
from .pair import Connecting

__all__ = ["AppClient", "Answer", "client"]

HOST = "testserver"
Fields = Mapping[str, str] | Iterable[tuple[str, str]]


class Answer:
    """What an application has answered over HTTP.

    Attributes:
        status: status code.
        headers: header fields, whose names have no case.
        body: octets.
    """

    def __init__(self, response: Response) -> None:
        self.status: int = response.status_code
        self.headers = response.headers
        self.body = bytes(response.body or b"")

    def __repr__(self) -> str:
        return f"<Answer {self.status}, {len(self.body)} octets>"

    @property
    def text(self) -> str:
        """The body as UTF-8."""
        return self.body.decode()

    def json(self) -> Any:
        """The body read as JSON."""
        return json.loads(self.body)


class AppClient:
    """Talks to one application; :func:`client` makes it.

    Attributes:
        app: the application.
        network: what lies between; turn its links to make trouble.
        host: the application's name there.
    """

    def __init__(self, app: App, network: SimulatedNetwork, host: str) -> None:
        self.app = app
        self.network = network
        self.host = host
        self._connections: list[Any] = []

    async def connect(self, path: str = "/", **options: Any) -> Any:
        """Open a WebSocket connection; the client closes it in the end if the test has not.

        Args:
            path: with its query.
            **options: of :func:`~duologue.connect`: ``origin``, ``subprotocols``,
                ``additional_headers``, ...

        Returns:
            A :class:`~duologue.ClientConnection`.

        Raises:
            InvalidStatus: If the application refuses; ``exc.response`` is its answer.
        """
        connection = await Connecting(self.network, f"ws://{self.host}{path}", **options)
        self._connections.append(connection)
        return connection

    async def request(
        self,
        method: str,
        path: str,
        *,
        headers: Fields = (),
        body: bytes | str = b"",
        json: Any = ...,
        params: Mapping[str, str] | None = None,
    ) -> Answer:
        """Ask something over plain HTTP, on a connection of its own.

        Args:
            method: such as ``"GET"``.
            path: with its query.
            headers: more header fields; ``Host`` is set unless it is among them.
            body: octets, or text that is sent as UTF-8.
            json: a value sent as JSON instead.
            params: added to the query.

        Raises:
            EOFError: If the application ends the connection without an answer.
        """
        if params:
            path += ("&" if "?" in path else "?") + urlencode(params)
        octets = _request(method, path, self.host, headers, body, json)
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[Answer] = loop.create_future()
        exchange = _Exchange(octets, method == "HEAD", answer)
        transport, _ = await self.network.create_connection(lambda: exchange, self.host, 80)
        try:
            return await answer
        finally:
            transport.abort()

    async def get(self, path: str, **options: Any) -> Answer:
        """Ask with GET; see :meth:`request`."""
        return await self.request("GET", path, **options)

    async def post(self, path: str, **options: Any) -> Answer:
        """Ask with POST; see :meth:`request`."""
        return await self.request("POST", path, **options)

    async def put(self, path: str, **options: Any) -> Answer:
        """Ask with PUT; see :meth:`request`."""
        return await self.request("PUT", path, **options)

    async def delete(self, path: str, **options: Any) -> Answer:
        """Ask with DELETE; see :meth:`request`."""
        return await self.request("DELETE", path, **options)

    def leave_open(self) -> None:
        """Leave the connections that there are to the test, to see how the application ends."""
        self._connections.clear()

    async def close(self) -> None:
        """Close all WebSocket connections that are left."""
        connections, self._connections = self._connections, []
        for connection in connections:
            await connection.close()


class _Exchange(asyncio.Protocol):
    """One request and its answer."""

    def __init__(self, octets: bytes, head_only: bool, answer: asyncio.Future[Answer]) -> None:
        self._octets = octets
        self._parser = ResponseParser(max_body=None, head_only=head_only)
        self._answer = answer

    def connection_made(self, transport: Any) -> None:
        transport.write(self._octets)

    def data_received(self, data: bytes) -> None:
        self._take(lambda: self._parser.feed(data))

    def eof_received(self) -> None:
        self._take(self._parser.feed_eof)

    def connection_lost(self, exc: Exception | None) -> None:
        if not self._answer.done():
            self._answer.set_exception(exc or EOFError("the connection ended without an answer"))

    def _take(self, parse: Any) -> None:
        if self._answer.done():
            return
        try:
            response = parse()
        except Exception as exc:
            self._answer.set_exception(exc)
            return
        if response is not None:
            self._answer.set_result(Answer(response))


def _request(
    method: str, path: str, host: str, headers: Fields, body: bytes | str, value: Any
) -> bytes:
    fields = list(headers.items() if isinstance(headers, Mapping) else headers)
    names = {name.lower() for name, _ in fields}
    octets = body.encode() if isinstance(body, str) else body
    if value is not ...:
        octets = json.dumps(value).encode()
        if "content-type" not in names:
            fields.append(("Content-Type", "application/json"))
    if "host" not in names:
        fields.insert(0, ("Host", host))
    if "content-length" not in names and (octets or method in ("POST", "PUT", "PATCH")):
        fields.append(("Content-Length", str(len(octets))))
    lines = [f"{method} {path} HTTP/1.1", *(f"{name}: {text}" for name, text in fields), "", ""]
    return "\r\n".join(lines).encode("latin-1") + octets


@contextlib.asynccontextmanager
async def client(
    app: App, *, network: SimulatedNetwork | None = None, host: str = HOST, **options: Any
) -> AsyncIterator[AppClient]:
    """Run an application in memory, and give a client of it.

    ::

        async with testing.client(app) as c:
            ws = await c.connect("/room/lobby")
            await ws.send("hello")
            assert await ws.recv() == "hello"
            assert (await c.get("/health")).status == 200

    Its lifespan is entered first, and left in the end; no port is opened. Works on any event loop.

    Args:
        app: the application.
        network: what lies between; by default the one of a running :class:`SimulatedLoop`, else a
            fresh one without delay. On a loop with a real clock its delays are real.
        host: the application's name there, and in ``Host``.
        **options: of :meth:`~duologue.App.serving` that are not about where and TLS.

    Raises:
        TypeError: If an option isn't known.
    """
    if network is None:
        loop = asyncio.get_running_loop()
        own = loop.network if isinstance(loop, SimulatedLoop) else None
        network = own if isinstance(own, SimulatedNetwork) else SimulatedNetwork()
    joined = network

    async def listen(opened: Any) -> Any:
        return await joined.create_server(lambda: AsyncioLink(opened), host, 80)

    async with app.serving(listen=listen, **options):
        made = AppClient(app, network, host)
        try:
            yield made
        finally:
            await made.close()
