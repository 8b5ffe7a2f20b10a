"""permessage-deflate: any octets as a compressed message, beside zlib; and messages there and back.

The first octet: bit 0 a small limit, bit 1 no context takeover, bits 4 to 7 how it is cut into
frames.
"""

from __future__ import annotations

import zlib
from types import EllipsisType

from duologue.base.exceptions import PayloadTooBig, ProtocolError
from duologue.wire.deflate import PerMessageDeflate
from duologue.wire.frame import Frame, Opcode

from .pieces import cut

LIMIT = 1 << 20
SMALL = 1000


def run(data: bytes) -> None:
    """Inflate the input, and send it there and back."""
    if not data:
        return
    flags, octets = data[0], data[1:]
    limit = SMALL if flags & 1 else LIMIT
    reset = bool(flags & 2)
    whole = inflate(PerMessageDeflate(reset, reset, 15, 15), [octets], limit)
    pieces = inflate(PerMessageDeflate(reset, reset, 15, 15), cut(octets, flags >> 4), limit)
    assert whole == pieces, (whole, pieces)
    expected = reference(octets, limit)
    if expected is None:
        assert whole[0] is None, whole
    elif whole[0] is not None and expected is not ...:
        assert whole[0] == expected
    there, back = PerMessageDeflate(reset, reset, 15, 15), PerMessageDeflate(reset, reset, 15, 15)
    for message in (octets, octets, octets[::-1]):
        sent = [
            there.encode(Frame(opcode, part, fin))
            for opcode, part, fin in (
                (Opcode.BINARY, message[:100], False),
                (Opcode.CONT, message[100:], True),
            )
        ]
        assert b"".join(bytes(back.decode(frame).data) for frame in sent) == message


def inflate(codec: PerMessageDeflate, parts: list[bytes], limit: int) -> list[bytes | None]:
    """What the message is, ``None`` if it is none; twice, since the second meets the first.

    A message that ends inside a block is nothing that RFC 7692 knows: what such a one leaves behind
    for the second is not compared with anybody else's.
    """
    parts = parts or [b""]
    results: list[bytes | None] = []
    for _ in range(2):
        result = b""
        try:
            for number, part in enumerate(parts):
                opcode = Opcode.CONT if number else Opcode.BINARY
                frame = Frame(opcode, part, number == len(parts) - 1, rsv1=number == 0)
                result += bytes(codec.decode(frame, max_size=limit - len(result)).data)
        except (PayloadTooBig, ProtocolError):
            return [*results, None]
        assert len(result) <= limit
        results.append(result)
    return results


def reference(octets: bytes, limit: int) -> bytes | EllipsisType | None:
    """What the standard library makes of it, ``None`` if that is nothing or too much.

    ``...`` if it stops at a final block, after which ours goes on (RFC 7692 section 7.2.3.4).
    """
    codec = zlib.decompressobj(-15)
    try:
        result = codec.decompress(octets + b"\x00\x00\xff\xff", limit + 1)
    except zlib.error:
        return None
    if codec.eof:
        return ...
    return result if len(result) <= limit else None
