"""Sending: types of messages, fragmentation, order, and what happens once the end has come."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest

from .ends import BINARY, CONT, TEXT, RawPeer, ends, stays_pending, turns, wire
from .library import Library


async def receive_message(peer: RawPeer) -> tuple[int, list[bytes]]:
    """The next message: its opcode and the payloads of its frames that aren't empty."""
    first = await peer.receive()
    frames = [first]
    while not frames[-1].fin:
        frames.append(await peer.receive())
        assert frames[-1].opcode == CONT
    return first.opcode, [frame.payload for frame in frames if frame.payload]


async def alternate(*items: Any) -> AsyncIterator[Any]:
    for item in items:
        await asyncio.sleep(0)
        yield item


@pytest.mark.parametrize(
    ("message", "text", "opcode", "payload"),
    [
        ("😀", None, TEXT, "😀".encode()),
        ("😀", True, TEXT, "😀".encode()),
        ("😀", False, BINARY, "😀".encode()),
        (b"\x01\x02\xfe\xff", None, BINARY, b"\x01\x02\xfe\xff"),
        (b"text", True, TEXT, b"text"),
        (b"text", False, BINARY, b"text"),
        (bytearray(b"\x01\x02"), None, BINARY, b"\x01\x02"),
        (bytearray(b"text"), True, TEXT, b"text"),
        (memoryview(b"\x01\x02"), None, BINARY, b"\x01\x02"),
        (memoryview(b"text"), True, TEXT, b"text"),
    ],
)
async def test_types(
    lib: Library, role: str, message: Any, text: bool | None, opcode: int, payload: bytes
) -> None:
    async with wire(lib, role) as (connection, peer):
        await connection.send(message, text=text)
        frame = await peer.receive()
        assert (frame.opcode, frame.payload, frame.fin) == (opcode, payload, True)


@pytest.mark.parametrize("message", ["", b"", bytearray(), memoryview(b"")])
async def test_empty(lib: Library, role: str, message: Any) -> None:
    async with wire(lib, role) as (connection, peer):
        await connection.send(message)
        frame = await peer.receive()
        opcode = TEXT if isinstance(message, str) else BINARY
        assert (frame.opcode, frame.payload, frame.fin) == (opcode, b"", True)


FRAGMENTED = [
    (["😀", "😀"], None, TEXT, ["😀".encode()] * 2),
    (["a", "b"], True, TEXT, [b"a", b"b"]),
    (["a", "b"], False, BINARY, [b"a", b"b"]),
    ([b"\x01", b"\xfe"], None, BINARY, [b"\x01", b"\xfe"]),
    ([b"a", b"b"], True, TEXT, [b"a", b"b"]),
    ([b"a", b"b"], False, BINARY, [b"a", b"b"]),
    ([bytearray(b"a"), memoryview(b"b"), b"c"], None, BINARY, [b"a", b"b", b"c"]),
    (["only"], None, TEXT, [b"only"]),
]


@pytest.mark.parametrize("source", [list, tuple, iter, lambda items: alternate(*items)])
@pytest.mark.parametrize(("items", "text", "opcode", "payloads"), FRAGMENTED)
async def test_fragments(
    lib: Library,
    role: str,
    source: Callable[[list[Any]], Any],
    items: list[Any],
    text: bool | None,
    opcode: int,
    payloads: list[bytes],
) -> None:
    async with wire(lib, role) as (connection, peer):
        await connection.send(source(items), text=text)
        assert await receive_message(peer) == (opcode, payloads)


async def test_fragments_leave_as_they_are_produced(lib: Library, role: str) -> None:
    gate = asyncio.Event()

    async def fragments() -> AsyncIterator[str]:
        yield "one"
        yield "two"
        await gate.wait()
        yield "three"

    async with wire(lib, role) as (connection, peer):
        sending = asyncio.create_task(connection.send(fragments()))
        first = await peer.receive()
        assert (first.opcode, first.payload, first.fin) == (TEXT, b"one", False)
        gate.set()
        await sending
        payloads = []
        while True:
            frame = await peer.receive()
            payloads.append(frame.payload)
            if frame.fin:
                break
        assert b"".join(payloads) == b"twothree"


@pytest.mark.parametrize("source", [list, lambda items: alternate(*items)])
async def test_no_fragments_no_message(lib: Library, role: str, source: Any) -> None:
    async with ends(lib, role) as (local, remote):
        await local.send(source([]))
        await local.send("next")
        assert await remote.recv() == "next"


# Messages of a wrong type.


@pytest.mark.parametrize("message", [None, 42, 1.5, object()])
async def test_wrong_type(lib: Library, role: str, message: Any) -> None:
    async with ends(lib, role) as (local, remote):
        with pytest.raises(TypeError):
            await local.send(message)
        await local.send("still open")
        assert await remote.recv() == "still open"


async def test_dict(lib: Library, role: str) -> None:
    async with ends(lib, role) as (local, remote):
        with pytest.raises(TypeError, match="dict"):
            await local.send({"type": "object"})
        await local.send({"key": "value"}.keys())
        assert await remote.recv() == "key"


@pytest.mark.parametrize("source", [list, lambda items: alternate(*items)])
@pytest.mark.parametrize("items", [["text", b"binary"], [b"binary", "text"], ["text", None]])
async def test_mixed_fragments(lib: Library, role: str, source: Any, items: list[Any]) -> None:
    async with ends(lib, role) as (local, remote):
        with pytest.raises(TypeError):
            await local.send(source(items))
        await local.wait_closed()
        with pytest.raises(lib.ConnectionClosedError) as raised:
            await remote.recv()
        assert raised.value.rcvd.code == 1011


@pytest.mark.parametrize("source", [list, lambda items: alternate(*items)])
async def test_first_fragment_of_a_wrong_type(lib: Library, role: str, source: Any) -> None:
    async with ends(lib, role) as (local, _):
        with pytest.raises(TypeError):
            await local.send(source([None]))


@pytest.mark.parametrize("asynchronous", [False, True])
async def test_fragments_that_raise(lib: Library, role: str, asynchronous: bool) -> None:
    def fail() -> Iterator[str]:
        yield "one"
        raise ZeroDivisionError

    async def afail() -> AsyncIterator[str]:
        yield "one"
        raise ZeroDivisionError

    async with ends(lib, role) as (local, remote):
        with pytest.raises(ZeroDivisionError):
            await local.send(afail() if asynchronous else fail())
        with pytest.raises(lib.ConnectionClosedError) as raised:
            await remote.recv()
        assert raised.value.rcvd.code == 1011


# Order and concurrency.


async def test_gathered(lib: Library, role: str) -> None:
    async with ends(lib, role) as (local, remote):
        await asyncio.gather(local.send("a"), local.send("b"), local.send("c"))
        assert [await remote.recv() for _ in range(3)] == ["a", "b", "c"]


async def test_in_tasks(lib: Library, role: str) -> None:
    async with ends(lib, role) as (local, remote):
        async with asyncio.TaskGroup() as group:
            for i in range(20):
                group.create_task(local.send(str(i)))
        assert [await remote.recv() for _ in range(20)] == [str(i) for i in range(20)]


@pytest.mark.parametrize("message", ["whole", b"whole", ["other", " fragments"]])
async def test_fragmented_message_blocks_others(lib: Library, role: str, message: Any) -> None:
    gate = asyncio.Event()

    async def fragments() -> AsyncIterator[str]:
        yield "one"
        await gate.wait()
        yield "two"

    async with ends(lib, role) as (local, remote):
        first = asyncio.create_task(local.send(fragments()))
        await turns()
        second = asyncio.create_task(local.send(message))
        assert await stays_pending(second, 0.02)
        gate.set()
        await asyncio.gather(first, second)
        assert await remote.recv() == "onetwo"
        expected = "".join(message) if isinstance(message, list) else message
        assert await remote.recv() == expected


async def test_pings_pass_a_fragmented_message(lib: Library, role: str) -> None:
    gate = asyncio.Event()

    async def fragments() -> AsyncIterator[str]:
        yield "one"
        yield "two"
        await gate.wait()
        yield "three"

    async with ends(lib, role) as (local, remote):
        sending = asyncio.create_task(local.send(fragments()))
        receiving = asyncio.create_task(remote.recv())
        await turns()
        await (await local.ping())
        assert not sending.done()
        gate.set()
        await sending
        assert await receiving == "onetwothree"


async def test_others_go_on_after_a_failed_fragmented_message(lib: Library, role: str) -> None:
    gate = asyncio.Event()

    async def fragments() -> AsyncIterator[str]:
        yield "one"
        await gate.wait()
        raise ZeroDivisionError

    async with ends(lib, role) as (local, _):
        first = asyncio.create_task(local.send(fragments()))
        await turns()
        second = asyncio.create_task(local.send("second"))
        await turns()
        gate.set()
        with pytest.raises(ZeroDivisionError):
            await first
        with pytest.raises(lib.ConnectionClosedError):
            await second


async def test_the_message_may_change_after_send(lib: Library, role: str) -> None:
    async with ends(lib, role) as (local, remote):
        message = bytearray(b"before")
        await local.send(message)
        message[:] = b"after!"
        assert await remote.recv() == b"before"


async def test_large_message(lib: Library, role: str) -> None:
    message = "".join(map(str, range(150_000)))
    async with ends(lib, role, remote={"max_size": None}) as (local, remote):
        sending = asyncio.create_task(local.send(message))
        assert await remote.recv() == message
        await sending


async def test_after_recv_saw_nothing_yet(lib: Library, role: str) -> None:
    async with ends(lib, role) as (local, remote):
        for i in range(50):
            await local.send(str(i))
            await remote.send(str(-i))
        assert [await local.recv() for _ in range(50)] == [str(-i) for i in range(50)]
        assert [await remote.recv() for _ in range(50)] == [str(i) for i in range(50)]


# After the end.


async def test_after_local_close(lib: Library, role: str) -> None:
    async with ends(lib, role) as (local, _):
        await local.close()
        with pytest.raises(lib.ConnectionClosedOK) as raised:
            await local.send("too late")
        assert raised.value.sent.code == 1000


async def test_after_remote_close(lib: Library, role: str) -> None:
    async with ends(lib, role) as (local, remote):
        await remote.close(4000, "bye")
        await local.wait_closed()
        for message in ("text", b"binary", ["fragments"], alternate("fragments")):
            with pytest.raises(lib.ConnectionClosedError) as raised:
                await local.send(message)
            assert raised.value.rcvd == lib.Close(4000, "bye")


async def test_after_a_cut(lib: Library, role: str) -> None:
    async with wire(lib, role) as (connection, peer):
        peer.abort()
        await connection.wait_closed()
        with pytest.raises(lib.ConnectionClosedError) as raised:
            await connection.send("too late")
        assert raised.value.rcvd is None


async def test_while_closing_waits_for_the_end(lib: Library, role: str) -> None:
    async with wire(lib, role) as (connection, peer):
        closing = asyncio.create_task(connection.close())
        await turns()
        sending = asyncio.create_task(connection.send("too late"))
        assert await stays_pending(sending, 0.02)
        await peer.answer_close()
        with pytest.raises(lib.ConnectionClosedOK):
            await sending
        await closing
