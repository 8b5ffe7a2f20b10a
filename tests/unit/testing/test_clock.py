from __future__ import annotations

import asyncio
import math
import socket
import threading
import time
from collections.abc import Callable

import pytest

from duologue.testing import (
    DeadlockError,
    VirtualClock,
    VirtualEventLoop,
    virtual_loop_factory,
)

pytestmark = pytest.mark.virtual_time


def test_clock_stands_still_until_told() -> None:
    clock = VirtualClock(5)
    assert clock.time() == 5.0
    time.sleep(0.001)
    assert clock.time() == 5.0
    clock.advance(0.25)
    assert clock.time() == 5.25
    clock.advance_to(1)
    assert clock.time() == 5.25
    clock.advance_to(6)
    assert clock.time() == 6.0


@pytest.mark.parametrize("wrong", [-1, -0.001])
def test_clock_refuses_to_go_back(wrong: float) -> None:
    with pytest.raises(ValueError, match="must not be negative"):
        VirtualClock(wrong)
    with pytest.raises(ValueError, match="cannot go back by"):
        VirtualClock().advance(wrong)
    with pytest.raises(ValueError, match="settle"):
        VirtualEventLoop(settle=wrong)
    with pytest.raises(ValueError, match="patience"):
        VirtualEventLoop(patience=wrong)


async def test_a_day_takes_no_time() -> None:
    loop = asyncio.get_running_loop()
    began = time.monotonic()
    await asyncio.sleep(86_400 * 3)
    assert loop.time() == 86_400 * 3
    assert time.monotonic() - began < 1


async def test_timers_run_in_order_at_their_exact_times() -> None:
    loop = asyncio.get_running_loop()
    seen: list[tuple[str, float]] = []

    def note(name: str) -> None:
        seen.append((name, loop.time()))

    for name, delay in [("c", 20.0), ("a", 0.1), ("d", 40.0), ("b", 0.3)]:
        loop.call_later(delay, note, name)
    await asyncio.sleep(50)
    assert seen == [("a", 0.1), ("b", 0.3), ("c", 20.0), ("d", 40.0)]


@pytest.mark.parametrize("now", [0.0, 0.1, 1 / 3, 1234.5678])
@pytest.mark.parametrize("when", [0.1 + 0.2, 2 / 3, 1e-9, 7.7, 1e5 / 7])
async def test_a_timer_sees_its_own_time_to_the_last_bit(now: float, when: float) -> None:
    loop = asyncio.get_running_loop()
    await asyncio.sleep(now)
    seen: list[float] = []
    loop.call_at(now + when, lambda: seen.append(loop.time()))
    await asyncio.sleep(when * 2)
    assert seen == [now + when]


async def test_a_time_out_that_cannot_be_added_back_exactly() -> None:
    loop = asyncio.get_running_loop()
    now, when = 22.3, 58.4
    assert now + (when - now) != when
    seen: list[float] = []
    loop.call_at(now, lambda: seen.append(loop.time()))
    loop.call_at(when, lambda: seen.append(loop.time()))
    await asyncio.sleep(100)
    assert seen == [now, when]


async def test_two_timers_closer_than_the_clocks_tick_both_run() -> None:
    loop = asyncio.get_running_loop()
    seen: list[float] = []

    def never_early(when: float) -> None:
        if loop.time() < when:
            loop.call_at(when, never_early, when)
        else:
            seen.append(loop.time())

    for when in (0.3, 0.1 + 0.2, 0.3 + 1e-10):
        loop.call_at(when, never_early, when)
    await asyncio.sleep(1)
    assert seen == [0.3, 0.1 + 0.2, 0.3 + 1e-10]


async def test_cancelled_timers_do_not_hold_time() -> None:
    loop = asyncio.get_running_loop()
    timer = loop.call_later(1, pytest.fail, "a cancelled timer ran")
    timer.cancel()
    await asyncio.sleep(10)
    assert loop.time() == 10.0


async def test_timeouts_of_asyncio_follow_virtual_time() -> None:
    loop = asyncio.get_running_loop()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(7.5):
            await asyncio.Event().wait()
    assert loop.time() == 7.5
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(asyncio.Event().wait(), 2.5)
    assert loop.time() == 10.0


async def test_time_waits_while_callbacks_are_ready() -> None:
    loop = asyncio.get_running_loop()
    timer = loop.call_later(1, lambda: None)
    for _ in range(100):
        await asyncio.sleep(0)
    assert loop.time() == 0.0
    timer.cancel()


def test_two_runs_are_the_same() -> None:
    def run() -> list[tuple[int, float]]:
        seen: list[tuple[int, float]] = []

        async def worker(number: int) -> None:
            for step in range(3):
                await asyncio.sleep((number * 7 + step) % 5 / 10)
                seen.append((number, asyncio.get_running_loop().time()))

        async def main() -> None:
            await asyncio.gather(*map(worker, range(6)))

        with asyncio.Runner(loop_factory=virtual_loop_factory(start=3)) as runner:
            runner.run(main())
        return seen

    first = run()
    assert len(first) == 18
    assert first == run()


def test_deadlock_names_who_waits(virtual_loop_factory: Callable[[], VirtualEventLoop]) -> None:
    async def wait_for_nothing() -> None:
        await asyncio.Event().wait()

    async def main() -> None:
        task = asyncio.create_task(wait_for_nothing(), name="the one that waits")
        await asyncio.sleep(3)
        await task

    began = time.monotonic()
    with pytest.raises(DeadlockError) as caught:
        with asyncio.Runner(loop_factory=virtual_loop_factory) as runner:
            runner.run(main())
    assert time.monotonic() - began < 2
    assert "deadlock at 3.0 s" in str(caught.value)
    assert "task 'the one that waits' waits in" in str(caught.value)
    assert "wait_for_nothing" in str(caught.value)


def test_callbacks_without_an_end_are_a_deadlock(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("duologue.testing.clock.MAX_TURNS", 1000)

    async def take_turns(count: float) -> None:
        while count:
            await asyncio.sleep(0)
            count -= 1

    async def main() -> None:
        for _ in range(5):  # what is counted is the turns of one moment
            await asyncio.sleep(1)
            await take_turns(900)
        await take_turns(math.inf)

    with pytest.raises(DeadlockError, match=r"stands still at 5\.0 s: 1000 turns of the loop"):
        with asyncio.Runner(loop_factory=virtual_loop_factory()) as runner:
            runner.run(main())


async def test_octets_on_real_sockets_come_before_timers() -> None:
    loop = asyncio.get_running_loop()
    here, there = socket.socketpair()
    with here, there:
        reader, writer = await asyncio.open_connection(sock=here)
        there.sendall(b"hello")
        async with asyncio.timeout(0.5):
            assert await reader.readexactly(5) == b"hello"
        assert loop.time() == 0.0
        writer.close()
        await writer.wait_closed()


async def test_real_sockets_are_polled_while_callbacks_are_ready() -> None:
    here, there = socket.socketpair()
    with here, there:
        reader, writer = await asyncio.open_connection(sock=here)
        there.sendall(b"hello")
        reading = asyncio.create_task(reader.readexactly(5))
        for _ in range(100):
            await asyncio.sleep(0)
        assert reading.done()
        assert await reading == b"hello"
        writer.close()
        await writer.wait_closed()


async def test_time_jumps_past_silent_real_sockets() -> None:
    loop = asyncio.get_running_loop()
    here, there = socket.socketpair()
    with here, there:
        reader, writer = await asyncio.open_connection(sock=here)
        began = time.monotonic()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(60):
                await reader.read(1)
        assert loop.time() == 60.0
        assert time.monotonic() - began < 5
        writer.close()
        await writer.wait_closed()


def test_real_sockets_alone_are_waited_for() -> None:
    async def main() -> bytes:
        here, there = socket.socketpair()
        with here, there:
            reader, writer = await asyncio.open_connection(sock=here)
            thread = threading.Timer(0.05, there.sendall, [b"late"])
            thread.start()
            answer = await reader.readexactly(4)
            thread.join()
            writer.close()
            await writer.wait_closed()
            return answer

    with asyncio.Runner(loop_factory=virtual_loop_factory(patience=10)) as runner:
        assert runner.run(main()) == b"late"


def test_silent_real_sockets_alone_are_a_deadlock() -> None:
    async def main() -> None:
        here, there = socket.socketpair()
        with here, there:
            loop = asyncio.get_running_loop()
            here.setblocking(False)
            await loop.sock_recv(here, 1)

    with pytest.raises(DeadlockError, match=r"socket \d+"):
        with asyncio.Runner(loop_factory=virtual_loop_factory(patience=0.02)) as runner:
            runner.run(main())


async def test_time_stands_still_while_a_thread_works() -> None:
    loop = asyncio.get_running_loop()
    released = threading.Event()
    threading.Timer(0.05, released.set).start()
    async with asyncio.timeout(1):
        assert await asyncio.to_thread(released.wait, 5)
    assert loop.time() == 0.0
    await loop.shutdown_default_executor()
    assert loop.time() == 0.0


async def test_another_thread_can_wake_the_loop() -> None:
    loop = asyncio.get_running_loop()
    future = loop.create_future()
    future_set = threading.Thread(target=loop.call_soon_threadsafe, args=(future.set_result, 1))
    future_set.start()
    assert await future == 1
    future_set.join()
