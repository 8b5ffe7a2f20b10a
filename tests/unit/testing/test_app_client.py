"""A client for an application in memory."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest

import duologue
from duologue import testing
from duologue.app.request import Request


def chat() -> duologue.App:
    """An application with everything that a client can ask for."""
    log: list[str] = []

    @contextlib.asynccontextmanager
    async def lifespan(app: duologue.App) -> AsyncIterator[dict[str, list[str]]]:
        log.append("begin")
        yield {"log": log}
        log.append("end")

    app = duologue.App(lifespan=lifespan, health_path="/health")

    @app.websocket("/room/{name}")
    async def room(ws: duologue.ServerConnection, name: str) -> None:
        ws.subscribe(name)
        async for message in ws:
            app.publish(name, message)

    @app.post("/echo")
    async def echo(request: Request) -> object:
        return await request.json()

    @app.get("/query")
    async def query(request: Request) -> object:
        return [request.query_string, request.headers.get("X-Mine"), request.host]

    return app


async def test_websockets_and_http() -> None:
    app = chat()
    async with testing.client(app) as c:
        assert app.state.log == ["begin"]
        one, other = await c.connect("/room/a"), await c.connect("/room/a")
        await one.send("hello")
        assert [await one.recv(), await other.recv()] == ["hello", "hello"]
        answer = await c.get("/health")
        assert (answer.status, answer.text) == (200, "ok\n")
        assert (await c.post("/echo", json={"a": [1]})).json() == {"a": [1]}
        found = await c.get("/query?a=1", params={"b": "ä"}, headers={"X-Mine": "yes"})
        assert found.json() == ["a=1&b=%C3%A4", "yes", "testserver"]
        assert (await c.request("HEAD", "/health")).body == b""
        assert (await c.delete("/health")).status == 405
        assert (await c.put("/nothing", body="x")).status == 404
    assert app.state.log == ["begin", "end"]
    assert one.close_code == other.close_code == 1000


async def test_rules_hold() -> None:
    async with testing.client(chat()) as c:
        with pytest.raises(duologue.InvalidStatus) as caught:
            await c.connect("/room/a", origin="https://other.test")
        assert caught.value.response.status_code == 403
        ws = await c.connect("/room/a", origin="http://testserver")
        await ws.close()


async def test_another_name() -> None:
    async with testing.client(chat(), host="elsewhere.test") as c:
        assert c.network.address_of("elsewhere.test") == "10.0.0.2"
        assert (await c.get("/query")).json()[2] == "elsewhere.test"


def test_trouble_on_the_network() -> None:
    network = testing.SimulatedNetwork(seed=3, delay=0.5)

    async def main() -> float:
        loop = asyncio.get_running_loop()
        async with testing.client(chat()) as c:
            assert c.network is network
            ws = await c.connect("/room/a")
            begun = loop.time()
            await ws.send("x")
            assert await ws.recv() == "x"
            return loop.time() - begun

    with asyncio.Runner(loop_factory=network.loop_factory) as runner:
        assert runner.run(main()) == 1.0
