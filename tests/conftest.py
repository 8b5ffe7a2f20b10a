"""Runs coroutine tests, each on a fresh event loop that it must leave empty.

A test function written with ``async def`` is run by :class:`asyncio.Runner`. Its loop is the one
that the ``loop_factory`` fixture makes, when the test asks for one; a ``VirtualEventLoop`` when the
test is marked ``virtual_time``; else asyncio's own. Afterwards no task, timer or socket may be left
in the loop: the test fails with their names. When the loop is closed the process-wide accounts must
be where they were before: no octets in any buffer, no connection, link, listener or codec that
somebody still refers to. ``@pytest.mark.leftovers_allowed`` says that a test (of a peer that leaves
things behind) is not held to it.
"""

from __future__ import annotations

import asyncio
import collections
import gc
import inspect
import logging
import os
import signal
import socket
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any

import pytest

from duologue.base.accounts import Accounts, accounts
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


#: Folders whose files take longest: they start processes and browsers, or open connections in
#: thousands. Several processes of pytest begin with them, or the last file keeps one of them alone.
LONGEST = (
    "conformance", "safety", "install", "browser", "interop", "meta", "unit/cli", "unit/bench",
)  # fmt: skip


def pytest_configure(config: pytest.Config) -> None:
    # pytest-xdist would begin with the files of most tests; the order here is found below.
    config.option.loadscopereorder = False
    # Shells start what runs in their background (and nohup whatever it runs) without Ctrl-C. Tests
    # would wait for interrupts that never come, and so would those of their child processes.
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    config.addinivalue_line("markers", "virtual_time: run the coroutine test on virtual time")
    config.addinivalue_line(
        "markers", "leftovers_allowed: do not fail for tasks, timers, sockets left in the loop"
    )


def pytest_sessionstart(session: pytest.Session) -> None:
    """Have pytest-rerunfailures send at once what it asks between processes.

    It writes twice before it reads; without this, Nagle's algorithm and the delayed acknowledgement
    of the other end cost each test 40 ms.
    """
    sock = getattr(getattr(session.config, "failures_db", None), "sock", None)
    if sock is not None:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """In a process of pytest-xdist's, put what takes long first, then the files of most tests."""
    if not hasattr(config, "workerinput"):
        return
    tests = collections.Counter(item.path for item in items)

    def place(item: pytest.Item) -> tuple[int, int]:
        path = item.path.relative_to(Path(__file__).parent).as_posix()
        for number, folder in enumerate(LONGEST):
            if path.startswith(f"{folder}/"):
                return number, 0
        return len(LONGEST), -tests[item.path]

    items.sort(key=place)


def pytest_collection_finish() -> None:
    """Spare the collector what lives as long as the tests: the tests themselves, above all.

    It is run after many of them, and took two thirds of the time of small ones.
    """
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True)
def no_proxies(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Proxies that the machine is configured to use must not see connections of tests.

    Installing packages may need them.
    """
    if "install" not in request.path.parts:
        for name in [name for name in os.environ if name.lower().endswith("_proxy")]:
            monkeypatch.delenv(name)


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
    return lines + [f"duologue timer {timer!r}" for timer in timers_of(loop).pending()]


async def run_test(test: Callable[..., Any], arguments: dict[str, Any], strict: bool) -> None:
    await test(**arguments)
    loop = asyncio.get_running_loop()
    pause = 0 if isinstance(loop, VirtualEventLoop) else 0.001
    for _ in range(GRACE_TURNS):
        if not strict or not leftovers(loop):
            return
        await asyncio.sleep(pause)
    pytest.fail("left in the event loop:\n  " + "\n  ".join(leftovers(loop)), pytrace=False)


def balance(before: Accounts) -> dict[str, int]:
    """What the accounts hold that they did not hold before, by name."""
    # The others only ever grow.
    counted = (name for name in Accounts._fields if name != "shed" and "dropped" not in name)
    now = accounts()
    changes = {name: getattr(now, name) - getattr(before, name) for name in counted}
    return {name: change for name, change in changes.items() if change}


def check_accounts(before: Accounts) -> None:
    """Fail unless all that a test made is gone; what is in cycles only waits for the collector."""
    if any(change > 0 for change in balance(before).values()):
        # What pytest has caught of the log refers to tracebacks, and these to connections.
        for handler in logging.getLogger().handlers:
            getattr(handler, "records", []).clear()
        # What the test made is mostly young: the whole heap is looked through only if it isn't.
        gc.collect(1)
        if any(change > 0 for change in balance(before).values()):
            gc.collect()
    # Less than before: an earlier test's, which is no fault of this one.
    left = {name: change for name, change in balance(before).items() if change > 0}
    if left:
        pytest.fail(f"left in the accounts: {left}", pytrace=False)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Fail a test that passed only because its time-out struck inside a callback of the loop.

    Event loops log what a callback raises, and go on.
    """
    report = yield
    mark = item.get_closest_marker("timeout")
    limit = float(mark.args[0] if mark else item.config.getini("timeout") or 0)
    if report.passed and 0 < limit < call.duration:
        report.outcome = "failed"
        report.longrepr = f"took {call.duration:.1f} s; its time-out of {limit} s was swallowed"
    return report


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
    before = accounts()
    with asyncio.Runner(loop_factory=factory) as runner:
        runner.run(run_test(pyfuncitem.obj, arguments, strict))
    if strict:
        del runner
        for argument in arguments.values():
            if isinstance(argument, BaseException):  # a parameter, which lives on
                argument.__traceback__ = None
        check_accounts(before)
    return True
