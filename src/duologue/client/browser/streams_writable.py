"""A writable stream with the names of the WHATWG Streams Standard: what WebSocketStream writes to.

It hands chunks to a sink, one at a time, and holds those that wait for their turn. It must never
know what a sink does with them.

Invariants:
    * the sink has at most one chunk, and gets the next when the promise of that one is kept;
    * chunks of all calls together, octets by octets, stay within ``most`` while more than one
      waits: above it a write is refused, and the refusal names the limit;
    * a stream that fails rejects everything that waits, with the same exception; the chunk that the
      sink has is kept or rejected by the sink.

The high-water mark is one chunk: ``desiredSize`` is 1 for an idle stream, and ``ready`` is kept
while nothing waits.

Source: WHATWG Streams, sections 5.2 to 5.5.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable
from typing import Protocol

from duologue.client.browser.streams_promises import Promise, reject, resolve, settle

HIGH_WATER_MARK = 1
"""Chunks."""


class Sink(Protocol):
    """Where chunks go."""

    def convert(self, chunk: object) -> str | bytes:
        """Return what will be written, which its owner can't change any more.

        Raises:
            TypeError: If it isn't a chunk.
        """

    def write(self, data: str | bytes) -> Awaitable[None]:
        """Begin to write, and return an awaitable of there being room for more."""

    def close(self) -> Awaitable[None]:
        """Begin to close, and return an awaitable of its being done."""

    def abort(self, reason: object) -> None:
        """Give up."""

    def too_much(self, octets: int) -> Exception | None:
        """Return why no more can wait, if so.

        Args:
            octets: what would wait then.
        """


class _Write:
    """A chunk that waits, or is in the sink's hands."""

    def __init__(self, data: str | bytes | Exception, promise: Promise[None]) -> None:
        self.data = data
        self.promise = promise
        # Text is counted by characters: its octets are known when it is sent.
        self.octets = 0 if isinstance(data, Exception) else len(data)


class WritableStream:
    """Takes chunks, from one writer at a time.

    Args:
        sink: where they go.
    """

    def __init__(self, sink: Sink) -> None:
        self._sink = sink
        self._loop = asyncio.get_running_loop()
        self._writer: WritableStreamDefaultWriter | None = None
        self._state = "writable"
        self._error: BaseException | None = None
        self._writes: deque[_Write] = deque()
        self._octets = 0
        self._busy: asyncio.Future[None] | None = None
        self._last: Promise[None] | None = None
        self._closing: Promise[None] | None = None

    # -- for whoever writes

    @property
    def locked(self) -> bool:
        """Whether there is a writer."""
        return self._writer is not None

    def getWriter(self) -> WritableStreamDefaultWriter:
        """Lock the stream to a new writer.

        Raises:
            TypeError: If it has one already.
        """
        return WritableStreamDefaultWriter(self)

    def close(self) -> Promise[None]:
        """Close after the chunks that wait.

        Returns:
            A promise that is kept when the sink has closed, for a WebSocketStream after the
            closing handshake; rejected with :exc:`TypeError` if the stream is locked, or is
            closed or closing already.
        """
        if self.locked:
            return reject(TypeError("a locked stream is closed by its writer"))
        return self._close()

    def abort(self, reason: object = None) -> Promise[None]:
        """Give up: chunks that wait are dropped, the stream fails with the reason.

        Args:
            reason: for the sink; a WebSocketStream closes with the code of a
                :class:`WebSocketError`.

        Returns:
            A promise that is kept when the sink has been told; rejected with :exc:`TypeError` if
            the stream is locked.
        """
        if self.locked:
            return reject(TypeError("a locked stream is aborted by its writer"))
        return self._abort(reason)

    # -- for the sink's owner

    @property
    def writing(self) -> bool:
        """Whether the sink has a chunk, or chunks wait."""
        return bool(self._writes)

    def error(self, exc: BaseException) -> None:
        """Fail the stream, unless it has ended or is being closed by the sink."""
        if self._state == "writable" and not (self._closing is not None and self._busy):
            self._fail(exc)

    # -- inner parts, shared with the writer

    @property
    def _desired_size(self) -> int | None:
        if self._state == "errored":
            return None
        return 0 if self._state == "closed" else HIGH_WATER_MARK - len(self._writes)

    def _write(self, chunk: object) -> Promise[None]:
        if self._error is not None:
            return reject(self._error)
        if self._closing is not None or self._state == "closed":
            return reject(TypeError("the stream is closed or closing"))
        data: str | bytes | Exception
        try:
            data = self._sink.convert(chunk)
        except Exception as exc:
            # It fails the stream in its turn, after what was written before.
            data = exc
        write = _Write(data, self._loop.create_future())
        refusal = self._sink.too_much(self._octets + write.octets) if self._writes else None
        if refusal is not None:
            return reject(refusal)
        self._writes.append(write)
        self._octets += write.octets
        self._advance()
        self._tell_writer()
        return write.promise

    def _close(self) -> Promise[None]:
        if self._closing is not None or self._state != "writable":
            return reject(TypeError("the stream is closed, closing or failed"))
        self._closing = closing = self._loop.create_future()
        self._advance()
        self._tell_writer()
        return closing

    def _abort(self, reason: object) -> Promise[None]:
        if self._state != "writable":
            return resolve(None)
        exc = reason if isinstance(reason, Exception) else RuntimeError("the stream was aborted")
        if isinstance(exc, StopIteration):
            exc = RuntimeError("the stream was aborted")
        self._fail(exc)
        try:
            self._sink.abort(reason)
        except Exception as failure:
            return reject(failure)
        return resolve(None)

    def _advance(self) -> None:
        """Give the sink what comes next, if it has its hands free."""
        if self._busy is not None or self._state != "writable":
            return
        if self._writes:
            data = self._writes[0].data
            if isinstance(data, Exception):
                self._fail(data)
                return
            work = self._sink.write(data)
        elif self._closing is not None:
            work = self._sink.close()
        else:
            return
        self._busy = asyncio.ensure_future(work)
        self._busy.add_done_callback(self._advanced)

    def _advanced(self, work: asyncio.Future[None]) -> None:
        """The sink has done what it was given last."""
        self._busy = None
        exc = asyncio.CancelledError() if work.cancelled() else work.exception()
        if self._last is not None:
            # The stream has failed meanwhile, which is no news of this chunk.
            if exc is not None:
                settle(self._last, exc)
            elif not self._last.done():
                self._last.set_result(None)
            self._last = None
        elif self._state != "writable":
            return
        elif exc is not None:
            self._fail(exc)
        elif self._writes:
            write = self._writes.popleft()
            self._octets -= write.octets
            if not write.promise.done():
                write.promise.set_result(None)
            self._advance()
            self._tell_writer()
        elif self._closing is not None:
            self._state = "closed"
            if not self._closing.done():
                self._closing.set_result(None)
            self._tell_writer()

    def _fail(self, exc: BaseException) -> None:
        self._state = "errored"
        self._error = exc
        writes, self._writes = self._writes, deque()
        self._octets = 0
        if writes and self._busy is not None:
            self._last = writes.popleft().promise
        for write in writes:
            settle(write.promise, exc)
        if self._closing is not None:
            settle(self._closing, exc)
        self._tell_writer()

    def _tell_writer(self) -> None:
        if self._writer is not None:
            self._writer._look()


class WritableStreamDefaultWriter:
    """Whoever writes to a stream at the moment; made by :meth:`WritableStream.getWriter`.

    Args:
        stream: what to write to; it becomes locked.

    Raises:
        TypeError: If it is locked already.
    """

    def __init__(self, stream: WritableStream) -> None:
        if stream._writer is not None:
            raise TypeError("the stream is locked by another writer")
        self._stream: WritableStream | None = stream
        self._ready: Promise[None] = stream._loop.create_future()
        self._closed: Promise[None] = stream._loop.create_future()
        stream._writer = self
        self._look()

    @property
    def closed(self) -> Promise[None]:
        """Promise of the stream's end; rejected if it fails or the lock is released."""
        return self._closed

    @property
    def ready(self) -> Promise[None]:
        """Promise of there being room; a new one each time that the stream becomes full."""
        return self._ready

    @property
    def desiredSize(self) -> int | None:
        """Chunks that fit until ``ready`` has to be awaited; ``None`` if the stream has failed.

        Raises:
            TypeError: If the lock was released.
        """
        return self._locked()._desired_size

    def write(self, chunk: object) -> Promise[None]:
        """Write a chunk after those before it.

        Returns:
            A promise that is kept when there is room for the next one.
        """
        if self._stream is None:
            return reject(TypeError("the writer has released the stream"))
        return self._stream._write(chunk)

    def close(self) -> Promise[None]:
        """Close the stream; see :meth:`WritableStream.close`."""
        if self._stream is None:
            return reject(TypeError("the writer has released the stream"))
        return self._stream._close()

    def abort(self, reason: object = None) -> Promise[None]:
        """Abort the stream; see :meth:`WritableStream.abort`."""
        if self._stream is None:
            return reject(TypeError("the writer has released the stream"))
        return self._stream._abort(reason)

    def releaseLock(self) -> None:
        """Give the stream back; what was written goes on being written."""
        if self._stream is None:
            return
        self._stream._writer = None
        self._stream = None
        released = TypeError("the writer has released the stream")
        self._ready = self._rejected(self._ready, released)
        self._closed = self._rejected(self._closed, released)

    def _locked(self) -> WritableStream:
        if self._stream is None:
            raise TypeError("the writer has released the stream")
        return self._stream

    def _look(self) -> None:
        """See what the stream's state means for the promises."""
        stream = self._locked()
        if stream._error is not None:
            self._ready = self._rejected(self._ready, stream._error)
            if not self._closed.done():
                settle(self._closed, stream._error, handled=True)
        elif stream._state == "closed":
            for promise in (self._ready, self._closed):
                if not promise.done():
                    promise.set_result(None)
        elif len(stream._writes) < HIGH_WATER_MARK or stream._closing is not None:
            if not self._ready.done():
                self._ready.set_result(None)
        elif self._ready.done():
            self._ready = stream._loop.create_future()

    @staticmethod
    def _rejected(promise: Promise[None], exc: BaseException) -> Promise[None]:
        """Break a promise, or put a broken one in the place of one that was kept."""
        if promise.done():
            return reject(exc, handled=True)
        settle(promise, exc, handled=True)
        return promise
