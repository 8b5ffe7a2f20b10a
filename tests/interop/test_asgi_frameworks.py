"""FastAPI, Starlette, Litestar, Quart, Django Channels and python-socketio, unchanged, on us."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
import socketio

from duologue import connect
from duologue.exceptions import InvalidStatus

from .asgi_servers import HOST, OURS, serving
from .frameworks import FRAMEWORKS

pytestmark = pytest.mark.filterwarnings("default")


@pytest.mark.parametrize("server", [HOST, OURS])
@pytest.mark.parametrize("framework", FRAMEWORKS)
async def test_http_and_websocket(framework: str, server: str) -> None:
    async with serving(FRAMEWORKS[framework](), server) as netloc:
        async with httpx.AsyncClient(base_url=f"http://{netloc}") as client:
            for _ in range(2):
                answer = await client.get("/hello", params={"name": "a b"})
                assert answer.status_code == 200
                assert "hello a b" in answer.text
            assert (await client.get("/nowhere")).status_code == 404
        async with connect(f"ws://{netloc}/ws") as ws:
            for text in ("hi", "", "x" * 70_000) if framework != "litestar" else ("hi",):
                await ws.send(text)
                assert await ws.recv() == text
        assert ws.close_code == 1000
        with pytest.raises(InvalidStatus):
            await connect(f"ws://{netloc}/nowhere")


# Its service and ping tasks live on for a while.
@pytest.mark.leftovers_allowed
@pytest.mark.parametrize("server", [HOST, OURS])
async def test_socketio(server: str) -> None:
    async with serving(FRAMEWORKS["socketio"](), server) as netloc:
        async with httpx.AsyncClient(base_url=f"http://{netloc}") as client:
            answer = await client.get("/socket.io/", params={"transport": "polling", "EIO": "4"})
            assert answer.text.startswith('0{"sid":')
        async with socketio.AsyncSimpleClient() as talking:
            await talking.connect(f"http://{netloc}", transports=["websocket"])
            await talking.emit("message", {"a": 1})
            event: Any = await talking.receive(timeout=20)
            assert event == ["message", {"a": 1}]
