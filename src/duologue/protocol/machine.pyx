"""The protocol of an open WebSocket connection, both roles, without I/O (RFC 6455, RFC 7692).

A :class:`Machine` reads octets and pushes what it finds into its sink (``on_data``, ``on_ping``,
``on_pong``, ``on_close``, ``on_fault``), and turns what its owner wants to say into octets. Two
sinks exist: :class:`EventMachine` below collects frames for programs that bring their own I/O, and
the connection of a floor above hands messages to an application. Both are the same code.

What holds at every moment:

* Octets are judged as soon as they can be: a frame head at its second octet, text at the first
  octet that is not UTF-8 (section 8.1), a size before any of it is stored.
* A fault ends reading for good (``deaf``, section 7.1.7); what had arrived whole before is with the
  sink already. What a fault does to the connection is the sink's affair.
* Sink methods run inside :meth:`Machine.read`. They may write frames, and may set ``stopped`` to
  leave the octets that follow for later; they never call :meth:`Machine.read` themselves.
* Each frame takes one from ``allowance``, if the owner has set one. After the last of it reading
  stops as if the sink had stopped it, and ``turn_over`` says why.
* Written frames lie in one buffer, ``out``, in the order in which they must be sent; when one is
  large, ``large`` holds it and all before it. While both are empty, ``shared`` may hold frames that
  other connections send too. None is ever altered: a frame compressed with context takeover cannot
  be taken back.

It must never know sockets, event loops, tasks or time.
"""

cimport cython

import logging
import uuid

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_Release, PyObject_GetBuffer
from cpython.mem cimport PyMem_Free, PyMem_Realloc
from cpython.unicode cimport PyUnicode_DecodeUTF8
from libc.stdint cimport uint64_t
from libc.string cimport memcpy

from duologue.base.traffic cimport counted
from duologue.wire.octets cimport draw_masking_key, mask_octets, read_utf8, write_head

from duologue.base.exceptions import (
    ConnectionClosedError,
    ConnectionClosedOK,
    InvalidState,
    PayloadTooBig,
    ProtocolError,
)
from duologue.base.vocabulary import OK_CLOSE_CODES, CloseCode, Opcode, Side, State
from duologue.wire.frame import Close, Frame


cdef extern from "Python.h":
    object PyUnicode_New(Py_ssize_t size, Py_UCS4 maxchar)
    void* PyUnicode_DATA(object text)
    const char* PyUnicode_AsUTF8AndSize(object text, Py_ssize_t* size) except NULL
    ctypedef struct PyObject:
        pass
    int _PyBytes_Resize(PyObject** octets, Py_ssize_t size) except -1
    PyObject* new_reference "Py_NewRef"(object value)
    object stolen_reference "(PyObject *)"(PyObject* value)
    void release "Py_DECREF"(PyObject* value)
    Py_ssize_t size_of "Py_SIZE"(PyObject* value)
    Py_ssize_t references_to "Py_REFCNT"(PyObject* value)

cdef extern from *:
    """
    /* Octets that are written again have another hash; bytes remember theirs. */
    static void duologue_forget_hash(PyObject *octets)
    {
        _Py_COMP_DIAG_PUSH
        _Py_COMP_DIAG_IGNORE_DEPR_DECLS
        ((PyBytesObject *)octets)->ob_shash = -1;
        _Py_COMP_DIAG_POP
    }
    """
    void forget_hash "duologue_forget_hash"(PyObject* octets)


cdef int CONT_ = 0, TEXT_ = 1, BINARY_ = 2, CLOSE_ = 8, PING_ = 9, PONG_ = 10
cdef uint8_t FIN = 0x80, RSV1 = 0x40, RSV = 0x70

# A frame's claim is not yet a frame: above this, memory follows the octets that arrive.
cdef Py_ssize_t TRUSTED_LENGTH = 65536

# From here on receiving into place saves more than the smaller reads that follow from it cost.
cdef Py_ssize_t PLACED_LENGTH = 32768

# A frame of this size is built in an object of its own and handed on without another copy.
cdef Py_ssize_t LARGE_LENGTH = 65536

# From here on a payload is sent from where it is. Below, a copy beside its head costs less than a
# second object to send: it lies in the cache already.
cdef Py_ssize_t REFERRED_LENGTH = 32768

# Buffers to write into that nobody uses now. One is enough for all connections that are written to
# in turn, and an idle connection has none.
cdef enum:
    SPARES = 16
    SPARE_LEAST = 4096
    SPARE_MOST = 65536

cdef uint8_t* spares[SPARES]
cdef int spare_count = 0


cdef inline Py_ssize_t room_of(const uint8_t* out) noexcept:
    """How many octets there is room for; it stands before the first of them."""
    return (<const Py_ssize_t*>(out - OUT_HEAD))[0]


# Large payloads received last. Fresh memory of that size costs more than the octets in it, since
# the system clears it page by page and takes it back as soon as it is free; so what nobody else
# refers to any more is used again.
cdef enum:
    KEPT = 16
    KEPT_OCTETS = 16777216

cdef PyObject* kept[KEPT]
cdef Py_ssize_t kept_octets = 0
cdef int kept_next = 0


cdef int keep(object payload) except -1:
    """Keep a payload instead of the oldest ones."""
    global kept_octets, kept_next
    cdef Py_ssize_t size = PyBytes_GET_SIZE(payload)
    cdef int _tried
    if size > KEPT_OCTETS // 2:
        return 0
    for _tried in range(KEPT):
        if kept[kept_next] == NULL and kept_octets + size <= KEPT_OCTETS:
            break
        if kept[kept_next] != NULL:
            kept_octets -= size_of(kept[kept_next])
            release(kept[kept_next])
            kept[kept_next] = NULL
            if kept_octets + size <= KEPT_OCTETS:
                break
        kept_next = (kept_next + 1) % KEPT
    kept[kept_next] = new_reference(payload)
    kept_octets += size
    kept_next = (kept_next + 1) % KEPT
    return 0


cdef bytes kept_for(Py_ssize_t length):
    """Return a kept payload that nobody refers to, as one of ``length`` octets, or ``None``."""
    global kept_octets
    cdef PyObject* found
    cdef int index
    for index in range(KEPT):
        found = kept[index]
        if found == NULL or references_to(found) != 1:
            continue
        if length <= size_of(found) <= 2 * length:
            kept_octets -= size_of(found)
            kept[index] = NULL
            if size_of(found) != length:
                _PyBytes_Resize(&found, length)
            forget_hash(found)
            return stolen_reference(found)
    return None


cdef bytes NORMAL_CLOSURE = Close(CloseCode.NORMAL_CLOSURE, "").serialize()
cdef tuple STATES = tuple(State)
cdef tuple OPCODES = tuple(
    Opcode(value) if value in Opcode._value2member_map_ else None for value in range(16)
)


cdef enum:
    # What stands before the octets of ``out``: their room, and padding to keep them aligned.
    OUT_HEAD = 16


@cython.no_gc_clear
cdef class Terms:
    """Bounds and logger, which connections share: one that is to differ gets a copy."""

    def __cinit__(self):
        self.max_message = self.max_fragment = -1

    cdef Terms copy(self):
        cdef Terms terms = Terms.__new__(Terms)
        terms.max_message = self.max_message
        terms.max_fragment = self.max_fragment
        terms.any_close_code = self.any_close_code
        terms.logger = self.logger
        return terms


@cython.final
cdef class Agreed:
    """What an opening handshake agreed on, where that is anything."""


@cython.final
@cython.freelist(64)
cdef class Closing:
    """The closing handshake, once it has begun."""


@cython.final
@cython.freelist(64)
cdef class Reading:
    """The message being read, when it did not arrive whole, and what waits behind it."""


# What every machine refers to until it has one of its own; nothing is ever written to these.
cdef Terms BOUNDLESS = Terms()
cdef Agreed NOTHING_AGREED = Agreed()
cdef Closing NOT_CLOSING = Closing()


# Its parts are looked at without asking whether they are there, so the garbage collector may not
# clear it; whatever they lead to can be cleared instead.
@cython.no_gc_clear
cdef class Machine:
    """One end of an open connection: a reader with its sink, and a writer.

    Args:
        side: which end this is; a client masks what it sends, a server refuses what is not masked.
        max_size: greatest message in octets, or a pair (message, fragment); ``None`` for no limit.
        logger: where frames are logged at DEBUG level.
    """

    def __cinit__(self, *args, **kwargs):
        self.status = OPEN
        self.allowance = -1
        self.terms = BOUNDLESS
        self.agreed = NOTHING_AGREED
        self.closing = NOT_CLOSING

    def __dealloc__(self):
        self.out_size = 0
        self.give_back()

    # -- what it is

    @property
    def side(self):
        """:class:`~duologue.protocol.Side` of this end."""
        return Side.CLIENT if self.client else Side.SERVER

    @property
    def state(self):
        """:class:`~duologue.protocol.State` of the connection (RFC 6455 sections 4.1 and 7.1)."""
        return STATES[self.status]

    @state.setter
    def state(self, value):
        self.status = value
        if self.debugging:
            self.terms.logger.debug("= connection is %s", STATES[self.status].name)

    @property
    def extensions(self):
        """Extensions agreed on, in the order in which outgoing frames pass them."""
        return [] if self.agreed.extensions is None else self.agreed.extensions

    @extensions.setter
    def extensions(self, value):
        # None for none: most connections have none.
        cdef list agreed = list(value) or None
        if agreed is not self.agreed.extensions:
            self.own_agreed().extensions = agreed
        self.deflate = None
        self.foreign = agreed is not None
        if self.foreign and len(agreed) == 1 and type(agreed[0]) is PerMessageDeflate:
            self.deflate = agreed[0]
            self.foreign = False

    cdef Agreed own_agreed(self):
        if self.agreed is NOTHING_AGREED:
            self.agreed = Agreed.__new__(Agreed)
        return self.agreed

    @property
    def subprotocol(self):
        """Subprotocol agreed on, ``None`` for none (section 1.9)."""
        return self.agreed.subprotocol

    @subprotocol.setter
    def subprotocol(self, value):
        if value is not self.agreed.subprotocol:
            self.own_agreed().subprotocol = value

    @property
    def origin(self):
        """The client's ``Origin``, ``None`` without one (RFC 6454)."""
        return self.agreed.origin

    @origin.setter
    def origin(self, value):
        if value is not self.agreed.origin:
            self.own_agreed().origin = value

    @property
    def logger(self):
        """Where frames are logged at DEBUG level, and what goes wrong above that."""
        return self.terms.logger

    @logger.setter
    def logger(self, value):
        self.terms = self.terms.copy()
        self.terms.logger = value

    @property
    def debug(self):
        """Whether frames are logged."""
        return bool(self.debugging)

    @debug.setter
    def debug(self, bint value):
        self.debugging = value

    @property
    def eof_sent(self):
        """Whether nothing follows what was written."""
        return bool(self.ended)

    @eof_sent.setter
    def eof_sent(self, bint value):
        self.ended = value

    @property
    def expect_continuation_frame(self):
        """Whether a message was begun that is to be continued."""
        return bool(self.unfinished)

    @property
    def max_message_size(self):
        """Greatest message in octets that is accepted; ``None`` for no limit."""
        return None if self.terms.max_message < 0 else self.terms.max_message

    @max_message_size.setter
    def max_message_size(self, value):
        self.terms = self.terms.copy()
        self.terms.max_message = -1 if value is None else value

    @property
    def max_fragment_size(self):
        """Greatest frame of a message, in octets, that is accepted; ``None`` for no limit."""
        return None if self.terms.max_fragment < 0 else self.terms.max_fragment

    @max_fragment_size.setter
    def max_fragment_size(self, value):
        self.terms = self.terms.copy()
        self.terms.max_fragment = -1 if value is None else value

    # -- closing, as the application sees it

    cdef Closing own_closing(self):
        if self.closing is NOT_CLOSING:
            self.closing = Closing.__new__(Closing)
        return self.closing

    @property
    def close_rcvd(self):
        """The peer's Close frame, ``None`` before."""
        return self.closing.rcvd

    @close_rcvd.setter
    def close_rcvd(self, value):
        self.own_closing().rcvd = value

    @property
    def close_sent(self):
        """Our Close frame, ``None`` before."""
        return self.closing.sent

    @close_sent.setter
    def close_sent(self, value):
        self.own_closing().sent = value

    @property
    def close_rcvd_then_sent(self):
        """Whether the peer's Close frame came first; ``None`` until there are both."""
        return self.closing.rcvd_then_sent

    @close_rcvd_then_sent.setter
    def close_rcvd_then_sent(self, value):
        self.own_closing().rcvd_then_sent = value

    @property
    def parser_exc(self):
        """What was wrong with what the peer sent, ``None`` if nothing was."""
        return self.closing.exc

    @parser_exc.setter
    def parser_exc(self, value):
        self.own_closing().exc = value

    @property
    def close_code(self):
        """Close code of the peer (section 7.1.5), 1006 when none came, ``None`` until closed."""
        if self.status != CLOSED:
            return None
        return CloseCode.ABNORMAL_CLOSURE if self.closing.rcvd is None else self.closing.rcvd.code

    @property
    def close_reason(self):
        """Close reason of the peer (section 7.1.6), "" when none came, ``None`` until closed."""
        if self.status != CLOSED:
            return None
        return "" if self.closing.rcvd is None else self.closing.rcvd.reason

    @property
    def close_exc(self):
        """:exc:`ConnectionClosed` to raise to whoever uses the connection once it is closed.

        Raises:
            AssertionError: If the connection isn't closed yet.
        """
        assert self.status == CLOSED, "connection isn't closed yet"
        return self.closed_exception()

    cdef object closed_exception(self):
        fine = (
            self.closing.rcvd is not None
            and self.closing.sent is not None
            and self.closing.rcvd.code in OK_CLOSE_CODES
            and self.closing.sent.code in OK_CLOSE_CODES
        )
        kind = ConnectionClosedOK if fine else ConnectionClosedError
        exc = kind(self.closing.rcvd, self.closing.sent, self.closing.rcvd_then_sent)
        exc.__cause__ = self.closing.exc
        return exc

    # -- the sink; a sink overrides all five

    cdef int on_data(self, int opcode, bint text, bint fin, object payload) except -1:
        raise NotImplementedError

    cdef int on_ping(self, bytes payload) except -1:
        raise NotImplementedError

    cdef int on_pong(self, bytes payload) except -1:
        raise NotImplementedError

    cdef int on_close(self) except -1:
        raise NotImplementedError

    cdef int on_fault(self, int code, str reason, object exc) except -1:
        raise NotImplementedError

    # -- reading

    cdef int read(self, const uint8_t* data, Py_ssize_t size) except -1:
        """Read ``size`` octets; they are borrowed for this call only."""
        cdef Py_ssize_t at = 0
        cdef Reading reading
        if not self.held_up():
            at = self.parse(data, size)
        if at < size and not self.deaf:
            fresh = PyBytes_FromStringAndSize(<char*>data + at, size - at)
            self.begin_reading()
            reading = self.reading
            reading.rest = fresh if reading.rest is None else reading.rest[reading.rest_at:] + fresh
            reading.rest_at = 0
        if self.reading is not None:
            self.end_reading()
        return 0

    cdef int begin_reading(self) except -1:
        """Have something to keep what is not whole in."""
        if self.reading is None:
            self.reading = Reading.__new__(Reading)
        return 0

    cdef int end_reading(self) except -1:
        """Let that go when nothing is in it."""
        cdef Reading reading = self.reading
        if self.deaf or not (
            self.in_payload or self.message_opcode or reading.head_have or reading.rest is not None
        ):
            self.reading = None
        return 0

    cdef bint held_up(self) noexcept:
        """Whether octets wait because the sink stopped."""
        return self.reading is not None and self.reading.rest is not None

    cdef Py_ssize_t parse(self, const uint8_t* data, Py_ssize_t size) except -1:
        """Read until the sink stops; return how many octets were read."""
        cdef Py_ssize_t at = 0, step
        while at < size and not (self.deaf or self.stopped):
            if self.allowance == 0:
                self.stopped = self.turn_over = True
                break
            if self.in_payload:
                at += self.read_payload(data + at, size - at)
                continue
            if self.reading is None or self.reading.head_have == 0:
                step = self.read_whole(data + at, size - at)
                if step:
                    at += step
                    if self.allowance > 0:
                        self.allowance -= 1
                    continue
                if self.deaf:
                    break
            at += self.read_head(data + at, size - at)
        return at

    cdef int read_rest(self) except -1:
        """Read what was left over when the sink stopped, as far as it goes this time."""
        cdef Reading reading = self.reading
        cdef bytes rest
        cdef Py_ssize_t read
        self.stopped = False
        if not self.held_up():
            return 0
        rest = reading.rest
        read = self.parse(
            <const uint8_t*>PyBytes_AS_STRING(rest) + reading.rest_at,
            PyBytes_GET_SIZE(rest) - reading.rest_at,
        )
        reading.rest_at += read
        if self.deaf or reading.rest is None or reading.rest_at == PyBytes_GET_SIZE(reading.rest):
            reading.rest = None
            reading.rest_at = 0
        if self.reading is reading:
            self.end_reading()
        return 0

    cdef Py_ssize_t read_whole(self, const uint8_t* data, Py_ssize_t size) except -1:
        """Read one unfragmented, uncompressed message that lies in ``data`` as a whole.

        Returns how many octets it took, or 0 to leave it to the general way.
        """
        cdef Py_ssize_t length, begin = 2
        cdef uint8_t first, second
        cdef int opcode, high
        cdef uint8_t* target
        cdef const uint8_t* source
        cdef object message
        if size < 2:
            return 0
        first = data[0]
        second = data[1]
        opcode = first & 15
        if (first & 0xF0) != FIN or opcode == 0 or opcode > 2 or self.message_opcode:
            return 0
        if ((second & 0x80) != 0) == self.client or self.foreign or self.debugging:
            return 0
        length = second & 127
        if length == 126:
            if size < 4:
                return 0
            length = (data[2] << 8) | data[3]
            if length < 126:
                return 0
            begin = 4
        elif length == 127:
            return 0
        if not self.client:
            begin += 4
        if size - begin < length:
            return 0
        if self.terms.max_message >= 0 and length > self.terms.max_message:
            return 0
        if self.terms.max_fragment >= 0 and length > self.terms.max_fragment:
            return 0
        source = data + begin
        if opcode == BINARY_ or self.raw_text:
            message = PyBytes_FromStringAndSize(NULL, length)
            target = <uint8_t*>PyBytes_AS_STRING(message)
        elif length == 0 or self.client:
            # No mask to take off: text is decoded from where it lies.
            message = ""
            target = NULL
        else:
            message = PyUnicode_New(length, 127)
            target = <uint8_t*>PyUnicode_DATA(message)
        if self.client:
            if target != NULL:
                memcpy(target, source, length)
            high = 1
        else:
            high = length and mask_octets(target, source, length, source - 4, 0)
            source = target
        if opcode == TEXT_ and high:
            message = self.decode(source, length, message)
            if message is None:
                return 0
        self.on_data(opcode, opcode == TEXT_, True, message)
        return begin + length

    cdef object decode(self, const uint8_t* text, Py_ssize_t length, object raw):
        """Return text that may be more than ASCII as ``on_data`` wants it; ``None`` at a fault."""
        try:
            decoded = PyUnicode_DecodeUTF8(<const char*>text, length, NULL)
        except UnicodeDecodeError as exc:
            self.fault(CloseCode.INVALID_DATA, f"{exc.reason} at position {exc.start}", exc)
            return None
        return raw if self.raw_text else decoded

    cdef Py_ssize_t read_head(self, const uint8_t* data, Py_ssize_t size) except -1:
        """Read what belongs to a frame head; judge it as soon as two octets are there."""
        self.begin_reading()
        cdef Reading reading = self.reading
        cdef Py_ssize_t taken = 0
        cdef int need
        cdef uint64_t length
        cdef int index
        while True:
            if reading.head_have < 2:
                need = 2
            else:
                need = reading.head[1] & 127
                need = 2 + (8 if need == 127 else 2 if need == 126 else 0)
                if not self.client:
                    need += 4
            if reading.head_have == need and need > 1 and reading.head_have >= 2:
                break
            if taken == size:
                return taken
            reading.head[reading.head_have] = data[taken]
            reading.head_have += 1
            taken += 1
            if reading.head_have == 2 and not self.check_first(reading.head[0], reading.head[1]):
                return taken
        length = reading.head[1] & 127
        index = 2
        if length == 126:
            length = (<uint64_t>reading.head[2] << 8) | reading.head[3]
            index = 4
            if length < 126:
                self.fault_text("length not encoded minimally")
                return taken
        elif length == 127:
            length = 0
            for index in range(2, 10):
                length = (length << 8) | reading.head[index]
            index = 10
            if length >> 63:
                self.fault_text("length above 2**63 - 1")
                return taken
            if length < 65536:
                self.fault_text("length not encoded minimally")
                return taken
        if not self.client:
            memcpy(reading.key, reading.head + index, 4)
        reading.first = reading.head[0]
        reading.head_have = 0
        if not self.check_length(<Py_ssize_t>length):
            return taken
        reading.length = <Py_ssize_t>length
        reading.have = 0
        if reading.length <= TRUSTED_LENGTH:
            reading.payload = PyBytes_FromStringAndSize(NULL, reading.length)
        else:
            reading.payload = kept_for(reading.length)
            if reading.payload is None:
                reading.payload = PyBytes_FromStringAndSize(NULL, TRUSTED_LENGTH)
        self.in_payload = True
        if reading.length == 0:
            self.frame_read()
        return taken

    def fault_text(self, str reason):
        """Report a breach of the protocol that has no exception of its own (close code 1002)."""
        self.fault(CloseCode.PROTOCOL_ERROR, reason, ProtocolError(reason))

    cdef bint check_first(self, uint8_t first, uint8_t second) except -1:
        """Judge a frame's first two octets (section 5.2); return whether reading goes on."""
        cdef int opcode = first & 15, length = second & 127
        cdef str wrong = None
        if OPCODES[opcode] is None:
            wrong = "invalid opcode"
        elif ((second & 0x80) != 0) == self.client:
            wrong = "incorrect masking"
        elif opcode >= 8 and not first & FIN:
            wrong = "fragmented control frame"
        elif opcode >= 8 and length > 125:
            wrong = "control frame too long"
        elif first & RSV and not self.foreign and (
            self.deflate is None or first & RSV != RSV1 or opcode == CONT_ or opcode >= 8
        ):
            wrong = "reserved bits must be 0"
        elif opcode == CONT_ and not self.message_opcode:
            wrong = "unexpected continuation frame"
        elif (opcode == TEXT_ or opcode == BINARY_) and self.message_opcode:
            wrong = "expected a continuation frame"
        if wrong is not None:
            self.fault_text(wrong)
            return False
        return True

    cdef Py_ssize_t room_left(self) noexcept:
        """How many octets the next data frame may have; -1 for any number."""
        cdef Py_ssize_t room = -1
        if self.terms.max_message >= 0:
            room = self.terms.max_message - self.reading.message_size
        if self.terms.max_fragment >= 0 and (room < 0 or self.terms.max_fragment < room):
            room = self.terms.max_fragment
        return room

    cdef bint check_length(self, Py_ssize_t size) except -1:
        """Judge a frame's payload length before any of it is stored."""
        cdef Reading reading = self.reading
        cdef int opcode = reading.first & 15
        cdef Py_ssize_t room = self.room_left()
        if opcode >= 8:
            self.check_text = False
            return True
        if opcode != CONT_:
            reading.utf8.need = 0
        self.check_text = not self.foreign and (
            not reading.first & RSV1 and opcode == TEXT_
            or opcode == CONT_ and self.message_opcode == TEXT_ and not self.message_deflated
        )
        if room >= 0 and size > room:
            self.too_big(size, room)
            return False
        return True

    cdef int too_big(self, object size, Py_ssize_t limit) except -1:
        exc = PayloadTooBig(size, limit)
        if self.message_opcode:
            exc.set_current_size(self.reading.message_size)
        return self.fault(CloseCode.MESSAGE_TOO_BIG, str(exc), exc)

    cdef Py_ssize_t read_payload(self, const uint8_t* data, Py_ssize_t size) except -1:
        """Move payload octets to where they belong, unmasking and checking text on the way."""
        cdef Reading reading = self.reading
        cdef Py_ssize_t step = reading.length - reading.have
        cdef Py_ssize_t room = PyBytes_GET_SIZE(reading.payload)
        cdef Py_ssize_t wrong
        cdef uint8_t* target
        cdef int high = 1
        if step > size:
            step = size
        if reading.have + step > room:
            self.grow(reading.have + step)
        target = <uint8_t*>PyBytes_AS_STRING(reading.payload) + reading.have
        if not self.client:
            high = mask_octets(target, data, step, reading.key, reading.have)
        elif target != data:
            memcpy(target, data, step)
        if self.check_text and (high or reading.utf8.need):
            wrong = read_utf8(&reading.utf8, target, step)
            if wrong >= 0:
                self.invalid_text(reading.have + wrong)
                return step
        reading.have += step
        if reading.have == reading.length:
            self.frame_read()
        return step

    cdef uint8_t* place(self, Py_ssize_t* size) except? NULL:
        """Where the next octets belong if they are a large payload's, else NULL.

        Saves a copy: octets put there are then read with that very address.
        """
        cdef Reading reading = self.reading
        cdef Py_ssize_t room
        if not self.in_payload or self.stopped or reading.length - reading.have < PLACED_LENGTH:
            return NULL
        room = PyBytes_GET_SIZE(reading.payload)
        if room - reading.have < PLACED_LENGTH:
            self.grow(reading.have + PLACED_LENGTH)
            room = PyBytes_GET_SIZE(reading.payload)
        size[0] = room - reading.have
        return <uint8_t*>PyBytes_AS_STRING(reading.payload) + reading.have

    cdef int grow(self, Py_ssize_t need) except -1:
        """Make room for ``need`` payload octets: four times what there is, or all of it."""
        cdef Reading reading = self.reading
        cdef Py_ssize_t room = PyBytes_GET_SIZE(reading.payload) * 4
        cdef PyObject* payload
        if room < need:
            room = need
        if room > reading.length:
            room = reading.length
        # Nobody else has it yet, so it may grow where it is, as realloc() does.
        payload = new_reference(reading.payload)
        reading.payload = None
        _PyBytes_Resize(&payload, room)
        reading.payload = stolen_reference(payload)
        return 0

    def invalid_text(self, Py_ssize_t at):
        """Report text that is not UTF-8 (section 8.1, close code 1007)."""
        cdef Reading reading = self.reading
        exc = UnicodeDecodeError(
            "utf-8", bytes(reading.payload[:at + 1]), at, at + 1, "invalid octet"
        )
        self.fault(
            CloseCode.INVALID_DATA,
            f"invalid UTF-8 at position {reading.message_size + at}",
            exc,
        )

    cdef int frame_read(self) except -1:
        """Hand on a frame whose last octet has arrived."""
        cdef Reading reading = self.reading
        cdef int opcode = reading.first & 15
        cdef bint fin = reading.first & FIN != 0
        cdef bint text
        cdef object payload = reading.payload
        reading.payload = None
        self.in_payload = False
        if reading.length > TRUSTED_LENGTH:
            keep(payload)
        if self.allowance > 0:
            self.allowance -= 1
        if self.debugging:
            self.log_frame("<", reading.first, payload)
        if self.foreign:
            frame = self.decode_frame(payload)
            if frame is None:
                return 0
            opcode, fin, payload = frame.opcode, frame.fin, bytes(frame.data)
        if opcode >= 8:
            return self.control_read(opcode, payload)
        if opcode != CONT_:
            self.message_opcode = opcode
            self.message_deflated = self.deflate is not None and reading.first & RSV1 != 0
        text = self.message_opcode == TEXT_
        if self.message_deflated:
            payload = self.inflate(payload, fin)
            if payload is None:
                return 0
        if text and not self.check_payload(payload, fin):
            return 0
        if fin:
            self.message_opcode = 0
            reading.message_size = 0
            if text and opcode == TEXT_ and not self.raw_text:
                payload = payload.decode()
        else:
            reading.message_size += PyBytes_GET_SIZE(payload)
        return self.on_data(opcode, text, fin, payload)

    cdef bint check_payload(self, object payload, bint fin) except -1:
        """Check text that could not be checked octet by octet, and the end of any text."""
        cdef Reading reading = self.reading
        cdef Py_ssize_t wrong
        if not self.check_text:
            if reading.first & 15 != CONT_:
                reading.utf8.need = 0
            wrong = read_utf8(
                &reading.utf8,
                <const uint8_t*>PyBytes_AS_STRING(payload),
                PyBytes_GET_SIZE(payload),
            )
            if wrong >= 0:
                reading.payload = payload
                self.invalid_text(wrong)
                reading.payload = None
                return False
        if fin and reading.utf8.need:
            self.fault(
                CloseCode.INVALID_DATA,
                "UTF-8 ends inside a character",
                UnicodeDecodeError("utf-8", bytes(payload[-3:]), 0, 1, "unexpected end of data"),
            )
            return False
        return True

    def inflate(self, bytes payload, bint fin):
        """Inflate a compressed frame within the limits; ``None`` after reporting a fault."""
        cdef Py_ssize_t room = self.room_left()
        try:
            return self.deflate.inflate(payload, fin, room)
        except PayloadTooBig:
            self.too_big(None, room)
        except ProtocolError as exc:
            self.fault(CloseCode.PROTOCOL_ERROR, str(exc), exc)
        return None

    def decode_frame(self, bytes payload):
        """Pass a frame through extensions that are not ours; ``None`` after reporting a fault."""
        cdef Reading reading = self.reading
        cdef Py_ssize_t room = self.room_left()
        frame = Frame(
            OPCODES[reading.first & 15],
            payload,
            reading.first & FIN != 0,
            reading.first & 0x40 != 0,
            reading.first & 0x20 != 0,
            reading.first & 0x10 != 0,
        )
        try:
            for extension in reversed(self.agreed.extensions):
                frame = extension.decode(frame, max_size=None if room < 0 else room)
            frame.check()
        except PayloadTooBig as exc:
            self.too_big(exc.size, room)
        except ProtocolError as exc:
            self.fault(CloseCode.PROTOCOL_ERROR, str(exc), exc)
        except Exception as exc:
            self.fault(CloseCode.INTERNAL_ERROR, "", exc)
        else:
            return frame
        return None

    cdef int control_read(self, int opcode, bytes payload) except -1:
        if opcode == PING_:
            return self.on_ping(payload)
        if opcode == PONG_:
            return self.on_pong(payload)
        return self.close_read(payload)

    cdef int close_read(self, bytes payload) except -1:
        """Take the peer's Close frame and answer it (sections 5.5.1 and 7.1.2)."""
        try:
            if payload == NORMAL_CLOSURE:
                # What nearly all of them say.
                close = Close(1000, "")
            elif self.terms.any_close_code:
                close = Close.parse_any(payload)
            else:
                close = Close.parse(payload)
        except UnicodeDecodeError as exc:
            return self.fault(
                CloseCode.INVALID_DATA, f"{exc.reason} at position {exc.start}", exc
            )
        except ProtocolError as exc:
            return self.fault(CloseCode.PROTOCOL_ERROR, str(exc), exc)
        self.own_closing().rcvd = close
        self.deaf = True
        if self.status == CLOSING:
            self.own_closing().rcvd_then_sent = False
        elif self.status == OPEN:
            self.own_closing().rcvd_then_sent = True
            self.write_close(close, payload)
        # Section 7.1.1: the server closes the TCP connection first.
        if not self.client and not self.ended:
            self.start_eof()
        return self.on_close()

    cdef int fault(self, int code, str reason, object exc) except -1:
        """End reading for good and tell the sink why (section 7.1.7)."""
        self.deaf = True
        self.in_payload = False
        if self.reading is not None:
            self.reading.payload = self.reading.rest = None
        # A Close frame has room for 123 octets of reason (section 5.5).
        return self.on_fault(code, reason.encode()[:123].decode("utf-8", "ignore"), exc)

    # -- writing

    cdef int reserve(self, Py_ssize_t size) except -1:
        """Make room in ``out`` for ``size`` octets more."""
        global spare_count
        cdef Py_ssize_t need, room
        cdef uint8_t* larger
        if self.shared is not None:
            self.unshare()
        need = self.out_size + size
        room = 0
        if self.out != NULL:
            room = room_of(self.out)
            if need <= room:
                return 0
        elif spare_count:
            spare_count -= 1
            self.out = spares[spare_count]
            room = room_of(self.out)
            if need <= room:
                return 0
        room = SPARE_LEAST if room == 0 else 2 * room
        if room < need:
            room = need
        larger = <uint8_t*>PyMem_Realloc(
            NULL if self.out == NULL else self.out - OUT_HEAD, room + OUT_HEAD
        )
        if larger == NULL:
            raise MemoryError(f"no memory for {size} octets to send")
        self.out = larger + OUT_HEAD
        (<Py_ssize_t*>larger)[0] = room
        return 0

    cdef int unshare(self) except -1:
        """Copy what others send too into ``out``: what follows is our own."""
        cdef bytes shared = self.shared
        cdef Py_ssize_t size = PyBytes_GET_SIZE(shared)
        self.shared = None
        self.reserve(size)
        memcpy(self.out, PyBytes_AS_STRING(shared), size)
        self.out_size = size
        return 0

    cdef int give_back(self) noexcept:
        """Let the empty ``out`` go: whoever writes next may have its memory."""
        global spare_count
        if self.out == NULL:
            return 0
        if spare_count < SPARES and room_of(self.out) <= SPARE_MOST:
            spares[spare_count] = self.out
            spare_count += 1
        else:
            PyMem_Free(self.out - OUT_HEAD)
        self.out = NULL
        return 0

    cdef int write_frame(self, uint8_t first, const uint8_t* data, Py_ssize_t size) except -1:
        """Append one frame to ``out``, or to ``large`` when it is one."""
        cdef uint8_t[14] head
        cdef Py_ssize_t head_size = write_head(head, first, size, self.client)
        cdef uint8_t* at
        cdef bytes octets
        if self.client:
            draw_masking_key(head + head_size)
            head_size += 4
        if size < LARGE_LENGTH:
            self.reserve(head_size + size)
            at = self.out + self.out_size
            self.out_size += head_size + size
        else:
            octets = PyBytes_FromStringAndSize(NULL, head_size + size)
            at = <uint8_t*>PyBytes_AS_STRING(octets)
            if self.shared is not None:
                self.unshare()
            if self.large is None:
                self.large = []
            if self.out_size:
                self.large.append(self.take_small())
            self.large.append(octets)
        memcpy(at, head, head_size)
        if self.client:
            mask_octets(at + head_size, data, size, head + head_size - 4, 0)
        else:
            memcpy(at + head_size, data, size)
        return 0

    cdef int refer_to(self, uint8_t first, bytes payload) except -1:
        """Append one unmasked frame whose payload is sent from where it is."""
        cdef uint8_t[14] head
        cdef Py_ssize_t size = write_head(head, first, PyBytes_GET_SIZE(payload), False)
        self.reserve(size)
        memcpy(self.out + self.out_size, head, size)
        self.out_size += size
        if self.large is None:
            self.large = []
        self.large.append(self.take_small())
        self.large.append(payload)
        return 0

    cdef int write_control(self, int opcode, bytes payload) except -1:
        if PyBytes_GET_SIZE(payload) > 125:
            raise ProtocolError("control frame too long")
        if self.debugging:
            self.log_frame(">", FIN | opcode, payload)
        if self.foreign:
            self.write_foreign(Frame(OPCODES[opcode], payload))
            return 0
        return self.write_frame(
            FIN | opcode, <const uint8_t*>PyBytes_AS_STRING(payload), PyBytes_GET_SIZE(payload)
        )

    cdef int write_close(self, object close, bytes payload) except -1:
        """Send a Close frame; nothing but control frames may follow (section 5.5.1)."""
        self.write_control(CLOSE_, payload)
        self.own_closing().sent = close
        self.state = CLOSING
        return 0

    cdef int write_data(self, int opcode, bint fin, object payload, int compress) except -1:
        """Append a data frame.

        Args:
            opcode: 1 or 2 to begin a message, 0 to continue one.
            payload: str (sent as UTF-8) or contiguous bytes-like.
            compress: 1 or 0 to decide for this message, -1 to leave it to the threshold.
        """
        cdef const char* text
        cdef Py_ssize_t size
        cdef Py_buffer view
        cdef uint8_t first = opcode
        if self.foreign or self.debugging or self.deflate is not None:
            if isinstance(payload, str):
                payload = (<str>payload).encode()
            elif not isinstance(payload, bytes):
                payload = bytes(payload)
        if fin:
            first |= FIN
            counted.messages_sent += 1
        if self.debugging:
            self.log_frame(">", first, payload)
        if self.foreign:
            self.write_foreign(Frame(OPCODES[opcode], payload, bool(fin)))
            self.unfinished = not fin
            return 0
        if self.deflate is not None:
            if opcode != CONT_:
                self.sending_deflated = compress == 1 or compress < 0 and (
                    not fin or PyBytes_GET_SIZE(payload) >= self.deflate.threshold
                )
            if self.sending_deflated:
                counted.uncompressed += PyBytes_GET_SIZE(payload)
                payload = self.deflate.compress_message(payload, fin)
                counted.compressed += PyBytes_GET_SIZE(payload)
                if opcode != CONT_:
                    first |= RSV1
        if isinstance(payload, str):
            text = PyUnicode_AsUTF8AndSize(payload, &size)
            self.write_frame(first, <const uint8_t*>text, size)
        elif isinstance(payload, bytes):
            if PyBytes_GET_SIZE(payload) >= REFERRED_LENGTH and not self.client:
                self.refer_to(first, payload)
            else:
                self.write_frame(
                    first, <const uint8_t*>PyBytes_AS_STRING(payload), PyBytes_GET_SIZE(payload)
                )
        else:
            if not memoryview(payload).c_contiguous:
                payload = bytes(payload)
            PyObject_GetBuffer(payload, &view, PyBUF_SIMPLE)
            try:
                self.write_frame(first, <const uint8_t*>view.buf, view.len)
            finally:
                PyBuffer_Release(&view)
        self.unfinished = not fin
        return 0

    def write_foreign(self, frame):
        """Append a frame that passes through extensions that are not ours."""
        cdef bytes payload
        cdef uint8_t first
        for extension in self.agreed.extensions:
            frame = extension.encode(frame)
        payload = bytes(frame.data)
        first = (
            frame.fin << 7 | frame.rsv1 << 6 | frame.rsv2 << 5 | frame.rsv3 << 4 | frame.opcode
        )
        self.write_frame(
            first, <const uint8_t*>PyBytes_AS_STRING(payload), PyBytes_GET_SIZE(payload)
        )

    cdef int start_eof(self) except -1:
        """Note that nothing will follow what is in ``out``."""
        self.ended = True
        if self.debugging:
            self.terms.logger.debug("> EOF")
        return 0

    cdef list take_out(self):
        """Take the octets to send out of the machine, in order; empty when there are none."""
        cdef list octets = self.large
        self.large = None
        if self.out_size:
            if octets is None:
                return [self.take_small()]
            octets.append(self.take_small())
        return octets if octets is not None else []

    cdef bytes take_small(self):
        cdef bytes octets = PyBytes_FromStringAndSize(<char*>self.out, self.out_size)
        self.out_size = 0
        self.give_back()
        return octets

    def log_frame(self, str way, int first, payload):
        """Log a frame as it stands on the wire, before or after any extension."""
        self.terms.logger.debug(
            "%s %s",
            way,
            Frame(
                OPCODES[first & 15],
                payload,
                first & 0x80 != 0,
                first & 0x40 != 0,
                first & 0x20 != 0,
                first & 0x10 != 0,
            ),
        )


cdef class EventMachine(Machine):
    """A :class:`Machine` that collects what it reads, for programs with I/O of their own.

    Feed it with :meth:`receive_data` and :meth:`receive_eof`, after each of them send what
    :meth:`data_to_send` returns and look at :meth:`events_received`. Subclasses define the opening
    handshake: ``head_received(data)`` gets the octets that arrive while :attr:`state` is
    CONNECTING, ``head_eof()`` is called when they end too early.

    Args:
        side: :class:`~duologue.protocol.Side` of this end.
        state: state to begin with, OPEN unless an opening handshake comes first.
        max_size: greatest message in octets, ``None`` for no limit, or a pair
            ``(max_message_size, max_fragment_size)``. Default 1 MiB.
        logger: defaults to ``logging.getLogger("duologue.client")`` or ``"duologue.server"``.
    """

    cdef list events
    cdef bint eof_due
    cdef public object id
    cdef public object handshake_exc
    cdef dict __dict__
    cdef object __weakref__

    def __init__(self, side, *, state=State.OPEN, max_size=2**20, logger=None):
        self.client = side == Side.CLIENT
        self.raw_text = True
        if isinstance(max_size, tuple):
            self.max_message_size, self.max_fragment_size = max_size
        else:
            self.max_message_size = max_size
        self.id = uuid.uuid4()
        if logger is None:
            logger = logging.getLogger(f"duologue.{self.side.name.lower()}")
        self.logger = logger
        self.debugging = logger.isEnabledFor(logging.DEBUG)
        self.status = state
        self.events = []

    # -- octets in

    def receive_data(self, data):
        """Take octets from the network.

        Args:
            data: bytes-like, of any length.

        Raises:
            EOFError: If :meth:`receive_eof` was called before.
        """
        cdef bytes octets
        if self.eof_rcvd:
            raise EOFError("stream ended")
        octets = data if isinstance(data, bytes) else bytes(data)
        if self.deaf:
            return
        if self.status == CONNECTING:
            self.head_received(octets)
        else:
            self.read(<const uint8_t*>PyBytes_AS_STRING(octets), PyBytes_GET_SIZE(octets))

    def receive_eof(self):
        """Take the end of the stream from the network; further calls change nothing."""
        if self.eof_rcvd:
            return
        self.eof_rcvd = True
        if self.debugging:
            self.terms.logger.debug("< EOF")
        if self.status == CONNECTING:
            if not self.deaf:
                self.head_eof()
        else:
            if not self.deaf:
                self.own_closing().exc = EOFError("unexpected end of stream")
                self.fail(CloseCode.ABNORMAL_CLOSURE)
            if not self.ended:
                self.start_eof()
        self.state = CLOSED

    def events_received(self):
        """Return the events read since the last call: Request, Response or Frame objects."""
        events, self.events = self.events, []
        return events

    def add_event(self, event):
        """Append an event; for the opening handshake, which subclasses define."""
        self.events.append(event)

    def ignore_input(self):
        """Read no more; for an opening handshake that failed."""
        self.deaf = True

    # -- octets out

    def data_to_send(self):
        """Return octets to write; an empty ``bytes`` at the end means half-close the stream."""
        cdef list octets = self.take_out()
        if self.eof_due:
            self.eof_due = False
            octets.append(b"")
        return octets

    def write(self, bytes octets):
        """Append octets that are no frame; for the opening handshake."""
        cdef Py_ssize_t size = PyBytes_GET_SIZE(octets)
        self.reserve(size)
        memcpy(self.out + self.out_size, PyBytes_AS_STRING(octets), size)
        self.out_size += size

    def send_eof(self):
        """Half-close the stream once everything written before has gone out."""
        self.start_eof()

    def close_expected(self):
        """Tell whether the TCP connection should end soon; if so, end it after a time-out."""
        if self.status == CONNECTING:
            return bool(self.ended)
        return self.status == CLOSING

    cdef int start_eof(self) except -1:
        if not self.ended:
            self.eof_due = True
        Machine.start_eof(self)
        return 0

    # -- frames out

    def check_state(self, bint control):
        """Refuse to write where RFC 6455 section 5.5.1 does."""
        if self.status == OPEN or control and self.status == CLOSING:
            return
        raise InvalidState(f"connection is {STATES[self.status].name.lower()}")

    def send_continuation(self, data, bint fin):
        """Send a continuation frame.

        Args:
            data: bytes-like payload.
            fin: whether the message ends here.

        Raises:
            ProtocolError: If no fragmented message was begun.
            InvalidState: If the connection isn't open.
        """
        if not self.unfinished:
            raise ProtocolError("unexpected continuation frame")
        self.check_state(False)
        self.write_data(CONT_, fin, data, -1)

    def send_text(self, data, bint fin=True, compress=None):
        """Send a text frame.

        Args:
            data: bytes-like UTF-8.
            fin: ``False`` to begin a fragmented message.
            compress: whether to compress this message; by default its size decides.

        Raises:
            ProtocolError: If a fragmented message was begun and not ended.
            InvalidState: If the connection isn't open.
        """
        self.begin(TEXT_, data, fin, compress)

    def send_binary(self, data, bint fin=True, compress=None):
        """Send a binary frame; arguments and errors are those of :meth:`send_text`."""
        self.begin(BINARY_, data, fin, compress)

    def begin(self, int opcode, data, bint fin, compress):
        """Send the first frame of a message."""
        if self.unfinished:
            raise ProtocolError("expected a continuation frame")
        self.check_state(False)
        self.write_data(opcode, fin, data, -1 if compress is None else bool(compress))

    def send_close(self, code=None, str reason=""):
        """Send a Close frame and start the closing handshake (section 7.1.2).

        Args:
            code: close code, or ``None`` for an empty frame.
            reason: at most 123 octets of UTF-8.

        Raises:
            ProtocolError: If the code may not be sent, or a reason comes without a code.
            InvalidState: If the connection isn't open.
        """
        self.check_state(False)
        if code is None:
            if reason:
                raise ProtocolError("cannot send a reason without a code")
            self.write_close(Close(CloseCode.NO_STATUS_RCVD, ""), b"")
        else:
            close = Close(code, reason)
            self.write_close(close, close.serialize())

    def send_ping(self, data):
        """Send a Ping frame with ``data``, at most 125 octets (section 5.5.2)."""
        self.check_state(True)
        self.write_control(PING_, bytes(data))

    def send_pong(self, data):
        """Send a Pong frame with ``data``, at most 125 octets (section 5.5.3)."""
        self.check_state(True)
        self.write_control(PONG_, bytes(data))

    def fail(self, code, str reason=""):
        """Fail the connection (section 7.1.7): send Close if that can be, and read no more.

        Args:
            code: close code to send; 1006 sends none.
            reason: at most 123 octets of UTF-8.

        Raises:
            ProtocolError: If the code may not be sent.
        """
        if self.status == OPEN and code != CloseCode.ABNORMAL_CLOSURE:
            close = Close(code, reason)
            self.write_close(close, close.serialize())
            if self.closing.rcvd is not None:
                self.own_closing().rcvd_then_sent = True
        if not self.client and not self.ended:
            self.start_eof()
        self.deaf = True

    # -- the sink

    cdef int on_data(self, int opcode, bint text, bint fin, object payload) except -1:
        self.events.append(Frame(OPCODES[opcode], payload, bool(fin)))
        return 0

    cdef int on_ping(self, bytes payload) except -1:
        self.write_control(PONG_, payload)
        self.events.append(Frame(Opcode.PING, payload))
        return 0

    cdef int on_pong(self, bytes payload) except -1:
        self.events.append(Frame(Opcode.PONG, payload))
        return 0

    cdef int on_close(self) except -1:
        self.events.append(Frame(Opcode.CLOSE, self.close_rcvd_payload()))
        return 0

    def close_rcvd_payload(self):
        """Payload of the Close frame received, as it stood on the wire."""
        if self.closing.rcvd.code == CloseCode.NO_STATUS_RCVD:
            return b""
        return self.closing.rcvd.serialize()

    cdef int on_fault(self, int code, str reason, object exc) except -1:
        self.own_closing().exc = exc
        self.fail(code, reason)
        return 0
