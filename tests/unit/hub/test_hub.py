"""The hub of one process: subscriptions, what is published, who is told."""

from __future__ import annotations

import asyncio
import contextlib
import functools
from collections.abc import Iterator
from typing import Any

import pytest

from duologue.base.exceptions import ConnectionClosed, InvalidState, TooManySubscriptions
from duologue.base.limits import Limits
from duologue.base.vocabulary import Opcode, Side, State
from duologue.connection.connection import Callbacks, Connection
from duologue.connection.endpoint import Endpoint
from duologue.connection.settings import Settings
from duologue.hub.hub import Hub
from duologue.wire.deflate import PerMessageDeflate

from ..connection.rig import Rig, rig, turns

pytestmark = pytest.mark.virtual_time


@contextlib.contextmanager
def members(hub: Hub, count: int, **options: Any) -> Iterator[list[Rig]]:
    """Connections that the hub has admitted."""
    with contextlib.ExitStack() as stack:
        rigs = [stack.enter_context(rig(**options)) for _ in range(count)]
        for each in rigs:
            hub.admit(each.ws)
        yield rigs


async def test_what_is_published_reaches_subscribers_only() -> None:
    hub = Hub()
    with members(hub, 3) as (a, b, c):
        assert a.ws.subscribe("room")
        assert b.ws.subscribe("room")
        assert c.ws.subscribe("Room")
        hub.publish("room", "hello")
        assert await a.heard_data() == [b"hello"]
        assert await b.heard_data() == [b"hello"]
        assert await c.heard_data() == []


async def test_subscribing_twice_and_unsubscribing() -> None:
    hub = Hub()
    with members(hub, 1) as (a,):
        assert a.ws.topics == frozenset()
        assert not a.ws.unsubscribe("x")
        assert a.ws.subscribe("x") is True
        assert a.ws.subscribe("x") is False
        assert a.ws.subscribe("y") is True
        assert a.ws.is_subscribed("x")
        assert not a.ws.is_subscribed("z")
        assert a.ws.topics == {"x", "y"}
        hub.publish("x", "once")
        assert await a.heard_data() == [b"once"]
        assert a.ws.unsubscribe("x") is True
        assert a.ws.unsubscribe("x") is False
        assert a.ws.topics == {"y"}
        hub.publish("x", "nobody")
        assert await a.heard_data() == []


@pytest.mark.parametrize(
    ("message", "text", "opcode"),
    [
        ("é", None, Opcode.TEXT),
        ("é", False, Opcode.BINARY),
        ("é".encode(), None, Opcode.BINARY),
        (bytearray("é".encode()), True, Opcode.TEXT),
        (memoryview("é".encode()), None, Opcode.BINARY),
    ],
)
async def test_text_and_octets(message: Any, text: bool | None, opcode: Opcode) -> None:
    hub = Hub()
    with members(hub, 1) as (a,):
        a.ws.subscribe("x")
        hub.publish("x", message, text=text)
        (frame,) = await a.heard()
        assert (frame.opcode, bytes(frame.data)) == (opcode, "é".encode())


@pytest.mark.parametrize(
    ("topic", "message", "error"),
    [
        ("x", 1, TypeError),
        ("x", {"a": 1}, TypeError),
        ("x", "\ud800", UnicodeEncodeError),
        (b"x", "a", TypeError),
        ("", "a", ValueError),
        ("x/#", "a", ValueError),
        ("+", "a", ValueError),
        ("y" * 1025, "a", ValueError),
    ],
)
async def test_what_cannot_be_published(topic: Any, message: Any, error: type[Exception]) -> None:
    hub = Hub()
    with members(hub, 1) as (a,):
        a.ws.subscribe("#")
        with pytest.raises(error):
            hub.publish(topic, message)
        assert await a.heard_data() == []


async def test_only_a_connection_can_be_excluded() -> None:
    hub = Hub()
    with members(hub, 1) as (a,), pytest.raises(TypeError, match="exclude must be a connection"):
        hub.publish("x", "a", exclude=[a.ws])  # type: ignore[arg-type]


async def test_what_nobody_would_await_is_refused() -> None:
    async def callback(*arguments: Any) -> None: ...

    hub = Hub()
    takers: list[Any] = [
        hub.on_subscription,
        hub.on_gap,
        functools.partial(hub.watch, "x"),
        functools.partial(hub.subscribe, "x"),
    ]
    for take in takers:
        with pytest.raises(TypeError, match="plain function"):
            take(callback)
        with pytest.raises(TypeError, match="must be a function, not 5"):
            take(5)


async def test_excluded() -> None:
    hub = Hub()
    with members(hub, 2) as (a, b):
        for each in (a, b):
            each.ws.subscribe("x")
            each.ws.subscribe("+")
        hub.publish("x", "1", exclude=a.ws)
        assert await a.heard_data() == []
        assert await b.heard_data() == [b"1"]


async def test_positions() -> None:
    hub = Hub()
    assert await hub.publish("x", "a") == 1
    late = hub.publish("x", "b")
    assert await hub.publish("y", "c") == 1
    assert await hub.publish("x", "d") == 3
    assert await late == 2
    assert await late == 2
    assert await asyncio.gather(hub.publish("y", "e"), hub.publish("y", "f")) == [2, 3]


async def test_wildcards_reach_each_once() -> None:
    hub = Hub()
    with members(hub, 2) as (a, b):
        for topic in ("a/+/b", "a/#", "a/x/b", "#"):
            a.ws.subscribe(topic)
        b.ws.subscribe("a/+/b")
        hub.publish("a/x/b", "1")
        hub.publish("a/y/b", "2")
        hub.publish("a", "3")
        hub.publish("b", "4")
        assert await a.heard_data() == [b"1", b"2", b"3", b"4"]
        assert await b.heard_data() == [b"1", b"2"]
        assert await hub.subscribers("a/z/b") == 2
        assert await hub.subscribers("a/+/b") == 2
        assert await hub.subscribers("+") == 0
        for topic in list(a.ws.topics):
            a.ws.unsubscribe(topic)
        hub.publish("a/x/b", "5")
        assert await a.heard_data() == []
        assert await b.heard_data() == [b"5"]


async def test_wildcards_that_peers_choose_can_be_refused() -> None:
    hub = Hub()
    with members(hub, 1) as (a,):
        for topic in ("room/+", "#"):
            with pytest.raises(ValueError, match="wildcards=False"):
                a.ws.subscribe(topic, wildcards=False)
        assert a.ws.subscribe("room/c++", wildcards=False)
        assert a.ws.topics == {"room/c++"}


async def test_order_among_other_messages() -> None:
    """As in µWebSockets: publish, send, publish, send arrive in that order."""
    hub = Hub()
    with members(hub, 1) as (a,):
        a.ws.subscribe("x")
        hub.publish("x", "p1")
        a.ws.send("s1")
        hub.publish("x", "p2" * 20_000)
        a.ws.send("s2")
        hub.publish("x", "p3")
        assert await a.heard_data() == [b"p1", b"s1", b"p2" * 20_000, b"s2", b"p3"]


async def test_one_turn_writes_once() -> None:
    hub = Hub()
    with members(hub, 1) as (a,):
        a.ws.subscribe("x")
        for number in range(10):
            hub.publish("x", str(number))
        before = a.wire.writes
        assert await a.heard_data() == [str(number).encode() for number in range(10)]
        assert a.wire.writes == before + 1


async def test_all_share_one_frame() -> None:
    hub = Hub()
    codec = PerMessageDeflate(True, True, 15, 15)
    with members(hub, 10) as rigs:
        for each in rigs:
            each.ws.extensions = [codec.fresh()]
            each.peer.extensions = [PerMessageDeflate(True, True, 15, 15)]
            each.ws.subscribe("x")
        published = hub.publish("x", "long " * 1000)
        assert published.prepared.frames == 1
        for each in rigs:
            assert b"".join(await each.heard_data()) == b"long " * 1000
        short = hub.publish("x", "short")
        assert short.prepared.frames == 1


async def test_a_closing_connection_is_unsubscribed() -> None:
    hub = Hub()
    with members(hub, 2) as (a, b):
        for each in (a, b):
            each.ws.subscribe("x")
            each.ws.subscribe("y/#")
        a.ws.start_close()
        assert a.ws.topics == frozenset()
        assert not a.ws.unsubscribe("x")
        with pytest.raises(ConnectionClosed):
            a.ws.subscribe("z")
        assert await hub.subscribers("x") == 1
        b.wire.lose()
        assert await hub.subscribers("x") == 0
        assert await hub.subscribers("y/#") == 0
        assert len(hub._topics) == 0
        with pytest.raises(ConnectionClosed):
            b.ws.subscribe("z")


async def test_a_peer_that_closes_is_unsubscribed() -> None:
    hub = Hub()
    with members(hub, 1) as (a,):
        a.ws.subscribe("x")
        a.peer.send_close(1000)
        a.say()
        assert await hub.subscribers("x") == 0


async def test_without_a_hub_and_before_opening() -> None:
    with rig() as a:
        with pytest.raises(RuntimeError, match="no App or Hub"):
            a.ws.subscribe("x")
        assert not a.ws.unsubscribe("x")
        assert not a.ws.is_subscribed("x")
        assert a.ws.topics == frozenset()
        connecting = Connection(a.settings)
        with pytest.raises(InvalidState):
            connecting.subscribe("x")


async def test_admission_to_another_hub() -> None:
    one, two = Hub(), Hub()
    with members(one, 1) as (a,):
        a.ws.subscribe("x")
        one.admit(a.ws)
        assert a.ws.topics == {"x"}
        two.admit(a.ws)
        assert a.ws.topics == frozenset()
        assert await one.subscribers("x") == 0
        a.ws.subscribe("x")
        one.publish("x", "one")
        two.publish("x", "two")
        assert await a.heard_data() == [b"two"]


async def test_events_of_subscriptions() -> None:
    hub = Hub()
    events: list[tuple[Connection, str, int, int]] = []
    assert hub.on_subscription(lambda *event: events.append(event))
    with members(hub, 2) as (a, b):
        a.ws.subscribe("x")
        a.ws.subscribe("x")
        b.ws.subscribe("x")
        b.ws.unsubscribe("y")
        b.ws.unsubscribe("x")
        a.ws.subscribe("y")
        assert events == [
            (a.ws, "x", 1, 0), (b.ws, "x", 2, 1), (b.ws, "x", 1, 2), (a.ws, "y", 1, 0)
        ]  # fmt: skip
        events.clear()
        a.ws.start_close()
        a.wire.lose()
        assert events == [(a.ws, "x", 0, 1), (a.ws, "y", 0, 1)]


async def test_a_failing_callback_harms_nobody(caplog: pytest.LogCaptureFixture) -> None:
    hub = Hub()

    @hub.on_subscription
    def fails(*event: Any) -> None:
        raise LookupError("oh")

    with members(hub, 1) as (a,):
        assert a.ws.subscribe("x")
        assert "a subscription callback failed" in caplog.text
        hub.publish("x", "1")
        assert await a.heard_data() == [b"1"]


async def test_callbacks_may_publish_and_subscribe() -> None:
    """From each callback of an endpoint, and of a subscription."""
    hub = Hub()
    told: list[str] = []

    class Chatty(Endpoint):
        def on_open(self, ws: Connection) -> None:
            hub.admit(ws)
            ws.subscribe("x")
            hub.publish("x", "opened")

        def on_message(self, ws: Connection, message: Any) -> None:
            ws.subscribe(f"{message}")
            hub.publish("x", message)
            ws.unsubscribe("x")
            hub.publish("x", "not to the sender")

        def on_close(self, ws: Connection, code: int, reason: str) -> None:
            told.append(f"closed {sorted(ws.topics)}")
            hub.publish("x", "closed")

    @hub.on_subscription
    def tell(ws: Connection, topic: str, now: int, before: int) -> None:
        hub.publish("log", f"{topic} {before}-{now}")
        told.append(f"{topic} {before}-{now}")

    with members(hub, 1) as (watcher,):
        watcher.ws.subscribe("log")
        watcher.ws.subscribe("x")
        await watcher.heard_data()
        told.clear()
        settings = Settings.resolve(
            Side.SERVER, Limits(), max_size=..., max_queue=..., write_limit=...,
            ping_interval=None, ping_timeout=..., close_timeout=..., logger=None,
        )  # fmt: skip

        class Served(Connection):
            def __init__(self, settings: Settings) -> None:
                super().__init__(settings)
                self.serve_endpoint(Callbacks(Chatty(), Endpoint), lambda ws: None)

        with rig(connect=Served) as r:
            assert r.settings is not settings
            assert await r.heard_data() == [b"opened"]
            r.text("hello")
            assert await r.heard_data() == [b"hello"]
        assert told == ["x 1-2", "hello 0-1", "x 2-1", "hello 1-0", "closed []"]
        assert await watcher.heard_data() == [
            b"x 1-2", b"opened", b"hello 0-1", b"hello", b"x 2-1", b"not to the sender",
            b"hello 1-0", b"closed",
        ]  # fmt: skip


async def test_limits() -> None:
    hub = Hub(limits=Limits(max_topic=4, max_subscriptions=2, max_topics=3))
    with members(hub, 3) as (a, b, c):
        with pytest.raises(ValueError, match="5 octets is longer than max_topic of 4"):
            a.ws.subscribe("abcde")
        a.ws.subscribe("a")
        a.ws.subscribe("b")
        with pytest.raises(TooManySubscriptions, match="max_subscriptions=2"):
            a.ws.subscribe("c")
        assert a.ws.topics == {"a", "b"}
        b.ws.subscribe("c")
        with pytest.raises(TooManySubscriptions, match="max_topics=3"):
            b.ws.subscribe("d")
        b.ws.subscribe("a")
        a.ws.unsubscribe("b")
        c.ws.subscribe("d")


async def test_no_limits() -> None:
    hub = Hub(limits=Limits(max_topic=None, max_subscriptions=None, max_topics=None))
    with members(hub, 1) as (a,):
        for number in range(10_050):
            a.ws.subscribe(f"{number}" * 1000 if number < 10 else f"{number}")
        assert len(a.ws.topics) == 10_050


async def test_slow_subscribers_are_given_up_and_others_served() -> None:
    hub = Hub()
    with members(hub, 2, limits=Limits(max_outbox=10_000)) as (slow, fast):
        for each in (slow, fast):
            each.ws.subscribe("x")
        slow.clog()
        for _ in range(20):
            hub.publish("x", b"x" * 1000)
        await turns()
        assert slow.ws.close_sent.code == 1013
        assert fast.ws.state is State.OPEN
        assert await hub.subscribers("x") == 1
        assert len(await fast.heard_data()) == 20


async def test_a_message_that_cannot_be_written(caplog: pytest.LogCaptureFixture) -> None:
    class Broken:
        name = "x-broken"

        def encode(self, frame: Any) -> Any:
            raise LookupError("can't encode")

    hub = Hub()
    with members(hub, 2) as (bad, good):
        bad.ws.extensions = [Broken()]
        for each in (bad, good):
            each.ws.subscribe("x")
        assert await hub.publish("x", "1") == 1
        assert "skipped publish: failed to write message: can't encode" in caplog.text
        assert await good.heard_data() == [b"1"]
        bad.ws.extensions = []


async def test_presence_in_one_process() -> None:
    hub = Hub()
    events: list[tuple[str, Any]] = []
    with members(hub, 3) as (a, b, c):
        a.ws.subscribe("room", presence={"name": "Ann"})
        b.ws.subscribe("room")
        watch = hub.watch("room", lambda event: events.append((event.kind, event.member.info)))
        await watch.ready()
        assert [member.info for member in await hub.presence("room")] == [{"name": "Ann"}, None]
        assert set(watch.members) == {a.ws.id.hex, b.ws.id.hex}
        assert events == []
        c.ws.subscribe("room", presence="Cid")
        a.ws.start_close()
        b.ws.unsubscribe("room")
        assert events == [("join", "Cid"), ("leave", {"name": "Ann"}), ("leave", None)]
        assert [member.info for member in watch.members.values()] == ["Cid"]
        watch.close()
        watch.close()
        c.ws.unsubscribe("room")
        assert len(events) == 3
        assert await hub.presence("room") == []
        with pytest.raises(TypeError, match="JSON"):
            c.ws.subscribe("room", presence=object())
        assert c.ws.topics == frozenset()


async def test_a_failing_presence_callback(caplog: pytest.LogCaptureFixture) -> None:
    hub = Hub()

    def fails(event: Any) -> None:
        raise LookupError("oh")

    with members(hub, 1) as (a,):
        watch = hub.watch("room", fails)
        a.ws.subscribe("room")
        assert "a presence callback failed" in caplog.text
        assert list(watch.members) == [a.ws.id.hex]
