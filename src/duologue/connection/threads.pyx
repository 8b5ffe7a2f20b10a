"""A connection for applications that wait in threads: the asyncio one, and who steps its coroutines.

Everything is decided by :class:`duologue.connection.connection.Connection`, which lives on the event
loop of the I/O thread. This face of it waits differently. A coroutine of the connection's is begun
by the thread that calls, inside the loop's gate, as far as it gets: a message that is there is
taken, a message to be sent is framed and given to the kernel, and no other thread has a part in it.
Only a coroutine that has to wait is left to the I/O thread, which takes it further as it would a
task, straight from the read; the calling thread sleeps on a lock until it has ended.

So one thread switch is paid for a message that has to be waited for, and none for another.

* **Time-outs and interrupts** throw CancelledError into the coroutine, inside the gate. Cancelling
  loses nothing (see ``recv``); what arrived in the very moment of an interrupt is kept.
* **Several threads** may send; one receives. Each call is one visit inside the gate.
* **What user code runs where**: iterables of :meth:`send` are iterated by the calling thread,
  outside.

Where the loop isn't shared (no gate) the I/O thread begins the coroutines too.
"""

import _thread
import asyncio
import collections.abc
import contextvars
import threading

from cpython.pythread cimport PyThread_get_thread_ident

from duologue.connection.connection cimport Connection as AsyncConnection
from duologue.connection.outbox cimport WAIT
from duologue.net.gate cimport Gate
from duologue.protocol.machine cimport CONNECTING

from duologue.base.exceptions import ConcurrencyError, ConnectionClosed, ConnectionClosedOK
from duologue.base.vocabulary import CloseCode, Opcode
from duologue.net.io_thread import this_io_thread

# In which coroutines are taken further; they set no variables.
cdef object CONTEXT = contextvars.Context()
cdef double LONGEST = threading.TIMEOUT_MAX


cdef class Waiting:
    """A coroutine that a thread waits for; whoever is inside takes it further."""

    cdef int step(self, object thrown) except -1:
        """Take it as far as it gets."""
        self.future = None
        try:
            if thrown is None:
                future = self.coroutine.send(None)
            else:
                future = self.coroutine.throw(thrown)
        except StopIteration as stop:
            self.result = stop.value
            self.done = True
        except BaseException as exc:
            self.exc = exc
            self.done = True
        else:
            if future is None:
                self.loop.call_soon(self.go_on, None)
                return 0
            future._asyncio_future_blocking = False
            self.future = future
            future.add_done_callback(self.go_on, context=CONTEXT)
        return 0

    def go_on(self, _):
        """Take it further; if that was all, wake the thread that waits."""
        if not self.done:
            self.step(None)
            if self.done:
                self.woken_up.release()

    cdef int wait(self, Gate gate, object seconds) except -1:
        """Wait for the end, at most ``seconds``; after that and after an interrupt give up."""
        try:
            if gate is None:
                self.loop.call_soon_threadsafe(self.go_on, None)
            if seconds is None:
                self.woken_up.acquire()
                return 0
            if seconds > 0:
                if self.woken_up.acquire(True, min(seconds, LONGEST)):
                    return 0
            elif self.woken_up.acquire(False):
                return 0
        except BaseException:
            self.give_up(gate)
            raise
        return self.give_up(gate)

    cdef int give_up(self, Gate gate) except -1:
        """Cancel what has not ended; ``exc`` is CancelledError then."""
        if gate is None:
            ended = _thread.allocate_lock()
            ended.acquire()
            self.loop.call_soon_threadsafe(self.cancel, ended)
            # A turn of the loop, which is not worth interrupting.
            while True:
                try:
                    ended.acquire()
                    return 0
                except KeyboardInterrupt:
                    continue
        gate.enter()
        try:
            self.cancel(None)
        finally:
            gate.leave()
        return 0

    def cancel(self, ended):
        """Throw CancelledError into it; inside."""
        if not self.done:
            if self.future is not None:
                self.future.remove_done_callback(self.go_on)
            self.step(asyncio.CancelledError())
            if not self.done:
                # It waits again, which none of ours does; nobody waits for it any more.
                self.done = True
                self.exc = asyncio.CancelledError()
        if ended is not None:
            ended.release()


cdef class Connection(AsyncConnection):
    """An open WebSocket connection whose methods wait in the calling thread.

    Made by ``connect`` and ``serve`` of :mod:`duologue.sync`. Any number of threads may use it;
    only one may receive at a time.

    Args:
        settings: :class:`~duologue.connection.settings.Settings`, shared with other connections.
    """

    def __init__(self, settings):
        thread = this_io_thread()
        AsyncConnection.__init__(self, settings)
        self.thread = thread
        self.gate = thread.gate
        self.ident = PyThread_get_thread_ident()

    cdef int settle(self) except -1:
        AsyncConnection.settle(self)
        if self.holder != NULL:
            # Whichever thread made it: only the I/O thread may shed it without asking.
            self.holder.thread = self.ident
        return 0

    # -- stepping

    cdef int enter(self) except -1:
        """Go inside, where what is written is not put off to a turn of the loop."""
        if self.thread.forked:
            self.thread.check()
        self.gate.enter()
        self.in_batch = True
        return 0

    cdef int leave(self) except -1:
        """Write what there is, wake who waits for what this thread parsed, and go out."""
        self.in_batch = False
        try:
            if self.status != CONNECTING:
                self.flush()
                if self.recv_waiter is not None and self.inbox.count:
                    self.wake_reader(False)
        finally:
            self.gate.leave()
        return 0

    cdef Waiting begin(self, object coroutine):
        """Begin a coroutine of the connection's."""
        cdef Waiting waiting = Waiting.__new__(Waiting)
        waiting.loop = self.loop
        waiting.coroutine = coroutine
        waiting.woken_up = _thread.allocate_lock()
        waiting.woken_up.acquire()
        if self.gate is None:
            # What checks is bytecode, which an interrupt may end; nothing has begun yet.
            self.thread.check()
            return waiting
        self.enter()
        try:
            waiting.step(None)
        finally:
            self.leave()
        return waiting

    cdef object run(self, object coroutine):
        """Run a coroutine of the connection's to its end, waiting as long as it takes."""
        cdef Waiting waiting = self.begin(coroutine)
        if not (waiting.done and self.gate is not None):
            waiting.wait(self.gate, None)
        if waiting.exc is not None:
            raise waiting.exc
        return waiting.result

    # -- receiving

    def occupy(self, name):
        if self.recv_busy:
            raise ConcurrencyError(
                f"cannot call {name} while another thread "
                f"is already running recv or recv_streaming"
            )
        self.recv_busy = True

    def recv(self, timeout=None, decode=None):
        """Receive the next message.

        A time-out or an interrupt (Ctrl-C) loses nothing: a message is taken only when it can be
        returned.

        Args:
            timeout: seconds to wait for a whole message; ``None`` for any time. 0 and less take
                what has been received already.
            decode: ``True`` to get :class:`str` from binary frames too, ``False`` to get
                :class:`bytes` from text frames too. By default the frame type decides.

        Returns:
            :class:`str` or :class:`bytes`.

        Raises:
            TimeoutError: If ``timeout`` passes.
            ConnectionClosed: Once the connection is closed and all messages that came before were
                received; ConnectionClosedOK after a normal end.
            ConcurrencyError: While another thread receives.
            RuntimeError: In the thread that does the I/O, and in a forked child of the process
                that opened the connection.
        """
        cdef Waiting waiting
        cdef object message = None
        if self.kept is not None:
            message, self.kept = self.kept, None
            return message
        if decode is None and self.gate is not None:
            self.enter()
            try:
                message = self.take()
            finally:
                self.leave()
            if message is not None:
                return message
        waiting = self.begin(AsyncConnection.recv(self, decode))
        if not (waiting.done and self.gate is not None):
            try:
                waiting.wait(self.gate, timeout)
            except BaseException:
                # Nothing is lost: it came in the moment of the interrupt.
                self.kept = waiting.result
                raise
        if waiting.exc is None:
            return waiting.result
        if isinstance(waiting.exc, asyncio.CancelledError):
            raise TimeoutError(f"timed out in {timeout:.1f}s")
        raise waiting.exc

    def __iter__(self):
        """Iterate over messages until the connection closes normally."""
        try:
            while True:
                yield self.recv()
        except ConnectionClosedOK:
            return

    def recv_streaming(self, decode=None):
        """Receive the next message fragment by fragment.

        The number of fragments isn't limited. The iterator must be used up: else the connection
        can't receive any more.

        Args:
            decode: as in ``recv``; text is decoded across fragments.

        Yields:
            str | bytes: each fragment as it arrives.

        Raises:
            ConnectionClosed: When the connection is closed.
            ConcurrencyError: If another thread receives.
        """
        if self.kept is not None:
            message, self.kept = self.kept, None
            yield message
            return
        parts = AsyncConnection.recv_streaming(self, decode)
        try:
            while True:
                try:
                    part = self.run(parts.__anext__())
                except StopAsyncIteration:
                    return
                yield part
        finally:
            self.run(parts.aclose())

    # -- sending

    def refuse_while_fragmenting(self):
        """A message may not come between the fragments of another (RFC 6455 section 5.4)."""
        if self.fragmenting:
            raise ConcurrencyError("cannot call send while another thread is already running send")

    async def _send_whole(self, message, options):
        self.refuse_while_fragmenting()
        await AsyncConnection.send(self, message, **options)

    def send(self, message, *, text=None, compress=None, key=None, overflow=None):
        """Send a message.

        Returns when the message is on its way; waits while more than ``write_limit`` octets are,
        unless ``overflow`` says what to do instead.
        Messages of several threads go out whole, in the order of the calls.

        Args:
            message: :class:`str` for a text frame; :class:`bytes`, :class:`bytearray` or
                :class:`memoryview` for a binary one; an iterable of either for a fragmented
                message, an item in each frame.
            text: ``True`` to send bytes in a text frame, ``False`` to send str in a binary one.
            compress: whether to compress this message, if permessage-deflate was agreed on. By
                default it is when it has ``Limits.compress_threshold`` octets.
            key: while the peer takes too little, only the newest message of each key is kept: this
                one takes the place of the one that still waits. Anything that can be a dictionary's
                key.
            overflow: the outbox policy for this message, by default that of the connection.

        Raises:
            ConnectionClosed: If the connection is closed.
            ConcurrencyError: While another thread sends a fragmented message.
            TypeError: If ``message`` has another type, or ``key`` can't be one.
            ValueError: If there is no such policy.
            RuntimeError: As ``recv`` does.
        """
        cdef bint written = False
        if not isinstance(message, (str, bytes, bytearray, memoryview)):
            if key is not None or overflow is not None:
                raise TypeError("key and overflow are for whole messages")
            self.send_fragments(message, text, compress)
            return
        plain = text is None and compress is None and key is None and overflow is None
        if plain and self.gate is not None:
            self.enter()
            try:
                written = self.send_plain(message)
            finally:
                self.leave()
            if written:
                if self.blocked and self.policy_of(-1) == WAIT:
                    self.run(self._drain(None))
                return
        options = {"text": text, "compress": compress, "key": key, "overflow": overflow}
        self.run(self._send_whole(message, options))

    def drain(self, timeout=None):
        """Wait until there is room to send: all that was queued is framed, and most of it written.

        Args:
            timeout: seconds, ``None`` for any time.

        Raises:
            TimeoutError: If ``timeout`` passes.
            ConnectionClosed: If the connection ends before that.
        """
        cdef Waiting waiting = self.begin(self._drain(None))
        if not (waiting.done and self.gate is not None):
            waiting.wait(self.gate, timeout)
        if isinstance(waiting.exc, asyncio.CancelledError):
            raise TimeoutError(f"timed out in {timeout:.1f}s")
        if waiting.exc is not None:
            raise waiting.exc

    def send_fragments(self, message, text, compress):
        """Send an iterable as one message, each item in a frame of its own."""
        cdef int deflated = -1 if compress is None else bool(compress)
        if isinstance(message, collections.abc.Mapping):
            raise TypeError("data is a dict-like object")
        if not isinstance(message, collections.abc.Iterable):
            raise TypeError("data must be str, bytes, or iterable")
        chunks = iter(message)
        try:
            chunk = next(chunks)
        except StopIteration:
            return
        encode = isinstance(chunk, str)
        if not encode and not isinstance(chunk, (bytes, bytearray, memoryview)):
            raise TypeError("iterable must contain bytes or str")
        as_text = encode if text is None else bool(text)
        self.run(self._begin_fragments())
        try:
            opcode = Opcode.TEXT if as_text else Opcode.BINARY
            self.run(self._send_fragment(opcode, False, chunk, deflated))
            for chunk in chunks:
                if isinstance(chunk, str) != encode or not isinstance(
                    chunk, (str, bytes, bytearray, memoryview)
                ):
                    raise TypeError("iterable must contain uniform types")
                self.run(self._send_fragment(Opcode.CONT, False, chunk, deflated))
            self.run(self._send_fragment(Opcode.CONT, True, b"", deflated))
        except ConnectionClosed:
            raise
        except BaseException as exc:
            self.run(self._fail_fragments(exc))
            raise
        finally:
            self.run(self._end_fragments())

    async def _begin_fragments(self):
        self.refuse_while_fragmenting()
        await self._take_turn()

    async def _fail_fragments(self, exc):
        self.fail_fragments(exc)

    async def _end_fragments(self):
        self.end_turn()

    # -- ping and pong

    def ping(self, data=None, *, ack_on_close=False):
        """Send a Ping frame (RFC 6455 section 5.5.2).

        Args:
            data: payload, at most 125 octets; four random octets by default.
            ack_on_close: set the event when the connection is closed, too; whether a pong came is
                then told by :attr:`state`.

        Returns:
            A :class:`threading.Event` that is set when the pong arrives.

        Raises:
            ConnectionClosed: If the connection is closed.
            ConcurrencyError: If a ping with the same payload waits for its pong.
        """
        event = threading.Event()
        self.run(self._ping(event, data, bool(ack_on_close)))
        return event

    async def _ping(self, event, data, ack_on_close):
        def answered(waiter):
            if waiter.exception() is None or ack_on_close:
                event.set()

        waiter = await AsyncConnection.ping(self, data)
        waiter.add_done_callback(answered)

    def pong(self, data=b""):
        """Send a Pong frame that nobody asked for (RFC 6455 section 5.5.3).

        Args:
            data: payload, at most 125 octets.

        Raises:
            ConnectionClosed: If the connection is closed.
        """
        self.run(AsyncConnection.pong(self, data))

    # -- closing

    def close(self, code=CloseCode.NORMAL_CLOSURE, reason=""):
        """Do the closing handshake and wait until the connection is closed.

        Closing again changes nothing.

        Args:
            code: close code; ``None`` for a Close frame without one.
            reason: at most 123 octets of UTF-8.

        Raises:
            ProtocolError: If the code may not be sent or the reason is too long.
        """
        self.run(AsyncConnection.close(self, code, reason))

    def wait_closed(self, timeout=None):
        """Wait until the connection is closed: closing handshake done and TCP ended.

        Args:
            timeout: seconds, ``None`` for any time.

        Returns:
            bool: whether it is closed.
        """
        cdef Waiting waiting = self.begin(self.until_closed())
        if not (waiting.done and self.gate is not None):
            waiting.wait(self.gate, timeout)
        return waiting.exc is None

    def __enter__(self):
        return self

    def __exit__(self, exc_type, exc_value, traceback):
        if exc_type is None:
            self.close()
        else:
            self.close(CloseCode.INTERNAL_ERROR)
