"""Octets to TLS records and back, without any I/O.

:class:`Records` drives an :class:`ssl.SSLObject` of the application's own context through two
:class:`ssl.MemoryBIO`. That is the whole of the :mod:`ssl` module's promise, and it works wherever
the module does. A record costs about 2.7 µs that way.

``_DirectRecords`` is the same for the same object with the module taken out of the way: once the
object is made, it reads and writes with the OpenSSL functions that the object's methods would call
(``openssl.h``). Certificates, names, ALPN, callbacks and the handshake itself stay the module's, and
so do the exceptions: after a fault the object is asked for it. It is used where the interpreter
shares its OpenSSL (``libssl`` beside ``_ssl``) and an object looks as it should; else the first
serves.

Octets that were fed are borrowed until all are read or :meth:`Records.take_left` has copied the
rest. What is to be sent gathers until :meth:`Records.send`.

Knows nothing of sockets, of time, HTTP or WebSocket.
"""

import ssl

from cpython.bytes cimport PyBytes_FromStringAndSize
from cpython.memoryview cimport PyMemoryView_FromMemory
from libc.stdint cimport uint8_t
from libc.stdlib cimport free

from duologue.net.link cimport Link


cdef extern from "Python.h":
    int PyBUF_READ
    int PyBUF_WRITE

cdef extern from "openssl.h":
    ctypedef struct duologue_channel:
        const uint8_t* in_ "in"
        size_t in_size
        uint8_t* out
        size_t out_size
        size_t out_room
    int duologue_openssl_load(const char* path)
    void* duologue_ssl_of(object sslobj, object incoming, object context)
    duologue_channel* duologue_channel_open(void* session)
    void duologue_channel_leave(duologue_channel* channel)
    int duologue_ssl_read(void* session, uint8_t* place, int size)
    int duologue_ssl_write(void* session, const uint8_t* octets, int size)
    void duologue_ssl_shut(void* session)

cdef enum:
    # Octets given to a MemoryBIO at a time: it never gives memory back.
    SUPPLY = 16384
    # Octets given to one call, within a C int.
    AT_MOST = 1048576


cdef class Records:
    """One end of a TLS session, through the methods of its :class:`ssl.SSLObject`."""

    cdef int feed(self, const uint8_t* records, Py_ssize_t size) except -1:
        """Lend records to be read."""
        self.fed = records
        self.fed_size = size
        return 0

    cdef Py_ssize_t left(self) except -1:
        """Octets lent that were not looked at yet."""
        return self.fed_size + <Py_ssize_t>self.incoming.pending

    cdef bytes take_left(self):
        """Copy what was not looked at yet and give the memory back."""
        cdef bytes supplied = self.incoming.read()
        cdef bytes octets = PyBytes_FromStringAndSize(<const char*>self.fed, self.fed_size)
        self.feed(NULL, 0)
        return supplied + octets

    cdef int supply(self) except -1:
        """Hand a piece of what was lent to the MemoryBIO, which copies it."""
        cdef Py_ssize_t size = min(self.fed_size, SUPPLY)
        self.incoming.write(PyMemoryView_FromMemory(<char*>self.fed, size, PyBUF_READ))
        self.fed += size
        self.fed_size -= size
        return 0

    cdef bint handshake(self) except -1:
        """Go on with the handshake as far as what was fed lets it; return whether it is done.

        Raises:
            ssl.SSLError: If it failed; an alert for the peer may have been made.
        """
        while True:
            try:
                self.ssl_object.do_handshake()
                return True
            except ssl.SSLWantReadError:
                if not self.fed_size:
                    return False
                self.supply()

    cdef Py_ssize_t read(self, uint8_t* place, Py_ssize_t size) except -2:
        """Read the plain octets of one record at most.

        Returns:
            Their number, ENDED after the peer's close_notify, WAITS for more records.

        Raises:
            ssl.SSLError: If the peer sent what can't be; an alert may have been made.
        """
        view = PyMemoryView_FromMemory(<char*>place, size, PyBUF_WRITE)
        while True:
            if not (self.incoming.pending or self.ssl_object.pending()):
                if not self.fed_size:
                    return WAITS
                self.supply()
            try:
                return self.ssl_object.read(size, view)
            except ssl.SSLWantReadError:
                pass
            except ssl.SSLZeroReturnError:
                return ENDED

    cdef Py_ssize_t write(self, const uint8_t* octets, Py_ssize_t size) except -2:
        """Make records of ``octets``, or of the first of them.

        Returns:
            How many are in them, or WAITS if the peer has begun a new handshake.

        Raises:
            ssl.SSLError: If the session is broken.
        """
        view = PyMemoryView_FromMemory(<char*>octets, size, PyBUF_READ)
        try:
            return self.ssl_object.write(view)
        except ssl.SSLWantReadError:
            return WAITS

    cdef int shut(self) except -1:
        """Make a close_notify; what the peer has sent before its own can still be read."""
        # unwrap() looks for the peer's as well and would stumble over data.
        cdef bytes unread = self.incoming.read()
        try:
            self.ssl_object.unwrap()
        except ssl.SSLError:
            pass
        self.incoming.write(unread)
        return 0

    cdef Py_ssize_t made(self) except -1:
        """Octets of records that wait to be sent."""
        return self.outgoing.pending

    cdef int send(self, Link link) except -1:
        """Write all records that were made to a link."""
        if self.outgoing.pending:
            link.write(self.outgoing.read())
        return 0


cdef class _DirectRecords(Records):
    """The same through OpenSSL itself."""

    cdef void* session
    cdef duologue_channel* channel

    def __dealloc__(self):
        if self.channel != NULL:
            # The SSLObject may live on, and its BIO with it.
            self.channel.in_size = 0
            duologue_channel_leave(self.channel)

    cdef int feed(self, const uint8_t* records, Py_ssize_t size) except -1:
        self.channel.in_ = records
        self.channel.in_size = size
        return 0

    cdef Py_ssize_t left(self) except -1:
        return self.channel.in_size

    cdef bytes take_left(self):
        cdef bytes octets = PyBytes_FromStringAndSize(
            <const char*>self.channel.in_, self.channel.in_size
        )
        self.feed(NULL, 0)
        return octets

    cdef int fault(self) except -1:
        """Raise what went wrong, in the words of the ssl module."""
        self.ssl_object.read(1)
        raise ssl.SSLError("the TLS session is broken")

    cdef Py_ssize_t read(self, uint8_t* place, Py_ssize_t size) except -2:
        cdef int count = duologue_ssl_read(self.session, place, min(size, AT_MOST))
        if count < WAITS:
            self.fault()
        return count

    cdef Py_ssize_t write(self, const uint8_t* octets, Py_ssize_t size) except -2:
        cdef int count = duologue_ssl_write(self.session, octets, min(size, AT_MOST))
        if count < WAITS or count == ENDED:
            self.fault()
        return count

    cdef int shut(self) except -1:
        duologue_ssl_shut(self.session)
        return 0

    cdef Py_ssize_t made(self) except -1:
        return self.channel.out_size

    cdef int send(self, Link link) except -1:
        cdef uint8_t* records = self.channel.out
        cdef size_t size = self.channel.out_size
        if size:
            # Taken first: the link may call its owner, who may write.
            self.channel.out = NULL
            self.channel.out_size = self.channel.out_room = 0
            try:
                link.write_memory(records, size)
            finally:
                free(records)
        return 0


cdef bint load_openssl() except -1:
    """Find the OpenSSL that the ssl module uses, if it is one that we know."""
    import _ssl

    path = getattr(_ssl, "__file__", None)
    if path is None or not ssl.OPENSSL_VERSION.startswith("OpenSSL "):
        return False
    return ssl.OPENSSL_VERSION_INFO >= (1, 1, 1) and duologue_openssl_load(path.encode())


cdef bint loaded = load_openssl()
cdef bint direct = loaded


def set_direct(yes):
    """Choose for sessions made from now on; return whether they go to OpenSSL directly."""
    global direct
    direct = loaded and yes
    return direct


def is_direct():
    """Whether new sessions go to OpenSSL directly."""
    return direct


cdef bint is_plain(object ssl_object) except -1:
    """Whether the object reads and writes as the ssl module's own do."""
    kind = type(ssl_object)
    return all(
        getattr(kind, name) is getattr(ssl.SSLObject, name) for name in ("read", "write", "unwrap")
    )


cdef Records records_of(object context, bint server_side, object server_hostname):
    """Begin a TLS session.

    Args:
        context: :class:`ssl.SSLContext`.
        server_side: whether we are the server.
        server_hostname: name to ask for and to check, ``None`` for none.

    Raises:
        ValueError: If the context wants to check a name and there is none.
    """
    cdef Records records
    cdef _DirectRecords straight
    cdef void* found
    if not server_side and server_hostname is None and context.check_hostname:
        # wrap_bio() would check nothing then.
        raise ValueError("check_hostname requires server_hostname")
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    ssl_object = context.wrap_bio(
        incoming, outgoing, server_side=server_side, server_hostname=server_hostname
    )
    if direct and is_plain(ssl_object):
        found = duologue_ssl_of(ssl_object._sslobj, incoming, ssl_object.context)
        if found != NULL:
            straight = _DirectRecords.__new__(_DirectRecords)
            straight.channel = duologue_channel_open(found)
            if straight.channel == NULL:
                raise MemoryError
            straight.session = found
            straight.ssl_object = ssl_object
            return straight
    records = Records.__new__(Records)
    records.incoming, records.outgoing = incoming, outgoing
    records.ssl_object = ssl_object
    return records
