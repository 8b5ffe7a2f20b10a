from libc.stdint cimport uint8_t

from duologue.connection.wakeup cimport Wakeup
from duologue.net.link cimport Link
from duologue.protocol.machine cimport Machine


cdef class _Queued:
    cdef int opcode
    cdef int compress
    cdef bytes message
    cdef int fate
    cdef bint awaited
    cdef object sent
    cdef object exc


cdef class Callbacks:
    cdef object on_open
    cdef object on_message
    cdef object on_ping
    cdef object on_pong
    cdef object on_drain
    cdef object on_close


cdef class Connection(Machine):
    cdef Callbacks endpoint
    cdef object when_gone
    cdef readonly object settings
    cdef public object loop
    cdef Link link
    cdef public object request
    cdef public object response
    cdef object recorded
    cdef public object handshake_exc
    cdef object identifier
    cdef object __weakref__
    cdef bint gone
    cdef bint in_batch

    # Inbox: a ring of messages and fragments.
    cdef list ring
    cdef Py_ssize_t ring_head
    cdef Py_ssize_t ring_count
    cdef Py_ssize_t ring_octets
    cdef Py_ssize_t ring_whole
    cdef Py_ssize_t queue_high
    cdef Py_ssize_t queue_low
    cdef Py_ssize_t queue_octets
    cdef Wakeup recv_waiter
    cdef Wakeup wakeup
    cdef bint recv_busy
    cdef bint answering
    cdef bint streaming
    cdef list assembly
    cdef Py_ssize_t fragments
    cdef bint overflowing
    cdef bint discarding

    # Outbox: messages not framed yet; framed ones are in Machine.out and the link.
    cdef object queue
    cdef Py_ssize_t unawaited
    cdef bint blocked
    cdef bint flush_due
    cdef bint eof_passed
    cdef dict drain_waiters
    cdef bint fragmenting
    cdef long long passed
    cdef bytes owed_pong

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
    cdef bint pong_due
    cdef unsigned long reads
    cdef unsigned long reads_at_ping
    cdef object write_timer
    cdef long long taken_then

    cpdef record(self, cause, str detail=*, exc=*)
    cdef int received(self, const uint8_t* data, Py_ssize_t size) except -1
    cdef int stream_ended(self) except -1
    cdef int lost(self, object exc) except -1
    cdef int writable(self, bint yes) except -1
    cdef int push(self, object item, Py_ssize_t octets) except -1
    cdef object pop(self)
    cdef int resume(self) except -1
    cdef object take(self)
    cdef int wake_reader(self, bint at_once) except -1
    cdef bint may_wait(self) except -1
    cdef object wait(self)
    cdef int idle(self) except -1
    cdef int tell(self, object callback, object argument=*) except -1
    cdef bint count_fragment(self, bytes payload, bint fin) except -1
    cdef int deliver(self, object message) except -1
    cdef int assemble(self, bytes payload, bint text, bint fin) except -1
    cdef int answer_ping(self, bytes payload) except -1
    cdef int match_pong(self, bytes payload) except -1
    cdef int flush(self) except -1
    cdef int flush_later(self) except -1
    cdef int pump(self) except -1
    cdef int start_failing(self) except -1
    cdef int start_closing(self) except -1
    cdef object offer(self, int opcode, object message, int compress)
    cdef int frame(self, _Queued item) except -1
    cdef _Queued enqueue(self, int opcode, bytes message, int compress)
    cdef int wake(self, object waiter) except -1
    cdef int finish(self) except -1
