"""A readable stream with the names of the WHATWG Streams Standard: what WebSocketStream reads from.

It holds chunks that somebody else puts in, and the promises of those who read. It must never know
where chunks come from.

Invariants:
    * chunks and waiting reads are never there at once;
    * whoever fills the stream awaits :meth:`ReadableStream.wanted` after each chunk, so that more
      than one never waits here (high-water mark 1, counted in chunks), unless the stream is to end;
    * what is returned as a promise is an :class:`asyncio.Future` and happens whether or not it is
      awaited.

Not here, since nobody reads octets by the piece from a WebSocket: byte streams, ``tee()``,
``pipeTo()`` and ``pipeThrough()``.

Source: WHATWG Streams, sections 4.2 to 4.5.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from typing import Any, NamedTuple

from duologue.client.browser.streams_promises import Promise, reject, resolve, settle

Cancel = Callable[[object], None]


class ReadResult(NamedTuple):
    """What a read gave.

    Attributes:
        value: the chunk, ``None`` at the end.
        done: whether the stream is at its end.
    """

    value: Any
    done: bool


class ReadableStream:
    """Chunks in the order in which they came, for one reader at a time.

    ::

        async for chunk in stream:
            ...

    Leaving the loop before its end cancels the stream; see :meth:`values`.

    Args:
        cancel: called with the reason when nobody wants to read any more.
    """

    def __init__(self, cancel: Cancel) -> None:
        self._on_cancel = cancel
        self._loop = asyncio.get_running_loop()
        self._chunks: deque[Any] = deque()
        self._reads: deque[Promise[ReadResult]] = deque()
        self._reader: ReadableStreamDefaultReader | None = None
        self._state = "readable"
        self._error: BaseException | None = None
        self._ending = False
        self._rushing = False
        self._room: Promise[None] | None = None

    # -- for whoever reads

    @property
    def locked(self) -> bool:
        """Whether there is a reader."""
        return self._reader is not None

    def getReader(self) -> ReadableStreamDefaultReader:
        """Lock the stream to a new reader.

        Raises:
            TypeError: If it has one already.
        """
        return ReadableStreamDefaultReader(self)

    def cancel(self, reason: object = None) -> Promise[None]:
        """Want no more: chunks that wait are dropped, and the source is told why.

        Args:
            reason: for the source; a WebSocketStream closes with the code of a
                :class:`WebSocketError`.

        Returns:
            A promise that is rejected with :exc:`TypeError` if the stream is locked, and with its
            error if it has failed.
        """
        if self.locked:
            return reject(TypeError("a locked stream is cancelled by its reader"))
        return self._cancel(reason)

    def values(self, *, preventCancel: bool = False) -> AsyncGenerator[Any, None]:
        """Iterate over the chunks; the stream is locked meanwhile.

        Args:
            preventCancel: whether to leave the stream as it is, rather than cancel it, when the
                iteration is given up.

        Raises:
            TypeError: If the stream is locked.
        """
        return _iterate(self.getReader(), preventCancel)

    def __aiter__(self) -> AsyncIterator[Any]:
        return self.values()

    # -- for whoever fills it

    def enqueue(self, chunk: Any) -> None:
        """Give a chunk to the first who waits, else keep it."""
        if self._state != "readable" or self._ending:
            return
        if self._reads:
            self._reads.popleft().set_result(ReadResult(chunk, False))
        else:
            self._chunks.append(chunk)

    async def wanted(self) -> None:
        """Wait until the stream has room for a chunk, or will never take one again."""
        while self._chunks and self._state == "readable" and not (self._ending or self._rushing):
            self._room = self._loop.create_future()
            await self._room

    def rush(self) -> None:
        """Make :meth:`wanted` never wait again: few chunks will come, and then the end."""
        self._rushing = True
        self._let_in()

    def _let_in(self) -> None:
        room, self._room = self._room, None
        if room is not None and not room.done():
            room.set_result(None)

    def close(self) -> None:
        """End the stream after the chunks that are in it."""
        if self._state != "readable":
            return
        self._ending = True
        self._let_in()
        if not self._chunks:
            self._finish()

    def error(self, exc: BaseException) -> None:
        """Fail the stream at once; chunks that wait are dropped."""
        if self._state != "readable":
            return
        self._state = "errored"
        self._error = exc
        self._chunks.clear()
        self._let_in()
        for read in self._take_reads():
            settle(read, exc)
        if self._reader is not None:
            self._reader._settle()

    # -- inner parts, shared with the reader

    def _finish(self) -> None:
        self._state = "closed"
        self._chunks.clear()
        self._let_in()
        for read in self._take_reads():
            read.set_result(ReadResult(None, True))
        if self._reader is not None:
            self._reader._settle()

    def _take_reads(self) -> list[Promise[ReadResult]]:
        reads, self._reads = self._reads, deque()
        return [read for read in reads if not read.done()]

    def _read(self) -> Promise[ReadResult]:
        if self._error is not None:
            return reject(self._error)
        if self._chunks:
            chunk = self._chunks.popleft()
            if not self._chunks:
                if self._ending:
                    self._finish()
                self._let_in()
            return resolve(ReadResult(chunk, False))
        if self._state == "closed":
            return resolve(ReadResult(None, True))
        read: Promise[ReadResult] = self._loop.create_future()
        self._reads.append(read)
        # Who stops waiting must not take a chunk with them.
        read.add_done_callback(self._given_up)
        return read

    def _given_up(self, read: Promise[ReadResult]) -> None:
        if read.cancelled() and read in self._reads:
            self._reads.remove(read)

    def _cancel(self, reason: object) -> Promise[None]:
        if self._error is not None:
            return reject(self._error)
        if self._state == "closed":
            return resolve(None)
        self._finish()
        try:
            self._on_cancel(reason)
        except Exception as exc:
            return reject(exc)
        return resolve(None)


class ReadableStreamDefaultReader:
    """Whoever reads a stream at the moment; made by :meth:`ReadableStream.getReader`.

    Args:
        stream: what to read; it becomes locked.

    Raises:
        TypeError: If it is locked already.
    """

    def __init__(self, stream: ReadableStream) -> None:
        if stream._reader is not None:
            raise TypeError("the stream is locked by another reader")
        self._stream: ReadableStream | None = stream
        self._closed: Promise[None] = stream._loop.create_future()
        stream._reader = self
        if stream._state != "readable":
            self._settle()

    @property
    def closed(self) -> Promise[None]:
        """Promise of the stream's end; rejected if it fails or the lock is released."""
        return self._closed

    def read(self) -> Promise[ReadResult]:
        """Return a promise of the next chunk, or of ``done`` at the end."""
        if self._stream is None:
            return reject(TypeError("the reader has released the stream"))
        return self._stream._read()

    def cancel(self, reason: object = None) -> Promise[None]:
        """Cancel the stream; see :meth:`ReadableStream.cancel`."""
        if self._stream is None:
            return reject(TypeError("the reader has released the stream"))
        return self._stream._cancel(reason)

    def releaseLock(self) -> None:
        """Give the stream back; reads that wait are rejected with :exc:`TypeError`."""
        stream, self._stream = self._stream, None
        if stream is None:
            return
        stream._reader = None
        released = TypeError("the reader has released the stream")
        if self._closed.done():
            self._closed = reject(released, handled=True)
        else:
            settle(self._closed, released, handled=True)
        for read in stream._take_reads():
            settle(read, released)

    def _settle(self) -> None:
        """The stream has ended."""
        assert self._stream is not None
        if self._closed.done():
            return
        if self._stream._error is not None:
            # The standard counts it as handled: nobody has to look at it.
            settle(self._closed, self._stream._error, handled=True)
        else:
            self._closed.set_result(None)


async def _iterate(
    reader: ReadableStreamDefaultReader, prevent_cancel: bool
) -> AsyncGenerator[Any, None]:
    given_up = True
    try:
        while True:
            value, done = await reader.read()
            if done:
                given_up = False
                return
            yield value
    except GeneratorExit:
        raise
    except BaseException as exc:
        # A failed stream has nothing left to cancel; a cancelled task gives up.
        given_up = isinstance(exc, asyncio.CancelledError)
        raise
    finally:
        if given_up and not prevent_cancel:
            reader.cancel()
        reader.releaseLock()
