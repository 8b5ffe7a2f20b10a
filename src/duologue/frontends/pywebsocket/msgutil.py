"""Functions on a request that most handlers use, and threads that receive and send.

The functions of an ``async def`` handler's request return awaitables.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from typing import Any

from duologue.base.limits import DEFAULT_LIMITS
from duologue.frontends.pywebsocket.exceptions import (
    BadOperationException,
    ConnectionTerminatedException,
    InvalidFrameException,
    UnsupportedFrameException,
)

__all__ = [
    "BadOperationException",
    "ConnectionTerminatedException",
    "InvalidFrameException",
    "MessageReceiver",
    "MessageSender",
    "UnsupportedFrameException",
    "close_connection",
    "receive_message",
    "send_message",
    "send_ping",
]

MAX_RECEIVED = DEFAULT_LIMITS.max_queue or 0
"""Messages that a :class:`MessageReceiver` holds until they are fetched; then the peer waits."""

MAX_UNSENT = 1024
"""Messages that a :class:`MessageSender` holds; more make ``send_nowait`` fail."""


def close_connection(request: Any) -> Any:
    """Closes with code 1000; see :meth:`Stream.close_connection`."""
    return request.ws_stream.close_connection()


def send_message(
    request: Any, payload_data: str | bytes, end: bool = True, binary: bool = False
) -> Any:
    """Sends a message; see :meth:`Stream.send_message`."""
    return request.ws_stream.send_message(payload_data, end, binary)


def receive_message(request: Any) -> Any:
    """Waits for a message; see :meth:`Stream.receive_message`."""
    return request.ws_stream.receive_message()


def send_ping(request: Any, body: str | bytes) -> Any:
    """Sends a Ping; see :meth:`Stream.send_ping`."""
    return request.ws_stream.send_ping(body)


class MessageReceiver(threading.Thread):
    """A thread that receives. It starts at once, and ends with the connection.

    Args:
        request: Of the connection.
        onmessage: Called in that thread with each message, at last with ``None``; without it
            messages are kept for :meth:`receive`.
    """

    def __init__(self, request: Any, onmessage: Callable[[Any], object] | None = None) -> None:
        super().__init__(name="MessageReceiver", daemon=True)
        self._request = request
        self._queue: queue.Queue[Any] = queue.Queue(MAX_RECEIVED)
        self._onmessage = onmessage or self._keep
        self._stop_requested = threading.Event()
        self.start()

    def run(self) -> None:
        """Receives until the end."""
        message: Any = ""
        try:
            while message is not None and not self._stop_requested.is_set():
                message = receive_message(self._request)
                self._onmessage(message)
        except ConnectionTerminatedException:
            # Who waits for a message must learn of it, too.
            self._onmessage(None)
        finally:
            if not self._request.client_terminated:
                close_connection(self._request)

    def _keep(self, message: Any) -> None:
        while not self._stop_requested.is_set():
            try:
                return self._queue.put(message, timeout=1.0)
            except queue.Full:
                continue

    def receive(self) -> Any:
        """Waits for a message; ``None`` when there are no more."""
        return self._queue.get()

    def receive_nowait(self) -> Any:
        """Returns a message if there is one, else ``None``."""
        try:
            return self._queue.get_nowait()
        except queue.Empty:
            return None

    def stop(self) -> None:
        """Has the thread end after the next message."""
        self._stop_requested.set()


class MessageSender(threading.Thread):
    """A thread that sends text messages in the order they were given to it.

    Args:
        request: Of the connection.
    """

    def __init__(self, request: Any) -> None:
        super().__init__(name="MessageSender", daemon=True)
        self._request = request
        self._queue: queue.Queue[tuple[Any, queue.SimpleQueue[Any]]] = queue.Queue(MAX_UNSENT)
        self._failure: Exception | None = None
        self.start()

    def run(self) -> None:
        """Sends until that fails; then whatever is given to it fails likewise."""
        while True:
            message, told = self._queue.get()
            if self._failure is None:
                try:
                    send_message(self._request, message)
                except Exception as error:
                    self._failure = error
            told.put(self._failure)

    def send(self, message: str) -> None:
        """Sends a message and waits until that is done.

        Raises:
            Exception: What sending it, or one before it, raised.
        """
        told: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._queue.put((message, told))
        failure = told.get()
        if failure is not None:
            raise failure

    def send_nowait(self, message: str) -> None:
        """Has a message sent later.

        Raises:
            BadOperationException: If ``MAX_UNSENT`` messages wait.
        """
        try:
            self._queue.put_nowait((message, queue.SimpleQueue()))
        except queue.Full:
            raise BadOperationException(f"{MAX_UNSENT} messages wait (MAX_UNSENT)") from None
