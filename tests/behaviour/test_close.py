"""The closing handshake, and how the end of a connection is told."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from .ends import CLOSE, CONT, TEXT, close_payload, ends, stays_pending, turns, wire
from .library import Library


async def test_default(lib: Library, role: str) -> None:
    async with ends(lib, role) as (local, remote):
        await local.close()
        await remote.wait_closed()
        for end in (local, remote):
            assert end.state is lib.State.CLOSED
            assert (end.close_code, end.close_reason) == (1000, "")


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        (1000, "OK"),
        (1001, "bye"),
        (1003, ""),
        (1008, "pölicy"),
        (1012, ""),
        (1014, ""),
        (3000, "registered"),
        (3999, ""),
        (4000, "private"),
        (4999, "x" * 123),
    ],
)
async def test_code_and_reason(lib: Library, role: str, code: int, reason: str) -> None:
    async with ends(lib, role) as (local, remote):
        await local.close(code, reason)
        with pytest.raises(lib.ConnectionClosed) as raised:
            await remote.recv()
        assert raised.value.rcvd == lib.Close(code, reason)
        for end in (local, remote):
            assert (end.close_code, end.close_reason) == (code, reason)


async def test_code_and_reason_by_keyword(lib: Library) -> None:
    async with ends(lib) as (local, remote):
        await local.close(code=lib.CloseCode.SERVICE_RESTART, reason="again")
        await remote.wait_closed()
        assert (remote.close_code, remote.close_reason) == (1012, "again")


@pytest.mark.parametrize("code", [0, 999, 1004, 1005, 1006, 1015, 1016, 2000, 5000])
async def test_codes_that_must_not_be_sent(lib: Library, role: str, code: int) -> None:
    async with ends(lib, role) as (local, remote):
        with pytest.raises(lib.ProtocolError):
            await local.close(code)
        await local.send("still open")
        assert await remote.recv() == "still open"


async def test_reason_too_long(lib: Library, role: str) -> None:
    async with ends(lib, role) as (local, remote):
        with pytest.raises(lib.ProtocolError):
            await local.close(1000, "é" * 62)
        await local.send("still open")
        assert await remote.recv() == "still open"


async def test_frames_on_the_wire(lib: Library, role: str) -> None:
    async with wire(lib, role) as (connection, peer):
        closing = asyncio.create_task(connection.close(1001, "bye"))
        assert await peer.answer_close() == (1001, "bye")
        await closing


async def test_waits_for_the_answer(lib: Library, role: str) -> None:
    async with wire(lib, role) as (connection, peer):
        closing = asyncio.create_task(connection.close())
        assert await stays_pending(closing, 0.02)
        assert connection.state is lib.State.CLOSING
        await peer.answer_close()
        await closing
        assert connection.state is lib.State.CLOSED


@pytest.mark.parametrize("code", [1000, 1001, 1008, 3000, 4999, None])
async def test_answers_with_the_same_code(lib: Library, role: str, code: int | None) -> None:
    async with wire(lib, role) as (connection, peer):
        assert await peer.close(code) == code
        await connection.wait_closed()
        assert connection.close_code == (1005 if code is None else code)


async def test_idempotent(lib: Library, role: str) -> None:
    async with ends(lib, role) as (local, remote):
        await local.close(4001, "first")
        await local.close(4002, "second")
        await remote.close(4003, "third")
        assert (local.close_code, local.close_reason) == (4001, "first")
        assert (remote.close_code, remote.close_reason) == (4001, "first")


async def test_several_tasks_close(lib: Library, role: str) -> None:
    async with ends(lib, role) as (local, remote):
        await asyncio.gather(local.close(), local.close(), local.close())
        await remote.wait_closed()
        assert remote.close_code == 1000


async def test_both_ends_close_at_once(lib: Library) -> None:
    async with ends(lib) as (client, server):
        await asyncio.gather(client.close(4001, "client"), server.close(4002, "server"))
        assert client.state is server.state is lib.State.CLOSED
        assert {client.close_code, server.close_code} <= {4001, 4002}


async def test_after_a_cut(lib: Library, role: str) -> None:
    async with wire(lib, role) as (connection, peer):
        peer.abort()
        await connection.wait_closed()
        await connection.close()
        assert (connection.close_code, connection.close_reason) == (1006, "")


async def test_cut_while_closing(lib: Library, role: str) -> None:
    async with wire(lib, role) as (connection, peer):
        closing = asyncio.create_task(connection.close())
        await peer.receive_close()
        peer.abort()
        await closing
        assert connection.close_code == 1006
        with pytest.raises(lib.ConnectionClosedError) as raised:
            await connection.recv()
        assert raised.value.sent.code == 1000
        assert raised.value.rcvd is None
        assert raised.value.rcvd_then_sent is None


async def test_end_of_stream_without_close_frame(lib: Library, role: str) -> None:
    async with wire(lib, role) as (connection, peer):
        peer.writer.write_eof()
        await connection.wait_closed()
        assert connection.close_code == 1006
        with pytest.raises(lib.ConnectionClosedError) as raised:
            await connection.recv()
        assert raised.value.rcvd is None
        assert raised.value.sent is None
        assert str(raised.value) == "no close frame received or sent"


async def test_messages_that_arrive_while_closing_are_not_lost(lib: Library, role: str) -> None:
    async with wire(lib, role) as (connection, peer):
        closing = asyncio.create_task(connection.close())
        await peer.receive_close()
        await peer.send(TEXT, b"crossing")
        await peer.send(CLOSE, close_payload(1000))
        peer.writer.close()
        await closing
        assert await connection.recv() == "crossing"
        with pytest.raises(lib.ConnectionClosedOK):
            await connection.recv()


async def test_nothing_is_read_after_the_close_frame(lib: Library, role: str) -> None:
    async with wire(lib, role) as (connection, peer):
        await peer.send(CLOSE, close_payload(1000))
        await peer.send(TEXT, b"too late")
        await peer.receive_close()
        peer.writer.close()
        with pytest.raises(lib.ConnectionClosedOK):
            await connection.recv()


async def test_server_closes_the_tcp_connection_first(lib: Library) -> None:
    async with wire(lib, "server") as (connection, peer):
        await peer.send(CLOSE, close_payload(1000))
        await peer.receive_close()
        await peer.at_eof()
        peer.writer.close()
        await connection.wait_closed()
        assert connection.close_code == 1000


async def test_client_waits_for_the_server_to_close(lib: Library) -> None:
    async with wire(lib, "client") as (connection, peer):
        closing = asyncio.create_task(connection.close())
        await peer.receive_close()
        await peer.send(CLOSE, close_payload(1000))
        assert await stays_pending(closing, 0.03)
        peer.writer.close()
        await closing
        assert connection.close_code == 1000


async def test_fragmented_message_being_sent(lib: Library, role: str) -> None:
    gate = asyncio.Event()

    async def fragments() -> AsyncIterator[str]:
        yield "one"
        await gate.wait()
        yield "two"

    async with ends(lib, role) as (local, remote):
        sending = asyncio.create_task(local.send(fragments()))
        await turns()
        await local.close()
        await remote.wait_closed()
        assert remote.close_code == 1011
        gate.set()
        with pytest.raises(lib.ConnectionClosedError):
            await sending


async def test_fragmented_message_being_received(lib: Library, role: str) -> None:
    async with wire(lib, role, close_timeout=0.1) as (connection, peer):
        await peer.send(TEXT, b"one", fin=False)
        await peer.send(CONT, b"two", fin=False)
        closing = asyncio.create_task(connection.close())
        assert await peer.answer_close() == (1000, "")
        await closing


async def test_cancelled_close(lib: Library, role: str) -> None:
    async with wire(lib, role) as (connection, peer):
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.02):
                await connection.close()
        await peer.answer_close()
        await connection.wait_closed()
        assert connection.close_code == 1000


# wait_closed.


async def test_wait_closed(lib: Library, role: str) -> None:
    async with ends(lib, role) as (local, remote):
        waiting = asyncio.create_task(local.wait_closed())
        assert await stays_pending(waiting, 0.01)
        await remote.close()
        await waiting
        assert local.state is lib.State.CLOSED
        await local.wait_closed()


async def test_wait_closed_in_several_tasks(lib: Library, role: str) -> None:
    async with ends(lib, role) as (local, remote):
        waiting = [asyncio.create_task(local.wait_closed()) for _ in range(3)]
        await turns()
        waiting[0].cancel()
        await remote.close()
        await asyncio.gather(*waiting[1:])


async def test_wait_closed_without_recv(lib: Library, role: str) -> None:
    async with ends(lib, role) as (local, remote):
        await remote.send("never read")
        await remote.close()
        await local.wait_closed()
        assert local.close_code == 1000


# Contexts.


async def test_connection_is_a_context_manager(lib: Library, role: str) -> None:
    async with ends(lib, role) as (local, remote):
        async with local as same:
            assert same is local
        await remote.wait_closed()
        assert remote.close_code == 1000


async def test_context_closes_with_1011_after_an_exception(lib: Library, role: str) -> None:
    async with ends(lib, role) as (local, remote):
        with pytest.raises(ZeroDivisionError):
            async with local:
                raise ZeroDivisionError
        await remote.wait_closed()
        assert remote.close_code == 1011


# ConnectionClosed, as the two ends see it.


async def test_who_closed_first(lib: Library, role: str) -> None:
    async with ends(lib, role) as (local, remote):
        await local.close(1000, "done")
        with pytest.raises(lib.ConnectionClosedOK) as here:
            await local.recv()
        with pytest.raises(lib.ConnectionClosedOK) as there:
            await remote.recv()
        assert here.value.rcvd_then_sent is False
        assert there.value.rcvd_then_sent is True
        assert str(here.value) == "sent 1000 (OK) done; then received 1000 (OK) done"
        assert str(there.value) == "received 1000 (OK) done; then sent 1000 (OK) done"


@pytest.mark.parametrize(("code", "ok"), [(1000, True), (1001, True), (1002, False), (4000, False)])
async def test_kind_of_exception(lib: Library, role: str, code: int, ok: bool) -> None:
    kind = lib.ConnectionClosedOK if ok else lib.ConnectionClosedError
    async with ends(lib, role) as (local, remote):
        await local.close(code)
        for end in (local, remote):
            with pytest.raises(kind):
                await end.recv()
            with pytest.raises(kind):
                await end.send("too late")
            with pytest.raises(kind):
                await end.ping()


async def test_no_code(lib: Library, role: str) -> None:
    async with wire(lib, role) as (connection, peer):
        closing = asyncio.create_task(peer.close(None))
        with pytest.raises(lib.ConnectionClosedOK) as raised:
            await connection.recv()
        await closing
        assert raised.value.rcvd == lib.Close(1005, "")
        assert connection.close_code == 1005


async def test_each_call_raises(lib: Library, role: str) -> None:
    async with ends(lib, role) as (local, _):
        await local.close()
        for call in (local.recv, lambda: local.send("x"), local.ping, local.pong):
            with pytest.raises(lib.ConnectionClosed):
                await call()
