"""``connect``: a WebSocket client on asyncio, with the names of ``websockets.asyncio.client``."""

from __future__ import annotations

import asyncio
import logging
import traceback
from collections.abc import AsyncIterator, Callable, Generator, Sequence
from types import TracebackType
from typing import Any

from duologue.base.exceptions import InvalidStatus, InvalidURI, SecurityError
from duologue.base.limits import DEFAULT_LIMITS, Limits
from duologue.base.types import LoggerLike, Origin, PathLike, Subprotocol
from duologue.base.vocabulary import Side
from duologue.client.connection import ClientConnection
from duologue.client.opening import Opening
from duologue.client.reconnect import STABLE_PERIOD, backoff
from duologue.client.reconnect import process_exception as default_process_exception
from duologue.connection.settings import MaxSizeOption, SecondsOption, Settings, choose
from duologue.net.asyncio_link import AsyncioLink
from duologue.net.dialling import dial_link
from duologue.net.engine import Engine, use_epoll
from duologue.net.link import Link
from duologue.protocol.handshake import build_request, generate_key
from duologue.wire.extension import ClientExtensionFactory
from duologue.wire.grammar import validate_subprotocols
from duologue.wire.headers import Headers, HeadersLike
from duologue.wire.http11 import USER_AGENT
from duologue.wire.permessage_deflate import enable_client_permessage_deflate
from duologue.wire.uri import WebSocketURI, parse_uri, parse_url

REDIRECTS = frozenset({300, 301, 302, 303, 307, 308})
CREDENTIALS = frozenset({"authorization", "cookie", "proxy-authorization"})


def _origin(uri: WebSocketURI) -> tuple[bool, str, int]:
    return uri.secure, uri.host, uri.port


def _without_credentials(headers: HeadersLike | None) -> HeadersLike | None:
    if headers is None:
        return None
    return Headers(
        [
            (name, value)
            for name, value in Headers(headers).raw_items()
            if name.lower() not in CREDENTIALS
        ]
    )


class connect:
    """Connect to the WebSocket server at ``uri``.

    Three ways to use it::

        async with connect(uri) as ws:      # closed when the block ends
            ...
        ws = await connect(uri)             # closed by you
        async for ws in connect(uri):       # connects again, for ever
            try:
                ...
            except ConnectionClosed:
                continue

    Iterating connects again when a connection ends or can't be made; failures that
    ``process_exception`` takes for lasting end it.

    Args:
        uri: ``ws://`` or ``wss://``.
        origin: value of the ``Origin`` header.
        extensions: extensions to offer, in order of preference.
        subprotocols: subprotocols to offer, in order of preference.
        compression: ``"deflate"`` to offer permessage-deflate, ``None`` not to.
        additional_headers: more headers of the request.
        user_agent_header: value of the ``User-Agent`` header, ``None`` for none.
        proxy: only ``None``: connections are made directly.
        process_exception: ``exc -> None`` to try again, or an exception to raise.
        open_timeout: seconds for everything until the connection is open, ``None`` for any time.
        ping_interval: seconds between keepalive pings, ``None`` for none.
        ping_timeout: seconds after a ping in which something must arrive; ``None`` for any time.
        close_timeout: seconds for the closing handshake, ``None`` for any time.
        reconnect_delays: makes the generator of seconds to wait before each new attempt; it is
            made anew when a connection was stable for 10 seconds.
        max_size: greatest message in octets; ``None`` for no limit, ``(message, fragment)`` for
            both. Larger ones close the connection with 1009.
        max_queue: messages waiting to be received at which reading pauses; ``(high, low)`` to say
            at which it resumes, ``None`` for no limit. Reading pauses at ``Limits.max_queue_bytes``
            too, unless this is ``None``.
        write_limit: octets waiting to be written above which ``send()`` waits; ``(high, low)``.
        logger: by default ``logging.getLogger("duologue.client")``.
        create_connection: subclass of :class:`ClientConnection`, or a function that makes one.
        limits: every bound: those that have no option of their own, and the defaults (``...``) of
            those that have; see :class:`Limits`.
        engine: what carries the connection: ``"epoll"`` (Linux) or ``"kqueue"`` (macOS, BSDs)
            for the engine's own sockets, ``"asyncio"`` for asyncio's transports; ``"auto"`` takes
            epoll where it can, else asyncio's.
        **kwargs: passed to :meth:`asyncio.loop.create_connection`: ``ssl``, ``server_hostname``,
            ``sock``, ``host`` and ``port`` (instead of those of ``uri``), ``local_addr``, ...

    Raises:
        InvalidURI: If ``uri`` isn't a WebSocket URI.
        ValueError: If an option has a value that it can't have.
        OSError: When awaited, if the TCP connection fails.
        InvalidHandshake: When awaited, if the opening handshake fails.
        TimeoutError: When awaited, if ``open_timeout`` passes.
    """

    def __init__(
        self,
        uri: str,
        *,
        origin: Origin | None = None,
        extensions: Sequence[ClientExtensionFactory] | None = None,
        subprotocols: Sequence[Subprotocol] | None = None,
        compression: str | None = "deflate",
        additional_headers: HeadersLike | None = None,
        user_agent_header: str | None = USER_AGENT,
        proxy: None = None,
        process_exception: Callable[[Exception], Exception | None] = default_process_exception,
        open_timeout: SecondsOption = ...,
        ping_interval: SecondsOption = ...,
        ping_timeout: SecondsOption = ...,
        close_timeout: SecondsOption = ...,
        reconnect_delays: Callable[[], Generator[float]] = backoff,
        max_size: MaxSizeOption = ...,
        max_queue: MaxSizeOption = ...,
        write_limit: MaxSizeOption = ...,
        logger: LoggerLike | None = None,
        create_connection: Callable[[Settings], ClientConnection] | None = None,
        limits: Limits = DEFAULT_LIMITS,
        engine: Engine = "auto",
        **kwargs: Any,
    ) -> None:
        self.uri = uri
        self.ws_uri = parse_uri(uri)
        if not self.ws_uri.secure and kwargs.get("ssl") is not None:
            raise ValueError("ssl argument is incompatible with a ws:// URI")
        if self.ws_uri.secure and kwargs.get("ssl", True) is None:
            raise ValueError("ssl=None is incompatible with a wss:// URI")
        if proxy is not None:
            raise ValueError("connect() makes direct connections only: proxy must be None")
        if subprotocols is not None:
            validate_subprotocols(subprotocols)
        if compression == "deflate":
            extensions = enable_client_permessage_deflate(
                extensions, threshold=limits.compress_threshold
            )
        elif compression is not None:
            raise ValueError(f"unsupported compression: {compression}")
        self.logger = logger or logging.getLogger("duologue.client")
        self.process_exception = process_exception
        self.open_timeout = choose(open_timeout, limits.open_timeout)
        self.reconnect_delays = reconnect_delays
        self._origin = origin
        self._extensions = extensions
        self._subprotocols = subprotocols
        self._additional_headers = additional_headers
        self._user_agent_header = user_agent_header
        self._create_connection = create_connection or ClientConnection
        self._limits = limits
        self._engine = engine
        self._kwargs = kwargs
        self._connection: ClientConnection | None = None
        self._settings = Settings.resolve(
            Side.CLIENT,
            limits,
            max_size=max_size,
            max_queue=max_queue,
            write_limit=write_limit,
            ping_interval=ping_interval,
            ping_timeout=ping_timeout,
            close_timeout=close_timeout,
            logger=self.logger,
        )

    async def _open(self) -> ClientConnection:
        """Open one connection, following redirects (at most ``Limits.max_redirects``)."""
        redirects = 0
        while True:
            try:
                return await self._open_directly()
            except InvalidStatus as exc:
                target = self.process_redirect(exc)
                if isinstance(target, Exception):
                    if target is exc:
                        raise
                    raise target from exc
                limit = self._limits.max_redirects
                if limit is not None and redirects >= limit:
                    raise SecurityError(f"more redirects than max_redirects of {limit}") from exc
                redirects += 1
                self.uri, self.ws_uri = target, parse_uri(target)

    def process_redirect(self, exc: Exception) -> Exception | str:
        """Judge whether a failure is a redirect to follow.

        A redirect never leads from ``wss`` to ``ws``; to another origin it goes without
        credentials (``Authorization``, ``Cookie``, ``Proxy-Authorization``).

        Args:
            exc: why the handshake failed.

        Returns:
            The URI to connect to instead, or the exception to raise.
        """
        if not isinstance(exc, InvalidStatus) or exc.response.status_code not in REDIRECTS:
            return exc
        location = exc.response.headers.get_all("Location")
        if len(location) != 1:
            return exc
        try:
            target = parse_url(location[0], self.uri).href
            ws_uri = parse_uri(target)
        except (InvalidURI, ValueError) as invalid:
            return invalid
        if self._kwargs.get("sock") is not None:
            return ValueError(f"cannot follow redirect to {target} with a preexisting socket")
        if self.ws_uri.secure and not ws_uri.secure:
            return SecurityError(f"cannot follow redirect to non-secure URI {target}")
        if _origin(ws_uri) != _origin(self.ws_uri):
            if self._kwargs.get("unix"):
                return ValueError(
                    f"cannot follow cross-origin redirect to {target} with a Unix socket"
                )
            if "host" in self._kwargs or "port" in self._kwargs:
                return ValueError(
                    f"cannot follow cross-origin redirect to {target} with an explicit host or port"
                )
            self._additional_headers = _without_credentials(self._additional_headers)
        return target

    async def _open_directly(self) -> ClientConnection:
        request = build_request(
            self.ws_uri,
            key=generate_key(),
            origin=self._origin,
            extensions=self._extensions,
            subprotocols=self._subprotocols,
            additional_headers=self._additional_headers,
            user_agent=self._user_agent_header,
        )
        connection = self._create_connection(self._settings)
        opening = Opening(connection, request, self._extensions, self._subprotocols, self._limits)
        link = await self._open_link(opening)
        try:
            await opening.done
        except BaseException:
            link.abort_link()
            raise
        return connection

    async def _open_link(self, opening: Opening) -> Link:
        loop = asyncio.get_running_loop()
        kwargs = self._kwargs.copy()
        if self.ws_uri.secure:
            kwargs.setdefault("ssl", True)
            kwargs.setdefault("server_hostname", self.ws_uri.host)
        if use_epoll(loop, self._engine):
            if kwargs.get("sock") is None and not kwargs.get("unix"):
                kwargs.setdefault("host", self.ws_uri.host)
                kwargs.setdefault("port", self.ws_uri.port)
            dialled = await dial_link(loop, **kwargs)
            opening.link_opened(dialled)
            dialled.begin()
            return dialled

        def factory() -> AsyncioLink:
            return AsyncioLink(opening.link_opened)

        if kwargs.pop("unix", False):
            _, link = await loop.create_unix_connection(factory, **kwargs)
            return link
        if kwargs.get("sock") is None:
            kwargs.setdefault("host", self.ws_uri.host)
            kwargs.setdefault("port", self.ws_uri.port)
        _, link = await loop.create_connection(factory, **kwargs)
        return link

    async def connect(self) -> ClientConnection:
        """Open one connection; what awaiting this object does."""
        try:
            async with asyncio.timeout(self.open_timeout):
                return await self._open()
        except TimeoutError as exc:
            if exc.errno is not None:
                raise
            raise TimeoutError(
                f"timed out during opening handshake: open_timeout of {self.open_timeout} s passed"
            ) from exc

    def __await__(self) -> Generator[Any, None, ClientConnection]:
        return self.connect().__await__()

    async def __aenter__(self) -> ClientConnection:
        if self._connection is not None:
            raise RuntimeError("connect() isn't reentrant")
        self._connection = await self
        await self._connection.__aenter__()
        return self._connection

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.__aexit__(exc_type, exc_value, traceback)

    async def __aiter__(self) -> AsyncIterator[ClientConnection]:
        loop = asyncio.get_running_loop()
        delays: Generator[float] | None = None
        while True:
            opened: float | None = None
            try:
                async with self as connection:
                    opened = loop.time()
                    yield connection
            except Exception as exc:
                await self._wait_after(exc, delays := delays or self.reconnect_delays())
            else:
                delays = None
            if opened is not None and loop.time() - opened >= STABLE_PERIOD:
                delays = None

    async def _wait_after(self, exc: Exception, delays: Generator[float]) -> None:
        """Wait before the next attempt, or raise if there should be none."""
        verdict = self.process_exception(exc)
        if verdict is exc:
            raise exc
        if verdict is not None:
            raise verdict from exc
        delay = next(delays)
        self.logger.info(
            "connect failed; reconnecting in %.1f seconds: %s",
            delay,
            traceback.format_exception_only(exc)[-1].strip(),
        )
        await asyncio.sleep(delay)


def unix_connect(path: PathLike | None = None, uri: str | None = None, **kwargs: Any) -> connect:
    """Connect to a WebSocket server on a Unix socket.

    Args:
        path: of the socket, in the file system.
        uri: for the request; by default ``ws://localhost/``, or ``wss://localhost/`` with ``ssl``.
        **kwargs: options of :class:`connect`.

    Returns:
        What :class:`connect` returns.
    """
    if uri is None:
        uri = "ws://localhost/" if kwargs.get("ssl") is None else "wss://localhost/"
    return connect(uri, unix=True, path=path, **kwargs)
