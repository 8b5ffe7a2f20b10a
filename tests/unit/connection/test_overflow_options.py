"""Where an outbox policy can be chosen besides a connection: clients and servers of both kinds."""

from __future__ import annotations

import asyncio
import socket
import threading
from typing import Any

import pytest

import duologue
from duologue.base.limits import Limits
from duologue.sync.client import connect as sync_connect
from duologue.sync.server import serve as sync_serve

#: Room for three messages of ten octets.
LIMITS = Limits(max_outbox=3 * (10 + 144))
OPTIONS: dict[str, Any] = {
    "overflow": "drop_newest", "limits": LIMITS, "compression": None, "write_limit": 1000,
}  # fmt: skip
#: More than the buffers of a loopback connection take.
CLOG = bytes(32 << 20)


def stall(port: int) -> socket.socket:
    """A client that opens a connection and reads nothing more."""
    sock = socket.create_connection(("127.0.0.1", port))
    sock.sendall(
        b"GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg==\r\nSec-WebSocket-Version: 13\r\n\r\n"
    )
    return sock


async def test_an_asyncio_server() -> None:
    dropped: asyncio.Future[Any] = asyncio.get_running_loop().create_future()

    async def handler(ws: Any) -> None:
        ws.send(CLOG)
        for _ in range(10):
            await ws.send(bytes(10))
        dropped.set_result((ws.overflow, ws.drops.newest))
        ws.transport.abort()

    async with duologue.serve(handler, "127.0.0.1", 0, engine="asyncio", **OPTIONS) as server:
        with stall(server.sockets[0].getsockname()[1]):
            async with asyncio.timeout(20):
                assert await dropped == ("drop_newest", 7)


async def test_an_asyncio_client() -> None:
    async def handler(ws: Any) -> None:
        await ws.wait_closed()

    async with duologue.serve(handler, "127.0.0.1", 0, max_size=10) as server:
        port = server.sockets[0].getsockname()[1]
        ws = await duologue.connect(f"ws://127.0.0.1:{port}", **OPTIONS)
        ws.send(CLOG)
        for _ in range(10):
            ws.send(bytes(10))
        assert (ws.overflow, ws.drops.newest) == ("drop_newest", 7)
        await ws.wait_closed()


def test_threads_do_not_wait_for_a_peer_that_takes_nothing() -> None:
    told: list[Any] = []
    done = threading.Event()

    def handler(ws: Any) -> None:
        ws.send(CLOG)
        for number in range(10):
            ws.send(b"%010d" % number)
        told.append((ws.overflow, ws.drops.newest))
        ws.send(b"%010d" % 10, overflow="drop_oldest")
        told.append(ws.drops.oldest)
        ws.overflow = "newest_per_key"
        for number in range(5):
            ws.send(b"%010d" % number, key="k")
        told.append(ws.drops.replaced)
        with pytest.raises(TimeoutError):
            ws.drain(timeout=0.01)
        with pytest.raises(ValueError, match="overflow must be one of"):
            ws.send("x", overflow="drop")
        with pytest.raises(TypeError, match="whole messages"):
            ws.send(["x"], key="k")
        done.set()

    options = OPTIONS | {"close_timeout": 0.1}
    with sync_serve(handler, "127.0.0.1", 0, **options) as server:
        serving = threading.Thread(target=server.serve_forever)
        serving.start()
        try:
            with stall(server.socket.getsockname()[1]):
                assert done.wait(20), told
        finally:
            server.shutdown()
            serving.join(20)
    assert told == [("drop_newest", 7), 1, 4]


def test_a_threads_client() -> None:
    def handler(ws: Any) -> None:
        ws.wait_closed()

    with sync_serve(handler, "127.0.0.1", 0) as server:
        serving = threading.Thread(target=server.serve_forever)
        serving.start()
        try:
            port = server.socket.getsockname()[1]
            with sync_connect(f"ws://127.0.0.1:{port}", overflow="close") as ws:
                assert ws.overflow == "close"
                ws.drain(timeout=20)
        finally:
            server.shutdown()
            serving.join(20)
