"""``connect`` for threads, with the names of ``websockets.sync.client``.

What it does is what the asyncio client does, on the event loop of the I/O thread; the calling
thread waits for it.
"""

from __future__ import annotations

import socket
import ssl as ssl_module
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, overload

from duologue.base.limits import DEFAULT_LIMITS, Limits
from duologue.base.types import LoggerLike, Origin, PathLike, Subprotocol
from duologue.client.connecting import connect as async_connect
from duologue.client.connecting import unix_uri
from duologue.client.reaching import ProxyOption
from duologue.client.reconnect import Reconnection, backoff
from duologue.client.reconnect import process_exception as default_process_exception
from duologue.connection.policies import Overflow
from duologue.connection.settings import MaxSizeOption, SecondsOption, Settings
from duologue.connection.threads import Connection
from duologue.net.engine import Engine
from duologue.net.io_thread import io_thread
from duologue.wire.extension import ClientExtensionFactory
from duologue.wire.headers import HeadersLike
from duologue.wire.http11 import USER_AGENT, Request, Response

if TYPE_CHECKING:
    from http.cookiejar import CookieJar


class ClientConnection(Connection):
    """A connection that ``connect`` opened; its methods wait in the calling thread."""

    request: Request
    """Request of the opening handshake."""
    response: Response
    """Response of the opening handshake."""

    # What the asyncio connection has and a thread can't use.
    __aiter__ = __anext__ = __aenter__ = __aexit__ = None  # type: ignore[assignment]


def _discard(connection: Any) -> None:
    """Cut a connection that nobody waits for any more."""
    connection.transport.abort()


class reconnect(async_connect):
    """Connect to the WebSocket server at ``uri``, as often as needed.

    ::

        with reconnect(uri) as ws:      # once, closed when the block ends
            ...
        for ws in reconnect(uri):       # connects again, for ever
            try:
                ...
            except ConnectionClosed:
                continue

    Iterating connects again when a connection ends or can't be made; failures that
    ``process_exception`` takes for lasting end it. Options are those of ``connect`` and:

    Args:
        process_exception: ``exc -> None`` to try again, or an exception to raise.
        reconnect_delays: makes the generator of seconds to wait before each new attempt; it is
            made anew when a connection was stable for 10 seconds.
    """

    __await__ = __aiter__ = __aenter__ = __aexit__ = None  # type: ignore[assignment]

    def __init__(
        self,
        uri: str,
        *,
        sock: socket.socket | None = None,
        ssl: ssl_module.SSLContext | bool | None = None,
        server_hostname: str | None = None,
        process_exception: Callable[[Exception], Exception | None] = default_process_exception,
        reconnect_delays: Callable[[], Generator[float]] = backoff,
        create_connection: Callable[[Settings], ClientConnection] | None = None,
        open_timeout: SecondsOption = ...,
        timeout: float | None = None,
        address: tuple[str, int] | None = None,
        source_address: tuple[str, int] | None = None,
        **kwargs: Any,
    ) -> None:
        given = {"sock": sock, "ssl": ssl, "server_hostname": server_hostname}
        kwargs.update({name: value for name, value in given.items() if value is not None})
        # Names of socket.create_connection for what asyncio names otherwise.
        if address is not None:
            kwargs["host"], kwargs["port"] = address
        if source_address is not None:
            kwargs["local_addr"] = source_address
        super().__init__(
            uri,
            process_exception=process_exception,
            reconnect_delays=reconnect_delays,
            create_connection=create_connection or ClientConnection,  # type: ignore[arg-type]
            open_timeout=open_timeout,
            **kwargs,
        )
        if timeout is not None and (self.open_timeout is None or timeout < self.open_timeout):
            self.open_timeout = timeout

    def connect(self) -> ClientConnection:  # type: ignore[override]
        """Open one connection, and wait until it is open."""
        opening: Any = super().connect()
        connection: ClientConnection = io_thread().run(opening, _discard)
        return connection

    def __enter__(self) -> ClientConnection:
        if self._connection is not None:
            raise RuntimeError("connect() isn't reentrant")
        connection = self.connect()
        self._connection = connection  # type: ignore[assignment]
        return connection

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        connection: Any
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.__exit__(exc_type, exc_value, traceback)

    def __iter__(self) -> Iterator[ClientConnection]:
        self._reconnection = Reconnection(self.reconnect_delays)
        while True:
            try:
                with self as connection:
                    opened = time.monotonic()
                    yield connection
            except Exception as exc:
                delay = self._failed(exc)
            else:
                delay = self._ended(connection, time.monotonic() - opened)
            time.sleep(delay)


@overload
def connect(
    uri: str, *, legacy: Literal[True] | None = None, **kwargs: Any
) -> ClientConnection: ...


@overload
def connect(uri: str, *, legacy: Literal[False], **kwargs: Any) -> reconnect: ...


def connect(
    uri: str,
    *,
    sock: socket.socket | None = None,
    ssl: ssl_module.SSLContext | bool | None = None,
    server_hostname: str | None = None,
    origin: Origin | None = None,
    extensions: Sequence[ClientExtensionFactory] | None = None,
    subprotocols: Sequence[Subprotocol] | None = None,
    compression: str | None = "deflate",
    additional_headers: HeadersLike | None = None,
    user_agent_header: str | None = USER_AGENT,
    cookies: CookieJar | None = None,
    proxy: ProxyOption = True,
    proxy_ssl: ssl_module.SSLContext | None = None,
    proxy_server_hostname: str | None = None,
    open_timeout: SecondsOption = ...,
    ping_interval: SecondsOption = ...,
    ping_timeout: SecondsOption = ...,
    close_timeout: SecondsOption = ...,
    max_size: MaxSizeOption = ...,
    max_queue: MaxSizeOption = ...,
    write_limit: MaxSizeOption = ...,
    overflow: Overflow = "wait",
    logger: LoggerLike | None = None,
    create_connection: Callable[[Settings], ClientConnection] | None = None,
    limits: Limits = DEFAULT_LIMITS,
    engine: Engine = "auto",
    legacy: bool | None = None,
    **kwargs: Any,
) -> ClientConnection | reconnect:
    """Connect to the WebSocket server at ``uri``, and wait until the connection is open.

    ::

        with connect(uri) as ws:        # closed when the block ends
            ws.send("hello")
            print(ws.recv(timeout=5))
        ws = connect(uri)               # closed by you

    Args:
        uri: ``ws://`` or ``wss://``.
        sock: a connected socket to use; it is taken over.
        ssl: TLS settings, by default those of :func:`ssl.create_default_context`.
        server_hostname: name to ask the server's certificate for, instead of the host of ``uri``.
        origin: value of the ``Origin`` header.
        extensions: extensions to offer, in order of preference.
        subprotocols: subprotocols to offer, in order of preference.
        compression: ``"deflate"`` to offer permessage-deflate, ``None`` not to.
        additional_headers: more headers of the request.
        user_agent_header: value of the ``User-Agent`` header, ``None`` for none.
        cookies: jar whose cookies are sent where they belong, and which keeps those that responses
            set.
        proxy: ``True`` for the proxy that the system is configured to use, ``None`` for none, or
            the address of one; see :class:`duologue.connect`.
        proxy_ssl: TLS settings for an ``https://`` proxy itself.
        proxy_server_hostname: name to ask the proxy's certificate for.
        open_timeout: seconds for everything until the connection is open, proxies and redirects
            included, ``None`` for any time.
        ping_interval: seconds between keepalive pings, ``None`` for none.
        ping_timeout: seconds after a ping in which something must arrive; ``None`` for any time.
        close_timeout: seconds for the closing handshake, ``None`` for any time.
        max_size: greatest message in octets; ``None`` for no limit, ``(message, fragment)`` for
            both. Larger ones close the connection with 1009.
        max_queue: messages waiting to be received at which reading pauses; ``(high, low)`` to say
            at which it resumes, ``None`` for no limit. Reading pauses at ``Limits.max_queue_bytes``
            too, unless this is ``None``.
        write_limit: octets waiting to be written above which ``send()`` waits; ``(high, low)``.
        overflow: outbox policy: what happens to messages for a peer that takes too little; see
            :data:`~duologue.connection.policies.Overflow`.
        logger: by default ``logging.getLogger("duologue.client")``.
        create_connection: subclass of ``ClientConnection``, or a function that makes one.
        limits: every bound: those that have no option of their own, and the defaults (``...``) of
            those that have; see :class:`Limits`.
        engine: what carries the connection; see :class:`duologue.connect`.
        legacy: ``False`` to get a ``reconnect``, which hasn't connected yet.
        **kwargs: ``address`` (host and port instead of those of ``uri``), ``source_address``,
            ``timeout`` (as ``open_timeout``, whichever is less) and ``all_errors``, as
            :func:`socket.create_connection` has them; others as :class:`duologue.connect` does.

    Returns:
        The open connection.

    Raises:
        InvalidURI: If ``uri`` isn't a WebSocket URI.
        InvalidProxy: If ``proxy`` isn't the address of a proxy.
        ValueError: If an option has a value that it can't have.
        OSError: If the TCP connection fails.
        InvalidHandshake: If the opening handshake fails.
        ProxyError: If a proxy refuses or can't be understood.
        TimeoutError: If ``open_timeout`` passes.
    """
    # Only those that exclude each other unless they are left out.
    for name, value in (
        ("proxy_ssl", proxy_ssl),
        ("proxy_server_hostname", proxy_server_hostname),
    ):
        if value is not None:
            kwargs[name] = value
    connecter = reconnect(
        uri,
        sock=sock,
        ssl=ssl,
        server_hostname=server_hostname,
        origin=origin,
        extensions=extensions,
        subprotocols=subprotocols,
        compression=compression,
        additional_headers=additional_headers,
        user_agent_header=user_agent_header,
        cookies=cookies,
        proxy=proxy,
        open_timeout=open_timeout,
        ping_interval=ping_interval,
        ping_timeout=ping_timeout,
        close_timeout=close_timeout,
        max_size=max_size,
        max_queue=max_queue,
        write_limit=write_limit,
        overflow=overflow,
        logger=logger,
        create_connection=create_connection,
        limits=limits,
        engine=engine,
        **kwargs,
    )
    return connecter if legacy is False else connecter.connect()


def unix_reconnect(
    path: PathLike | None = None, uri: str | None = None, **kwargs: Any
) -> reconnect:
    """Connect to a WebSocket server on a Unix socket, as often as needed.

    Args:
        path: of the socket, in the file system.
        uri: for the request; by default ``ws://localhost/``, or ``wss://localhost/`` with ``ssl``.
        **kwargs: options of ``reconnect``.

    Raises:
        ValueError: If not exactly one of ``path`` and ``sock`` is given.
    """
    if (path is None) == (kwargs.get("sock") is None):
        raise ValueError(
            "missing path argument" if path is None else "path is incompatible with sock"
        )
    if path is not None:
        kwargs.update(unix=True, path=path)
    return reconnect(unix_uri(uri, kwargs), **kwargs)


@overload
def unix_connect(
    path: PathLike | None = None,
    uri: str | None = None,
    *,
    legacy: Literal[True] | None = None,
    **kwargs: Any,
) -> ClientConnection: ...


@overload
def unix_connect(
    path: PathLike | None = None,
    uri: str | None = None,
    *,
    legacy: Literal[False],
    **kwargs: Any,
) -> reconnect: ...


def unix_connect(
    path: PathLike | None = None,
    uri: str | None = None,
    *,
    legacy: bool | None = None,
    **kwargs: Any,
) -> ClientConnection | reconnect:
    """Connect to a WebSocket server on a Unix socket.

    Args:
        path: of the socket, in the file system.
        uri: for the request; by default ``ws://localhost/``, or ``wss://localhost/`` with ``ssl``.
        legacy: ``False`` to get a ``reconnect``, which hasn't connected yet.
        **kwargs: options of ``connect``.

    Returns:
        The open connection.

    Raises:
        ValueError: If not exactly one of ``path`` and ``sock`` is given.
    """
    connecter = unix_reconnect(path, uri, **kwargs)
    return connecter if legacy is False else connecter.connect()
