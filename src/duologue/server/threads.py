"""``serve`` for threads, with the names of ``websockets.sync.server``.

Accepting, the opening handshake and everything on the wire happen on the event loop of the I/O
thread, as the asyncio server does them. Each open connection has a thread for its handler; with
``process_request`` or ``process_response`` it has that thread from its request on.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
import os
import re
import socket
import ssl as ssl_module
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from types import TracebackType
from typing import Any, Self

from duologue.base.exceptions import ConnectionClosed
from duologue.base.limits import DEFAULT_LIMITS, Limits
from duologue.base.types import LoggerLike, Origin, PathLike, StatusLike, Subprotocol
from duologue.base.vocabulary import CloseCode, State
from duologue.connection.ending import Cause
from duologue.connection.endpoint import Endpoint
from duologue.connection.policies import Overflow
from duologue.connection.settings import MaxSizeOption, SecondsOption, Settings
from duologue.connection.threads import Connection
from duologue.net.engine import Engine
from duologue.net.io_thread import io_thread
from duologue.net.link import Link
from duologue.net.listening import BACKLOG, bind_unix
from duologue.protocol.handshake import respond
from duologue.server.auth import prepare, read_credentials
from duologue.server.handler_thread import HandlerThread
from duologue.server.opening import OpeningOptions
from duologue.server.reception import Reception
from duologue.server.serving import Server as AsyncServer
from duologue.server.serving import name_socket
from duologue.server.serving import serve as async_serve
from duologue.wire.extension import ServerExtensionFactory
from duologue.wire.frame import Close
from duologue.wire.http11 import SERVER, Request, Response

Handler = Callable[["ServerConnection"], None]
ProcessRequest = Callable[["ServerConnection", Request], Response | None]
ProcessResponse = Callable[["ServerConnection", Request, Response], Response | None]
SelectSubprotocol = Callable[["ServerConnection", Sequence[Subprotocol]], Subprotocol | None]


SIGNAL_SECONDS = 1.0
"""Seconds after which ``serve_forever`` looks whether a signal has come."""


class ServerConnection(Connection):
    """A connection that ``serve`` accepted; its methods wait in the calling thread.

    Made when a request arrives, so that ``process_request`` can look at it and leave its own
    attributes on it; it opens when the 101 is sent.

    Args:
        settings: shared by all connections of the server.
        server: the server that accepted it.
    """

    __slots__ = ("handler_thread", "server")

    # What the asyncio connection has and a thread can't use.
    __aiter__ = __anext__ = __aenter__ = __aexit__ = None  # type: ignore[assignment]

    request: Request
    """Request of the opening handshake."""
    response: Response
    """Response of the opening handshake."""
    username: str
    """Set by ``basic_auth``."""
    handler: Callable[..., None]
    """Set by :func:`~duologue.sync.router.route`."""
    handler_kwargs: Mapping[str, Any]
    """Set by :func:`~duologue.sync.router.route`."""
    gone: None = None
    """Nobody here counts connections by it; see :class:`duologue.ServerConnection`."""

    def __init__(self, settings: Settings, server: Server) -> None:
        super().__init__(settings)
        self.server = server
        self.handler_thread: HandlerThread | None = None

    def respond(self, status: StatusLike, text: str) -> Response:
        """Build a plain-text answer for ``process_request`` or ``process_response`` to return.

        Args:
            status: status code.
            text: body, sent as UTF-8.

        Returns:
            A response whose headers may be changed.
        """
        return respond(status, text)

    def heads_exchanged(self, request: bytes, response: bytes) -> None:
        """See :meth:`duologue.ServerConnection.heads_exchanged`."""

    def abandon(self, exc: BaseException | None = None) -> None:
        """Note that the opening handshake failed: there will be no connection."""
        super().abandon(exc)
        if self.handler_thread is not None:
            self.handler_thread.end()

    def its_thread(self) -> HandlerThread:
        """The thread of this connection's hooks and handler, started when first asked for."""
        if self.handler_thread is None:
            self.handler_thread = HandlerThread(self.loop, self.server.handler_threads)
        return self.handler_thread


class _Reception(Reception):
    """Starts connections in threads of their own, instead of tasks."""

    def __init__(
        self,
        server: _LoopServer,
        settings: Settings,
        options: OpeningOptions,
        create_connection: Any,
    ) -> None:
        super().__init__(server, settings, options, create_connection, None)
        self._server = server

    def start(self, connection: Any, link: Link, rest: bytes) -> None:
        """Run the handler of a connection whose opening handshake succeeded, in its thread."""
        server = self._server
        ended: asyncio.Future[None] = server.get_loop().create_future()
        handled: Any = ended
        server.all_connections[connection] = handled
        connection.log().info("connection open")
        connection.open(link, rest)
        try:
            thread = connection.its_thread()
        except RuntimeError as exc:
            server.logger.error("no thread for a connection: %s", exc)
            connection.record(Cause.MEMORY_BUDGET, f"no thread: {exc}", exc)
            connection.start_close(CloseCode.TRY_AGAIN_LATER, "too many threads")
            self._handled(connection, ended)
            return
        handling = thread.call(server.handle, connection)
        handling.add_done_callback(lambda done: self._handled(connection, ended, done))
        thread.end()

    def _handled(
        self,
        connection: Any,
        ended: asyncio.Future[None],
        done: asyncio.Future[None] | None = None,
    ) -> None:
        self.connection_gone(connection)
        ended.set_result(None)
        if done is not None and (exc := done.exception()) is not None:
            self._server.logger.error("connection handler failed", exc_info=exc)


class _LoopServer(AsyncServer):
    """The server on the I/O thread's loop; hands open connections to threads."""

    face: Server

    def __init__(
        self,
        create_server: Any,
        handler: Any,
        settings: Settings,
        options: OpeningOptions,
        create_connection: Any,
        logger: LoggerLike,
    ) -> None:
        super().__init__(create_server, handler, settings, options, create_connection, logger)
        self.reception = _Reception(self, settings, options, create_connection)

    def handle(self, connection: Any) -> None:
        """Run the handler and close the connection; runs in the connection's thread."""
        try:
            self.face.handler(connection)
        except ConnectionClosed as exc:
            if connection.state is State.OPEN:
                # That of another connection.
                self._fail(connection, exc)
            else:
                connection.log().info("connection handler ended: %s", exc)
        except Exception as exc:
            self._fail(connection, exc)
        except BaseException:
            connection.close(CloseCode.INTERNAL_ERROR)
            raise
        connection.close()

    def _fail(self, connection: Any, exc: Exception) -> None:
        self._handler_failed(connection, exc)
        connection.close(CloseCode.INTERNAL_ERROR)


class Server:
    """What ``serve`` returns; its API is that of :class:`socketserver.BaseServer`, partially.

    Use it as a context manager, which shuts it down in the end.

    Args:
        sock: listens; the server's from now on.
        handler: runs each open connection, in a thread of its own.
        logger: by default ``logging.getLogger("duologue.server")``.
    """

    def __init__(
        self, sock: socket.socket, handler: Handler, logger: LoggerLike | None = None
    ) -> None:
        self.socket = sock
        self.handler = handler
        self.logger = logger or logging.getLogger("duologue.server")
        self.handler_threads: set[threading.Thread] = set()
        """Threads of connections that have not ended."""
        # Another thread may close the socket before this is wanted.
        self._name = name_socket(sock)
        self._thread = io_thread()
        self._stopped = threading.Event()
        self._loop_server: _LoopServer

    def start(self, make: Callable[[], AsyncServer]) -> None:
        """Have the I/O thread make what serves this server's socket; not accepting yet."""

        async def started() -> Any:
            return await make()

        self._loop_server = self._thread.run(started())
        self._loop_server.face = self

    @property
    def connections(self) -> set[ServerConnection]:
        """Connections that are open and not closing; use it with ``broadcast``."""
        server = self._loop_server
        found: Any = self._thread.call(lambda: server.connections)
        return set(found)

    @property
    def all_connections(self) -> set[ServerConnection]:
        """Connections whose handlers have not ended."""
        server = self._loop_server
        found: Any = self._thread.call(lambda: set(server.all_connections))
        return set(found)

    def fileno(self) -> int:
        """Descriptor of the listening socket; -1 once the server was shut down."""
        return self.socket.fileno()

    def serve_forever(self) -> None:
        """Accept connections until another thread calls ``shutdown``.

        An interrupt (Ctrl-C) ends it too, and nothing is accepted after it; connections that are
        open live on until ``shutdown``.
        """
        if self._stopped.is_set():
            return
        self.logger.info("server listening on %s", self._name)
        try:
            self._thread.run(self._loop_server.start_serving())
            # A signal that comes in the moment before a wait begins doesn't end that wait.
            while not self._stopped.wait(SIGNAL_SECONDS):
                pass
        finally:
            if not self._stopped.is_set():
                self._thread.call(self._loop_server.server.close)
                self._stopped.set()

    def shutdown(
        self,
        close_connections: bool = True,
        code: CloseCode | int = CloseCode.GOING_AWAY,
        reason: str = "",
    ) -> None:
        """Stop accepting connections, close those there are, and wait for all handlers.

        Handshakes under way are answered with 503. Shutting down again waits again.

        Args:
            close_connections: ``False`` to wait until open connections end by themselves.
            code: close code sent to open connections.
            reason: close reason, at most 123 octets of UTF-8.

        Raises:
            ProtocolError: If the code may not be sent or the reason is too long.
            RuntimeError: In a handler: it would wait for itself.
        """
        if threading.current_thread() in self.handler_threads:
            raise RuntimeError(
                "shutdown() waits for all handlers, so a handler can't call it; "
                "let another thread call it"
            )
        Close(code, reason).serialize()
        self._thread.call(self._loop_server.close, close_connections, code, reason)
        self._stopped.set()
        self._thread.run(self._loop_server.wait_closed())
        for thread in list(self.handler_threads):
            thread.join()
        self.socket.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.shutdown()


def _bind(
    sock: socket.socket | None,
    host: str | None,
    port: int | None,
    path: PathLike | None,
    unix: bool,
    options: dict[str, Any],
) -> socket.socket:
    """Return a listening socket."""
    if sock is not None:
        for name, value in (("host", host), ("port", port), ("path", path)):
            if value is not None:
                raise ValueError(f"{name} is incompatible with sock")
        for name in options:
            raise TypeError(f"unexpected option {name!r}")
        return sock
    if unix:
        if path is None:
            raise ValueError("missing path argument")
        backlog = options.pop("backlog", BACKLOG)
        for name in options:
            raise TypeError(f"unexpected option {name!r}")
        sock = bind_unix(os.fspath(path))
        sock.listen(backlog)
        return sock
    if host is not None and ":" in host:
        options.setdefault("family", socket.AF_INET6)
    options.setdefault("backlog", BACKLOG)
    return socket.create_server((host or "", port or 0), **options)


def serve(
    handler: Handler,
    host: str | None = None,
    port: int | None = None,
    *,
    sock: socket.socket | None = None,
    ssl: ssl_module.SSLContext | None = None,
    origins: Sequence[Origin | re.Pattern[str] | None] | None = None,
    extensions: Sequence[ServerExtensionFactory] | None = None,
    subprotocols: Sequence[Subprotocol] | None = None,
    select_subprotocol: SelectSubprotocol | None = None,
    compression: str | None = "deflate",
    process_request: ProcessRequest | None = None,
    process_response: ProcessResponse | None = None,
    server_header: str | None = SERVER,
    open_timeout: SecondsOption = ...,
    ping_interval: SecondsOption = ...,
    ping_timeout: SecondsOption = ...,
    close_timeout: SecondsOption = ...,
    max_size: MaxSizeOption = ...,
    max_queue: MaxSizeOption = ...,
    write_limit: MaxSizeOption = ...,
    overflow: Overflow = "wait",
    logger: LoggerLike | None = None,
    create_connection: Callable[[Settings, Server], ServerConnection] | None = None,
    limits: Limits = DEFAULT_LIMITS,
    engine: Engine = "auto",
    **kwargs: Any,
) -> Server:
    """Serve WebSocket connections on ``host`` and ``port``, each with a thread of its own.

    ::

        with serve(handler, "127.0.0.1", 8000) as server:
            server.serve_forever()

    The socket listens at once; connections are accepted while ``serve_forever()`` runs.
    When the handler returns the connection is closed with 1000, when it raises with 1011.

    Args:
        handler: gets each ``ServerConnection`` once it is open.
        host: interface to listen on, by default all.
        port: TCP port; 0 lets the operating system choose.
        sock: a bound socket to listen on instead.
        ssl: TLS settings.
        origins: origins to accept: str, compiled regular expressions (matched against the whole)
            and ``None`` for no ``Origin`` header. By default any.
        extensions: extensions to negotiate, in order of preference.
        subprotocols: subprotocols to choose from, in order of preference.
        select_subprotocol: ``(connection, offered) -> chosen or None``, instead of that choice;
            runs in the I/O thread and must not wait.
        compression: ``"deflate"``, or ``None`` to do without permessage-deflate.
        process_request: ``(connection, request) -> Response or None``; a response is sent instead
            of opening the connection. Runs in the connection's thread and may wait.
        process_response: ``(connection, request, response) -> Response or None``; may change or
            replace the response. Runs in the connection's thread and may wait.
        server_header: value of the ``Server`` header, ``None`` for none.
        open_timeout: seconds for the opening handshake, ``None`` for any time.
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
        logger: by default ``logging.getLogger("duologue.server")``.
        create_connection: subclass of ``ServerConnection``, or a function that makes one.
        limits: every bound: those that have no option of their own, and the defaults (``...``) of
            those that have; see :class:`Limits`.
        engine: what carries connections; see :func:`duologue.serve`.
        **kwargs: ``family``, ``backlog``, ``reuse_port`` and ``dualstack_ipv6``, as
            :func:`socket.create_server` has them, and TLS options of
            :meth:`asyncio.loop.create_server`.

    Returns:
        A ``Server``.

    Raises:
        OSError: If the address can't be listened on.
        ValueError: If an option has a value that it can't have.
        TypeError: If an option has the wrong type.
    """
    if isinstance(handler, Endpoint) or inspect.iscoroutinefunction(handler):
        raise TypeError(
            "serve() of duologue.sync runs functions in threads; "
            "coroutine functions and endpoints are for duologue.serve()"
        )
    unix, path = kwargs.pop("unix", False), kwargs.pop("path", None)
    tls = {name: kwargs.pop(name) for name in list(kwargs) if name.startswith("ssl_")}
    backlog = kwargs.get("backlog")
    sock = _bind(sock, host, port, path, unix, kwargs)
    try:
        server = Server(sock, handler, logger)
        make = create_connection or ServerConnection

        def make_loop_server() -> AsyncServer:
            return async_serve(
                handler,  # type: ignore[arg-type]
                sock=sock,
                ssl=ssl,
                origins=origins,
                extensions=extensions,
                subprotocols=subprotocols,
                select_subprotocol=select_subprotocol,  # type: ignore[arg-type]
                compression=compression,
                process_request=_in_thread(process_request),
                process_response=_in_thread(process_response),
                server_header=server_header,
                open_timeout=open_timeout,
                ping_interval=ping_interval,
                ping_timeout=ping_timeout,
                close_timeout=close_timeout,
                max_size=max_size,
                max_queue=max_queue,
                write_limit=write_limit,
                overflow=overflow,
                logger=server.logger,
                create_connection=lambda settings, _: make(settings, server),  # type: ignore
                limits=limits,
                engine=engine,
                kind=_LoopServer,
                start_serving=False,
                backlog=BACKLOG if backlog is None else backlog,
                **tls,
            )

        server.start(make_loop_server)
    except BaseException:
        sock.close()
        raise
    return server


def _in_thread(hook: Callable[..., Response | None] | None) -> Any:
    """A hook for the asyncio server that runs ``hook`` in the connection's thread."""
    if hook is None:
        return None

    async def run(connection: ServerConnection, *heads: Any) -> Response | None:
        return await connection.its_thread().call(hook, connection, *heads)

    return run


def unix_serve(handler: Handler, path: PathLike | None = None, **kwargs: Any) -> Server:
    """Serve WebSocket connections on a Unix socket.

    Args:
        handler: as in ``serve``.
        path: of the socket, in the file system.
        **kwargs: options of ``serve``.

    Returns:
        A ``Server``.
    """
    return serve(handler, unix=True, path=path, **kwargs)


def basic_auth(
    realm: str = "",
    credentials: tuple[str, str] | Iterable[tuple[str, str]] | None = None,
    check_credentials: Callable[[str, str], bool] | None = None,
) -> Callable[[ServerConnection, Request], Response | None]:
    """Make a ``process_request`` that demands HTTP Basic authentication.

    Whoever passes is named by the connection's ``username``; others get a 401.

    Args:
        realm: what is protected, in ASCII.
        credentials: a ``(username, password)`` pair or several of them.
        check_credentials: function instead, from username and password to whether they are right;
            it may wait.

    Returns:
        A function for ``serve(..., process_request=)``.

    Raises:
        TypeError: If ``credentials`` has another shape.
        ValueError: If not exactly one of ``credentials`` and ``check_credentials`` is given.
    """
    check, refuse = prepare(realm, credentials, check_credentials)

    def process_request(connection: ServerConnection, request: Request) -> Response | None:
        given = read_credentials(request)
        if isinstance(given, str):
            return refuse(connection, given)
        if not check(*given):
            return refuse(connection, "Invalid credentials")
        connection.username = given[0]
        return None

    return process_request
