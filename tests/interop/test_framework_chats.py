"""A chat for FastAPI, Starlette and Channels, first with the framework's own test client.

Then the same conversation through our host, and through uvicorn with our protocol: everybody hears
the same.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from fastapi import FastAPI, WebSocket, WebSocketDisconnect

from duologue import connect

from .asgi_servers import HOST, OURS, serving
from .frameworks import channels_app

pytestmark = pytest.mark.filterwarnings("default")
OWN = "its own test client"


class Present:
    """Who is there."""

    def __init__(self) -> None:
        self.all: dict[str, WebSocket] = {}

    async def tell(self, text: str) -> None:
        for ws in self.all.values():
            await ws.send_text(text)

    async def stay(self, ws: WebSocket, name: str) -> None:
        """Be there until the connection ends."""
        await ws.accept()
        self.all[name] = ws
        await self.tell(f"{name} came")
        try:
            while True:
                await self.tell(f"{name}: {await ws.receive_text()}")
        except WebSocketDisconnect as exc:
            del self.all[name]
            await self.tell(f"{name} left with {exc.code}")


def fastapi_chat() -> Any:
    app, present = FastAPI(), Present()

    @app.websocket("/chat/{name}")
    async def chat(ws: WebSocket, name: str) -> None:
        await present.stay(ws, name)

    return app


def starlette_chat() -> Any:
    from starlette.applications import Starlette
    from starlette.routing import WebSocketRoute

    present = Present()

    async def chat(ws: Any) -> None:
        await present.stay(ws, ws.path_params["name"])

    return Starlette(routes=[WebSocketRoute("/chat/{name}", chat)])


def channels_chat() -> Any:
    channels_app()
    from channels.generic.websocket import AsyncWebsocketConsumer
    from channels.layers import InMemoryChannelLayer, channel_layers
    from channels.routing import URLRouter
    from django.urls import path

    layer = InMemoryChannelLayer()

    class Chat(AsyncWebsocketConsumer):
        name = ""

        async def tell(self, text: str) -> None:
            await layer.group_send("chat", {"type": "told", "text": text})

        async def told(self, event: Any) -> None:
            await self.send(event["text"])

        async def connect(self) -> None:
            self.channel_layer = layer
            self.name = self.scope["url_route"]["kwargs"]["name"]
            await layer.group_add("chat", self.channel_name)
            await self.accept()
            await self.tell(f"{self.name} came")

        async def receive(self, text_data: Any = None, bytes_data: Any = None) -> None:
            await self.tell(f"{self.name}: {text_data}")

        async def disconnect(self, code: int) -> None:
            await layer.group_discard("chat", self.channel_name)
            await self.tell(f"{self.name} left with {code}")

    channel_layers.set("default", layer)
    return URLRouter([path("chat/<name>", Chat.as_asgi())])


CHATS: dict[str, Callable[[], Any]] = {
    "fastapi": fastapi_chat,
    "starlette": starlette_chat,
    "channels": channels_chat,
}


class Visitor:
    """One who chats: three functions of whoever carries it."""

    def __init__(self, say: Any, hear: Any, leave: Any) -> None:
        self.say, self.hear, self.leave = say, hear, leave


Join = Callable[[str], Any]


@contextlib.asynccontextmanager
async def by_server(app: Any, server: str) -> AsyncIterator[Join]:
    async with serving(app, server) as netloc, contextlib.AsyncExitStack() as stack:

        async def join(name: str) -> Visitor:
            ws = await stack.enter_async_context(connect(f"ws://{netloc}/chat/{name}"))
            return Visitor(ws.send, ws.recv, ws.close)

        yield join


@contextlib.asynccontextmanager
async def by_starlettes_client(app: Any) -> AsyncIterator[Join]:
    from starlette.testclient import TestClient

    with TestClient(app) as client, contextlib.ExitStack() as stack:

        async def join(name: str) -> Visitor:
            ws = stack.enter_context(client.websocket_connect(f"/chat/{name}"))

            def threaded(function: Callable[..., Any]) -> Any:
                return lambda *arguments: asyncio.to_thread(function, *arguments)

            return Visitor(threaded(ws.send_text), threaded(ws.receive_text), threaded(ws.close))

        yield join


@contextlib.asynccontextmanager
async def by_channels_communicator(app: Any) -> AsyncIterator[Join]:
    from channels.testing import WebsocketCommunicator

    open_ones = []

    async def join(name: str) -> Visitor:
        ws = WebsocketCommunicator(app, f"/chat/{name}")
        assert (await ws.connect(20))[0]
        open_ones.append(ws)
        return Visitor(
            ws.send_to, lambda: ws.receive_from(20), lambda code: ws.disconnect(code, 20)
        )

    yield join
    for ws in open_ones:
        await ws.disconnect(timeout=20)


def carried(framework: str, how: str) -> Any:
    app = CHATS[framework]()
    if how != OWN:
        return by_server(app, how)
    return by_channels_communicator(app) if framework == "channels" else by_starlettes_client(app)


@pytest.mark.parametrize("how", [OWN, HOST, OURS])
@pytest.mark.parametrize("framework", CHATS)
async def test_a_chat(framework: str, how: str) -> None:
    async with asyncio.timeout(50), carried(framework, how) as join:
        ann = await join("ann")
        assert await ann.hear() == "ann came"
        bob = await join("bob")
        heard = [[await each.hear()] for each in (ann, bob)]
        for who, text in ((ann, "hello"), (bob, "κόσμε"), (ann, "x" * 70_000)):
            # A test client of Channels takes its text by name only.
            if framework == "channels" and how == OWN:
                await who.say(text_data=text)
            else:
                await who.say(text)
            for each, words in zip((ann, bob), heard, strict=True):
                words.append(await each.hear())
        assert (
            heard
            == [
                ["bob came", "ann: hello", "bob: κόσμε", "ann: " + "x" * 70_000],
            ]
            * 2
        )
        await bob.leave(4002)
        assert await ann.hear() == "bob left with 4002"
