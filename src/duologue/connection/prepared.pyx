"""A message made ready once for any number of connections.

What a server sends has no mask (RFC 6455 section 5.1), so one frame serves all its connections. A
:class:`Prepared` makes it when the first connection asks, and its compressed forms likewise, one
for each way of compressing that was agreed on. Connections share these objects by reference. Frames
of several messages that they are sent in one turn are joined, once for all of them likewise.

Compressed forms begin with an empty window and refer to nothing outside of themselves. They suit a
connection without context takeover, and one with it that has no compressor: its peer's window may
know more than a message refers to (RFC 7692 section 7.2.3.2). A compressor that does exist counts
on what its peer has seen, so such a connection compresses by itself.

Knows frames and codecs; nothing of connections. Octets never change once they are made.
"""

cimport cython

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.stdint cimport uint8_t
from libc.string cimport memcpy

from duologue.base.accounts cimport totals
from duologue.base.traffic cimport counted
from duologue.wire.deflate cimport PerMessageDeflate
from duologue.wire.octets cimport write_head

cdef int FIN = 0x80, RSV1 = 0x40


@cython.final
@cython.auto_pickle(False)
cdef class Prepared:
    """One whole message with the frames that carry it.

    Args:
        opcode: 1 for text, 2 for binary.
        payload: UTF-8 for text.
        policy: what happens to it where the outbox is full, a number of
            :func:`~duologue.connection.policies.number_of`; -1 for what the connection has chosen.
        key: where it has to wait it replaces the message of the same key; ``None`` for none.
        subject: its key where ``"newest_per_key"`` is chosen and it has no other.

    Attributes:
        frames: how many frames were made of it so far.
    """

    def __cinit__(
        self, int opcode, bytes payload not None, int policy=-1, object key=None, object subject=None
    ):
        self.opcode = opcode
        self.payload = payload
        self.policy = policy
        self.key = key
        self.subject = subject
        self.account(PyBytes_GET_SIZE(payload))

    def __dealloc__(self):
        totals.octets -= self.held

    cdef int account(self, Py_ssize_t octets) noexcept:
        """Count what is shared once in the process-wide accounts, not for each connection."""
        self.held += octets
        totals.octets += octets
        return 0

    cdef bytes frame_for(self, PerMessageDeflate deflate):
        """Return the frame, which a server's connection sends next; ``None`` to make its own.

        Args:
            deflate: the connection's codec, or None.
        """
        if deflate is None or PyBytes_GET_SIZE(self.payload) < deflate.threshold:
            if self.plain is None:
                self.plain = self.make(FIN | self.opcode, self.payload)
            return self.plain
        if not deflate.may_share():
            return None
        deflate.sent_apart()
        if deflate.kind is not self.recent_key:
            self.recent = self.pack(deflate)
            self.recent_key = deflate.kind
        return self.recent

    def pack(self, PerMessageDeflate deflate not None):
        """Return the compressed frame that codecs like this one share, made now at the latest.

        For processes to hand each other: :meth:`unpack` takes it there.
        """
        if self.deflated is None:
            self.deflated = {}
        frame = self.deflated.get(deflate.kind)
        if frame is None:
            packed = deflate.compress_apart(self.payload)
            counted.uncompressed += len(self.payload)
            counted.compressed += len(packed)
            frame = self.make(FIN | RSV1 | self.opcode, packed)
            self.deflated[deflate.kind] = frame
        return frame

    def unpack(self, PerMessageDeflate deflate not None, bytes frame not None):
        """Note the compressed frame that :meth:`pack` made of the same message for such codecs."""
        if self.deflated is None:
            self.deflated = {}
        if deflate.kind not in self.deflated:
            self.deflated[deflate.kind] = frame
            self.account(PyBytes_GET_SIZE(frame))

    cdef bytes join(self, bytes before, bytes frame):
        """Return one of this message's frames behind what the connection sends before.

        The answer is kept for the next connection: those that are sent the same messages have the
        same before, and share this too.
        """
        if before is not self.before or frame is not self.after:
            self.joined = before + frame
            self.before = before
            self.after = frame
        return self.joined

    cdef int forget_joined(self) except -1:
        """Let go of what was joined; for the end of a broadcast."""
        self.before = self.after = self.joined = None
        return 0

    cdef bytes make(self, int first, bytes payload):
        cdef uint8_t[14] head
        cdef Py_ssize_t size = PyBytes_GET_SIZE(payload)
        cdef Py_ssize_t head_size = write_head(head, first, size, False)
        cdef bytes frame = PyBytes_FromStringAndSize(NULL, head_size + size)
        memcpy(PyBytes_AS_STRING(frame), head, head_size)
        memcpy(PyBytes_AS_STRING(frame) + head_size, PyBytes_AS_STRING(payload), size)
        self.frames += 1
        self.account(head_size + size)
        return frame
