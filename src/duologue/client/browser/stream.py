"""``WebSocketStream``: a WebSocket as a pair of streams, with back-pressure both ways.

The constructor begins to connect; what comes of it is told by two promises, ``opened`` and
``closed``. They are futures of the event loop that runs when the object is made.

Back-pressure: one message waits in the readable stream, and as many as ``max_queue`` and
``Limits.max_queue_bytes`` allow in the connection; then nothing more is read, and the peer has to
wait. The promise of a write is kept when what waits to be sent is below ``write_limit``; chunks
that are written meanwhile wait in the writable stream, up to ``Limits.max_outbox``.

Invariants:
    * both promises are settled, whatever happens, ``opened`` first;
    * an end that isn't clean gives the same :class:`WebSocketError` to everybody who waits.

Source: WHATWG WebSockets, "The WebSocketStream interface" (a draft).
"""

from __future__ import annotations

import asyncio
import functools
import inspect
from collections.abc import Mapping
from typing import Any, NamedTuple

from duologue.base.exceptions import ConnectionClosed
from duologue.client.browser.abort import AbortSignal
from duologue.client.browser.arguments import get_protocols, get_url
from duologue.client.browser.connecting import BrowserConnect
from duologue.client.browser.dom_exception import DOMException
from duologue.client.browser.ending import judge_end
from duologue.client.browser.streams_error import WebSocketError, get_close, get_dictionary
from duologue.client.browser.streams_promises import Promise, settle
from duologue.client.browser.streams_readable import ReadableStream
from duologue.client.browser.streams_sink import ConnectionSink
from duologue.client.browser.streams_writable import WritableStream
from duologue.client.browser.websocket import WebSocket
from duologue.client.connection import ClientConnection

__all__ = ["WebSocketCloseInfo", "WebSocketOpenInfo", "WebSocketStream"]

_OPTIONS = {
    name
    for name, parameter in inspect.signature(WebSocket).parameters.items()
    if parameter.kind is parameter.KEYWORD_ONLY
} - {"base"}
_NONE_IF_MISSING = ("ssl", "server_hostname", "sock", "proxy_ssl")

# The loop itself refers to its tasks weakly.
_lives: set[asyncio.Task[None]] = set()


class WebSocketOpenInfo(NamedTuple):
    """What :attr:`WebSocketStream.opened` promises.

    Attributes:
        readable: messages of the peer: :class:`str` and :class:`bytes`.
        writable: takes messages for the peer: :class:`str`, bytes-like objects and blobs.
        extensions: extensions in use, as the server named them.
        protocol: subprotocol in use, empty if there is none.
    """

    readable: ReadableStream
    writable: WritableStream
    extensions: str
    protocol: str


class WebSocketCloseInfo(NamedTuple):
    """What :attr:`WebSocketStream.closed` promises.

    Attributes:
        closeCode: close code of the peer, 1005 if it gave none.
        reason: close reason of the peer.
    """

    closeCode: int
    reason: str


class WebSocketStream:
    """A WebSocket whose messages are read from a stream and written to another.

    ::

        stream = WebSocketStream("wss://example.com/chat", {"protocols": ["chat.v1"]})
        readable, writable, extensions, protocol = await stream.opened
        writer = writable.getWriter()
        await writer.write("hello")
        async for message in readable:
            ...
        code, reason = await stream.closed

    Args:
        url: address to connect to, as of :class:`WebSocket`.
        options: a mapping with ``protocols``, a list of subprotocols to offer, and ``signal``, an
            :class:`AbortSignal`, or an object like one, that gives up connecting; afterwards it has
            no effect.
        base: what a relative ``url`` refers to.
        **more: ``protocols`` and ``signal`` as keywords, and the options of :class:`WebSocket`
            that a page cannot set.

    Raises:
        DOMException: ``SyntaxError`` if the URL or a subprotocol can't be.
        TypeError: If an argument has the wrong type.
        RuntimeError: If no event loop runs, so that nobody could await the promises.
    """

    def __init__(
        self,
        url: Any,
        options: Mapping[str, Any] | None = None,
        /,
        *,
        base: Any = None,
        **more: Any,
    ) -> None:
        given = get_dictionary(
            options, protocols=more.pop("protocols", None), signal=more.pop("signal", None)
        )
        self._url = get_url(url, base)
        protocols = given.get("protocols")
        if isinstance(protocols, str | Mapping):
            raise TypeError(f"protocols must be a list of str, not {protocols!r}")
        names = get_protocols(protocols)
        signal = given.get("signal")
        if signal is not None and not _is_signal(signal):
            raise TypeError(f"signal must be an AbortSignal, not {signal!r}")
        loop = asyncio.get_running_loop()
        connecter = BrowserConnect(self._url, names, **_get_options(more))
        self._connection: ClientConnection | None = None
        self._opened: Promise[WebSocketOpenInfo] = loop.create_future()
        self._closed: Promise[WebSocketCloseInfo] = loop.create_future()
        self._error: WebSocketError | None = None
        if signal is not None and signal.aborted:
            self._refuse(_reason_of(signal), _reason_of(signal))
            return
        self._life = loop.create_task(self._live(connecter))
        _lives.add(self._life)
        self._life.add_done_callback(self._lived)
        if signal is not None:
            # Not by its list of algorithms, so that anybody's signals will do.
            abort = functools.partial(self._aborted, signal)
            signal.addEventListener("abort", abort)
            self._opened.add_done_callback(
                lambda opened: signal.removeEventListener("abort", abort)
            )

    @property
    def url(self) -> str:
        """The address, normalized."""
        return self._url.href

    @property
    def opened(self) -> Promise[WebSocketOpenInfo]:
        """Promise of the connection; rejected with :class:`WebSocketError` if there is none."""
        return self._opened

    @property
    def closed(self) -> Promise[WebSocketCloseInfo]:
        """Promise of a clean end; rejected with :class:`WebSocketError` after any other.

        An end is clean when both sides have sent their Close frame, and the peer's didn't come
        while a message was being sent.
        """
        return self._closed

    def close(
        self,
        closeInfo: Mapping[str, Any] | None = None,
        /,
        *,
        closeCode: int | None = None,
        reason: str | None = None,
    ) -> None:
        """Begin to close; while connecting, give up.

        What was written before is sent first. Closing again changes nothing.

        Args:
            closeInfo: a mapping with ``closeCode`` and ``reason``.
            closeCode: 1000 or from 3000 to 4999; ``None`` for a Close frame without one.
            reason: at most 123 octets of UTF-8; without a code it goes with 1000.

        Raises:
            DOMException: ``InvalidAccessError`` for another code, ``SyntaxError`` for a longer
                reason.
            TypeError: If an argument has the wrong type.
        """
        given = get_dictionary(closeInfo, closeCode=closeCode, reason=reason)
        self._start_close(*get_close(given))

    # -- inner parts

    def _start_close(self, code: int | None, reason: str) -> None:
        if self._connection is not None:
            self._connection.start_close(code, reason)
        else:
            self._give_up(None)

    def _close_for(self, reason: object) -> None:
        """Close with the code of a WebSocketError, without one for any other reason."""
        if isinstance(reason, WebSocketError):
            self._start_close(reason.closeCode, reason.reason)
        else:
            self._start_close(None, "")

    def _aborted(self, signal: AbortSignal, event: object) -> None:
        self._give_up(_reason_of(signal))

    def _give_up(self, exc: BaseException | None) -> None:
        """Connect no more."""
        if self._opened.done():
            return
        self._life.cancel()
        if exc is not None:
            self._refuse(exc, exc)

    def _refuse(self, opened: BaseException, closed: BaseException) -> None:
        settle(self._opened, opened, handled=True)
        settle(self._closed, closed, handled=True)

    def _lived(self, life: asyncio.Task[None]) -> None:
        """The task is done; settle what is left if it was cancelled, even before it began."""
        _lives.discard(life)
        exc = None if life.cancelled() else life.exception()
        never = WebSocketError("the connection was never opened")
        error = WebSocketError._received("the connection was never opened", 1006, "")
        never.__cause__ = error.__cause__ = exc
        self._refuse(never, error)

    async def _live(self, connecter: BrowserConnect) -> None:
        """From connecting to the end."""
        connection = self._connection = await connecter.connect()
        sink = ConnectionSink(connection, self._close_for, self._fail)
        readable = ReadableStream(self._close_for)
        writable = WritableStream(sink)
        extensions = ", ".join(connection.response.headers.get_all("Sec-WebSocket-Extensions"))
        self._opened.set_result(
            WebSocketOpenInfo(readable, writable, extensions, connection.subprotocol or "")
        )
        reading = asyncio.create_task(_read(connection, readable))
        await connection.wait_closed()
        readable.rush()
        await reading
        await sink.idle()
        self._end(connection, sink, readable, writable)

    def _fail(self, connection: ClientConnection) -> WebSocketError:
        """Return what everybody gets who waits when the end isn't clean."""
        if self._error is None:
            end = judge_end(connection)
            self._error = WebSocketError._received(
                "the connection was not closed cleanly", end.code, end.reason
            )
            self._error.__cause__ = connection.close_exc
        return self._error

    def _end(
        self,
        connection: ClientConnection,
        sink: ConnectionSink,
        readable: ReadableStream,
        writable: WritableStream,
    ) -> None:
        """The connection is closed: tell everybody."""
        end = judge_end(connection)
        if end.clean and not sink.cut:
            sink.ended(None)
            readable.close()
            writable.error(
                DOMException("a closed WebSocketStream takes no chunk", "InvalidStateError")
            )
            self._closed.set_result(WebSocketCloseInfo(end.code, end.reason))
        else:
            error = self._fail(connection)
            sink.ended(error)
            readable.error(error)
            writable.error(error)
            settle(self._closed, error, handled=True)


async def _read(connection: ClientConnection, readable: ReadableStream) -> None:
    try:
        async for message in connection:
            readable.enqueue(message)
            await readable.wanted()
    except ConnectionClosed:
        pass


def _get_options(given: Mapping[str, Any]) -> dict[str, Any]:
    """Turn options of a WebSocket into those of its connecter.

    Raises:
        TypeError: If there is no such option.
    """
    unknown = sorted(set(given) - _OPTIONS)
    if unknown:
        raise TypeError(f"WebSocketStream() has no option {', '.join(unknown)}")
    options = dict(given)
    for name in _NONE_IF_MISSING:
        # Here None says that there is none, which these options of connect() don't know.
        if options.get(name, ...) is None:
            del options[name]
    if "headers" in options:
        options["additional_headers"] = options.pop("headers")
    return options


def _is_signal(value: object) -> bool:
    return all(hasattr(value, name) for name in ("aborted", "reason", "addEventListener"))


def _reason_of(signal: AbortSignal) -> BaseException:
    """Return why a signal is aborted, as something that can be raised."""
    reason = signal.reason
    if isinstance(reason, Exception):
        return reason
    return DOMException(f"aborted: {reason!r}", "AbortError")
