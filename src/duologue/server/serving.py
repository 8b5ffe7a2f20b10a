"""``serve``: a WebSocket server on asyncio, with the names of ``websockets.asyncio.server``."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable, Coroutine, Generator, Sequence
from types import TracebackType
from typing import Any, Self

from duologue.base.exceptions import ConnectionClosed
from duologue.base.limits import DEFAULT_LIMITS, Limits
from duologue.base.types import LoggerLike, PathLike, Subprotocol
from duologue.base.vocabulary import CloseCode, State
from duologue.connection.connection import Callbacks
from duologue.connection.ending import Cause
from duologue.connection.endpoint import Endpoint
from duologue.connection.policies import Overflow
from duologue.connection.settings import MaxSizeOption, SecondsOption, Settings, choose
from duologue.net.asyncio_link import AsyncioLink
from duologue.net.engine import Engine, use_epoll
from duologue.net.link import Link
from duologue.net.listening import EngineServer, listen
from duologue.protocol.handshake import Origins
from duologue.server.connection import ServerConnection
from duologue.server.exchanges import RequestHandler
from duologue.server.hooks import Judgement
from duologue.server.link_exchange import attend_with
from duologue.server.opening import (
    OpeningOptions,
    ProcessRequest,
    ProcessResponse,
    SelectSubprotocol,
)
from duologue.server.reception import Reception
from duologue.server.terms import ConnectionOptions
from duologue.wire.extension import ServerExtensionFactory
from duologue.wire.grammar import validate_subprotocols
from duologue.wire.http11 import SERVER

Handler = Callable[[ServerConnection], Awaitable[None]] | Endpoint


class Server:
    """What :func:`serve` returns; most of its API is that of :class:`asyncio.Server`.

    Use it as an asynchronous context manager, which closes it in the end, or await it.

    Args:
        create_server: starts to listen, given what to call with each new link.
        handler: runs each open connection.
        settings: shared by the connections.
        options: how connections are opened.
        create_connection: makes a connection from ``settings`` and this server.
        logger: where the server logs.
    """

    def __init__(
        self,
        create_server: Callable[
            [Callable[[Link], None]], Coroutine[Any, Any, asyncio.Server | EngineServer]
        ],
        handler: Handler,
        settings: Settings,
        options: OpeningOptions,
        create_connection: Callable[[Settings, Server], ServerConnection],
        logger: LoggerLike,
    ) -> None:
        self._create_server = create_server
        self._settings = settings
        self._options = options
        self._create_connection = create_connection
        self._close_task: asyncio.Task[None] | None = None
        self._closed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._ending_wanted: tuple[CloseCode | int, str] | None = None
        self.handler = handler
        self.logger = logger
        # Seconds for handlers to return once the server closes; None for any time.
        self.drain_timeout: float | None = None
        # Whether those who were accepted may still connect, though nobody is accepted any more.
        self.admitting = False
        self.server: asyncio.Server | EngineServer
        # With their handlers' tasks. At this size a dictionary is less than half of a set.
        self.all_connections: dict[ServerConnection, asyncio.Task[None] | None] = {}
        self.opening_tasks: set[asyncio.Task[None]] = set()
        callbacks = Callbacks(handler, Endpoint) if isinstance(handler, Endpoint) else None
        self.reception = Reception(self, settings, options, create_connection, callbacks)

    @property
    def connections(self) -> set[ServerConnection]:
        """Connections that are open and not closing; use it with :func:`broadcast`."""
        return {each for each in self.all_connections if each.state is State.OPEN}

    @property
    def openings(self) -> list[object]:
        """Who owns a link that isn't a connection yet."""
        return [*self.reception.newcomers_now(), *self.reception.openings]

    @property
    def expecting(self) -> bool:
        """Whether somebody was accepted who has not been answered."""
        openings = self.reception.openings
        return bool(self.reception.newcomers_now()) or any(each.busy for each in openings)

    # -- what an opening needs

    def link_opened(self, link: Link) -> None:
        """Begin to speak HTTP on a link that was just accepted."""
        self.reception.link_opened(link)

    def new_connection(self) -> ServerConnection:
        """Make the connection that a request may become."""
        return self._create_connection(self._settings, self)

    async def handler_ended(self, connection: ServerConnection, exc: BaseException | None) -> None:
        """Close a connection whose handler has returned or raised ``exc``; ends its task."""
        connection.scope_ended()
        try:
            if isinstance(exc, ConnectionClosed) and connection.state is not State.OPEN:
                # Of this connection it is how handlers usually end; of another one it is a failure.
                connection.log().info("connection handler ended: %s", exc)
            elif isinstance(exc, Exception):
                self._handler_failed(connection, exc)
                await connection.close(CloseCode.INTERNAL_ERROR)
            elif exc is not None:
                connection.start_close(CloseCode.INTERNAL_ERROR)
                raise exc
            await connection.close()
        finally:
            self.reception.connection_gone(connection)

    def _handler_failed(self, connection: ServerConnection, exc: Exception) -> None:
        connection.record(Cause.HANDLER_RAISED, repr(exc), exc)
        connection.log().error("connection handler failed", exc_info=exc)

    # -- closing

    def close(
        self,
        close_connections: bool = True,
        code: CloseCode | int = CloseCode.GOING_AWAY,
        reason: str = "",
    ) -> None:
        """Stop accepting connections and close those there are; closing again changes nothing.

        Handshakes under way are answered with 503.

        Args:
            close_connections: ``False`` to let open connections live on; :meth:`wait_closed` then
                waits for them.
            code: close code sent to open connections.
            reason: close reason, at most 123 octets of UTF-8.
        """
        if self._close_task is None:
            self._close_task = self.get_loop().create_task(
                self._close(close_connections, code, reason)
            )

    async def _close(self, close_connections: bool, code: CloseCode | int, reason: str) -> None:
        self.logger.info("server closing")
        self.server.close()
        # Links accepted in this very turn of the loop are handed to us in the next one.
        await asyncio.sleep(0)
        self.reception.shut_down()
        for opening in list(self.reception.openings):
            opening.shut_down()
        if close_connections:
            for connection in self.connections:
                connection.start_close(code, reason, Cause.SHUTDOWN)
        if self.all_connections and close_connections:
            await asyncio.wait(
                [
                    asyncio.ensure_future(connection.until_closed())
                    for connection in self.all_connections
                ]
            )
        await self.server.wait_closed()
        await self._until_handled()
        await self._after_closing()
        self._closed.set_result(None)
        self.logger.info("server closed")

    async def _until_handled(self) -> None:
        """Wait until handlers have returned; they are cancelled after ``drain_timeout``."""
        timeout = self.drain_timeout
        while tasks := self._tasks():
            done, _ = await asyncio.wait(tasks, timeout=timeout)
            if not done:
                self.logger.warning(
                    "%d handlers cancelled after drain_timeout of %s s", len(tasks), timeout
                )
                for task in tasks:
                    task.cancel()

    async def _before_listening(self) -> None:
        """For servers built on this one: what must be there before the first connection."""

    async def _after_closing(self) -> None:
        """For servers built on this one: what ends once all handlers have returned."""

    def _tasks(self) -> list[asyncio.Task[None]]:
        """Tasks of handlers and openings that have not ended."""
        handlers = self.all_connections.values()
        return [task for task in (*handlers, *self.opening_tasks) if task and not task.done()]

    async def wait_closed(self) -> None:
        """Wait until the server is closed and all handlers have returned."""
        await asyncio.shield(self._closed)

    # -- asyncio.Server

    def get_loop(self) -> asyncio.AbstractEventLoop:
        """See :meth:`asyncio.Server.get_loop`."""
        return self.server.get_loop()

    async def start_serving(self) -> None:
        """Begin to accept connections, if ``start_serving=False`` was given before."""
        await self.server.start_serving()

    async def serve_forever(self) -> None:
        """Serve until :meth:`close` is called or this is cancelled, which closes the server."""
        if not self.is_serving():
            await self.start_serving()
        try:
            await self.wait_closed()
        except asyncio.CancelledError:
            self.close()
            await self.wait_closed()
            raise

    def is_serving(self) -> bool:
        """Whether the server accepts connections."""
        return self.server.is_serving()

    @property
    def sockets(self) -> tuple[socket.socket, ...]:
        """Sockets that the server listens on."""
        return tuple(self.server.sockets)

    # -- starting

    async def _start(self) -> Self:
        if not hasattr(self, "server"):
            await self._before_listening()
            try:
                self.server = await self._create_server(self.reception.link_opened)
            except BaseException:
                await self._after_closing()
                raise
            if self.server.is_serving():
                for sock in self.server.sockets:
                    self.logger.info("server listening on %s", name_socket(sock))
        return self

    def __await__(self) -> Generator[Any, None, Self]:
        return self._start().__await__()

    async def __aenter__(self) -> Self:
        return await self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()
        await self.wait_closed()


def name_socket(sock: socket.socket) -> str:
    """A listening socket's address as people write it."""
    name = sock.getsockname()
    if sock.family == socket.AF_INET:
        return f"{name[0]}:{name[1]}"
    if sock.family == socket.AF_INET6:
        return f"[{name[0]}]:{name[1]}"
    return str(name)


def serve(
    handler: Handler,
    host: str | Sequence[str] | None = None,
    port: int | None = None,
    *,
    origins: Origins | None = None,
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
    cancel_on_disconnect: bool = False,
    logger: LoggerLike | None = None,
    create_connection: Callable[[Settings, Server], ServerConnection] | None = None,
    limits: Limits = DEFAULT_LIMITS,
    engine: Engine = "auto",
    **kwargs: Any,
) -> Server:
    """Serve WebSocket connections on ``host`` and ``port``.

    ::

        async with serve(handler, "127.0.0.1", 8000) as server:
            await server.serve_forever()

    When the handler returns the connection is closed with 1000, when it raises with 1011.

    Args:
        handler: coroutine function that gets each :class:`ServerConnection` once it is open, or an
            :class:`Endpoint`, whose callbacks need no task.
        host: interfaces to listen on, as :meth:`asyncio.loop.create_server` takes them.
        port: TCP port; 0 lets the operating system choose.
        origins: origins to accept: str, compiled regular expressions (matched against the whole)
            and ``None`` for no ``Origin`` header. By default any.
        extensions: extensions to negotiate, in order of preference.
        subprotocols: subprotocols to choose from, in order of preference.
        select_subprotocol: ``(connection, offered) -> chosen or None``, instead of that choice.
        compression: ``"deflate"``, or ``None`` to do without permessage-deflate.
        process_request: ``(connection, request) -> Response or None``, function or coroutine
            function; a response is sent instead of opening the connection. Unless it says
            ``Connection: close`` the client may send further requests.
        process_response: ``(connection, request, response) -> Response or None``, function or
            coroutine function; may change or replace the response.
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
        cancel_on_disconnect: whether a handler that doesn't notice is cancelled when its peer is
            gone: at once, or after ``close_timeout`` if it was told, by ``recv()`` say, or has
            messages left to receive. By default not, as in `websockets`; an ``App`` does.
        logger: by default ``logging.getLogger("duologue.server")``.
        create_connection: subclass of :class:`ServerConnection`, or a function that makes one.
        limits: every bound: those that have no option of their own, and the defaults (``...``) of
            those that have; see :class:`Limits`.
        engine: what carries connections: ``"epoll"`` (Linux) or ``"kqueue"`` (macOS, BSDs) for the
            engine's own sockets, ``"asyncio"`` for asyncio's transports; ``"auto"`` takes epoll
            where it can, else asyncio's.
        **kwargs: passed to :meth:`asyncio.loop.create_server`: ``ssl``, ``sock``, ``backlog``,
            ``reuse_port``, ``start_serving``, ...

    Returns:
        A :class:`Server`, to be awaited or entered.

    Raises:
        ValueError: If an option has a value that it can't have.
        TypeError: If an option has the wrong type.
    """
    if subprotocols is not None:
        validate_subprotocols(subprotocols)
    terms = ConnectionOptions.resolve(
        limits=limits,
        extensions=extensions,
        compression=compression,
        max_size=max_size,
        max_queue=max_queue,
        write_limit=write_limit,
        ping_interval=ping_interval,
        ping_timeout=ping_timeout,
        close_timeout=close_timeout,
        overflow=overflow,
        cancel_on_disconnect=cancel_on_disconnect,
        logger=logger,
    )
    settings, logger = terms.settings, terms.settings.logger
    # What answers requests instead of the hooks and the handler, and where answers are noted; for
    # servers built on this one.
    respond: RequestHandler | None = kwargs.pop("respond", None)
    options = OpeningOptions(
        limits=limits,
        logger=logger,
        origins=origins,
        extensions=terms.extensions,
        subprotocols=subprotocols,
        select_subprotocol=select_subprotocol,
        process_request=process_request,
        process_response=process_response,
        server_header=server_header,
        open_timeout=choose(open_timeout, limits.open_timeout),
        attend=Judgement if respond is None else attend_with(respond, terms),
        streaming=respond is not None,
        access_logger=kwargs.pop("access_logger", None),
    )
    if kwargs.get("ssl") is not None:
        kwargs.setdefault("ssl_handshake_timeout", options.open_timeout)
        kwargs.setdefault("ssl_shutdown_timeout", settings.close_timeout)

    # What the threads API puts in the place of Server.
    kind: type[Server] = kwargs.pop("kind", Server)

    async def create_server(
        opened: Callable[[Link], None],
    ) -> asyncio.Server | EngineServer:
        loop = asyncio.get_running_loop()
        if use_epoll(loop, engine):
            return await listen(loop, opened, host, port, **kwargs)

        def factory() -> AsyncioLink:
            return AsyncioLink(opened)

        if kwargs.pop("unix", False):
            return await loop.create_unix_server(factory, **kwargs)
        return await loop.create_server(factory, host, port, **kwargs)

    return kind(
        create_server, handler, settings, options, create_connection or ServerConnection, logger
    )


def unix_serve(handler: Handler, path: PathLike | None = None, **kwargs: Any) -> Server:
    """Serve WebSocket connections on a Unix socket.

    Args:
        handler: as in :func:`serve`.
        path: of the socket, in the file system.
        **kwargs: options of :func:`serve`, and those of
            :meth:`asyncio.loop.create_unix_server`.

    Returns:
        A :class:`Server`.
    """
    return serve(handler, unix=True, path=path, **kwargs)
