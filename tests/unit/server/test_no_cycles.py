"""A connection that has ended is freed at once: nothing of it waits for the garbage collector.

Collections are rare in a process with many objects, so that what a storm of clients has left in
cycles would stay for minutes, with all buffers that hang on it.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
from collections import Counter
from collections.abc import AsyncIterator
from typing import Any

import pytest

import duologue
from duologue import App, Endpoint

VISITS = 5
# What is shared by the connections of one server or client, once for all of them.
SHARED = {"Settings", "Common"}

app = App()


@app.websocket("/")
async def echo(ws: Any) -> None:
    async for message in ws:
        await ws.send(message)


@app.websocket("/callbacks")
class Echo(Endpoint):
    def on_message(self, ws: Any, message: Any) -> None:
        ws.send(message)


@app.post("/body")
async def body(request: Any) -> str:
    return str(len(await request.body()))


async def bare(port: int, octets: bytes, *, read: bool = False) -> None:
    """Say something by hand, read all answers if wanted, and vanish."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(octets)
    if read:
        await reader.read()
    else:
        await writer.drain()
    writer.transport.abort()


async def talk(port: int, path: str, *, vanish: bool = False) -> None:
    """Have a conversation, and end it in order or not."""
    async with duologue.connect(f"ws://127.0.0.1:{port}{path}", proxy=None) as ws:
        await ws.send("x")
        assert await ws.recv() == "x"
        if vanish:
            ws.transport.abort()


BODY = b"POST /body HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\n"
VISITORS = {
    "coroutine": lambda port: talk(port, "/"),
    "vanishing": lambda port: talk(port, "/", vanish=True),
    "callbacks": lambda port: talk(port, "/callbacks"),
    "half a line": lambda port: bare(port, BODY[:7]),
    "half a head": lambda port: bare(port, BODY[:30]),
    "half a body": lambda port: bare(port, BODY + b"x"),
    "no HTTP": lambda port: bare(port, b"what?\r\n\r\n", read=True),
    "an answer": lambda port: bare(port, BODY.replace(b"9", b"0"), read=False),
}


@contextlib.asynccontextmanager
async def what_is_left() -> AsyncIterator[Counter[str]]:
    """Count our objects that only the collector finds, by their classes."""
    found: Counter[str] = Counter()
    gc.collect()
    gc.disable()
    gc.set_debug(gc.DEBUG_SAVEALL)
    try:
        yield found
        gc.collect()
        ours = (type(each) for each in gc.garbage)
        found.update(each.__qualname__ for each in ours if "duologue" in str(each.__module__))
    finally:
        gc.set_debug(0)
        gc.garbage.clear()
        gc.enable()


@pytest.mark.parametrize("way", VISITORS)
async def test_nothing_is_left_of_a_visitor(way: str) -> None:
    visit = VISITORS[way]
    async with app.serving("127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]

        async def all_gone() -> None:
            async with asyncio.timeout(20):
                while server.all_connections or server.openings or server.opening_tasks:
                    await asyncio.sleep(0.01)

        await visit(port)
        await all_gone()
        async with what_is_left() as left:
            for _ in range(VISITS):
                await visit(port)
            await all_gone()
        assert {name for name, count in left.items() if count >= VISITS} <= SHARED
