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

import logging
import uuid

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_Release, PyObject_GetBuffer
from cpython.mem cimport PyMem_Free, PyMem_Realloc
from cpython.unicode cimport PyUnicode_DecodeUTF8
from libc.stdint cimport uint64_t
from libc.string cimport memcpy

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

ctypedef struct Spare:
    uint8_t* octets
    Py_ssize_t room

cdef Spare[SPARES] spares
cdef int spare_count = 0

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


cdef tuple STATES = tuple(State)
cdef tuple OPCODES = tuple(
    Opcode(value) if value in Opcode._value2member_map_ else None for value in range(16)
)


cdef class Machine:
    """One end of an open connection: a reader with its sink, and a writer.

    Args:
        side: which end this is; a client masks what it sends, a server refuses what is not masked.
        max_size: greatest message in octets, or a pair (message, fragment); ``None`` for no limit.
        logger: where frames are logged at DEBUG level.
    """

    def __cinit__(self, *args, **kwargs):
        self.status = OPEN
        self.max_message = self.max_fragment = self.allowance = -1

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
        if self.debug:
            self.logger.debug("= connection is %s", STATES[self.status].name)

    @property
    def extensions(self):
        """Extensions agreed on, in the order in which outgoing frames pass them."""
        return [] if self._extensions is None else self._extensions

    @extensions.setter
    def extensions(self, value):
        # None for none: most connections have none.
        self._extensions = list(value) or None
        self.deflate = None
        self.foreign = self._extensions is not None
        if self.foreign and len(self._extensions) == 1 and (
            type(self._extensions[0]) is PerMessageDeflate
        ):
            self.deflate = self._extensions[0]
            self.foreign = False

    @property
    def max_message_size(self):
        """Greatest message in octets that is accepted; ``None`` for no limit."""
        return None if self.max_message < 0 else self.max_message

    @max_message_size.setter
    def max_message_size(self, value):
        self.max_message = -1 if value is None else value

    @property
    def max_fragment_size(self):
        """Greatest frame of a message, in octets, that is accepted; ``None`` for no limit."""
        return None if self.max_fragment < 0 else self.max_fragment

    @max_fragment_size.setter
    def max_fragment_size(self, value):
        self.max_fragment = -1 if value is None else value

    # -- closing, as the application sees it

    @property
    def close_code(self):
        """Close code of the peer (section 7.1.5), 1006 when none came, ``None`` until closed."""
        if self.status != CLOSED:
            return None
        return CloseCode.ABNORMAL_CLOSURE if self.close_rcvd is None else self.close_rcvd.code

    @property
    def close_reason(self):
        """Close reason of the peer (section 7.1.6), "" when none came, ``None`` until closed."""
        if self.status != CLOSED:
            return None
        return "" if self.close_rcvd is None else self.close_rcvd.reason

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
            self.close_rcvd is not None
            and self.close_sent is not None
            and self.close_rcvd.code in OK_CLOSE_CODES
            and self.close_sent.code in OK_CLOSE_CODES
        )
        kind = ConnectionClosedOK if fine else ConnectionClosedError
        exc = kind(self.close_rcvd, self.close_sent, self.close_rcvd_then_sent)
        exc.__cause__ = self.parser_exc
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
        if self.rest is None:
            at = self.parse(data, size)
        if at < size and not self.deaf:
            fresh = PyBytes_FromStringAndSize(<char*>data + at, size - at)
            self.rest = fresh if self.rest is None else self.rest[self.rest_at:] + fresh
            self.rest_at = 0
        return 0

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
            if self.head_have == 0:
                step = self.read_whole(data + at, size - at)
                if step:
                    at += step
                    self.allowance -= 1
                    continue
                if self.deaf:
                    break
            at += self.read_head(data + at, size - at)
        return at

    cdef int read_rest(self) except -1:
        """Read what was left over when the sink stopped, as far as it goes this time."""
        cdef bytes rest = self.rest
        cdef Py_ssize_t size
        self.stopped = False
        if rest is not None:
            size = PyBytes_GET_SIZE(rest)
            self.rest_at += self.parse(
                <const uint8_t*>PyBytes_AS_STRING(rest) + self.rest_at, size - self.rest_at
            )
            if self.rest_at == size or self.deaf:
                self.rest = None
                self.rest_at = 0
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
        if ((second & 0x80) != 0) == self.client or self.foreign or self.debug:
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
        if self.max_message >= 0 and length > self.max_message:
            return 0
        if self.max_fragment >= 0 and length > self.max_fragment:
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
        cdef Py_ssize_t taken = 0
        cdef int need
        cdef uint64_t length
        cdef int index
        while True:
            if self.head_have < 2:
                need = 2
            else:
                need = self.head[1] & 127
                need = 2 + (8 if need == 127 else 2 if need == 126 else 0)
                if not self.client:
                    need += 4
            if self.head_have == need and need > 1 and self.head_have >= 2:
                break
            if taken == size:
                return taken
            self.head[self.head_have] = data[taken]
            self.head_have += 1
            taken += 1
            if self.head_have == 2 and not self.check_first(self.head[0], self.head[1]):
                return taken
        length = self.head[1] & 127
        index = 2
        if length == 126:
            length = (<uint64_t>self.head[2] << 8) | self.head[3]
            index = 4
            if length < 126:
                self.fault_text("length not encoded minimally")
                return taken
        elif length == 127:
            length = 0
            for index in range(2, 10):
                length = (length << 8) | self.head[index]
            index = 10
            if length >> 63:
                self.fault_text("length above 2**63 - 1")
                return taken
            if length < 65536:
                self.fault_text("length not encoded minimally")
                return taken
        if not self.client:
            memcpy(self.key, self.head + index, 4)
        self.first = self.head[0]
        self.head_have = 0
        if not self.check_length(<Py_ssize_t>length):
            return taken
        self.length = <Py_ssize_t>length
        self.have = 0
        if self.length <= TRUSTED_LENGTH:
            self.payload = PyBytes_FromStringAndSize(NULL, self.length)
        else:
            self.payload = kept_for(self.length)
            if self.payload is None:
                self.payload = PyBytes_FromStringAndSize(NULL, TRUSTED_LENGTH)
        self.in_payload = True
        if self.length == 0:
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
        if self.max_message >= 0:
            room = self.max_message - self.message_size
        if self.max_fragment >= 0 and (room < 0 or self.max_fragment < room):
            room = self.max_fragment
        return room

    cdef bint check_length(self, Py_ssize_t size) except -1:
        """Judge a frame's payload length before any of it is stored."""
        cdef int opcode = self.first & 15
        cdef Py_ssize_t room = self.room_left()
        if opcode >= 8:
            self.check_text = False
            return True
        if opcode != CONT_:
            self.utf8.need = 0
        self.check_text = not self.foreign and (
            not self.first & RSV1 and opcode == TEXT_
            or opcode == CONT_ and self.message_opcode == TEXT_ and not self.message_deflated
        )
        if room >= 0 and size > room:
            self.too_big(size, room)
            return False
        return True

    cdef int too_big(self, object size, Py_ssize_t limit) except -1:
        exc = PayloadTooBig(size, limit)
        if self.message_opcode:
            exc.set_current_size(self.message_size)
        return self.fault(CloseCode.MESSAGE_TOO_BIG, str(exc), exc)

    cdef Py_ssize_t read_payload(self, const uint8_t* data, Py_ssize_t size) except -1:
        """Move payload octets to where they belong, unmasking and checking text on the way."""
        cdef Py_ssize_t step = self.length - self.have, room = PyBytes_GET_SIZE(self.payload)
        cdef Py_ssize_t wrong
        cdef uint8_t* target
        cdef int high = 1
        if step > size:
            step = size
        if self.have + step > room:
            self.grow(self.have + step)
        target = <uint8_t*>PyBytes_AS_STRING(self.payload) + self.have
        if not self.client:
            high = mask_octets(target, data, step, self.key, self.have)
        elif target != data:
            memcpy(target, data, step)
        if self.check_text and (high or self.utf8.need):
            wrong = read_utf8(&self.utf8, target, step)
            if wrong >= 0:
                self.invalid_text(self.have + wrong)
                return step
        self.have += step
        if self.have == self.length:
            self.frame_read()
        return step

    cdef uint8_t* place(self, Py_ssize_t* size) except? NULL:
        """Where the next octets belong if they are a large payload's, else NULL.

        Saves a copy: octets put there are then read with that very address.
        """
        cdef Py_ssize_t room
        if not self.in_payload or self.stopped or self.length - self.have < PLACED_LENGTH:
            return NULL
        room = PyBytes_GET_SIZE(self.payload)
        if room - self.have < PLACED_LENGTH:
            self.grow(self.have + PLACED_LENGTH)
            room = PyBytes_GET_SIZE(self.payload)
        size[0] = room - self.have
        return <uint8_t*>PyBytes_AS_STRING(self.payload) + self.have

    cdef int grow(self, Py_ssize_t need) except -1:
        """Make room for ``need`` payload octets: four times what there is, or all of it."""
        cdef Py_ssize_t room = PyBytes_GET_SIZE(self.payload) * 4
        cdef PyObject* payload
        if room < need:
            room = need
        if room > self.length:
            room = self.length
        # Nobody else has it yet, so it may grow where it is, as realloc() does.
        payload = new_reference(self.payload)
        self.payload = None
        _PyBytes_Resize(&payload, room)
        self.payload = stolen_reference(payload)
        return 0

    def invalid_text(self, Py_ssize_t at):
        """Report text that is not UTF-8 (section 8.1, close code 1007)."""
        exc = UnicodeDecodeError(
            "utf-8", bytes(self.payload[:at + 1]), at, at + 1, "invalid octet"
        )
        self.fault(
            CloseCode.INVALID_DATA,
            f"invalid UTF-8 at position {self.message_size + at}",
            exc,
        )

    cdef int frame_read(self) except -1:
        """Hand on a frame whose last octet has arrived."""
        cdef int opcode = self.first & 15
        cdef bint fin = self.first & FIN != 0
        cdef bint text
        cdef object payload = self.payload
        self.payload = None
        self.in_payload = False
        if self.length > TRUSTED_LENGTH:
            keep(payload)
        self.allowance -= 1
        if self.debug:
            self.log_frame("<", self.first, payload)
        if self.foreign:
            frame = self.decode_frame(payload)
            if frame is None:
                return 0
            opcode, fin, payload = frame.opcode, frame.fin, bytes(frame.data)
        if opcode >= 8:
            return self.control_read(opcode, payload)
        if opcode != CONT_:
            self.message_opcode = opcode
            self.message_deflated = self.deflate is not None and self.first & RSV1 != 0
        text = self.message_opcode == TEXT_
        if self.message_deflated:
            payload = self.inflate(payload, fin)
            if payload is None:
                return 0
        if text and not self.check_payload(payload, fin):
            return 0
        if fin:
            self.message_opcode = 0
            self.message_size = 0
            if text and opcode == TEXT_ and not self.raw_text:
                payload = payload.decode()
        else:
            self.message_size += PyBytes_GET_SIZE(payload)
        return self.on_data(opcode, text, fin, payload)

    cdef bint check_payload(self, object payload, bint fin) except -1:
        """Check text that could not be checked octet by octet, and the end of any text."""
        cdef Py_ssize_t wrong
        if not self.check_text:
            if self.first & 15 != CONT_:
                self.utf8.need = 0
            wrong = read_utf8(
                &self.utf8,
                <const uint8_t*>PyBytes_AS_STRING(payload),
                PyBytes_GET_SIZE(payload),
            )
            if wrong >= 0:
                self.payload = payload
                self.invalid_text(wrong)
                self.payload = None
                return False
        if fin and self.utf8.need:
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
        cdef Py_ssize_t room = self.room_left()
        frame = Frame(
            OPCODES[self.first & 15],
            payload,
            self.first & FIN != 0,
            self.first & 0x40 != 0,
            self.first & 0x20 != 0,
            self.first & 0x10 != 0,
        )
        try:
            for extension in reversed(self._extensions):
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
            close = Close.parse(payload)
        except UnicodeDecodeError as exc:
            return self.fault(
                CloseCode.INVALID_DATA, f"{exc.reason} at position {exc.start}", exc
            )
        except ProtocolError as exc:
            return self.fault(CloseCode.PROTOCOL_ERROR, str(exc), exc)
        self.close_rcvd = close
        self.deaf = True
        if self.status == CLOSING:
            self.close_rcvd_then_sent = False
        elif self.status == OPEN:
            self.close_rcvd_then_sent = True
            self.write_close(close, payload)
        # Section 7.1.1: the server closes the TCP connection first.
        if not self.client and not self.eof_sent:
            self.start_eof()
        return self.on_close()

    cdef int fault(self, int code, str reason, object exc) except -1:
        """End reading for good and tell the sink why (section 7.1.7)."""
        self.deaf = True
        self.in_payload = False
        self.payload = None
        self.rest = None
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
        room = self.out_room
        if need <= room:
            return 0
        if room == 0:
            if spare_count:
                spare_count -= 1
                self.out = spares[spare_count].octets
                room = self.out_room = spares[spare_count].room
                if need <= room:
                    return 0
            room = SPARE_LEAST // 2
        room *= 2
        if room < need:
            room = need
        larger = <uint8_t*>PyMem_Realloc(self.out, room)
        if larger == NULL:
            raise MemoryError(f"no memory for {size} octets to send")
        self.out = larger
        self.out_room = room
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
        if spare_count < SPARES and self.out_room <= SPARE_MOST:
            spares[spare_count].octets = self.out
            spares[spare_count].room = self.out_room
            spare_count += 1
        else:
            PyMem_Free(self.out)
        self.out = NULL
        self.out_room = 0
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
        if self.debug:
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
        self.close_sent = close
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
        if self.foreign or self.debug or self.deflate is not None:
            if isinstance(payload, str):
                payload = (<str>payload).encode()
            elif not isinstance(payload, bytes):
                payload = bytes(payload)
        if fin:
            first |= FIN
        if self.debug:
            self.log_frame(">", first, payload)
        if self.foreign:
            self.write_foreign(Frame(OPCODES[opcode], payload, bool(fin)))
            self.expect_continuation_frame = not fin
            return 0
        if self.deflate is not None:
            if opcode != CONT_:
                self.sending_deflated = compress == 1 or compress < 0 and (
                    not fin or PyBytes_GET_SIZE(payload) >= self.deflate.threshold
                )
            if self.sending_deflated:
                payload = self.deflate.compress_message(payload, fin)
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
        self.expect_continuation_frame = not fin
        return 0

    def write_foreign(self, frame):
        """Append a frame that passes through extensions that are not ours."""
        cdef bytes payload
        cdef uint8_t first
        for extension in self._extensions:
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
        self.eof_sent = True
        if self.debug:
            self.logger.debug("> EOF")
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
        self.logger.debug(
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
        self.debug = logger.isEnabledFor(logging.DEBUG)
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
        if self.debug:
            self.logger.debug("< EOF")
        if self.status == CONNECTING:
            if not self.deaf:
                self.head_eof()
        else:
            if not self.deaf:
                self.parser_exc = EOFError("unexpected end of stream")
                self.fail(CloseCode.ABNORMAL_CLOSURE)
            if not self.eof_sent:
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
            return bool(self.eof_sent)
        return self.status == CLOSING

    cdef int start_eof(self) except -1:
        if not self.eof_sent:
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
        if not self.expect_continuation_frame:
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
        if self.expect_continuation_frame:
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
            if self.close_rcvd is not None:
                self.close_rcvd_then_sent = True
        if not self.client and not self.eof_sent:
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
        if self.close_rcvd.code == CloseCode.NO_STATUS_RCVD:
            return b""
        return self.close_rcvd.serialize()

    cdef int on_fault(self, int code, str reason, object exc) except -1:
        self.parser_exc = exc
        self.fail(code, reason)
        return 0
