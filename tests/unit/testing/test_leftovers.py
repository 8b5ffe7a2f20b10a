from __future__ import annotations

import asyncio
import signal
import socket
from pathlib import Path

import pytest

from duologue.testing import WatchedEventLoop, pending_tasks

CONFTEST = Path(__file__).parents[2] / "conftest.py"
pytest_plugins = ["pytester"]


def watched() -> WatchedEventLoop:
    loop = asyncio.get_running_loop()
    assert isinstance(loop, WatchedEventLoop)
    return loop


async def test_an_empty_loop_has_none() -> None:
    assert watched().leftovers() == []


async def test_tasks_are_named_with_their_place() -> None:
    async def stays() -> None:
        await asyncio.sleep(60)

    task = asyncio.create_task(stays(), name="stayer")
    assert pending_tasks(watched())[0].startswith("task 'stayer' waits")
    await asyncio.sleep(0)
    (line,) = pending_tasks(watched())
    assert "stays" in line and __file__ in line
    task.cancel()
    await asyncio.wait([task])
    assert watched().leftovers() == []


async def test_timers_are_listed_until_they_are_cancelled_or_have_run() -> None:
    def ring() -> None: ...

    late = watched().call_later(60, ring)
    soon = watched().call_later(0.001, ring)
    twin = watched().call_at(late.when(), ring)
    assert len(watched().pending_timers()) == 3
    assert "ring" in watched().pending_timers()[0]
    twin.cancel()
    await asyncio.sleep(0.002)
    assert len(watched().pending_timers()) == 1
    assert not soon.cancelled()
    late.cancel()
    assert watched().leftovers() == []


async def test_sockets_are_listed_until_they_are_closed() -> None:
    here, there = socket.socketpair()
    with here, there:
        watched().add_reader(here, lambda: None)
        (line,) = watched().leftovers()
        assert str(here.fileno()) in line
        watched().remove_reader(here)
        assert watched().leftovers() == []


TESTS_THAT_LEAVE = """
    import asyncio, pytest

    async def stays():
        await asyncio.sleep(60)

    async def test_task():
        test_task.kept = asyncio.create_task(stays(), name="stayer")

    async def test_timer():
        test_timer.kept = asyncio.get_running_loop().call_later(60, print)

    @pytest.mark.virtual_time
    async def test_virtual():
        assert asyncio.get_running_loop().time() == 0.0
        test_virtual.kept = asyncio.get_running_loop().call_later(60, print)

    @pytest.mark.leftovers_allowed
    async def test_allowed():
        test_allowed.kept = asyncio.create_task(stays())

    async def test_clean():
        await asyncio.sleep(0)
"""


def test_a_test_that_leaves_something_fails_with_its_name(pytester: pytest.Pytester) -> None:
    pytester.makeconftest(CONFTEST.read_text())
    pytester.makepyfile(TESTS_THAT_LEAVE)
    result = pytester.runpytest("-p", "no:randomly")
    result.assert_outcomes(passed=2, failed=3)
    text = result.stdout.str()
    assert text.count("left in the event loop") >= 3
    assert "task 'stayer' waits in stays" in text
    assert "timer in " in text


TESTS_OUT_OF_TIME = """
    import asyncio, pytest, time

    @pytest.mark.timeout(0.2)
    @pytest.mark.parametrize("seconds", [0, 0.5])
    async def test_a_callback_that_takes_long(seconds):
        asyncio.get_running_loop().call_soon(time.sleep, seconds)
        await asyncio.sleep(0.01)
"""


@pytest.mark.skipif(not hasattr(signal, "SIGALRM"), reason="pytest-timeout ends the process")
def test_a_timeout_that_the_loop_swallowed_fails_the_test(pytester: pytest.Pytester) -> None:
    pytester.makeconftest(CONFTEST.read_text())
    pytester.makepyfile(TESTS_OUT_OF_TIME)
    result = pytester.runpytest_subprocess("-p", "no:randomly")
    result.assert_outcomes(passed=1, failed=1)
    assert "its time-out of 0.2 s was swallowed" in result.stdout.str()
