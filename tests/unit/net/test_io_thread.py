"""The I/O thread: what others let it do, and what it refuses."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
from collections.abc import Iterator

import pytest

from duologue.net import io_thread as module
from duologue.net.io_thread import IoThread, io_thread, this_io_thread


@pytest.fixture(params=["shared", "plain"])
def io(request: pytest.FixtureRequest) -> Iterator[IoThread]:
    """A thread of the test's own, with a loop that others may use, or not."""
    thread = IoThread(asyncio.SelectorEventLoop() if request.param == "plain" else None)
    assert (thread.gate is None) == (request.param == "plain")
    thread.start()
    yield thread
    thread.stop()


def test_call(io: IoThread) -> None:
    assert io.call(divmod, 7, 2) == (3, 1)
    with pytest.raises(ZeroDivisionError):
        io.call(divmod, 7, 0)


def test_run(io: IoThread) -> None:
    async def main(value: int) -> int:
        await asyncio.sleep(0)
        assert asyncio.current_task() is not None
        assert io.is_current()
        assert this_io_thread() is io
        return 100 // value

    assert io.run(main(5)) == 20
    with pytest.raises(ZeroDivisionError):
        io.run(main(0))
    assert not io.is_current()


def interrupt_soon() -> threading.Timer:
    timer = threading.Timer(0.05, os.kill, (os.getpid(), signal.SIGINT))
    timer.start()
    return timer


def test_an_interrupt_cancels(io: IoThread) -> None:
    cancelled = threading.Event()

    async def wait() -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.set()
            raise

    timer = interrupt_soon()
    with pytest.raises(KeyboardInterrupt):
        io.run(wait())
    timer.join()
    assert cancelled.wait(5)


def test_a_result_that_nobody_waits_for_is_discarded(io: IoThread) -> None:
    discarded: list[str] = []
    done = threading.Event()

    async def stubborn() -> str:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            pass
        return "all the same"

    def discard(result: str) -> None:
        discarded.append(result)
        done.set()

    timer = interrupt_soon()
    with pytest.raises(KeyboardInterrupt):
        io.run(stubborn(), discard)
    timer.join()
    assert done.wait(5)
    assert discarded == ["all the same"]


def test_it_outlives_what_ends_loops(io: IoThread, caplog: pytest.LogCaptureFixture) -> None:
    def exit_loop() -> None:
        raise SystemExit(3)

    io.loop.call_soon_threadsafe(exit_loop)
    assert io.run(asyncio.sleep(0, "still there")) == "still there"
    assert io.call(int) == 0
    assert "the I/O thread goes on" in caplog.text


def test_it_waits_for_nobody(io: IoThread) -> None:
    async def main() -> None:
        for wait in (lambda: io.call(int), lambda: io.run(asyncio.sleep(0))):
            with pytest.raises(RuntimeError, match="let another thread make it"):
                wait()

    io.run(main())


def test_one_for_the_process() -> None:
    assert io_thread() is io_thread()
    assert io_thread().run(asyncio.sleep(0, "result")) == "result"
    with pytest.raises(RuntimeError, match=r"made by connect\(\) and serve\(\) only"):
        this_io_thread()


def test_several_threads_ask_for_it_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_process_thread", None)
    found: list[IoThread] = []
    barrier = threading.Barrier(4)

    def ask() -> None:
        barrier.wait()
        found.append(io_thread())

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(found)) == 1
    found[0].stop()


def test_forked(io: IoThread) -> None:
    io.forked = True
    for wait in (lambda: io.call(int), lambda: io.run(asyncio.sleep(0))):
        with pytest.raises(RuntimeError, match="a child has to make its own connections"):
            wait()
    io.forked = False
