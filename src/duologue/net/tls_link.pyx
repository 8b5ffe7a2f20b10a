"""TLS over a link of the engine: a link that has another one below it.

**Handshake.** It runs before there is an owner, under a deadline of its own. What it comes to is
told once: ``opened(link)``, which may give the link an owner (without one nothing is read until
:meth:`TlsLink.begin`), or ``failed(exc)``, after the alert was sent. A link that is closed or
aborted meanwhile tells nobody.

**Reading.** Octets that the inner link received are records to be read where they lie. What one
read brought is gathered into a buffer that all links of a loop share and handed on in pieces of
about 64 KiB; a large payload is decrypted straight to where the owner wants it. When the owner
pauses, records that are not decrypted yet are kept (at most one buffer of the inner link's, and
nothing more is read).

**Writing.** Octets become records at once while the inner link has less than ``MARK`` of them
waiting, else they wait in a queue by reference, unencrypted. So a link holds few records however
much is written. ``unsent`` counts both: plain octets that wait, and records that the operating
system has not taken. A write that finds the peer in a new handshake waits for its end.

**Ends.** ``end`` sends a close_notify and ends the inner stream; reading goes on (RFC 8446 section
6.1). The peer's close_notify is the end of its stream, and so is an end without one, as in asyncio:
WebSocket's own closing handshake tells whether anything is missing. ``close`` sends what waits and a
close_notify, for which it has ``shutdown_timeout``; the peer's close_notify is not waited for. A
record that can't be is answered with an alert, and the link is closed with the
:exc:`ssl.SSLError`.

Knows nothing of HTTP or WebSocket.
"""

import ssl
import weakref
from collections import deque

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.mem cimport PyMem_Free, PyMem_Malloc
from libc.stdint cimport uint8_t

from duologue.net.link cimport Link, LinkCalls
from duologue.net.records cimport ENDED, WAITS, records_of

from duologue.net.timers import Timer, timers_of
from duologue.net.transport import LinkTransport

cdef enum:
    # Plain octets handed on at once; a record more may be gathered.
    GATHER = 65536
    RECORD = 16384
    # Octets of records written at once, and how many may wait in the inner link.
    BATCH = 65536
    MARK = 65536
    # About what an object in the queue takes besides its octets.
    PIECE_COST = 64


cdef class Scratch:
    """The buffer into which the links of one loop decrypt."""

    def __cinit__(self, loop):
        self.home = weakref.ref(loop)
        self.plain = <uint8_t*>PyMem_Malloc(GATHER + RECORD)
        if self.plain == NULL:
            raise MemoryError

    def __dealloc__(self):
        PyMem_Free(self.plain)


# Weak on both sides: a loop's links hold its buffer.
cdef object scratches = weakref.WeakKeyDictionary()


cdef Scratch scratch_of(object loop):
    """Return the buffer of ``loop``, made when there is none."""
    reference = scratches.get(loop)
    scratch = None if reference is None else reference()
    if scratch is None:
        scratch = Scratch(loop)
        scratches[loop] = weakref.ref(scratch)
    return scratch


cdef class TlsLink(Link):
    """A TLS session over another link, which it takes over; made by dialling or listening.

    Args:
        loop: the event loop.
        inner: the link that carries the records; begins to read when told to, by its maker.
        context: settings of the session.
        opened: called with this link when the handshake is done.
        failed: called with the exception when it failed.
        server_side: whether we are the server.
        server_hostname: name to ask for and to check in the certificate; ``None`` for none.
        handshake_timeout: seconds for the handshake.
        shutdown_timeout: seconds in which a closed link must have sent what waits.

    Raises:
        ValueError: If the context wants to check a name and there is none.
        ssl.SSLError: If the context is made for the other side.
    """

    def __cinit__(self, *args, **kwargs):
        self.high = 65536

    def __init__(
        self,
        loop,
        Link inner not None,
        context,
        opened,
        failed,
        *,
        bint server_side,
        server_hostname,
        double handshake_timeout,
        double shutdown_timeout,
    ):
        self.records = records_of(context, server_side, server_hostname)
        self.scratch = scratch_of(loop)
        self.inner = inner
        self.opened = opened
        self.failed = failed
        self.shutdown_timeout = shutdown_timeout
        inner.own(self, &CALLS)
        # Told of anything that waits, and again when little does: see judge_marks().
        inner.set_write_limits(0, MARK // 4)
        self.handshake_timeout = handshake_timeout
        self.set_deadline(handshake_timeout, self._handshake_timed_out)
        if not server_side:
            self.shake_hands()

    @property
    def transport(self):
        """The link as an asyncio transport."""
        return LinkTransport(self)

    def is_closing(self):
        """Whether the link is closed or about to be."""
        return bool(self.gone or self.close_wanted or self.inner.is_closing())

    def is_reading(self):
        """Whether octets are read as they come."""
        return bool(
            self.open and not (self.paused or self.ended or self.inner_ended or self.is_closing())
        )

    def __repr__(self):
        return f"<TlsLink queued={self.queued} over {self.inner!r}>"

    def begin(self):
        """Begin to read; the link must have an owner."""
        if self.owner is None and not self.gone:
            raise RuntimeError(f"{self!r} has no owner")
        self.resume_reading()

    # -- handshake

    cdef int shake_hands(self) except -1:
        """Go on with the handshake with what the peer sent."""
        cdef bint done
        try:
            done = self.records.handshake()
        except Exception as exc:
            return self.handshake_failed(exc)
        self.records.send(self.inner)
        if not done or self.gone:
            return 0
        self.clear_deadline()
        self.open = True
        opened, self.opened, self.failed = self.opened, None, None
        opened(self)
        if self.owner is None and not self.gone:
            self.pause_reading()
        return 0

    cdef int handshake_failed(self, object exc) except -1:
        """Send the alert if there is one, close, and tell why."""
        failed, self.failed, self.opened = self.failed, None, None
        self.gone = True
        self.clear_deadline()
        self.records.send(self.inner)
        self.inner.close()
        failed(exc)
        return 0

    def _handshake_timed_out(self):
        self.inner.abort()
        self.handshake_failed(
            ConnectionAbortedError(
                "the TLS handshake took longer than ssl_handshake_timeout "
                f"of {self.handshake_timeout} s"
            )
        )

    # -- the inner link's calls

    cdef int received(self, const uint8_t* data, Py_ssize_t size) except -1:
        if self.gone or self.close_wanted or self.ended:
            return 0
        if size == 0:
            return self.inner_end()
        if self.busy:
            # A loop runs inside a call of ours: what follows waits until that has returned.
            return self.keep(data, size)
        if self.kept is not None:
            self.keep(data, size)
            return self.take(NULL, 0)
        return self.take(data, size)

    cdef int keep(self, const uint8_t* data, Py_ssize_t size) except -1:
        """Copy records that can't be read now behind those that are kept already."""
        fresh = PyBytes_FromStringAndSize(<const char*>data, size)
        self.kept = fresh if self.kept is None else self.kept + fresh
        return self.account_all()

    cdef int take(self, const uint8_t* data, Py_ssize_t size) except -1:
        """Read what was kept, then ``data``, as far as the owner wants octets."""
        cdef bytes kept = None
        self.busy = True
        try:
            while size or self.kept is not None:
                if self.kept is not None:
                    kept, self.kept = self.kept, None
                    data = <const uint8_t*>PyBytes_AS_STRING(kept)
                    size = PyBytes_GET_SIZE(kept)
                self.records.feed(data, size)
                size = 0
                if not self.open:
                    self.shake_hands()
                if self.open:
                    self.read_on()
                if self.records.left():
                    if not (self.gone or self.close_wanted or self.ended):
                        # Paused: what came meanwhile stays behind it.
                        self.kept = self.records.take_left() + (self.kept or b"")
                    break
        finally:
            self.busy = False
            self.records.feed(NULL, 0)
        self.account_all()
        if self.gone:
            return 0
        # A changed key is acknowledged, a new handshake answered.
        self.records.send(self.inner)
        if self.stuck and self.open and not self.ended:
            self.stuck = False
            self.write_on()
        if self.ended or self.inner_ended and self.kept is None:
            return self.tell_end()
        return 0

    cdef int read_on(self) except -1:
        """Decrypt what was fed and hand it on until the owner pauses or goes."""
        cdef Py_ssize_t got
        while self.owner is not None and not (self.gone or self.close_wanted or self.ended):
            if self.paused and not self.partial:
                return 0
            got = self.hand_on()
            if got == WAITS:
                return 0
            if got == ENDED:
                self.ended = True
        return 0

    cdef Py_ssize_t hand_on(self) except -2:
        """Decrypt for one call of the owner's; return what the last record came to."""
        cdef object owner = self.owner
        cdef Py_ssize_t size = 0, got
        cdef uint8_t* place = self.calls.space_wanted(<void*>owner, &size)
        if place != NULL:
            try:
                got = self.records.read(place, size)
            except ssl.SSLError as exc:
                return self._fault(exc)
            # The rest of a record lies in the session: it is taken before any pause.
            self.partial = got == size
            if got > 0:
                self.calls.received(<void*>owner, place, got)
            return got
        self.partial = False
        if not self.scratch.lent:
            self.scratch.lent = True
            try:
                return self.gather(self.scratch.plain)
            finally:
                self.scratch.lent = False
        # Inside a call that is still looking at the shared buffer: a nested loop runs.
        place = <uint8_t*>PyMem_Malloc(GATHER + RECORD)
        if place == NULL:
            raise MemoryError
        try:
            return self.gather(place)
        finally:
            PyMem_Free(place)

    cdef Py_ssize_t gather(self, uint8_t* place) except -2:
        """Decrypt records into ``place`` and hand them on together."""
        cdef object owner = self.owner
        cdef Py_ssize_t size = 0, got = WAITS
        fault = None
        while size < GATHER:
            try:
                got = self.records.read(place + size, GATHER + RECORD - size)
            except ssl.SSLError as exc:
                fault = exc
                break
            if got <= 0:
                break
            size += got
            if self.records.left() == 0:
                got = WAITS
                break
        if size:
            self.calls.received(<void*>owner, place, size)
        return got if fault is None else self._fault(fault)

    def _fault(self, exc):
        """The peer broke the session: send the alert that was made and give the link up."""
        self.records.send(self.inner)
        self.fail(exc)
        return WAITS

    cdef int inner_end(self) except -1:
        """The peer has ended its stream, with a close_notify before or without."""
        if not self.open:
            return self.handshake_failed(
                ConnectionResetError("the peer ended the connection during the TLS handshake")
            )
        self.inner_ended = True
        if self.busy or self.kept is not None:
            return 0
        return self.tell_end()

    cdef int tell_end(self) except -1:
        """Tell the owner, once, that nothing more comes."""
        owner = self.owner
        if owner is None or self.told_end or self.close_wanted or self.gone:
            return 0
        self.told_end = self.ended = True
        self.calls.received(<void*>owner, NULL, 0)
        return 0

    cdef int inner_writable(self, bint yes) except -1:
        if not yes or self.gone:
            return 0
        return self.write_on()

    cdef int inner_closed(self, object exc) except -1:
        """The inner link is gone: hand on what was kept, then the end."""
        if not self.open and not self.gone:
            self.handshake_failed(
                exc or ConnectionResetError("the peer ended the connection during the TLS handshake")
            )
        if self.kept is not None and not self.busy:
            self.paused = False
            try:
                self.take(NULL, 0)
            except Exception as exception:
                self._report(exception)
        self.forget()
        owner, self.owner = self.owner, None
        if owner is not None:
            self.calls.closed(<void*>owner, exc)
        return 0

    # -- Link: reading

    cdef int pause_reading(self) except -1:
        self.paused = True
        return self.inner.pause_reading()

    cdef int resume_reading(self) except -1:
        if not self.paused or self.gone:
            return 0
        self.paused = False
        if self.kept is None and not (self.inner_ended and not self.told_end):
            return self.inner.resume_reading()
        # Never from inside the owner's call.
        loop = self.scratch.home()
        if loop is not None and not loop.is_closed():
            loop.call_soon(self._resume)
        return 0

    def _resume(self):
        """Read what was kept, then go on with what the inner link receives."""
        if self.paused or self.gone or self.busy:
            return
        try:
            if self.kept is not None:
                self.take(NULL, 0)
            elif self.inner_ended:
                self.tell_end()
        except Exception as exc:
            self._report(exc)
            self.fail(exc)
            return
        if not self.paused and not self.gone:
            self.inner.resume_reading()

    def _report(self, exc):
        """Tell the loop of an error that has no caller of ours to go to."""
        self.scratch.home().call_exception_handler(
            {"message": f"error while handling octets of {self!r}", "exception": exc}
        )

    # -- Link: writing

    cdef bint may_write(self) noexcept:
        return self.open and not (self.gone or self.end_wanted or self.close_wanted)

    cdef Py_ssize_t encrypt(self, const uint8_t* octets, Py_ssize_t size) except -1:
        """Make records of octets and send them while the inner link takes them; return how many
        octets are in records."""
        cdef Py_ssize_t at = 0, took
        while at < size and not self.stuck and not self.gone:
            try:
                took = self.records.write(octets + at, min(size - at, BATCH))
            except ssl.SSLError as exc:
                self._fault(exc)
                return size
            if took == WAITS:
                self.stuck = True
                break
            at += took
            if self.records.made() >= BATCH:
                self.records.send(self.inner)
                if self.inner.unsent() >= MARK:
                    break
        return at

    cdef int enqueue(self, bytes octets, Py_ssize_t offset) except -1:
        if self.queue is None:
            self.queue = deque()
        if self.queued == 0:
            self.offset = offset
        self.queue.append(octets)
        self.queued += PyBytes_GET_SIZE(octets) - offset
        return 0

    cdef int written(self) except -1:
        """Send what was made, and tell who has to know what waits."""
        if self.gone:
            return 0
        self.records.send(self.inner)
        self.account_all()
        return self.judge_marks()

    cdef int write(self, bytes octets) except -1:
        cdef Py_ssize_t at = 0, size = PyBytes_GET_SIZE(octets)
        if size == 0 or not self.may_write():
            return 0
        if self.queued == 0 and self.inner.unsent() < MARK:
            at = self.encrypt(<const uint8_t*>PyBytes_AS_STRING(octets), size)
        if at < size and not self.gone:
            self.enqueue(octets, at)
        return self.written()

    cdef int write_memory(self, const uint8_t* octets, Py_ssize_t size) except -1:
        cdef Py_ssize_t at = 0
        if size == 0 or not self.may_write():
            return 0
        if self.queued == 0 and self.inner.unsent() < MARK:
            at = self.encrypt(octets, size)
        if at < size and not self.gone:
            self.enqueue(PyBytes_FromStringAndSize(<const char*>octets + at, size - at), 0)
        return self.written()

    cdef int write_all(self, list pieces) except -1:
        cdef bytes octets
        cdef Py_ssize_t at, size = 0
        if not self.may_write():
            return 0
        for octets in pieces:
            size += PyBytes_GET_SIZE(octets)
        if size <= RECORD:
            # A record costs more than a copy.
            return self.write(b"".join(pieces))
        for octets in pieces:
            at, size = 0, PyBytes_GET_SIZE(octets)
            if self.queued == 0 and self.inner.unsent() < MARK:
                at = self.encrypt(<const uint8_t*>PyBytes_AS_STRING(octets), size)
            if at < size and not self.gone:
                self.enqueue(octets, at)
        return self.written()

    cdef int write_on(self) except -1:
        """Encrypt what waits while the inner link takes records, then end if that was wanted."""
        cdef bytes octets
        cdef Py_ssize_t size
        while self.queued and not self.stuck and not self.gone and self.inner.unsent() < MARK:
            octets = self.queue[0]
            size = self.encrypt(
                <const uint8_t*>PyBytes_AS_STRING(octets) + self.offset,
                PyBytes_GET_SIZE(octets) - self.offset,
            )
            if self.gone:
                return 0
            self.records.send(self.inner)
            self.queued -= size
            self.offset += size
            if self.offset == PyBytes_GET_SIZE(octets):
                self.queue.popleft()
                self.offset = 0
        if self.queued == 0:
            self.queue = None
            if self.end_wanted or self.close_wanted:
                self.finish()
        return self.written()

    cdef int judge_marks(self) except -1:
        """Tell the owner when what waits passes a mark.

        The inner link says so whenever it has less than its low mark again, which is not above
        ours: so each time this has blocked the owner it will be asked again.
        """
        cdef Py_ssize_t waiting = self.queued + self.inner.unsent()
        if not self.blocked and waiting > self.high:
            self.blocked = True
            if self.owner is not None:
                self.calls.writable(<void*>self.owner, False)
        elif self.blocked and waiting <= self.low:
            self.blocked = False
            if self.owner is not None:
                self.calls.writable(<void*>self.owner, True)
        return 0

    cdef Py_ssize_t unsent(self) except -1:
        return self.queued + self.inner.unsent()

    cdef Py_ssize_t lost_octets(self) except? -2:
        return self.let_go + self.inner.lost_octets()

    cdef object silence(self):
        return self.inner.silence()

    cdef object arrival(self):
        return self.inner.arrival()

    cdef int call_when_left(self, object callback) except -1:
        return self.inner.call_when_left(callback)

    cdef int set_write_limits(self, Py_ssize_t high, Py_ssize_t low) except -1:
        self.high = high
        self.low = low
        self.inner.set_write_limits(0, min(low, MARK // 4))
        return self.judge_marks()

    cdef int account_all(self) except -1:
        """Tell the accounts what waits here; the inner link tells of its records."""
        cdef Py_ssize_t held = 0
        if self.queue is not None:
            held = self.queued + PIECE_COST * <Py_ssize_t>len(self.queue)
        if self.kept is not None:
            held += PyBytes_GET_SIZE(self.kept)
        self.account(held)
        return 0

    # -- Link: ends

    cdef int finish(self) except -1:
        """All octets are in records: say that nothing follows, and end or close below."""
        self.records.shut()
        self.records.send(self.inner)
        if self.close_wanted:
            return self.inner.close()
        return self.inner.end()

    cdef int end(self) except -1:
        if not self.may_write():
            return 0
        self.end_wanted = True
        return self.finish() if self.queued == 0 else 0

    cdef int close(self) except -1:
        cdef bint ended = self.end_wanted and self.queued == 0
        if self.gone or self.close_wanted:
            return 0
        self.close_wanted = True
        self.kept = None
        if not self.open:
            self.opened = self.failed = None
            return self.abort()
        if ended:
            self.inner.close()
        elif self.queued == 0:
            self.finish()
        if not self.gone and (self.queued or self.inner.unsent()):
            self.set_deadline(self.shutdown_timeout, self._shutdown_timed_out)
        return self.account_all()

    def _shutdown_timed_out(self):
        self.fail(
            TimeoutError(
                "the peer did not take what was left to send within ssl_shutdown_timeout "
                f"of {self.shutdown_timeout} s"
            )
        )

    cdef int abort(self) except -1:
        self.forget()
        return self.inner.abort()

    def fail(self, exc):
        """Give the link up for ``exc``, which its owner is told."""
        self.forget()
        self.inner.fail(exc)

    cdef int forget(self) except -1:
        """Let everything go but the owner, which still has to be told."""
        self.gone = True
        self.opened = self.failed = None
        self.queue = None
        self.kept = None
        self.let_go += self.queued
        self.queued = 0
        self.clear_deadline()
        return self.account_all()

    cdef int set_deadline(self, double seconds, object callback) except -1:
        loop = self.scratch.home()
        self.clear_deadline()
        self.timer = Timer(timers_of(loop), callback)
        self.timer.set(loop.time() + seconds)
        return 0

    cdef int clear_deadline(self) except -1:
        timer, self.timer = self.timer, None
        if timer is not None:
            timer.drop()
        return 0

    cdef object info(self, str name):
        ssl_object = self.records.ssl_object
        if name == "ssl_object":
            return ssl_object
        if name == "sslcontext":
            return ssl_object.context
        if name == "peercert":
            return ssl_object.getpeercert()
        if name == "cipher":
            return ssl_object.cipher()
        if name == "compression":
            return ssl_object.compression()
        return self.inner.info(name)


cdef int link_received(void* owner, const uint8_t* data, Py_ssize_t size) except -1:
    return (<TlsLink>owner).received(data, size)


cdef uint8_t* link_space_wanted(void* owner, Py_ssize_t* size) except? NULL:
    return NULL


cdef int link_writable(void* owner, bint yes) except -1:
    return (<TlsLink>owner).inner_writable(yes)


cdef int link_closed(void* owner, object exc) except -1:
    return (<TlsLink>owner).inner_closed(exc)


cdef LinkCalls CALLS = LinkCalls(link_received, link_space_wanted, link_writable, link_closed)
