"""The protocol of an open connection, both roles: any octets, whole and cut, beside `websockets`.

The first octet: bit 0 the role, bit 1 a small ``max_size``, bit 2 permessage-deflate, bits 4 to 7
how the rest is cut.
"""

from __future__ import annotations

from typing import Any

import websockets.frames
import websockets.protocol

from duologue.base.vocabulary import Side, State
from duologue.protocol.machine import EventMachine
from duologue.wire.deflate import PerMessageDeflate

from .pieces import cut

SMALL = 200
STRICTER = {1002, 1007, 1009}
"""What ours may say where theirs says something else: it judges earlier, at the first octet."""


def make(flags: int) -> EventMachine:
    """A machine of the role and limits that the flags say."""
    made = EventMachine(
        Side.CLIENT if flags & 1 else Side.SERVER, max_size=SMALL if flags & 2 else 100_000
    )
    if flags & 4:
        made.extensions = [PerMessageDeflate(False, False, 15, 15)]
    return made


def outcome(machine: EventMachine) -> tuple[Any, ...]:
    """All that can be seen of what a machine made of its input; not the random masking keys."""
    return (
        machine.events_received(),
        machine.close_sent and machine.close_sent.code,  # the reason may name another position
        machine.close_rcvd,
        machine.close_rcvd_then_sent,
        machine.state,
        machine.eof_sent,
        type(machine.parser_exc),
    )


def run(data: bytes) -> None:
    """Feed the input whole and in pieces, and to `websockets`."""
    if not data:
        return
    flags, octets = data[0], data[1:]
    whole = make(flags)
    whole.receive_data(octets)
    answer(whole)
    pieces = make(flags)
    for piece in cut(octets, flags >> 4):
        pieces.receive_data(piece)
    answer(pieces)
    if not flags & 4:
        compare(whole, flags, octets)
    for each in (whole, pieces):
        each.receive_eof()
    first, second = outcome(whole), outcome(pieces)
    assert first == second, (first, second)


def answer(machine: EventMachine) -> None:
    """Write something of each kind if that can be."""
    if machine.state is State.OPEN:
        machine.send_text("grüße".encode() * 30)
        machine.send_binary(b"first", fin=False)
        machine.send_ping(b"between")
        machine.send_continuation(b"last", fin=True)


def compare(ours: EventMachine, flags: int, octets: bytes) -> None:
    """What `websockets` refuses is refused; what it takes without a fault has the same messages."""
    side = websockets.protocol.CLIENT if flags & 1 else websockets.protocol.SERVER
    theirs = websockets.protocol.Protocol(side, max_size=SMALL if flags & 2 else 100_000)
    theirs.receive_data(octets)
    if str(theirs.parser_exc) == "incomplete fragmented message":
        return  # a Close frame between fragments, which section 5.4 allows
    if theirs.parser_exc is not None:
        # Ours judges a length when the masking key after it is there as well.
        further = make(flags)
        further.receive_data(octets + bytes(4))
        assert further.parser_exc is not None, theirs.parser_exc
        if theirs.close_sent is not None and ours.close_sent is not None:
            code = ours.close_sent.code
            assert code == theirs.close_sent.code or code in STRICTER, (code, theirs.close_sent)
    elif ours.parser_exc is None:
        # Events stay with ours for the comparison that follows.
        events = ours.events_received()
        for event in events:
            ours.add_event(event)
        mine = [(int(event.opcode), bytes(event.data), event.fin) for event in events]  # type: ignore[union-attr]
        others = [
            (int(event.opcode), bytes(event.data), event.fin)
            for event in theirs.events_received()
            if isinstance(event, websockets.frames.Frame)
        ]
        assert mine == others, (mine, others)
