"""One WebSocket connection for an asyncio application: the machine, with somebody to talk to.

A :class:`Connection` is the sink of its own :class:`~duologue.protocol.machine.Machine` and the
owner of its link. What it adds is waiting: for messages, for room to send, for the end.

**Inbox.** Whole messages, or the fragments of one, lie in a ring until the application takes them.
At its mark (messages or octets) parsing stops and reading pauses; the unparsed rest waits and is
parsed before anything else is read. A full inbox is the only thing that pauses reading, so two
peers that both only write never block each other.

**Outbox, in two stages.** A message goes straight into the write buffer as a frame when nothing
waits. When the link takes no more, it stays as it is, unframed, in a queue: the only place where it
could still be dropped or replaced. Frames are never altered, and one write a turn of the loop sends
all of them. ``send()`` queues at once; awaiting it waits while the link is above its high mark.

**Faults wait for answers.** What arrived whole before the peer broke the protocol is delivered and
can be answered, for at most ``close_timeout``; then the connection fails (RFC 6455 section 7.1.7).

**Ends.** The first cause is recorded in ``ending`` where it happens. ``lost`` runs once, last.

Invariants: ``ring_count`` messages are in ``ring``; ``queue`` is empty unless ``blocked`` or a
fragmented message is being sent; nothing is written after ``eof_sent``.
"""

import asyncio
import codecs
import collections.abc
import logging
import secrets
import uuid
from collections import deque

from cpython.bytes cimport PyBytes_GET_SIZE
from cpython.unicode cimport PyUnicode_GET_LENGTH
from libc.stdint cimport uint8_t

from duologue.net.link cimport Link, LinkCalls
from duologue.protocol.machine cimport CLOSED, CLOSING, CONNECTING, OPEN, Machine

from duologue.base.exceptions import (
    ConcurrencyError,
    ConnectionClosed,
    ConnectionClosedOK,
    PayloadTooBig,
    ProtocolError,
    TooManyFragments,
)
from duologue.base.vocabulary import CloseCode, Side
from duologue.connection.ending import Cause, Ending
from duologue.net.timers import Timer, timers_of
from duologue.wire.frame import Close


cdef int CONT_ = 0, TEXT_ = 1, BINARY_ = 2, PING_ = 9, PONG_ = 10

# So many fragments a message may always have, however small max_size is.
cdef Py_ssize_t FREE_FRAGMENTS = 64


# -- awaitables


cdef class _Awaitable:
    """What ``collections.abc.Coroutine`` asks for, so that ``create_task`` takes it too."""

    cdef object coroutine

    def __await__(self):
        return self

    def __iter__(self):
        return self

    def __next__(self):
        return self.send(None)

    cdef object begin(self):
        """Return the coroutine that does the waiting, or raise StopIteration with the result."""
        raise NotImplementedError

    def send(self, value):
        if self.coroutine is None:
            self.coroutine = self.begin()
        return self.coroutine.send(value)

    def throw(self, *exc):
        if self.coroutine is None:
            raise exc[0] if len(exc) == 1 else exc[1] if exc[1] is not None else exc[0]()
        return self.coroutine.throw(*exc)

    def close(self):
        if self.coroutine is not None:
            self.coroutine.close()


cdef class _Done(_Awaitable):
    """A send that needs no waiting; one object serves all."""

    cdef object begin(self):
        raise StopIteration

    def send(self, value):
        raise StopIteration


cdef class _Failed(_Awaitable):
    """A send that could not be; says so when it is awaited."""

    cdef object exc

    cdef object begin(self):
        raise self.exc


cdef class _Later(_Awaitable):
    """A send whose waiting begins when it is awaited, and which may be left alone."""

    cdef object make
    cdef object argument

    cdef object begin(self):
        return self.make(self.argument)


cdef class _Recv(_Awaitable):
    """``recv()``: done at once when a message is there."""

    cdef Connection connection
    cdef object decode

    cdef object begin(self):
        message = self.connection.take() if self.decode is None else None
        if message is not None:
            raise StopIteration(message)
        return self.connection._recv(self.decode)


cdef class _Next(_Recv):
    """``__anext__()``: :exc:`ConnectionClosedOK` ends the iteration."""

    def send(self, value):
        try:
            if self.coroutine is None:
                self.coroutine = self.begin()
            return self.coroutine.send(value)
        except ConnectionClosedOK:
            raise StopAsyncIteration from None

    def throw(self, *exc):
        try:
            return _Awaitable.throw(self, *exc)
        except ConnectionClosedOK:
            raise StopAsyncIteration from None


for _kind in (_Done, _Failed, _Later, _Recv, _Next):
    collections.abc.Coroutine.register(_kind)
del _kind

cdef _Done DONE = _Done()


cdef class _Fragment:
    """A part of a message in the inbox."""

    cdef bytes payload
    cdef bint text
    cdef bint fin


cdef class _Queued:
    """A message in the outbox, not framed yet."""

    cdef int opcode
    cdef int compress
    cdef object message
    cdef Py_ssize_t octets
    cdef bint awaited
    cdef object sent


cdef Py_ssize_t octets_of(object message) except -1:
    """About how many octets a message has; text counts at least its characters."""
    if isinstance(message, str):
        return PyUnicode_GET_LENGTH(message)
    return message.nbytes if isinstance(message, memoryview) else len(message)


cdef class Connection(Machine):
    """An open WebSocket connection.

    Made by ``connect`` and ``serve`` (as :class:`ClientConnection` and :class:`ServerConnection`),
    which run the opening handshake and then call :meth:`open`.

    Args:
        settings: :class:`~duologue.connection.settings.Settings`, shared with other connections.
    """

    def __init__(self, settings):
        self.settings = settings
        self.client = settings.side == Side.CLIENT
        self.max_message_size = settings.max_message
        self.max_fragment_size = settings.max_fragment
        self.queue_high = -1 if settings.queue_high is None else settings.queue_high
        self.queue_low = 0 if settings.queue_low is None else settings.queue_low
        limit = settings.limits.max_queue_bytes
        self.queue_octets = -1 if limit is None or settings.queue_high is None else limit
        self.logger = settings.logger
        self.debug = self.logger.isEnabledFor(logging.DEBUG)
        if self.debug:
            self.logger = self.log()
        self.loop = asyncio.get_running_loop()
        self.status = CONNECTING

    # -- opening

    def open(self, Link link, bytes rest=b""):
        """Take the link over from a finished opening handshake.

        Args:
            link: where octets go and come from.
            rest: octets that came after the handshake.
        """
        cdef object high = self.settings.write_high, low = self.settings.write_low
        self.link = link
        link.own(self, &CALLS)
        link.set_write_limits(
            <Py_ssize_t>1 << 62 if high is None else high, 0 if low is None else low
        )
        self.state = OPEN
        if self.settings.ping_interval is not None:
            self.ping_timer = Timer(timers_of(self.loop), self._keepalive)
            self.ping_timer.set(self.loop.time() + self.settings.ping_interval)
        if rest:
            self.received(<const uint8_t*><char*>rest, PyBytes_GET_SIZE(rest))

    def attend(self, link):
        """Note the link during the opening handshake, for addresses and TLS facts."""
        self.link = link

    def abandon(self, exc=None):
        """Note that the opening handshake failed: there will be no connection."""
        self.connection_exc = exc
        self.finish()

    # -- facts

    @property
    def id(self):
        """:class:`uuid.UUID` of the connection, for logs."""
        if self.identifier is None:
            self.identifier = uuid.uuid4()
        return self.identifier

    @property
    def protocol(self):
        """The sans-I/O side of the connection, which is the connection itself."""
        return self

    @property
    def transport(self):
        """The asyncio transport that carries the connection."""
        return getattr(self.link, "transport", None)

    @property
    def local_address(self):
        """Local address: ``(host, port)`` for IPv4, see ``socket.getsockname``."""
        return None if self.link is None else self.link.info("sockname")

    @property
    def remote_address(self):
        """Remote address: ``(host, port)`` for IPv4, see ``socket.getpeername``."""
        return None if self.link is None else self.link.info("peername")

    @property
    def ping_interval(self):
        """Seconds between keepalive pings, ``None`` for no keepalive."""
        return self.settings.ping_interval

    @property
    def ping_timeout(self):
        """Seconds after a keepalive ping in which something must arrive."""
        return self.settings.ping_timeout

    @property
    def close_timeout(self):
        """Seconds for the closing handshake."""
        return self.settings.close_timeout

    def log(self):
        """The logger, adding the connection to each record as ``websocket``."""
        return logging.LoggerAdapter(self.settings.logger, {"websocket": self})

    cpdef record(self, cause, str detail="", exc=None):
        """Record why the connection ends; only the first time counts."""
        if self.ending is None:
            self.ending = Ending(cause, detail, exc)

    cdef object closed_exception(self):
        exc = Machine.closed_exception(self)
        if self.connection_exc is not None:
            exc.__cause__ = self.connection_exc
        return exc

    # -- the link's calls

    cdef int received(self, const uint8_t* data, Py_ssize_t size) except -1:
        if size == 0:
            return self.stream_ended()
        self.reads += 1
        self.in_batch = True
        try:
            self.read(data, size)
        finally:
            self.in_batch = False
        if self.stopped:
            self.link.pause_reading()
        return self.flush()

    cdef int stream_ended(self) except -1:
        """The peer ended its stream; without a Close frame that is abnormal (section 7.1.5)."""
        self.eof_rcvd = True
        if self.rest is not None:
            # Reading was paused by a full inbox: its messages come first, then this end.
            self.drain_rest()
        if not self.deaf:
            self.deaf = True
            self.parser_exc = EOFError("unexpected end of stream")
            self.record(Cause.CONNECTION_LOST, "the peer ended the stream", self.parser_exc)
        self.flush()
        self.state = CLOSED
        self.link.close()
        return 0

    cdef int writable(self, bint yes) except -1:
        self.blocked = not yes
        if not yes:
            self.watch_writing()
            return 0
        if self.write_timer is not None:
            self.write_timer.clear()
        if self.owed_pong is not None:
            payload, self.owed_pong = self.owed_pong, None
            if self.status == OPEN or self.status == CLOSING:
                self.write_control(PONG_, payload)
        self.pump()
        self.flush()
        if not self.blocked and self.drain_waiters is not None:
            waiters, self.drain_waiters = self.drain_waiters, None
            for waiter in waiters:
                self.wake(waiter)
        return 0

    cdef int lost(self, object exc) except -1:
        self.drain_rest()
        if exc is not None and self.connection_exc is None:
            self.connection_exc = exc
        if not (self.close_rcvd is not None and self.close_sent is not None):
            if self.parser_exc is None and not self.deaf:
                self.parser_exc = EOFError("unexpected end of stream")
            self.record(Cause.CONNECTION_LOST, "" if exc is None else str(exc), exc)
        return self.finish()

    def drain_rest(self):
        """Parse what a full inbox left unparsed: nothing more will be read."""
        while self.rest is not None and not self.deaf:
            self.read_rest()

    cdef int finish(self) except -1:
        """The connection is no more: tell everybody who waits for it."""
        self.gone = True
        self.deaf = True
        self.pending_fault = None
        self.state = CLOSED
        for timer in (self.ping_timer, self.close_timer, self.write_timer):
            if timer is not None:
                timer.drop()
        self.ping_timer = self.close_timer = self.write_timer = None
        self.wake(self.recv_waiter)
        self.drop_queue()
        waiters, self.drain_waiters = self.drain_waiters, None
        for waiter in waiters or ():
            self.wake(waiter)
        if self.pings is not None:
            exc = self.closed_exception()
            for waiter, _ in self.pings.values():
                if not waiter.done():
                    waiter.set_exception(exc)
                    # Whoever waits gets it; nobody else should hear of it from the collector.
                    waiter.exception()
            self.pings = None
        self.wake(self.closed_waiter)
        return 0

    def drop_queue(self):
        """Let messages go that were never framed; who awaits them gets ConnectionClosed."""
        cdef _Queued item
        if self.queue is not None:
            queue, self.queue = self.queue, None
            for entry in queue:
                item = entry
                self.wake(item.sent)

    cdef int wake(self, object waiter) except -1:
        if waiter is not None and not waiter.done():
            waiter.set_result(None)
        return 0

    # -- the machine's sink

    cdef int on_data(self, int opcode, bint text, bint fin, object payload) except -1:
        cdef _Fragment fragment
        cdef Py_ssize_t allowed
        if fin and opcode != CONT_:
            return self.push(payload, octets_of(payload))
        if not (self.streaming and PyBytes_GET_SIZE(payload) == 0):
            self.fragments += 1
        allowed = self.max_message // self.settings.limits.fragment_cost \
            if self.settings.limits.fragment_cost else -1
        if self.max_message >= 0 and allowed >= 0:
            if allowed < FREE_FRAGMENTS:
                allowed = FREE_FRAGMENTS
            if self.fragments > allowed:
                exc = TooManyFragments(allowed)
                return self.fault(
                    CloseCode.MESSAGE_TOO_BIG,
                    f"message exceeds {allowed} fragments",
                    exc,
                )
        if fin:
            self.fragments = 0
        if PyBytes_GET_SIZE(payload) == 0 and not fin and opcode == CONT_:
            return 0
        fragment = _Fragment.__new__(_Fragment)
        fragment.payload = payload
        fragment.text = text
        fragment.fin = fin
        return self.push(fragment, PyBytes_GET_SIZE(payload))

    cdef int on_ping(self, bytes payload) except -1:
        if self.status != OPEN and self.status != CLOSING or self.eof_sent:
            return 0
        if self.blocked:
            # Section 5.5.3: answering the most recent ping is enough, so one is all we owe.
            self.owed_pong = payload
            return 0
        return self.write_control(PONG_, payload)

    cdef int on_pong(self, bytes payload) except -1:
        if self.pings is None or payload not in self.pings:
            return 0
        now = self.loop.time()
        for data in list(self.pings):
            waiter, sent = self.pings.pop(data)
            if not waiter.done():
                waiter.set_result(now - sent)
            if data == payload:
                self.latency = now - sent
                break
        if self.pong_due:
            self.pong_due = False
            self.ping_timer.set(max(now, self.ping_sent + self.settings.ping_interval))
        return 0

    cdef int on_close(self) except -1:
        self.record(Cause.PEER_CLOSED, str(self.close_rcvd))
        return self.start_closing()

    cdef int on_fault(self, int code, str reason, object exc) except -1:
        if isinstance(exc, (PayloadTooBig, TooManyFragments)):
            self.record(Cause.LIMIT, f"max_size: {exc}", exc)
        else:
            self.record(Cause.PROTOCOL_FAULT, str(exc), exc)
        self.parser_exc = exc
        self.pending_fault = (code, reason)
        # The fragments of a message that will never be whole are nothing to answer.
        if self.status != OPEN or not (self.ring_whole or self.answering):
            return self.start_failing()
        return self.start_closing()

    # -- inbox

    cdef int push(self, object item, Py_ssize_t octets) except -1:
        cdef Py_ssize_t room
        if self.ring is None:
            self.ring = [None] * 4
        room = len(self.ring)
        if self.ring_count == room:
            self.ring = (
                self.ring[self.ring_head:] + self.ring[:self.ring_head] + [None] * room
            )
            self.ring_head = 0
            room *= 2
        self.ring[(self.ring_head + self.ring_count) % room] = item
        self.ring_count += 1
        self.ring_octets += octets
        if type(item) is not _Fragment or (<_Fragment>item).fin:
            self.ring_whole += 1
        if self.recv_waiter is not None:
            self.wake(self.recv_waiter)
        if (
            self.queue_high >= 0 and self.ring_count >= self.queue_high
            or self.queue_octets >= 0 and self.ring_octets >= self.queue_octets
        ) and not self.gone:
            self.stopped = True
        return 0

    cdef object pop(self):
        cdef Py_ssize_t room = len(self.ring)
        item = self.ring[self.ring_head]
        self.ring[self.ring_head] = None
        self.ring_head = (self.ring_head + 1) % room
        self.ring_count -= 1
        if type(item) is _Fragment:
            self.ring_octets -= PyBytes_GET_SIZE((<_Fragment>item).payload)
            self.ring_whole -= (<_Fragment>item).fin
        else:
            self.ring_octets -= octets_of(item)
            self.ring_whole -= 1
        if self.ring_count == 0 and room > 64:
            self.ring = None
            self.ring_head = 0
        if self.stopped:
            self.resume()
        return item

    cdef int resume(self) except -1:
        """Go on parsing and reading once the inbox is below its low mark."""
        if self.ring_count > self.queue_low and self.queue_high >= 0:
            return 0
        if self.queue_octets >= 0 and self.ring_octets > self.queue_octets // 2:
            return 0
        self.in_batch = True
        try:
            self.read_rest()
        finally:
            self.in_batch = False
        if not self.stopped and not self.gone:
            self.link.resume_reading()
        return self.flush()

    cdef object take(self):
        """Take a whole message if one is first in the inbox, else return ``None``."""
        if self.recv_busy or self.assembly is not None:
            return None
        self.answering = False
        if not self.ring_count:
            return None
        if type(self.ring[self.ring_head]) is _Fragment:
            return None
        self.answering = True
        return self.pop()

    cdef int idle(self) except -1:
        """The application waits for a message: what came before a fault has been answered."""
        self.answering = False
        if self.pending_fault is not None and not self.ring_count:
            self.start_failing()
        return 0

    async def _wait_for_item(self):
        """Wait until the inbox has something; ``False`` when it never will."""
        while not self.ring_count:
            self.idle()
            if self.gone:
                return False
            waiter = self.recv_waiter = self.loop.create_future()
            try:
                await waiter
            finally:
                self.recv_waiter = None
        return True

    def occupy(self, str name):
        """Keep two tasks from receiving at once."""
        if self.recv_busy:
            raise ConcurrencyError(
                f"cannot call {name} while another coroutine "
                f"is already running recv or recv_streaming"
            )
        self.recv_busy = True

    async def _recv(self, decode):
        self.occupy("recv")
        try:
            message = await self._next_message()
        finally:
            self.recv_busy = False
        if decode is None or isinstance(message, str) == bool(decode):
            return message
        if not decode:
            return message.encode()
        return await self._decode(message)

    async def _next_message(self):
        """Take one message, putting its fragments together."""
        cdef _Fragment fragment
        while await self._wait_for_item():
            item = self.pop()
            if type(item) is not _Fragment:
                self.answering = True
                return item
            # Kept on the connection, so that a cancelled recv() loses nothing.
            if self.assembly is None:
                self.assembly = []
            self.assembly.append(item)
            fragment = item
            if fragment.fin:
                parts, self.assembly = self.assembly, None
                self.answering = True
                whole = b"".join([(<_Fragment>part).payload for part in parts])
                return whole.decode() if fragment.text else whole
        raise self.closed_exception()

    async def _decode(self, payload):
        """Decode binary data that was asked for as text; fail the connection if it is none."""
        try:
            return payload.decode()
        except UnicodeDecodeError as exc:
            self.connection_exc = exc
            self.record(Cause.CLOSED_HERE, "recv(decode=True) got no UTF-8", exc)
            self.pending_fault = (
                CloseCode.INVALID_DATA, f"{exc.reason} at position {exc.start}"
            )
            self.start_failing()
        await self.wait_closed()
        raise self.closed_exception()

    def recv(self, decode=None):
        """Receive the next message.

        Cancelling is safe: a message is taken only when it can be returned.

        Args:
            decode: ``True`` to get :class:`str` from binary frames too, ``False`` to get
                :class:`bytes` from text frames too. By default the frame type decides.

        Returns:
            An awaitable of :class:`str` or :class:`bytes`.

        Raises:
            ConnectionClosed: When awaited, once the connection is closed and all messages that
                came before were received; ConnectionClosedOK after a normal end.
            ConcurrencyError: When awaited while another task receives.
        """
        cdef _Recv recv = _Recv.__new__(_Recv)
        recv.connection = self
        recv.decode = decode
        return recv

    def __aiter__(self):
        """Iterate over messages until the connection closes normally."""
        return self

    def __anext__(self):
        cdef _Next recv = _Next.__new__(_Next)
        recv.connection = self
        return recv

    async def recv_streaming(self, decode=None):
        """Receive the next message fragment by fragment.

        The number of fragments isn't limited. The iterator must be used up: else the connection
        can't receive any more.

        Args:
            decode: as in :meth:`recv`; text is decoded across fragments.

        Yields:
            str | bytes: each fragment as it arrives.

        Raises:
            ConnectionClosed: When the connection is closed.
            ConcurrencyError: If another task receives.
        """
        cdef _Fragment fragment
        self.occupy("recv_streaming")
        parts, self.assembly = self.assembly or [], None
        started = bool(parts)
        decoder = None
        try:
            while True:
                if parts:
                    item = parts.pop(0)
                elif await self._wait_for_item():
                    item = self.pop()
                else:
                    raise self.closed_exception()
                started = self.streaming = True
                if type(item) is not _Fragment:
                    text = isinstance(item, str)
                    if not text and decode:
                        item = await self._decode(item)
                    elif text and decode is not None and not decode:
                        item = item.encode()
                    started = self.streaming = False
                    self.answering = True
                    yield item
                    return
                fragment = item
                if not fragment.fin and self.fragments > 0:
                    self.fragments -= 1
                data = fragment.payload
                if fragment.text if decode is None else decode:
                    if decoder is None:
                        decoder = codecs.getincrementaldecoder("utf-8")()
                    data = await self._decode_part(decoder, data, fragment.fin)
                if fragment.fin:
                    started = self.streaming = False
                    self.answering = True
                yield data
                if fragment.fin:
                    return
        finally:
            if not started or self.gone:
                self.recv_busy = False
                self.streaming = False

    async def _decode_part(self, decoder, bytes data, bint fin):
        try:
            return decoder.decode(data, fin)
        except UnicodeDecodeError:
            return await self._decode(data if data else b"\xff")

    # -- outbox

    cdef int flush(self) except -1:
        """Give the link what is in the write buffer, and the end of the stream after it."""
        if self.gone:
            self.out_size = 0
            self.large = None
            return 0
        for octets in self.take_out():
            self.link.write(octets)
        if self.eof_sent and not self.eof_passed:
            self.eof_passed = True
            self.link.end()
        return 0

    cdef int flush_later(self) except -1:
        """Flush at the end of this turn of the loop, so that all its frames go out together."""
        cdef object high = self.settings.write_high
        if self.in_batch:
            return 0
        if self.large is not None or high is not None and self.out_size > <Py_ssize_t>high:
            return self.flush()
        if not self.flush_due:
            self.flush_due = True
            self.loop.call_soon(self._flush)
        return 0

    def _flush(self):
        self.flush_due = False
        self.flush()

    cdef int pump(self) except -1:
        """Frame queued messages while the link takes them."""
        cdef _Queued item
        cdef object high = self.settings.write_high
        while self.queue and not self.blocked and self.fragmenting is None:
            if self.status != OPEN:
                break
            item = self.queue.popleft()
            if not item.awaited:
                self.unawaited -= item.octets
            self.write_data(item.opcode, True, item.message, item.compress)
            self.wake(item.sent)
            if self.large is not None or high is not None and self.out_size > <Py_ssize_t>high:
                self.flush()
        return 0

    cdef object offer(self, int opcode, object message, int compress):
        """Queue a message; return an awaitable of its having found room."""
        cdef _Later later
        cdef _Queued item
        if self.status != OPEN:
            later = _Later.__new__(_Later)
            later.make = self._refuse
            return later
        if not self.blocked and not self.queue and self.fragmenting is None:
            self.write_data(opcode, True, message, compress)
            self.flush_later()
            if not self.blocked:
                return DONE
            later = _Later.__new__(_Later)
            later.make = self._drain
            return later
        item = _Queued.__new__(_Queued)
        item.opcode = opcode
        item.compress = compress
        # Bytes that their owner may change are copied: what was sent is what was given.
        item.message = message if isinstance(message, (str, bytes)) else bytes(message)
        item.octets = octets_of(item.message)
        if isinstance(message, str):
            message.encode()
        if self.queue is None:
            self.queue = deque()
        self.queue.append(item)
        self.unawaited += item.octets
        limit = self.settings.limits.max_outbox
        if limit is not None and self.unawaited > limit and len(self.queue) > 1:
            # Tasks made in this turn begin to await their sends before the next one.
            self.loop.call_soon(self.loop.call_soon, self._check_outbox)
        later = _Later.__new__(_Later)
        later.make = self._wait_for_turn
        later.argument = item
        return later

    def _check_outbox(self):
        limit = self.settings.limits.max_outbox
        if self.status == OPEN and self.unawaited > limit:
            self.record(
                Cause.OUTBOX_FULL,
                f"{self.unawaited} octets wait, more than max_outbox of {limit}",
            )
            self.drop_queue()
            self.unawaited = 0
            self.pending_fault = (CloseCode.TRY_AGAIN_LATER, "too slow")
            self.start_failing()
            self.flush()

    async def _refuse(self, _):
        """Wait for the end of a connection that is closing, and report it."""
        self.start_closing()
        await self.wait_closed()
        raise self.closed_exception()

    async def _drain(self, _):
        """Wait until the link is below its low mark."""
        while self.blocked and not self.gone:
            waiter = self.loop.create_future()
            if self.drain_waiters is None:
                self.drain_waiters = []
            self.drain_waiters.append(waiter)
            await waiter
        if self.gone:
            raise self.closed_exception()

    async def _wait_for_turn(self, _Queued item):
        """Wait until a queued message was framed and the link has room again."""
        if not item.awaited:
            item.awaited = True
            self.unawaited -= item.octets
        if self.queue is not None and item in self.queue:
            item.sent = self.loop.create_future()
            try:
                await item.sent
            except asyncio.CancelledError:
                if self.queue is not None and item in self.queue:
                    self.queue.remove(item)
                raise
        await self._drain(None)

    def send(self, message, *, text=None, compress=None):
        """Send a message.

        A message is queued at once, whether the result is awaited or not. Awaiting it waits while
        more than ``write_limit`` octets are on their way.

        Args:
            message: :class:`str` for a text frame; :class:`bytes`, :class:`bytearray` or
                :class:`memoryview` for a binary one; an iterable or asynchronous iterable of
                either for a fragmented message (queued while it is awaited).
            text: ``True`` to send bytes in a text frame, ``False`` to send str in a binary one.
            compress: whether to compress this message, if permessage-deflate was agreed on. By
                default it is when it has ``Limits.compress_threshold`` octets.

        Returns:
            An awaitable of ``None``.

        Raises:
            ConnectionClosed: When awaited, if the connection is closed.
            TypeError: When awaited, if ``message`` has another type.
        """
        cdef int opcode, deflated = -1 if compress is None else bool(compress)
        cdef _Failed failed
        try:
            if isinstance(message, str):
                opcode = BINARY_ if text is not None and not text else TEXT_
                return self.offer(opcode, message, deflated)
            if isinstance(message, (bytes, bytearray, memoryview)):
                return self.offer(TEXT_ if text else BINARY_, message, deflated)
        except (ValueError, BufferError) as exc:
            failed = _Failed.__new__(_Failed)
            failed.exc = exc
            return failed
        return self._send_fragments(message, text, deflated)

    async def _send_fragments(self, message, text, int compress):
        """Send an iterable as one message, each item in a frame of its own."""
        if isinstance(message, collections.abc.Mapping):
            raise TypeError("data is a dict-like object")
        if isinstance(message, collections.abc.Iterable):
            chunks = _each(message)
        elif isinstance(message, collections.abc.AsyncIterable):
            chunks = aiter(message)
        else:
            raise TypeError("data must be str, bytes, iterable, or async iterable")
        try:
            chunk = await anext(chunks)
        except StopAsyncIteration:
            return
        await self._take_turn()
        self.fragmenting = self.loop.create_future()
        try:
            encode = isinstance(chunk, str)
            if not encode and not isinstance(chunk, (bytes, bytearray, memoryview)):
                raise TypeError("iterable must contain bytes or str")
            as_text = encode if text is None else bool(text)
            await self._send_fragment(TEXT_ if as_text else BINARY_, False, chunk, compress)
            async for chunk in chunks:
                if isinstance(chunk, str) != encode or not isinstance(
                    chunk, (str, bytes, bytearray, memoryview)
                ):
                    raise TypeError("iterable must contain uniform types")
                await self._send_fragment(CONT_, False, chunk, compress)
            await self._send_fragment(CONT_, True, b"", compress)
        except ConnectionClosed:
            raise
        except BaseException as exc:
            # Half a message can't be taken back: the connection is of no use any more.
            if self.status == OPEN and self.expect_continuation_frame:
                self.record(Cause.CLOSED_HERE, "error in fragmented message", exc)
                self.pending_fault = (CloseCode.INTERNAL_ERROR, "error in fragmented message")
                self.start_failing()
                self.flush()
            raise
        finally:
            waiter, self.fragmenting = self.fragmenting, None
            self.wake(waiter)
            self.pump()
            self.flush_later()

    async def _take_turn(self):
        """Wait until no other message is being sent and the connection is known to be open."""
        while self.status == OPEN and (self.fragmenting is not None or self.queue):
            if self.fragmenting is not None:
                await asyncio.shield(self.fragmenting)
            else:
                await self._wait_for_turn((<_Queued>self.queue[-1]))
        if self.status != OPEN:
            await self._refuse(None)

    async def _send_fragment(self, int opcode, bint fin, chunk, int compress):
        if self.status != OPEN:
            await self._refuse(None)
        self.write_data(opcode, fin, chunk, compress)
        self.flush_later()
        await self._drain(None)

    def broadcast_message(self, int opcode, message):
        """Queue a message without waiting; for :func:`broadcast`.

        Returns:
            Whether the connection was open.
        """
        if self.status != OPEN:
            return False
        self.offer(opcode, message, -1)
        return True

    # -- ping and pong

    async def ping(self, data=None):
        """Send a Ping frame (RFC 6455 section 5.5.2).

        Args:
            data: payload, at most 125 octets; four random octets by default.

        Returns:
            A future of the round-trip time in seconds, done when the pong arrives.

        Raises:
            ConnectionClosed: If the connection is closed.
            ConcurrencyError: If a ping with the same payload waits for its pong.
        """
        if data is not None:
            data = _control_payload(data)
        if self.status != OPEN:
            await self._refuse(None)
        waiter = self.send_ping(data)
        await self._drain(None)
        return waiter

    def send_ping(self, data=None):
        """Send a Ping frame at once; return the future of its round-trip time."""
        if self.pings is None:
            self.pings = {}
        if data in self.pings:
            raise ConcurrencyError("already waiting for a pong with the same data")
        while data is None or data in self.pings:
            data = secrets.token_bytes(4)
        self.write_control(PING_, data)
        waiter = self.loop.create_future()
        self.pings[data] = (waiter, self.loop.time())
        self.flush_later()
        return waiter

    async def pong(self, data=b""):
        """Send a Pong frame that nobody asked for (RFC 6455 section 5.5.3).

        Args:
            data: payload, at most 125 octets.

        Raises:
            ConnectionClosed: If the connection is closed.
        """
        data = _control_payload(data)
        if self.status != OPEN:
            await self._refuse(None)
        self.write_control(PONG_, data)
        self.flush_later()
        await self._drain(None)

    def _keepalive(self):
        """The keepalive timer: time to ping, or to judge the silence after a ping."""
        now = self.loop.time()
        if self.status != OPEN:
            return
        if not self.pong_due:
            self.ping_sent = now
            self.reads_at_ping = self.reads
            if not self.blocked:
                self.send_ping()
            if self.settings.ping_timeout is None:
                self.ping_timer.set(now + self.settings.ping_interval)
            else:
                self.pong_due = True
                self.ping_timer.set(now + self.settings.ping_timeout)
            return
        late = now - self.ping_sent - self.settings.ping_timeout
        if self.reads != self.reads_at_ping:
            self.pong_due = False
            self.ping_timer.set(max(now, self.ping_sent + self.settings.ping_interval))
        elif self.stopped:
            # Its octets may be waiting for us: a full inbox is not the peer's fault.
            self.ping_timer.set(now + self.settings.ping_timeout)
        elif late > 1.0:
            # Our own loop was blocked; read what came meanwhile before judging.
            self.ping_sent = now - self.settings.ping_timeout
            self.ping_timer.set(now + min(late, self.settings.ping_timeout))
        else:
            self.record(
                Cause.PING_TIMEOUT,
                f"nothing arrived within ping_timeout of {self.settings.ping_timeout} s",
            )
            self.pending_fault = (CloseCode.INTERNAL_ERROR, "keepalive ping timeout")
            self.start_failing()
            self.flush()

    def watch_writing(self):
        """Give a blocked write its own deadline, which progress moves (Limits.write_timeout)."""
        timeout = self.settings.limits.write_timeout
        if timeout is None or self.gone:
            return
        if self.write_timer is None:
            self.write_timer = Timer(timers_of(self.loop), self._judge_writing)
        self.unsent_then = self.link.unsent()
        self.write_timer.set(self.loop.time() + timeout)

    def _judge_writing(self):
        if self.gone or not self.blocked:
            return
        if self.link.unsent() < self.unsent_then:
            self.watch_writing()
            return
        timeout = self.settings.limits.write_timeout
        exc = TimeoutError(f"peer took no octets within write_timeout of {timeout} s")
        self.record(Cause.WRITE_STALLED, str(exc), exc)
        self.connection_exc = self.connection_exc or exc
        self.link.abort()

    # -- closing

    cdef int start_closing(self) except -1:
        """Begin to wait for the end; after ``close_timeout`` it is not waited for any more."""
        timeout = self.settings.close_timeout
        if timeout is None or self.close_timer is not None or self.gone:
            return 0
        self.close_timer = Timer(timers_of(self.loop), self._close_timed_out)
        self.close_timer.set(self.loop.time() + timeout)
        return 0

    def _close_timed_out(self):
        if self.gone:
            return
        if self.pending_fault is not None and self.status == OPEN:
            # The application had its time to answer what came before the fault.
            self.close_timer = None
            self.start_failing()
            self.flush()
            return
        exc = TimeoutError("timed out while closing connection")
        self.record(
            Cause.CLOSE_TIMEOUT, f"close_timeout of {self.settings.close_timeout} s passed", exc
        )
        if self.connection_exc is None:
            self.connection_exc = exc
        self.link.abort()

    cdef int start_failing(self) except -1:
        """Fail the connection for the recorded fault (RFC 6455 section 7.1.7)."""
        code, reason = self.pending_fault
        self.pending_fault = None
        self.deaf = True
        if self.status == OPEN:
            close = Close(code, reason)
            self.write_close(close, close.serialize())
            if self.close_rcvd is not None:
                self.close_rcvd_then_sent = True
        if not self.client and not self.eof_sent:
            self.start_eof()
        if self.close_timer is not None:
            self.close_timer.drop()
            self.close_timer = None
        if self.stopped and not self.gone:
            # Nobody reads any more, but the end of the stream must be seen.
            self.rest = None
            self.stopped = False
            self.link.resume_reading()
        self.start_closing()
        self.flush_later()
        return 0

    async def close(self, code=CloseCode.NORMAL_CLOSURE, reason=""):
        """Do the closing handshake and wait until the connection is closed.

        Messages queued before are sent before the Close frame. Closing again changes nothing.

        Args:
            code: close code; ``None`` for a Close frame without one.
            reason: at most 123 octets of UTF-8.

        Raises:
            ProtocolError: If the code may not be sent or the reason is too long.
        """
        self.start_close(code, reason)
        await self.wait_closed()

    def start_close(self, code=CloseCode.NORMAL_CLOSURE, str reason="", cause=Cause.CLOSED_HERE):
        """Send a Close frame and don't wait; arguments and errors are those of :meth:`close`."""
        if self.status != OPEN:
            if self.status != CONNECTING:
                self.start_closing()
            return
        if self.pending_fault is not None:
            self.start_failing()
        elif self.expect_continuation_frame:
            self.record(cause, "close during fragmented message")
            self.pending_fault = (CloseCode.INTERNAL_ERROR, "close during fragmented message")
            self.start_failing()
        else:
            close = Close(code, reason) if code is not None else Close(
                CloseCode.NO_STATUS_RCVD, ""
            )
            if code is None and reason:
                raise ProtocolError("cannot send a reason without a code")
            payload = b"" if code is None else close.serialize()
            self.record(cause, str(close))
            self.frame_queue()
            self.write_close(close, payload)
            self.start_closing()
            self.resume_for_close()
        self.flush()

    def frame_queue(self):
        """Frame all queued messages: a Close frame must come after them."""
        cdef _Queued item
        while self.queue:
            item = self.queue.popleft()
            self.write_data(item.opcode, True, item.message, item.compress)
            self.wake(item.sent)
        self.unawaited = 0

    def resume_for_close(self):
        """Read on although the inbox is full: the peer's Close frame lies behind it."""
        cdef Py_ssize_t marks
        if not self.stopped:
            return
        self.queue_high = self.queue_octets = -1
        self.read_rest()
        if not self.gone:
            self.link.resume_reading()

    async def wait_closed(self):
        """Wait until the connection is closed: closing handshake done and TCP ended."""
        if self.gone:
            return
        if self.closed_waiter is None:
            self.closed_waiter = self.loop.create_future()
        await asyncio.shield(self.closed_waiter)

    async def __aenter__(self):
        return self

    async def __aexit__(self, exc_type, exc_value, traceback):
        if exc_type is None:
            await self.close()
        else:
            await self.close(CloseCode.INTERNAL_ERROR)


async def _each(iterable):
    for item in iterable:
        yield item


def _control_payload(data):
    """Octets for a control frame's payload from str or bytes-like."""
    if isinstance(data, str):
        return data.encode()
    if isinstance(data, (bytes, bytearray, memoryview)):
        return bytes(data)
    raise TypeError("data must be str or bytes-like")


cdef int link_received(void* owner, const uint8_t* data, Py_ssize_t size) except -1:
    return (<Connection>owner).received(data, size)


cdef uint8_t* link_space_wanted(void* owner, Py_ssize_t* size) except? NULL:
    return (<Connection>owner).place(size)


cdef int link_writable(void* owner, bint yes) except -1:
    return (<Connection>owner).writable(yes)


cdef int link_closed(void* owner, object exc) except -1:
    return (<Connection>owner).lost(exc)


cdef LinkCalls CALLS = LinkCalls(link_received, link_space_wanted, link_writable, link_closed)
