"""Runs coroutine tests, each on a fresh event loop that it must leave empty.

A test function written with ``async def`` is run by :class:`asyncio.Runner`. Its loop is the one
that the ``loop_factory`` fixture makes, when the test asks for one; a ``VirtualEventLoop`` when the
test is marked ``virtual_time``; else asyncio's own. Afterwards no task, timer or socket may be left
in the loop: the test fails with their names. ``@pytest.mark.leftovers_allowed`` says that a test
(of a peer that leaves things behind) is not held to it.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable
from typing import Any

import pytest

from duologue.net.poller import watched_by
from duologue.net.timers import timers_of
from duologue.testing import (
    VirtualEventLoop,
    WatchedEventLoop,
    pending_tasks,
    virtual_loop_factory,
)

#: Loop turns given to what is about to finish when the test returns; on a loop with a real clock
#: each takes a millisecond, since the other end of a real socket needs a moment.
GRACE_TURNS = 500


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "virtual_time: run the coroutine test on virtual time")
    config.addinivalue_line(
        "markers", "leftovers_allowed: do not fail for tasks, timers, sockets left in the loop"
    )


@pytest.fixture(name="virtual_loop_factory")
def _virtual_loop_factory() -> Callable[[], VirtualEventLoop]:
    return virtual_loop_factory()


def leftovers(loop: asyncio.AbstractEventLoop) -> list[str]:
    lines = loop.leftovers() if isinstance(loop, WatchedEventLoop) else pending_tasks(loop)
    # The one loop timer behind duologue's timers is not moved when they are cleared: what counts
    # is whether one of them is still set.
    lines = [line for line in lines if "Timers._run" not in line]
    # Likewise the one descriptor behind the engine's sockets.
    watched = watched_by(loop)
    if watched is not None:
        lines = [line for line in lines if line != f"socket {watched[0]}"]
        lines += [f"{watched[1]} sockets of the engine"] if watched[1] else []
    set_timers = [timer for _, _, timer in timers_of(loop)._queue if timer.when is not None]
    return lines + [f"duologue timer {timer._callback!r}" for timer in set_timers]


async def run_test(test: Callable[..., Any], arguments: dict[str, Any], strict: bool) -> None:
    await test(**arguments)
    loop = asyncio.get_running_loop()
    pause = 0 if isinstance(loop, VirtualEventLoop) else 0.001
    for _ in range(GRACE_TURNS):
        if not strict or not leftovers(loop):
            return
        await asyncio.sleep(pause)
    pytest.fail("left in the event loop:\n  " + "\n  ".join(leftovers(loop)), pytrace=False)


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    if not inspect.iscoroutinefunction(pyfuncitem.obj):
        return None
    names = pyfuncitem._fixtureinfo.argnames
    arguments = {name: pyfuncitem.funcargs[name] for name in names}
    factory = pyfuncitem.funcargs.get("loop_factory")
    if factory is None:
        virtual = pyfuncitem.get_closest_marker("virtual_time") is not None
        factory = virtual_loop_factory() if virtual else WatchedEventLoop
    strict = pyfuncitem.get_closest_marker("leftovers_allowed") is None
    with asyncio.Runner(loop_factory=factory) as runner:
        runner.run(run_test(pyfuncitem.obj, arguments, strict))
    return True
