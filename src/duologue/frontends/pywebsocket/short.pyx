"""Short messages over a socket that blocks, which is what most connections consist of.

:class:`ShortMessages` holds the octets that were received and not read yet. It takes a message that
has come whole in one short frame, and sends one likewise, each with one call of the system.
:class:`ShortStream` tells when that is all there is to do. Whatever is otherwise they leave alone,
for the code that can deal with it: control frames, fragments, filters, failures.

The thread that calls waits in the kernel, without the interpreter's lock; no other has a part in it.
"""

import os

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize
from cpython.exc cimport PyErr_CheckSignals
from cpython.unicode cimport PyUnicode_DecodeUTF8
from libc.errno cimport EAGAIN, EINTR
from libc.stddef cimport ptrdiff_t
from libc.stdint cimport uint8_t
from libc.string cimport memcpy

from duologue.wire.octets cimport mask_octets, write_head

from duologue.frontends.pywebsocket.common import OPCODE_BINARY, OPCODE_TEXT
from duologue.frontends.pywebsocket.exceptions import InvalidUTF8Exception

cdef extern from "waiting.h" nogil:
    bint WAITS "DUOLOGUE_WAITS"
    ptrdiff_t receive "duologue_recv"(int fd, void* octets, size_t size)
    ptrdiff_t send "duologue_send"(int fd, const void* octets, size_t size)

cdef extern from "Python.h":
    const char* PyUnicode_AsUTF8AndSize(object text, Py_ssize_t* size) except NULL

cdef enum:
    # Octets of a payload that is sent from, and of a frame that is received into, the stack.
    SHORT = 4096
    LONGEST_HEAD = 4
    TEXT = 0x81
    BINARY = 0x82


cdef class ShortMessages:
    """Octets that were received, and the socket of which they came.

    A base for what does the rest. That must have ``_writing``, the lock of who writes, and three
    methods: ``_receive(size)`` waits for octets in any other way, ``_send(octets)`` sends in any
    other way, ``_took_nothing()`` makes the exception for a peer that didn't let a write go on.
    """

    cdef public bytes _rest
    cdef public Py_ssize_t _at
    cdef int _fd

    def __cinit__(self, *args, **kwargs):
        self._fd = -1
        self._rest = b""

    def _use_directly(self, int fd):
        """Says which descriptor is read and written from here on, one that blocks.

        Args:
            fd: The descriptor; -1 for none, as long as ``_receive`` has to be asked, and before
                the socket is closed.
        """
        self._fd = fd if WAITS else -1

    cdef int fill(self) except -1:
        """Wait for octets; none at the end of the connection."""
        cdef uint8_t[SHORT] octets
        cdef ptrdiff_t had = -EINTR
        cdef int fd
        if self._fd < 0:
            self._rest, self._at = self._receive(SHORT), 0
            return 0
        while had == -EINTR:
            fd = self._fd
            with nogil:
                had = receive(fd, octets, SHORT)
            if had == -EINTR:
                PyErr_CheckSignals()
        if had == -EAGAIN:
            # Another thread has just set a time until which to read.
            self._rest, self._at = self._receive(SHORT), 0
            return 0
        if had < 0:
            raise OSError(-had, os.strerror(-had))
        self._rest, self._at = PyBytes_FromStringAndSize(<char*>octets, had), 0
        return 0

    cdef object take_short(self, object max_size):
        """Wait for octets if there are none, and take a message if they begin with a short one.

        That is a whole text or binary message in one masked frame without reserved bits which has
        come in one piece. Else return None, and leave what there is. A text that isn't UTF-8 is
        taken.
        """
        cdef bytes rest, payload
        cdef const uint8_t* frame
        cdef Py_ssize_t size, have, head = 6
        if self._at == len(self._rest):
            self.fill()
        rest = self._rest
        have = len(rest) - self._at
        frame = <const uint8_t*>PyBytes_AS_STRING(rest) + self._at
        if have < head or (frame[0] != TEXT and frame[0] != BINARY) or frame[1] < 0x80:
            return None
        size = frame[1] & 0x7F
        if size > 125:
            head = 8
            if size > 126 or have < head:
                return None
            size = frame[2] << 8 | frame[3]
            if size < 126:
                # Longer than it need be, which somebody wants to know.
                return None
        if have < head + size or (max_size is not None and size > max_size):
            return None
        payload = PyBytes_FromStringAndSize(NULL, size)
        mask_octets(<uint8_t*>PyBytes_AS_STRING(payload), frame + head, size, frame + head - 4, 0)
        if have == head + size:
            self._rest, self._at = b"", 0
        else:
            self._at += head + size
        if frame[0] == BINARY:
            return payload
        return PyUnicode_DecodeUTF8(PyBytes_AS_STRING(payload), size, NULL)

    cdef bint send_short(self, object message) except -1:
        """Send a message in one frame and return True; False if it isn't a short one."""
        cdef uint8_t[LONGEST_HEAD + SHORT] frame
        cdef const char* payload
        cdef Py_ssize_t size
        cdef size_t head
        cdef uint8_t first = BINARY
        if self._fd < 0:
            return False
        if type(message) is str and len(message) <= SHORT:
            first = TEXT
            try:
                payload = PyUnicode_AsUTF8AndSize(message, &size)
            except UnicodeEncodeError:
                return False
        elif type(message) is bytes:
            payload, size = PyBytes_AS_STRING(message), len(message)
        else:
            return False
        if size > SHORT:
            return False
        head = write_head(frame, first, size, 0)
        memcpy(frame + head, payload, size)
        self.send_all(frame, head + size)
        return True

    cdef int send_all(self, const uint8_t* octets, Py_ssize_t size) except -1:
        cdef ptrdiff_t sent
        cdef int fd
        while size > 0:
            fd = self._fd
            with nogil:
                sent = send(fd, octets, size)
            if sent >= 0:
                octets += sent
                size -= sent
            elif sent == -EINTR:
                PyErr_CheckSignals()
            elif sent == -EAGAIN and self._fd >= 0:
                raise self._took_nothing()
            elif sent == -EAGAIN:
                # Another thread has just set a time until which to read.
                self._send(PyBytes_FromStringAndSize(<const char*>octets, size))
                return 0
            else:
                raise OSError(-sent, os.strerror(-sent))
        return 0


cdef class ShortStream:
    """The short way through a stream; every longer one is its subclass's, :class:`Stream`.

    The subclass sets what is public here, and has ``_receive_any()`` and
    ``_send_any(message, end, binary)``.
    """

    cdef public object _request, _options, _writer, _receiving
    cdef public object _message_opcode, _last_opcode, _unreadable
    cdef ShortMessages channel

    def _take_short_way(self, channel):
        """Says of which connection short messages may be taken.

        Args:
            channel: A :class:`ShortMessages`, whose thread-safety it relies on; anything else
                has all messages go the long way.
        """
        self.channel = channel if isinstance(channel, ShortMessages) else None

    cdef object receive_short(self):
        cdef object message, options = self._options
        if (
            self.channel is None
            or self._message_opcode is not None
            or self._unreadable is not None
            or self._request.client_terminated
            or options.incoming_frame_filters
            or options.incoming_message_filters
            or not options.unmask_receive
        ):
            return None
        try:
            message = self.channel.take_short(options.max_size)
        except OSError:
            # The long way runs into it, too, and says so.
            return None
        except UnicodeDecodeError as error:
            self._last_opcode = OPCODE_TEXT
            raise InvalidUTF8Exception(error) from None
        if message is not None:
            self._last_opcode = OPCODE_TEXT if type(message) is str else OPCODE_BINARY
        return message

    def receive_message(self):
        """Waits for a message.

        Control frames that come before it are dealt with on the way: only who receives answers
        pings and the peer's Close.

        Returns:
            A text, or octets; ``None`` once the peer's Close frame has come and was answered.

        Raises:
            BadOperationException: If the peer's Close frame had come before.
            ConnectionTerminatedException: If the connection ends without one.
            InvalidFrameException: If the peer breaks the framing rules.
            UnsupportedFrameException: If a frame has a reserved bit or an unknown opcode; the next
                one can be received.
            InvalidUTF8Exception: If a text is not UTF-8.
            MessageTooBigException: If the message is over ``--max-size``.
        """
        self._receiving.acquire()
        try:
            message = self.receive_short()
            return self._receive_any() if message is None else message
        finally:
            self._receiving.release()

    def send_message(self, message, end=True, binary=False):
        """Sends a message, or a part of one; waits while the peer takes nothing.

        Args:
            message: A text, or octets if ``binary``.
            end: ``False`` if more of the message follows.
            binary: Whether the message is a binary one.

        Raises:
            BadOperationException: If a Close frame was sent, the type doesn't fit, or the message
                began with the other one.
            OSError: If the connection is gone, or the peer takes nothing any more.
        """
        if self.channel is None or bool(binary) == (type(message) is str):
            return self._send_any(message, end, binary)
        writing = self.channel._writing
        writing.acquire()
        try:
            # Asked inside: what another thread is about to send has been noted by now.
            plain = (
                not self._request.server_terminated
                and not self._options.outgoing_message_filters
                and self._writer.is_plain(end)
            )
            if plain and self.channel.send_short(message):
                return None
        finally:
            writing.release()
        return self._send_any(message, end, binary)
