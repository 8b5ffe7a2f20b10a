"""What connections tell the process-wide accounts, and what happens above ``memory_budget``."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import socket
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from duologue import EventLoop, broadcast, connect, serve
from duologue.base.accounts import accounts
from duologue.base.exceptions import ConnectionClosedError
from duologue.base.limits import Limits
from duologue.base.vocabulary import Opcode, Side, State
from duologue.connection.ending import Cause

from .rig import Rig, rig, turns


def uvloop_factory() -> asyncio.AbstractEventLoop:
    uvloop = pytest.importorskip("uvloop")
    loop: asyncio.AbstractEventLoop = uvloop.new_event_loop()
    return loop


LOOPS = {"asyncio": asyncio.SelectorEventLoop, "uvloop": uvloop_factory, "engine": EventLoop}
MIB = 2**20
MESSAGE_COST = 64  # octets that a message in the inbox counts for besides its payload


def budget(octets: int, **other: Any) -> Limits:
    """Limits whose budget begins above what earlier tests may have left."""
    other.setdefault("max_outbox", None)
    return Limits(memory_budget=accounts().octets + octets, **other)


@contextlib.contextmanager
def held(octets: int) -> Iterator[None]:
    """Check that so many octets more are held inside than before."""
    before = accounts().octets
    yield
    assert accounts().octets - before == octets


@contextlib.contextmanager
def rigs(count: int, **options: Any) -> Iterator[list[Rig]]:
    with contextlib.ExitStack() as stack:
        yield [stack.enter_context(rig(**options)) for _ in range(count)]


@pytest.fixture(autouse=True)
def nothing_of_earlier_tests() -> None:
    """What is in cycles must not be there when a test counts, and be collected while it runs."""
    gc.collect()


# -- counting


async def test_objects_are_counted_while_they_live() -> None:
    before = accounts()
    made = Rig()
    now = accounts()
    assert (now.connections, now.links) == (before.connections + 1, before.links + 1)
    made.wire.lose()
    await turns()
    del made
    gc.collect()  # a link and its transport refer to each other
    assert accounts() == before


@pytest.mark.parametrize("engine", ["epoll", "asyncio"])
async def test_listeners_and_codecs(engine: Any) -> None:
    async def handler(ws: Any) -> None:
        await ws.wait_closed()

    before = accounts()
    async with serve(handler, "127.0.0.1", 0, engine=engine) as server:
        assert accounts().listeners == before.listeners + (engine == "epoll")
        host, port = server.sockets[0].getsockname()
        async with connect(f"ws://{host}:{port}", engine=engine):
            assert accounts().codecs == before.codecs + 2
            assert accounts().connections == before.connections + 2


async def test_the_inbox() -> None:
    with rig() as r:
        with held(3 + 2 * MESSAGE_COST):
            r.text("a", "bc")
        with held(-1 - MESSAGE_COST):
            assert await r.ws.recv() == "a"
        with held(-2 - MESSAGE_COST):
            assert await r.ws.recv() == "bc"


async def test_wide_characters_take_the_memory_they_take() -> None:
    with rig() as r:
        with held(4 * 101 + MESSAGE_COST):
            r.text("a" * 100 + "\U0001f600")


async def test_objects_cost_too() -> None:
    with rig(max_queue=None) as r:
        with held(500 * MESSAGE_COST):
            r.text(*[""] * 500)


async def test_what_is_unparsed_or_unfinished() -> None:
    with rig(max_queue=1) as r:
        r.peer.send_text(b"a")
        r.peer.send_text(b"b" * 1000)
        with held(1 + MESSAGE_COST + 1000 + 8):
            r.say()
    with rig() as r:
        octets = b"\x82\xfe\x10\x00\0\0\0\0" + b"x" * 100
        with held(4096):
            r.wire.feed(octets)


async def test_fragments_count_wherever_they_wait() -> None:
    with rig() as r:
        with held(2 * (3 + 2 * MESSAGE_COST)):
            r.fragments(b"abc", b"def")
        task = asyncio.create_task(r.ws.recv())
        # They have moved from the inbox to the message that is put together.
        with held(0):
            await turns()
        with held(-2 * (3 + 2 * MESSAGE_COST)):
            r.fragments(b"g", fin=True)
            assert await task == "abcdefg"


async def test_the_outbox_counts_until_its_messages_are_framed_and_gone() -> None:
    with rig() as r:
        before = accounts().octets
        r.clog()
        clogged = accounts().octets
        assert clogged - before == len(r.wire.waiting)
        r.ws.send(b"x" * 1000)
        assert 1000 < accounts().octets - clogged < 1500
        r.wire.drain()
        await turns()
        assert accounts().octets == before


async def test_a_send_that_is_cancelled_counts_no_more() -> None:
    with rig() as r:
        r.clog()
        with held(0):
            task = asyncio.create_task(r.ws.send(b"x" * 1000))
            await turns()
            task.cancel()
            await turns()
            r.wire.drain()
            r.wire.stuck = True
            r.wire.waiting.clear()
            await turns()
            r.clog()


async def test_a_broadcast_counts_its_payload_once() -> None:
    with rigs(10) as everybody:
        for r in everybody:
            r.clog()
        before = accounts().octets
        broadcast([r.ws for r in everybody], b"x" * 100_000)  # type: ignore[misc]
        assert 100_000 <= accounts().octets - before < 110_000
        for r in everybody:
            r.wire.lose()


async def test_what_is_lost_counts_no_more() -> None:
    before = accounts().octets
    with rig() as r:
        r.clog()
        r.ws.send(b"x" * 1000)
        r.wire.lose()
        assert accounts().octets == before


# -- shedding


async def test_the_worst_slow_reader_is_shed_and_the_others_lose_nothing(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with rigs(10, limits=budget(2_000_000)) as everybody:
        worst = everybody[6]
        for r in everybody:
            r.clog()
            for number in range(5):
                r.ws.send(b"%d" % number * 10_000)
        before = accounts()
        sent = 0
        while worst.ws.state is State.OPEN and sent < 100:
            worst.ws.send(b"y" * 64_000)
            sent += 1
            assert accounts().octets <= 2_000_000 + before.octets
        assert sent > 5
        assert accounts().shed == before.shed + 1
        # All that could be dropped was: no more is held than before its flood.
        assert accounts().octets < before.octets
        for r in everybody:
            r.wire.drain()
            frames = await r.heard()
            if r is worst:
                assert [each.opcode for each in frames] == [Opcode.BINARY, Opcode.CLOSE]
                assert r.peer.close_rcvd is not None
                assert r.peer.close_rcvd.code == 1013
                assert r.ws.ending is not None
                assert r.ws.ending.cause is Cause.MEMORY_BUDGET
                assert "memory_budget of" in r.ws.ending.detail
            else:
                assert [bytes(each.data[:1]) for each in frames[1:]] == [
                    b"0",
                    b"1",
                    b"2",
                    b"3",
                    b"4",
                ]
                assert r.ws.state is State.OPEN
    assert "connection is shed" in caplog.text


async def test_the_fullest_inbox_is_shed_and_the_others_lose_nothing() -> None:
    limits = budget(300_000, max_queue_bytes=None)
    with rigs(10, limits=limits, max_queue=None) as everybody:
        worst = everybody[3]
        for r in everybody:
            r.text(*["a" * 1000] * 10)
        for _ in range(30):
            if worst.ws.state is State.OPEN:
                worst.text(*["b" * 1000] * 10)
        assert worst.ws.ending is not None
        assert worst.ws.ending.cause is Cause.MEMORY_BUDGET
        assert [each.opcode for each in await worst.heard()] == [Opcode.CLOSE]
        assert worst.peer.close_rcvd is not None
        assert worst.peer.close_rcvd.code == 1013
        worst.wire.lose()
        with pytest.raises(ConnectionClosedError, match="1013"):
            await worst.ws.recv()
        for r in everybody:
            if r is not worst:
                assert [await r.ws.recv() for _ in range(10)] == ["a" * 1000] * 10


async def test_an_unfinished_message_is_shed() -> None:
    with rig(limits=budget(200_000), max_size=None) as r:
        r.fragments(b"x" * 150_000)
        assert r.ws.state is State.OPEN
        r.fragments(b"x" * 60_000)
        assert r.ws.ending is not None
        assert r.ws.ending.cause is Cause.MEMORY_BUDGET
        r.wire.lose()
        with pytest.raises(ConnectionClosedError):
            await r.ws.recv()


async def test_an_eighth_is_freed_and_not_everything() -> None:
    with rigs(20, limits=budget(100_000, max_queue_bytes=None), max_queue=None) as everybody:
        before = accounts()
        for r in everybody[:19]:
            r.text("x" * 5000)
        assert accounts().shed == before.shed
        everybody[19].text("x" * 5000)
        # 101 280 octets are held; three of 5064 must go.
        assert accounts().shed == before.shed + 3
        assert 80_000 < accounts().octets - before.octets <= 87_500


async def test_a_frame_too_large_to_wait_for_is_aborted() -> None:
    with rig(limits=budget(2 * MIB)) as r:
        r.wire.stuck = True
        r.ws.send(b"x" * 3 * MIB)
        await turns()
        assert r.wire.aborted
        assert r.ws.ending is not None
        assert r.ws.ending.cause is Cause.MEMORY_BUDGET
        r.wire.lose()
        assert isinstance(r.ws.connection_exc, MemoryError)


async def test_a_closing_connection_is_aborted() -> None:
    with rig(limits=budget(300_000)) as r:
        r.clog()
        r.ws.start_close()
        assert not r.wire.aborted
        with rigs(3, limits=r.settings.limits) as others:
            for other in others:
                other.text("x" * 70_000)
            assert all(other.ws.state is State.OPEN for other in others)
        assert r.wire.aborted


async def test_what_a_closed_connection_did_not_deliver_is_missed() -> None:
    limits = budget(100_000)
    with rig(limits=limits) as r:
        r.text("x" * 60_000)
        r.peer.send_close(1000)
        r.say()
        await r.heard()
        r.wire.lose()
        assert r.ws.state is State.CLOSED
        with rig(limits=limits) as other:
            other.text("y" * 50_000)
            assert await other.ws.recv() == "y" * 50_000
        # Not ConnectionClosedOK, after which nothing would seem to be missing.
        with pytest.raises(ConnectionClosedError):
            await r.ws.recv()


async def test_none_is_counted_and_never_shed() -> None:
    none = Limits(memory_budget=None, max_outbox=None)
    with rig(limits=none) as r, rig(limits=budget(100_000)) as other:
        r.clog()
        r.ws.send(b"x" * MIB)
        assert other.ws.state is State.OPEN
        # The small one gives way, though the other holds more.
        other.text("y" * 1000)
        assert other.ws.ending is not None
        assert other.ws.ending.cause is Cause.MEMORY_BUDGET
        assert r.ws.state is State.OPEN


async def test_the_smallest_budget_gives_way_first() -> None:
    small, large = budget(100_000), budget(1_000_000)
    with rig(limits=large) as r, rig(limits=small) as other:
        r.text("x" * 90_000)
        other.text("y" * 20_000)
        assert other.ws.state is not State.OPEN
        assert r.ws.state is State.OPEN


async def test_a_vain_try_is_not_repeated_for_every_message() -> None:
    none, small = Limits(memory_budget=None, max_outbox=None), budget(160_000)
    with rig(limits=none) as r, rigs(4, limits=small) as others:
        r.clog()
        r.ws.send(b"x" * MIB)
        shed = accounts().shed
        others[0].text("y")
        assert accounts().shed == shed + 1
        others[1].text("y")
        others[2].text("y")
        assert accounts().shed == shed + 1
        # A sixteenth of the budget more has come in.
        others[3].text("y" * 10_000)
        assert accounts().shed == shed + 4


async def test_a_handler_may_be_shed_while_it_sends() -> None:
    """Its own connection is the worst, in the middle of a read that has woken it."""
    with rig(limits=budget(500_000)) as r:

        async def flood() -> None:
            async for _ in r.ws:
                for _ in range(20):
                    r.ws.send(b"x" * 50_000)
                assert r.ws.state is State.CLOSING

        r.clog()
        task = asyncio.create_task(flood())
        await turns()
        # Not from this task, so that the read wakes the other at once.
        asyncio.get_running_loop().call_soon(r.text, "go", "on")
        await turns()
        r.wire.drain()
        assert Opcode.CLOSE in [each.opcode for each in await r.heard()]
        r.wire.lose()
        with pytest.raises(ConnectionClosedError):
            await task


def test_another_threads_connection_is_shed_in_its_own_thread() -> None:
    limits = budget(1_000_000)
    ready, done = threading.Event(), threading.Event()
    seen: list[Any] = []

    async def far() -> None:
        with rig(limits=limits) as r:
            for _ in range(9):
                r.text("x" * 90_000)
            over = asyncio.Event()
            record = r.ws.logger.warning

            class Log(logging.LoggerAdapter[Any]):
                def warning(self, *arguments: Any, **options: Any) -> None:
                    record(*arguments, **options)
                    seen.append(threading.current_thread())
                    over.set()

            r.ws.logger = Log(logging.getLogger("test"))
            ready.set()
            await asyncio.wait_for(over.wait(), 10)
            assert r.ws.ending is not None
            seen.append(r.ws.ending.cause)
        done.set()

    async def near() -> None:
        with rig(limits=limits) as r:
            for _ in range(4):
                r.text("y" * 60_000)
            await asyncio.get_running_loop().run_in_executor(None, done.wait, 10)
            assert [await r.ws.recv() for _ in range(4)] == ["y" * 60_000] * 4

    thread = threading.Thread(target=lambda: asyncio.run(far()))
    thread.start()
    assert ready.wait(10)
    try:
        asyncio.run(near())
    finally:
        thread.join()
    assert seen == [thread, Cause.MEMORY_BUDGET]


# -- with sockets


@pytest.mark.parametrize("engine", ["epoll", "asyncio"])
@pytest.mark.parametrize("loop_factory", LOOPS.values(), ids=LOOPS)
async def test_a_hundred_megabytes_to_a_peer_that_stops_reading(
    loop_factory: Callable[[], Any], engine: Any
) -> None:
    """Memory is flat, the peer is shed, and another's messages all arrive."""
    limits = budget(8 * MIB)
    opened: asyncio.Queue[Any] = asyncio.Queue()

    async def handler(ws: Any) -> None:
        opened.put_nowait(ws)
        await ws.wait_closed()

    async with serve(handler, "127.0.0.1", 0, limits=limits, engine=engine) as server:
        address = server.sockets[0].getsockname()
        url = "ws://{}:{}".format(*address)
        async with connect(url, engine=engine, compression=None) as polite:
            served = await opened.get()
            with socket.create_connection(address) as stuck:
                stuck.sendall(
                    b"GET / HTTP/1.1\r\nHost: a\r\n"
                    b"Upgrade: websocket\r\nConnection: Upgrade\r\n"
                    b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
                    b"Sec-WebSocket-Version: 13\r\n\r\n"
                )
                victim = await opened.get()
                most, before = 0, accounts().octets
                for number in range(1600):
                    victim.send(bytes(65536))
                    if number % 100 == 0:
                        served.send(f"{number}")
                        await asyncio.sleep(0)
                    most = max(most, accounts().octets - before)
                assert [await polite.recv() for _ in range(16)] == [
                    f"{number}" for number in range(0, 1600, 100)
                ]
                assert victim.ending.cause is Cause.MEMORY_BUDGET
                assert 7 * MIB < most <= 8 * MIB + 2 * 65536
                assert accounts().octets - before < MIB
            await victim.wait_closed()


@pytest.mark.parametrize("side", Side)
async def test_both_sides_are_held_to_it(side: Side) -> None:
    with rig(side, limits=budget(100_000)) as r:
        r.text("x" * 60_000)
        r.text("x" * 60_000)
        assert r.ws.ending is not None
        assert r.ws.ending.cause is Cause.MEMORY_BUDGET
