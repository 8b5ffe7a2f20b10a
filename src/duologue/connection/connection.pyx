"""One WebSocket connection for an asyncio application: the machine, with somebody to talk to.

A :class:`Connection` is the sink of its own :class:`~duologue.protocol.machine.Machine` and the
owner of its link. What it adds is waiting: for messages, for room to send, for the end.

**Inbox.** Whole messages, or the fragments of one, lie in a ring until the application takes them.
At its mark (messages or octets) parsing stops and reading pauses; the unparsed rest waits and is
parsed before anything else is read. A full inbox is the only thing that pauses reading, so two
peers that both only write never block each other. Once our Close frame is sent (or the stream has
ended) reading never pauses: the peer's Close frame lies behind its messages. They still come in, up
to twice ``max_queue_bytes``; what exceeds that is discarded.

**Outbox, in two stages.** A message goes straight into the write buffer as a frame when nothing
waits. When the link takes no more, it stays as it is, unframed, in a queue: the only place where it
could still be dropped or replaced. Frames are never altered, and one write a turn of the loop sends
all of them. ``send()`` queues at once; awaiting it waits while the link is above its high mark.

**Faults wait for answers.** What arrived whole before the peer broke the protocol is delivered and
can be answered, for at most ``close_timeout``; then the connection fails (RFC 6455 section 7.1.7).

**Ends.** The first cause is recorded in ``ending`` where it happens. ``lost`` runs once, last.

**Parts.** What few connections have at a time (fragments, an outbox, pings, an end) are objects of
their own, and whoever has none refers to one that is empty and shared. So a part is looked at
without a question, and written to only by way of its ``own_...()``.

Invariants: ``inbox`` is the shared empty one while no message is in it; ``queue`` is empty unless
``blocked`` or a fragmented message is being sent; nothing is written after ``eof_sent``.
"""

cimport cython

import asyncio
import base64
import codecs
import collections.abc
import logging
import secrets
import types
import uuid
from collections import deque
from dataclasses import replace
from time import monotonic

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.mem cimport PyMem_Free, PyMem_Malloc
from cpython.object cimport PyObject
from cpython.unicode cimport PyUnicode_GET_LENGTH
from cpython.weakref cimport PyWeakref_NewRef
from libc.math cimport NAN
from libc.stdint cimport uint8_t, uint16_t, uint32_t
from libc.string cimport memcpy

from duologue.base.accounts cimport HolderCalls, change, hold, leave, totals
from duologue.base.traffic cimport counted
from duologue.connection.outbox cimport (
    CLOSE,
    DROP_NEWEST,
    DROPPED,
    FRAMED,
    NEWEST_PER_KEY,
    QUEUED_COST,
    WAIT,
    WAITING,
    Outbox,
    Queued,
    drops_of,
)
from duologue.connection.prepared cimport Prepared
from duologue.connection.turn cimport turn_of
from duologue.connection.wakeup cimport Wakeable, Wakeup
from duologue.net.link cimport Link, LinkCalls
from duologue.net.timers cimport (
    begin_deadline,
    drop_deadline,
    forget_deadline,
    timers_of,
)
from duologue.protocol.machine cimport CLOSED, CLOSING, CONNECTING, OPEN, Machine, Terms

from duologue.base.callbacks import check_callback
from duologue.base.exceptions import (
    ConcurrencyError,
    ConnectionClosed,
    ConnectionClosedError,
    ConnectionClosedOK,
    InvalidState,
    PayloadTooBig,
    ProtocolError,
    RateExceeded,
    TooManyFragments,
)
from duologue.base.limits import DEFAULT_LIMITS
from duologue.base.vocabulary import CloseCode, Opcode, Side
from duologue.connection.ending import ENDED, Cause, Ending
from duologue.connection.losses import BLOCKED, blocked_detail, explain_loss
from duologue.connection.membership import NO_TOPICS
from duologue.connection.policies import name_of, number_of
from duologue.net.timers import Timer
from duologue.protocol.handshake import accept_key
from duologue.wire.frame import Close
from duologue.wire.http11 import ResponseParser, read_request

cdef object CLIENT = Side.CLIENT
cdef int DEBUG = logging.DEBUG
cdef object get_running_loop = asyncio.get_running_loop
cdef object PEER_CLOSED = Cause.PEER_CLOSED

# Whoever did this knows that the connection ends.
cdef frozenset ENDED_HERE = frozenset({Cause.CLOSED_HERE, Cause.SHUTDOWN, Cause.HANDLER_RAISED})

# Endings as they should be, and what an operator should know of.
cdef frozenset EVERYDAY = frozenset({Cause.PEER_CLOSED, Cause.CLOSED_HERE, Cause.SHUTDOWN})
cdef frozenset NOTABLE = frozenset(
    {Cause.IDLE_CUT, Cause.LOOP_BLOCKED, Cause.OUTBOX_FULL, Cause.TLS_FAILED, Cause.WRITE_STALLED}
)

# For heads that were within their limits once.
cdef object ANY_SIZE = replace(DEFAULT_LIMITS, max_line=None, max_headers=None, max_head=None)

# Weak references to what was read from kept heads and is still held by somebody, by the
# connection's id.
cdef dict last_requests = {}
cdef dict last_responses = {}

# The last response kept; see keep_heads().
cdef bytes last_response = None
cdef bytes ACCEPT = b"\r\nSec-WebSocket-Accept: "
cdef bytes ACCEPT_EMPTY = ACCEPT + b"\r\n"
cdef Py_ssize_t ACCEPT_LENGTH = 28

# Requests kept, without their keys; see share_request().
cdef dict known_requests = {}
cdef bytes KEY = b"\r\nSec-WebSocket-Key: "
cdef bytes KEY_EMPTY = KEY + b"\r\n"
cdef enum:
    KEY_LENGTH = 24
    KNOWN_REQUESTS = 64
    KNOWN_LENGTH = 2048


cdef extern from *:
    """
    static int duologue_set_am_send(PyObject *type, void *send)
    {
        PyAsyncMethods *methods = ((PyTypeObject *)type)->tp_as_async;
        if (methods == NULL) {
            PyErr_SetString(PyExc_TypeError, "type has no __await__");
            return -1;
        }
        methods->am_send = (sendfunc)send;
        PyType_Modified((PyTypeObject *)type);
        return 0;
    }

    /* Calls with one argument or two; returns NULL with an exception set, as the C API does. A
     * method written in Python, as most callbacks are, is entered without a detour. */
    static PyObject *duologue_call_with(PyObject *callable, PyObject *first, PyObject *second)
    {
        PyObject *arguments[4] = {NULL, NULL, first, second};
        size_t count = second == NULL ? 1 : 2;
        if (PyMethod_Check(callable) && PyFunction_Check(PyMethod_GET_FUNCTION(callable))) {
            PyObject *function = PyMethod_GET_FUNCTION(callable);
            vectorcallfunc enter = PyVectorcall_Function(function);
            if (enter != NULL) {
                arguments[1] = PyMethod_GET_SELF(callable);
                return enter(function, arguments + 1,
                             (count + 1) | PY_VECTORCALL_ARGUMENTS_OFFSET, NULL);
            }
        }
        return PyObject_Vectorcall(callable, arguments + 2,
                                   count | PY_VECTORCALL_ARGUMENTS_OFFSET, NULL);
    }

    /* CPython 3.11 finds methods fast only where there is a dictionary, be it empty. There it
     * stays: 64 octets for 93 instructions a message. Later ones need none. */
    static void duologue_drop_dictionary(PyObject *object)
    {
        (void)object;
    #if PY_VERSION_HEX >= 0x030C0000
        PyObject **dictionary = _PyObject_GetDictPtr(object);
        if (dictionary != NULL)
            Py_CLEAR(*dictionary);
    #endif
    }

    static int duologue_as_raised(void)
    {
        return -1;
    }
    """
    # An exception that a try would have to save and restore state for, on every call.
    PyObject* call_with "duologue_call_with"(PyObject* callable, PyObject* first, PyObject* second)
    void let_dictionary_go "duologue_drop_dictionary"(object owner)
    int as_raised "duologue_as_raised"() except -1
    int iter_send "PyIter_Send"(object iterator, object value, PyObject** result)
    int PYGEN_RETURN
    int PYGEN_NEXT
    int duologue_set_am_send(object type, void* send) except -1
    PyObject* new_reference "Py_NewRef"(object value)
    object stolen_reference "(PyObject *)"(PyObject* value)
    void release "Py_DECREF"(PyObject* value)
    bint is_ascii "PyUnicode_IS_COMPACT_ASCII"(object text)
    Py_ssize_t text_kind "PyUnicode_KIND"(object text)
    const uint8_t* ascii_data "PyUnicode_1BYTE_DATA"(object text)

ctypedef int (*SendFunction)(object awaitable, object value, PyObject** result) except -1


cdef int set_am_send(object type, SendFunction send) except -1:
    """Give a type that can be awaited the slot that coroutines have (PEP 492's ``send`` in C)."""
    return duologue_set_am_send(type, <void*>send)


cdef enum:
    CONT_ = 0
    TEXT_ = 1
    BINARY_ = 2
    PING_ = 9
    PONG_ = 10
    FIN_ = 0x80

# What recv() was asked for.
cdef enum:
    AS_SENT
    AS_TEXT
    AS_BYTES

# About what a message in the inbox takes besides its octets, a fragment twice that.
cdef enum:
    MESSAGE_COST = 64

# Frames of one connection until others have their turn. So many cost about as much as fifty turns
# of the loop: nobody waits for long, and a flood loses little.
cdef enum:
    FRAMES_PER_TURN = 512

# What a link may still hold of a connection that is shed, for its Close frame comes after it.
cdef enum:
    KEPT_WHEN_SHED = 262144

# Longer messages go the general way: what that costs beside their octets is nothing.
cdef Py_ssize_t PLAIN_LENGTH = 16384

# What sifts the messages that come.
cdef enum:
    METERED = 1
    DISCARDING = 2

# Seconds by which a rate is not kept to: what adding up many small numbers loses.
cdef double ROUNDING = 1e-6

# So many fragments a message may always have, however small max_size is.
cdef Py_ssize_t FREE_FRAGMENTS = 64

# A shared frame up to this size is joined with what is written before and after it in the same
# turn; longer ones go by reference.
cdef Py_ssize_t JOINED_LENGTH = 4096

# So many octets of frames that others send too are joined by reference, once for all who send the
# same; behind more of them each connection copies, and soon flushes.
cdef Py_ssize_t JOINED_MOST = 65536

# Seconds: a keepalive timer that runs later than this tells of our own loop, not of the peer.
cdef double TOO_LATE = 1.0


cdef inline uint16_t shorten(double seconds) noexcept:
    """The sign, exponent and first digits of a number: two decimal digits are exact."""
    cdef float number = <float>seconds
    cdef uint32_t octets
    memcpy(&octets, &number, 4)
    return <uint16_t>(octets >> 16)


cdef inline double lengthen(uint16_t short) noexcept:
    cdef uint32_t octets = <uint32_t>short << 16
    cdef float number
    memcpy(&number, &octets, 4)
    return number


# -- awaitables


cdef class _Awaitable:
    """What ``collections.abc.Coroutine`` asks for, so that ``create_task`` takes it too."""

    cdef object coroutine
    cdef bint begun

    def __await__(self):
        return self

    def __iter__(self):
        return self

    def __next__(self):
        return self.send(None)

    cdef object begin(self):
        """Return the coroutine that does the waiting, or raise StopIteration with the result."""
        raise NotImplementedError

    cdef int start(self) except -1:
        """Begin once; as coroutines do, refuse to be awaited again."""
        if self.coroutine is None:
            if self.begun:
                raise RuntimeError("cannot reuse already awaited coroutine")
            self.begun = True
            self.coroutine = self.begin()
        return 0

    def send(self, value):
        self.start()
        return self.coroutine.send(value)

    def throw(self, *exc):
        if self.coroutine is not None:
            return self.coroutine.throw(*exc)
        self.begun = True
        raise exc[0] if len(exc) == 1 or exc[1] is None else exc[1]

    def close(self):
        self.begun = True
        if self.coroutine is not None:
            self.coroutine.close()


@cython.final
cdef class _Done(_Awaitable):
    """A send that needs no waiting; one object serves all, so it may be awaited again."""

    def __await__(self):
        return self

    def __iter__(self):
        return self

    def __next__(self):
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


@cython.final
cdef class _Recv(Wakeable):
    """``recv()``: done at once when a message is there, else woken with it by the octets.

    Only what needs more than one message's arrival (fragments, decoding, the end of the connection)
    is left to a coroutine. It is itself what its task waits for: one object less for each
    connection that waits.

    As an iterator it gives itself out for each message, as long as nobody holds on to an earlier
    one: ``begun`` and neither waiting nor with a coroutine, it is idle.
    """

    cdef Connection connection
    cdef object coroutine

    cdef object home(self):
        return self.connection.common.loop

    def __await__(self):
        return self

    def __iter__(self):
        return self

    def __next__(self):
        return self.send(None)

    def __aiter__(self):
        return self

    def __anext__(self):
        if not self.begun or self.waiting or self.coroutine is not None:
            return self.connection.__anext__()
        self.begun = False
        return self

    cdef int step(self, object value, PyObject** result) except -1:
        """Go on; set ``result`` and return PYGEN_RETURN with a message, PYGEN_NEXT to wait."""
        cdef Connection connection = self.connection
        if self.waiting:
            self.stop_waiting()
        elif self.coroutine is not None:
            return self.delegate(value, result)
        elif self.begun:
            raise RuntimeError("cannot reuse already awaited coroutine")
        self.begun = True
        if self.decoding == AS_SENT:
            message = connection.take()
            if message is not None:
                result[0] = new_reference(message)
                return PYGEN_RETURN
            if connection.may_wait():
                self.waiting = connection.recv_busy = True
                connection.recv_waiter = self
                result[0] = new_reference(self.prepare())
                return PYGEN_NEXT
        self.coroutine = connection._recv(
            None if self.decoding == AS_SENT else self.decoding == AS_TEXT
        )
        return self.delegate(None, result)

    cdef int delegate(self, object value, PyObject** result) except -1:
        """Let the coroutine go on."""
        try:
            result[0] = new_reference(self.coroutine.send(value))
            return PYGEN_NEXT
        except StopIteration as stop:
            self.coroutine = None
            result[0] = new_reference(stop.value)
            return PYGEN_RETURN
        except BaseException as exc:
            self.coroutine = None
            if not (self.iterating and isinstance(exc, ConnectionClosedOK)):
                raise
        raise StopAsyncIteration

    cdef int stop_waiting(self) except -1:
        self.waiting = False
        self.connection.recv_busy = False
        self.connection.recv_waiter = None
        return 0

    def send(self, value):
        cdef PyObject* result
        cdef int status = self.step(value, &result)
        outcome = stolen_reference(result)
        if status == PYGEN_NEXT:
            return outcome
        raise StopIteration(outcome)

    def throw(self, *exc):
        if self.waiting:
            self.stop_waiting()
        self.begun = True
        try:
            if self.coroutine is not None:
                return self.coroutine.throw(*exc)
            raise exc[0] if len(exc) == 1 or exc[1] is None else exc[1]
        except BaseException as raised:
            self.coroutine = None
            if not (self.iterating and isinstance(raised, ConnectionClosedOK)):
                raise
        raise StopAsyncIteration

    def close(self):
        if self.waiting:
            self.stop_waiting()
        self.begun = True
        if self.coroutine is not None:
            self.coroutine.close()
            self.coroutine = None


cdef int recv_send(object recv, object value, PyObject** result) except -1:
    return (<_Recv>recv).step(value, result)


cdef int done_send(object done, object value, PyObject** result) except -1:
    result[0] = new_reference(None)
    return PYGEN_RETURN


# What the interpreter asks first: an answer costs no StopIteration. The other methods stay for
# whoever drives a coroutine by hand, and for traced code.
set_am_send(_Recv, recv_send)
set_am_send(_Done, done_send)


@cython.final
cdef class Handling:
    """What the task of a handler runs: the handler, then the server's ``handler_ended()``.

    A coroutine around the handler's own would take four times the memory for as long as it lasts.

    Args:
        server: has ``handler(connection)`` and the coroutine function
            ``handler_ended(connection, exc)``, with ``None`` if the handler returned.
        connection: the open connection.
    """

    cdef object server
    cdef object connection
    cdef object coroutine

    def __init__(self, server, connection):
        self.server = server
        self.connection = connection

    def __getattr__(self, name):
        # For what shows tasks: where the handler is.
        if self.coroutine is None:
            raise AttributeError(name)
        return getattr(self.coroutine, name)

    def __await__(self):
        return self

    def __next__(self):
        return self.send(None)

    cdef int step(self, object value, PyObject** result) except -1:
        """Go on, as ``_Recv.step`` does; ``server`` is there while the handler runs."""
        if self.server is None:
            return self.go_on(value, result)
        try:
            if self.coroutine is None:
                self.coroutine = awaited(self.server.handler(self.connection))
            if self.go_on(value, result) == PYGEN_NEXT:
                return PYGEN_NEXT
        except BaseException as exc:
            self.handler_ended(exc)
        else:
            release(result[0])
            self.handler_ended(None)
        return self.go_on(None, result)

    cdef int go_on(self, object value, PyObject** result) except -1:
        if self.coroutine is None:
            raise RuntimeError("cannot reuse already awaited coroutine")
        cdef int status = iter_send(self.coroutine, value, result)
        if status < 0:
            as_raised()
        return status

    cdef int handler_ended(self, object exc) except -1:
        self.coroutine = self.server.handler_ended(self.connection, exc)
        self.server = self.connection = None
        return 0

    def send(self, value):
        cdef PyObject* result
        cdef int status = self.step(value, &result)
        outcome = stolen_reference(result)
        if status == PYGEN_NEXT:
            return outcome
        raise StopIteration(outcome)

    def throw(self, *exc):
        raised = exc[0] if len(exc) == 1 or exc[1] is None else exc[1]
        throw = getattr(self.coroutine, "throw", None)
        if self.server is None:
            if throw is None:
                raise raised
            return throw(*exc)
        try:
            if throw is None:
                raise raised
            return throw(*exc)
        except StopIteration:
            self.handler_ended(None)
        except BaseException as ended:
            self.handler_ended(ended)
        return self.send(None)

    def close(self):
        if self.coroutine is not None:
            self.coroutine.close()
        if self.server is not None:
            self.handler_ended(GeneratorExit())
            try:
                self.send(None)
            except GeneratorExit:
                pass


cdef object awaited(object awaitable):
    """Return the iterator that ``await`` would use."""
    if isinstance(awaitable, types.CoroutineType):
        return awaitable
    if not hasattr(type(awaitable), "__await__"):
        name = type(awaitable).__name__
        raise TypeError(f"object {name} can't be used in 'await' expression")
    return awaitable.__await__()


cdef int handling_send(object handling, object value, PyObject** result) except -1:
    return (<Handling>handling).step(value, result)


set_am_send(Handling, handling_send)


for _kind in (_Done, _Failed, _Later, _Recv, Handling):
    collections.abc.Coroutine.register(_kind)
del _kind

cdef _Done DONE = _Done()
cdef object NOTHING = object()


cdef class _Fragment:
    """A part of a message in the inbox."""

    cdef bytes payload
    cdef bint text
    cdef bint fin


cdef Py_ssize_t octets_of(object message) noexcept:
    """How much memory a message's octets take; a character of text takes 1, 2 or 4."""
    if isinstance(message, str):
        return PyUnicode_GET_LENGTH(message) * text_kind(message)
    return PyBytes_GET_SIZE(message)


cdef class Callbacks:
    """The callbacks of an endpoint that do something, looked up once for all its connections.

    Args:
        endpoint: :class:`~duologue.connection.endpoint.Endpoint`.
        default: the class whose methods do nothing.

    Raises:
        TypeError: If one of them is a coroutine function.
    """

    def __init__(self, endpoint, default):
        def overridden(name):
            if getattr(type(endpoint), name) is getattr(default, name):
                return None
            callback = getattr(endpoint, name)
            check_callback(name, callback)
            return callback

        self.keep_request = endpoint.keep_request
        self.on_open = overridden("on_open")
        self.on_message = overridden("on_message")
        self.on_frame = overridden("on_frame")
        self.on_ping = overridden("on_ping")
        self.on_pong = overridden("on_pong")
        self.on_drain = overridden("on_drain")
        self.on_close = overridden("on_close")
        self.on_subscription = overridden("on_subscription")

    cdef Callbacks calling(self, object when_gone):
        """Return these callbacks with ``when_gone`` after the last of them."""
        cdef Callbacks callbacks = self
        if self.when_gone is not None and self.when_gone is not when_gone:
            callbacks = Callbacks.__new__(Callbacks)
            callbacks.keep_request = self.keep_request
            callbacks.on_open = self.on_open
            callbacks.on_message = self.on_message
            callbacks.on_frame = self.on_frame
            callbacks.on_ping = self.on_ping
            callbacks.on_pong = self.on_pong
            callbacks.on_drain = self.on_drain
            callbacks.on_close = self.on_close
            callbacks.on_subscription = self.on_subscription
        callbacks.when_gone = when_gone
        return callbacks


@cython.no_gc_clear
@cython.final
cdef class Common(Terms):
    """What all connections share that have the same settings and event loop."""


cdef Common common_to(object settings, object loop):
    """Return what connections of these settings and this loop share, made for the first of them."""
    cdef Common common
    found = settings.common
    if found is not None and (<Common>found).loop is loop:
        return found
    limit = settings.limits.max_queue_bytes
    common = Common.__new__(Common)
    common.settings = settings
    common.loop = loop
    common.turn = turn_of(loop, flush_now)
    common.timers = timers_of(loop)
    common.logger = settings.logger
    common.max_message = -1 if settings.max_message is None else settings.max_message
    common.max_fragment = -1 if settings.max_fragment is None else settings.max_fragment
    common.any_close_code = settings.any_close_code
    common.queue_high = -1 if settings.queue_high is None else settings.queue_high
    common.queue_low = 0 if settings.queue_low is None else settings.queue_low
    common.queue_octets = -1 if limit is None or settings.queue_high is None else limit
    common.write_high = -1 if settings.write_high is None else settings.write_high
    common.policy = number_of(settings.overflow)
    most = settings.limits.max_outbox
    common.max_outbox = -1 if most is None else most
    message_rate, octet_rate = settings.limits.message_rate, settings.limits.octet_rate
    if message_rate is not None:
        common.message_interval, common.message_lead = message_rate.interval, message_rate.lead
    if octet_rate is not None:
        common.octet_interval, common.octet_lead = octet_rate.interval, octet_rate.lead
    common.metered = (message_rate, octet_rate, settings.limits.idle_timeout) != (None, None, None)
    settings.common = common
    return common


@cython.final
@cython.freelist(16)
cdef class Assembly:
    """The fragments of a message that is not whole yet."""


@cython.final
@cython.freelist(16)
cdef class Pings:
    """Pings whose pongs have not come yet."""


@cython.final
cdef class Meter:
    """How fast messages and octets come, where that is limited."""


@cython.final
@cython.freelist(16)
cdef class Ends:
    """Why and how a connection ends, once it does."""


# What every connection refers to until it has one of its own; nothing is ever written to these.
cdef Assembly NO_FRAGMENTS = Assembly()
cdef Outbox NOTHING_WAITS = Outbox()
cdef Ends NO_END = Ends()
cdef Inbox NO_MESSAGES
NO_MESSAGES.room = NO_MESSAGES.head = NO_MESSAGES.count = NO_MESSAGES.whole = 0
NO_MESSAGES.octets = 0

# Inboxes that nobody uses now: an idle connection has none.
cdef enum:
    SPARES = 16
    INBOX_LEAST = 16

cdef Inbox* spares[SPARES]
cdef int spare_count = 0


# Its parts are looked at without asking whether they are there, so the garbage collector may not
# clear it; whatever they lead to can be cleared instead.
@cython.no_gc_clear
cdef class Connection(Machine):
    """An open WebSocket connection.

    Made by ``connect`` and ``serve`` (as :class:`ClientConnection` and :class:`ServerConnection`),
    which run the opening handshake and then call :meth:`open`.

    Args:
        settings: :class:`~duologue.connection.settings.Settings`, shared with other connections.
    """

    def __init__(self, settings):
        self.common = self.terms = common_to(settings, get_running_loop())
        self.client = settings.side == CLIENT
        self.debugging = settings.logger.isEnabledFor(DEBUG)
        if self.debugging:
            self.logger = self.log()
        self.status = CONNECTING

    def __cinit__(self, *args, **kwargs):
        totals.connections += 1
        self.inbox = &NO_MESSAGES
        self.assembly = NO_FRAGMENTS
        self.outbox = NOTHING_WAITS
        self.ends = NO_END
        self.membership = NO_TOPICS
        begin_deadline(&self.deadline, <void*>self, keepalive_due)
        # Most never have an attribute that isn't ours, and the first one brings the dictionary.
        let_dictionary_go(self)

    def __dealloc__(self):
        totals.connections -= 1
        forget_deadline(&self.deadline)
        if self.holder != NULL:
            leave(self.holder)
        while self.inbox.count:
            release(self.inbox.items[self.inbox.head])
            self.inbox.head = (self.inbox.head + 1) & (self.inbox.room - 1)
            self.inbox.count -= 1
        self.drop_ring()

    cdef Assembly own_assembly(self):
        if self.assembly is NO_FRAGMENTS:
            self.assembly = Assembly.__new__(Assembly)
        return self.assembly

    cdef Outbox own_outbox(self):
        if self.outbox is NOTHING_WAITS:
            self.outbox = Outbox.__new__(Outbox)
        return self.outbox

    cdef Ends own_ends(self):
        if self.ends is NO_END:
            self.ends = Ends.__new__(Ends)
        return self.ends

    @property
    def settings(self):
        """What it shares with other connections, bounds and times: :class:`Settings`."""
        return self.common.settings

    @property
    def loop(self):
        """The event loop."""
        return self.common.loop

    @property
    def connection_exc(self):
        """Why the network connection was lost, ``None`` if it wasn't."""
        return self.ends.exc

    @connection_exc.setter
    def connection_exc(self, value):
        self.own_ends().exc = value

    @property
    def handshake_exc(self):
        """Why the opening handshake failed, ``None`` if it didn't."""
        return self.ends.handshake_exc

    @handshake_exc.setter
    def handshake_exc(self, value):
        self.own_ends().handshake_exc = value

    # -- opening

    def open(self, Link link, bytes rest=b""):
        """Take the link over from a finished opening handshake.

        Args:
            link: where octets go and come from.
            rest: octets that came after the handshake.
        """
        cdef object high = self.common.settings.write_high, low = self.common.settings.write_low
        if high is None:
            high = self.common.settings.limits.max_outbox
        if self.common.metered:
            self.begin_metering()
        self.link = link
        link.own(self, &CALLS)
        link.set_write_limits(
            <Py_ssize_t>1 << 62 if high is None else high, 0 if low is None else low
        )
        link.resume_reading()
        self.state = OPEN
        if self.common.settings.ping_interval is not None:
            self.look_at(
                self.common.timers.now() + <double>self.common.settings.ping_interval
            )
        if self.endpoint is not None and self.endpoint.on_open is not None:
            # What it drains comes after the rest.
            self.parsing = True
            self.tell(self.endpoint.on_open)
            self.parsing = False
        if self.endpoint is not None and not self.endpoint.keep_request:
            self.request_head = self.response_head = None
        else:
            self.share_request()
        if rest:
            self.received(<const uint8_t*><char*>rest, PyBytes_GET_SIZE(rest))

    def serve_endpoint(self, Callbacks callbacks, when_gone):
        """Call an endpoint instead of waiting for somebody to receive; before :meth:`open`.

        Args:
            callbacks: the endpoint's.
            when_gone: called with the connection when it is closed.
        """
        self.endpoint = callbacks.calling(when_gone)
        # Text is judged all the same, but nobody wants it as str.
        self.raw_text = callbacks.on_frame is not None

    cdef int tell(self, object callback, object argument=NOTHING) except -1:
        """Call one of the endpoint's callbacks; what it raises ends this connection only."""
        cdef PyObject* result = call_with(
            <PyObject*>callback,
            <PyObject*>self,
            NULL if argument is NOTHING else <PyObject*>argument,
        )
        if result == NULL:
            return self.endpoint_failed()
        release(result)
        return 0

    cdef int endpoint_failed(self) except -1:
        """Close the connection for what a callback has raised, which is still being raised."""
        try:
            as_raised()
        except Exception as exc:
            self.blame(exc)
        return 0

    def blame(self, exc):
        """Close the connection for what a callback has raised."""
        self.record(Cause.HANDLER_RAISED, repr(exc), exc)
        self.log().error("endpoint failed", exc_info=exc)
        if self.status == OPEN:
            self.start_close(CloseCode.INTERNAL_ERROR)

    def subscription_changed(self, topic, count, before):
        """Tell the endpoint that this connection has subscribed or unsubscribed; hubs call it.

        Args:
            topic: name or filter.
            count: subscribers of it in this process now.
            before: and before.
        """
        if self.endpoint is None or self.endpoint.on_subscription is None:
            return
        try:
            self.endpoint.on_subscription(self, topic, count, before)
        except Exception as exc:
            if self.gone:
                self.log().error("endpoint failed", exc_info=True)
            else:
                self.blame(exc)

    def attend(self, link):
        """Note the link during the opening handshake, for addresses and TLS facts."""
        self.link = link

    def abandon(self, exc=None):
        """Note that the opening handshake failed: there will be no connection."""
        if exc is not None:
            self.own_ends().exc = exc
        self.finish()

    # -- facts

    @property
    def request(self):
        """Request of the opening handshake, ``None`` before.

        A server keeps its octets only and reads them again when they are asked for, some 2 µs,
        unless somebody holds the object of the last time. With an endpoint it is ``None`` after
        ``on_open`` unless ``Endpoint.keep_request`` is set.
        """
        if isinstance(self.request_head, bytes):
            request = held(last_requests, id(self))
            if request is None:
                octets = self.request_head
                if KEY_EMPTY in octets:
                    key = base64.b64encode(PyBytes_FromStringAndSize(<char*>self.nonce, 16))
                    octets = octets.replace(KEY, KEY + key, 1)
                request = read_request(octets)
                hold_weakly(last_requests, id(self), request)
            return request
        return self.request_head

    @request.setter
    def request(self, value):
        self.response_head = self.response
        self.request_head = value

    @property
    def response(self):
        """Response of the opening handshake, ``None`` before; kept as the request is."""
        if isinstance(self.response_head, bytes):
            response = held(last_responses, id(self))
            if response is not None:
                return response
            octets = self.response_head
            key = None if ACCEPT_EMPTY not in octets else self.request.headers["Sec-WebSocket-Key"]
            if key is not None:
                octets = octets.replace(ACCEPT, ACCEPT + accept_key(key).encode(), 1)
            response = ResponseParser(ANY_SIZE).feed(octets)
            hold_weakly(last_responses, id(self), response)
            return response
        return self.response_head

    @response.setter
    def response(self, value):
        self.response_head = value

    def keep_heads(self, bytes request, bytes response):
        """Keep the opening handshake's heads as octets instead of the objects there were.

        The response is kept without what follows from the request's key: the rest is the same for
        connections of the same second, which share it.
        """
        global last_response
        before, name, after = response.partition(ACCEPT)
        if name:
            response = before + name + after[ACCEPT_LENGTH:]
        if response == last_response:
            response = last_response
        last_response = response
        self.keep_shared_heads(request, response)

    def keep_shared_heads(self, bytes request, bytes response):
        """Keep the heads as :meth:`keep_heads` does, of a response that is known to be shared.

        Its ``Sec-WebSocket-Accept`` is empty already.
        """
        # What they hold may be about another connection, which lay in this place.
        if last_requests:
            last_requests.pop(id(self), None)
        if last_responses:
            last_responses.pop(id(self), None)
        self.request_head = request
        self.response_head = response

    cdef int share_request(self) except -1:
        """Keep a request that others have sent too, but for its key, together with them."""
        cdef bytes request, key, nonce
        if not isinstance(self.request_head, bytes):
            return 0
        request = self.request_head
        at = request.find(KEY) + len(KEY)
        key = request[at:at + KEY_LENGTH]
        if len(request) > KNOWN_LENGTH or KEY_EMPTY in request or not key.endswith(b"=="):
            return 0
        try:
            nonce = base64.b64decode(key)
        except ValueError:
            return 0
        if len(nonce) != 16 or base64.b64encode(nonce) != key:
            return 0
        request = request[:at] + request[at + KEY_LENGTH:]
        if not request.startswith(b"\r\n", at):
            return 0
        if len(known_requests) >= KNOWN_REQUESTS and request not in known_requests:
            known_requests.clear()
        self.request_head = known_requests.setdefault(request, request)
        memcpy(self.nonce, PyBytes_AS_STRING(nonce), 16)
        return 0

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
        return self.common.settings.ping_interval

    @property
    def ping_timeout(self):
        """Seconds after a keepalive ping in which something must arrive."""
        return self.common.settings.ping_timeout

    @property
    def close_timeout(self):
        """Seconds for the closing handshake."""
        return self.common.settings.close_timeout

    @property
    def why(self):
        """Why the connection ends or ended, ``None`` before: an :class:`Ending`.

        The first cause counts: a ``cause`` (:class:`Cause`), the ``detail`` in one line, such as a
        limit with its value, the exception behind it, ``exc``, if there is one, and the ``advice``
        on what to change. It is logged in one line when the connection is closed, and never sent
        to the peer.
        """
        if type(self.ends.recorded) is tuple:
            cause, close = self.ends.recorded
            self.ends.recorded = Ending(cause, str(close))
        return self.ends.recorded

    @property
    def ending(self):
        """The same as :attr:`why`."""
        return self.why

    def log(self):
        """The logger, adding the connection to each record as ``websocket``."""
        return logging.LoggerAdapter(self.common.settings.logger, {"websocket": self})

    cpdef record(self, cause, str detail="", exc=None, str limit=None, value=None):
        """Record why the connection ends; only the first time counts.

        Args:
            cause: :class:`Cause`.
            detail: the particulars in one line.
            exc: the exception behind it.
            limit: name of the limit that was passed.
            value: what that was set to.
        """
        if self.ends.recorded is None:
            self.note(Ending(cause, detail, exc, limit, value))

    cdef int note(self, object ending) except -1:
        if self.ends.recorded is None:
            self.own_ends().recorded = ending
        return 0

    cdef int note_loss(self, object exc, str what) except -1:
        """Find out and record why the connection was lost."""
        if self.ends.recorded is not None:
            return 0
        address = self.remote_address
        host = address[0] if isinstance(address, tuple) else address
        return self.note(
            explain_loss(
                exc,
                what,
                behind=self.blocked or self.outbox.count() > 0,
                blocked=self.common.timers.blocked(),
                idle=None if self.link is None else self.link.silence(),
                now=monotonic(),
                host=host,
                round_trips=self.round_trips(),
            )
        )

    cdef double unread_for(self) except -1:
        """Seconds for which what is read now has lain there, with nobody but our loop to blame."""
        age = self.link.arrival() if self.parsing and not self.kept_waiting else None
        return 0.0 if age is None else <double>age

    cdef tuple round_trips(self):
        """Seconds of the last round trips, the latest last."""
        cdef int index
        trips = [lengthen(self.latencies[index]) for index in (2, 1, 0)] + [self.latency]
        return tuple([each for each in trips if each > 0])

    cdef int tell_why(self) except -1:
        """Count, and log in one line, why the connection has ended."""
        why = self.why
        if why is None:
            return 0
        ENDED[why.cause] += 1
        level = logging.INFO
        if why.cause in NOTABLE:
            level = logging.WARNING
        elif why.cause in EVERYDAY:
            level = logging.DEBUG
        if self.common.settings.logger.isEnabledFor(level):
            advice = why.advice
            self.log().log(level, "connection ended: %s%s", why, f" ({advice})" if advice else "")
        return 0

    cdef int record_close(self, object cause, object close) except -1:
        """Record that a Close frame ends the connection; few ask for it in words."""
        if self.ends.recorded is None:
            self.own_ends().recorded = (cause, close)
        return 0

    cdef object closed_exception(self):
        exc = Machine.closed_exception(self)
        if self.robbed and isinstance(exc, ConnectionClosedOK):
            # The handshake went well, but not all that was received could be taken.
            exc = ConnectionClosedError(
                self.closing.rcvd, self.closing.sent, self.closing.rcvd_then_sent
            )
        if self.ends.exc is not None:
            exc.__cause__ = self.ends.exc
        return exc

    # -- the link's calls

    cdef int received(self, const uint8_t* data, Py_ssize_t size) except -1:
        if size == 0:
            return self.stream_ended()
        self.reads += 1
        self.kept_waiting >>= 1
        if not self.turn_over:
            self.allowance = FRAMES_PER_TURN
        self.in_batch = self.parsing = True
        try:
            self.read(data, size)
            self.parsing = False
            if self.recv_waiter is not None and self.inbox.count:
                self.wake_reader(True)
        finally:
            self.in_batch = self.parsing = False
        if self.sifting == METERED:
            self.charge(size)
        if self.stopped and not self.gone:
            self.link.pause_reading()
            if self.turn_over:
                self.go_on_later()
        if (
            self.inbox.count or self.in_payload or self.holder != NULL or self.held_up()
            or self.assembly.octets
        ):
            self.settle()
        return self.flush()

    cdef int go_on_later(self) except -1:
        """Go on parsing in the next turn of the loop: what one connection may have of this is used.

        Reading is paused until all is parsed.
        """
        if not self.continuing:
            self.continuing = True
            self.common.loop.call_soon(self._go_on)
        return 0

    def _go_on(self):
        self.continuing = self.turn_over = False
        self.allowance = FRAMES_PER_TURN
        if self.gone:
            return
        if self.stopped:
            self.resume()
        if self.recv_waiter is not None and self.inbox.count:
            self.wake_reader(True)
        self.settle()
        self.flush()
        if self.turn_over:
            return
        if self.end_put_off:
            self.end_put_off = False
            self.stream_ended()
        if self.ends.loss_put_off is not None:
            (exc,), self.ends.loss_put_off = self.ends.loss_put_off, None
            self.lost(exc)

    cdef int wake_reader(self, bint at_once) except -1:
        """Wake the task that waits for a message, once for all that a read brought."""
        cdef Wakeable waiter = self.recv_waiter
        if waiter is not None:
            self.recv_waiter = None
            waiter.wake(at_once)
        return 0

    cdef bint may_wait(self) except -1:
        """Whether the next thing to wait for is simply a message."""
        if self.recv_busy or self.assembly.parts is not None or self.inbox.count:
            return False
        self.idle()
        return not self.gone

    cdef int stream_ended(self) except -1:
        """The peer ended its stream; without a Close frame that is abnormal (section 7.1.5)."""
        self.eof_rcvd = True
        self.note_unsent()
        # Reading may be paused by a full inbox: what lies behind it comes first, then this end.
        if not self.drain_rest():
            self.end_put_off = True
            return 0
        if not self.deaf:
            self.deaf = True
            self.own_closing().exc = EOFError("unexpected end of stream")
            self.note_loss(self.closing.exc, "the peer ended the stream")
        self.flush()
        self.state = CLOSED
        self.link.close()
        return self.start_closing()

    cdef int writable(self, bint yes) except -1:
        self.blocked = not yes
        if not yes:
            self.watch_writing()
            return 0
        if self.outbox.write_timer is not None:
            self.outbox.write_timer.clear()
        if self.outbox.owed_pong is not None:
            payload, self.outbox.owed_pong = self.outbox.owed_pong, None
            self.answer_ping(payload)
        self.pump()
        self.flush()
        if not self.blocked:
            self.wake_drained()
            if self.endpoint is not None and self.endpoint.on_drain is not None:
                self.tell(self.endpoint.on_drain)
        return 0

    cdef int lost(self, object exc) except -1:
        self.note_unsent()
        if not self.drain_rest():
            self.own_ends().loss_put_off = (exc,)
            return 0
        if exc is not None and self.ends.exc is None:
            self.own_ends().exc = exc
        if not (self.closing.rcvd is not None and self.closing.sent is not None):
            if self.closing.exc is None and not self.deaf:
                self.own_closing().exc = EOFError("unexpected end of stream")
            self.note_loss(exc, "the stream ended" if exc is None else str(exc))
        return self.finish()

    cdef bint drain_rest(self) except -1:
        """Parse what a full inbox left unparsed, since nothing more will be read.

        Returns whether that is all; else the next turn goes on.
        """
        self.overflowing = True
        if self.held_up() and not self.turn_over:
            self.read_rest()
        if self.turn_over and not self.gone:
            self.go_on_later()
            return False
        return True

    cdef int finish(self) except -1:
        """The connection is no more: tell everybody who waits for it."""
        cdef bint told = self.cancellable and self.handler_is_told()
        self.gone = True
        self.deaf = True
        self.state = CLOSED
        self.leave_topics()
        drop_deadline(&self.deadline)
        if self.ends is not NO_END:
            self.ends.pending_fault = None
        if self.outbox is not NOTHING_WAITS:
            for timer in (self.outbox.write_timer, self.outbox.codec_timer):
                if timer is not None:
                    timer.drop()
            self.outbox.write_timer = self.outbox.codec_timer = None
        if self.meter is not None and self.meter.idle_timer is not None:
            self.meter.idle_timer.drop()
            self.meter.idle_timer = None
        if self.deflate is not None:
            self.deflate.end()
        self.wake_reader(False)
        self.drop_queue()
        self.wake_drained()
        if self.pings is not None:
            pings, self.pings = self.pings, None
            exc = self.closed_exception()
            for waiter, _ in (<Pings>pings).waiters.values():
                if not waiter.done():
                    waiter.set_exception(exc)
                    # Whoever waits gets it; nobody else should hear of it from the collector.
                    waiter.exception()
        self.wake(self.ends.closed_waiter)
        self.tell_why()
        if self.cancellable:
            self.end_scope(told)
        if self.endpoint is not None:
            self.leave_endpoint()
        return self.settle()

    cdef bint handler_is_told(self) except -1:
        """Whether somebody waits for this connection and so learns of its end, or soon will."""
        return (
            self.recv_busy
            or self.inbox.count > 0
            or self.outbox.drain_waiters is not None
            or self.outbox.count() > 0
            or self.ends.closed_waiter is not None
        )

    cdef int end_scope(self, bint told) except -1:
        """Have the handler cancelled, which may not have noticed that its peer is gone.

        One that was told, or has something left to receive, has ``close_timeout`` to end by itself.
        """
        timeout = self.common.settings.close_timeout
        if self.why is not None and self.why.cause in ENDED_HERE:
            return 0
        if not told:
            self.cancel_handler()
        elif timeout is not None:
            self.deadline.fired = scope_due
            self.look_at(self.common.timers.now() + <double>timeout)
        return 0

    def cancel_handler(self):
        """Cancel the handler's task, which connections that have one know."""

    def scope_ended(self):
        """Note that the handler has returned: there is nothing to be cancelled any more."""
        self.cancellable = False
        if self.gone:
            drop_deadline(&self.deadline)

    def leave_endpoint(self):
        """Tell the endpoint and the server that the connection is closed."""
        callbacks, self.endpoint = self.endpoint, None
        when_gone = (<Callbacks>callbacks).when_gone
        on_close = (<Callbacks>callbacks).on_close
        if on_close is not None:
            try:
                on_close(self, self.close_code, self.close_reason)
            except Exception:
                self.log().error("endpoint failed", exc_info=True)
        when_gone(self)

    def drop_queue(self):
        """Let messages go that were never framed; who awaits them gets ConnectionClosed."""
        if self.outbox is not NOTHING_WAITS:
            self.outbox.clear()

    def wake_drained(self):
        """Wake who waits for room in the link."""
        if self.outbox.drain_waiters is not None:
            waiters, self.outbox.drain_waiters = self.outbox.drain_waiters, None
            for waiter in waiters:
                self.wake(waiter)

    cdef int wake(self, object waiter) except -1:
        if waiter is not None and not waiter.done():
            waiter.set_result(None)
        return 0

    # -- the machine's sink

    cdef int on_data(self, int opcode, bint text, bint fin, object payload) except -1:
        cdef _Fragment fragment
        if self.sifting and not self.passes(fin):
            return 0
        counted.messages_received += fin
        if self.endpoint is not None and self.endpoint.on_frame is not None:
            return self.lend(opcode, fin, payload)
        if fin and opcode != CONT_:
            if self.endpoint is not None:
                return self.deliver(payload)
            return self.push(payload, octets_of(payload))
        if not self.count_fragment(payload, fin):
            return 0
        if self.endpoint is not None:
            return self.assemble(payload, text, fin)
        if PyBytes_GET_SIZE(payload) == 0 and not fin and opcode == CONT_:
            return 0
        fragment = _Fragment.__new__(_Fragment)
        fragment.payload = payload
        fragment.text = text
        fragment.fin = fin
        return self.push(fragment, PyBytes_GET_SIZE(payload))

    cdef int begin_metering(self) except -1:
        """Have messages and octets counted against their rates, and silence against its limit."""
        timeout = self.common.settings.limits.idle_timeout
        self.sifting = METERED
        self.meter = Meter.__new__(Meter)
        if timeout is not None:
            self.meter.last_message = self.common.timers.now()
            self.meter.idle_timer = Timer(self.common.timers, self._judge_idle)
            self.meter.idle_timer.set(self.meter.last_message + timeout)
        return 0

    cdef bint passes(self, bint whole) except -1:
        """Whether to deliver what came; a whole message, or its end, counts against the rate."""
        cdef Meter meter = self.meter
        cdef double now
        if self.sifting & DISCARDING:
            return False
        if not whole:
            return True
        now = meter.last_message = self.common.timers.now()
        if not self.common.message_interval:
            return True
        meter.messages_full = max(meter.messages_full, now) + self.common.message_interval
        if meter.messages_full - now <= self.common.message_lead + ROUNDING:
            return True
        rate = self.common.settings.limits.message_rate
        exc = RateExceeded("messages", rate, "message_rate")
        self.fault(CloseCode.POLICY_VIOLATION, "too many messages", exc)
        return False

    cdef int charge(self, Py_ssize_t octets) except -1:
        """Count octets that were read and parsed; an unparsed rest is the application's pace."""
        cdef Common common = self.common
        cdef Meter meter = self.meter
        cdef double now
        if not common.octet_interval:
            return 0
        now = common.timers.now()
        meter.octets_full = max(meter.octets_full, now) + octets * common.octet_interval
        if meter.octets_full - now <= common.octet_lead + ROUNDING or self.deaf or self.held_up():
            return 0
        exc = RateExceeded("octets", common.settings.limits.octet_rate, "octet_rate")
        return self.fault(CloseCode.POLICY_VIOLATION, "too many octets", exc)

    def _judge_idle(self):
        self.judge_idle()

    cdef int judge_idle(self) except -1:
        """Close a connection whose peer said nothing for ``idle_timeout``."""
        cdef double now = self.common.timers.now(), due
        timeout = self.common.settings.limits.idle_timeout
        due = self.meter.last_message + <double>timeout
        if self.stopped or now > due + TOO_LATE:
            # Messages may wait where we, not the peer, have left them.
            due = now + <double>timeout
        if due > now:
            self.meter.idle_timer.set(due)
        elif self.status == OPEN and self.ends.pending_fault is None:
            detail = f"idle_timeout: no message in {timeout} seconds"
            self.record(Cause.LIMIT, detail, None, "idle_timeout", timeout)
            self.log().info("closing a connection: no message in idle_timeout of %s s", timeout)
            self.start_close(CloseCode.POLICY_VIOLATION, "no message for too long")
        return 0

    cdef bint count_fragment(self, bytes payload, bint fin) except -1:
        """Count a fragment of the message that is being received; refuse too many."""
        cdef Py_ssize_t cost = self.common.settings.limits.fragment_cost, allowed
        if not (self.streaming and PyBytes_GET_SIZE(payload) == 0):
            self.own_assembly()
            self.assembly.fragments += 1
        if self.terms.max_message >= 0 and cost:
            allowed = max(self.terms.max_message // cost, FREE_FRAGMENTS)
            if self.assembly.fragments > allowed:
                self.fault(
                    CloseCode.MESSAGE_TOO_BIG,
                    f"message exceeds {allowed} fragments",
                    TooManyFragments(allowed),
                )
                return False
        if fin and self.assembly.parts is None:
            self.assembly = NO_FRAGMENTS
        elif fin:
            self.assembly.fragments = 0
        return True

    cdef int lend(self, int opcode, bint fin, bytes payload) except -1:
        """Show the endpoint a frame's payload for as long as its callback runs."""
        view = memoryview(payload)
        try:
            self.endpoint.on_frame(self, Opcode(opcode), bool(fin), view)
        except Exception as exc:
            self.blame(exc)
        try:
            view.release()
        except BufferError:
            # Something made from the view is kept: then it keeps the payload, which is its own.
            pass
        return 0

    cdef int deliver(self, object message) except -1:
        """Hand a message to the endpoint."""
        if self.endpoint.on_message is not None:
            self.tell(self.endpoint.on_message, message)
        return 0

    cdef int assemble(self, bytes payload, bint text, bint fin) except -1:
        """Put a message together for the endpoint."""
        cdef list parts
        if self.assembly.parts is None:
            self.own_assembly().parts = []
        if payload:
            self.assembly.parts.append(payload)
            self.assembly.octets += PyBytes_GET_SIZE(payload) + MESSAGE_COST
        if not fin:
            return 0
        parts = self.assembly.parts
        self.assembly = NO_FRAGMENTS
        whole = b"".join(parts)
        return self.deliver(whole.decode() if text else whole)

    cdef int on_ping(self, bytes payload) except -1:
        self.answer_ping(payload)
        if self.endpoint is not None and self.endpoint.on_ping is not None:
            self.tell(self.endpoint.on_ping, payload)
        return 0

    cdef int answer_ping(self, bytes payload) except -1:
        if self.status != OPEN and self.status != CLOSING or self.ended:
            return 0
        if self.blocked:
            # Section 5.5.3: answering the most recent ping is enough, so one is all we owe.
            self.own_outbox().owed_pong = payload
            return 0
        return self.write_control(PONG_, payload)

    cdef int on_pong(self, bytes payload) except -1:
        self.match_pong(payload)
        if self.endpoint is not None and self.endpoint.on_pong is not None:
            self.tell(self.endpoint.on_pong, payload)
        return 0

    cdef int match_pong(self, bytes payload) except -1:
        cdef Pings pings = self.pings
        if pings is None or payload not in pings.waiters:
            return 0
        now = self.common.timers.now()
        for data in list(pings.waiters):
            waiter, sent = pings.waiters.pop(data)
            if not waiter.done():
                waiter.set_result(now - sent)
            if data == payload:
                self.latencies[2] = self.latencies[1]
                self.latencies[1] = self.latencies[0]
                self.latencies[0] = shorten(self.latency)
                self.latency = now - sent
                break
        if self.pong_due:
            self.pong_due = False
            self.look_at(max(now, pings.sent + self.common.settings.ping_interval))
        if not pings.waiters:
            self.pings = None
        return 0

    cdef int on_close(self) except -1:
        cdef double blocked
        received = self.closing.rcvd
        if received.code == CloseCode.INTERNAL_ERROR and "ping" in received.reason.lower():
            blocked = max(self.common.timers.blocked(), self.unread_for())
            if blocked >= <double>BLOCKED:
                detail = f"{blocked_detail(blocked)}; then the peer closed with {received}"
                self.note(
                    Ending(
                        Cause.LOOP_BLOCKED,
                        detail,
                        round_trips=self.round_trips(),
                        blocked=blocked,
                    )
                )
        self.record_close(PEER_CLOSED, received)
        return self.start_closing()

    cdef int on_fault(self, int code, str reason, object exc) except -1:
        if isinstance(exc, (PayloadTooBig, TooManyFragments)):
            self.record(Cause.LIMIT, f"max_size: {exc}", exc, "max_size", self.max_message_size)
        elif isinstance(exc, RateExceeded):
            self.record(Cause.LIMIT, str(exc), exc, exc.setting, exc.rate)
            self.log().warning("closing a connection with %d: %s", code, exc)
        elif code == CloseCode.INTERNAL_ERROR:
            self.record(Cause.CLOSED_HERE, f"an extension failed: {exc!r}", exc)
        else:
            self.record(Cause.PROTOCOL_FAULT, str(exc), exc)
        self.own_closing().exc = exc
        self.own_ends().pending_fault = (code, reason)
        # The fragments of a message that will never be whole are nothing to answer.
        if self.status != OPEN or not (self.inbox.whole or self.answering):
            return self.start_failing()
        return self.start_closing()

    # -- inbox

    cdef int push(self, object item, Py_ssize_t octets) except -1:
        cdef Py_ssize_t room
        if self.inbox.count == self.inbox.room:
            self.widen()
        room = (self.inbox.head + self.inbox.count) & (self.inbox.room - 1)
        self.inbox.items[room] = new_reference(item)
        self.inbox.count += 1
        self.inbox.octets += octets
        if type(item) is not _Fragment or (<_Fragment>item).fin:
            self.inbox.whole += 1
        if not self.in_batch:
            self.wake_reader(False)
        if self.overflowing:
            room = self.common.settings.limits.fragment_cost
            room = self.inbox.octets + self.inbox.count * room
            if self.common.queue_octets >= 0 and room > 2 * self.common.queue_octets:
                self.sifting |= DISCARDING
                self.logger.warning("! inbox is full while closing: what follows is discarded")
        elif (
            self.common.queue_high >= 0 and self.inbox.count >= self.common.queue_high
            or self.common.queue_octets >= 0 and self.inbox.octets >= self.common.queue_octets
        ):
            self.stopped = True
        return 0

    cdef int widen(self) except -1:
        """Double the ring's room."""
        global spare_count
        cdef int room = self.inbox.room, index
        cdef Inbox* inbox
        if room == 0 and spare_count:
            spare_count -= 1
            self.inbox = spares[spare_count]
            return 0
        room = max(2 * room, INBOX_LEAST)
        inbox = <Inbox*>PyMem_Malloc(sizeof(Inbox) + room * sizeof(PyObject*))
        if inbox == NULL:
            raise MemoryError(f"no memory for {room} messages")
        inbox[0] = self.inbox[0]
        for index in range(inbox.count):
            inbox.items[index] = self.inbox.items[(inbox.head + index) & (inbox.room - 1)]
        if inbox.room:
            PyMem_Free(self.inbox)
        inbox.head = 0
        inbox.room = room
        self.inbox = inbox
        return 0

    cdef int drop_ring(self) noexcept:
        """Let the empty ring go: whoever receives next may have it."""
        global spare_count
        if self.inbox.room == INBOX_LEAST and spare_count < SPARES:
            self.inbox.head = self.inbox.whole = 0
            self.inbox.octets = 0
            spares[spare_count] = self.inbox
            spare_count += 1
        elif self.inbox.room:
            PyMem_Free(self.inbox)
        self.inbox = &NO_MESSAGES
        return 0

    cdef object pop(self):
        item = stolen_reference(self.inbox.items[self.inbox.head])
        self.inbox.head = (self.inbox.head + 1) & (self.inbox.room - 1)
        self.inbox.count -= 1
        if type(item) is _Fragment:
            self.inbox.octets -= PyBytes_GET_SIZE((<_Fragment>item).payload)
            self.inbox.whole -= (<_Fragment>item).fin
        else:
            self.inbox.octets -= octets_of(item)
            self.inbox.whole -= 1
        if self.inbox.count == 0:
            self.drop_ring()
        if self.stopped:
            self.resume()
        if self.holder != NULL:
            self.settle()
        return item

    cdef int resume(self) except -1:
        """Go on parsing and reading once the inbox is below its low mark."""
        if self.turn_over:
            return 0
        if not self.overflowing:
            if self.inbox.count > self.common.queue_low and self.common.queue_high >= 0:
                return 0
            if self.common.queue_octets >= 0 and self.inbox.octets > self.common.queue_octets // 2:
                return 0
        # Taken by a task that the read itself has woken: what it answers goes out with the rest.
        inside = self.in_batch
        self.in_batch = True
        try:
            self.read_rest()
        finally:
            self.in_batch = inside
        if not self.stopped and not self.gone:
            self.link.resume_reading()
            # Nobody could see signs of life until now.
            self.reads += 1
            self.kept_waiting = 2
        if self.turn_over:
            self.go_on_later()
        return 0 if inside else self.flush()

    cdef object take(self):
        """Take a whole message if one is first in the inbox, else return ``None``."""
        if self.recv_busy or self.assembly.parts is not None:
            return None
        self.answering = False
        if not self.inbox.count:
            return None
        if type(<object>self.inbox.items[self.inbox.head]) is _Fragment:
            return None
        self.answering = True
        return self.pop()

    cdef int idle(self) except -1:
        """The application waits for a message: what came before a fault has been answered."""
        self.answering = False
        if self.ends.pending_fault is not None and not self.inbox.count:
            self.start_failing()
        return 0

    async def _wait_for_item(self):
        """Wait until the inbox has something; ``False`` when it never will."""
        while not self.inbox.count:
            self.idle()
            if self.gone:
                return False
            waiter = self.recv_waiter = Wakeup(self.common.loop)
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
            if self.assembly.parts is None:
                self.own_assembly().parts = []
            self.assembly.parts.append(item)
            fragment = item
            self.assembly.octets += PyBytes_GET_SIZE(fragment.payload) + 2 * MESSAGE_COST
            if fragment.fin:
                self.assembly.octets = 0
            if self.holder != NULL:
                self.settle()
            if fragment.fin:
                parts, self.assembly.parts = self.assembly.parts, None
                self.let_assembly_go()
                self.answering = True
                whole = b"".join([(<_Fragment>part).payload for part in parts])
                return whole.decode() if fragment.text else whole
        raise self.closed_exception()

    async def _decode(self, payload):
        """Decode binary data that was asked for as text; fail the connection if it is none."""
        try:
            return payload.decode()
        except UnicodeDecodeError as exc:
            await self._refuse_text(exc)

    async def _refuse_text(self, exc):
        self.own_ends().exc = exc
        self.record(Cause.CLOSED_HERE, "recv(decode=True) got no UTF-8", exc)
        if self.ends.pending_fault is None:
            self.own_ends().pending_fault = (
                CloseCode.INVALID_DATA, f"{exc.reason} at position {exc.start}"
            )
        self.start_failing()
        await self.until_closed()
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
        if decode is not None:
            recv.decoding = AS_TEXT if decode else AS_BYTES
        return recv

    def __aiter__(self):
        """Iterate over messages until the connection closes normally."""
        cdef _Recv recv = _Recv.__new__(_Recv)
        recv.connection = self
        recv.iterating = recv.begun = True
        return recv

    def __anext__(self):
        """The next message; :exc:`ConnectionClosedOK` ends the iteration."""
        cdef _Recv recv = _Recv.__new__(_Recv)
        recv.connection = self
        recv.iterating = True
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
        parts = deque(self.assembly.parts or ())
        if self.assembly is not NO_FRAGMENTS:
            self.assembly.parts = None
            self.assembly.octets = 0
        started = bool(parts)
        decoder = None
        try:
            while True:
                if parts:
                    item = parts.popleft()
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
                if not (fragment.fin or self.inbox.whole) and self.assembly.fragments > 0:
                    # A fragment of the message that is still arriving.
                    self.assembly.fragments -= 1
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
        except UnicodeDecodeError as exc:
            await self._refuse_text(exc)

    # -- outbox

    cdef int flush(self) except -1:
        """Give the link what is in the write buffer, and the end of the stream after it."""
        cdef Py_ssize_t size
        cdef list pieces
        cdef bytes shared
        if self.gone:
            self.out_size = 0
            self.large = self.shared = None
            self.give_back()
            return 0
        if self.large is not None:
            pieces = self.take_out()
            # Counted first: the link may say at once that it is full.
            if self.outbox is not NOTHING_WAITS:
                for octets in pieces:
                    self.outbox.passed += PyBytes_GET_SIZE(octets)
            self.link.write_all(pieces)
        elif self.out_size:
            size, self.out_size = self.out_size, 0
            if self.outbox is not NOTHING_WAITS:
                self.outbox.passed += size
            self.link.write_memory(self.out, size)
            if self.out_size == 0:
                self.give_back()
        elif self.shared is not None:
            shared, self.shared = self.shared, None
            if self.outbox is not NOTHING_WAITS:
                self.outbox.passed += PyBytes_GET_SIZE(shared)
            self.link.write(shared)
        if self.deflate is not None and self.outbox.codec_timer is None and self.deflate.holds():
            self.watch_codec()
        if self.ended and not self.eof_passed:
            self.eof_passed = True
            self.link.end()
        if self.holder != NULL or self.link.held:
            return self.settle()
        return 0

    cdef int flush_later(self) except -1:
        """Flush at the end of this turn of the loop, so that all its frames go out together."""
        if self.overfull():
            return self.flush()
        if not self.in_batch and not self.flush_due:
            self.flush_due = True
            self.common.turn.add(self)
        return 0

    cdef bint overfull(self) noexcept:
        """Whether what is written should not wait for the turn's end."""
        return self.large is not None or 0 <= self.common.write_high < self.out_size

    cdef int pump(self) except -1:
        """Frame queued messages while the link takes them."""
        cdef Queued item
        while self.outbox.queue and not (self.blocked or self.fragmenting) and self.status == OPEN:
            item = self.outbox.take()
            if item is not None:
                self.frame(item)
            if self.overfull():
                self.flush()
        return 0

    cdef int frame(self, Queued item) except -1:
        """Put a message from the queue into the write buffer, or let a fragmented one begin."""
        if item.opcode == CONT_:
            self.fragmenting = True
        else:
            try:
                if item.prepared is not None:
                    self.write_prepared(item.prepared)
                else:
                    self.write_data(item.opcode, True, item.message, item.compress)
            except Exception as exc:
                item.exc = exc
                if not item.awaited:
                    self.logger.error("! a message could not be sent", exc_info=True)
        item.message = item.prepared = None
        return self.wake(item.sent)

    cdef bint send_plain(self, object message) except -1:
        """Frame a short message that nothing holds up and no extension changes.

        Returns whether it did so; else the message is left to the general way.
        """
        if self.status != OPEN or self.blocked or self.fragmenting or self.outbox.queue:
            return False
        if self.deflate is not None or self.foreign or self.debugging:
            return False
        if type(message) is bytes:
            if PyBytes_GET_SIZE(message) >= PLAIN_LENGTH:
                return False
            self.write_frame(
                FIN_ | BINARY_,
                <const uint8_t*>PyBytes_AS_STRING(message),
                PyBytes_GET_SIZE(message),
            )
        elif type(message) is str and is_ascii(message):
            if PyUnicode_GET_LENGTH(message) >= PLAIN_LENGTH:
                return False
            self.write_frame(FIN_ | TEXT_, ascii_data(message), PyUnicode_GET_LENGTH(message))
        else:
            return False
        counted.messages_sent += 1
        self.flush_later()
        return True

    cdef object offer(self, int opcode, object message, int compress, int policy, object key):
        """Queue a message; return an awaitable of its having found room."""
        cdef _Later later
        cdef Queued item
        if self.status != OPEN:
            later = _Later.__new__(_Later)
            later.make = self._refuse
            return later
        if not (self.blocked or self.fragmenting or self.outbox.queue):
            self.write_data(opcode, True, message, compress)
            self.flush_later()
            return self.drained(policy)
        # Bytes that their owner may change are copied: what was sent is what was given.
        message = message.encode() if isinstance(message, str) else bytes(message)
        item = self.hold_back(opcode, message, compress, None, policy, key)
        if self.policy_of(policy) != WAIT:
            if self.status == OPEN:
                return self.drained(policy)
            later = _Later.__new__(_Later)
            later.make = self._refuse
            return later
        later = _Later.__new__(_Later)
        later.make = self._wait_for_turn
        later.argument = item
        return later

    cdef int policy_of(self, int policy) noexcept:
        """Return the policy for a message: its own, else the connection's, else the settings'."""
        if policy < 0:
            policy = self.outbox.policy
        return self.common.policy if policy < 0 else policy

    cdef Queued hold_back(
        self, int opcode, bytes message, int compress, Prepared prepared, int policy, object key
    ):
        """Queue a message and see to it that not too much waits; ``None`` if it was dropped."""
        cdef Outbox outbox = self.own_outbox()
        cdef Py_ssize_t limit = self.common.max_outbox
        cdef Queued item
        policy = self.policy_of(policy)
        if key is None and prepared is not None and policy == NEWEST_PER_KEY:
            key = prepared.subject
        if policy == DROP_NEWEST and limit >= 0:
            if outbox.refuses(PyBytes_GET_SIZE(message), key, limit):
                return None
        item = outbox.put(
            opcode, message, compress, prepared, key, policy != WAIT and policy != CLOSE
        )
        if 0 <= limit < outbox.unawaited and outbox.count() > 1:
            if policy == WAIT and outbox.shared <= limit:
                # Tasks made in this turn begin to await their sends before the next one.
                if not outbox.check_due:
                    outbox.check_due = True
                    self.common.loop.call_soon(self.common.loop.call_soon, self._check_outbox)
            elif not outbox.make_room(limit) and (policy == CLOSE or policy == WAIT):
                self.overfill()
        self.settle()
        return item

    def count_unsent(self):
        """Count what waits to be sent; once the connection has ended, what was left then.

        Returns:
            Octets in all frames so far; how many of these the operating system took; octets in
            messages that are not framed yet. Frames are counted from the first call on.
        """
        cdef Py_ssize_t waiting = self.out_size
        self.own_outbox().counting = True
        self.note_unsent()
        if self.large is not None:
            for octets in self.large:
                waiting += PyBytes_GET_SIZE(octets)
        if self.shared is not None:
            waiting += PyBytes_GET_SIZE(self.shared)
        return self.outbox.passed + waiting, self.outbox.taken, self.outbox.unframed

    cdef int note_unsent(self) except -1:
        cdef Py_ssize_t lost
        if self.outbox.counting and not self.gone:
            lost = self.link.lost_octets()
            if lost < 0:
                return 0
            self.outbox.taken = self.outbox.passed - self.link.unsent() - lost
            self.outbox.unframed = self.outbox.waiting + self.outbox.dropped
        return 0

    cdef object drained(self, int policy):
        """Return an awaitable of the link's having room, where the policy is to wait for that."""
        cdef _Later later
        if not self.blocked:
            return DONE
        later = _Later.__new__(_Later)
        later.make = self._drain if self.policy_of(policy) == WAIT else self._give_way
        return later

    async def _give_way(self, _):
        """Let others have their turn: who sends in a loop and never waits would keep them from it."""
        if self.gone:
            raise self.closed_exception()
        await asyncio.sleep(0)

    def _check_outbox(self):
        cdef Py_ssize_t limit = self.common.max_outbox
        self.outbox.check_due = False
        if self.status == OPEN and self.outbox.unawaited > limit:
            if not self.outbox.make_room(limit):
                self.overfill()
                self.flush()

    cdef int overfill(self) except -1:
        """Close the connection: more was sent than its peer takes."""
        self.record(
            Cause.OUTBOX_FULL,
            f"{self.outbox.unawaited} octets wait, more than max_outbox of "
            f"{self.common.max_outbox}",
            None,
            "max_outbox",
            self.common.max_outbox,
        )
        self.drop_queue()
        self.own_ends().pending_fault = (CloseCode.TRY_AGAIN_LATER, "too slow")
        return self.start_failing()

    @property
    def overflow(self):
        """What happens to messages that find the outbox full: the name of an outbox policy.

        Of :data:`~duologue.connection.policies.Overflow`. Setting it changes it for this connection,
        and for what is sent from now on.
        """
        return name_of(self.policy_of(-1))

    @overflow.setter
    def overflow(self, value):
        number = number_of(value)
        self.own_outbox().policy = number

    @property
    def drops(self):
        """Messages that were let go instead of being sent, by cause: :class:`Drops`."""
        return drops_of(self.outbox)

    def drain(self):
        """Wait until there is room to send: all that was queued is framed, and most of it written.

        Returns:
            An awaitable of ``None``; where nothing holds sending up it does not suspend.

        Raises:
            ConnectionClosed: When awaited, if the connection ends before that.
        """
        return self._drain(None)

    async def _refuse(self, _):
        """Wait for the end of a connection that is closing, and report it."""
        self.check_opened()
        self.start_closing()
        await self.until_closed()
        raise self.closed_exception()

    async def _drain(self, _):
        """Wait until the link is below its low mark."""
        while self.blocked and not self.gone:
            waiter = self.common.loop.create_future()
            if self.outbox.drain_waiters is None:
                self.own_outbox().drain_waiters = {}
            self.outbox.drain_waiters[waiter] = None
            try:
                await waiter
            finally:
                if self.outbox.drain_waiters is not None:
                    self.outbox.drain_waiters.pop(waiter, None)
        if self.gone:
            raise self.closed_exception()

    async def _wait_for_turn(self, Queued item):
        """Wait until a queued message was framed and the link has room again."""
        if item.fate == WAITING:
            self.outbox.note_awaited(item)
            item.sent = self.common.loop.create_future()
            try:
                await item.sent
            finally:
                if item.fate == WAITING:
                    # Cancelled: the message is taken back.
                    self.outbox.take_back(item)
        if item.fate == DROPPED:
            await self._refuse(None)
        if item.exc is not None:
            raise item.exc
        await self._drain(None)

    @cython.binding(False)
    @cython.embedsignature.format("clinic")
    def send(self, message, *, text=None, compress=None, key=None, overflow=None):
        """Send a message.

        A message is queued at once, whether the result is awaited or not. Awaiting it waits while
        more than ``write_limit`` octets are on their way, unless ``overflow`` says what to do
        instead. Cancelling that takes the message back
        if it was still queued; a fragmented one that has begun closes the connection with 1011.

        Args:
            message: :class:`str` for a text frame; :class:`bytes`, :class:`bytearray` or
                :class:`memoryview` for a binary one; an iterable or asynchronous iterable of
                either for a fragmented message (queued while it is awaited).
            text: ``True`` to send bytes in a text frame, ``False`` to send str in a binary one.
            compress: whether to compress this message, if permessage-deflate was agreed on. By
                default it is when it has ``Limits.compress_threshold`` octets.
            key: while the peer takes too little, only the newest message of each key is kept: this
                one takes the place of the one that still waits, whose ``send()`` is done then.
                Anything that can be a dictionary's key.
            overflow: the outbox policy for this message, by default that of the connection; see
                :data:`~duologue.connection.policies.Overflow`.

        Returns:
            An awaitable of ``None``.

        Raises:
            ConnectionClosed: When awaited, if the connection is closed.
            TypeError: When awaited, if ``message`` has another type. At once, if ``key`` can't be
                one.
            ValueError: At once, if there is no such policy.
        """
        cdef int opcode, policy = -1, deflated = -1 if compress is None else bool(compress)
        cdef _Failed failed
        if overflow is not None:
            policy = number_of(overflow)
        if key is not None:
            hash(key)
        if text is None and compress is None and self.send_plain(message):
            return self.drained(policy) if self.blocked else DONE
        try:
            if isinstance(message, str):
                opcode = BINARY_ if text is not None and not text else TEXT_
                return self.offer(opcode, message, deflated, policy, key)
            if isinstance(message, (bytes, bytearray, memoryview)):
                return self.offer(TEXT_ if text else BINARY_, message, deflated, policy, key)
        except (ValueError, BufferError) as exc:
            failed = _Failed.__new__(_Failed)
            failed.exc = exc
            return failed
        if key is not None or overflow is not None:
            raise TypeError("key and overflow are for whole messages")
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
            self.fail_fragments(exc)
            raise
        finally:
            self.end_turn()

    def fail_fragments(self, exc):
        """Fail the connection if half a message was sent: that can't be taken back."""
        if self.status == OPEN and self.unfinished:
            self.record(Cause.CLOSED_HERE, "error in fragmented message", exc)
            self.own_ends().pending_fault = (
                CloseCode.INTERNAL_ERROR, "error in fragmented message"
            )
            self.start_failing()
            self.flush()

    async def _take_turn(self):
        """Wait in the queue until a fragmented message may begin."""
        cdef Queued item
        if self.status != OPEN:
            await self._refuse(None)
        if not (self.fragmenting or self.outbox.queue):
            self.fragmenting = True
            return
        item = self.own_outbox().put(CONT_, b"", 0, None, None, False)
        try:
            await self._wait_for_turn(item)
        except BaseException:
            if item.fate == FRAMED:
                self.end_turn()
            raise

    def end_turn(self):
        """Let the messages go on that waited for the end of a fragmented one."""
        self.fragmenting = False
        self.pump()
        self.flush_later()

    async def _send_fragment(self, int opcode, bint fin, chunk, int compress):
        if self.status != OPEN:
            await self._refuse(None)
        self.write_data(opcode, fin, chunk, compress)
        self.flush_later()
        await self._drain(None)

    cdef bint offer_prepared(self, Prepared message) except -1:
        """Queue a message that others get too; return whether the connection was open."""
        cdef Py_ssize_t high
        if self.status != OPEN:
            return False
        if not (self.blocked or self.fragmenting or self.outbox.queue):
            self.write_prepared(message)
            high = self.common.write_high
            if self.shared is not None and 0 <= high < PyBytes_GET_SIZE(self.shared):
                self.flush()
            else:
                self.flush_later()
            return True
        self.hold_back(
            message.opcode, message.payload, -1, message, message.policy, message.key
        )
        return True

    cdef int write_prepared(self, Prepared message) except -1:
        """Append a frame that others send too, or one of our own where that can't be."""
        cdef bytes frame = None
        cdef Py_ssize_t size
        # What a client sends has a mask of its own (section 5.1).
        if not (self.client or self.foreign or self.debugging):
            frame = message.frame_for(self.deflate)
        if frame is None:
            return self.write_data(message.opcode, True, message.payload, -1)
        counted.messages_sent += 1
        size = PyBytes_GET_SIZE(frame)
        if size <= JOINED_LENGTH:
            if self.out_size == 0 and self.large is None:
                if self.shared is None:
                    self.shared = frame
                    return 0
                if PyBytes_GET_SIZE(self.shared) <= JOINED_MOST:
                    self.shared = message.join(self.shared, frame)
                    return 0
            self.reserve(size)
            memcpy(self.out + self.out_size, <char*>frame, size)
            self.out_size += size
            return 0
        if self.shared is not None:
            self.unshare()
        if self.large is None:
            self.large = []
        if self.out_size:
            self.large.append(self.take_small())
        self.large.append(frame)
        return 0

    # -- topics

    cdef int leave_topics(self) except -1:
        """Have whoever filled the slot know that nothing can be sent any more."""
        if self.membership is not NO_TOPICS:
            membership, self.membership = self.membership, NO_TOPICS
            membership.leave(self)
        return 0

    def subscribe(self, topic, *, presence=None, wildcards=True):
        """Subscribe to a topic: what is published there is sent to this connection.

        Takes effect at once for what this process publishes, and for what others publish as soon
        as they have heard of it. Closing unsubscribes.

        Args:
            topic: :class:`str`, at most ``Limits.max_topic`` octets. A name, or with wildcards
                for whole levels: ``a/+/b`` is any one level between, ``a/#`` is ``a`` and
                everything below.
            presence: what others learn of this member by ``presence()``: anything that JSON can
                tell.
            wildcards: ``False`` to refuse a topic that has wildcards, for names that peers choose.

        Returns:
            bool: whether it was not subscribed before. If it was, nothing changes.

        Raises:
            ConnectionClosed: If the connection is closed or closing.
            RuntimeError: If no :class:`App` or :class:`Hub` has admitted the connection.
            TooManySubscriptions: If ``Limits.max_subscriptions`` or ``max_topics`` is reached.
            ValueError: If that is no topic.
        """
        if self.status != OPEN:
            self.check_opened()
            raise self.closed_exception()
        return self.membership.subscribe(self, topic, presence=presence, wildcards=wildcards)

    def unsubscribe(self, topic):
        """End a subscription.

        Args:
            topic: as it was subscribed to.

        Returns:
            bool: whether there was one.
        """
        return self.membership.unsubscribe(self, topic)

    def is_subscribed(self, topic):
        """Tell whether this connection is subscribed to exactly this.

        Args:
            topic: as it was subscribed to; wildcards aren't looked at.
        """
        return self.membership.is_subscribed(topic)

    @property
    def topics(self):
        """All that it is subscribed to: a :class:`frozenset` of :class:`str`."""
        return self.membership.topics()

    # -- the accounts

    cdef int settle(self) except -1:
        """Tell the process-wide accounts what is held; above ``memory_budget`` the worst is shed.

        A payload that many connections are sent is in nobody's share: it has one of its own.
        """
        cdef long long held = self.inbox.octets + self.assembly.octets + self.out_size
        # A fragment costs an object more than a message does.
        held += (2 * self.inbox.count - self.inbox.whole) * MESSAGE_COST
        if self.reading is not None:
            if self.reading.rest is not None:
                held += PyBytes_GET_SIZE(self.reading.rest)
            if self.reading.payload is not None:
                held += PyBytes_GET_SIZE(self.reading.payload)
        if self.outbox.queue:
            held += self.outbox.waiting + QUEUED_COST * self.outbox.count()
        if self.large is not None:
            for octets in self.large:
                held += PyBytes_GET_SIZE(octets)
        if held == 0 and (self.link is None or self.link.held == 0):
            if self.holder != NULL:
                leave(self.holder)
                self.holder = NULL
            return 0
        if self.holder == NULL:
            budget = self.common.settings.limits.memory_budget
            self.holder = hold(<void*>self, &HOLDER_CALLS, -1 if budget is None else budget)
        return change(self.holder, held)

    cdef int shed(self) except -1:
        """Let go of everything held, and close with 1013: the process holds too much."""
        cdef long long held = holder_weigh(<void*>self)
        budget = self.common.settings.limits.memory_budget
        detail = (
            f"{held} of the {totals.octets} octets that this process holds are here, more than "
            f"memory_budget of {budget} in all"
        )
        self.record(Cause.MEMORY_BUDGET, detail, None, "memory_budget", budget)
        self.logger.warning("! connection is shed: %s", detail)
        self.robbed = True
        self.deaf = True
        self.drop_inbox()
        self.drop_queue()
        # Whole frames, of which none was begun: a Close frame may follow in their place.
        self.out_size = 0
        self.large = self.shared = None
        if self.status == OPEN and self.link.held <= KEPT_WHEN_SHED:
            self.own_ends().pending_fault = (CloseCode.TRY_AGAIN_LATER, "over the memory budget")
            self.start_failing()
            self.flush()
        elif not self.gone:
            self.own_ends().exc = self.ends.exc or MemoryError(detail)
            self.link.abort()
        return self.settle()

    cdef int drop_inbox(self) except -1:
        """Let all go that was received and not taken; :attr:`robbed` makes that known."""
        self.stopped = False
        while self.inbox.count:
            self.pop()
        if self.assembly is not NO_FRAGMENTS:
            self.assembly.parts = None
            self.assembly.octets = 0
            self.let_assembly_go()
        self.in_payload = False
        if self.reading is not None:
            self.reading.rest = self.reading.payload = None
            self.reading.rest_at = 0
        return 0

    cdef int let_assembly_go(self) except -1:
        if self.assembly.fragments == 0 and self.assembly.parts is None:
            self.assembly = NO_FRAGMENTS
        return 0

    def _shed(self):
        """Shed when another thread asked for it, if that is still wanted."""
        if self.holder != NULL:
            self.holder.asked = False
            if totals.octets > self.holder.budget:
                self.shed()

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
        cdef Pings pings = self.pings
        if pings is None:
            pings = self.pings = Pings.__new__(Pings)
            pings.waiters = {}
        if data in pings.waiters:
            raise ConcurrencyError("already waiting for a pong with the same data")
        while data is None or data in pings.waiters:
            data = secrets.token_bytes(4)
        self.write_control(PING_, data)
        waiter = self.common.loop.create_future()
        pings.waiters[data] = (waiter, self.common.timers.now())
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
        cdef Pings pings = self.pings
        now = self.common.timers.now()
        if self.status != OPEN or self.deaf:
            return
        timeout = self.common.settings.ping_timeout
        if not self.pong_due:
            self.keepalive_ping()
            self.pong_due = timeout is not None
            interval = self.common.settings.ping_interval
            self.judge_at(now + (interval if timeout is None else timeout))
            return
        late = now - pings.judgement
        if self.reads != pings.reads:
            self.pong_due = False
            self.look_at(max(now, pings.sent + self.common.settings.ping_interval))
        elif self.stopped or self.blocked and self.common.settings.limits.write_timeout is not None:
            # Its octets wait behind a full inbox, or the ping behind others: not its silence.
            self.judge_at(now + timeout)
        elif late > TOO_LATE:
            # Our own loop was blocked; read what came meanwhile before judging.
            self.judge_at(now + min(late, timeout))
        else:
            trips = self.round_trips()
            before = ", ".join([f"{each * 1000:.1f} ms" for each in trips]) or "none"
            detail = (
                f"nothing arrived within ping_timeout of {timeout} s; round trips before: {before}"
            )
            self.note(
                Ending(
                    Cause.PING_TIMEOUT,
                    detail,
                    limit="ping_timeout",
                    value=timeout,
                    round_trips=trips,
                    blocked=self.common.timers.blocked(),
                )
            )
            self.own_ends().pending_fault = (
                CloseCode.INTERNAL_ERROR, "keepalive ping timeout"
            )
            self.start_failing()
            self.flush()

    def keepalive_ping(self):
        """Ping, and let go of the keepalive ping before this one if it was never answered."""
        cdef Pings pings = self.pings
        if pings is None:
            pings = self.pings = Pings.__new__(Pings)
            pings.waiters = {}
        pings.sent = self.common.timers.now()
        pings.reads = self.reads
        pings.waiters.pop(pings.data, None)
        if not self.blocked:
            self.send_ping()
            pings.data = next(reversed(pings.waiters))

    cdef int look_at(self, double when) except -1:
        """Have the deadline at ``when``: the next ping's, a pong's, or the closing handshake's."""
        return self.common.timers.set(&self.deadline, when)

    def judge_at(self, when):
        """Look at the keepalive again at ``when``: the ping was sent."""
        self.pings.judgement = when
        self.look_at(when)

    def watch_writing(self):
        """Give a blocked write its own deadline, which progress moves (Limits.write_timeout)."""
        timeout = self.common.settings.limits.write_timeout
        if timeout is None or self.gone:
            return
        if self.outbox.write_timer is None:
            self.own_outbox().write_timer = Timer(self.common.timers, self._judge_writing)
        self.outbox.taken_then = self.outbox.passed - self.link.unsent()
        self.outbox.write_timer.set(self.common.timers.now() + timeout)

    def _judge_writing(self):
        if self.outbox.passed - self.link.unsent() > self.outbox.taken_then:
            self.watch_writing()
            return
        timeout = self.common.settings.limits.write_timeout
        exc = TimeoutError(f"peer took no octets within write_timeout of {timeout} s")
        self.record(Cause.WRITE_STALLED, str(exc), exc, "write_timeout", timeout)
        self.own_ends().exc = self.ends.exc or exc
        self.link.abort()

    # -- memory

    cdef int watch_codec(self) except -1:
        """Have the codecs freed that aren't used for ``Limits.codec_idle``."""
        idle = self.common.settings.limits.codec_idle
        if idle is None or self.gone:
            return 0
        if self.outbox.codec_timer is None:
            self.own_outbox().codec_timer = Timer(self.common.timers, self._judge_codec)
        self.outbox.codec_uses = self.deflate.uses
        self.outbox.codec_timer.set(self.common.timers.now() + idle)
        return 0

    def _judge_codec(self):
        if self.deflate is not None and self.deflate.uses == self.outbox.codec_uses:
            self.deflate.release()
        if self.deflate is None or not self.deflate.holds():
            self.outbox.codec_timer = None
            return
        # Used meanwhile, or in the middle of a message.
        self.watch_codec()

    # -- closing

    cdef int start_closing(self) except -1:
        """Begin to wait for the end; after ``close_timeout`` it is not waited for any more."""
        if self.status != OPEN:
            self.leave_topics()
        timeout = self.common.settings.close_timeout
        if timeout is None or self.deadline.fired == close_timed_out or self.gone:
            return 0
        # Whoever closes pings no more.
        self.deadline.fired = close_timed_out
        self.look_at(self.common.timers.now() + <double>timeout)
        return 0

    def _close_timed_out(self):
        if self.ends.pending_fault is not None and self.status == OPEN:
            # The application had its time to answer what came before the fault.
            self.deadline.fired = keepalive_due
            self.start_failing()
            self.flush()
            return
        exc = TimeoutError("timed out while closing connection")
        if self.ends.exc is None:
            self.own_ends().exc = exc
        self.link.abort()

    cdef int start_failing(self) except -1:
        """Fail the connection for the recorded fault (RFC 6455 section 7.1.7)."""
        code, reason = self.ends.pending_fault
        self.ends.pending_fault = None
        self.deaf = True
        if self.status == OPEN:
            if not self.unfinished:
                self.frame_queue()
            close = Close(code, reason)
            self.write_close(close, close.serialize())
        if not self.client and not self.ended:
            self.start_eof()
        # Its answer to us has the whole time again.
        self.deadline.fired = keepalive_due
        self.deadline.when = NAN
        if self.stopped and not self.gone:
            # Nobody reads any more, but the end of the stream must be seen.
            if self.reading is not None:
                self.reading.rest = None
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
        await self.until_closed()

    def start_close(self, code=CloseCode.NORMAL_CLOSURE, str reason="", cause=Cause.CLOSED_HERE):
        """Send a Close frame and don't wait; arguments and errors are those of :meth:`close`."""
        self.check_opened()
        if self.status != OPEN:
            self.start_closing()
            return
        if self.ends.pending_fault is not None:
            self.start_failing()
        elif self.unfinished:
            self.record(cause, "close during fragmented message")
            self.own_ends().pending_fault = (
                CloseCode.INTERNAL_ERROR, "close during fragmented message"
            )
            self.start_failing()
        else:
            close = Close(code, reason) if code is not None else Close(
                CloseCode.NO_STATUS_RCVD, ""
            )
            if code is None and reason:
                raise ProtocolError("cannot send a reason without a code")
            payload = b"" if code is None else close.serialize()
            self.record_close(cause, close)
            self.frame_queue()
            self.write_close(close, payload)
            self.start_closing()
            self.resume_for_close()
        self.flush()

    def drain_until(self, double when):
        """Give a closing connection until then to send what waits; else ``close_timeout`` counts.

        Args:
            when: seconds of the loop's clock; the connection is cut off then in any case.
        """
        if self.gone or self.status == CONNECTING:
            return
        unsent = self.out_size or self.large is not None or self.shared is not None
        if not unsent and not self.link.unsent() and self.deadline.fired == close_timed_out:
            when = min(when, self.deadline.when)
        self.deadline.fired = close_timed_out
        self.look_at(when)

    def check_opened(self):
        """Refuse what only a connection can do whose opening handshake is done."""
        if self.status == CONNECTING:
            raise InvalidState("connection is connecting")

    def frame_queue(self):
        """Frame all queued messages: a Close frame must come after them."""
        cdef Queued item
        while self.outbox.queue:
            item = self.outbox.take()
            if item is not None and item.opcode == CONT_:
                # A fragmented message that has not begun will not.
                item.fate = DROPPED
                self.wake(item.sent)
            elif item is not None:
                self.frame(item)

    def resume_for_close(self):
        """Read on although the inbox is full: the peer's Close frame lies behind it."""
        self.overflowing = True
        if self.stopped and not self.turn_over:
            self.read_rest()
            if self.turn_over:
                self.go_on_later()
            else:
                self.link.resume_reading()

    async def wait_closed(self):
        """Wait until the connection is closed: closing handshake done and TCP ended."""
        await self.until_closed()

    async def until_closed(self):
        """Wait as :meth:`wait_closed` does, whatever that name means where threads wait."""
        if self.gone:
            return
        if self.ends.closed_waiter is None:
            self.own_ends().closed_waiter = self.common.loop.create_future()
        await asyncio.shield(self.ends.closed_waiter)

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


@cython.final
cdef class _Forget:
    """What a weak reference calls: takes it out of the dictionary where it is."""

    cdef dict where
    cdef object key

    def __call__(self, reference):
        if self.where.get(self.key) is reference:
            del self.where[self.key]


cdef object held(dict where, object key):
    """Return what :func:`hold_weakly` was given for this key, if it is still there."""
    reference = where.get(key)
    return None if reference is None else reference()


cdef int hold_weakly(dict where, object key, object value) except -1:
    """Have :func:`held` find ``value`` for as long as somebody else holds it."""
    cdef _Forget forget = _Forget.__new__(_Forget)
    forget.where = where
    forget.key = key
    where[key] = PyWeakref_NewRef(value, forget)
    return 0


def _control_payload(data):
    """Octets for a control frame's payload from str or bytes-like."""
    if isinstance(data, str):
        return data.encode()
    if isinstance(data, (bytes, bytearray, memoryview)):
        return bytes(data)
    raise TypeError("data must be str or bytes-like")


cdef int flush_now(object connection) except -1:
    (<Connection>connection).flush_due = False
    return (<Connection>connection).flush()


cdef long long holder_weigh(void* owner) except -1:
    cdef Connection connection = <Connection>owner
    cdef long long held = 0 if connection.holder == NULL else connection.holder.octets
    if connection.link is not None and connection.link.held:
        connection.link.recount()
        held += connection.link.held
    return held


cdef int holder_shed(void* owner) except -1:
    return (<Connection>owner).shed()


cdef int holder_shed_later(void* owner) except -1:
    cdef Connection connection = <Connection>owner
    connection.loop.call_soon_threadsafe(connection._shed)
    if connection.holder != NULL:
        connection.holder.asked = True
    return 0


cdef HolderCalls HOLDER_CALLS = HolderCalls(holder_weigh, holder_shed, holder_shed_later)


cdef int keepalive_due(void* owner) except -1:
    (<Connection>owner)._keepalive()
    return 0


cdef int scope_due(void* owner) except -1:
    if (<Connection>owner).cancellable:
        (<Connection>owner).cancel_handler()
    return 0


cdef int close_timed_out(void* owner) except -1:
    (<Connection>owner)._close_timed_out()
    return 0


cdef int link_received(void* owner, const uint8_t* data, Py_ssize_t size) except -1:
    return (<Connection>owner).received(data, size)


cdef uint8_t* link_space_wanted(void* owner, Py_ssize_t* size) except? NULL:
    if (<Connection>owner).parsing:
        # A callback drains the poller: what came before this comes first.
        size[0] = -1
        return NULL
    return (<Connection>owner).place(size)


cdef int link_writable(void* owner, bint yes) except -1:
    return (<Connection>owner).writable(yes)


cdef int link_closed(void* owner, object exc) except -1:
    return (<Connection>owner).lost(exc)


cdef LinkCalls CALLS = LinkCalls(link_received, link_space_wanted, link_writable, link_closed)
