"""The raw server is a WebSocket server as far as well-behaved clients can tell."""

from __future__ import annotations

import asyncio
import json
import os
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.client import ClientConnection, unix_connect

pytestmark = pytest.mark.leftovers_allowed


def listens(path: str) -> bool:
    """Whether somebody accepts connections there: the path is there a moment before."""
    with socket.socket(socket.AF_UNIX) as probe:
        return probe.connect_ex(path) == 0


@asynccontextmanager
async def server(programs: Path, folder: Path) -> AsyncIterator[str]:
    """Yields the path of the server's Unix socket."""
    path = str(folder / "socket")
    process = await asyncio.create_subprocess_exec(str(programs / "raw_epoll"), "--unix", path)
    try:
        while not listens(path):
            assert process.returncode is None
            await asyncio.sleep(0.01)
        yield path
    finally:
        process.kill()
        await process.wait()


def connect(path: str, target: str = "/") -> Any:
    return unix_connect(path, f"ws://localhost{target}", compression=None, max_size=None)


@pytest.mark.parametrize("size", [0, 1, 125, 126, 65535, 65536, 3_000_000])
async def test_echo(programs: Path, tmp_path: Path, size: int) -> None:
    message = os.urandom(size)
    async with server(programs, tmp_path) as path, connect(path) as ws:
        for _ in range(3):
            await ws.send(message)
        assert [await ws.recv() == message for _ in range(3)] == [True] * 3
        await ws.send("text")
        assert await ws.recv() == "text"
        await (await ws.ping(b"ping"))
    assert ws.close_code == 1000


async def test_broadcast(programs: Path, tmp_path: Path) -> None:
    async with server(programs, tmp_path) as path, connect(path) as outsider:
        members: list[ClientConnection] = [await connect(path, "/broadcast") for _ in range(3)]
        await members[1].send("hello")
        assert [await member.recv() for member in members] == ["hello"] * 3
        await members[0].close()
        await members[1].send("again")
        assert [await member.recv() for member in members[1:]] == ["again"] * 2
        for member in members[1:]:
            await member.close()
        await outsider.send("echo")
        assert await outsider.recv() == "echo"


async def test_feed(programs: Path, tmp_path: Path) -> None:
    async with server(programs, tmp_path) as path:
        ws = await connect(path, "/feed")
        await ws.send("news")
        assert [await ws.recv() for _ in range(50_000)] == ["news"] * 50_000
        ws.transport.abort()


async def test_generator_over_a_unix_socket(programs: Path, tmp_path: Path) -> None:
    async with server(programs, tmp_path) as path:
        process = await asyncio.create_subprocess_exec(
            str(programs / "generator"),
            *("echo", "--unix", path, "--connections", "50", "--depth", "8"),
            *("--size", "5000", "--messages", "200", "--pid", str(os.getpid())),
            stdout=asyncio.subprocess.PIPE,
        )
        out, _ = await process.communicate()
    assert process.returncode == 0
    assert json.loads(out)["count"] == 10_000
