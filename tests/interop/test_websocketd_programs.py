"""The programs of ``examples/programs`` behind our server: shell, Python, Perl and JavaScript."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import socket
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from .subject import ConnectionClosed, connect

PROGRAMS = Path(__file__).parents[2] / "examples" / "programs"
PATIENCE = 30.0

pytestmark = pytest.mark.leftovers_allowed


@contextlib.asynccontextmanager
async def running(*words: str) -> AsyncIterator[str]:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "duologue", "run", f"--port={port}", *words),
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    try:
        async with asyncio.timeout(PATIENCE):
            while b"Starting WebSocket server" not in await process.stdout.readline():
                pass
        yield f"ws://127.0.0.1:{port}/"
    finally:
        process.terminate()
        await process.communicate()


async def test_one_for_each_client() -> None:
    async with running(f"--dir={PROGRAMS}") as url, asyncio.timeout(PATIENCE):
        async with connect(url + "greet.py") as ws:
            assert await ws.recv() == "Hello, 127.0.0.1! Who are you?"
            await ws.send("Ann")
            assert await ws.recv() == "Hello, Ann!"
        if shutil.which("perl"):
            async with connect(url + "shout.pl") as ws:
                await ws.send("quiet")
                assert await ws.recv() == "QUIET"
        if shutil.which("node"):
            async with connect(url + "sum.js") as ws:
                await ws.send('{"add": 2}')
                await ws.send('{"add": 3}')
                assert [await ws.recv(), await ws.recv()] == ['{"sum":2}', '{"sum":5}']


async def test_counting() -> None:
    async with running(str(PROGRAMS / "count.sh"), "0.01") as url, connect(url) as ws:
        found = []
        with contextlib.suppress(ConnectionClosed):
            async with asyncio.timeout(PATIENCE):
                while True:
                    found.append(await ws.recv())
        assert found == [str(number) for number in range(1, 11)]
        assert ws.close_code == 1000


async def test_one_for_all() -> None:
    room = ("--share", "--shareformat=json", str(PROGRAMS / "room.py"))
    async with running(*room) as url, asyncio.timeout(PATIENCE):
        async with connect(url) as one:
            assert await one.recv() == "You are number 1."
            async with connect(url) as two:
                assert await two.recv() == "You are number 2."
                await one.send("hi")
                assert [await one.recv(), await two.recv()] == ["1: hi", "1: hi"]
                await two.send("/quit")
                await two.wait_closed()
                assert (two.close_code, two.close_reason) == (1000, "as you wish")
            assert await one.recv() == "Number 2 has left."


@pytest.mark.slow
async def test_many_processes() -> None:
    """500 at once, each with its client."""
    async with running("--maxforks=500", "cat") as url, contextlib.AsyncExitStack() as stack:
        for start in range(0, 500, 50):
            connecting = [connect(url, open_timeout=PATIENCE) for _ in range(50)]
            opened = await asyncio.gather(*(each.connect() for each in connecting))
            for number, ws in enumerate(opened, start):
                stack.push_async_callback(ws.close)
                await ws.send(str(number))
                assert await ws.recv() == str(number)
