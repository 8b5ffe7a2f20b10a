"""A link over a socket of the engine's own: plain TCP or a Unix socket, read and written in C.

One ``recv`` a readiness, into the poller's shared buffer or straight to where the owner wants a
large payload. Writing tries the socket at once, since owners write once a batch; what the kernel
does not take waits in a queue of whole objects and goes out with ``sendmsg`` when it does.

A peer that has reset the connection can't be written to, but what it sent before is still read: it
may say why. Then the owner is told of the failure.

``closed`` is never called from inside a call of the owner's: it comes from the loop, after the
descriptor was closed.

Knows nothing of HTTP or WebSocket.
"""

cimport cython

import os
import socket
import weakref
from collections import deque

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.mem cimport PyMem_Free, PyMem_Malloc
from libc.errno cimport EAGAIN, ECONNRESET, EINTR, EPIPE, errno
from libc.stdint cimport uint8_t, uint16_t, uint32_t
from libc.string cimport memcpy, memset

from duologue.base.traffic cimport counted
from duologue.net.link cimport Link
from duologue.net.poller cimport BROKEN, LEFT, READABLE, WRITABLE, Poller, poller_of

from duologue.net.silence import arrival_of_descriptor, silence_of_descriptor
from duologue.net.transport import LinkTransport


cdef extern from "sockets.h" nogil:
    enum:
        MSG_DONTWAIT
        SEND_FLAGS "DUOLOGUE_SEND_FLAGS"
        SHUT_WR
    void no_signal "duologue_no_signal"(int fd)
    struct iovec:
        void* iov_base
        size_t iov_len
    struct msghdr:
        void* msg_name
        unsigned int msg_namelen
        iovec* msg_iov
        size_t msg_iovlen
        void* msg_control
        size_t msg_controllen
        int msg_flags
    struct in_addr:
        pass
    struct in6_addr:
        pass
    struct sockaddr_storage:
        pass
    struct sockaddr_in:
        unsigned short sin_family
        uint16_t sin_port
        in_addr sin_addr
    struct sockaddr_in6:
        uint16_t sin6_port
        uint32_t sin6_flowinfo
        in6_addr sin6_addr
        uint32_t sin6_scope_id
    struct sockaddr_un:
        char[1] sun_path
    uint16_t ntohs(uint16_t number)
    uint32_t ntohl(uint32_t number)
    size_t socket_address "duologue_address"(int fd, bint of_peer, sockaddr_storage* address)
    ssize_t recv(int fd, void* buffer, size_t size, int flags)
    ssize_t send(int fd, const void* buffer, size_t size, int flags)
    ssize_t sendmsg(int fd, const msghdr* message, int flags)
    int shutdown(int fd, int how)
    int close_descriptor "close"(int fd)

cdef enum:
    BUFFER = 262144
    PIECES = 64
    # About what an object in the queue takes besides its octets.
    PIECE_COST = 64


# Beside READABLE in a link's interest: whether somebody waits for the peer to leave.
cdef enum:
    LEAVING = 0x02

# The greatest mark there is.
cdef Py_ssize_t MOST = 0xFFFFFFFF


@cython.final
@cython.freelist(16)
cdef class Backlog:
    """What the kernel has not taken yet; few links have one at a time."""


cdef class SocketLink(Link):
    """A connected socket; made by dialling or accepting.

    Args:
        loop: the event loop that serves it.
        sock: a connected, non-blocking stream socket; the link takes its descriptor over.
    """

    def __init__(self, loop, sock):
        self.start(poller_of(loop), sock.detach())

    def __cinit__(self, *args):
        self.fd = -1
        self.high = 65536

    def __dealloc__(self):
        if self.fd >= 0:
            close_descriptor(self.fd)

    @property
    def transport(self):
        """The link as an asyncio transport."""
        return LinkTransport(self)

    def is_closing(self):
        """Whether the link is closed or about to be."""
        return bool(self.gone or self.close_wanted)

    def is_reading(self):
        """Whether octets are read as they come."""
        return bool(self.interest & READABLE and not self.gone and not self.eof)

    def __repr__(self):
        return f"<SocketLink fd={self.fd} queued={self.queued()}>"

    cdef Py_ssize_t queued(self) noexcept:
        """Octets that the kernel has not taken yet."""
        return 0 if self.backlog is None else self.backlog.queued

    cdef int start(self, Poller poller, int fd) except -1:
        no_signal(fd)
        self.poller = poller
        self.fd = fd
        self.interest = READABLE
        return 0

    def begin(self):
        """Begin to read; the link must have an owner."""
        if self.owner is None and not self.gone:
            raise RuntimeError(f"{self!r} has no owner")
        if not self.gone and not self.watching:
            self.watching = True
            self.poller.watch(self.fd, self, link_ready, self.interest & READABLE)
            self.watch_for()

    # -- what the poller says

    cdef int events(self, uint32_t events) except -1:
        if events & WRITABLE and self.queued():
            self.flush()
        if events & LEFT and self.interest & LEAVING and not self.gone:
            # Once: it would be reported until the end is read.
            callback = leavers.get(self)
            self.call_when_left(None)
            if callback is not None:
                callback()
        if events & (READABLE | BROKEN) and not self.gone:
            if events & BROKEN or self.interest & READABLE:
                self.receive()
        return 0

    cdef int receive(self) except -1:
        """Receive once and hand on what came."""
        # Held: it may hand the link to another owner inside the call.
        cdef object owner = self.owner
        cdef Py_ssize_t size = 0
        cdef uint8_t* place = self.calls.space_wanted(<void*>owner, &size)
        if size < 0:
            return 0
        if place != NULL:
            return self.receive_into(owner, place, size)
        if self.poller.lent:
            # Inside a call that is still looking at the shared buffer: a nested loop runs.
            place = <uint8_t*>PyMem_Malloc(BUFFER)
            if place == NULL:
                raise MemoryError
            try:
                return self.receive_into(owner, place, BUFFER)
            finally:
                PyMem_Free(place)
        self.poller.lent = True
        try:
            return self.receive_into(owner, self.poller.buffer, BUFFER)
        finally:
            self.poller.lent = False

    cdef int receive_into(self, object owner, uint8_t* place, Py_ssize_t size) except -1:
        cdef ssize_t count = recv(self.fd, place, size, MSG_DONTWAIT)
        if count > 0:
            counted.octets_received += count
            if not self.close_wanted:
                self.calls.received(<void*>owner, place, count)
        elif count == 0:
            if not self.eof and not self.broken:
                self.eof = True
                if not self.end_wanted or self.queued():
                    self.watch_for()
                self.calls.received(<void*>owner, NULL, 0)
                self.judge_ends()
            else:
                self.drop(None)
        elif errno != EAGAIN and errno != EINTR:
            self.drop(None if self.broken else OSError(errno, os.strerror(errno)))
        return 0

    cdef int watch_for(self) except -1:
        """Tell the poller what we wait for."""
        cdef uint32_t interest = 0
        if not self.eof and self.interest & READABLE:
            interest |= READABLE
        elif self.interest & LEAVING and not self.eof:
            interest |= LEFT
        if self.queued():
            interest |= WRITABLE
        return self.poller.change(self.fd, interest) if self.watching else 0

    # -- Link

    cdef bint may_write(self) noexcept:
        return not (self.gone or self.close_wanted or self.end_wanted or self.broken)

    cdef int writing_failed(self, int number) except -1:
        """Nothing can be sent any more: read to the end what the peer sent, then drop."""
        failure = OSError(number, os.strerror(number))
        if number != EPIPE and number != ECONNRESET or self.eof or not self.watching:
            return self.drop(failure)
        self.broken = True
        dropped = self.queued()
        self.backlog = Backlog.__new__(Backlog)
        self.backlog.dropped = dropped
        self.backlog.failure = failure
        self.account(0)
        # The end is reported as an event like any other, also to a link that has paused.
        return self.watch_for()

    cdef ssize_t try_send(self, const uint8_t* octets, Py_ssize_t size) except -1:
        """Send what the kernel takes if nothing waits before it; return how much that is."""
        cdef ssize_t sent = 0
        if size == 0 or not self.may_write():
            return size
        if self.queued() == 0:
            sent = send(self.fd, octets, size, SEND_FLAGS)
            if sent < 0:
                if errno != EAGAIN and errno != EINTR:
                    self.writing_failed(errno)
                    return size
                sent = 0
            counted.octets_sent += sent
        return sent

    cdef int enqueue(self, bytes octets, Py_ssize_t offset) except -1:
        """Queue what the kernel did not take: all but ``offset`` octets."""
        if self.backlog is None:
            self.backlog = Backlog.__new__(Backlog)
            self.backlog.queue = deque()
            self.backlog.offset = offset
        self.backlog.queue.append(octets)
        self.backlog.queued += PyBytes_GET_SIZE(octets) - offset
        return 0

    cdef int write(self, bytes octets) except -1:
        cdef Py_ssize_t size = PyBytes_GET_SIZE(octets)
        cdef ssize_t sent = self.try_send(<const uint8_t*>PyBytes_AS_STRING(octets), size)
        if sent == size:
            return 0
        self.enqueue(octets, sent)
        self.watch_for()
        return self.judge_marks()

    cdef int write_memory(self, const uint8_t* octets, Py_ssize_t size) except -1:
        cdef ssize_t sent = self.try_send(octets, size)
        if sent == size:
            return 0
        self.enqueue(PyBytes_FromStringAndSize(<const char*>octets + sent, size - sent), 0)
        self.watch_for()
        return self.judge_marks()

    cdef int write_all(self, list pieces) except -1:
        cdef iovec[PIECES] vectors
        cdef ssize_t sent = 0
        cdef Py_ssize_t size
        cdef int count = 0
        cdef bytes octets
        if not self.may_write():
            return 0
        if self.queued() == 0:
            # Tried at once, as write() does, and without the queue, which most never need.
            for octets in pieces[:PIECES] if len(pieces) > PIECES else pieces:
                vectors[count].iov_base = PyBytes_AS_STRING(octets)
                vectors[count].iov_len = PyBytes_GET_SIZE(octets)
                count += 1
            sent = send_vectors(self, vectors, count)
            if not self.may_write():
                return 0
        for octets in pieces:
            size = PyBytes_GET_SIZE(octets)
            if sent >= size:
                sent -= size
            else:
                self.enqueue(octets, sent)
                sent = 0
        if self.queued() == 0:
            return 0
        self.watch_for()
        return self.judge_marks()

    cdef int flush(self) except -1:
        """Send what the kernel takes of what is queued."""
        cdef iovec[PIECES] pieces
        cdef Py_ssize_t left
        cdef ssize_t sent
        cdef int count = 0
        cdef bytes octets
        # Held: a failure drops it.
        cdef Backlog backlog = self.backlog
        for octets in backlog.queue:
            pieces[count].iov_base = PyBytes_AS_STRING(octets)
            pieces[count].iov_len = PyBytes_GET_SIZE(octets)
            count += 1
            if count == PIECES:
                break
        pieces[0].iov_base = <char*>pieces[0].iov_base + backlog.offset
        pieces[0].iov_len -= backlog.offset
        sent = send_vectors(self, pieces, count)
        if sent == 0:
            return 0
        backlog.queued -= sent
        while sent:
            left = PyBytes_GET_SIZE(backlog.queue[0]) - backlog.offset
            if sent < left:
                backlog.offset += sent
                break
            sent -= left
            backlog.offset = 0
            backlog.queue.popleft()
        if backlog.queued == 0:
            self.backlog = None
            self.watch_for()
            if self.close_wanted:
                return self.drop(None)
            if self.end_wanted:
                shutdown(self.fd, SHUT_WR)
                self.judge_ends()
        return self.judge_marks()

    cdef int judge_ends(self) except -1:
        """Close when both streams have ended; epoll would report that too, kqueue doesn't."""
        if self.eof and self.end_wanted and self.queued() == 0 and not self.gone:
            return self.drop(None)
        return 0

    cdef int judge_marks(self) except -1:
        """Tell the accounts what is queued, and the owner when it passes a mark."""
        self.account(
            0 if self.queued() == 0 else self.queued() + PIECE_COST * len(self.backlog.queue)
        )
        if not self.blocked and self.queued() > self.high:
            self.blocked = True
            if self.owner is not None:
                self.calls.writable(<void*>self.owner, False)
        elif self.blocked and self.queued() <= self.low:
            self.blocked = False
            if self.owner is not None:
                self.calls.writable(<void*>self.owner, True)
        return 0

    cdef int pause_reading(self) except -1:
        if self.interest & READABLE and not self.gone:
            self.interest &= ~READABLE
            self.watch_for()
        return 0

    cdef int resume_reading(self) except -1:
        if not self.interest & READABLE and not self.gone:
            self.interest |= READABLE
            self.watch_for()
        return 0

    cdef Py_ssize_t unsent(self) except -1:
        return self.queued()

    cdef Py_ssize_t lost_octets(self) except? -2:
        return 0 if self.backlog is None else self.backlog.dropped

    cdef object silence(self):
        if self.fd >= 0:
            return silence_of_descriptor(self.fd)
        return None if self.backlog is None else self.backlog.silence

    cdef object arrival(self):
        return None if self.fd < 0 else arrival_of_descriptor(self.fd)

    cdef int call_when_left(self, object callback) except -1:
        if self.gone:
            return 0
        if callback is None:
            self.interest &= ~LEAVING
            leavers.pop(self, None)
        else:
            self.interest |= LEAVING
            leavers[self] = callback
        return self.watch_for()

    cdef int end(self) except -1:
        if self.gone or self.end_wanted or self.close_wanted:
            return 0
        self.end_wanted = True
        if self.queued() == 0:
            shutdown(self.fd, SHUT_WR)
            return self.judge_ends()
        return 0

    cdef int close(self) except -1:
        if self.gone or self.close_wanted:
            return 0
        self.close_wanted = True
        if self.queued() == 0:
            return self.drop(None)
        self.eof = True
        return self.watch_for()

    cdef int abort(self) except -1:
        return 0 if self.gone else self.drop(None)

    cdef int drop(self, object exc) except -1:
        """Close the descriptor now and tell the owner from the loop."""
        if self.gone:
            return 0
        if self.interest & LEAVING:
            self.call_when_left(None)
        self.gone = True
        if self.broken and exc is None:
            exc = self.backlog.failure
        dropped = self.queued() + self.lost_octets()
        self.backlog = Backlog.__new__(Backlog)
        self.backlog.dropped = dropped
        self.account(0)
        if self.watching:
            self.poller.forget(self.fd)
        if exc is not None:
            self.backlog.silence = silence_of_descriptor(self.fd)
        self.backlog.names = (address_of(self.fd, False), address_of(self.fd, True))
        close_descriptor(self.fd)
        self.fd = -1
        self.poller.put_off(self, exc)
        return 0

    def _closed(self, exc):
        owner, self.owner = self.owner, None
        if owner is not None:
            self.calls.closed(<void*>owner, exc)

    def fail(self, exc):
        """Give the link up after its owner raised ``exc``."""
        self.drop(exc)

    def rename(self, sockname, peername):
        """Tell other addresses from now on: those of the connection in front of a proxy."""
        renamed[self] = (sockname, peername)

    def note_tls(self):
        """Tell "scheme" as "https" from now on: TLS ended at a proxy in front."""
        secure.add(self)

    cdef int set_write_limits(self, Py_ssize_t high, Py_ssize_t low) except -1:
        # More than 4 GiB are too much for any socket, so that is what "no limit" comes to.
        self.high = <uint32_t>min(high, MOST)
        self.low = <uint32_t>min(low, MOST)
        return self.judge_marks()

    cdef object info(self, str name):
        if name == "scheme" and secure and self in secure:
            return "https"
        if name != "peername" and name != "sockname":
            return None
        of_peer = name == "peername"
        if renamed and self in renamed:
            return renamed[self][of_peer]
        if self.fd >= 0:
            return readable(address_of(self.fd, of_peer))
        if self.backlog is None or self.backlog.names is None:
            return None
        return readable(self.backlog.names[of_peer])


# Beside the links, since few have these and each octet of a link counts: other addresses, and who
# waits for the peer to leave.
cdef object renamed = weakref.WeakKeyDictionary()
cdef object leavers = weakref.WeakKeyDictionary()
cdef object secure = weakref.WeakSet()


cdef object address_of(int fd, bint of_peer):
    """Return a socket's address as the system has it, ``None`` if there is none any more."""
    cdef sockaddr_storage found
    cdef size_t length = socket_address(fd, of_peer, &found)
    return PyBytes_FromStringAndSize(<char*>&found, length) if length else None


cdef object readable(bytes octets):
    """Return an internet or Unix address as the ``socket`` module does, ``None`` for others."""
    cdef sockaddr_storage address
    cdef const sockaddr_in* four = <const sockaddr_in*>&address
    cdef const sockaddr_in6* six = <const sockaddr_in6*>&address
    cdef const sockaddr_un* local = <const sockaddr_un*>&address
    if octets is None:
        return None
    memset(&address, 0, sizeof(address))
    memcpy(&address, PyBytes_AS_STRING(octets), PyBytes_GET_SIZE(octets))
    if four.sin_family == socket.AF_INET:
        host = PyBytes_FromStringAndSize(<const char*>&four.sin_addr, sizeof(in_addr))
        return socket.inet_ntop(socket.AF_INET, host), ntohs(four.sin_port)
    if four.sin_family == socket.AF_INET6:
        host = PyBytes_FromStringAndSize(<const char*>&six.sin6_addr, sizeof(in6_addr))
        text = socket.inet_ntop(socket.AF_INET6, host)
        return text, ntohs(six.sin6_port), ntohl(six.sin6_flowinfo), six.sin6_scope_id
    if four.sin_family == socket.AF_UNIX:
        path = octets[<const char*>local.sun_path - <const char*>&address:]
        # Linux's abstract names have any octets, and begin with a zero.
        return path if path[:1] == b"\0" else os.fsdecode(path.partition(b"\0")[0])
    return None


cdef ssize_t send_vectors(SocketLink link, iovec* vectors, int count) except -1:
    """Send what the kernel takes of them; return how much that is, 0 after a failure."""
    cdef msghdr message
    cdef ssize_t sent
    message.msg_name = NULL
    message.msg_namelen = 0
    message.msg_iov = vectors
    message.msg_iovlen = count
    message.msg_control = NULL
    message.msg_controllen = 0
    message.msg_flags = 0
    sent = sendmsg(link.fd, &message, SEND_FLAGS)
    if sent < 0:
        if errno != EAGAIN and errno != EINTR:
            link.writing_failed(errno)
        return 0
    counted.octets_sent += sent
    return sent


cdef int link_ready(void* who, uint32_t events) except -1:
    return (<SocketLink>who).events(events)
