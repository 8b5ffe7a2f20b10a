"""The codec of permessage-deflate: message payloads to compressed payloads and back.

Knows DEFLATE and the four agreed parameters. Must never know how they were agreed on (that is
``permessage_deflate.py``), nor states, sides or size settings: the caller hands in the room left.

Invariants:
    * output of an inflater never passes the caller's limit by more than one octet, however little
      input it takes: the limit is handed to the inflater itself;
    * an inflater belongs to one connection and is never shared, since a crafted distance would
      read what another peer sent. Compressors without context takeover are shared, one message
      after another: each message ends with a full flush, which forgets what came before;
    * a codec exists from its first use only. A compressor takes about 150 KiB, an inflater about
      15 KiB, more than everything else a connection owns;
    * what arrives between two calls is at an octet boundary, since every fragment is flushed.

Source: RFC 7692 sections 6 and 7.2; RFC 1951 for the blocks.
"""

cimport cython

from duologue.base.exceptions import PayloadTooBig, ProtocolError
from duologue.base.limits import DEFAULT_LIMITS
from duologue.base.vocabulary import CTRL_OPCODES, Opcode
from duologue.wire.extension import Extension
from duologue.wire.frame import Frame

__all__ = ["PerMessageDeflate", "check_compress_settings"]

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

cdef extern from "Python.h":
    Py_ssize_t PY_SSIZE_T_MAX

cdef int INFLATE_WBITS = -15

cdef object zlib_ng = None
cdef dict idle_encoders = {}


cdef int load() except -1:
    """Import the codec library, which most short-lived programs never need."""
    global zlib_ng
    if zlib_ng is None:
        from zlib_ng import zlib_ng as library
        zlib_ng = library
    return 0


cdef object new_encoder(int window_bits, dict settings):
    load()
    if window_bits == 8:
        # zlib has no compressor with a window of 256 octets. One that never refers back fits any
        # window; 9 is the smallest it can be told.
        settings = {**settings, "strategy": zlib_ng.Z_HUFFMAN_ONLY}
        window_bits = 9
    return zlib_ng.compressobj(wbits=-window_bits, **settings)


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
            continue
        if name not in allowed:
            raise ValueError(f"compress_settings must not include {name!r}: only "
                             f"{', '.join(allowed)} and zdict")
        low, high = allowed[name]
        if not isinstance(value, int) or not low <= value <= high:
            raise ValueError(f"{name} in compress_settings must be an integer between {low} and "
                             f"{high}, not {value!r}")
    return settings


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
        self.compress_settings = check_compress_settings(compress_settings)
        self.threshold = threshold
        self.encoder_key = (local_max_window_bits, *sorted(self.compress_settings.items()))

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
        cdef bytes head, tail
        if fin and not self.sending and not len(payload):
            return EMPTY_MESSAGE
        encoder = self.encoder
        if encoder is None:
            encoder = self.borrow_encoder()
        # Kept aside meanwhile: an encoder that failed half-way must not be used again.
        self.encoder = None
        forget = fin and self.local_no_context_takeover
        head = encoder.compress(payload)
        tail = encoder.flush(zlib_ng.Z_FULL_FLUSH if forget else zlib_ng.Z_SYNC_FLUSH)
        if forget:
            self.give_back_encoder(encoder)
        else:
            self.encoder = encoder
        self.sending = not fin
        if not fin:
            return head + tail if head else tail
        # A flush may never end otherwise; were it to, the peer's window would be wrong for good.
        if not tail.endswith(EMPTY_BLOCK):
            raise RuntimeError("zlib-ng did not end a flush with an empty block")
        return head + tail[:-4] if head else tail[:-4]

    cdef object borrow_encoder(self):
        if self.local_no_context_takeover:
            idle = idle_encoders.get(self.encoder_key)
            if idle:
                try:
                    return idle.pop()
                except IndexError:  # another thread was faster
                    pass
        return new_encoder(self.local_max_window_bits, self.compress_settings)

    cdef int give_back_encoder(self, object encoder) except -1:
        idle = idle_encoders.setdefault(self.encoder_key, [])
        if len(idle) < MAX_IDLE:
            idle.append(encoder)
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
        self.receiving = True
        if not fin:
            return self.inflate_all(payload, max_size, max_size, False)
        if len(payload) < JOIN_BELOW:
            out = self.inflate_all(bytes(payload) + EMPTY_BLOCK, max_size, max_size, True)
        else:
            out = self.inflate_all(payload, max_size, max_size, False)
            if self.decoder is not None:
                room = max_size - len(out) if max_size >= 0 else -1
                more = self.inflate_all(EMPTY_BLOCK, room, max_size, True)
                out = out + more if more else out
        if self.remote_no_context_takeover:
            self.decoder = None
        self.receiving = False
        self.streams = 0
        return out

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
        rest = memoryview(self.decoder.unused_data)
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
            rest = rest[len(piece) - len(self.decoder.unused_data):]
        return b"".join(parts)

    cdef int end_stream(self) except -1:
        self.decoder = None
        self.streams += 1
        if self.streams > MAX_STREAMS:
            raise ProtocolError(f"message has more than {MAX_STREAMS} final DEFLATE blocks")
        return 0

    cdef bytes inflate_some(self, object data, Py_ssize_t room, Py_ssize_t max_size):
        """Inflate up to the end of ``data`` or of the stream that it belongs to."""
        cdef bytes out
        if self.decoder is None:
            load()
            self.decoder = zlib_ng.decompressobj(wbits=INFLATE_WBITS)
        try:
            # One octet more than allowed tells "too big" from "just fits". 0 means no limit here.
            out = self.decoder.decompress(data, room + 1 if room >= 0 else 0)
        except zlib_ng.error as exc:
            self.decoder = None
            raise ProtocolError("compressed message is not valid DEFLATE data") from exc
        if 0 <= room < len(out):
            self.decoder = None
            raise PayloadTooBig(None, max_size)
        return out

    # What Python code calls.

    cpdef void release(self) except *:
        """Give back the memory of codecs that can be made again without harm.

        For a connection that has been idle: the next message sent starts with an empty window,
        which any peer understands. The inflater stays if the peer refers to earlier messages, and
        nothing is released in the middle of a message.
        """
        if not self.sending:
            self.encoder = None
        if self.remote_no_context_takeover and not self.receiving:
            self.decoder = None

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
