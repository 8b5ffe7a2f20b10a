"""Every malformed frame, sent to a server and to a client, whole and octet by octet."""

from __future__ import annotations

import asyncio
import contextlib
import random
import zlib
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from duologue.exceptions import (
    ConnectionClosedError,
    PayloadTooBig,
    ProtocolError,
    TooManyFragments,
)

from .hostile import (
    BINARY,
    CLOSE,
    CONT,
    PATIENCE,
    PING,
    PONG,
    TEXT,
    Raw,
    close_code,
    close_frame,
    connect,
    frame,
    hostile_server,
    opened,
    parse_frames,
    response,
    watched,
)

GREETING = "before the fault"
DEFLATE = "Sec-WebSocket-Extensions: permessage-deflate"


def malformed(mask: bool) -> Iterator[tuple[str, bytes, int]]:
    """Yield name, octets and close code of each fault, for a peer that masks or does not."""

    def make(opcode: int, payload: bytes = b"", **options: Any) -> bytes:
        options.setdefault("mask", mask)
        return frame(opcode, payload, **options)

    for opcode in (3, 4, 5, 6, 7, 11, 12, 13, 14, 15):
        yield f"reserved opcode {opcode}", make(opcode, b"x"), 1002
    for opcode in (TEXT, BINARY, PING, PONG, CLOSE):
        for bit, rsv in ((1, 4), (2, 2), (3, 1)):
            yield f"RSV{bit} in opcode {opcode}", make(opcode, rsv=rsv), 1002
    yield "mask of the wrong side", make(TEXT, b"x", mask=not mask), 1002
    yield "mask of the wrong side, control", make(PING, b"x", mask=not mask), 1002
    for opcode in (PING, PONG, CLOSE):
        yield f"fragmented opcode {opcode}", make(opcode, fin=False), 1002
        yield f"126 octets in opcode {opcode}", make(opcode, bytes(126)), 1002
        yield f"64-bit length in opcode {opcode}", make(opcode, declared=2**20), 1002
    yield "16-bit length of 125", make(BINARY, bytes(125), length_size=2), 1002
    yield "64-bit length of 125", make(BINARY, bytes(125), length_size=8), 1002
    yield "64-bit length of 65535", make(BINARY, bytes(65535), length_size=8), 1002
    yield "64-bit length above 2**63", make(BINARY, b"x", declared=2**63 + 1), 1002
    yield "more than max_size declared", make(BINARY, b"x", declared=2**20 + 1), 1009
    yield "2**62 declared", make(BINARY, b"x", declared=2**62), 1009
    yield "continuation of nothing", make(CONT, b"x"), 1002
    yield "text in a fragmented message", make(TEXT, b"a", fin=False) + make(TEXT, b"b"), 1002
    yield "binary in a fragmented message", make(TEXT, b"a", fin=False) + make(BINARY, b"b"), 1002
    yield "close with 1 octet", make(CLOSE, b"\x03"), 1002
    for code in (0, 1, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65535):
        yield f"close code {code}", close_frame(code, mask=mask), 1002
    yield "close reason not UTF-8", make(CLOSE, b"\x03\xe8\xff"), 1007
    yield "close reason cut off", make(CLOSE, b"\x03\xe8\xe2\x82"), 1007
    for name, octets in (
        ("0xff", b"abc\xff"),
        ("lone continuation octet", b"\x80"),
        ("overlong", b"\xc0\xaf"),
        ("surrogate", b"\xed\xa0\x80"),
        ("above U+10FFFF", b"\xf4\x90\x80\x80"),
        ("cut off", b"abc\xe2\x82"),
    ):
        yield f"text with UTF-8 {name}", make(TEXT, octets), 1007
    yield (
        "text not UTF-8 across fragments",
        (make(TEXT, b"\xe2", fin=False) + make(CONT, b"\x82", fin=False) + make(CONT, b"\xff")),
        1007,
    )
    # Refused at the wrong octet: neither the rest of the frame nor of the message ever comes.
    yield "text not UTF-8 in an unfinished frame", make(TEXT, b"\xff", declared=1000), 1007
    yield "text not UTF-8 in an unfinished message", make(TEXT, b"\xff", fin=False), 1007
    yield (
        "too many fragments",
        (make(TEXT, b"a", fin=False) + make(CONT, b"", fin=False) * 20_000),
        1009,
    )


def malformed_compressed(mask: bool) -> Iterator[tuple[str, bytes, int]]:
    """Yield the faults that exist with permessage-deflate only."""

    def make(opcode: int, payload: bytes = b"", **options: Any) -> bytes:
        return frame(opcode, payload, mask=mask, **options)

    hello = zlib.compress(b"Hello", wbits=-15)
    yield "RSV1 in a ping", make(PING, rsv=4), 1002
    yield "RSV1 in a close", make(CLOSE, rsv=4), 1002
    yield "RSV2", make(TEXT, hello, rsv=6), 1002
    yield "RSV1 in a continuation", make(TEXT, b"\x00", rsv=4, fin=False) + make(CONT, rsv=4), 1002
    yield "RSV1 in a continuation of plain text", make(TEXT, fin=False) + make(CONT, rsv=4), 1002
    yield "block type 3", make(TEXT, b"\x06", rsv=4), 1002
    yield "reference before the window", make(TEXT, bytes.fromhex("f200110000"), rsv=4), 1002
    yield "compressed text not UTF-8", make(TEXT, zlib.compress(b"\xff", wbits=-15), rsv=4), 1007
    encoder = zlib.compressobj(9, wbits=-15)
    bomb = encoder.compress(bytes(50_000_000)) + encoder.flush(zlib.Z_SYNC_FLUSH)
    yield "zip bomb", make(BINARY, bomb[:-4], rsv=4), 1009
    first, second = bomb[:1000], bomb[1000:-4]
    yield (
        "zip bomb in two fragments",
        (make(BINARY, first, rsv=4, fin=False) + make(CONT, second)),
        1009,
    )
    yield "final blocks", make(BINARY, b"\x03\x00" * 100_000, rsv=4), 1002


def cases(mask: bool) -> list[Any]:
    return [
        pytest.param(octets, code, headers, id=name)
        for faults, headers in ((malformed(mask), ()), (malformed_compressed(mask), (DEFLATE,)))
        for name, octets, code in faults
    ]


ERRORS = {1002: ProtocolError, 1007: UnicodeDecodeError, 1009: (PayloadTooBig, TooManyFragments)}


def check_cause(exc: BaseException | None, code: int) -> None:
    """The end of a connection names the code that was sent, and what was wrong."""
    assert isinstance(exc, ConnectionClosedError)
    assert exc.sent is not None
    assert exc.sent.code == code
    if exc.rcvd is None:
        assert isinstance(exc.__cause__, ERRORS[code]), repr(exc.__cause__)
    assert str(code) in str(exc)


def pieces(octets: bytes, bytewise: bool) -> int | None:
    """Return the size of the pieces to send in; large inputs are not sent octet by octet."""
    if not bytewise:
        return None
    return 1 if len(octets) < 300 else 997


@pytest.mark.parametrize("bytewise", [False, True])
@pytest.mark.parametrize(("octets", "code", "headers"), cases(mask=True))
async def test_a_server_fails_the_connection(
    octets: bytes, code: int, headers: tuple[str, ...], bytewise: bool
) -> None:
    async with watched() as watch, opened(watch.server, *headers) as peer:
        await peer.send(frame(TEXT, GREETING.encode()) + octets, piece=pieces(octets, bytewise))
        answer = await peer.rest()
        # What came before the fault was answered, then the connection failed.
        assert parse_frames(answer)[0] == (TEXT, GREETING.encode())
        assert close_code(answer) == code
        ending = await watch.ending()
        assert ending.messages == [GREETING]
        check_cause(ending.exc, code)
        assert ending.connection.close_code == 1006  # no Close frame came back


@contextlib.asynccontextmanager
async def joined(*headers: str, **options: Any) -> AsyncIterator[tuple[Any, Raw]]:
    """Connect a client of the library to a raw server."""
    peers: asyncio.Queue[Raw] = asyncio.Queue()

    async def conversation(peer: Raw) -> None:
        await peer.send(response(await peer.head(), *headers))
        peers.put_nowait(peer)
        await asyncio.get_running_loop().create_future()

    async with hostile_server(conversation) as url:
        async with connect(url, **options) as client:
            yield client, await peers.get()


@pytest.mark.parametrize("bytewise", [False, True])
@pytest.mark.parametrize(("octets", "code", "headers"), cases(mask=False))
async def test_a_client_fails_the_connection(
    octets: bytes, code: int, headers: tuple[str, ...], bytewise: bool
) -> None:
    async with joined(*headers) as (client, peer):
        greeting = frame(TEXT, GREETING.encode(), mask=False)
        await peer.send(greeting + octets, piece=pieces(octets, bytewise))
        async with asyncio.timeout(PATIENCE):
            assert await client.recv() == GREETING
            ending = asyncio.ensure_future(client.recv())
            head = await peer.reader.readexactly(2)
            answer = head + await peer.reader.readexactly(4 + (head[1] & 127))
            assert close_code(answer) == code
            peer.abort()
            with pytest.raises(ConnectionClosedError) as caught:
                await ending
        check_cause(caught.value, code)


@pytest.mark.parametrize("ending", ["eof", "reset"])
async def test_frames_cut_off_anywhere(ending: str) -> None:
    whole = (
        frame(TEXT, b"one", fin=False)
        + frame(PING, b"two")
        + frame(CONT, b"x" * 200, fin=False)
        + frame(CONT, b"three")
        + close_frame(1000)[:-1]
    )
    async with watched() as watch:
        for cut in range(1, len(whole)):
            async with opened(watch.server) as peer:
                await peer.send(whole[:cut])
                if ending == "eof":
                    peer.writer.write_eof()
                    await peer.rest()
            end = await watch.ending()
            assert isinstance(end.exc, ConnectionClosedError)
            assert (end.exc.rcvd, end.connection.close_code) == (None, 1006)
            if ending == "eof":
                complete = cut >= whole.index(close_frame(1000)[:-1])
                assert end.messages == (["one" + "x" * 200 + "three"] if complete else [])


@pytest.mark.parametrize("seed", range(20))
async def test_random_octets(seed: int) -> None:
    source = random.Random(seed)
    async with watched() as watch, opened(watch.server, DEFLATE) as peer:
        octets = source.randbytes(50_000)
        if seed % 2:
            # Past the first gate: masked, an opcode that exists, a length that comes.
            octets = bytes([source.choice((0x81, 0x82, 0xC1, 0xC2)), 0xFE, 0x80, 0]) + octets
        await peer.send(octets)
        peer.writer.write_eof()
        answer = await peer.rest()
        ending = await watch.ending()
        assert isinstance(ending.exc, ConnectionClosedError)
        sent = ending.exc.sent
        assert close_code(answer) == (None if sent is None else sent.code)


async def test_whatever_follows_a_close_frame_is_ignored() -> None:
    async with watched() as watch, opened(watch.server) as peer:
        await peer.send(close_frame(1000) + frame(TEXT, b"late") + b"\xff" * 1000)
        assert parse_frames(await peer.rest()) == [(CLOSE, b"\x03\xe8")]
        ending = await watch.ending()
        assert ending.messages == []


async def test_faults_of_many_connections_do_not_touch_each_other() -> None:
    async with watched() as watch:
        async with opened(watch.server) as honest:
            for octets, _, _ in [case.values for case in cases(mask=True)][:40]:
                async with opened(watch.server) as peer:
                    await peer.send(octets)
                await honest.send(frame(TEXT, b"hello"))
                async with asyncio.timeout(PATIENCE):
                    assert await honest.reader.readexactly(7) == b"\x81\x05hello"
