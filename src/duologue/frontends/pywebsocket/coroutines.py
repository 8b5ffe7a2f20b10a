"""Handlers that are ``async def``.

Each runs on an event loop of its own, in its connection's thread: it can't keep others waiting. The
methods of ``request.ws_stream`` are coroutines for it; the blocking ones of the real stream run in
one more thread, or in two while it sends and receives at once. An idle connection costs these and
the loop's three descriptors.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable
from typing import Any

__all__ = ["AsyncStream", "answer", "call"]


class AsyncStream:
    """A stream whose methods are awaited; everything else is as on the stream itself.

    A ``receive_message`` that is cancelled loses nothing: the next one gets its message.

    Args:
        stream: The one that blocks.
    """

    def __init__(self, stream: Any) -> None:
        self._stream = stream
        self._receiving: asyncio.Future[Any] | None = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    async def receive_message(self) -> Any:
        """See :meth:`Stream.receive_message`."""
        if self._receiving is None:
            self._receiving = asyncio.ensure_future(asyncio.to_thread(self._stream.receive_message))
        receiving = self._receiving
        try:
            return await asyncio.shield(receiving)
        finally:
            if receiving.done() and self._receiving is receiving:
                self._receiving = None

    async def send_message(self, message: Any, end: bool = True, binary: bool = False) -> None:
        """See :meth:`Stream.send_message`."""
        await asyncio.to_thread(self._stream.send_message, message, end, binary)

    async def send_ping(self, body: Any, binary: bool = False) -> None:
        """See :meth:`Stream.send_ping`."""
        await asyncio.to_thread(self._stream.send_ping, body, binary)

    async def close_connection(self, *args: Any, **kwargs: Any) -> None:
        """See :meth:`Stream.close_connection`."""
        await asyncio.to_thread(self._stream.close_connection, *args, **kwargs)

    async def finish(self) -> None:
        """Ends a ``receive_message`` that nobody waits for, so that no thread is left behind."""
        if self._receiving is None:
            return
        closing = asyncio.to_thread(self._stream.close_connection)
        await asyncio.gather(closing, self._receiving, return_exceptions=True)


async def _run(function: Callable[[Any], Any], request: Any) -> None:
    stream = getattr(request, "ws_stream", None)
    if stream is None:
        await function(request)
        return
    request.ws_stream = AsyncStream(stream)
    try:
        await function(request)
        await request.ws_stream.finish()
    except BaseException:
        if request.ws_stream._receiving is not None:
            request.connection.interrupt()
        raise
    finally:
        request.ws_stream = stream


def call(function: Callable[[Any], Any], request: Any) -> None:
    """Calls a handler's function, whichever kind it is, and waits until it is done.

    Args:
        function: ``web_socket_do_extra_handshake`` or ``web_socket_transfer_data``.
        request: What it is given.

    Raises:
        Exception: Whatever it raises.
    """
    if inspect.iscoroutinefunction(function):
        asyncio.run(_run(function, request))
    else:
        function(request)


def answer(function: Callable[[Any], Any], request: Any) -> Any:
    """Returns what ``web_socket_passive_closing_handshake`` does, whichever kind it is.

    It is called while a message is being received, and has no use for ``ws_stream``.

    Args:
        function: The handler's.
        request: What it is given.

    Raises:
        Exception: Whatever it raises.
    """
    result = function(request)
    return asyncio.run(result) if inspect.iscoroutine(result) else result
