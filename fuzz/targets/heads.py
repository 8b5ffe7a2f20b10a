"""HTTP heads, of requests and of responses: any octets, whole and cut.

The first octet: bit 0 a response rather than a request, bit 1 small limits, bits 4 to 7 how the
rest is cut.
"""

from __future__ import annotations

from typing import Any

from duologue.base.exceptions import InvalidHandshake
from duologue.base.limits import Limits
from duologue.wire.http11 import RequestParser, ResponseParser

from .pieces import cut

SMALL = Limits(max_line=60, max_headers=6, max_head=200, max_body=30)
LIMITS = Limits()
REFUSALS = (InvalidHandshake, ValueError, EOFError, NotImplementedError)


def run(data: bytes) -> None:
    """Read the input whole and in pieces; what was read can be written and read again."""
    if not data:
        return
    flags, octets = data[0], data[1:]
    whole = outcome(flags, [octets])
    pieces = outcome(flags, cut(octets, flags >> 4))
    assert whole == pieces, (whole, pieces)
    if whole and not isinstance(whole[0], str) and not flags & 3:
        (again, rest) = outcome(flags, [whole[0].serialize()])
        assert again.serialize() == whole[0].serialize()
        assert rest == b""


def outcome(flags: int, pieces: list[bytes]) -> Any:
    """The message and what follows it, or what was wrong, or nothing yet."""
    parser = (ResponseParser if flags & 1 else RequestParser)(SMALL if flags & 2 else LIMITS)
    for number, piece in enumerate(pieces):
        try:
            message = parser.feed(piece)
        except REFUSALS as exc:
            return (type(exc).__name__,)
        if message is not None:
            return message, bytes(parser.rest) + b"".join(pieces[number + 1 :])
    try:
        last = parser.feed_eof()
    except REFUSALS as exc:
        return (f"at the end: {type(exc).__name__}",)
    return None if last is None else (last, b"")
