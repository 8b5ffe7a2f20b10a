"""Subscriptions of the process itself, and what an endpoint is told of its connections' own."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from duologue.connection.connection import Callbacks, Connection
from duologue.connection.endpoint import Endpoint
from duologue.connection.settings import Settings
from duologue.hub.backplanes.memory import Exchange, MemoryBackplane
from duologue.hub.hub import Hub

from ..connection.rig import rig, turns

pytestmark = pytest.mark.virtual_time


async def test_a_function_hears_what_is_published() -> None:
    hub = Hub()
    heard: list[Any] = []
    subscription = hub.subscribe("x", lambda *said: heard.append(said))
    hub.publish("x", "text é")
    hub.publish("y", "elsewhere")
    hub.publish("x", b"\xff")
    hub.publish("x", "octets", text=False)
    assert heard == [("x", "text é"), ("x", b"\xff"), ("x", b"octets")]
    subscription.close()
    subscription.close()
    hub.publish("x", "too late")
    assert len(heard) == 3


async def test_a_filter_gives_the_name() -> None:
    hub = Hub()
    heard: list[str] = []
    hub.subscribe("a/+", lambda topic, message: heard.append(topic))
    hub.subscribe("a/#", lambda topic, message: heard.append(topic.upper()))
    for topic in ("a/b", "a", "b", "a/b/c"):
        hub.publish(topic, "")
    assert sorted(heard) == ["A", "A/B", "A/B/C", "a/b"]


@pytest.mark.parametrize(
    ("topic", "error"), [("", ValueError), ("#/a", ValueError), (1, TypeError)]
)
async def test_what_is_no_topic(topic: Any, error: type[Exception]) -> None:
    with pytest.raises(error):
        Hub().subscribe(topic, print)


async def test_connections_come_first_and_the_process_counts_nowhere() -> None:
    hub = Hub()
    with rig() as member:
        hub.admit(member.ws)
        member.ws.subscribe("x")
        hub.subscribe("x", lambda topic, message: member.ws.send("told"))
        assert await hub.subscribers("x") == 1
        assert len(await hub.presence("x")) == 1
        hub.publish("x", "1")
        assert await member.heard_data() == [b"1", b"told"]


async def test_what_a_callback_raises_harms_nobody(caplog: pytest.LogCaptureFixture) -> None:
    hub = Hub()
    heard: list[Any] = []

    def fails(topic: str, message: Any) -> None:
        raise LookupError("oh")

    hub.subscribe("x", fails)
    hub.subscribe("x", lambda topic, message: heard.append(message))
    hub.publish("x", b"\xff", text=True)  # which is no text
    hub.publish("x", "1")
    assert heard == ["1"]
    assert "a callback for what is published failed" in caplog.text


async def test_a_callback_may_close_and_subscribe() -> None:
    hub = Hub()
    heard: list[str] = []

    def first(topic: str, message: Any) -> None:
        heard.append("first")
        other.close()
        hub.subscribe("x", lambda topic, message: heard.append("late"))

    hub.subscribe("x", first)
    other = hub.subscribe("x", lambda topic, message: heard.append("other"))
    hub.publish("x", "1")
    assert heard == ["first"]
    hub.publish("x", "2")
    assert heard[1:] == ["first", "late"]


async def test_messages_of_other_processes_are_heard() -> None:
    exchange = Exchange()
    one, two = (Hub(backplane=MemoryBackplane(exchange)) for _ in range(2))
    early: list[Any] = []
    early_hub = Hub()
    early_hub.subscribe("x", lambda topic, message: early.append(message))
    early_hub.use(MemoryBackplane(exchange))  # which was not known before
    async with one, two, early_hub:
        heard: list[Any] = []
        subscription = two.subscribe("x", lambda topic, message: heard.append(message))
        await one.publish("x", "from afar")
        await two.publish("x", "from here")
        one.publish("x", "not for two", local=True)
        await turns()
        assert heard == early == ["from afar", "from here"]
        assert await one.subscribers("x") == 0
        subscription.close()
        await one.publish("x", "too late")
        await turns()
        assert len(heard) == 2


async def test_interest_ends_with_the_last_of_connections_and_functions() -> None:
    exchange = Exchange()
    one, two = (Hub(backplane=MemoryBackplane(exchange)) for _ in range(2))
    async with one, two:
        with rig() as member:
            two.admit(member.ws)
            heard: list[Any] = []
            subscriptions = [
                two.subscribe("x", lambda topic, message: heard.append(message)) for _ in range(2)
            ]
            member.ws.subscribe("x")
            subscriptions[0].close()
            member.ws.unsubscribe("x")
            await turns()
            await one.publish("x", "for the function")
            await turns()
            assert heard == ["for the function"]
            member.ws.subscribe("x")
            subscriptions[1].close()
            await turns()
            await one.publish("x", "for the connection")
            await turns()
            assert await member.heard_data() == [b"for the connection"]
            assert len(exchange.interests) == 1
            member.ws.unsubscribe("x")
            await turns()
            assert len(exchange.interests) == 0


def connected_to(endpoint: Endpoint, hub: Hub) -> Any:
    """Return what makes a connection that calls an endpoint, and that the hub has admitted."""

    class Connected(Connection):
        def __init__(self, settings: Settings) -> None:
            super().__init__(settings)
            self.serve_endpoint(Callbacks(endpoint, Endpoint), lambda _: None)
            hub.admit(self)

    return Connected


class Recorder(Endpoint):
    def __init__(self) -> None:
        self.told: list[Any] = []

    def on_open(self, ws: Connection) -> None:
        ws.subscribe("x")
        ws.subscribe("y/+")

    def on_subscription(self, ws: Connection, topic: str, count: int, before: int) -> None:
        self.told.append((ws, topic, count, before))

    def on_close(self, ws: Connection, code: int, reason: str) -> None:
        self.told.append("closed")


async def test_an_endpoint_hears_of_subscriptions() -> None:
    hub, endpoint = Hub(), Recorder()
    everybody: list[Any] = []
    hub.on_subscription(lambda *event: everybody.append(event))
    with rig() as other:
        hub.admit(other.ws)
        other.ws.subscribe("x")
        everybody.clear()
        with rig(connect=connected_to(endpoint, hub)) as a:
            await turns()
            assert endpoint.told == [(a.ws, "x", 2, 1), (a.ws, "y/+", 1, 0)]
            a.ws.subscribe("x")
            a.ws.unsubscribe("y/+")
            a.ws.unsubscribe("y/+")
            assert endpoint.told[2:] == [(a.ws, "y/+", 0, 1)]
            a.ws.start_close()
            a.wire.lose()
            await turns()
            assert endpoint.told[3:] == [(a.ws, "x", 1, 2), "closed"]
            assert everybody == [told for told in endpoint.told if told != "closed"]


async def test_what_on_subscription_raises_ends_its_connection(
    caplog: pytest.LogCaptureFixture,
) -> None:
    hub = Hub()

    class Failing(Recorder):
        def on_open(self, ws: Connection) -> None:
            assert ws.subscribe("x")  # the caller is not whom it concerns

        def on_subscription(self, ws: Connection, topic: str, count: int, before: int) -> None:
            raise LookupError(f"{count}")

    with rig(connect=connected_to(Failing(), hub)) as a:
        async with asyncio.timeout(10):
            while a.ws.close_sent is None:
                await turns()
        assert a.ws.close_sent.code == 1011
        a.wire.lose()
        await turns()
    assert "endpoint failed" in caplog.text
    assert hub.topic_count == 0
