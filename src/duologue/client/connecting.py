"""``connect``: a WebSocket client on asyncio, with the names of ``websockets.asyncio.client``."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Generator, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any

from duologue.base.exceptions import InvalidStatus, InvalidURI, SecurityError
from duologue.base.limits import DEFAULT_LIMITS, Limits
from duologue.base.types import LoggerLike, Origin, PathLike, Subprotocol
from duologue.base.vocabulary import OK_CLOSE_CODES, Side
from duologue.client.connection import ClientConnection
from duologue.client.cookies import add_cookies, keep_cookies
from duologue.client.opening import Opening
from duologue.client.reaching import ProxyOption, Reaching
from duologue.client.reconnect import Attempt, Reconnection, backoff
from duologue.client.reconnect import process_exception as default_process_exception
from duologue.client.redirects import check_target, find_target, same_origin, without_credentials
from duologue.connection.connection import Connection
from duologue.connection.policies import Overflow
from duologue.connection.settings import MaxSizeOption, SecondsOption, Settings, choose
from duologue.net.engine import Engine
from duologue.protocol.handshake import build_request, generate_key
from duologue.wire.extension import ClientExtensionFactory
from duologue.wire.grammar import build_host, validate_subprotocols
from duologue.wire.headers import HeadersLike
from duologue.wire.http11 import USER_AGENT
from duologue.wire.permessage_deflate import enable_client_permessage_deflate
from duologue.wire.uri import WebSocketURI, parse_uri

if TYPE_CHECKING:
    from http.cookiejar import CookieJar


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
        cookies: jar whose cookies are sent where they belong, and which keeps those that responses
            set, also refusals and redirects.
        proxy: ``True`` for the proxy that the system is configured to use, see
            :func:`~duologue.client.proxy.get_proxy`; ``None`` for none; or the address of one:
            ``http://``, ``https://``, and, with the extra ``duologue[socks]``, ``socks4://``,
            ``socks4a://``, ``socks5://`` or ``socks5h://``, with ``user:password@`` if it wants
            that.
        process_exception: ``exc -> None`` to try again, or an exception to raise.
        open_timeout: seconds for everything until the connection is open, proxies and redirects
            included, ``None`` for any time.
        ping_interval: seconds between keepalive pings, ``None`` for none.
        ping_timeout: seconds after a ping in which something must arrive; ``None`` for any time.
        close_timeout: seconds for the closing handshake, ``None`` for any time.
        reconnect_delays: makes the generator of seconds to wait before each new attempt; it is
            made anew when a connection was stable for 10 seconds. What a server asks for with
            ``Retry-After`` is waited besides. The default also waits longer after the close codes
            1012 (5 to 30 s) and 1013 (10 to 60 s).
        max_size: greatest message in octets; ``None`` for no limit, ``(message, fragment)`` for
            both. Larger ones close the connection with 1009.
        max_queue: messages waiting to be received at which reading pauses; ``(high, low)`` to say
            at which it resumes, ``None`` for no limit. Reading pauses at ``Limits.max_queue_bytes``
            too, unless this is ``None``.
        write_limit: octets waiting to be written above which ``send()`` waits; ``(high, low)``.
        overflow: outbox policy: what happens to messages for a peer that takes too little; see
            :data:`~duologue.connection.policies.Overflow`.
        logger: by default ``logging.getLogger("duologue.client")``.
        create_connection: subclass of :class:`ClientConnection`, or a function that makes one.
        limits: every bound: those that have no option of their own, and the defaults (``...``) of
            those that have; see :class:`Limits`.
        engine: what carries the connection: ``"epoll"`` (Linux) or ``"kqueue"`` (macOS, BSDs)
            for the engine's own sockets, ``"asyncio"`` for asyncio's transports; ``"auto"`` takes
            epoll where it can, else asyncio's.
        **kwargs: passed to :meth:`asyncio.loop.create_connection`: ``ssl``, ``server_hostname``,
            ``sock``, ``host`` and ``port`` (instead of those of ``uri``), ``local_addr``,
            ``happy_eyeballs_delay`` (0.25 by default), ...; ``proxy_ssl`` and
            ``proxy_server_hostname`` are for TLS with an ``https://`` proxy itself.

    Attributes:
        attempts: what became of the latest attempts (at most 10) since a connection was stable;
            kept while iterating.

    Raises:
        InvalidURI: If ``uri`` isn't a WebSocket URI.
        InvalidProxy: If ``proxy`` isn't the address of a proxy.
        ValueError: If an option has a value that it can't have.
        OSError: When awaited, if the TCP connection fails.
        InvalidHandshake: When awaited, if the opening handshake fails.
        ProxyError: When awaited, if a proxy refuses or can't be understood.
        TimeoutError: When awaited, if ``open_timeout`` passes.

    What is raised when awaited has a note (:attr:`BaseException.__notes__`) that says what was
    being done, with which host and through which proxy.
    """

    # Whether to fail when subprotocols are offered and the server chooses none, as browsers do.
    _require_subprotocol = False

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
        cookies: CookieJar | None = None,
        proxy: ProxyOption = True,
        process_exception: Callable[[Exception], Exception | None] = default_process_exception,
        open_timeout: SecondsOption = ...,
        ping_interval: SecondsOption = ...,
        ping_timeout: SecondsOption = ...,
        close_timeout: SecondsOption = ...,
        reconnect_delays: Callable[[], Generator[float]] = backoff,
        max_size: MaxSizeOption = ...,
        max_queue: MaxSizeOption = ...,
        write_limit: MaxSizeOption = ...,
        overflow: Overflow = "wait",
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
        self._cookies = cookies
        self._kwargs = kwargs
        self._reaching = Reaching(proxy, engine, kwargs, limits, user_agent_header)
        self._reconnection = Reconnection(reconnect_delays)
        # Redirects lead away from these for one attempt only.
        self._given = self.uri, self.ws_uri, additional_headers
        self._connection: ClientConnection | None = None
        self._settings = Settings.resolve(
            Side.CLIENT,
            limits,
            max_size=max_size,
            max_queue=max_queue,
            write_limit=write_limit,
            overflow=overflow,
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
        credentials (``Authorization``, ``Cookie``, ``Proxy-Authorization``, those in the URI) and
        without a ``Host`` that was given.

        Args:
            exc: why the handshake failed.

        Returns:
            The URI to connect to instead, or the exception to raise.
        """
        try:
            found = find_target(exc, self.uri)
            if found is None:
                return exc
            target, ws_uri = found
            if self._kwargs.get("sock") is not None:
                return ValueError(f"cannot follow redirect to {target} with a preexisting socket")
            check_target(self.ws_uri, ws_uri, target)
        except (InvalidURI, SecurityError) as refusal:
            return refusal
        if not same_origin(ws_uri, self.ws_uri):
            if self._kwargs.get("unix"):
                return ValueError(
                    f"cannot follow cross-origin redirect to {target} with a Unix socket"
                )
            if self._kwargs.get("host") is not None or self._kwargs.get("port") is not None:
                return ValueError(
                    f"cannot follow cross-origin redirect to {target} with an explicit host or port"
                )
            self._additional_headers = without_credentials(self._additional_headers)
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
        if self._cookies is not None:
            add_cookies(self._cookies, self.ws_uri, request.headers)
        connection = self._create_connection(self._settings)
        opening = Opening(
            connection,
            request,
            self._extensions,
            self._subprotocols,
            self._limits,
            self._require_subprotocol,
        )
        link = await self._reaching.open_link(self.ws_uri, opening.link_opened)
        try:
            await opening.done
        except BaseException:
            link.abort_link()
            raise
        finally:
            if self._cookies is not None and connection.response is not None:
                keep_cookies(self._cookies, self.ws_uri, connection.response)
        return connection

    async def connect(self) -> ClientConnection:
        """Open one connection; what awaiting this object does."""
        self.uri, self.ws_uri, self._additional_headers = self._given
        try:
            try:
                async with asyncio.timeout(self.open_timeout):
                    return await self._open()
            except TimeoutError as exc:
                if exc.errno is not None:
                    raise
                raise TimeoutError(
                    f"timed out during opening handshake: open_timeout of {self.open_timeout} s "
                    "passed"
                ) from exc
        except Exception as exc:
            exc.add_note(f"while {self._reaching.doing}")
            raise

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

    @property
    def attempts(self) -> tuple[Attempt, ...]:
        """What became of the latest attempts, oldest first; see the class."""
        return tuple(self._reconnection.attempts)

    async def __aiter__(self) -> AsyncIterator[ClientConnection]:
        loop = asyncio.get_running_loop()
        self._reconnection = Reconnection(self.reconnect_delays)
        while True:
            try:
                async with self as connection:
                    opened = loop.time()
                    yield connection
            except Exception as exc:
                delay = self._failed(exc)
            else:
                delay = self._ended(connection, loop.time() - opened)
            await asyncio.sleep(delay)

    def _failed(self, exc: Exception) -> float:
        """Judge why there is no connection: seconds to wait, or raise if there should be none."""
        return self._wait_after("connect failed", self._judge_failure(exc))

    def _ended(self, connection: Connection, lasted: float) -> float:
        """Judge how a connection that lasted so many seconds ended: seconds to wait."""
        if ended_by_us(connection):
            self._reconnection.begin_anew()
            return 0.0
        attempt = self._reconnection.lost(
            show(self.ws_uri),
            str(connection.why or connection.close_exc),
            lasted,
            connection.close_code,
            connection.close_reason,
        )
        return self._wait_after("connection lost", attempt)

    def _wait_after(self, what: str, attempt: Attempt) -> float:
        delay = attempt.delay or 0.0
        self.logger.info("%s; reconnecting in %.1f seconds: %s", what, delay, attempt.reason)
        return delay

    def _judge_failure(self, exc: Exception) -> Attempt:
        """Decide how long to wait before the next attempt, or raise if there should be none."""
        again, uri = self._reconnection, show(self.ws_uri)
        try:
            verdict = self.process_exception(exc)
        except Exception as raised:
            verdict = raised
        if verdict is None:
            return again.failed(uri, exc)
        again.given_up(uri, exc)
        if verdict is exc:
            raise exc
        raise verdict from exc


def show(uri: WebSocketURI) -> str:
    """Show a URI in a log: without credentials, which a query may be too."""
    scheme = "wss" if uri.secure else "ws"
    return f"{scheme}://{build_host(uri.host, uri.port, uri.secure)}{uri.path}"


def ended_by_us(connection: Connection) -> bool:
    """Whether our side has ended a connection because it had enough, not because of a fault."""
    sent = connection.close_sent
    if sent is None or connection.close_rcvd_then_sent:
        return False
    return sent.code in OK_CLOSE_CODES


def unix_uri(uri: str | None, options: dict[str, Any]) -> str:
    """What is asked for over a Unix socket, with these options of :class:`connect`."""
    if uri is not None:
        return uri
    return "ws://localhost/" if options.get("ssl") is None else "wss://localhost/"


def unix_connect(path: PathLike | None = None, uri: str | None = None, **kwargs: Any) -> connect:
    """Connect to a WebSocket server on a Unix socket.

    Args:
        path: of the socket, in the file system.
        uri: for the request; by default ``ws://localhost/``, or ``wss://localhost/`` with ``ssl``.
        **kwargs: options of :class:`connect`.

    Returns:
        What :class:`connect` returns.
    """
    return connect(unix_uri(uri, kwargs), unix=True, path=path, **kwargs)
