from libc.stdint cimport uint8_t, uint16_t

from cpython.object cimport PyObject

from duologue.base.accounts cimport Holder
from duologue.connection.outbox cimport Outbox, Queued
from duologue.connection.prepared cimport Prepared
from duologue.connection.turn cimport Turn
from duologue.connection.wakeup cimport Wakeable
from duologue.net.link cimport Link
from duologue.net.timers cimport Deadline, Timers
from duologue.protocol.machine cimport Machine, Terms


cdef class Callbacks:
    cdef bint keep_request
    cdef object on_open
    cdef object on_message
    cdef object on_frame
    cdef object on_ping
    cdef object on_pong
    cdef object on_drain
    cdef object on_close
    cdef object on_subscription
    # Called with each connection that is closed.
    cdef object when_gone

    cdef Callbacks calling(self, object when_gone)


cdef class Common(Terms):
    cdef object settings
    cdef object loop
    cdef Turn turn
    cdef Timers timers
    cdef Py_ssize_t queue_high
    cdef Py_ssize_t queue_low
    cdef Py_ssize_t queue_octets
    cdef Py_ssize_t write_high
    # Of Settings.overflow and Limits.max_outbox.
    cdef int policy
    cdef Py_ssize_t max_outbox
    # Of Limits.message_rate and octet_rate: seconds that one takes, and that all at once may take;
    # 0 without a rate.
    cdef bint metered
    cdef double message_interval
    cdef double message_lead
    cdef double octet_interval
    cdef double octet_lead


# A ring of messages and fragments; its room is a power of two.
cdef struct Inbox:
    int room
    int head
    int count
    # Of these, how many end a message.
    int whole
    Py_ssize_t octets
    PyObject* items[1]


cdef class Assembly:
    cdef list parts
    cdef Py_ssize_t octets
    # Of the message that is being received, taken or not.
    cdef Py_ssize_t fragments


cdef class Pings:
    cdef dict waiters
    cdef double sent
    cdef double judgement
    cdef bytes data
    cdef unsigned int reads


cdef class Meter:
    # When the buckets of messages and of octets would be full again.
    cdef double messages_full
    cdef double octets_full
    cdef double last_message
    cdef object idle_timer


cdef class Ends:
    cdef object recorded
    cdef object handshake_exc
    cdef object exc
    cdef tuple pending_fault
    cdef object closed_waiter
    # What came while the rest of a turn was still to be parsed: the end of the link.
    cdef tuple loss_put_off


cdef class Connection(Machine):
    # Flags, side by side: each is one octet.
    cdef uint8_t gone
    cdef uint8_t in_batch
    cdef uint8_t parsing
    cdef uint8_t recv_busy
    cdef uint8_t answering
    cdef uint8_t streaming
    cdef uint8_t overflowing
    # METERED, DISCARDING: whether all that comes is delivered.
    cdef uint8_t sifting
    cdef uint8_t blocked
    cdef uint8_t flush_due
    cdef uint8_t eof_passed
    cdef uint8_t fragmenting
    cdef uint8_t robbed
    cdef uint8_t continuing
    cdef uint8_t end_put_off
    cdef uint8_t pong_due
    # Whether the handler runs, and is to be cancelled when the peer is gone.
    cdef public uint8_t cancellable
    # Not 0 where what is read may have lain unread since the inbox was full: 2 before it is read.
    cdef uint8_t kept_waiting
    # Round trips before the latest, the later ones first, in few octets; see shorten().
    cdef uint16_t[3] latencies

    cdef Common common
    cdef Callbacks endpoint
    cdef Link link
    cdef object request_head
    cdef object response_head
    # The key of a request that is kept without it.
    cdef uint8_t[16] nonce
    cdef object identifier
    cdef dict __dict__
    cdef object __weakref__

    cdef Inbox* inbox
    cdef Wakeable recv_waiter

    # What few connections have at a time: one object for all others each.
    cdef Assembly assembly
    cdef Outbox outbox
    cdef Ends ends
    cdef Meter meter

    # Whoever knows its topics; a Membership.
    cdef public object membership

    # The share in the process-wide accounts, while there is one.
    cdef Holder* holder

    # Keepalive; once it is closing, the deadline is the closing handshake's.
    cdef public double latency
    cdef Pings pings
    cdef Deadline deadline

    cdef Assembly own_assembly(self)
    cdef Outbox own_outbox(self)
    cdef Ends own_ends(self)
    cdef int share_request(self) except -1
    cdef int settle(self) except -1
    cdef int shed(self) except -1
    cdef int let_assembly_go(self) except -1
    cdef int drop_ring(self) noexcept
    cdef int look_at(self, double when) except -1
    cdef int drop_inbox(self) except -1
    cdef int go_on_later(self) except -1
    cdef bint drain_rest(self) except -1
    cpdef record(self, cause, str detail=*, exc=*, str limit=*, value=*)
    cdef int note(self, object ending) except -1
    cdef int note_loss(self, object exc, str what) except -1
    cdef double unread_for(self) except -1
    cdef tuple round_trips(self)
    cdef int tell_why(self) except -1
    cdef bint handler_is_told(self) except -1
    cdef int end_scope(self, bint told) except -1
    cdef int record_close(self, object cause, object close) except -1
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
    cdef int idle(self) except -1
    cdef int tell(self, object callback, object argument=*) except -1
    cdef int endpoint_failed(self) except -1
    cdef bint count_fragment(self, bytes payload, bint fin) except -1
    cdef int begin_metering(self) except -1
    cdef bint passes(self, bint whole) except -1
    cdef int charge(self, Py_ssize_t octets) except -1
    cdef int judge_idle(self) except -1
    cdef int lend(self, int opcode, bint fin, bytes payload) except -1
    cdef int deliver(self, object message) except -1
    cdef int assemble(self, bytes payload, bint text, bint fin) except -1
    cdef int answer_ping(self, bytes payload) except -1
    cdef int match_pong(self, bytes payload) except -1
    cdef int flush(self) except -1
    cdef int flush_later(self) except -1
    cdef bint overfull(self) noexcept
    cdef int pump(self) except -1
    cdef int start_failing(self) except -1
    cdef int start_closing(self) except -1
    cdef bint send_plain(self, object message) except -1
    cdef object drained(self, int policy)
    cdef object offer(self, int opcode, object message, int compress, int policy, object key)
    cdef int policy_of(self, int policy) noexcept
    cdef Queued hold_back(
        self, int opcode, bytes message, int compress, Prepared prepared, int policy, object key
    )
    cdef int overfill(self) except -1
    cdef bint offer_prepared(self, Prepared message) except -1
    cdef int write_prepared(self, Prepared message) except -1
    cdef int leave_topics(self) except -1
    cdef int note_unsent(self) except -1
    cdef int watch_codec(self) except -1
    cdef int frame(self, Queued item) except -1
    cdef int wake(self, object waiter) except -1
    cdef int finish(self) except -1
