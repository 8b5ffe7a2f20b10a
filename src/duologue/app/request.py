"""``Request``: what an application sees of an HTTP request.

It reads from an :class:`~duologue.server.exchanges.HTTPExchange`; it must never answer one.
Everything that takes time to find out is found out when it is asked for.

Source: RFC 9110 section 7.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, unquote, urlsplit

from duologue.app.errors import HTTPError
from duologue.server.fields import Client, Fields, read_cookies
from duologue.wire.headers import Headers

if TYPE_CHECKING:
    from duologue.app.application import App
    from duologue.server.exchanges import HTTPExchange

__all__ = ["Request"]

FORM = "application/x-www-form-urlencoded"
MULTIPART = "multipart/form-data"


class Request:
    """A request, handed to handlers of HTTP routes.

    Args:
        exchange: the request and the way to its answer.
        app: the application that it came to.

    Attributes:
        app: the application that serves it; its ``state`` lives as long as it does.
        forwarded: whether a trusted proxy has told who the client is.
        path_params: what the route's parameters have become.
        host: value of ``Host``, or what a trusted proxy says it was; ``""`` without one.
    """

    __slots__ = (
        "_body", "_cookies", "_query", "_state", "_target", "app", "exchange", "forwarded",
        "host", "path_params",
    )  # fmt: skip

    def __init__(self, exchange: HTTPExchange, app: App) -> None:
        self.exchange = exchange
        self.app = app
        self.forwarded = False
        self.path_params: Mapping[str, Any] = {}
        hosts = exchange.request.headers.get_all("Host")
        self.host = hosts[0] if len(hosts) == 1 else ""
        target = exchange.request.path
        self._target = target.partition("?") if target.startswith("/") else _split(target)
        self._body: bytes | None = None
        self._query: Fields | None = None
        self._cookies: dict[str, str] | None = None
        self._state: SimpleNamespace | None = None

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.method} {self.target}>"

    # -- the head

    @property
    def method(self) -> str:
        """The method, such as ``"GET"``."""
        return self.exchange.request.method

    @property
    def target(self) -> str:
        """The request target as it came, query included."""
        return self.exchange.request.path

    @property
    def raw_path(self) -> str:
        """The path as it came, percent-encoded, without query."""
        return self._target[0]

    @property
    def path(self) -> str:
        """The path, decoded; octets that aren't UTF-8 become U+FFFD."""
        return unquote(self._target[0])

    @property
    def query_string(self) -> str:
        """The query as it came, without question mark."""
        return self._target[2]

    @property
    def query_params(self) -> Fields:
        """The query's fields.

        Raises:
            HTTPError: 400 if there are more than 1000.
        """
        if self._query is None:
            self._query = _fields(self._target[2], "query")
        return self._query

    @property
    def headers(self) -> Headers:
        """The header fields."""
        return self.exchange.request.headers

    @property
    def cookies(self) -> Mapping[str, str]:
        """The cookies; of those with the same name the first, which has the longest path."""
        if self._cookies is None:
            self._cookies = read_cookies(self.headers)
        return self._cookies

    @property
    def client(self) -> Client | None:
        """Where the client is, as trusted proxies tell it; ``None`` if unknown."""
        client = self.exchange.client
        return None if client is None else Client(*client)

    @property
    def scheme(self) -> str:
        """``"http"`` or ``"https"``, as trusted proxies tell it."""
        return self.exchange.scheme

    @property
    def http_version(self) -> str:
        """``"1.1"`` or ``"1.0"``; ``"2"`` and others under other servers."""
        return self.exchange.http_version

    @property
    def asks_upgrade(self) -> bool:
        """Whether this is the opening handshake of a WebSocket."""
        return self.exchange.asks_upgrade

    @property
    def url(self) -> str:
        """The whole URL, as far as it is known."""
        target = self.target if self.target.startswith("/") else self.raw_path
        return f"{self.scheme}://{self.host}{quote(self.exchange.root_path)}{target}"

    @property
    def state(self) -> SimpleNamespace:
        """Whatever the application wants to keep with the request."""
        if self._state is None:
            self._state = SimpleNamespace()
        return self._state

    # -- the body

    async def stream(self) -> AsyncIterator[bytes]:
        """Read the body part by part; what isn't read yet stays with the peer.

        Raises:
            ClientDisconnected: If the peer goes before the end.
            BodyTooLarge: If the body passes ``max_body``; not caught, it is answered with 413.
        """
        while part := await self.exchange.read():
            yield part

    async def body(self) -> bytes:
        """Read the whole body; again gives the same.

        Raises:
            ClientDisconnected: If the peer goes before the end.
            BodyTooLarge: If the body passes ``max_body``; not caught, it is answered with 413.
        """
        if self._body is None:
            self._body = b"".join([part async for part in self.stream()])
        return self._body

    async def text(self) -> str:
        """Read the body as text in the charset of ``Content-Type``, by default UTF-8.

        Raises:
            HTTPError: 400 if it is none, 415 if the charset is unknown; and see :meth:`body`.
        """
        octets = await self.body()
        charset = self._charset()
        try:
            return octets.decode(charset)
        except LookupError:
            raise HTTPError(415, f"unknown charset: {charset}") from None
        except UnicodeDecodeError as exc:
            raise HTTPError(400, f"the body is not {charset}: {exc.reason}") from None

    async def json(self) -> Any:
        """Read the body as JSON, whatever its ``Content-Type`` says.

        Raises:
            HTTPError: 400 if it is none; and see :meth:`body`.
        """
        octets = await self.body()
        try:
            return json.loads(octets)
        except RecursionError:
            raise HTTPError(400, "the body is JSON of too many levels") from None
        except ValueError as exc:
            raise HTTPError(400, f"the body is not JSON: {exc}") from None

    async def form(self) -> Fields:
        """Read the body as a form of the default kind.

        Files (``multipart/form-data``) are for ASGI applications, see :meth:`App.mount`.

        Raises:
            HTTPError: 415 if it is of another kind, 400 if it is malformed; and see :meth:`body`.
        """
        kinds = self.headers.get_all("Content-Type")
        kind = kinds[0].partition(";")[0].strip().lower() if kinds else ""
        if kind == MULTIPART:
            self.app.logger.warning(
                "%s got a form of type %s, which an App doesn't read; mount an ASGI application "
                "there, such as Starlette, or have the page send %s",
                self.raw_path,
                MULTIPART,
                FORM,
            )
        if kind != FORM:
            raise HTTPError(415, f"a form of type {FORM} is expected here")
        return _fields(await self.text(), "form")

    def _charset(self) -> str:
        for kind in self.headers.get_all("Content-Type"):
            for parameter in kind.split(";")[1:]:
                name, _, value = parameter.partition("=")
                if name.strip().lower() == "charset":
                    return value.strip().strip('"') or "utf-8"
        return "utf-8"


def _split(target: str) -> tuple[str, str, str]:
    """Path and query of the absolute form, which servers must accept (RFC 9112 section 3.2.2)."""
    try:
        found = urlsplit(target)
    except ValueError:
        return target, "", ""
    return (found.path or "/") if found.netloc else target, "?", found.query


def _fields(text: str, what: str) -> Fields:
    try:
        return Fields.parse(text)
    except ValueError:
        raise HTTPError(400, f"the {what} has too many fields") from None
