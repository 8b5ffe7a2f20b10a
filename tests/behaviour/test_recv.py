"""Receiving whole messages: ``recv``, iteration, cancellation, concurrency."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from .ends import (
    BINARY,
    CLOSE,
    CONT,
    PING,
    TEXT,
    close_payload,
    encode_frame,
    ends,
    stays_pending,
    turns,
    wire,
)
from .library import Library


@pytest.mark.parametrize("message", ["😀 hello", "", b"\x01\x02\xfe\xff", b""])
async def test_text_and_binary(lib: Library, role: str, message: str | bytes) -> None:
    async with ends(lib, role) as (local, remote):
        await remote.send(message)
        received = await local.recv()
        assert received == message
        assert type(received) is type(message)


@pytest.mark.parametrize(
    ("opcode", "decode", "expected"),
    [
        (TEXT, None, "😀"),
        (TEXT, True, "😀"),
        (TEXT, False, "😀".encode()),
        (BINARY, None, "😀".encode()),
        (BINARY, True, "😀"),
        (BINARY, False, "😀".encode()),
    ],
)
async def test_decode(
    lib: Library, role: str, opcode: int, decode: bool | None, expected: str | bytes
) -> None:
    async with wire(lib, role) as (connection, peer):
        await peer.send(opcode, "😀".encode())
        received = await connection.recv(decode=decode)
        assert received == expected
        assert type(received) is type(expected)


async def test_decode_by_position(lib: Library) -> None:
    async with ends(lib) as (local, remote):
        await remote.send("text")
        assert await local.recv(False) == b"text"


@pytest.mark.parametrize("size", [0, 1, 125, 126, 127, 65535, 65536, 300_000])
async def test_sizes(lib: Library, role: str, size: int) -> None:
    message = bytes(range(256)) * (size // 256 + 1)
    async with ends(lib, role) as (local, remote):
        await remote.send(message[:size])
        assert await local.recv() == message[:size]


async def test_fragmented_text(lib: Library, role: str) -> None:
    async with wire(lib, role) as (connection, peer):
        await peer.send(TEXT, b"caf", fin=False)
        await peer.send(CONT, "é ".encode()[:1], fin=False)
        await peer.send(CONT, "é ".encode()[1:], fin=True)
        assert await connection.recv() == "café "


async def test_fragmented_binary_with_a_ping_between(lib: Library, role: str) -> None:
    async with wire(lib, role) as (connection, peer):
        await peer.send(BINARY, b"\x00", fin=False)
        await peer.send(PING, b"between")
        await peer.send(CONT, b"", fin=False)
        await peer.send(CONT, b"\xff")
        assert await connection.recv() == b"\x00\xff"
        assert (await peer.receive()).payload == b"between"


async def test_order(lib: Library, role: str) -> None:
    async with ends(lib, role) as (local, remote):
        for i in range(10):
            await remote.send(str(i))
        assert [await local.recv() for _ in range(10)] == [str(i) for i in range(10)]


async def test_many_messages_in_one_read(lib: Library, role: str) -> None:
    async with wire(lib, role) as (connection, peer):
        mask = role == "server"
        octets = b"".join(encode_frame(TEXT, b"%d" % i, mask=mask) for i in range(100))
        await peer.send_octets(octets)
        assert [await connection.recv() for _ in range(100)] == [str(i) for i in range(100)]


async def test_octet_by_octet(lib: Library, role: str) -> None:
    async with wire(lib, role) as (connection, peer):
        octets = encode_frame(TEXT, "späm".encode(), mask=role == "server")
        for i in range(len(octets)):
            await peer.send_octets(octets[i : i + 1])
            await asyncio.sleep(0.001)
        assert await connection.recv() == "späm"


# Waiting.


async def test_waits_for_a_message(lib: Library, role: str) -> None:
    async with ends(lib, role) as (local, remote):
        task = asyncio.create_task(local.recv())
        assert await stays_pending(task, 0.01)
        await remote.send("now")
        assert await task == "now"


async def test_in_a_task_and_gathered(lib: Library, role: str) -> None:
    async with ends(lib, role) as (local, remote):
        received, _ = await asyncio.gather(local.recv(), remote.send("gathered"))
        assert received == "gathered"
        async with asyncio.TaskGroup() as group:
            task = group.create_task(local.recv())
            group.create_task(remote.send("grouped"))
        assert task.result() == "grouped"


async def test_ready_message_in_a_task(lib: Library, role: str) -> None:
    async with ends(lib, role) as (local, remote):
        await remote.send("one")
        await remote.send("two")
        assert await local.recv() == "one"
        assert await asyncio.create_task(local.recv()) == "two"


async def test_wait_for_a_ready_message(lib: Library, role: str) -> None:
    async with ends(lib, role) as (local, remote):
        await remote.send("ready")
        assert await asyncio.wait_for(local.recv(), 5) == "ready"


async def test_nothing_lost_when_wait_for_times_out(lib: Library, role: str) -> None:
    async with ends(lib, role) as (local, remote):
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(local.recv(), 0.01)
        await remote.send("later")
        assert await local.recv() == "later"


async def test_nothing_lost_when_timeout_expires(lib: Library, role: str) -> None:
    async with ends(lib, role) as (local, remote):
        for i in range(3):
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.01):
                    await local.recv()
            await remote.send(str(i))
            assert await local.recv() == str(i)


async def test_nothing_lost_when_cancelled_as_the_message_arrives(lib: Library, role: str) -> None:
    async with ends(lib, role) as (local, remote):
        for turns_before in range(12):
            task = asyncio.create_task(local.recv())
            await asyncio.sleep(0)
            await remote.send("precious")
            await turns(turns_before)
            task.cancel()
            try:
                message = await task
            except asyncio.CancelledError:
                message = await local.recv()
            assert message == "precious"


async def test_nothing_lost_when_cancelled_between_fragments(lib: Library, role: str) -> None:
    async with wire(lib, role) as (connection, peer):
        await peer.send(TEXT, b"one ", fin=False)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(connection.recv(), 0.02)
        await peer.send(CONT, b"two ", fin=False)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(connection.recv(), 0.02)
        await peer.send(CONT, b"three")
        assert await connection.recv() == "one two three"


async def test_cancel_before_it_starts(lib: Library, role: str) -> None:
    async with ends(lib, role) as (local, remote):
        task = asyncio.create_task(local.recv())
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await remote.send("hello")
        assert await local.recv() == "hello"


async def test_recv_in_other_tasks_one_after_another(lib: Library, role: str) -> None:
    async with ends(lib, role) as (local, remote):
        received = []

        async def receive() -> None:
            received.append(await local.recv())

        for text in ("one", "two"):
            await remote.send(text)
            await asyncio.create_task(receive())
        assert received == ["one", "two"]


# Concurrency.


async def test_two_recv_at_once(lib: Library, role: str) -> None:
    async with ends(lib, role) as (local, remote):
        first = asyncio.create_task(local.recv())
        await turns()
        with pytest.raises(lib.ConcurrencyError) as raised:
            await local.recv()
        assert str(raised.value) == (
            "cannot call recv while another coroutine is already running recv or recv_streaming"
        )
        await remote.send("for the first")
        assert await first == "for the first"


async def test_recv_during_recv_streaming(lib: Library, role: str) -> None:
    async with wire(lib, role) as (connection, peer):
        await peer.send(TEXT, b"one", fin=False)
        iterator = connection.recv_streaming()
        assert await anext(iterator) == "one"
        with pytest.raises(lib.ConcurrencyError):
            await connection.recv()


async def test_recv_and_send_at_once(lib: Library, role: str) -> None:
    async with ends(lib, role) as (local, remote):
        receiving = asyncio.create_task(local.recv())
        await turns()
        await local.send("out")
        assert await remote.recv() == "out"
        await remote.send("in")
        assert await receiving == "in"


# Iteration.


async def test_iteration_ends_on_1000(lib: Library, role: str) -> None:
    async with ends(lib, role) as (local, remote):
        await remote.send("one")
        await remote.send(b"two")
        await remote.close()
        assert [message async for message in local] == ["one", b"two"]


@pytest.mark.parametrize("code", [1001, None])
async def test_iteration_ends_on_1001_and_no_code(
    lib: Library, role: str, code: int | None
) -> None:
    async with wire(lib, role) as (connection, peer):
        await peer.send(TEXT, b"one")
        closing = asyncio.create_task(peer.close(code))
        assert [message async for message in connection] == ["one"]
        await closing


async def test_iteration_raises_on_other_codes(lib: Library, role: str) -> None:
    async with ends(lib, role) as (local, remote):
        await remote.send("one")
        await remote.close(1011, "oops")
        received = []
        with pytest.raises(lib.ConnectionClosedError) as raised:
            async for message in local:
                received.append(message)
        assert received == ["one"]
        assert raised.value.rcvd == lib.Close(1011, "oops")


async def test_iteration_raises_on_a_cut(lib: Library, role: str) -> None:
    async with wire(lib, role) as (connection, peer):
        await peer.send(TEXT, b"one")
        received = []
        with pytest.raises(lib.ConnectionClosedError) as raised:
            async for message in connection:
                received.append(message)
                peer.abort()
        assert received == ["one"]
        assert raised.value.rcvd is None


async def test_iteration_can_be_left_and_resumed(lib: Library, role: str) -> None:
    async with ends(lib, role) as (local, remote):
        for text in ("one", "two", "three"):
            await remote.send(text)
        async for message in local:
            assert message == "one"
            break
        assert await local.recv() == "two"
        async for message in local:
            assert message == "three"
            break


# After the end.


async def test_messages_that_arrived_before_the_close(lib: Library, role: str) -> None:
    async with ends(lib, role) as (local, remote):
        await remote.send("one")
        await remote.send("two")
        await remote.close()
        assert await local.recv() == "one"
        assert await local.recv() == "two"
        with pytest.raises(lib.ConnectionClosedOK):
            await local.recv()


async def test_recv_after_close(lib: Library, role: str) -> None:
    async with ends(lib, role) as (local, _):
        await local.close()
        for _ in range(3):
            with pytest.raises(lib.ConnectionClosedOK):
                await local.recv()


async def test_waiting_recv_when_the_remote_closes(lib: Library, role: str) -> None:
    async with ends(lib, role) as (local, remote):
        receiving = asyncio.create_task(local.recv())
        await turns()
        await remote.close(1000, "done")
        with pytest.raises(lib.ConnectionClosedOK) as raised:
            await receiving
        assert raised.value.rcvd == lib.Close(1000, "done")
        assert raised.value.sent == lib.Close(1000, "done")
        assert raised.value.rcvd_then_sent is True


async def test_waiting_recv_when_the_local_end_closes(lib: Library, role: str) -> None:
    async with ends(lib, role) as (local, _):
        receiving = asyncio.create_task(local.recv())
        await turns()
        await local.close(1000, "done")
        with pytest.raises(lib.ConnectionClosedOK) as raised:
            await receiving
        assert raised.value.sent == lib.Close(1000, "done")
        assert raised.value.rcvd_then_sent is False


async def test_incomplete_fragmented_message_is_not_delivered(lib: Library, role: str) -> None:
    async with wire(lib, role) as (connection, peer):
        await peer.send(TEXT, b"half", fin=False)
        receiving = asyncio.create_task(connection.recv())
        await turns()
        peer.abort()
        with pytest.raises(lib.ConnectionClosedError):
            await receiving


# Messages that must not be accepted.


@pytest.mark.parametrize(
    ("frames", "code"),
    [
        ([(TEXT, b"\xff", True)], 1007),
        ([(TEXT, b"caf\xc3", True)], 1007),
        ([(TEXT, b"caf\xc3", False), (CONT, b"\x28", True)], 1007),
        ([(CONT, b"", True)], 1002),
        ([(TEXT, b"one", False), (TEXT, b"two", True)], 1002),
        ([(0x3, b"", True)], 1002),
        ([(0xB, b"", True)], 1002),
        ([(PING, b"", False)], 1002),
        ([(PING, b"x" * 126, True)], 1002),
        ([(CLOSE, b"\x03", True)], 1002),
        ([(CLOSE, close_payload(1005), True)], 1002),
        ([(CLOSE, close_payload(999), True)], 1002),
        ([(CLOSE, close_payload(5000), True)], 1002),
        ([(CLOSE, close_payload(1000) + b"\xff", True)], 1007),
    ],
)
async def test_faults(
    lib: Library, role: str, frames: list[tuple[int, bytes, bool]], code: int
) -> None:
    async with wire(lib, role, close_timeout=0.1) as (connection, peer):
        receiving = asyncio.create_task(connection.recv())
        for opcode, payload, fin in frames:
            await peer.send(opcode, payload, fin=fin)
        sent, _ = await peer.receive_close()
        peer.writer.close()
        assert sent == code
        with pytest.raises(lib.ConnectionClosedError) as raised:
            await receiving
        assert raised.value.sent.code == code


async def test_masking_is_checked(lib: Library, role: str) -> None:
    async with wire(lib, role, close_timeout=0.1) as (connection, peer):
        peer.masks = not peer.masks
        await peer.send(TEXT, b"hello")
        sent, _ = await peer.receive_close()
        peer.writer.close()
        assert sent == 1002
        with pytest.raises(lib.ConnectionClosedError):
            await connection.recv()


@pytest.mark.parametrize("rsv", [1, 2, 4])
async def test_reserved_bits_are_checked(lib: Library, role: str, rsv: int) -> None:
    async with wire(lib, role, compression=None, close_timeout=0.1) as (connection, peer):
        await peer.send(TEXT, b"hello", rsv=rsv)
        sent, _ = await peer.receive_close()
        peer.writer.close()
        assert sent == 1002
        with pytest.raises(lib.ConnectionClosedError):
            await connection.recv()


async def test_binary_that_is_not_utf8_with_decode(lib: Library, role: str) -> None:
    async with wire(lib, role, close_timeout=0.1) as (connection, peer):
        await peer.send(BINARY, b"\xff\xfe")
        receiving = asyncio.create_task(connection.recv(decode=True))
        sent, _ = await peer.receive_close()
        peer.writer.close()
        assert sent == 1007
        with pytest.raises(lib.ConnectionClosedError) as raised:
            await receiving
        assert isinstance(raised.value.__cause__, UnicodeDecodeError)


async def test_cause_of_a_fault(lib: Library, role: str) -> None:
    async with wire(lib, role, close_timeout=0.1) as (connection, peer):
        await peer.send(0x3)
        await peer.receive_close()
        peer.writer.close()
        with pytest.raises(lib.ConnectionClosedError) as raised:
            await connection.recv()
        cause: Any = raised.value.__cause__
        assert isinstance(cause, lib.ProtocolError)
