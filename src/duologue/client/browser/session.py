"""The life of one socket on its event loop: connecting, one event after the other, the end.

Whatever becomes an event waits where it is until it is its turn: messages in the connection's
inbox. That bounds what waits (``Limits.max_queue`` and ``max_queue_bytes``) and loses nothing:
reading pauses while the inbox is full, and each message is taken in an iteration of the loop of its
own, as an event is a task of its own in a browser. No asyncio task waits for messages: the
connection's awaitable is entered by hand, and calls back.

A socket is held weakly, unless it has listeners for what may still happen: then the connection,
which the loop holds, keeps it alive ("garbage collection" in the standard). One that is collected
while it is open closes its connection.

In a script the constructor's thread goes on while the loop's thread may have an event already. So
the first events wait for a listener, for `HANDLER_GRACE` at most, or until that thread sends, or
waits for the end.

Invariants: everything here runs in the loop's thread but what says otherwise; at most one of the
connecting task, a callback of the loop, the connection's wake-up and ``_held`` will go on.
"""

from __future__ import annotations

import asyncio
import threading
import weakref
from collections.abc import Callable
from contextvars import Context, copy_context
from typing import TYPE_CHECKING, Any

from duologue.base.exceptions import ConnectionClosed, WebSocketException
from duologue.base.vocabulary import CloseCode, State
from duologue.client.browser.background import background, when_leaving
from duologue.client.browser.blob import Blob
from duologue.client.browser.connecting import BrowserConnect
from duologue.client.browser.dispatching import report
from duologue.client.browser.ending import judge_end
from duologue.client.browser.events import CloseEvent, Event, MessageEvent
from duologue.client.browser.sending import Sending
from duologue.client.connection import ClientConnection
from duologue.connection.connection import Connection
from duologue.net.io_thread import IoThread

if TYPE_CHECKING:
    from duologue.client.browser.websocket import WebSocket

__all__ = ["HANDLER_GRACE", "SETTLING", "Session"]

HANDLER_GRACE = 0.25
"""Seconds for which the events of a script's new socket wait for a listener."""

SETTLING = 0.02
"""Seconds between the listener that such an event has waited for and the event."""


class Session:
    """What a socket does on its loop.

    Args:
        socket: whose events they are.
        connecter: opens the connection.
    """

    def __init__(self, socket: WebSocket, connecter: BrowserConnect) -> None:
        self._socket = weakref.ref(socket, self._forgotten)
        self._kept: WebSocket | None = None
        self._connecter = connecter
        self._context: Context = copy_context()
        self._thread: IoThread | None = None
        try:
            self.loop = asyncio.get_running_loop()
        except RuntimeError:
            self._thread = background()
            self.loop = self._thread.loop
        self.sending = Sending(self.loop)
        self.failure: BaseException | None = None
        self._task: asyncio.Task[ClientConnection] | None = None
        self._connection: ClientConnection | None = None
        self._recv: Any = None
        self._held: tuple[str, Callable[[WebSocket], None]] | None = None
        self._in_grace = self._thread is not None
        self._ended = False
        # The background thread says who it is when it comes to that.
        self._loop_thread = threading.get_ident() if self._thread is None else -1

    # -- from any thread

    def start(self) -> None:
        """Begin to connect; events may come as soon as this is called."""
        self.call(self._start)

    @property
    def is_current(self) -> bool:
        """Whether this thread runs the loop now."""
        return threading.get_ident() == self._loop_thread

    def call(self, function: Callable[..., None], *args: Any) -> None:
        """Call a function in the loop's thread: now if this is it, else without waiting."""
        if self._thread is not None and self._thread.forked:
            raise RuntimeError(
                "this socket belongs to the process that forked this one: make another here"
            )
        if self.is_current:
            function(*args)
        else:
            self.loop.call_soon_threadsafe(function, *args)

    def keep(self, wanted: bool) -> None:
        """Keep the socket alive, or no longer."""
        self._kept = self._socket() if wanted and not self._ended else None
        if self._held is not None:
            self.call(self._settle)

    @property
    def peer_is_closing(self) -> bool:
        """Whether the closing handshake has begun, and all that came before it was dispatched."""
        return (
            self._connection is not None
            and self._recv is not None
            and self._connection.state is not State.OPEN
        )

    def _forgotten(self, _: object) -> None:
        """The collector has taken the socket."""
        if not self._ended and not self.loop.is_closed():
            self.loop.call_soon_threadsafe(self.close, None, "")

    # -- what the socket wants

    def close(self, code: int | None, reason: str) -> None:
        """Start the closing handshake, or give up connecting."""
        if self._connection is not None:
            if self._connection.state is State.OPEN:
                self._connection.start_close(code, reason)
        elif self._task is not None:
            self._task.cancel()

    def send(self, message: str | bytes, octets: int) -> None:
        """Send a message if the connection still takes any."""
        if self._in_grace:
            self.end_grace()
        self.sending.hand(message, octets)

    def end_grace(self) -> None:
        """Nobody will add listeners before the next event: let none wait for them."""
        self._in_grace = False
        self._look_again()

    def _leave(self) -> None:
        self.close(CloseCode.GOING_AWAY, "")

    # -- opening

    def _start(self) -> None:
        self._loop_thread = threading.get_ident()
        if self._thread is not None:
            self.loop.call_later(HANDLER_GRACE, self.end_grace)
            when_leaving(self._leave, True)
        self._task = self.loop.create_task(self._connecter.connect(), context=self._context)
        self._task.add_done_callback(self._opened, context=self._context)

    def _opened(self, task: asyncio.Task[ClientConnection]) -> None:
        self._task = None
        socket = self._socket()
        if task.cancelled():
            self._finish(True, 1006, "", False)
        elif (exc := task.exception()) is not None:
            self.failure = exc
            self._connecter.logger.info("WebSocket connection failed: %s", exc)
            if not isinstance(exc, OSError | WebSocketException):
                # An option that can't be, most likely: nobody else would hear of it.
                report("a WebSocket could not connect", exc)
            self._finish(True, 1006, "", False)
        elif socket is None or socket._close_called:
            # Not established for the socket, so this fails the connection.
            _abort(task.result())
            self._finish(True, 1006, "", False)
        else:
            self._connection = task.result()
            self.sending.begin(self._connection)
            socket._established(self._connection)
            del socket
            self._deliver("open", self._fire_open)

    def _fire_open(self, socket: WebSocket) -> None:
        self._go_on()
        socket._fire(Event("open"))

    # -- messages

    def _go_on(self) -> None:
        """Take the next event in the next iteration of the loop."""
        self.loop.call_soon(self._take, context=self._context)

    def _take(self) -> None:
        assert self._connection is not None
        recv, self._recv = self._recv or self._connection.recv(), None
        try:
            waiter = recv.send(None)
        except StopIteration as stop:
            message = stop.value
            self._deliver("message", lambda socket: self._fire_message(socket, message))
        except ConnectionClosed:
            self._closed(self._connection)
        else:
            self._recv = recv
            waiter._asyncio_future_blocking = False
            waiter.add_done_callback(self._woken, context=self._context)

    def _woken(self, _: object) -> None:
        # Where octets are received; events are dispatched from the loop itself.
        self._go_on()

    def _fire_message(self, socket: WebSocket, message: str | bytes) -> None:
        self._go_on()
        if not socket._close_called:
            data: Any = message
            if isinstance(message, bytes) and socket.binaryType == "blob":
                data = Blob._of(message)
            socket._fire(MessageEvent("message", data=data, origin=socket._origin))

    # -- the order of events

    def _deliver(self, type: str, deliver: Callable[[WebSocket], None]) -> None:
        """Dispatch, unless the event should wait for a listener."""
        socket = self._socket()
        if socket is None:
            if not self._ended:
                self._go_on()
        elif self._in_grace and not socket._listens(type):
            self._held = (type, deliver)
        else:
            deliver(socket)

    def _settle(self) -> None:
        """Look again when whoever has added one listener has had time to add the next."""
        self.loop.call_later(SETTLING, self._look_again)

    def _look_again(self) -> None:
        if self._held is not None:
            held, self._held = self._held, None
            self._deliver(*held)

    # -- the end

    def _closed(self, connection: Connection) -> None:
        self.sending.count()
        end = judge_end(connection)
        self.failure = end.failure
        self._finish(end.failure is not None, end.code, end.reason, end.clean)

    def _finish(self, failed: bool, code: int, reason: str, clean: bool) -> None:
        """The last task of a socket."""
        self._ended = True
        if self._thread is not None:
            when_leaving(self._leave, False)
        socket = self._socket()
        if socket is not None:
            socket._closed()
            close = CloseEvent("close", code=code, reason=reason, wasClean=clean)

            if failed:
                self._deliver("error", lambda socket: self._fire_error(socket, close))
            else:
                self._deliver("close", lambda socket: self._fire_close(socket, close))

    def _fire_error(self, socket: WebSocket, close: CloseEvent) -> None:
        try:
            socket._fire(Event("error"))
        finally:
            self._deliver("close", lambda socket: self._fire_close(socket, close))

    def _fire_close(self, socket: WebSocket, close: CloseEvent) -> None:
        try:
            socket._fire(close)
        finally:
            self._kept = None
            socket._finished()


def _abort(connection: Connection) -> None:
    transport = connection.transport
    if transport is not None:
        transport.abort()
