"""Where links of a server arrive: ordinary handshakes are answered here, all else is passed on.

A :class:`Newcomer` owns a fresh link until its first octets. If these are an ordinary handshake
(:mod:`duologue.protocol.upgrade`) of a server without hooks, it is answered and becomes a
connection at once: no parser, no task, no timer is made for it. Whatever else comes, even half of
such a handshake, gets an :class:`~duologue.server.opening.Opening`, which knows the whole of HTTP.

:class:`Reception` is what all of them share, and it starts the connections of both ways.

Invariants: a link has an owner from its first moment on, a Newcomer, an Opening, or a connection;
``newcomers`` are in the order of their deadlines, since all have the same time; the timer is set
while there are any.

Source: RFC 6455 section 4.2.
"""

cimport cython

import asyncio
import logging

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.stdint cimport uint8_t

from duologue.net.link cimport Link, LinkCalls
from duologue.net.timers cimport Timer, Timers, timers_of
from duologue.protocol.upgrade cimport Offer, Upgrades

from duologue.connection.connection import Handling
from duologue.server.connection import ServerConnection
from duologue.server.opening import Opening

cdef int INFO = logging.INFO
cdef int DEBUG = logging.DEBUG


cdef class Reception:
    """Takes a server's links, and starts its connections.

    Args:
        server: :class:`~duologue.server.serving.Server`.
        settings: shared by its connections.
        options: :class:`~duologue.server.opening.OpeningOptions`, how they are opened.
        create_connection: makes them; those of another class than :class:`ServerConnection` may
            want to see more of their handshakes than is seen here.
        callbacks: those of the endpoint; ``None`` if the handler is a coroutine function.
    """

    cdef object server
    cdef object settings
    cdef object options
    cdef object loop
    cdef object logger
    cdef object callbacks
    cdef object all_connections
    # None if every handshake goes the general way.
    cdef Upgrades upgrades
    cdef dict newcomers
    cdef readonly set openings
    cdef Timers timers
    cdef Timer timer
    # Seconds, -1 for any time.
    cdef double timeout
    # Bound once, not once for each connection.
    cdef object forget

    def __init__(self, server, settings, options, create_connection, callbacks):
        self.server = server
        self.settings = settings
        self.options = options
        self.loop = asyncio.get_running_loop()
        self.logger = settings.logger
        self.callbacks = callbacks
        self.all_connections = server.all_connections
        self.timers = timers_of(self.loop)
        self.newcomers = {}
        self.openings = set()
        self.timeout = -1.0 if options.open_timeout is None else options.open_timeout
        self.forget = self.connection_gone
        hooks = (options.process_request, options.process_response, options.select_subprotocol)
        ordinary = hooks == (None, None, None) and not options.streaming
        if ordinary and create_connection is ServerConnection:
            self.upgrades = Upgrades(
                options.limits,
                origins=options.origins,
                extensions=options.extensions,
                subprotocols=options.subprotocols,
                server_header=options.server_header,
            )

    # -- links

    def link_opened(self, Link link not None):
        """Own a link that was just accepted."""
        cdef Newcomer newcomer = Newcomer.__new__(Newcomer)
        newcomer.reception = self
        newcomer.link = link
        if self.timeout >= 0:
            newcomer.due = self.timers.now() + self.timeout
            if not self.newcomers:
                self.expect_at(newcomer.due)
        self.newcomers[newcomer] = None
        link.own(newcomer, &CALLS)

    def newcomers_now(self):
        """Return those that have sent nothing yet."""
        return list(self.newcomers)

    def shut_down(self):
        """Close the links of all that have sent nothing yet."""
        for newcomer in list(self.newcomers):
            (<Newcomer>newcomer).link.close()
        if self.timer is not None and not self.newcomers:
            self.timer.drop()
            self.timer = None

    cdef int leave(self, Newcomer newcomer) except -1:
        """Forget a newcomer that isn't one any more."""
        self.newcomers.pop(newcomer, None)
        if not self.newcomers and self.timer is not None:
            self.timer.clear()
        return 0

    cdef int expect_at(self, double when) except -1:
        """Look for silent newcomers at ``when``."""
        if self.timer is None:
            self.timer = Timer(self.timers, self._send_away)
        return self.timer.set(when)

    def _send_away(self):
        """Close the links of those that said nothing in time: there is nothing to explain."""
        cdef Newcomer newcomer
        cdef double now = self.timers.now()
        while self.newcomers:
            newcomer = next(iter(self.newcomers))
            if newcomer.due > now:
                self.expect_at(newcomer.due)
                return
            self.leave(newcomer)
            newcomer.link.abort()

    # -- handshakes

    cdef int first_octets(self, Newcomer newcomer, const uint8_t* data, Py_ssize_t size) except -1:
        """Answer an ordinary handshake, or pass the link on; its last act as the link's owner."""
        cdef Offer offer = None
        self.leave(newcomer)
        if size and self.upgrades is not None:
            offer = self.upgrades.judge(data, size)
            if offer is not None and self.certain():
                return self.admit(newcomer.link, data, size, offer)
        opening = Opening(
            self.server, newcomer.link, self.options, newcomer.due if self.timeout >= 0 else None
        )
        self.openings.add(opening)
        newcomer.link.attach(opening)
        if size:
            opening.data_received(PyBytes_FromStringAndSize(<const char*>data, size))
        else:
            opening.eof_received()
        return 0

    cdef bint certain(self) except -1:
        """Whether nothing but the request itself speaks against its being answered here."""
        if self.upgrades.questionable and not self.options.warned_of_origin:
            return False
        # Who debugs wants to see the heads.
        return self.server.server.is_serving() and not self.logger.isEnabledFor(DEBUG)

    cdef int admit(self, Link link, const uint8_t* data, Py_ssize_t size, Offer offer) except -1:
        """Make the connection that was asked for, and answer."""
        cdef Py_ssize_t length = self.upgrades.head.size
        cdef bytes rest = PyBytes_FromStringAndSize(<const char*>data + length, size - length)
        connection = ServerConnection(self.settings, self.server)
        head = PyBytes_FromStringAndSize(<const char*>data, length)
        connection.keep_shared_heads(head, offer.kept)
        if offer.deflate is not None:
            connection.extensions = offer.extensions()
        if offer.subprotocol is not None:
            connection.subprotocol = offer.subprotocol
        if self.upgrades.head.origin.size:
            connection.origin = self.upgrades.origin(data)
        link.write_memory(
            <const uint8_t*>PyBytes_AS_STRING(offer.octets), PyBytes_GET_SIZE(offer.octets)
        )
        self.start(connection, link, rest)
        return 0

    # -- connections

    cpdef start(self, connection, Link link, bytes rest):
        """Run the handler of a connection whose opening handshake succeeded."""
        self.adopt(connection, link, rest, self.callbacks, None)
        if self.callbacks is not None:
            return
        # Made in the same turn: close() must see the task before its first step. Only now, since an
        # eager task takes that step at once.
        task = self.loop.create_task(Handling(self.server, connection), name="connection handler")
        if connection in self.all_connections:
            self.all_connections[connection] = task

    cpdef adopt(self, connection, Link link, bytes rest, callbacks, task):
        """Open a connection that ``callbacks`` serve, or else the handler that runs in ``task``."""
        self.all_connections[connection] = task
        if callbacks is not None:
            connection.serve_endpoint(callbacks, self.forget)
        elif connection.settings.cancel_on_disconnect:
            connection.cancellable = True
        if self.logger.isEnabledFor(INFO):
            connection.log().info("connection open")
        connection.open(link, rest)

    def connection_gone(self, connection):
        """Forget a connection that is closed, and whose handler has ended."""
        self.all_connections.pop(connection, None)
        if connection.gone is not None:
            connection.gone()
        if self.logger.isEnabledFor(INFO):
            connection.log().info("connection closed")


@cython.final
@cython.freelist(64)
cdef class Newcomer:
    """The owner of a link on which nothing has arrived yet."""

    cdef Reception reception
    cdef Link link
    cdef double due


cdef int newcomer_received(void* owner, const uint8_t* data, Py_ssize_t size) except -1:
    cdef Newcomer newcomer = <Newcomer>owner
    return newcomer.reception.first_octets(newcomer, data, size)


cdef uint8_t* newcomer_space_wanted(void* owner, Py_ssize_t* size) except? NULL:
    return NULL


cdef int newcomer_writable(void* owner, bint yes) except -1:
    return 0


cdef int newcomer_closed(void* owner, object exc) except -1:
    cdef Newcomer newcomer = <Newcomer>owner
    return newcomer.reception.leave(newcomer)


cdef LinkCalls CALLS = LinkCalls(
    newcomer_received, newcomer_space_wanted, newcomer_writable, newcomer_closed
)
