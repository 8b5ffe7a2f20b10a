from __future__ import annotations

import pytest
import websockets.frames

from duologue.base.exceptions import ProtocolError
from duologue.wire.frame import Close, CloseCode, Frame, Opcode, apply_mask

OP = Opcode


@pytest.mark.parametrize(
    ("frame", "octets"),
    [
        # The unmasked examples of RFC 6455 section 5.7.
        (Frame(OP.TEXT, b"Hello"), "810548656c6c6f"),
        (Frame(OP.TEXT, b"Hel", fin=False), "010348656c"),
        (Frame(OP.CONT, b"lo"), "80026c6f"),
        (Frame(OP.PING, b"Hello"), "890548656c6c6f"),
        (Frame(OP.PONG, b"Hello"), "8a0548656c6c6f"),
        (Frame(OP.CLOSE, b""), "8800"),
    ],
)
def test_serializes_the_examples_of_the_rfc(frame, octets):
    assert frame.serialize(mask=False).hex() == octets


@pytest.mark.parametrize(
    ("length", "head"),
    [
        (0, "8200"),
        (125, "827d"),
        (126, "827e007e"),
        (65535, "827effff"),
        (65536, "827f0000000000010000"),
    ],
)
def test_length_field_is_the_shortest(length, head):
    octets = Frame(OP.BINARY, bytes(length)).serialize(mask=False)
    assert octets == bytes.fromhex(head) + bytes(length)


def test_masks_with_a_fresh_key():
    frame = Frame(OP.TEXT, b"Hello")
    first, second = frame.serialize(mask=True), frame.serialize(mask=True)
    assert first[:2] == second[:2] == b"\x81\x85"
    assert apply_mask(first[6:], first[2:6]) == apply_mask(second[6:], second[2:6]) == b"Hello"
    keys = {frame.serialize(mask=True)[2:6] for _ in range(50)}
    assert len(keys) > 45


def test_mask_of_the_rfc():
    assert apply_mask(b"Hello", bytes.fromhex("37fa213d")) == bytes.fromhex("7f9f4d5158")
    with pytest.raises(ValueError, match="4 bytes, not 3"):
        apply_mask(b"", b"abc")


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_accepts_bytes_like_payloads(kind):
    assert Frame(OP.BINARY, kind(b"ab")).serialize(mask=False) == b"\x82\x02ab"
    assert apply_mask(kind(b"ab"), b"\0\0\0\0") == b"ab"


class Reverse:
    def encode(self, frame):
        return Frame(frame.opcode, frame.data[::-1], frame.fin, rsv1=True, rsv3=True)


class Suffix:
    def encode(self, frame):
        return Frame(frame.opcode, frame.data + b"!", frame.fin, frame.rsv1, True, frame.rsv3)


def test_applies_extensions_in_order():
    octets = Frame(OP.TEXT, b"ab").serialize(mask=False, extensions=[Reverse(), Suffix()])
    assert octets == b"\xf1\x03ba!"


@pytest.mark.parametrize(
    ("frame", "error"),
    [
        (Frame(OP.TEXT, b"", rsv1=True), "reserved bits"),
        (Frame(OP.TEXT, b"", rsv2=True), "reserved bits"),
        (Frame(OP.TEXT, b"", rsv3=True), "reserved bits"),
        (Frame(OP.PING, b"", fin=False), "fragmented control frame"),
        (Frame(OP.PONG, bytes(126)), "control frame too long: 126 bytes, limit 125"),
        (Frame(OP.CLOSE, bytes(126)), "control frame too long"),
    ],
)
def test_refuses_frames_that_break_the_protocol(frame, error):
    with pytest.raises(ProtocolError, match=error):
        frame.check()
    with pytest.raises(ProtocolError, match=error):
        frame.serialize(mask=False)


def test_accepts_frames_at_the_limits():
    Frame(OP.PING, bytes(125)).check()
    Frame(OP.CONT, bytes(126), fin=False).check()


@pytest.mark.parametrize(
    ("frame", "text"),
    [
        (Frame(OP.TEXT, b""), "TEXT '' [0 bytes]"),
        (Frame(OP.TEXT, b"x"), "TEXT 'x' [1 byte]"),
        (Frame(OP.TEXT, "é".encode()), "TEXT 'é' [2 bytes]"),
        (Frame(OP.TEXT, b"caf\xc3", fin=False), "TEXT 'caf�' [4 bytes, continued]"),
        (Frame(OP.TEXT, b"\xff"), "TEXT ff [binary, 1 byte]"),
        (Frame(OP.BINARY, b"\x00\xff"), "BINARY 00 ff [2 bytes]"),
        (Frame(OP.BINARY, b"ok"), "BINARY 'ok' [text, 2 bytes]"),
        (Frame(OP.CONT, b"\xa9!"), "CONT '�!' [text, 2 bytes]"),
        (Frame(OP.PING, b"now"), "PING 'now' [text, 3 bytes]"),
        (Frame(OP.PONG, b"\x80"), "PONG 80 [binary, 1 byte]"),
        (Frame(OP.CLOSE, b""), "CLOSE '' [0 bytes]"),
        (Frame(OP.CLOSE, b"\x03\xe8bye"), "CLOSE 1000 (OK) bye [5 bytes]"),
        (Frame(OP.CLOSE, b"\x03"), "CLOSE 03 [binary, 1 byte]"),
        (Frame(OP.CLOSE, b"\x03\xe8\xff"), "CLOSE 03 e8 ff [binary, 3 bytes]"),
    ],
)
def test_describes_itself(frame, text):
    assert str(frame) == text


@pytest.mark.parametrize("size", [74, 75, 76, 299, 300, 301, 100_000])
@pytest.mark.parametrize("unit", ["x", "é", "😀"])
def test_long_descriptions_are_those_of_websockets(size, unit):
    data = (unit * size).encode()
    for fin in (True, False):
        for code in (1, 2):
            ours = str(Frame(Opcode(code), data, fin))
            theirs = str(websockets.frames.Frame(websockets.frames.Opcode(code), data, fin))
            assert ours == theirs
            assert len(ours) < 150
    binary = b"\xff" * size
    theirs = websockets.frames.Frame(websockets.frames.Opcode.BINARY, binary)
    assert str(Frame(OP.BINARY, binary)) == str(theirs)


@pytest.mark.parametrize(
    ("octets", "close"),
    [
        (b"", Close(1005, "")),
        (b"\x03\xe8", Close(1000, "")),
        (b"\x03\xe9bye", Close(1001, "bye")),
        ("\x0f\xa0".encode("latin-1") + "é".encode(), Close(4000, "é")),
        (b"\x13\x87" + b"x" * 123, Close(4999, "x" * 123)),
    ],
)
def test_close_parses(octets, close):
    assert Close.parse(octets) == close
    assert Close.parse(memoryview(octets)) == close
    if octets:
        assert close.serialize() == octets


@pytest.mark.parametrize("code", [0, 999, 1004, 1016, 2999, 5000, 65535])
def test_close_parses_any_code_if_asked_to(code):
    octets = code.to_bytes(2) + b"why"
    assert Close.parse_any(octets) == Close(code, "why")
    with pytest.raises(ProtocolError):
        Close.parse(octets)


@pytest.mark.parametrize("octets", [b"\x03\xed", b"\x03\xee", b"\x03\xf7", b"a"])
def test_close_never_parses_codes_that_describe_an_end(octets):
    with pytest.raises(ProtocolError):
        Close.parse_any(octets)


@pytest.mark.parametrize(
    ("octets", "error"),
    [
        (b"\x03", ProtocolError),
        (b"\x00\x00", ProtocolError),
        (b"\x03\xec", ProtocolError),
        (b"\x03\xedx", ProtocolError),
        (b"\x03\xee", ProtocolError),
        (b"\x03\xf7", ProtocolError),
        (b"\x0b\xb7", ProtocolError),
        (b"\x13\x88", ProtocolError),
        (b"\x03\xe8\xc3", UnicodeDecodeError),
        (b"\x03\xe8\xed\xa0\x80", UnicodeDecodeError),
        (b"\x03\xe8" + b"x" * 124, ProtocolError),
    ],
)
def test_close_refuses(octets, error):
    with pytest.raises(error):
        Close.parse(octets)


@pytest.mark.parametrize(
    ("close", "error"),
    [
        (Close(1005, ""), "invalid status code: 1005"),
        (Close(CloseCode.ABNORMAL_CLOSURE, ""), "invalid status code: 1006"),
        (Close(0, ""), "invalid status code: 0"),
        (Close(70000, ""), "invalid status code: 70000"),
        (Close(1000, "x" * 124), "close reason too long: 124 bytes, limit 123"),
        (Close(1000, "é" * 62), "close reason too long: 124 bytes, limit 123"),
    ],
)
def test_close_refuses_to_serialize(close, error):
    with pytest.raises(ProtocolError, match=error):
        close.serialize()


def test_close_describes_itself():
    assert str(Close(1000, "")) == "1000 (OK)"
    assert str(Close(CloseCode.GOING_AWAY, "later")) == "1001 (going away) later"
    assert str(Close(3000, "")) == "3000 (registered)"
    assert str(Close(4000, "")) == "4000 (private use)"
    assert str(Close(2000, "")) == "2000 (unknown)"
