"""permessage-deflate against other implementations, and against data drawn at random.

The others are `websockets` and wsproto, which know nothing of each other's code, and the standard
library's zlib as the judge of what an inflater with exactly the agreed window accepts.
"""

from __future__ import annotations

import itertools
import zlib
from types import SimpleNamespace
from typing import Any, Protocol

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from websockets.extensions.permessage_deflate import PerMessageDeflate as WebsocketsDeflate
from websockets.frames import Frame as WebsocketsFrame
from websockets.frames import Opcode as WebsocketsOpcode
from wsproto.extensions import PerMessageDeflate as WsprotoDeflate
from wsproto.frame_protocol import Opcode as WsprotoOpcode
from wsproto.frame_protocol import RsvBits

from duologue.base.exceptions import PayloadTooBig, ProtocolError
from duologue.wire.deflate import PerMessageDeflate
from duologue.wire.frame import Frame, Opcode

EMPTY_BLOCK = b"\x00\x00\xff\xff"


class Codec(Protocol):
    """One side of a connection, whoever wrote it."""

    def send(self, parts: list[bytes]) -> list[bytes]: ...

    def receive(self, parts: list[bytes]) -> bytes: ...


class Ours:
    def __init__(
        self, remote_nct: bool, local_nct: bool, remote_bits: int, local_bits: int, **options: Any
    ) -> None:
        self.codec = PerMessageDeflate(remote_nct, local_nct, remote_bits, local_bits, **options)

    def send(self, parts: list[bytes]) -> list[bytes]:
        sent = []
        for number, part in enumerate(parts):
            opcode = Opcode.CONT if number else Opcode.BINARY
            frame = self.codec.encode(Frame(opcode, part, number == len(parts) - 1))
            assert frame.rsv1 == (number == 0)
            sent.append(bytes(frame.data))
        return sent

    def receive(self, parts: list[bytes]) -> bytes:
        text = b""
        for number, part in enumerate(parts):
            opcode = Opcode.CONT if number else Opcode.BINARY
            frame = Frame(opcode, part, number == len(parts) - 1, rsv1=number == 0)
            text += self.codec.decode(frame).data
        return text


class Websockets:
    def __init__(
        self, remote_nct: bool, local_nct: bool, remote_bits: int, local_bits: int
    ) -> None:
        self.codec = WebsocketsDeflate(remote_nct, local_nct, remote_bits, local_bits)

    def send(self, parts: list[bytes]) -> list[bytes]:
        sent = []
        for number, part in enumerate(parts):
            opcode = WebsocketsOpcode.CONT if number else WebsocketsOpcode.BINARY
            frame = self.codec.encode(WebsocketsFrame(opcode, part, number == len(parts) - 1))
            sent.append(bytes(frame.data))
        return sent

    def receive(self, parts: list[bytes]) -> bytes:
        text = b""
        for number, part in enumerate(parts):
            opcode = WebsocketsOpcode.CONT if number else WebsocketsOpcode.BINARY
            fin = number == len(parts) - 1
            text += bytes(self.codec.decode(WebsocketsFrame(opcode, part, fin, number == 0)).data)
        return text


class Wsproto:
    def __init__(
        self, remote_nct: bool, local_nct: bool, remote_bits: int, local_bits: int
    ) -> None:
        # As a client: its own parameters are the client's.
        self.proto: Any = SimpleNamespace(client=True)
        self.codec = WsprotoDeflate(local_nct, local_bits, remote_nct, remote_bits)

    def send(self, parts: list[bytes]) -> list[bytes]:
        sent = []
        for number, part in enumerate(parts):
            opcode = WsprotoOpcode.CONTINUATION if number else WsprotoOpcode.BINARY
            fin = number == len(parts) - 1
            _, data = self.codec.frame_outbound(
                self.proto, opcode, RsvBits(False, False, False), part, fin
            )
            sent.append(bytes(data))
        return sent

    def receive(self, parts: list[bytes]) -> bytes:
        text = b""
        for number, part in enumerate(parts):
            opcode = WsprotoOpcode.CONTINUATION if number else WsprotoOpcode.BINARY
            bits = RsvBits(number == 0, False, False)
            assert self.codec.frame_inbound_header(self.proto, opcode, bits, len(part))
            text += self.read(self.codec.frame_inbound_payload_data(self.proto, part))
            done = self.codec.frame_inbound_complete(self.proto, number == len(parts) - 1)
            text += b"" if done is None else self.read(done)
        return text

    @staticmethod
    def read(result: object) -> bytes:
        assert isinstance(result, bytes), result
        return result


OTHERS = [Websockets, Wsproto]

# The standard library cannot compress with a window of 8, so the others are asked for 9 to 15.
PARAMETERS = list(itertools.product((False, True), (False, True), range(9, 16), range(9, 16)))

TEXT = b'{"user": "alice", "say": "hello"}' * 3
HISTORY = [TEXT, b"", bytes(range(256)) * 20, TEXT[::-1] + TEXT, b"\xff\xff\x00\x00", TEXT]


@pytest.mark.parametrize("other", OTHERS)
def test_every_combination_of_parameters_in_both_directions(other: type[Codec]) -> None:
    for remote_nct, local_nct, remote_bits, local_bits in PARAMETERS:
        ours = Ours(remote_nct, local_nct, remote_bits, local_bits)
        peer = other(local_nct, remote_nct, local_bits, remote_bits)  # type: ignore[call-arg]
        for message in HISTORY:
            assert peer.receive(ours.send([message])) == message
            assert ours.receive(peer.send([message])) == message


@pytest.mark.parametrize("other", OTHERS)
@pytest.mark.parametrize("ours_nct", [False, True])
@pytest.mark.parametrize("theirs_nct", [False, True])
def test_fragmentation_at_every_split(other: type[Codec], ours_nct: bool, theirs_nct: bool) -> None:
    ours = Ours(theirs_nct, ours_nct, 15, 15)
    peer = other(ours_nct, theirs_nct, 15, 15)  # type: ignore[call-arg]
    for split in range(len(TEXT) + 1):
        parts = [TEXT[:split], TEXT[split:]]
        assert peer.receive(ours.send(parts)) == TEXT
        assert ours.receive(peer.send(parts)) == TEXT
        # The wire cut anywhere, as an intermediary may do (RFC 7692 section 6.2).
        for sender, receiver in ((ours, peer), (peer, ours)):
            wire = b"".join(sender.send([TEXT]))
            assert receiver.receive([wire[:split], wire[split:]]) == TEXT


@pytest.mark.parametrize("other", OTHERS)
@settings(max_examples=100, deadline=None)
@given(
    messages=st.lists(st.lists(st.binary(max_size=3000), min_size=1, max_size=4), max_size=6),
    parameters=st.sampled_from(PARAMETERS),
)
def test_conversations_with_others(
    other: type[Codec],
    messages: list[list[bytes]],
    parameters: tuple[bool, bool, int, int],
) -> None:
    remote_nct, local_nct, remote_bits, local_bits = parameters
    ours = Ours(remote_nct, local_nct, remote_bits, local_bits)
    peer = other(local_nct, remote_nct, local_bits, remote_bits)  # type: ignore[call-arg]
    for parts in messages:
        assert peer.receive(ours.send(parts)) == b"".join(parts)
        assert ours.receive(peer.send(parts)) == b"".join(parts)


WORDS = st.lists(
    st.sampled_from([b"alpha", b"beta", b"\x00" * 300, bytes(range(256)), b"gamma" * 90]),
    max_size=40,
).map(b"".join)


@settings(max_examples=200, deadline=None)
@given(
    messages=st.lists(st.one_of(st.binary(max_size=500), WORDS), min_size=1, max_size=8),
    bits=st.integers(8, 15),
    takeover=st.booleans(),
    level=st.integers(-1, 9),
    mem_level=st.integers(1, 9),
    strategy=st.integers(0, 4),
    idle=st.sets(st.integers(0, 7)),
)
def test_an_inflater_of_the_agreed_window_reads_all_that_is_sent(
    messages: list[bytes],
    bits: int,
    takeover: bool,
    level: int,
    mem_level: int,
    strategy: int,
    idle: set[int],
) -> None:
    options = {"level": level, "memLevel": mem_level, "strategy": strategy}
    ours = Ours(False, not takeover, 15, bits, compress_settings=options)
    judge = zlib.decompressobj(wbits=-bits)
    for number, message in enumerate(messages):
        if not takeover:
            judge = zlib.decompressobj(wbits=-bits)
        if number in idle:
            ours.codec.release()
        wire = b"".join(ours.send([message]))
        assert judge.decompress(wire + EMPTY_BLOCK) == message
        assert not judge.unused_data


def reference(data: bytes, limit: int) -> bytes | None:
    """Inflate a message with the standard library; None if it is invalid or too long."""
    text = b""
    rest = data + EMPTY_BLOCK
    while rest:
        decoder = zlib.decompressobj(wbits=-15)
        try:
            text += decoder.decompress(rest, limit + 1)
        except zlib.error:
            return None
        if len(text) > limit:
            return None
        if not decoder.eof:
            break
        rest = decoder.unused_data
        if len(rest) < 4:
            return None
        if rest == EMPTY_BLOCK:
            break
    return text


@settings(max_examples=500, deadline=None)
@given(
    pieces=st.lists(
        st.one_of(
            st.binary(max_size=20),
            st.binary(max_size=300).map(lambda data: zlib.compress(data, wbits=-15)),
            WORDS.map(lambda data: zlib.compress(data, wbits=-15)),
        ),
        max_size=4,
    ),
    cuts=st.lists(st.integers(0, 2000), max_size=3),
    limit=st.one_of(st.integers(0, 3000), st.just(10**6)),
)
def test_hostile_data_give_what_zlib_gives_or_an_error_however_they_are_cut(
    pieces: list[bytes], cuts: list[int], limit: int
) -> None:
    wire = b"".join(pieces)
    expected = reference(wire, limit)
    bounds = sorted({0, len(wire), *(cut for cut in cuts if cut < len(wire))})
    parts = [wire[a:b] for a, b in itertools.pairwise(bounds)] or [b""]
    for fragments in ([wire], parts):
        codec, text = PerMessageDeflate(False, False, 15, 15), b""
        try:
            for number, part in enumerate(fragments):
                fin = number == len(fragments) - 1
                opcode = Opcode.CONT if number else Opcode.BINARY
                frame = Frame(opcode, part, fin, rsv1=number == 0)
                text += codec.decode(frame, max_size=limit - len(text)).data
        except (ProtocolError, PayloadTooBig):
            assert expected is None
        else:
            assert text == expected
