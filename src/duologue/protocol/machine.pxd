from libc.stdint cimport uint8_t

from duologue.wire.deflate cimport PerMessageDeflate
from duologue.wire.octets cimport Utf8


cpdef enum:
    CONNECTING = 0
    OPEN = 1
    CLOSING = 2
    CLOSED = 3


cdef class Terms:
    # Limits; -1 stands for none.
    cdef Py_ssize_t max_message
    cdef Py_ssize_t max_fragment
    # Whether the peer may close with codes that have no meaning.
    cdef bint any_close_code
    cdef object logger

    cdef Terms copy(self)


cdef class Agreed:
    cdef list extensions
    cdef object subprotocol
    cdef object origin


cdef class Closing:
    cdef object rcvd
    cdef object sent
    cdef object rcvd_then_sent
    cdef object exc


cdef class Reading:
    # Of the frame being read.
    cdef uint8_t[14] head
    cdef uint8_t head_have
    cdef uint8_t first
    cdef uint8_t[4] key
    cdef Utf8 utf8
    cdef Py_ssize_t length
    cdef Py_ssize_t have
    cdef bytes payload
    # Octets before this frame that belong to the same message.
    cdef Py_ssize_t message_size
    # What was left over when the sink stopped.
    cdef bytes rest
    cdef Py_ssize_t rest_at


cdef class Machine:
    # Flags and other small things, side by side: each is one octet.
    cdef uint8_t client
    cdef uint8_t raw_text
    cdef uint8_t foreign
    cdef uint8_t eof_rcvd
    cdef uint8_t deaf
    cdef uint8_t stopped
    cdef uint8_t turn_over
    cdef uint8_t in_payload
    cdef uint8_t check_text
    cdef uint8_t message_deflated
    cdef uint8_t sending_deflated
    cdef uint8_t status
    # Of the message being read: 0, or the opcode of its first frame.
    cdef uint8_t message_opcode
    cdef uint8_t debugging
    cdef uint8_t ended
    cdef uint8_t unfinished

    # How many frames may still be read in this turn; below 0 for any number.
    cdef int allowance
    # How often octets came; for whoever watches whether any do.
    cdef unsigned int reads

    # What most connections have in common: one object for all of them, until one differs.
    cdef Terms terms
    # What the opening handshake agreed on.
    cdef Agreed agreed
    cdef PerMessageDeflate deflate
    # How it ends.
    cdef Closing closing
    # What is being read; None between messages.
    cdef Reading reading

    # What is to be sent. How much room ``out`` has stands before its first octet.
    cdef uint8_t* out
    cdef Py_ssize_t out_size
    cdef list large
    cdef bytes shared

    # The sink: what a reader finds is pushed into these.
    cdef int on_data(self, int opcode, bint text, bint fin, object payload) except -1
    cdef int on_ping(self, bytes payload) except -1
    cdef int on_pong(self, bytes payload) except -1
    cdef int on_close(self) except -1
    cdef int on_fault(self, int code, str reason, object exc) except -1

    cdef int begin_reading(self) except -1
    cdef int end_reading(self) except -1
    cdef bint held_up(self) noexcept
    cdef Closing own_closing(self)
    cdef Agreed own_agreed(self)
    cdef int read(self, const uint8_t* data, Py_ssize_t size) except -1
    cdef int read_rest(self) except -1
    cdef uint8_t* place(self, Py_ssize_t* size) except? NULL
    cdef Py_ssize_t parse(self, const uint8_t* data, Py_ssize_t size) except -1
    cdef Py_ssize_t read_head(self, const uint8_t* data, Py_ssize_t size) except -1
    cdef Py_ssize_t read_payload(self, const uint8_t* data, Py_ssize_t size) except -1
    cdef Py_ssize_t read_whole(self, const uint8_t* data, Py_ssize_t size) except -1
    cdef bint check_first(self, uint8_t first, uint8_t second) except -1
    cdef bint check_length(self, Py_ssize_t size) except -1
    cdef object decode(self, const uint8_t* text, Py_ssize_t length, object raw)
    cdef int frame_read(self) except -1
    cdef int control_read(self, int opcode, bytes payload) except -1
    cdef int close_read(self, bytes payload) except -1
    cdef bint check_payload(self, object payload, bint fin) except -1
    cdef int grow(self, Py_ssize_t need) except -1
    cdef Py_ssize_t room_left(self) noexcept
    cdef int fault(self, int code, str reason, object exc) except -1
    cdef int too_big(self, object size, Py_ssize_t limit) except -1

    cdef int reserve(self, Py_ssize_t size) except -1
    cdef int unshare(self) except -1
    cdef int give_back(self) noexcept
    cdef int write_frame(self, uint8_t first, const uint8_t* data, Py_ssize_t size) except -1
    cdef int refer_to(self, uint8_t first, bytes payload) except -1
    cdef int write_control(self, int opcode, bytes payload) except -1
    cdef int write_close(self, object close, bytes payload) except -1
    cdef int write_data(self, int opcode, bint fin, object payload, int compress) except -1
    cdef int start_eof(self) except -1
    cdef list take_out(self)
    cdef bytes take_small(self)
    cdef object closed_exception(self)
