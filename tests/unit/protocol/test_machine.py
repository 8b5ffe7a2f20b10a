"""The machine behind both roles, fed whole, octet by octet and at every split."""

from __future__ import annotations

import gc
import struct
import sys
import tracemalloc
from collections.abc import Iterator

import pytest

from duologue.base.exceptions import (
    ConnectionClosedError,
    ConnectionClosedOK,
    InvalidState,
    PayloadTooBig,
    ProtocolError,
)
from duologue.base.vocabulary import Opcode, Side, State
from duologue.protocol.machine import EventMachine
from duologue.wire.frame import Close, Frame

KEY = b"\x11\x22\x33\x44"


def frame(
    opcode: int, payload: bytes = b"", *, fin: bool = True, rsv: int = 0, mask: bool = True
) -> bytes:
    """A frame as RFC 6455 section 5.2 draws it."""
    head = bytes([fin << 7 | rsv << 4 | opcode])
    bit = 0x80 if mask else 0
    if len(payload) < 126:
        head += bytes([bit | len(payload)])
    elif len(payload) < 65536:
        head += bytes([bit | 126]) + struct.pack("!H", len(payload))
    else:
        head += bytes([bit | 127]) + struct.pack("!Q", len(payload))
    if not mask:
        return head + payload
    return head + KEY + bytes(octet ^ KEY[i % 4] for i, octet in enumerate(payload))


def ways(octets: bytes) -> Iterator[list[bytes]]:
    """Ways to feed the same octets."""
    yield [octets]
    yield [octets[i : i + 1] for i in range(len(octets))]
    if len(octets) < 300:
        for split in range(1, len(octets)):
            yield [octets[:split], octets[split:]]
    else:
        for split in (1, 2, 3, 4, 9, 10, 13, 14, 15, len(octets) // 2, len(octets) - 1):
            yield [octets[:split], octets[split:]]


def read(octets: bytes, *, side: Side = Side.SERVER, **options: object) -> EventMachine:
    """A machine that was fed ``octets``, in every way with the same outcome; the events stay."""
    outcomes = []
    for pieces in ways(octets):
        machine = EventMachine(side, **options)  # type: ignore[arg-type]
        for piece in pieces:
            machine.receive_data(piece)
        events = machine.events_received()
        sent = b"".join(machine.data_to_send()) if side is Side.SERVER else b""
        outcomes.append((events, machine.close_sent, machine.close_rcvd, machine.state, sent))
    assert all(outcome == outcomes[0] for outcome in outcomes)
    machine.seen = outcomes[0][0]  # type: ignore[attr-defined]
    return machine


def seen(machine: EventMachine) -> list[Frame]:
    return machine.seen  # type: ignore[attr-defined,no-any-return]


@pytest.mark.parametrize("size", [0, 1, 125, 126, 127, 65535, 65536, 70000])
@pytest.mark.parametrize("side", list(Side))
def test_every_length(side: Side, size: int) -> None:
    payload = bytes(i % 251 for i in range(size))
    octets = frame(2, payload, mask=side is Side.SERVER)
    if size < 66000:
        assert seen(read(octets, side=side)) == [Frame(Opcode.BINARY, payload)]
    else:
        machine = EventMachine(side)
        machine.receive_data(octets[:40000])
        machine.receive_data(octets[40000:])
        assert machine.events_received() == [Frame(Opcode.BINARY, payload)]


@pytest.mark.parametrize("text", ["", "hello", "Hellö ☃ 𝄞", "x" * 200, "é" * 200])
@pytest.mark.parametrize("side", list(Side))
def test_text(side: Side, text: str) -> None:
    octets = frame(1, text.encode(), mask=side is Side.SERVER)
    assert seen(read(octets, side=side)) == [Frame(Opcode.TEXT, text.encode())]


def test_fragments_with_control_frames_between() -> None:
    machine = read(
        frame(1, b"he", fin=False) + frame(9, b"?") + frame(0, b"l", fin=False) + frame(0, b"lo")
    )
    assert seen(machine) == [
        Frame(Opcode.TEXT, b"he", False),
        Frame(Opcode.PING, b"?"),
        Frame(Opcode.CONT, b"l", False),
        Frame(Opcode.CONT, b"lo"),
    ]


def test_character_split_over_fragments() -> None:
    octets = "€".encode()
    machine = read(
        frame(1, octets[:1], fin=False) + frame(0, octets[1:2], fin=False) + frame(0, octets[2:])
    )
    assert machine.state is State.OPEN


PROTOCOL_FAULTS = {
    "unmasked": frame(1, b"x", mask=False),
    "rsv1": frame(1, b"x", rsv=4),
    "rsv2": frame(1, b"x", rsv=2),
    "rsv3": frame(1, b"x", rsv=1),
    "rsv on control": frame(9, b"x", rsv=4),
    **{f"opcode {opcode}": frame(opcode) for opcode in (3, 4, 5, 6, 7, 11, 12, 13, 14, 15)},
    "stray continuation": frame(0, b"x"),
    "text in text": frame(1, b"x", fin=False) + frame(1, b"y"),
    "binary in text": frame(1, b"x", fin=False) + frame(2, b"y"),
    "fragmented ping": frame(9, b"x", fin=False),
    "long ping": frame(9, b"x" * 126),
    "long close": frame(8, b"\x03\xe8" + b"x" * 124),
    "126 for a short length": b"\x82\xfe\x00\x7d" + KEY + bytes(125),
    "127 for a medium length": b"\x82\xff" + struct.pack("!Q", 65535) + KEY,
    "length above 2**63": b"\x82\xff\x80" + bytes(7) + KEY,
    "one octet of close": frame(8, b"\x03"),
    "close code 1005": frame(8, struct.pack("!H", 1005)),
    "close code 999": frame(8, struct.pack("!H", 999)),
    "close code 1016": frame(8, struct.pack("!H", 1016)),
    "close code 2999": frame(8, struct.pack("!H", 2999)),
    "close code 5000": frame(8, struct.pack("!H", 5000)),
}


@pytest.mark.parametrize("name", PROTOCOL_FAULTS)
def test_protocol_faults(name: str) -> None:
    whole = frame(2, b"before")
    machine = read(whole + PROTOCOL_FAULTS[name] + frame(2, b"after"))
    assert seen(machine)[0] == Frame(Opcode.BINARY, b"before")
    assert Frame(Opcode.BINARY, b"after") not in seen(machine)
    assert machine.close_sent is not None
    assert machine.close_sent.code == 1002
    assert isinstance(machine.parser_exc, ProtocolError)
    assert machine.eof_sent


def test_client_refuses_masked_frames() -> None:
    machine = read(frame(1, b"x"), side=Side.CLIENT)
    assert machine.close_sent == Close(1002, "incorrect masking")
    assert not machine.eof_sent


TEXT_FAULTS = {
    "whole": frame(1, b"ok\xff"),
    "end within a character": frame(1, b"\xe2\x82"),
    "across fragments": frame(1, b"\xe2", fin=False) + frame(0, b"\x28"),
    "end in last fragment": frame(1, b"x", fin=False) + frame(0, b"\xe2"),
    "surrogate": frame(1, b"\xed\xa0\x80"),
    "close reason": frame(8, b"\x03\xe8\xff"),
}


@pytest.mark.parametrize("name", TEXT_FAULTS)
@pytest.mark.parametrize("side", list(Side))
def test_invalid_text(side: Side, name: str) -> None:
    machine = EventMachine(side)
    octets = TEXT_FAULTS[name]
    if side is Side.CLIENT:
        plain = bytearray()
        rest = octets
        while rest:
            size = rest[1] & 127
            body = bytes(o ^ KEY[i % 4] for i, o in enumerate(rest[6 : 6 + size]))
            plain += bytes([rest[0], size]) + body
            rest = rest[6 + size :]
        octets = bytes(plain)
    machine.receive_data(octets)
    assert machine.close_sent is not None
    assert machine.close_sent.code == 1007
    assert isinstance(machine.parser_exc, UnicodeDecodeError)


@pytest.mark.parametrize("fin", [True, False])
def test_text_is_refused_at_the_first_wrong_octet(fin: bool) -> None:
    """Even inside a frame that is far from complete (RFC 6455 section 8.1)."""
    octets = frame(1, b"a" * 9 + b"\xff" + b"a" * 90, fin=fin)
    machine = EventMachine(Side.SERVER)
    for index, octet in enumerate(octets):  # noqa: B007 - used below
        assert machine.close_sent is None
        machine.receive_data(bytes([octet]))
        if machine.close_sent is not None:
            break
    assert index == 6 + 9
    assert machine.close_sent is not None
    assert machine.close_sent.code == 1007


def test_max_size() -> None:
    assert seen(read(frame(2, b"x" * 100), max_size=100)) == [Frame(Opcode.BINARY, b"x" * 100)]
    machine = read(frame(2, b"x" * 101), max_size=100)
    assert machine.close_sent == Close(1009, "frame with 101 bytes exceeds limit of 100 bytes") or (
        machine.close_sent is not None and machine.close_sent.code == 1009
    )
    assert isinstance(machine.parser_exc, PayloadTooBig)
    assert machine.parser_exc.size == 101
    assert machine.parser_exc.max_size == 100


def test_max_size_is_judged_before_the_payload_comes() -> None:
    machine = EventMachine(Side.SERVER, max_size=2**20)
    machine.receive_data(b"\x82\xff" + struct.pack("!Q", 2**40) + KEY)
    assert machine.close_sent is not None
    assert machine.close_sent.code == 1009


def test_max_size_of_fragments_together() -> None:
    machine = read(frame(2, b"x" * 60, fin=False) + frame(0, b"x" * 41), max_size=100)
    assert isinstance(machine.parser_exc, PayloadTooBig)
    assert machine.parser_exc.current_size == 60
    assert machine.parser_exc.max_size == 100


def test_max_size_of_a_fragment() -> None:
    machine = read(frame(2, b"x" * 60, fin=False) + frame(0, b"x" * 71), max_size=(1000, 70))
    assert machine.close_sent is not None
    assert machine.close_sent.code == 1009


def test_a_huge_claim_without_limit_takes_no_memory() -> None:
    machine = EventMachine(Side.SERVER, max_size=None)
    machine.receive_data(b"\x82\xff" + struct.pack("!Q", 2**62) + KEY + b"x" * 100)
    assert machine.state is State.OPEN


def test_ping_is_answered() -> None:
    machine = read(frame(9, b"payload"))
    assert seen(machine) == [Frame(Opcode.PING, b"payload")]
    again = EventMachine(Side.SERVER)
    again.receive_data(frame(9, b"payload"))
    assert again.data_to_send() == [b"\x8a\x07payload"]


@pytest.mark.parametrize(
    ("payload", "close"),
    [
        (b"", Close(1005, "")),
        (b"\x03\xe8", Close(1000, "")),
        (b"\x03\xe9bye", Close(1001, "bye")),
        (b"\x0b\xb8", Close(3000, "")),
        (b"\x13\x87", Close(4999, "")),
        *((struct.pack("!H", code), Close(code, "")) for code in (1003, *range(1007, 1015))),
    ],
)
def test_close_is_answered_alike(payload: bytes, close: Close) -> None:
    machine = EventMachine(Side.SERVER)
    machine.receive_data(frame(8, payload))
    assert machine.close_rcvd == close
    assert machine.close_rcvd_then_sent is True
    assert machine.data_to_send() == [bytes([0x88, len(payload)]) + payload, b""]
    assert machine.state is State.CLOSING
    machine.receive_eof()
    assert machine.state is State.CLOSED
    assert machine.close_code == close.code
    assert machine.close_reason == close.reason
    kind = ConnectionClosedOK if close.code in (1000, 1001, 1005) else ConnectionClosedError
    assert type(machine.close_exc) is kind


def test_close_amid_a_fragmented_message() -> None:
    machine = read(frame(1, b"half", fin=False) + frame(8, b"\x03\xe8"))
    assert machine.close_sent == Close(1000, "")


def test_simultaneous_close() -> None:
    machine = EventMachine(Side.SERVER)
    machine.send_close(1000, "ours")
    assert machine.data_to_send() == [b"\x88\x06\x03\xe8ours"]
    machine.receive_data(frame(8, b"\x03\xe9theirs"))
    assert machine.data_to_send() == [b""]
    assert machine.close_rcvd_then_sent is False
    machine.receive_eof()
    assert str(machine.close_exc) == ("sent 1000 (OK) ours; then received 1001 (going away) theirs")


def test_messages_between_our_close_and_theirs_are_read() -> None:
    machine = EventMachine(Side.SERVER)
    machine.send_close(1000)
    machine.receive_data(frame(1, b"late") + frame(9) + frame(8, b"\x03\xe8") + frame(1, b"after"))
    kinds = [event.opcode for event in machine.events_received()]  # type: ignore[union-attr]
    assert kinds == [Opcode.TEXT, Opcode.PING, Opcode.CLOSE]


def test_client_waits_for_the_servers_eof() -> None:
    machine = EventMachine(Side.CLIENT)
    machine.receive_data(frame(8, b"\x03\xe8", mask=False))
    assert machine.close_expected()
    assert b"" not in machine.data_to_send()
    machine.receive_eof()
    assert machine.data_to_send() == [b""]
    assert machine.state is State.CLOSED


@pytest.mark.parametrize("side", list(Side))
def test_eof_without_close(side: Side) -> None:
    machine = EventMachine(side)
    machine.receive_eof()
    assert machine.close_code == 1006
    assert machine.close_reason == ""
    assert isinstance(machine.close_exc.__cause__, EOFError)
    assert machine.data_to_send() == [b""]
    machine.receive_eof()
    with pytest.raises(EOFError):
        machine.receive_data(b"x")


def test_client_masks_with_fresh_keys() -> None:
    machine = EventMachine(Side.CLIENT)
    keys = set()
    for _ in range(50):
        machine.send_text(b"hello")
        (octets,) = machine.data_to_send()
        assert octets[:2] == b"\x81\x85"
        keys.add(octets[2:6])
        assert bytes(o ^ octets[2 + i % 4] for i, o in enumerate(octets[6:])) == b"hello"
    assert len(keys) == 50


def test_sending_fragments() -> None:
    machine = EventMachine(Side.SERVER)
    with pytest.raises(ProtocolError, match="unexpected continuation"):
        machine.send_continuation(b"x", True)
    machine.send_text(b"a", fin=False)
    assert machine.expect_continuation_frame
    with pytest.raises(ProtocolError, match="expected a continuation"):
        machine.send_binary(b"x")
    machine.send_ping(b"")
    machine.send_continuation(b"b", False)
    machine.send_continuation(b"c", True)
    assert b"".join(machine.data_to_send()) == b"\x01\x01a\x89\x00\x00\x01b\x80\x01c"


@pytest.mark.parametrize("code", [1004, 1005, 1006, 1015, 1016, 2999, 5000, 0, 999])
def test_codes_that_are_never_sent(code: int) -> None:
    machine = EventMachine(Side.SERVER)
    with pytest.raises(ProtocolError):
        machine.send_close(code)
    assert machine.state is State.OPEN
    assert machine.data_to_send() == []


@pytest.mark.parametrize("code", [1000, 1001, 1002, 1003, *range(1007, 1015), 3000, 4999])
def test_codes_that_are_sent(code: int) -> None:
    machine = EventMachine(Side.SERVER)
    machine.send_close(code)
    assert machine.data_to_send() == [b"\x88\x02" + struct.pack("!H", code)]


def test_reason_needs_a_code_and_room() -> None:
    machine = EventMachine(Side.SERVER)
    with pytest.raises(ProtocolError):
        machine.send_close(None, "why")
    with pytest.raises(ProtocolError):
        machine.send_close(1000, "x" * 124)
    machine.send_close(1000, "x" * 123)


def test_nothing_is_sent_after_close() -> None:
    machine = EventMachine(Side.SERVER)
    machine.send_close()
    for send in (machine.send_text, machine.send_binary):
        with pytest.raises(InvalidState, match="closing"):
            send(b"x")
    machine.send_ping(b"")
    machine.send_pong(b"")
    machine.receive_data(frame(8))
    machine.receive_eof()
    with pytest.raises(InvalidState, match="closed"):
        machine.send_ping(b"")


def test_control_frames_that_are_too_long_are_not_sent() -> None:
    machine = EventMachine(Side.SERVER)
    with pytest.raises(ProtocolError, match="too long"):
        machine.send_ping(b"x" * 126)


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_payload_types(kind: type) -> None:
    machine = EventMachine(Side.SERVER)
    machine.send_binary(kind(b"data"))
    assert machine.data_to_send() == [b"\x82\x04data"]


def test_fail() -> None:
    machine = EventMachine(Side.SERVER)
    machine.fail(1011, "oops")
    assert machine.data_to_send() == [b"\x88\x06\x03\xf3oops", b""]
    machine.receive_data(frame(1, b"ignored"))
    assert machine.events_received() == []
    machine.receive_eof()
    assert str(machine.close_exc) == "sent 1011 (internal error) oops; no close frame received"


def received(reader: EventMachine, payload: bytes) -> bytes:
    """Return what a server makes of one binary message, which comes in two pieces."""
    writer = EventMachine(Side.CLIENT, max_size=None)
    writer.send_binary(payload)
    octets = b"".join(writer.data_to_send())
    reader.receive_data(octets[:100_000])
    reader.receive_data(octets[100_000:])
    (frame,) = reader.events_received()
    assert isinstance(frame, Frame)
    return bytes(frame.data)


def test_memory_of_large_payloads_is_used_again() -> None:
    reader = EventMachine(Side.SERVER, max_size=None)
    first = received(reader, b"1" * 700_000)
    place = id(first)
    assert hash(first) == hash(b"1" * 700_000)
    assert received(reader, b"2" * 700_000) == b"2" * 700_000
    assert first == b"1" * 700_000, "what somebody refers to stays as it is"
    del first
    # Takes its place if that was given back.
    other = bytearray(700_000)
    found = [received(reader, b"3" * 700_000) for _ in range(3)]
    assert place in map(id, found)
    assert {hash(each) for each in found} == {hash(b"3" * 700_000)}
    assert found == [b"3" * 700_000] * 3
    del found, other
    smaller = received(reader, b"4" * 500_000)
    assert smaller == b"4" * 500_000
    assert sys.getsizeof(smaller) == sys.getsizeof(b"") + 500_000


def test_kept_memory_has_a_bound() -> None:
    reader = EventMachine(Side.SERVER, max_size=None)
    tracemalloc.start()
    try:
        for size in (1_000_000, 3_000_000, 6_000_000, 2_000_000, 7_000_000, 9_000_000):
            for _ in range(4):
                assert len(received(reader, bytes(size))) == size
        gc.collect()
        assert tracemalloc.get_traced_memory()[0] < 17_000_000
    finally:
        tracemalloc.stop()


def test_one_wrong_octet_in_long_text_is_found_wherever_it_is() -> None:
    # Long payloads are unmasked in blocks, which must not lose sight of any octet.
    for at in range(1001):
        text = bytearray(b"a" * 1001)
        text[at] = 0xFF
        machine = EventMachine(Side.SERVER)
        machine.receive_data(frame(1, bytes(text)))
        assert machine.events_received() == []
        assert isinstance(machine.parser_exc, UnicodeDecodeError)
        assert machine.state is State.CLOSING


@pytest.mark.parametrize("first", range(1, 12))
def test_long_payloads_are_unmasked_from_any_position(first: int) -> None:
    payload = bytes(range(256)) * 10
    octets = frame(2, payload)
    machine = EventMachine(Side.SERVER)
    machine.receive_data(octets[: first + 8])
    machine.receive_data(octets[first + 8 :])
    assert machine.events_received() == [Frame(Opcode.BINARY, payload)]
