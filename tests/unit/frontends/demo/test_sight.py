from __future__ import annotations

import zlib

import pytest

from duologue.frames import Frame, Opcode
from duologue.frontends.demo.bounds import MAX_INFLATED, PREVIEW
from duologue.frontends.demo.sight import FrameReader

HELLO = bytes.fromhex("818537fa213d7f9f4d5158")  # RFC 6455 section 5.7
COMPRESSED_HELLO = bytes.fromhex("c107f248cdc9c90700")  # RFC 7692 section 7.2.3.1
AGAIN = bytes.fromhex("c105f200110000")  # with context takeover, section 7.2.3.2


def fed(octets: bytes, size: int, **options: bool):
    reader = FrameReader(**options)
    seen = []
    for start in range(0, len(octets), size):
        seen += reader.feed(octets[start : start + size])
    return seen


@pytest.mark.parametrize("size", [1, 2, 3, 7, 11, 1000])
def test_a_masked_frame_and_one_that_isnt(size):
    masked, plain = fed(HELLO + b"\x89\x00", size)
    assert masked.header == HELLO[:6]
    assert masked.key == HELLO[2:6]
    assert (masked.fin, masked.rsv, masked.opcode) == (True, (False, False, False), 1)
    assert (masked.length, masked.payload, masked.inflated) == (5, b"Hello", None)
    assert (plain.opcode, plain.header, plain.key, plain.length) == (9, b"\x89\x00", None, 0)


@pytest.mark.parametrize("length", [0, 125, 126, 65_535, 65_536])
@pytest.mark.parametrize("size", [999, 1 << 20])
def test_each_form_of_the_length(length, size):
    payload = bytes(range(256)) * 257
    frame = Frame(Opcode.BINARY, payload[:length])
    first, second, third = fed(
        frame.serialize(mask=False) + frame.serialize(mask=True) + b"\x8a\x00", size
    )
    extended = 0 if length < 126 else 2 if length < 65_536 else 8
    assert len(first.header) == 2 + extended
    assert len(second.header) == 6 + extended
    for seen in (first, second):
        assert seen.length == length
        assert seen.payload == payload[: min(length, PREVIEW)]
    assert third.opcode == 10


def test_bits_are_shown_as_they_are_even_if_they_break_the_rules():
    (seen,) = fed(b"\x73\x01x", 1)
    assert (seen.fin, seen.rsv, seen.opcode, seen.payload) == (False, (True, True, True), 3, b"x")


@pytest.mark.parametrize("size", [1, 4, 100])
def test_compressed_messages_are_inflated_if_that_was_agreed(size):
    ping = b"\x89\x02hi"
    first, middle, second = fed(COMPRESSED_HELLO + ping + AGAIN, size, inflates=True)
    assert first.payload == COMPRESSED_HELLO[2:]
    assert first.inflated == second.inflated == b"Hello"
    assert (middle.payload, middle.inflated) == (b"hi", None)
    (unseen,) = fed(COMPRESSED_HELLO, size)
    assert unseen.inflated is None


def test_fragments_are_inflated_one_after_the_other():
    # RFC 7692 section 7.2.3.1: the compressed Hello in two fragments, with a ping between them
    octets = bytes.fromhex("4103f248cd 8900 8004c9c90700")
    first, ping, second = fed(octets, 1, inflates=True)
    assert (first.inflated or b"") + (second.inflated or b"") == b"Hello"
    assert ping.inflated is None
    # An uncompressed message afterwards is none of it.
    assert fed(octets + b"\x81\x01a", 5, inflates=True)[3].inflated is None


def compressed(text: bytes) -> bytes:
    codec = zlib.compressobj(wbits=-15)
    deflated = codec.compress(text) + codec.flush(zlib.Z_SYNC_FLUSH)
    frame = Frame(Opcode.TEXT, deflated[:-4]).serialize(mask=False)
    return bytes([frame[0] | 0x40]) + frame[1:]


def test_a_message_that_grows_too_much_ends_inflating():
    reader = FrameReader(inflates=True)
    (fits,) = reader.feed(compressed(b"x" * 1000))
    assert fits.inflated == b"x" * PREVIEW
    (bomb,) = reader.feed(compressed(bytes(MAX_INFLATED + 1)))
    assert bomb.inflated is None
    (after,) = reader.feed(compressed(b"y"))
    assert (after.length > 0, after.inflated) == (True, None)


def test_rubbish_ends_inflating_and_nothing_else():
    reader = FrameReader(inflates=True)
    (rubbish,) = reader.feed(b"\xc1\x04\xff\xff\xff\xff")
    assert rubbish.inflated is None
    (after,) = reader.feed(b"\x81\x01a")
    assert after.payload == b"a"
