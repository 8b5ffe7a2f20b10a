"""An application's topics, and the endpoint where others publish."""

from __future__ import annotations

import asyncio
import base64
import json
from typing import Any

import pytest

import duologue
from duologue.app.application import App
from duologue.app.publishing import PublishEndpoint
from duologue.base.limits import Limits
from duologue.hub.backplanes.memory import Exchange, MemoryBackplane
from duologue.hub.hub import Hub
from duologue.hub.publisher import Publisher

TOKEN = "Authorization: Bearer s3cret"


def rooms(**options: Any) -> App:
    app = App(**options)

    @app.websocket("/room/{name}")
    async def room(ws: Any, name: str) -> None:
        ws.subscribe(f"room.{name}", presence=name)
        await ws.send("in")
        async for text in ws:
            app.publish(f"room.{name}", text, exclude=ws)

    return app


async def test_a_room(visiting: Any) -> None:
    app = rooms()
    events: list[tuple[str, int, int]] = []
    app.on_subscription(lambda ws, topic, now, before: events.append((topic, now, before)))
    async with visiting(app) as site, site.connect("/room/a") as a, site.connect("/room/a") as b:
        assert await a.recv() == await b.recv() == "in"
        assert await app.subscribers("room.a") == 2
        assert [member.info for member in await app.presence("room.a")] == ["a", "a"]
        joined: list[str] = []
        watch = app.watch("room.a", lambda event: joined.append(event.kind))
        await a.send("hello")
        assert await b.recv() == "hello"
        assert await app.publish("room.a", b"all") == 2
        assert await a.recv() == await b.recv() == b"all"
        await b.close()
        async with asyncio.timeout(10):
            while await app.subscribers("room.a") != 1:
                await asyncio.sleep(0)
        assert joined == ["leave"]
        watch.close()
    assert events == [("room.a", 1, 0), ("room.a", 2, 1), ("room.a", 1, 2), ("room.a", 0, 1)]


async def test_endpoints_subscribe_when_they_open(visiting: Any) -> None:
    app = App()

    @app.websocket("/")
    class Room(duologue.Endpoint):
        def on_open(self, ws: Any) -> None:
            ws.subscribe("x")
            app.publish("x", "opened")

    async with visiting(app) as site, site.connect("/") as ws:
        assert await ws.recv() == "opened"


async def test_included_applications_share_the_topics(visiting: Any) -> None:
    outer, inner = App(), rooms()
    outer.include(inner, prefix="/in")
    async with visiting(outer) as site, site.connect("/in/room/a") as a:
        assert await a.recv() == "in"
        outer.publish("room.a", "from outside")
        inner.publish("room.a", "from inside")
        assert [await a.recv(), await a.recv()] == ["from outside", "from inside"]
        assert await inner.subscribers("room.a") == 1


async def test_an_application_is_subscribed_itself(visiting: Any) -> None:
    outer, inner = App(), rooms()
    outer.include(inner, prefix="/in")
    heard: list[Any] = []
    subscriptions = [
        app.subscribe("room.+", lambda topic, message: heard.append((topic, message)))
        for app in (outer, inner)
    ]
    assert len({subscription.topic for subscription in subscriptions}) == 1
    outer.subscribe("room.a", lambda topic, message: heard.append(message))
    async with visiting(outer) as site, site.connect("/in/room/a") as a:
        assert await a.recv() == "in"
        inner.publish("room.a", "hello")
        assert await a.recv() == "hello"
        assert heard == ["hello"]  # a + is a wildcard only where it is a whole level
        assert await outer.subscribers("room.a") == 1


async def test_limits_of_the_application(visiting: Any) -> None:
    app = rooms(max_topic=8)
    async with visiting(app) as site, site.connect("/room/abc") as ws:
        assert await ws.recv() == "in"
        with pytest.raises(ValueError, match="max_topic of 8"):
            app.publish("123456789", "")


async def test_a_backplane_joins_applications(visiting: Any) -> None:
    exchange = Exchange()
    one, two = (rooms(backplane=MemoryBackplane(exchange)) for _ in range(2))
    async with visiting(one) as here, visiting(two) as there:
        async with here.connect("/room/a") as a, there.connect("/room/a") as b:
            assert await a.recv() == await b.recv() == "in"
            await a.send("over there")
            assert await b.recv() == "over there"
            assert await two.subscribers("room.a") == 2
            two.publish("room.a", "only here", local=True)
            assert await b.recv() == "only here"
            await one.publish("room.a", "all")
            assert await a.recv() == await b.recv() == "all"


# The endpoint


async def test_publishing_is_off_by_default(visiting: Any) -> None:
    async with visiting(rooms()) as site:
        response = await site.ask("POST", "/publish", TOKEN, body=b'{"topic": "a", "message": ""}')
        assert response.status_code == 404


async def test_publishing_over_http(visiting: Any) -> None:
    app = rooms()
    app.enable_publishing(token=["old", "s3cret"], path="/hooks/publish")
    entries = [
        {"topic": "room.a", "message": "é"},
        {"topic": "room.b", "message": "elsewhere"},
        {"topic": "room.a", "base64": base64.b64encode(b"\xff").decode()},
    ]
    async with visiting(app) as site, site.connect("/room/a") as a:
        assert await a.recv() == "in"
        for token, positions in (("old", [1, 1, 2]), ("s3cret", [3, 2, 4])):
            field = f"Authorization: bearer {token}"
            body = json.dumps(entries).encode()
            response = await site.ask("POST", "/hooks/publish", field, body=body)
            assert response.status_code == 200
            assert json.loads(response.body) == {"positions": positions}
            assert [await a.recv(), await a.recv()] == ["é", b"\xff"]
        response = await site.ask("GET", "/hooks/publish", TOKEN)
        assert response.status_code == 405


@pytest.mark.parametrize(
    "fields",
    [
        [],
        ["Authorization: Bearer"],
        ["Authorization: Bearer wrong"],
        ["Authorization: Bearer s3cre"],
        ["Authorization: Bearer s3cret2"],
        ["Authorization: Bearer \xff"],
        ["Authorization: Basic s3cret"],
        ["Authorization: s3cret"],
        [TOKEN, TOKEN],
    ],
)
async def test_nobody_publishes_without_a_token(visiting: Any, fields: list[str]) -> None:
    app = rooms()
    app.enable_publishing(token="s3cret")
    async with visiting(app) as site:
        body = b'{"topic": "room.a", "message": "x"}'
        response = await site.ask("POST", "/publish", *fields, body=body)
        assert response.status_code == 401
        assert response.headers["WWW-Authenticate"] == "Bearer"
        assert await app.publish("room.a", "the first one") == 1


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (b"", ""),
        (b"{", ""),
        (b"1", "message 0"),
        (b"{}", "message 0"),
        (b'{"topic": "a"}', "message 0"),
        (b'{"topic": "a", "text": "x"}', "message 0"),
        (b'{"topic": "a", "message": "x", "base64": ""}', "message 0"),
        (b'{"topic": "a", "message": 1}', "must be text"),
        (b'{"topic": "a", "message": "\\ud800"}', "surrogates"),
        (b'{"topic": "a", "base64": "?"}', "message 0"),
        (b'{"topic": "a/#", "message": "x"}', "wildcards"),
        (b'{"topic": "", "message": "x"}', "empty"),
        (b'{"topic": 1, "message": "x"}', "must be str"),
        (b'[{"topic": "room.a", "message": "x"}, {"topic": "b"}]', "message 1"),
    ],
)
async def test_all_or_nothing(visiting: Any, body: bytes, text: str) -> None:
    app = rooms()
    app.enable_publishing(token="s3cret")
    async with visiting(app) as site:
        response = await site.ask("POST", "/publish", TOKEN, body=body)
        assert response.status_code == 400
        assert text in bytes(response.body).decode()
        assert await app.publish("room.a", "the first one") == 1


async def test_a_body_that_is_too_large(visiting: Any) -> None:
    app = rooms(max_body=100)
    app.enable_publishing(token="s3cret")
    async with visiting(app) as site:
        body = json.dumps({"topic": "a", "message": "x" * 200}).encode()
        assert (await site.ask("POST", "/publish", TOKEN, body=body)).status_code == 413


async def test_other_processes_cannot_be_reached(visiting: Any) -> None:
    exchange = Exchange(Limits(max_backlog=10))
    app = rooms(backplane=MemoryBackplane(exchange))
    app.enable_publishing(token="s3cret")
    async with visiting(app) as site:
        entries = [{"topic": "a", "message": "x" * 10}] * 2
        response = await site.ask("POST", "/publish", TOKEN, body=json.dumps(entries).encode())
        assert response.status_code == 503
        assert b"max_backlog=10" in response.body


async def test_the_publisher_and_the_endpoint(visiting: Any) -> None:
    app = rooms()
    app.enable_publishing(token="s3cret")
    async with visiting(app) as site, site.connect("/room/a") as a:
        assert await a.recv() == "in"
        publisher = Publisher(f"http://127.0.0.1:{site.port}", token="s3cret")
        async with publisher:
            assert await publisher.apublish("room.a", "é") == 1
            assert await publisher.apublish_many([("room.a", b"\xff"), ("b", "")]) == [2, 1]
        assert await asyncio.to_thread(publisher.publish, "room.a", "sync") == 3
        assert [await a.recv() for _ in range(3)] == ["é", b"\xff", "sync"]
        with pytest.raises(duologue.PublishError, match="wildcards") as caught:
            await publisher.apublish("room/+", "x")
        assert caught.value.status_code == 400


@pytest.mark.parametrize("token", ["", "a b", "a\n", "é", []])
def test_tokens_that_are_none(token: Any) -> None:
    with pytest.raises(ValueError, match="token"):
        rooms().enable_publishing(token=token)


@pytest.mark.parametrize("token", [None, 5, b"secret", ["secret", b"secret"]])
def test_tokens_of_another_type(token: Any) -> None:
    with pytest.raises(TypeError, match="token"):
        rooms().enable_publishing(token=token)


def test_tokens_are_compared_in_constant_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """All of them, by the function for it, also when the first one matches."""
    compared: list[tuple[bytes, bytes]] = []

    def compare(a: bytes, b: bytes) -> bool:
        compared.append((a, b))
        return a == b

    monkeypatch.setattr("duologue.app.publishing.hmac.compare_digest", compare)
    endpoint = PublishEndpoint(Hub, ["one", "two"])
    assert endpoint._knows(["Bearer one"])
    assert compared == [(b"one", b"one"), (b"two", b"one")]
