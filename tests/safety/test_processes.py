"""Fork after start, and a loop that is closed with live connections."""

from __future__ import annotations

import gc
import subprocess
import sys
import textwrap
import warnings
import weakref
from typing import Any

import pytest

from .rig import LOOPS, descriptors, dial, served

FORK = """
import asyncio, gc, os, sys, warnings
warnings.simplefilter("ignore", DeprecationWarning)
import duologue
from duologue.testing import pending_tasks

NAME, ENGINE = sys.argv[1:]

def factory():
    if NAME == "uvloop":
        import uvloop
        return uvloop.new_event_loop()
    if NAME == "engine":
        return duologue.EventLoop()
    loop = asyncio.SelectorEventLoop()
    loop.set_debug(NAME == "debug")
    loop.slow_callback_duration = 30.0  # a busy machine is no failure
    return loop

async def echo(ws):
    async for message in ws:
        await ws.send(message)

async def serve_and_talk():
    async with duologue.serve(echo, "127.0.0.1", 0, engine=ENGINE) as server:
        host, port = server.sockets[0].getsockname()[:2]
        async with duologue.connect(f"ws://{host}:{port}/", proxy=None, engine=ENGINE) as ws:
            await ws.send("hello")
            assert await ws.recv() == "hello"

def child():
    # The child's own loop, while it holds copies of all that its parent has open.
    asyncio.events._set_running_loop(None)
    with asyncio.Runner(loop_factory=factory) as runner:
        runner.run(serve_and_talk())
    gc.collect()

async def main():
    async with duologue.serve(echo, "127.0.0.1", 0, engine=ENGINE) as server:
        host, port = server.sockets[0].getsockname()[:2]
        url = f"ws://{host}:{port}/"
        async with duologue.connect(url, proxy=None, engine=ENGINE) as ws:
            await ws.send("before")
            assert await ws.recv() == "before"
            await ws.send("over the fork")
            process = os.fork()
            if process == 0:
                try:
                    child()
                except BaseException:
                    import traceback
                    traceback.print_exc()
                    os._exit(1)
                os._exit(7)
            while True:
                done, status = os.waitpid(process, os.WNOHANG)
                if done:
                    break
                await asyncio.sleep(0.01)
            assert os.waitstatus_to_exitcode(status) == 7
            assert await ws.recv() == "over the fork"
            for number in range(10):
                await ws.send(str(number))
                assert await ws.recv() == str(number)
            async with duologue.connect(url, proxy=None, engine=ENGINE) as other:
                await other.send("new")
                assert await other.recv() == "new"

with asyncio.Runner(loop_factory=factory) as runner:
    runner.run(main())
print("done")
"""


def test_fork_after_start(loop_name: str, engine: str) -> None:
    """The child makes its own loop, server and client; the parent's conversations go on."""
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(FORK), loop_name, engine],
        capture_output=True,
        text=True,
        timeout=50,
    )
    assert (done.stdout, done.stderr) == ("done\n", "")


def run_and_close(name: str, engine: str) -> tuple[weakref.ref[Any], list[weakref.ref[Any]]]:
    """Leave a loop in the middle of ten conversations, and close it."""
    loop = LOOPS[name]()
    found: list[weakref.ref[Any]] = []

    async def echo(ws: Any) -> None:
        async for message in ws:
            await ws.send(message)

    async def main() -> None:
        serving = served(echo, engine=engine)
        _, url = await serving.__aenter__()
        for number in range(10):
            ws = await dial(url, engine=engine)
            await ws.send(str(number))
            if number % 2:
                assert await ws.recv() == str(number)
            found.append(weakref.ref(ws))
        kept.append(serving)

    kept: list[Any] = []
    loop.set_exception_handler(lambda loop, context: None)  # tasks that are destroyed say so
    loop.run_until_complete(main())
    loop.close()
    return weakref.ref(loop), found


@pytest.mark.filterwarnings("ignore::ResourceWarning")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.filterwarnings("ignore:coroutine .* was never awaited:RuntimeWarning")
def test_a_loop_closed_with_live_connections(loop_name: str, engine: str) -> None:
    """Its connections go with it, and their descriptors; nothing crashes."""
    gc.collect()
    before = descriptors()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        loop, connections = run_and_close(loop_name, engine)
        for _ in range(3):
            gc.collect()
    assert all(each() is None for each in connections)
    if engine == "epoll":
        assert loop() is None
        assert descriptors() <= before
