"""The permessage-deflate codec: RFC examples, fragments, limits, hostile data, memory."""

from __future__ import annotations

import itertools
import json
import random
import subprocess
import sys
import threading
import time
import tracemalloc
import zlib
from collections.abc import Iterable, Iterator

import pytest

from duologue.base.exceptions import PayloadTooBig, ProtocolError
from duologue.base.vocabulary import Opcode
from duologue.wire.codec import set_direct
from duologue.wire.deflate import PerMessageDeflate, check_compress_settings, own_codecs
from duologue.wire.extension import Extension
from duologue.wire.frame import Frame

EMPTY_BLOCK = b"\x00\x00\xff\xff"


@pytest.fixture(autouse=True, params=[True, False], ids=["direct", "objects"])
def direct(request: pytest.FixtureRequest) -> Iterator[bool]:
    """Each test runs with zlib-ng's functions, and with the package's objects."""
    if set_direct(request.param) is not request.param:
        pytest.skip("this build of zlib-ng does not show its functions")
    try:
        yield request.param
    finally:
        set_direct(True)


def make(
    remote_no_takeover: bool = False,
    local_no_takeover: bool = False,
    remote_bits: int = 15,
    local_bits: int = 15,
    settings: dict[str, int] | None = None,
) -> PerMessageDeflate:
    return PerMessageDeflate(
        remote_no_takeover, local_no_takeover, remote_bits, local_bits, settings
    )


def frames(parts: Iterable[bytes], *, rsv1: bool = False) -> Iterator[Frame]:
    """Frame the parts of one binary message."""
    parts = list(parts)
    for number, part in enumerate(parts):
        first = number == 0
        yield Frame(
            Opcode.BINARY if first else Opcode.CONT,
            part,
            number == len(parts) - 1,
            rsv1 and first,
        )


def compress(codec: PerMessageDeflate, *parts: bytes) -> bytes:
    sent = [codec.encode(frame) for frame in frames(parts)]
    assert [frame.rsv1 for frame in sent] == [True] + [False] * (len(parts) - 1)
    return b"".join(frame.data for frame in sent)


def inflate(codec: PerMessageDeflate, *parts: bytes, max_size: int | None = None) -> bytes:
    read = [codec.decode(frame, max_size=max_size) for frame in frames(parts, rsv1=True)]
    assert not any(frame.rsv1 for frame in read)
    return b"".join(frame.data for frame in read)


def raw(data: bytes, *, flush: int = zlib.Z_SYNC_FLUSH, bits: int = 15) -> bytes:
    """Compress with the standard library, as another peer would."""
    encoder = zlib.compressobj(wbits=-bits)
    return encoder.compress(data) + encoder.flush(flush)


def documents(count: int = 20) -> list[bytes]:
    """Repetitive messages, as most are."""
    source = random.Random(7692)
    return [
        json.dumps(
            [{"id": source.randrange(10**6), "name": f"user{n}", "on": True} for n in range(20)]
        ).encode()
        for _ in range(count)
    ]


RFC_EXAMPLES = {
    "7.2.3.1 one block": ("f248cdc9c90700", b"Hello"),
    "7.2.3.3 no compression": ("000500faff48656c6c6f00", b"Hello"),
    "7.2.3.4 BFINAL": ("f348cdc9c9070000", b"Hello"),
    "7.2.3.5 two blocks": ("f248050000 00ffff cac9c90700", b"Hello"),
    "7.2.3.6 empty": ("00", b""),
}


@pytest.mark.parametrize("no_takeover", [False, True])
@pytest.mark.parametrize("name", RFC_EXAMPLES)
def test_rfc_example_whole_bytewise_and_at_every_split(name: str, no_takeover: bool) -> None:
    wire, expected = bytes.fromhex(RFC_EXAMPLES[name][0]), RFC_EXAMPLES[name][1]
    codec = make(remote_no_takeover=no_takeover)
    assert inflate(codec, wire) == expected
    assert inflate(codec, *(wire[i : i + 1] for i in range(len(wire)))) == expected
    for split in range(len(wire) + 1):
        assert inflate(codec, wire[:split], wire[split:]) == expected
    # What the codec is left with reads an ordinary message.
    assert inflate(codec, raw(b"next")[:-4]) == b"next"


def test_rfc_example_of_a_shared_window() -> None:
    codec = make()
    assert inflate(codec, bytes.fromhex("f248cdc9c90700")) == b"Hello"
    assert inflate(codec, bytes.fromhex("f200110000")) == b"Hello"


def test_a_reference_into_the_window_of_an_earlier_message_is_refused_without_takeover() -> None:
    codec = make(remote_no_takeover=True)
    assert inflate(codec, bytes.fromhex("f248cdc9c90700")) == b"Hello"
    with pytest.raises(ProtocolError, match="not valid DEFLATE"):
        inflate(codec, bytes.fromhex("f200110000"))


@pytest.mark.parametrize("local_bits", range(8, 16))
@pytest.mark.parametrize("no_takeover", [False, True])
@pytest.mark.parametrize("level", [-1, 0, 1, 2, 6, 9])
def test_an_inflater_of_the_agreed_window_reads_what_is_sent(
    local_bits: int, no_takeover: bool, level: int
) -> None:
    codec = make(local_no_takeover=no_takeover, local_bits=local_bits, settings={"level": level})
    # Blocks that repeat at every distance a window could have to be too small for.
    source = random.Random(local_bits)
    block = source.randbytes(100)
    far = b"".join(block + source.randbytes(2**bits - 100) for bits in range(8, 16)) + block
    decoder = zlib.decompressobj(wbits=-local_bits)
    for message in [*documents(), far, b"", far[::-1], b"x", *documents(3)]:
        if no_takeover:
            decoder = zlib.decompressobj(wbits=-local_bits)
        assert decoder.decompress(compress(codec, message) + EMPTY_BLOCK) == message
        assert not decoder.unused_data


@pytest.mark.parametrize("remote_bits", range(8, 16))
def test_what_a_sender_with_a_smaller_window_sends_is_read(remote_bits: int) -> None:
    codec = make(remote_bits=remote_bits)
    encoder = zlib.compressobj(wbits=-max(remote_bits, 9))
    for message in documents():
        wire = encoder.compress(message) + encoder.flush(zlib.Z_SYNC_FLUSH)
        assert inflate(codec, wire[:-4]) == message


def test_window_bits_decide_how_far_back_the_sender_refers() -> None:
    message = random.Random(1).randbytes(2000) * 2
    sizes = [
        len(compress(make(local_bits=bits, settings={"level": 6}), message)) for bits in (8, 10, 12)
    ]
    assert sizes[0] > 3900
    assert sizes[1] > 3900
    assert sizes[2] < 2200


def test_a_window_of_256_octets_is_kept_by_never_referring_back() -> None:
    near = random.Random(1).randbytes(100) * 20
    assert len(compress(make(local_bits=8, settings={"level": 9}), near)) > 1500
    assert len(compress(make(local_bits=9, settings={"level": 9}), near)) < 300


def test_context_takeover_shortens_the_second_message() -> None:
    message = documents(1)[0]
    with_takeover, without = make(), make(local_no_takeover=True)
    first = compress(with_takeover, message)
    assert len(compress(with_takeover, message)) < len(first) / 5
    assert compress(without, message) == compress(without, message)


def test_compress_settings_reach_the_compressor() -> None:
    message = b"".join(documents(5))
    stored = compress(make(settings={"level": 0}), message)
    best = compress(make(settings={"level": 9}), message)
    huffman = compress(make(settings={"strategy": zlib.Z_HUFFMAN_ONLY}), message)
    assert len(stored) > len(message) > len(huffman) > len(best)
    zdict = compress(make(settings={"level": 9, "zdict": message}), message)
    assert len(zdict) < len(best) / 2


@pytest.mark.parametrize("local_no_takeover", [False, True])
@pytest.mark.parametrize("remote_no_takeover", [False, True])
def test_a_fragmented_message_survives_every_split(
    local_no_takeover: bool, remote_no_takeover: bool
) -> None:
    sender = make(local_no_takeover=local_no_takeover)
    # A receiver may not keep history that the sender drops, but may drop none that it uses.
    receiver = make(remote_no_takeover=remote_no_takeover and local_no_takeover)
    message = b"abcabcabc-abcabcabc"
    for cuts in itertools.combinations_with_replacement(range(len(message) + 1), 2):
        bounds = [0, *cuts, len(message)]
        parts = [message[a:b] for a, b in itertools.pairwise(bounds)]
        sent = [sender.encode(frame) for frame in frames(parts)]
        received = [receiver.decode(frame).data for frame in sent]
        # Each fragment is flushed: the receiver has its text as soon as it has the fragment.
        assert received == parts


def test_fragments_of_the_wire_need_not_follow_those_of_the_text() -> None:
    message = documents(1)[0]
    wire = compress(make(), message)
    for split in range(len(wire) + 1):
        assert inflate(make(), wire[:split], wire[split:]) == message
    assert inflate(make(), *(wire[i : i + 1] for i in range(len(wire)))) == message


@pytest.mark.parametrize("no_takeover", [False, True])
def test_an_empty_message_is_one_zero_octet(no_takeover: bool) -> None:
    sender, receiver = make(local_no_takeover=no_takeover), make(remote_no_takeover=no_takeover)
    for message in [b"", b"", b"text", b"", b"text"]:
        wire = compress(sender, message)
        assert message or wire == b"\x00"
        assert inflate(receiver, wire) == message
    assert inflate(receiver, compress(sender, b"", b"", b"")) == b""
    assert inflate(receiver, compress(sender, b"text", b"", b"")) == b"text"


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_payloads_may_be_any_bytes_like(kind: type) -> None:
    message = documents(1)[0]
    wire = compress(make(), kind(message))
    assert inflate(make(), kind(wire)) == message
    assert inflate(make(), kind(compress(make(), kind(message * 100)))) == message * 100


# Independence of what shares a compressor.


def test_messages_without_takeover_stay_independent_though_they_share_a_compressor() -> None:
    one, two = make(local_no_takeover=True), make(local_no_takeover=True)
    for message in documents(50):
        for codec in (one, two):
            assert zlib.decompressobj(wbits=-15).decompress(compress(codec, message)) == message


def test_fragmented_messages_of_two_connections_do_not_mix() -> None:
    senders = [make(local_no_takeover=True) for _ in range(8)]
    first, second = documents(2)
    wires = [[s.encode(Frame(Opcode.TEXT, first, False)).data] for s in senders]
    for sender, wire in zip(senders, wires, strict=True):
        wire.append(sender.encode(Frame(Opcode.CONT, second, True)).data)
    for wire in wires:
        assert inflate(make(remote_no_takeover=True), b"".join(wire)) == first + second


def test_other_settings_mean_another_compressor() -> None:
    message = b"".join(documents(5))
    sizes: dict[int, set[int]] = {}
    for _ in range(3):
        for level in (0, 1, 9):
            codec = make(local_no_takeover=True, settings={"level": level})
            sizes.setdefault(level, set()).add(len(compress(codec, message)))
    (stored,), (fast,), (best,) = sizes[0], sizes[1], sizes[9]
    assert stored > fast > best


def test_a_compressor_that_failed_is_not_used_again() -> None:
    codec = make(local_no_takeover=True)
    with pytest.raises(TypeError):
        codec.encode(Frame(Opcode.TEXT, "str"))  # type: ignore[arg-type]
    assert inflate(make(remote_no_takeover=True), compress(codec, b"text")) == b"text"


# Compressors that are lent: windows of up to 4 KiB.


@pytest.mark.parametrize("bits", [9, 10, 11, 12])
@pytest.mark.parametrize("level", [1, 2, 5, 9])
def test_a_lent_compressor_refers_to_what_this_connection_sent(bits: int, level: int) -> None:
    """Several connections take turns; an inflater with the agreed window reads each."""
    chance = random.Random(bits * 10 + level)
    text = b"".join(documents(300))
    pairs = [
        (make(local_bits=bits, settings={"level": level}), zlib.decompressobj(wbits=-bits))
        for _ in range(3)
    ]
    for _ in range(150):
        codec, decoder = chance.choice(pairs)
        size = chance.choice([1, 50, 900, 2047, 2048, 2049, 5000, 16_383, 16_384, 70_000])
        start = chance.randrange(len(text))
        message = (text[start:] + text)[:size]
        cut = chance.randrange(size)
        parts = chance.choice([(message,), (message[:cut], message[cut:]), (message, b"")])
        assert decoder.decompress(compress(codec, *parts) + EMPTY_BLOCK) == message


def test_a_lent_compressor_saves_what_one_of_its_own_would(direct: bool) -> None:
    before = own_codecs()
    ratio = {}
    for bits in (12, 13):
        codec = make(local_bits=bits, settings={"level": 5})
        sizes = [len(compress(codec, message)) for message in documents(20)]
        ratio[bits] = sum(sizes[1:]) / sizes[0] / 19
        owned = own_codecs()[0] - before[0]
        assert owned == (0 if bits == 12 and direct else 1)
    assert ratio[12] < 0.8
    assert ratio[12] < 1.1 * ratio[13]


def test_what_was_sent_is_forgotten_by_a_release() -> None:
    codec = make(local_bits=12)
    message = documents(1)[0]
    first, second = compress(codec, message), compress(codec, message)
    assert len(second) < len(first) / 3
    codec.release()
    assert compress(codec, message) == first
    assert compress(codec, message) == second


def test_memory_of_what_was_sent_is_bounded(direct: bool) -> None:
    if not direct:
        pytest.skip("a compressor of its own is far larger")
    codecs = [make(local_bits=12) for _ in range(100)]
    text = b"".join(documents(100))
    compress(codecs[0], text)
    tracemalloc.start()
    try:
        for _ in range(5):
            for codec in codecs:
                compress(codec, text)
        assert tracemalloc.get_traced_memory()[0] < 100 * 2200
        for codec in codecs:
            codec.release()
        assert tracemalloc.get_traced_memory()[0] < 10_000
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("size", [0, 1, 16_383, 16_384, 65_536, 1_000_000])
@pytest.mark.parametrize("level", [0, 1, 6])
@pytest.mark.parametrize("random_data", [False, True])
def test_payloads_of_any_size_survive(size: int, level: int, random_data: bool) -> None:
    message = random.Random(size).randbytes(size) if random_data else bytes(size)
    for bits in (12, 15):
        for settings in ({"level": level}, {"level": level, "memLevel": 1}):
            sender = make(local_bits=bits, settings=settings)
            receiver = make(remote_bits=bits)
            for _ in range(3):
                assert inflate(receiver, compress(sender, message)) == message


def test_both_ways_to_the_library_make_the_same_octets(direct: bool) -> None:
    made = []
    for way in (True, False):
        if set_direct(way) is not way:
            pytest.skip("this build of zlib-ng does not show its functions")
        codec = make(settings={"level": 3, "memLevel": 7, "strategy": 1})
        made.append([compress(codec, message) for message in documents(30)])
    assert made[0] == made[1]


# Limits.


@pytest.mark.parametrize("no_takeover", [False, True])
@pytest.mark.parametrize("size", [1, 100, 2047, 2048, 65_536, 1_000_000])
@pytest.mark.parametrize("random_data", [False, True])
def test_the_limit_is_exact(size: int, no_takeover: bool, random_data: bool) -> None:
    message = random.Random(size).randbytes(size) if random_data else bytes(size)
    wire = raw(message)[:-4]
    assert inflate(make(no_takeover), wire, max_size=size) == message
    assert inflate(make(no_takeover), wire, max_size=None) == message
    assert inflate(make(no_takeover), wire, max_size=10**30) == message
    for limit in {0, 1, size // 2, size - 1} - {size}:
        with pytest.raises(PayloadTooBig) as caught:
            inflate(make(no_takeover), wire, max_size=limit)
        assert (caught.value.size, caught.value.max_size) == (None, limit)


def test_zero_is_a_limit() -> None:
    assert inflate(make(), b"\x00", max_size=0) == b""
    with pytest.raises(PayloadTooBig):
        inflate(make(), raw(b"x")[:-4], max_size=0)


@pytest.mark.parametrize("fin", [False, True])
@pytest.mark.parametrize("flush", [zlib.Z_SYNC_FLUSH, zlib.Z_FINISH])
def test_a_zip_bomb_takes_no_more_memory_than_the_limit(fin: bool, flush: int) -> None:
    limit = 1_000_000
    bomb = raw(bytes(200_000_000), flush=flush)
    assert len(bomb) < 250_000
    codec = make()
    codec.decode(Frame(Opcode.BINARY, raw(b"warm")[:-4], rsv1=True))
    tracemalloc.start()
    try:
        with pytest.raises(PayloadTooBig):
            codec.decode(Frame(Opcode.BINARY, bomb, fin, rsv1=True), max_size=limit)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    # The output and what growing it takes; the rest of the input may be kept beside it.
    assert peak < 2 * limit + len(bomb) + 100_000


def test_a_bomb_in_many_streams_is_bounded_too() -> None:
    stream = raw(bytes(10_000), flush=zlib.Z_FINISH)
    with pytest.raises(PayloadTooBig) as caught:
        inflate(make(), stream * 500, max_size=1_000_000)
    assert caught.value.max_size == 1_000_000
    assert inflate(make(), stream * 100, max_size=1_000_000) == bytes(1_000_000)
    with pytest.raises(PayloadTooBig):
        inflate(make(), stream * 100, max_size=999_999)


# Final blocks (RFC 7692 section 7.2.3.4).


@pytest.mark.parametrize("no_takeover", [False, True])
@pytest.mark.parametrize("size", [1, 5_000, 100_000])
def test_final_blocks_anywhere(size: int, no_takeover: bool) -> None:
    text = random.Random(size).randbytes(size)
    final, ordinary = raw(text, flush=zlib.Z_FINISH), raw(text)
    codec = make(no_takeover)
    for wire, count in [
        (final + b"\x00", 1),
        (final, 1),  # not what the RFC asks of the sender, and still unambiguous
        (final + final + b"\x00", 2),
        (final + ordinary[:-4], 2),
        (ordinary + final + b"\x00", 2),
        (final * 5 + ordinary[:-4], 6),
        (ordinary[:-4], 1),
    ]:
        assert inflate(codec, wire) == text * count
        for split in {0, 1, len(final) - 1, len(final), len(final) + 1, len(wire) - 1}:
            if split < len(wire):
                assert inflate(codec, wire[:split], wire[split:]) == text * count


def test_a_final_block_that_swallows_the_octets_left_out_is_refused() -> None:
    # A stored final block of 5 octets of which one is sent.
    for filling in (b"", bytes(4000)):
        stored = b"\x01" + (len(filling) + 5).to_bytes(2, "little")
        stored += (0xFFFF - len(filling) - 5).to_bytes(2, "little") + filling + b"x"
        with pytest.raises(ProtocolError, match="incomplete"):
            inflate(make(), stored)


def test_a_flood_of_final_blocks_is_refused_quickly() -> None:
    wire = b"\x03\x00" * 500_000
    start = time.process_time()
    for parts in ([wire], [wire[i : i + 100] for i in range(0, len(wire), 100)]):
        with pytest.raises(ProtocolError, match="more than 1024 final"):
            inflate(make(), *parts)
    # Tens of milliseconds; minutes if what is left over were copied for each block.
    assert time.process_time() - start < 2
    codec = make()
    for _ in range(5):  # counted for each message, not for the connection
        assert inflate(codec, b"\x03\x00" * 1000) == b""


# Data that are not DEFLATE.


@pytest.mark.parametrize(
    "wire",
    [
        pytest.param(b"\x06", id="block type 3"),
        pytest.param(b"\xff" * 8, id="block type 3, final"),
        pytest.param(b"\x00\x05\x00\x00\x00Hello", id="length of a stored block"),
        pytest.param(bytes.fromhex("f200110000"), id="distance before the window"),
        pytest.param(b"\x00" * 3 + b"\xff" * 5000, id="stored block, long"),
    ],
)
def test_invalid_data_are_a_protocol_error(wire: bytes) -> None:
    with pytest.raises(ProtocolError, match="not valid DEFLATE"):
        inflate(make(), wire)
    with pytest.raises(ProtocolError, match="not valid DEFLATE"):
        inflate(make(), *(wire[i : i + 1] for i in range(len(wire))), b"")


# Frames that are none of the codec's business.


@pytest.mark.parametrize("opcode", [Opcode.PING, Opcode.PONG, Opcode.CLOSE])
def test_control_frames_pass_in_the_middle_of_a_message(opcode: Opcode) -> None:
    sender, receiver = make(), make()
    control = Frame(opcode, b"\x03\xe8", rsv1=True)
    first = sender.encode(Frame(Opcode.TEXT, b"he", False))
    assert sender.encode(control) is control
    last = sender.encode(Frame(Opcode.CONT, b"llo", True))
    assert receiver.decode(first).data == b"he"
    assert receiver.decode(control) is control
    assert receiver.decode(last) == Frame(Opcode.CONT, b"llo", True)


def test_uncompressed_messages_pass_between_compressed_ones() -> None:
    receiver = make()
    for _ in range(2):
        for frame in frames([b"plain", b"", b"text"]):
            assert receiver.decode(frame) is frame
        assert inflate(receiver, raw(b"Hello")[:-4]) == b"Hello"
        receiver.release()


def test_rsv1_in_a_continuation_of_a_compressed_message_is_refused() -> None:
    receiver = make()
    receiver.decode(Frame(Opcode.TEXT, b"", False, rsv1=True))
    with pytest.raises(ProtocolError, match="RSV1"):
        receiver.decode(Frame(Opcode.CONT, b"\x00", True, rsv1=True))


def test_other_reserved_bits_and_the_opcode_are_kept() -> None:
    frame = make().encode(Frame(Opcode.TEXT, b"Hello", True, False, True, True))
    assert (frame.opcode, frame.rsv1, frame.rsv2, frame.rsv3) == (Opcode.TEXT, True, True, True)
    frame = make().decode(frame)
    assert frame == Frame(Opcode.TEXT, b"Hello", True, False, True, True)


# Life of the codecs.


def test_release_forgets_the_compressor_between_messages_only() -> None:
    before = own_codecs()
    sender, receiver = make(), make()
    message = documents(1)[0]
    for _ in range(3):
        sizes = []
        for count in range(4):
            wire = compress(sender, message)
            sizes.append(len(wire))
            assert inflate(receiver, wire) == message
            held = [a - b for a, b in zip(own_codecs(), before, strict=True)]
            assert held == ([1, 1] if count else [0, 0])
        assert sizes[0] > 5 * sizes[1]
        wire = sender.encode(Frame(Opcode.TEXT, message, False)).data
        sender.release()
        wire += sender.encode(Frame(Opcode.CONT, message, True)).data
        assert len(wire) < sizes[0]
        assert inflate(receiver, wire) == message * 2
        sender.release()
        receiver.release()
        assert own_codecs() == before


def test_codecs_go_with_their_connection() -> None:
    before = own_codecs()
    codec = make()
    for _ in range(2):
        inflate(make(), compress(codec, b"text"))
        inflate(codec, raw(b"text")[:-4])
    assert own_codecs() == (before[0] + 1, before[1] + 1)
    del codec
    assert own_codecs() == before


@pytest.mark.parametrize("bits", range(8, 16))
@pytest.mark.parametrize("size", [1, 30, 300, 5000, 70_000])
def test_what_a_peer_may_refer_to_survives_a_release(bits: int, size: int) -> None:
    source = random.Random(bits)
    encoder = zlib.compressobj(level=9, wbits=-max(bits, 9))
    codec = make(remote_bits=max(bits, 9))
    text = source.randbytes(2**bits - 40)
    said = 0
    for number in range(60):
        at = number * 7 % len(text)
        message = (text[at : at + size] + text)[:size] + text[: size % 97]
        wire = encoder.compress(message) + encoder.flush(zlib.Z_SYNC_FLUSH)
        said += len(message) - len(wire)
        assert inflate(codec, wire[:-4]) == message
        if number % 3 == 0:
            codec.release()
    assert said > 0 or size == 1 or bits <= 9


def test_history_is_bounded_by_the_window() -> None:
    codec = make(remote_bits=10)
    compress(codec, b"text")  # makes the compressor that all share
    tracemalloc.start()
    try:
        for size in [1, 100, 1023, 1024, 1025, 1_000_000, 1]:
            wire = raw(b"z" * size, bits=10)[:-4]
            for _ in range(2000 if size < 1000 else 1):
                inflate(codec, wire)
                # Between two messages of a burst some pieces more.
                assert tracemalloc.get_traced_memory()[0] < 100_000
            codec.release()
            assert tracemalloc.get_traced_memory()[0] < 6000
    finally:
        tracemalloc.stop()


def test_a_final_block_does_not_hide_the_window_from_a_later_message() -> None:
    codec = make()
    first = raw(b"Hello, hello, hello", flush=zlib.Z_FINISH)
    assert inflate(codec, first + b"\x00") == b"Hello, hello, hello"
    encoder = zlib.compressobj(wbits=-15, zdict=b"Hello, hello, hello")
    wire = encoder.compress(b"hello, hello") + encoder.flush(zlib.Z_SYNC_FLUSH)
    assert inflate(codec, wire[:-4]) == b"hello, hello"


@pytest.mark.parametrize("releases", [False, True])
def test_a_dictionary_is_referred_to_at_the_right_distance(releases: bool) -> None:
    zdict = documents(1)[0]
    codec = make(settings={"zdict": zdict})  # type: ignore[dict-item]
    decoder = zlib.decompressobj(wbits=-15, zdict=zdict)
    for message in [zdict[10:200], b"between", zdict[20:300]]:
        assert decoder.decompress(compress(codec, message) + EMPTY_BLOCK) == message
        if releases:
            codec.release()


def test_there_is_a_bound_on_compressors_and_inflaters() -> None:
    """All connections work on when it is reached; those beyond it compress less well."""
    before = own_codecs()
    bound = 1024
    message = documents(1)[0]
    codecs = [(make(), make()) for _ in range(bound + 20 - before[0])]
    for count in range(3):
        sizes = []
        for sender, receiver in codecs:
            wire = compress(sender, message)
            sizes.append(len(wire))
            assert inflate(receiver, wire) == message
        if count:
            assert own_codecs() == (bound, bound)
    assert sizes[0] < sizes[-1] / 5
    assert sizes[-20] == sizes[-1]
    codecs.clear()
    assert own_codecs()[0] < bound


def test_threads_may_share_compressors() -> None:
    texts = [b"".join(documents(n)) for n in (1, 5, 50)]
    wrong: list[bytes] = []

    def work() -> None:
        codec = make(local_no_takeover=True)
        for message in texts * 20:
            if zlib.decompressobj(wbits=-15).decompress(compress(codec, message)) != message:
                wrong.append(message)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_release_in_the_middle_of_a_received_message_keeps_its_window() -> None:
    wire = raw(b"Hello Hello Hello")[:-4]
    receiver = make(remote_no_takeover=True)
    for split in range(len(wire)):
        text = receiver.decode(Frame(Opcode.TEXT, wire[:split], False, rsv1=True)).data
        receiver.release()
        text += receiver.decode(Frame(Opcode.CONT, wire[split:], True)).data
        assert text == b"Hello Hello Hello"


def test_the_codec_library_is_loaded_by_the_first_message() -> None:
    program = """
import sys
from duologue.wire.permessage_deflate import *
from duologue.wire.frame import Frame, Opcode
offer = ClientPerMessageDeflateFactory().get_request_params()
_, server = enable_server_permessage_deflate(None)[0].process_request_params(offer, [])
server.encode(Frame(Opcode.TEXT, b""))
assert not any(name.startswith("zlib_ng") for name in sys.modules)
server.encode(Frame(Opcode.TEXT, b"Hello"))
assert "zlib_ng.zlib_ng" in sys.modules
"""
    subprocess.run([sys.executable, "-c", program], check=True)


# Construction.


def test_attributes_and_repr() -> None:
    codec = PerMessageDeflate(True, False, 9, 10, {"level": 1}, threshold=5)
    assert isinstance(codec, Extension)
    assert codec.name == "permessage-deflate"
    assert codec.remote_no_context_takeover is True
    assert codec.local_no_context_takeover is False
    assert (codec.remote_max_window_bits, codec.local_max_window_bits) == (9, 10)
    assert codec.compress_settings == {"level": 1}
    assert codec.threshold == 5
    assert make().threshold == 1024
    assert repr(codec) == (
        "PerMessageDeflate(remote_no_context_takeover=True, local_no_context_takeover=False, "
        "remote_max_window_bits=9, local_max_window_bits=10)"
    )


@pytest.mark.parametrize("bits", [0, 7, 16, -15])
def test_windows_out_of_range_are_refused(bits: int) -> None:
    with pytest.raises(ValueError, match=f"remote_max_window_bits must be .* not {bits}"):
        make(remote_bits=bits)
    with pytest.raises(ValueError, match=f"local_max_window_bits must be .* not {bits}"):
        make(local_bits=bits)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"wbits": 12}, "must not include wbits"),
        ({"levle": 1}, "must not include 'levle'"),
        ({"level": 10}, "level .* between -1 and 9, not 10"),
        ({"memLevel": 0}, "memLevel .* between 1 and 9, not 0"),
        ({"strategy": "fast"}, "strategy .* between 0 and 4, not 'fast'"),
    ],
)
def test_wrong_compress_settings_are_refused_at_once(
    settings: dict[str, int], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        check_compress_settings(settings)
    with pytest.raises(ValueError, match=message):
        make(settings=settings)


def test_a_negative_threshold_is_refused() -> None:
    with pytest.raises(ValueError, match="threshold must be 0 or more, not -1"):
        PerMessageDeflate(False, False, 15, 15, threshold=-1)
