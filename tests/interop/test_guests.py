"""Handlers of ours under uvicorn, hypercorn and granian, and below Django Channels' routing."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import hypercorn.asyncio
import hypercorn.config
import pytest

from duologue import connect
from duologue.exceptions import InvalidStatus

from . import guest_application
from .asgi_servers import HOST, OURS, UVICORN, serving

pytestmark = pytest.mark.filterwarnings("default")


@contextlib.asynccontextmanager
async def under_hypercorn(app: Any) -> AsyncIterator[str]:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        sock.listen()
        config = hypercorn.config.Config()
        config.bind = [f"fd://{sock.fileno()}"]
        stop = asyncio.Event()
        running = asyncio.create_task(
            hypercorn.asyncio.serve(app, config, shutdown_trigger=stop.wait)
        )
        try:
            yield "{}:{}".format(*sock.getsockname())
        finally:
            stop.set()
            await running
            sock.detach()


@contextlib.asynccontextmanager
async def under_granian(app: Any) -> AsyncIterator[str]:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        netloc = "{}:{}".format(*sock.getsockname())
    words = ["-m", "granian", "--interface", "asgi", "--ws", "--no-log", "--workers", "1"]
    words += ["--host", "127.0.0.1", "--port", netloc.partition(":")[2], "guest_application:app"]
    process = await asyncio.create_subprocess_exec(
        sys.executable, *words, cwd=Path(__file__).parent, env=dict(os.environ)
    )
    try:
        await until_listening(netloc, process)
        yield netloc
    finally:
        process.send_signal(signal.SIGTERM)
        await process.wait()


async def until_listening(netloc: str, process: asyncio.subprocess.Process) -> None:
    host, _, port = netloc.partition(":")
    while True:
        assert process.returncode is None
        try:
            _, writer = await asyncio.open_connection(host, int(port))
        except OSError:
            await asyncio.sleep(0.02)
        else:
            writer.close()
            await writer.wait_closed()
            return


SERVERS: dict[str, Any] = {
    "uvicorn sansio": lambda app: serving(app, UVICORN[0]),
    "uvicorn duologue": lambda app: serving(app, OURS),
    "duologue": lambda app: serving(app, HOST),
    "hypercorn": under_hypercorn,
    "granian": under_granian,
}


# hypercorn leaves a task that waits for data of a connection that was closed.
@pytest.mark.leftovers_allowed
@pytest.mark.parametrize("server", SERVERS)
async def test_http_and_websocket(server: str) -> None:
    guest_application.log.clear()
    async with SERVERS[server](guest_application.app) as netloc:
        async with httpx.AsyncClient(base_url=f"http://{netloc}") as client:
            answer = await client.post("/echo", content=b"x" * 100_000)
            assert (answer.status_code, answer.headers["X-A"]) == (200, "1")
            assert answer.content == b"x" * 100_000
            assert (await client.get("/stream")).content == b"ab"
            assert (await client.get("/nowhere")).status_code == 403
        async with connect(f"ws://{netloc}/ws", subprotocols=["v1"]) as ws:  # type: ignore[list-item]
            assert ws.subprotocol == "v1"
            for message in ("hi", b"\x00\xff", "x" * 70_000):
                await ws.send(message)
                assert await ws.recv() == message
            await ws.close(4001, "why")
        async with connect(f"ws://{netloc}/ws") as ws:
            await ws.send("close")
            await ws.wait_closed()
            assert (ws.close_code, ws.close_reason) == (4000, "asked for")
        with pytest.raises(InvalidStatus) as raised:
            await connect(f"ws://{netloc}/no")
        assert raised.value.response.status_code == 403
    if server != "granian":
        assert guest_application.log[0] == "startup"
        # hypercorn knows 1000 and 1006 only.
        assert guest_application.log[1][0] == (1006 if server == "hypercorn" else 4001)
        assert guest_application.log[-1] == "shutdown"


async def test_below_channels() -> None:
    from channels.routing import ProtocolTypeRouter, URLRouter
    from django.urls import re_path

    from .frameworks import channels_app

    channels_app()
    routed = URLRouter([re_path("^ws$", guest_application.app)])  # type: ignore[arg-type]
    async with serving(ProtocolTypeRouter({"websocket": routed}), HOST) as netloc:
        async with connect(f"ws://{netloc}/ws") as ws:
            await ws.send("hi")
            assert await ws.recv() == "hi"


def test_starlettes_test_client() -> None:
    from starlette.testclient import TestClient

    with TestClient(guest_application.app) as client:
        assert client.post("/echo", content=b"abc").content == b"abc"
        with client.websocket_connect("/ws", subprotocols=["v1"]) as ws:
            assert ws.accepted_subprotocol == "v1"
            ws.send_text("hi")
            assert ws.receive_text() == "hi"
        with client.websocket_connect("/ws") as ws:
            ws.send_text("close")
            assert ws.receive() == {
                "type": "websocket.close",
                "code": 4000,
                "reason": "asked for",
            }
