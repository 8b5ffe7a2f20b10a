"""The codec of permessage-deflate: message payloads to compressed payloads and back.

Knows DEFLATE and the four agreed parameters. Must never know how they were agreed on (that is
``permessage_deflate.py``), nor states, sides or size settings: the caller hands in the room left.

Invariants:
    * output of an inflater never passes the caller's limit by more than one octet, however little
      input it takes: the limit is handed to the inflater itself;
    * an inflater belongs to one connection and is never shared, since a crafted distance would
      read what another peer sent. Compressors without context takeover are shared, one message
      after another: each message ends with a full flush, which forgets what came before;
    * with a window of up to 4 KiB (LENT_BITS) a connection never owns a compressor: it keeps the last
      HISTORY octets that it sent, and a shared compressor is given them before each message. That
      takes less time than a compressor of its own, whose 150 KiB are not in the cache;
    * with a larger window a connection that seldom compresses owns none. The first message is
      compressed by a shared compressor, which its peer can't tell: it refers to nothing before.
      Only the second within the time after which its owner calls `release` gets a compressor of
      its own, which begins with the first in its window, and only while there are fewer than
      MAX_OWN;
    * an inflater takes up to 48 KiB. It is let go after the first message and when its owner calls
      `release`; what its peer may refer to is kept compressed (at most its window, and no more than
      was sent) and given to the next one;
    * what arrives between two calls is at an octet boundary, since every fragment is flushed.

Source: RFC 7692 sections 6 and 7.2; RFC 1951 for the blocks.
"""

cimport cython

import weakref

from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_Release, PyObject_GetBuffer
from cpython.mem cimport PyMem_Free, PyMem_Malloc
from libc.stdint cimport uint8_t
from libc.string cimport memcpy, memmove

from duologue.base.accounts cimport totals
from duologue.wire.codec cimport (
    Deflater, Inflater, codec_error, is_direct, is_wanted, new_deflater, new_inflater,
)

from duologue.base.exceptions import PayloadTooBig, ProtocolError
from duologue.base.limits import DEFAULT_LIMITS
from duologue.base.vocabulary import CTRL_OPCODES, Opcode
from duologue.wire.extension import Extension
from duologue.wire.frame import Frame

cdef int Z_HUFFMAN_ONLY = 2

__all__ = ["PerMessageDeflate", "check_compress_settings", "own_codecs"]

# What a sync flush ends with: the body of an empty stored block. Senders leave it out, receivers
# put it back (RFC 7692 sections 7.2.1 and 7.2.2).
cdef bytes EMPTY_BLOCK = b"\x00\x00\xff\xff"

# The smallest compressed message: the header of an empty block (RFC 7692 section 7.2.3.6).
cdef bytes EMPTY_MESSAGE = b"\x00"

# Below this many octets, joining a payload and EMPTY_BLOCK costs less than a second inflater call.
cdef Py_ssize_t JOIN_BELOW = 2048

# A final block costs its sender 2 octets and us a new inflater, a microsecond. This many keep one
# message below a few milliseconds; senders that use final blocks write one a message.
cdef int MAX_STREAMS = 1024

# Input handed to an inflater at once after the first final block: it copies what it leaves over,
# which for a payload full of final blocks would be quadratic.
cdef Py_ssize_t PIECE = 512

# Shared compressors kept for each configuration; more are only needed by threads and by messages
# sent in fragments.
cdef int MAX_IDLE = 4

# Compressors, and inflaters, that all connections of the process own at most: 150 and 48 MiB. The
# others share compressors, for less ratio, and get an inflater for each message, for a microsecond.
cdef int MAX_OWN = 1024

# Pieces of history that are joined into one.
cdef int MAX_PIECES = 16

cdef enum:
    # The largest window with which a connection keeps what it sent instead of a compressor. Larger
    # ones are asked for by those who want the ratio, and to read them again takes too long.
    LENT_BITS = 12
    # Octets that are kept then. Twice as many take 1.5 us more for each message, and save nothing
    # with messages of 1 KiB.
    HISTORY = 2048

cdef extern from "Python.h":
    Py_ssize_t PY_SSIZE_T_MAX

cdef object kinds = weakref.WeakValueDictionary()
cdef int own_encoders = 0
cdef int own_decoders = 0


def own_codecs() -> tuple:
    """Return how many compressors and inflaters connections hold now, between two messages."""
    return own_encoders, own_decoders


@cython.final
@cython.auto_pickle(False)
cdef class EncoderKind:
    """One way of compressing, with the compressors that all connections share that use it.

    A compressor is handed to one message at a time, and forgets it.
    """

    cdef Deflater make(self, bytes history):
        cdef dict settings = self.settings
        if self.window_bits > 8:
            return new_deflater(self.window_bits, settings, history)
        # zlib has no compressor with a window of 256 octets. One that never refers back fits any
        # window; 9 is the smallest it can be told.
        return new_deflater(9, {**settings, "strategy": Z_HUFFMAN_ONLY}, None)

    cdef Deflater borrow(self, const uint8_t* past, Py_ssize_t size):
        """Take a compressor for one message, which may refer to the octets at ``past``."""
        # Threads: nothing between the two lets another one run.
        cdef Deflater encoder = self.idle.pop() if self.idle else self.make(None)
        encoder.lend(past, size)
        return encoder

    cdef int give_back(self, Deflater encoder) except -1:
        if len(self.idle) < MAX_IDLE:
            self.idle.append(encoder)
        return 0

    cdef bint lends(self) except -1:
        """Whether connections keep what they sent instead of a compressor."""
        return 8 < self.window_bits <= LENT_BITS and not self.primed and is_direct()


cdef EncoderKind kind_of(int window_bits, dict settings):
    """Return the one object for a window and settings."""
    cdef EncoderKind kind
    key = (is_wanted(), window_bits, *sorted(settings.items()))
    found = kinds.get(key)
    if found is not None:
        return found
    kind = EncoderKind.__new__(EncoderKind)
    kind.window_bits = window_bits
    kind.settings = settings
    kind.idle = []
    kind.primed = "zdict" in settings
    kinds[key] = kind
    return kind


def check_compress_settings(settings) -> dict:
    """Check keyword arguments for the compressor before anything is compressed with them.

    Args:
        settings: `level` (-1 to 9), `memLevel` (1 to 9), `strategy` (0 to 4), `method` (8) and
            `zdict` (a dictionary that the peer must have too), each optional; or None.

    Returns:
        A copy of `settings`; an empty one for None.

    Raises:
        ValueError: If a name is unknown or a value is out of range.
    """
    allowed = {"level": (-1, 9), "memLevel": (1, 9), "strategy": (0, 4), "method": (8, 8)}
    settings = dict(settings or {})
    for name, value in settings.items():
        if name == "wbits":
            raise ValueError("compress_settings must not include wbits: use the max_window_bits "
                             "parameter of this side")
        if name == "zdict":
            settings[name] = bytes(settings[name])
            continue
        if name not in allowed:
            raise ValueError(f"compress_settings must not include {name!r}: only "
                             f"{', '.join(allowed)} and zdict")
        low, high = allowed[name]
        if not isinstance(value, int) or not low <= value <= high:
            raise ValueError(f"{name} in compress_settings must be an integer between {low} and "
                             f"{high}, not {value!r}")
    return settings


cdef bytes unpack(bytes packed):
    """Inflate what a connection keeps compressed while it does not need it."""
    return new_inflater(None).inflate(packed + EMPTY_BLOCK, 0)


cdef bytes without_empty_block(bytes made):
    """Return what a compressor made of a message, without what its receiver puts back."""
    # A flush may never end otherwise; were it to, the peer's window would be wrong for good.
    if not made.endswith(EMPTY_BLOCK):
        raise RuntimeError("zlib-ng did not end a flush with an empty block")
    return made[:-4]


@cython.final
@cython.auto_pickle(False)
cdef class PerMessageDeflate:
    """The permessage-deflate extension of one connection.

    "Local" is what this side sends, "remote" what it receives.

    Args:
        remote_no_context_takeover: Whether the peer starts each message with an empty window.
        local_no_context_takeover: Whether this side does.
        remote_max_window_bits: Base-two logarithm of the peer's window, 8 to 15. Inflaters always
            have the largest window, which reads every smaller one.
        local_max_window_bits: The same for this side. With 8 messages are only Huffman-coded.
        compress_settings: Keyword arguments for the compressor, without `wbits`; see
            `check_compress_settings`.
        threshold: Octets from which a message is compressed unless its sender decides otherwise.
            For whoever sends messages; `encode` compresses all frames.

    Attributes:
        name: "permessage-deflate".

    Raises:
        ValueError: If a window or a setting is out of range.
    """

    name = "permessage-deflate"

    def __cinit__(self, *args, **kwargs):
        totals.codecs += 1

    def __init__(
        self,
        bint remote_no_context_takeover,
        bint local_no_context_takeover,
        int remote_max_window_bits,
        int local_max_window_bits,
        compress_settings=None,
        *,
        Py_ssize_t threshold=DEFAULT_LIMITS.compress_threshold,
    ):
        for side, bits in ("remote", remote_max_window_bits), ("local", local_max_window_bits):
            if not 8 <= bits <= 15:
                raise ValueError(f"{side}_max_window_bits must be between 8 and 15, not {bits}")
        if threshold < 0:
            raise ValueError(f"threshold must be 0 or more, not {threshold}")
        self.remote_no_context_takeover = remote_no_context_takeover
        self.local_no_context_takeover = local_no_context_takeover
        self.remote_max_window_bits = remote_max_window_bits
        self.local_max_window_bits = local_max_window_bits
        self.kind = kind_of(local_max_window_bits, check_compress_settings(compress_settings))
        self.threshold = threshold

    def fresh(self):
        """Return another one for another connection, configured alike."""
        cdef PerMessageDeflate other = PerMessageDeflate.__new__(PerMessageDeflate)
        other.remote_no_context_takeover = self.remote_no_context_takeover
        other.local_no_context_takeover = self.local_no_context_takeover
        other.remote_max_window_bits = self.remote_max_window_bits
        other.local_max_window_bits = self.local_max_window_bits
        other.kind = self.kind
        other.threshold = self.threshold
        return other

    def __dealloc__(self):
        global own_encoders, own_decoders
        totals.codecs -= 1
        own_encoders -= self.counted_encoder
        own_decoders -= self.counted_decoder
        PyMem_Free(self.past)

    @property
    def compress_settings(self):
        """Keyword arguments for the compressor."""
        return dict(self.kind.settings)

    def __repr__(self):
        return (
            f"PerMessageDeflate("
            f"remote_no_context_takeover={self.remote_no_context_takeover}, "
            f"local_no_context_takeover={self.local_no_context_takeover}, "
            f"remote_max_window_bits={self.remote_max_window_bits}, "
            f"local_max_window_bits={self.local_max_window_bits})"
        )

    # Sending.

    cdef bytes compress_message(self, object payload, bint fin):
        """Compress one fragment of a message, or all of it.

        Args:
            payload: Contiguous bytes-like.
            fin: Whether the message ends with it.

        Returns:
            What to send as the frame's payload.
        """
        cdef bytes made
        cdef Deflater encoder
        if fin and not self.sending and not len(payload):
            return EMPTY_MESSAGE
        self.uses += 1
        if self.kind.lends():
            return self.compress_lent(payload, fin)
        encoder = self.encoder
        if not self.sending:
            self.apart = not self.wants_encoder()
        if encoder is None:
            encoder = (
                self.kind.borrow(NULL, 0) if self.apart else self.kind.make(self.sent_before())
            )
            self.said = None
        # Kept aside meanwhile: an encoder that failed half-way must not be used again.
        self.hold_encoder(None)
        forget = fin and self.apart
        made = encoder.squeeze(payload, forget)
        if forget:
            self.kind.give_back(encoder)
        else:
            self.hold_encoder(encoder)
        whole = fin and not self.sending
        self.sending = not fin
        if not fin:
            return made
        made = without_empty_block(made)
        if forget and whole and not self.local_no_context_takeover:
            self.said_packed = len(payload) <= 1 << self.local_max_window_bits
            self.said = made if self.said_packed else (
                bytes(payload[-(1 << self.local_max_window_bits):])
            )
        return made

    cdef bytes compress_lent(self, object payload, bint fin):
        """Compress one fragment, or all, with a shared compressor that is told what came before."""
        cdef Py_buffer view
        cdef Deflater encoder
        cdef bytes made, before
        cdef bint whole = fin and not self.sending
        if self.said is not None:
            before, self.said = self.sent_before(), None
            self.remember_sent(before, len(before))
        PyObject_GetBuffer(payload, &view, PyBUF_SIMPLE)
        try:
            encoder = self.kind.borrow(self.past, self.past_size)
            made = encoder.squeeze(payload, True)
            self.kind.give_back(encoder)
            self.sending = not fin
            if fin:
                made = without_empty_block(made)
            if fin and self.local_no_context_takeover:
                self.past_size = 0
            elif whole and not self.sent and view.len <= HISTORY:
                # It may be the only one: the shortest form is kept.
                self.said, self.said_packed = made, True
            else:
                self.remember_sent(<const uint8_t*>view.buf, view.len)
        finally:
            PyBuffer_Release(&view)
        self.sent = True
        return made

    cdef int remember_sent(self, const uint8_t* octets, Py_ssize_t size) except -1:
        """Keep the last HISTORY octets sent, for the shared compressor."""
        cdef Py_ssize_t kept
        if self.past == NULL:
            self.past = <uint8_t*>PyMem_Malloc(HISTORY)
            if self.past == NULL:
                raise MemoryError
        if size >= HISTORY:
            memcpy(self.past, octets + size - HISTORY, HISTORY)
            self.past_size = HISTORY
            return 0
        kept = min(self.past_size, HISTORY - size)
        memmove(self.past, self.past + self.past_size - kept, kept)
        memcpy(self.past + kept, octets, size)
        self.past_size = kept + size
        return 0

    cdef int forget_sent(self) except -1:
        """Let go of what was kept of what was sent: the next message refers to nothing before."""
        self.said = None
        self.past_size = 0
        PyMem_Free(self.past)
        self.past = NULL
        return 0

    cdef bytes sent_before(self):
        """Return the last message, if a shared compressor compressed it; ``None`` else."""
        return unpack(self.said) if self.said_packed and self.said is not None else self.said

    cdef bytes compress_apart(self, object payload):
        """Compress a whole message without history, for any connection of the same kind."""
        cdef bytes made
        cdef Deflater encoder
        if not len(payload):
            return EMPTY_MESSAGE
        encoder = self.kind.borrow(NULL, 0)
        made = encoder.squeeze(payload, True)
        self.kind.give_back(encoder)
        return without_empty_block(made)

    cdef bint may_share(self) noexcept:
        """Whether a message may be sent that this connection's compressor has not seen."""
        return not self.sending and (
            self.local_no_context_takeover or self.encoder is None and not self.kind.primed
        )

    cdef int sent_apart(self) except -1:
        """Note that a message made by `compress_apart` is sent: the peer's window has moved."""
        self.said = None
        self.past_size = 0
        return 0

    cdef bint wants_encoder(self) noexcept:
        """Whether a message that begins now gets, or has, a compressor of the connection's own."""
        if self.local_no_context_takeover:
            return False
        if self.encoder is not None or self.kind.primed or self.sent and own_encoders < MAX_OWN:
            return True
        self.sent = True
        return False

    cdef int hold_encoder(self, Deflater encoder) except -1:
        global own_encoders
        self.encoder = encoder
        own_encoders += (encoder is not None) - self.counted_encoder
        self.counted_encoder = encoder is not None
        return 0

    cdef int hold_decoder(self, Inflater decoder) except -1:
        global own_decoders
        self.decoder = decoder
        own_decoders += (decoder is not None) - self.counted_decoder
        self.counted_decoder = decoder is not None
        return 0

    # Receiving.

    cdef object inflate(self, object payload, bint fin, Py_ssize_t max_size):
        """Inflate one fragment of a message, or all of it.

        Args:
            payload: Contiguous bytes-like.
            fin: Whether the message ends with it.
            max_size: Octets that the result may have; -1 for any number.

        Returns:
            bytes: What the fragment decompresses to.

        Raises:
            PayloadTooBig: If that has more than `max_size` octets.
            ProtocolError: If the data are not DEFLATE.
        """
        cdef bytes out, more
        cdef bint alone = (
            not self.receiving and self.decoder is None and self.seen is None
            and self.packed is None
        )
        self.uses += 1
        self.receiving = True
        if not fin:
            out = self.inflate_all(payload, max_size, max_size, False)
            self.remember(out)
            return out
        if len(payload) < JOIN_BELOW:
            out = self.inflate_all(bytes(payload) + EMPTY_BLOCK, max_size, max_size, True)
        else:
            out = self.inflate_all(payload, max_size, max_size, False)
            if self.decoder is not None:
                room = max_size - len(out) if max_size >= 0 else -1
                more = self.inflate_all(EMPTY_BLOCK, room, max_size, True)
                out = out + more if more else out
        self.remember(out)
        if alone and self.seen is not None and self.decoder is not None and not self.streams:
            if not self.received and len(payload) < len(out) == self.seen_octets:
                # Nothing came before it: as it was sent it is the shortest form of the history.
                self.packed = bytes(payload)
                self.seen = None
                self.seen_octets = 0
        self.message_inflated()
        return out

    cdef int message_inflated(self) except -1:
        """Let the inflater go unless the next message is likely to follow soon."""
        self.receiving = False
        self.streams = 0
        if self.remote_no_context_takeover or not self.received or own_decoders > MAX_OWN:
            self.hold_decoder(None)
            self.received = True
        return 0

    cdef int remember(self, bytes out) except -1:
        """Keep what the peer may refer to; the inflater has it, but can't be asked for it."""
        cdef Py_ssize_t window = <Py_ssize_t>1 << self.remote_max_window_bits, size = len(out)
        if self.remote_no_context_takeover or not size:
            return 0
        if size >= window:
            self.seen = [out[size - window:]]
            self.seen_octets = window
            return 0
        if self.seen is None:
            self.seen = []
        self.seen.append(out)
        self.seen_octets += size
        while self.seen_octets - len(self.seen[0]) >= window:
            self.seen_octets -= len(self.seen[0])
            del self.seen[0]
        if len(self.seen) > MAX_PIECES:
            self.history()
        return 0

    cdef bytes history(self):
        """Return what the peer may refer to, in one piece; ``None`` for nothing."""
        cdef Py_ssize_t window = <Py_ssize_t>1 << self.remote_max_window_bits
        if self.packed is not None:
            self.seen = [unpack(self.packed)]
            self.seen_octets = len(self.seen[0])
            self.packed = None
        if self.seen is None:
            return None
        if len(self.seen) > 1 or self.seen_octets > window:
            self.seen = [b"".join(self.seen)[-window:]]
            self.seen_octets = len(self.seen[0])
        return self.seen[0]

    cdef bytes inflate_all(
        self, object data, Py_ssize_t room, Py_ssize_t max_size, bint completed
    ):
        """Inflate all of ``data`` to at most ``room`` octets; -1 for any number.

        ``completed`` says that ``data`` ends with EMPTY_BLOCK, which we added. When ``data`` ends
        with a final block, the decoder is None afterwards.
        """
        cdef bytes out = self.inflate_some(data, room, max_size)
        if not self.decoder.eof:
            return out
        # RFC 7692 section 7.2.3.4: blocks of a message may have BFINAL set. What follows such a
        # block is a stream of its own, with an empty window.
        parts = []
        rest = memoryview(self.decoder.unused)
        while True:
            parts.append(out)
            if room >= 0:
                room -= len(out)
            if self.decoder.eof:
                self.end_stream()
                # The sender should have added an empty block after its final one, which
                # EMPTY_BLOCK completes. Without it there is nothing to complete.
                if completed and rest == EMPTY_BLOCK:
                    break
                if completed and len(rest) < len(EMPTY_BLOCK):
                    raise ProtocolError("last DEFLATE block of the message is incomplete")
            if not rest:
                break
            piece = rest[:PIECE]
            out = self.inflate_some(piece, room, max_size)
            rest = rest[len(piece) - (len(self.decoder.unused) if self.decoder.eof else 0):]
        return b"".join(parts)

    cdef int end_stream(self) except -1:
        self.hold_decoder(None)
        self.streams += 1
        if self.streams > MAX_STREAMS:
            raise ProtocolError(f"message has more than {MAX_STREAMS} final DEFLATE blocks")
        return 0

    cdef bytes inflate_some(self, object data, Py_ssize_t room, Py_ssize_t max_size):
        """Inflate up to the end of ``data`` or of the stream that it belongs to."""
        cdef bytes out, history
        if self.decoder is None:
            # What follows a final block has an empty window.
            history = None if self.streams else self.history()
            self.hold_decoder(new_inflater(history))
        try:
            # One octet more than allowed tells "too big" from "just fits". 0 means no limit here.
            out = self.decoder.inflate(data, room + 1 if room >= 0 else 0)
        except codec_error() as exc:
            self.hold_decoder(None)
            raise ProtocolError("compressed message is not valid DEFLATE data") from exc
        if 0 <= room < len(out):
            self.hold_decoder(None)
            raise PayloadTooBig(None, max_size)
        return out

    # What Python code calls.

    cpdef void release(self) except *:
        """Give back the memory of codecs that can be made again without harm.

        For a connection that has been idle: the next message sent starts with an empty window,
        which any peer understands. What the peer may refer to is kept, at most its window. Nothing
        is released in the middle of a message.
        """
        if not self.sending and not self.kind.primed:
            self.hold_encoder(None)
            self.sent = False
            self.forget_sent()
        if not self.receiving:
            self.hold_decoder(None)
            self.received = False
            if self.seen is not None and not self.kind.primed:
                self.packed = self.compress_apart(self.history())
                self.seen = None
                self.seen_octets = 0

    cdef int end(self) except -1:
        """Give back everything: there will be no more messages."""
        self.hold_encoder(None)
        self.hold_decoder(None)
        self.forget_sent()
        self.packed = self.seen = None
        self.seen_octets = 0
        return 0

    cdef bint holds(self) noexcept:
        """Whether there is a codec that `release` may free."""
        return (
            self.encoder is not None or self.decoder is not None or self.said is not None
            or self.past != NULL
        )

    def encode(self, frame):
        """Compress an outgoing frame and mark the first one of its message with RSV1.

        Args:
            frame: Frame of an uncompressed message. Control frames are returned unchanged.

        Returns:
            Frame: The frame to send.
        """
        if frame.opcode in CTRL_OPCODES:
            return frame
        return Frame(
            frame.opcode,
            self.compress_message(frame.data, frame.fin),
            frame.fin,
            frame.opcode != Opcode.CONT,
            frame.rsv2,
            frame.rsv3,
        )

    def decode(self, frame, *, max_size=None):
        """Decompress an incoming frame if its message is compressed.

        Args:
            frame: Frame as received. Control frames are returned unchanged.
            max_size: Octets that the payload may have; None for any number.

        Returns:
            Frame: The frame, with RSV1 unset if it was compressed.

        Raises:
            PayloadTooBig: If the payload would have more than `max_size` octets.
            ProtocolError: If RSV1 is set in a continuation frame of a compressed message, or the
                payload is not DEFLATE data.
        """
        if frame.opcode in CTRL_OPCODES:
            return frame
        if frame.opcode != Opcode.CONT:
            self.decode_continuations = frame.rsv1 and not frame.fin
            if not frame.rsv1:
                return frame
        elif not self.decode_continuations:
            return frame
        elif frame.rsv1:
            raise ProtocolError("RSV1 bit set in continuation frame")
        elif frame.fin:
            self.decode_continuations = False
        room = -1 if max_size is None else min(max_size, PY_SSIZE_T_MAX - 1)
        payload = self.inflate(frame.data, frame.fin, room)
        return Frame(frame.opcode, payload, frame.fin, False, frame.rsv2, frame.rsv3)


Extension.register(PerMessageDeflate)
