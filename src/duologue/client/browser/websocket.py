"""``WebSocket``, the interface that pages have (WHATWG WebSockets section 3).

The object itself holds what a program sees; its :class:`Session` does what happens on the event
loop. Methods may be called from any thread: what they start, they hand to the loop's thread.

Invariant: ``_state`` is written by the loop's thread only, ``_close_called`` is set once and by
whoever calls ``close()``; ``readyState`` follows from both, so that no lock is needed.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import socket
import ssl as ssl_module
from collections.abc import Awaitable, Mapping, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from duologue.base.limits import Limits
from duologue.base.types import LoggerLike, Origin
from duologue.client.browser.arguments import check_close, get_protocols, get_url, to_message
from duologue.client.browser.connecting import BROWSER_LIMITS, BrowserConnect
from duologue.client.browser.constants import Constant, WithConstants
from duologue.client.browser.dom_exception import DOMException
from duologue.client.browser.event_target import EventHandler, EventTarget
from duologue.client.browser.session import Session
from duologue.client.connection import ClientConnection
from duologue.client.reaching import ProxyOption
from duologue.connection.settings import MaxSizeOption, SecondsOption
from duologue.net.engine import Engine
from duologue.wire.headers import HeadersLike
from duologue.wire.http11 import USER_AGENT

if TYPE_CHECKING:
    from http.cookiejar import CookieJar

__all__ = ["WebSocket"]

# Events that may still happen, by state; listeners for them keep a socket alive.
_MAY_HAPPEN = (
    ("open", "message", "error", "close"),
    ("message", "error", "close"),
    ("error", "close"),
    (),
)


class WebSocket(EventTarget, metaclass=WithConstants):
    """A WebSocket as in a browser.

    ::

        ws = WebSocket("wss://example.com/chat", ["v1"])
        ws.onmessage = lambda event: print(event.data)
        ws.addEventListener("close", lambda event: print(event.code, event.reason))

    In a coroutine or a callback of asyncio, events are dispatched by the running loop. Elsewhere a
    background thread dispatches them, and :meth:`wait_closed` keeps the script waiting. Listeners
    may be coroutine functions. ``with`` and ``async with`` close the socket and wait for the end.

    Args:
        url: ``ws://`` or ``wss://``; ``http`` and ``https`` stand for them.
        protocols: subprotocols to offer, by preference: one, a list, or a mapping with the key
            ``"protocols"``.
        *ignored: nothing, as in JavaScript.
        base: what a relative ``url`` refers to.
        headers: more headers of the request.
        origin: value of the ``Origin`` header; there is none by default, since there is no page.
        cookies: jar whose cookies are sent, and which keeps those that responses set.
        ssl: TLS settings, by default those of :func:`ssl.create_default_context`.
        server_hostname: name to ask the server's certificate for, instead of the host of ``url``.
        sock: a connected socket to use; it is taken over.
        proxy: ``True`` for the proxy that the system is configured to use, ``None`` for none, or
            the address of one; see :class:`duologue.connect`.
        proxy_ssl: TLS settings for an ``https://`` proxy itself.
        compression: ``"deflate"`` to offer permessage-deflate, ``None`` not to.
        max_size: greatest message in octets, 16 MiB by default; ``None`` for no limit.
        max_queue: messages waiting to be dispatched at which reading pauses; ``None`` for no limit.
        open_timeout: seconds until the connection is open, 20 by default, ``None`` for any time.
        close_timeout: seconds for the closing handshake, 10 by default, ``None`` for any time.
        ping_interval: seconds between keepalive pings, none by default.
        ping_timeout: seconds after a ping in which something must arrive.
        user_agent_header: value of the ``User-Agent`` header, ``None`` for none.
        limits: every bound; see :data:`~duologue.client.browser.connecting.BROWSER_LIMITS`.
        logger: by default ``logging.getLogger("duologue.client")``.
        engine: what carries the connection; see :class:`duologue.connect`.

    Raises:
        DOMException: ``SyntaxError`` if ``url`` or ``protocols`` can't be.
        TypeError: If an argument has the wrong type.
        ValueError: If an option has a value that it can't have.
    """

    CONNECTING = Constant(0)
    OPEN = Constant(1)
    CLOSING = Constant(2)
    CLOSED = Constant(3)

    onopen = EventHandler("open")
    onmessage = EventHandler("message")
    onerror = EventHandler("error")
    onclose = EventHandler("close")

    def __init__(
        self,
        url: Any,
        protocols: str | Sequence[str] | Mapping[str, Any] | None = None,
        *ignored: object,
        base: Any = None,
        headers: HeadersLike | None = None,
        origin: str | None = None,
        cookies: CookieJar | None = None,
        ssl: ssl_module.SSLContext | None = None,
        server_hostname: str | None = None,
        sock: socket.socket | None = None,
        proxy: ProxyOption = True,
        proxy_ssl: ssl_module.SSLContext | None = None,
        compression: str | None = "deflate",
        max_size: MaxSizeOption = ...,
        max_queue: MaxSizeOption = ...,
        open_timeout: SecondsOption = ...,
        close_timeout: SecondsOption = ...,
        ping_interval: SecondsOption = ...,
        ping_timeout: SecondsOption = ...,
        user_agent_header: str | None = USER_AGENT,
        limits: Limits = BROWSER_LIMITS,
        logger: LoggerLike | None = None,
        engine: Engine = "auto",
    ) -> None:
        super().__init__()
        record = get_url(url, base)
        given = {
            "ssl": ssl,
            "server_hostname": server_hostname,
            "sock": sock,
            "proxy_ssl": proxy_ssl,
        }
        connecter = BrowserConnect(
            record,
            get_protocols(protocols),
            additional_headers=headers,
            origin=None if origin is None else Origin(origin),
            cookies=cookies,
            proxy=proxy,
            compression=compression,
            max_size=max_size,
            max_queue=max_queue,
            open_timeout=open_timeout,
            close_timeout=close_timeout,
            ping_interval=ping_interval,
            ping_timeout=ping_timeout,
            user_agent_header=user_agent_header,
            limits=limits,
            logger=logger,
            engine=engine,
            **{name: value for name, value in given.items() if value is not None},
        )
        self._url = record.href
        self._origin = record.origin
        self._state = 0
        self._close_called = False
        self._protocol = self._extensions = ""
        self._binary_type = "blob"
        self._gone: concurrent.futures.Future[None] = concurrent.futures.Future()
        self._session = Session(self, connecter)
        self._session.start()

    # -- attributes

    @property
    def url(self) -> str:
        """The URL, normalized."""
        return self._url

    @property
    def readyState(self) -> int:
        """``CONNECTING``, ``OPEN``, ``CLOSING`` or ``CLOSED``."""
        state = self._state
        if state < 2 and (self._close_called or self._session.peer_is_closing):
            return 2
        return state

    @property
    def bufferedAmount(self) -> int:
        """Octets that :meth:`send` was given and that have not left.

        Payload only. It falls between iterations of the event loop, never within one, and what is
        given to a socket that is closing stays in it.
        """
        session = self._session
        if session.is_current:
            return session.sending.amount()
        amount = session.sending.latest()
        if amount:
            session.call(session.sending.count)
        return amount

    @property
    def extensions(self) -> str:
        """Extensions that the server chose, empty until it is open."""
        return self._extensions

    @property
    def protocol(self) -> str:
        """The subprotocol that the server chose, empty if none, or until it is open."""
        return self._protocol

    @property
    def binaryType(self) -> str:
        """What binary messages become.

        ``"blob"`` for :class:`Blob`, ``"arraybuffer"`` for :class:`bytes`; setting it to anything
        else changes nothing.
        """
        return self._binary_type

    @binaryType.setter
    def binaryType(self, value: object) -> None:
        if value in ("blob", "arraybuffer"):
            self._binary_type = str(value)

    @property
    def failure(self) -> BaseException | None:
        """Why the connection failed, which pages aren't told; ``None`` if it didn't."""
        return self._session.failure

    # -- methods

    def send(self, data: Any, /) -> None:
        """Send a message; it is queued at once, and dropped if the socket is closing or closed.

        Args:
            data: :class:`str`, of which lone surrogates become U+FFFD; anything with the buffer
                protocol; or a :class:`Blob`.

        Raises:
            DOMException: ``InvalidStateError`` while it is connecting.
            TypeError: If it is something else.
        """
        message, octets = to_message(data)
        if self.readyState == 0:
            raise DOMException("the socket is still connecting", "InvalidStateError")
        session = self._session
        session.sending.give(octets)
        if self.readyState == 1:
            session.call(session.send, message, octets)

    def close(self, code: Any = None, reason: Any = None) -> None:
        """Start the closing handshake, or give up connecting; does nothing the second time.

        Args:
            code: 1000, or 3000 to 4999; a Close frame has none by default.
            reason: at most 123 octets of UTF-8.

        Raises:
            DOMException: ``InvalidAccessError`` for other codes, ``SyntaxError`` for longer
                reasons; in every state.
            TypeError: If an argument has the wrong type.
        """
        number, text = check_close(code, reason)
        if self.readyState >= 2:
            return
        self._close_called = True
        self._protect()
        self._session.call(self._session.close, number, text)

    def wait_closed(self, timeout: float | None = None) -> Awaitable[None] | None:
        """Wait until the event ``"close"`` was dispatched.

        Where an event loop runs this returns an awaitable; elsewhere it waits itself.

        Args:
            timeout: seconds, ``None`` for any time.

        Raises:
            TimeoutError: If that time passes.
        """
        self._session.call(self._session.end_grace)
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            self._gone.result(timeout)
            return None
        return self._wait_closed(timeout)

    async def _wait_closed(self, timeout: float | None) -> None:
        gone = asyncio.wrap_future(self._gone)
        async with asyncio.timeout(timeout):
            await asyncio.shield(gone)

    def __enter__(self) -> Self:
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            return self
        raise RuntimeError("an event loop runs, which must not be kept waiting: use async with")

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()
        self.wait_closed()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()
        await self._wait_closed(None)

    def __repr__(self) -> str:
        state = ("CONNECTING", "OPEN", "CLOSING", "CLOSED")[self.readyState]
        return f"<WebSocket {self._url} {state}>"

    # -- what the session says, in the loop's thread

    def _established(self, connection: ClientConnection) -> None:
        self._state = 1
        self._protocol = connection.subprotocol or ""
        agreed = connection.response.headers.get_all("Sec-WebSocket-Extensions")
        self._extensions = ", ".join(agreed)
        self._protect()

    def _closed(self) -> None:
        self._state = 3

    def _finished(self) -> None:
        self._gone.set_result(None)

    def _listeners_changed(self) -> None:
        self._protect()

    def _protect(self) -> None:
        """Stay alive while there are listeners for what may still happen."""
        self._session.keep(self._listens(*_MAY_HAPPEN[self.readyState]))
