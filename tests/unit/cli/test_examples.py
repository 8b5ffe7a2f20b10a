"""Runs every example; the servers by their clients, by effect."""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import importlib.util
import socket
import urllib.request
from pathlib import Path

import duologue

EXAMPLES = Path(__file__).parents[3] / "examples"


def load(name: str):
    spec = importlib.util.spec_from_file_location(f"examples_{name}", EXAMPLES / f"{name}.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as sock:
        return sock.getsockname()[1]


@contextlib.asynccontextmanager
async def running(coroutine):
    task = asyncio.create_task(coroutine)
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def listening(port: int) -> str:
    while True:
        with contextlib.suppress(OSError):
            _, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.close()
            await writer.wait_closed()
            return f"ws://127.0.0.1:{port}/"
        await asyncio.sleep(0.01)


def test_every_example_is_run_here():
    source = Path(__file__).read_text(encoding="utf-8")
    for path in EXAMPLES.glob("*.py"):
        assert f'load("{path.stem}")' in source


async def test_echo():
    port = free_port()
    async with (
        running(load("echo_server").main(port)),
        duologue.connect(await listening(port)) as websocket,
    ):
        await websocket.send("hi")
        assert await websocket.recv() == "hi"


async def test_clock():
    port = free_port()
    async with (
        running(load("clock_server").main(port, 0.01)),
        duologue.connect(await listening(port)) as websocket,
    ):
        for _ in range(2):
            datetime.datetime.fromisoformat(await websocket.recv())


async def test_reconnecting(capsys):
    await load("reconnecting").main()
    lost = "connection lost: received 1012 (service restart); then sent 1012 (service restart)"
    assert capsys.readouterr().out.splitlines() == ["one", lost, "two", lost, "three"]


async def test_page():
    port = free_port()
    async with running(load("page_server").main(port)):
        url = await listening(port)
        page = await asyncio.to_thread(fetch, url.replace("ws:", "http:"))
        assert "new WebSocket" in page
        async with duologue.connect(url) as websocket:
            await websocket.send("page")
            assert await websocket.recv() == "Hello, page!"


def fetch(url: str) -> str:
    with urllib.request.urlopen(url) as response:
        assert response.headers["Content-Type"] == "text/html; charset=utf-8"
        return response.read().decode()


def test_without_io(capsys):
    load("without_io").main()
    assert capsys.readouterr().out.splitlines() == [
        "server got a request for /chat",
        "client got status 101",
        "server got Hello!",
        "closed with 1000",
    ]
