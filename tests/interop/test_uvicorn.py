"""uvicorn with our protocol: its options, its shutdown, its log."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest

from duologue import connect
from duologue.exceptions import InvalidStatus

from .asgi_servers import OURS, serving

pytestmark = pytest.mark.filterwarnings("default")


async def echo(scope: Any, receive: Any, send: Any) -> None:
    if scope["type"] == "lifespan":
        scope["state"]["a"] = 1
        await receive()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await send({"type": "lifespan.shutdown.complete"})
        return
    assert scope["state"] == {"a": 1}
    await receive()
    if scope["path"] == "/no":
        await send({"type": "websocket.close"})
        return
    await send({"type": "websocket.accept"})
    while (event := await receive())["type"] == "websocket.receive":
        await send({**event, "type": "websocket.send"})


@pytest.mark.parametrize("http", ["h11", "httptools"])
async def test_echo(http: Any) -> None:
    async with serving(echo, OURS, http=http) as netloc, connect(f"ws://{netloc}/") as ws:
        for message in ("x", b"y" * 300_000):
            await ws.send(message)
            assert await ws.recv() == message
        assert ws.response is not None
        assert ws.response.headers.get_all("Server") == ["uvicorn"]
        assert len(ws.response.headers.get_all("Date")) == 1


async def test_max_size() -> None:
    async with serving(echo, OURS, ws_max_size=3) as netloc, connect(f"ws://{netloc}/") as ws:
        await ws.send("xxx")
        assert await ws.recv() == "xxx"
        await ws.send("four")
        await ws.wait_closed()
        assert ws.close_code == 1009


@pytest.mark.parametrize("deflate", [True, False])
async def test_per_message_deflate(deflate: bool) -> None:
    async with serving(echo, OURS, ws_per_message_deflate=deflate) as netloc:
        async with connect(f"ws://{netloc}/") as ws:
            assert bool(ws.extensions) == deflate


@pytest.mark.parametrize("most", [2, 30])
async def test_max_queue(most: int) -> None:
    waiting: asyncio.Future[Any] = asyncio.get_running_loop().create_future()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.accept"})
            waiting.set_result(send.__self__._connection.settings.queue_high)
            while (await receive())["type"] == "websocket.receive":
                pass

    async with serving(app, OURS, ws_max_queue=most) as netloc:
        async with connect(f"ws://{netloc}/"):
            assert await asyncio.wait_for(waiting, 20) == most


@pytest.mark.parametrize(("interval", "pinged"), [(0.01, True), (None, False), (0, False)])
async def test_ping_interval(interval: Any, pinged: bool) -> None:
    async with serving(echo, OURS, ws_ping_interval=interval) as netloc:
        reader, writer = await handshake(netloc)
        if pinged:
            assert (await asyncio.wait_for(reader.readexactly(2), 20)) == b"\x89\x04"
        else:
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(reader.readexactly(1), 0.1)
        writer.close()
        await writer.wait_closed()


async def test_ping_timeout() -> None:
    options = {"ws_ping_interval": 0.01, "ws_ping_timeout": 0.01}
    async with serving(echo, OURS, **options) as netloc:
        reader, writer = await handshake(netloc)
        # The ping, then a Close frame with 1011.
        octets = await asyncio.wait_for(reader.read(), 20)
        assert b"\x03\xf3keepalive ping timeout" in octets
        writer.close()
        await writer.wait_closed()


async def handshake(netloc: str, path: str = "/") -> Any:
    host, _, port = netloc.partition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(
        f"GET {path} HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n".encode()
    )
    await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 20)
    return reader, writer


async def test_what_is_no_get_is_refused() -> None:
    async with serving(echo, OURS) as netloc:
        host, _, port = netloc.partition(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(
            b"POST / HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
            b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
        )
        async with asyncio.timeout(20):
            answer = await reader.read()
        assert answer.startswith(b"HTTP/1.1 405 ")
        writer.close()
        await writer.wait_closed()


async def test_shutdown() -> None:
    async with serving(echo, OURS) as netloc:
        ws = await connect(f"ws://{netloc}/")
        await ws.send("x")
        await ws.recv()
    await ws.wait_closed()
    assert ws.close_code == 1012


async def test_shutdown_before_it_is_accepted() -> None:
    begun = asyncio.Event()
    received: list[Any] = []

    async def slow(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "websocket":
            received.append(await receive())
            begun.set()
            received.append(await receive())

    async with serving(slow, OURS) as netloc:
        opening = asyncio.ensure_future(connect(f"ws://{netloc}/").__aenter__())
        await asyncio.wait_for(begun.wait(), 20)
    with pytest.raises(InvalidStatus) as raised:
        await opening
    assert raised.value.response.status_code == 500
    assert [each["type"] for each in received] == ["websocket.connect", "websocket.disconnect"]


async def test_the_log(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "uvicorn.error")
    async with serving(echo, OURS) as netloc:
        async with connect(f"ws://{netloc}/a%20b?c"):
            pass
        with pytest.raises(InvalidStatus):
            await connect(f"ws://{netloc}/no")
    lines = [each.getMessage().partition(" - ")[2] for each in caplog.records]
    assert '"WebSocket /a%20b?c" [accepted]' in lines
    assert '"WebSocket /no" 403' in lines
