"""Messages between a WebSocket and its program's pipes, in the usual case without a turn of the loop.

A chunk of what the program wrote becomes frames where it was read, and they go out with one write.
All messages that one read of the socket brought are one write to the program. What doesn't fit (a
client or a program that is slow) is left to the session's tasks, which wait.

Invariants: nothing is taken while anything waits to be sent, so that messages keep their order; what
is taken is bounded by one read of the pipe, what waits for the program by one message and a little.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.stdint cimport uint8_t
from libc.string cimport memchr, memcpy

from duologue.connection.connection cimport Connection
from duologue.connection.wakeup cimport Wakeable
from duologue.net.pipes cimport PipeWriter, Sink
from duologue.protocol.machine cimport OPEN

from duologue.frontends.websocketd.framing import LineTooLong


cdef extern from *:
    object decode "PyUnicode_DecodeUTF8"(const char* octets, Py_ssize_t size, const char* errors)
    const char* utf8_of "PyUnicode_AsUTF8AndSize"(object text, Py_ssize_t* size) except NULL

cdef enum:
    # Octets of messages that become one write; on the stack, which may be small.
    GATHERED = 16384


cdef class Outgoing(Sink):
    """Sends what a program writes, as far as its client takes it at once.

    Args:
        connection: the client's.
        lines: keeps what there is of an unfinished line; ``None`` if a message is whatever comes.
        form: makes a message of a line; ``None`` for text in which U+FFFD replaces what isn't
            UTF-8.
    """

    cdef Connection connection
    cdef object lines
    cdef object form
    cdef Py_ssize_t max_line

    def __init__(self, Connection connection, lines=None, form=None):
        self.connection = connection
        self.lines = lines
        self.form = form
        self.max_line = -1
        if lines is not None and lines.max_line is not None:
            self.max_line = lines.max_line

    cdef bint ready(self) except -1:
        cdef Connection connection = self.connection
        return (
            connection.status == OPEN
            and not (connection.blocked or connection.fragmenting or connection.outbox.queue)
        )

    cdef Py_ssize_t take(self, const uint8_t* data, Py_ssize_t size) except -1:
        cdef Connection connection = self.connection
        cdef bint inside = connection.in_batch
        connection.in_batch = True
        try:
            if self.lines is None:
                self.send(PyBytes_FromStringAndSize(<const char*>data, size))
                return size
            return self.take_lines(data, size)
        finally:
            connection.in_batch = inside
            if not inside:
                connection.flush()

    cdef Py_ssize_t take_lines(self, const uint8_t* data, Py_ssize_t size) except -1:
        cdef Py_ssize_t at = 0, length
        cdef const uint8_t* end
        while at < size:
            if at and not self.ready():
                return at
            end = <const uint8_t*>memchr(data + at, c"\n", size - at)
            if end == NULL or self.lines.size:
                # What the line begins or ends with is kept elsewhere.
                length = size - at if end == NULL else end + 1 - (data + at)
                for line in self.lines.feed(PyBytes_FromStringAndSize(<char*>data + at, length)):
                    self.send_line(line)
                at += length
                continue
            length = end - (data + at)
            if 0 <= self.max_line < length:
                raise LineTooLong(self.max_line)
            if length and data[at + length - 1] == c"\r":
                length -= 1
            if self.form is None:
                self.send(decode(<const char*>data + at, length, b"replace"))
            else:
                self.send_line(PyBytes_FromStringAndSize(<const char*>data + at, length))
            at = end + 1 - data
        return size

    cdef int send_line(self, bytes line) except -1:
        return self.send(
            decode(PyBytes_AS_STRING(line), PyBytes_GET_SIZE(line), b"replace")
            if self.form is None else self.form(line)
        )

    cdef int send(self, object message) except -1:
        # Not awaited: nothing waits before it, and what comes at once is a chunk.
        if (type(message) is bytes and self.lines is not None) or not (
            self.connection.send_plain(message)
        ):
            self.connection.send(message, text=self.lines is not None)
        return 0


def call_when_left(Connection connection, callback):
    """Call back once, when a client has ended its stream while nothing is read from it.

    Args:
        connection: the client's.
        callback: is called without arguments; ``None`` takes that back.
    """
    if connection.link is not None:
        connection.link.call_when_left(callback)


cdef class Incoming(Wakeable):
    """Writes what a client sends to its program, as far as that takes it at once.

    Awaiting it waits until it can't go on: a message is there that the program doesn't take whole
    (then there is a ``rest``) or that came in fragments, there is no program, or the connection is
    closed. It takes the place of a task that receives, so that none is woken for a message.

    Args:
        connection: the client's.
        gather: whether all messages that are there make one write.

    Attributes:
        program: the program's standard input; ``None`` while there is no program.
        rest: octets of messages that were taken and that the program has not got; ``None`` for
            none.
    """

    cdef Connection connection
    cdef bint gather
    cdef public PipeWriter program
    cdef public bytes rest

    def __init__(self, Connection connection, bint gather):
        self.connection = connection
        self.gather = gather
        self.waiting = True

    cdef object home(self):
        return self.connection.common.loop

    def __await__(self):
        if self.pump():
            self.connection.recv_waiter = self
            try:
                yield self.prepare()
            finally:
                if self.connection.recv_waiter is self:
                    self.connection.recv_waiter = None
            self.result()

    cdef int wake(self, bint at_once) except -1:
        if at_once and not self.settled and self.pump():
            self.connection.recv_waiter = self
            return 0
        return Wakeable.wake(self, at_once)

    cdef bint pump(self) except -1:
        """Write all messages that are there; return whether it may wait for more."""
        if self.program is None or self.rest is not None:
            return False
        message = self.connection.take()
        if message is not None:
            self.write(message)
        return self.rest is None and self.connection.may_wait()

    cpdef write(self, message, bint more=True):
        """Write a message that was received; what the program doesn't take is then ``rest``.

        Args:
            message: the message.
            more: whether to write those behind it, too.
        """
        cdef uint8_t[GATHERED] gathered
        cdef Py_ssize_t used = 0, size = 0
        cdef const char* octets
        while message is not None:
            if type(message) is str:
                octets = utf8_of(message, &size)
            else:
                octets = PyBytes_AS_STRING(<bytes?>message)
                size = PyBytes_GET_SIZE(message)
            if size >= GATHERED - used:
                self.put(gathered, used)
                used = 0
                if size >= GATHERED or self.rest is not None:
                    self.put_long(message)
                    message = self.connection.take() if more and self.rest is None else None
                    continue
            memcpy(gathered + used, octets, size)
            used += size
            if type(message) is str:
                gathered[used] = c"\n"
                used += 1
            if not self.gather:
                self.put(gathered, used)
                used = 0
            message = self.connection.take() if more and self.rest is None else None
        self.put(gathered, used)

    cdef int put(self, const uint8_t* octets, Py_ssize_t size) except -1:
        cdef Py_ssize_t taken = self.program.push(octets, size)
        if taken < size:
            self.rest = PyBytes_FromStringAndSize(<const char*>octets + taken, size - taken)
        return 0

    cdef int put_long(self, object message) except -1:
        """Write a long message, or keep one of any length behind what waits already."""
        cdef bytes octets = (<str>message).encode() + b"\n" if type(message) is str else message
        if self.rest is not None:
            self.rest += octets
            return 0
        return self.put(<const uint8_t*>PyBytes_AS_STRING(octets), PyBytes_GET_SIZE(octets))
