from libc.stdint cimport uint8_t

from cpython.object cimport PyObject

from duologue.base.accounts cimport Holder
from duologue.connection.prepared cimport Prepared
from duologue.connection.turn cimport Turn
from duologue.connection.wakeup cimport Wakeup
from duologue.net.link cimport Link
from duologue.protocol.machine cimport Machine


cdef class _Queued:
    cdef int opcode
    cdef int compress
    cdef bytes message
    cdef Prepared prepared
    cdef int fate
    cdef bint awaited
    cdef object sent
    cdef object exc


cdef class Callbacks:
    cdef bint keep_request
    cdef object on_open
    cdef object on_message
    cdef object on_frame
    cdef object on_ping
    cdef object on_pong
    cdef object on_drain
    cdef object on_close


cdef class Connection(Machine):
    # Flags, side by side: each is one octet.
    cdef uint8_t gone
    cdef uint8_t in_batch
    cdef uint8_t parsing
    cdef uint8_t recv_busy
    cdef uint8_t answering
    cdef uint8_t streaming
    cdef uint8_t overflowing
    cdef uint8_t discarding
    cdef uint8_t blocked
    cdef uint8_t flush_due
    cdef uint8_t eof_passed
    cdef uint8_t fragmenting
    cdef uint8_t robbed
    cdef uint8_t continuing
    cdef uint8_t end_put_off
    cdef uint8_t pong_due

    cdef Callbacks endpoint
    cdef object when_gone
    cdef readonly object settings
    cdef public object loop
    cdef Link link
    cdef object request_head
    cdef object response_head
    cdef dict __dict__
    cdef object recorded
    cdef public object handshake_exc
    cdef object identifier
    cdef object __weakref__

    # Inbox: a ring of messages and fragments; its room is a power of two.
    cdef PyObject** ring
    cdef int ring_room
    cdef int ring_head
    cdef int ring_count
    cdef int ring_whole
    cdef Py_ssize_t ring_octets
    cdef Py_ssize_t queue_high
    cdef Py_ssize_t queue_low
    cdef Py_ssize_t queue_octets
    cdef Wakeup recv_waiter
    cdef Wakeup wakeup
    cdef list assembly
    cdef Py_ssize_t assembled
    cdef Py_ssize_t fragments

    # Outbox: messages not framed yet; framed ones are in Machine.out and the link.
    cdef Py_ssize_t write_high
    cdef object queue
    cdef Py_ssize_t unawaited
    cdef Py_ssize_t waiting
    cdef Turn turn
    cdef object codec_timer
    cdef unsigned long codec_uses
    cdef dict drain_waiters
    cdef long long passed
    cdef bytes owed_pong

    # The share in the process-wide accounts, while there is one.
    cdef Holder* holder

    # What came while the rest of a turn was still to be parsed: the end of the stream, of the link.
    cdef tuple loss_put_off

    # Closing.
    cdef tuple pending_fault
    cdef object closed_waiter
    cdef public object connection_exc
    cdef object close_timer

    # Keepalive.
    cdef public double latency
    cdef dict pings
    cdef object ping_timer
    cdef double ping_sent
    cdef double judgement
    cdef bytes ping_data
    cdef unsigned int reads
    cdef unsigned int reads_at_ping
    cdef object write_timer
    cdef long long taken_then

    cdef int settle(self) except -1
    cdef int shed(self) except -1
    cdef int drop_inbox(self) except -1
    cdef int go_on_later(self) except -1
    cdef bint drain_rest(self) except -1
    cpdef record(self, cause, str detail=*, exc=*)
    cdef int received(self, const uint8_t* data, Py_ssize_t size) except -1
    cdef int stream_ended(self) except -1
    cdef int lost(self, object exc) except -1
    cdef int writable(self, bint yes) except -1
    cdef int push(self, object item, Py_ssize_t octets) except -1
    cdef int widen(self) except -1
    cdef object pop(self)
    cdef int resume(self) except -1
    cdef object take(self)
    cdef int wake_reader(self, bint at_once) except -1
    cdef bint may_wait(self) except -1
    cdef object wait(self)
    cdef int idle(self) except -1
    cdef int tell(self, object callback, object argument=*) except -1
    cdef int endpoint_failed(self) except -1
    cdef bint count_fragment(self, bytes payload, bint fin) except -1
    cdef int lend(self, int opcode, bint fin, bytes payload) except -1
    cdef int deliver(self, object message) except -1
    cdef int assemble(self, bytes payload, bint text, bint fin) except -1
    cdef int answer_ping(self, bytes payload) except -1
    cdef int match_pong(self, bytes payload) except -1
    cdef int flush(self) except -1
    cdef int flush_later(self) except -1
    cdef int pump(self) except -1
    cdef int start_failing(self) except -1
    cdef int start_closing(self) except -1
    cdef bint send_plain(self, object message) except -1
    cdef object drained(self)
    cdef object offer(self, int opcode, object message, int compress)
    cdef bint offer_prepared(self, Prepared message) except -1
    cdef int write_prepared(self, Prepared message) except -1
    cdef int bound_outbox(self) except -1
    cdef int watch_codec(self) except -1
    cdef int frame(self, _Queued item) except -1
    cdef _Queued enqueue(self, int opcode, bytes message, int compress)
    cdef int wake(self, object waiter) except -1
    cdef int finish(self) except -1
