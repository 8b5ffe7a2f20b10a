"""The programs of tutorials in Python, `examples/seeds`: each run against the server it expects."""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import io
import sys
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

import duologue

EXAMPLES = Path(__file__).parents[4] / "examples" / "seeds"


def load(name: str) -> Any:
    spec = importlib.util.spec_from_file_location(f"seeds_{name}", EXAMPLES / f"{name}.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


pytestmark = pytest.mark.leftovers_allowed  # the background loop outlives a test

waiting = threading.Event()
"""Set when the script has set all its handlers and waits."""


@pytest.fixture(autouse=True)
def scripts_say_that_they_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    """A script's thread and the background loop go on side by side, the server only afterwards."""
    waiting.clear()
    wait_closed = duologue.WebSocket.wait_closed

    def say_so(self: duologue.WebSocket, timeout: float | None = None) -> Any:
        waiting.set()
        return wait_closed(self, timeout)

    monkeypatch.setattr(duologue.WebSocket, "wait_closed", say_so)


async def until_the_script_waits(connection: Any, request: Any) -> None:
    await asyncio.to_thread(waiting.wait, 30)


async def echo(websocket: duologue.ServerConnection) -> None:
    async for message in websocket:
        await websocket.send(message)


@contextlib.asynccontextmanager
async def serving(
    handler: Callable[[duologue.ServerConnection], Awaitable[None]], **options: Any
) -> AsyncIterator[str]:
    options = {"max_size": 16 * 2**20, "process_request": until_the_script_waits, **options}
    async with duologue.serve(handler, "127.0.0.1", 0, **options) as server:
        yield f"ws://127.0.0.1:{next(iter(server.sockets)).getsockname()[1]}/"


async def run(name: str, *arguments: Any) -> None:
    """Run an example to its end, as a script: in a thread without a loop."""
    async with asyncio.timeout(30):
        await asyncio.to_thread(load(name).main, *arguments)


def test_every_example_is_run_here() -> None:
    source = Path(__file__).read_text(encoding="utf-8")
    names = [path.stem for path in EXAMPLES.glob("*.py")]
    assert len(names) == 10
    assert [name for name in names if f'"{name}"' not in source] == []


def test_every_example_stands_in_the_documentation() -> None:
    page = EXAMPLES.parents[1] / "docs" / "coming-from" / "browser.md"
    text = page.read_text(encoding="utf-8")
    for path in EXAMPLES.glob("*.py"):
        assert f"{{literalinclude}} ../../examples/seeds/{path.name}" in text


@pytest.mark.parametrize("greeting", ["Connection open ...", "Web Socket 已连接上 ..."])
async def test_hello(capsys: pytest.CaptureFixture[str], greeting: str) -> None:
    async with serving(echo) as url:
        await run("hello", url, greeting)
    assert capsys.readouterr().out.splitlines() == [
        greeting,
        "Received Message: Hello WebSockets!",
        "Connection closed.",
    ]


async def test_ready_state(capsys: pytest.CaptureFixture[str]) -> None:
    async with serving(echo) as url:
        await run("ready_state", url)
    assert capsys.readouterr().out.split() == ["connecting", "open", "closing", "closed"]


async def test_listeners(capsys: pytest.CaptureFixture[str]) -> None:
    async def twice(websocket: duologue.ServerConnection) -> None:
        assert [await websocket.recv(), await websocket.recv()] == ["Hello Server!", "Hello again!"]
        await websocket.send("Hello Client!")
        await websocket.close(4000, "enough")

    async with serving(twice) as url:
        await run("listeners", url)
    assert capsys.readouterr().out.splitlines() == [
        *["message Hello Client!"] * 2,
        *["closed 4000 enough True"] * 2,
    ]


async def test_listeners_of_what_fails(capsys: pytest.CaptureFixture[str]) -> None:
    async def refuse(connection: Any, request: Any) -> Any:
        await until_the_script_waits(connection, request)
        return connection.respond(503, "not now\n")

    async with serving(echo, process_request=refuse) as url:
        await run("listeners", url)
    assert capsys.readouterr().out.splitlines() == ["error"] * 2 + ["closed 1006  False"] * 2


async def test_steps(capsys: pytest.CaptureFixture[str]) -> None:
    async with serving(echo) as url:
        await run("steps", url)
    assert capsys.readouterr().out.splitlines() == ["Hello server!", "closed"]


async def test_echo_form(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def once(websocket: duologue.ServerConnection) -> None:
        await websocket.send(await websocket.recv())

    monkeypatch.setattr(sys, "stdin", io.StringIO("what was typed\n"))
    async with serving(once) as url:
        await run("echo_form", url)
    assert capsys.readouterr().out.splitlines() == [
        "websocket open",
        "result: Connection server success",
        "what was typed",
        "result: what was typed",
        "websocket close",
    ]


async def test_chat(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    said = asyncio.Event()

    async def room(websocket: duologue.ServerConnection) -> None:
        await websocket.send("user1 come in!")
        await websocket.send(await websocket.recv())
        said.set()

    monkeypatch.setattr(sys, "stdin", io.StringIO("hello, everybody\n"))
    async with serving(room) as url:
        await run("chat", url)
    assert said.is_set()
    assert capsys.readouterr().out.splitlines() == [
        "user1 come in!",
        "hello, everybody",
        "websocket closed",
    ]


@pytest.mark.parametrize(("text", "shown"), [("data", ["data"]), ("", [])])
async def test_lifecycle(capsys: pytest.CaptureFixture[str], text: str, shown: list[str]) -> None:
    async with serving(echo) as url:
        await run("lifecycle", url, text)
    end = "1000 Closing normally!"
    assert capsys.readouterr().out.splitlines() == ["protocol: ", *shown, end]


async def test_throttle() -> None:
    async def three(websocket: duologue.ServerConnection) -> None:
        assert [await websocket.recv() for _ in range(3)] == ["tick"] * 3

    async with serving(three) as url:
        await run("throttle", url, 0.01)


async def test_binary(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"\x00\x01\x02")
    async with serving(echo) as url:
        await run("binary", url, str(path))
    assert capsys.readouterr().out.splitlines() == [
        "Received data string",
        "3",
        "Received arraybuffer",
        "512000",
    ]


async def test_buffered_amount(capsys: pytest.CaptureFixture[str]) -> None:
    async with serving(echo) as url:
        await run("buffered_amount", url)
    assert capsys.readouterr().out.splitlines() == [
        "not yet: 10000000",
        "echoed, waiting to be sent: 0",
    ]
