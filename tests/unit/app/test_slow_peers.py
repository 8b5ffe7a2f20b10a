"""Policies of routes, applications and publishes; handlers whose peer is gone."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from collections.abc import AsyncIterator
from typing import Any

import pytest

import duologue
from duologue import App, ConnectionClosed
from duologue.app.options import Options, terms_of
from duologue.connection.ending import Cause
from duologue.connection.outbox import Drops
from duologue.hub.backplanes.framing import delivered, number, published
from duologue.hub.hub import Hub
from duologue.hub.message import Message, prepare

from ..connection.rig import rig, turns


def settings(*scopes: dict[str, Any]) -> Any:
    return terms_of([Options.take("App()", each) for each in scopes], None).settings


def test_defaults_of_an_application() -> None:
    assert settings().limits.max_outbox == 1_048_576
    assert settings({"max_outbox": 5}).limits.max_outbox == 5
    assert settings({"limits": duologue.Limits()}).limits.max_outbox == 16_777_216
    assert settings().cancel_on_disconnect and settings().overflow == "wait"


def test_the_nearest_policy_counts() -> None:
    own = settings(
        {"overflow": "drop_newest"}, {"overflow": "close", "cancel_on_disconnect": False}
    )
    assert own.overflow == "close" and not own.cancel_on_disconnect
    with pytest.raises(ValueError, match="overflow must be one of"):
        settings({"overflow": "drop"})


@pytest.mark.virtual_time
@pytest.mark.parametrize(
    "own, overflow, left",
    [
        ({}, {}, [b"8", b"9"]),
        ({}, {"overflow": "drop_newest"}, [b"0", b"1"]),
        ({}, {"key": "k"}, [b"9"]),
        ({"overflow": "newest_per_key"}, {}, [b"9"]),
        ({"overflow": "newest_per_key"}, {"overflow": "drop_oldest"}, [b"8", b"9"]),
    ],
)
async def test_publishing(own: Any, overflow: Any, left: list[bytes]) -> None:
    options = {"overflow": "drop_oldest"} | own
    hub = Hub()
    with rig(limits=duologue.Limits(max_outbox=2 * 145), **options) as r:
        hub.admit(r.ws)
        r.ws.subscribe("prices")
        r.clog()
        for digit in range(10):
            await hub.publish("prices", str(digit), **overflow)
        assert sum(r.ws.drops) == 10 - len(left)
        r.wire.drain()
        assert (await r.heard_data())[1:] == left


@pytest.mark.virtual_time
async def test_keys_and_topics_are_apart() -> None:
    hub = Hub()
    with rig(overflow="newest_per_key") as r:
        hub.admit(r.ws)
        for topic in "ab":
            r.ws.subscribe(topic)
        r.clog()
        for number_ in range(2):
            hub.publish("a", f"a{number_}")
            hub.publish("b", f"b{number_}")
            hub.publish("a", f"ak{number_}", key="k")
            hub.publish("b", f"bk{number_}", key="k")
            r.ws.send(f"k{number_}", key="k")
            r.ws.send(f"{number_}")
        r.wire.drain()
        heard = (await r.heard_data())[1:]
        assert heard == [b"a1", b"b1", b"ak1", b"bk1", b"k1", b"0", b"1"]


@pytest.mark.virtual_time
async def test_an_application_closes_with_1013_by_default() -> None:
    hub = Hub()
    with rig(limits=settings().limits) as r:
        hub.admit(r.ws)
        r.ws.subscribe("news")
        r.clog()
        for _ in range(10):
            hub.publish("news", bytes(100_000))
        await turns()
        assert r.ws.state is duologue.State.OPEN
        hub.publish("news", bytes(100_000))
        await turns()
        assert r.ws.why is not None and r.ws.why.cause is Cause.OUTBOX_FULL
        assert r.ws.close_sent.code == 1013
        assert await hub.subscribers("news") == 0


def test_keys_and_policies_cross_to_other_processes() -> None:
    for key, overflow in ((None, None), ("", "close"), ("k", "drop_oldest"), ("é" * 512, None)):
        message = Message("t", prepare("x", None, "t", key, overflow))  # type: ignore[arg-type]
        message.label, message.packed = b"label", b"packed"
        there = delivered(number(7) + published(message))
        for name in ("opcode", "payload", "policy", "key", "subject"):
            assert getattr(there.prepared, name) == getattr(message.prepared, name)
        assert (there.topic, there.label, there.packed) == ("t", b"label", b"packed")
    with pytest.raises(ValueError, match="longer than 1024"):
        prepare("x", None, "t", "k" * 1025)
    with pytest.raises(TypeError, match="key must be str"):
        prepare("x", None, "t", 1)  # type: ignore[arg-type]


class Scope:
    """What becomes of handlers."""

    def __init__(self) -> None:
        self.ended: asyncio.Queue[str] = asyncio.Queue()
        self.opened = asyncio.Event()

    async def busy(self, ws: Any) -> None:
        self.opened.set()
        try:
            await asyncio.sleep(3600)
        except asyncio.CancelledError as exc:
            self.ended.put_nowait(str(exc))
            raise

    async def left_messages(self, ws: Any) -> None:
        self.opened.set()
        try:
            while True:
                await asyncio.sleep(0.01)
                if ws.state is duologue.State.CLOSED:
                    break
            taken = [await ws.recv(), await ws.recv()]
            try:
                await ws.send("late")
            except ConnectionClosed:
                self.ended.put_nowait(" ".join(taken))
            await asyncio.sleep(3600)
        except asyncio.CancelledError:
            self.ended.put_nowait("cancelled")
            raise

    async def receiving(self, ws: Any) -> None:
        self.opened.set()
        try:
            async for _ in ws:
                pass
            await asyncio.sleep(0.05)
            self.ended.put_nowait("tidied up")
        except asyncio.CancelledError:
            self.ended.put_nowait("cancelled")
            raise


@contextlib.asynccontextmanager
async def after_a_visit(
    handler: Any, scope: Scope, visiting: Any, *messages: str, close_timeout: float = 0.3
) -> AsyncIterator[asyncio.Queue[str]]:
    """What becomes of a handler whose peer has sent some messages and closed."""
    app = App(close_timeout=close_timeout)
    app.websocket("/")(handler)
    async with visiting(app) as visitor, asyncio.timeout(30):
        ws = await visitor.connect()
        await scope.opened.wait()
        for message in messages:
            await ws.send(message)
        await ws.close()
        yield scope.ended


@pytest.fixture
def scope() -> Scope:
    return Scope()


async def test_a_handler_that_does_not_notice_is_cancelled_at_once(
    scope: Scope, visiting: Any
) -> None:
    async with after_a_visit(scope.busy, scope, visiting, close_timeout=1000) as ended:
        said = await ended.get()
    assert said.startswith("the peer is gone: the peer closed the connection")


async def test_one_that_has_messages_left_has_some_time(scope: Scope, visiting: Any) -> None:
    async with after_a_visit(scope.busy, scope, visiting, "one") as ended:
        said = await ended.get()
    assert said.startswith("the peer is gone: the peer closed the connection")


async def test_after_a_reset_too(scope: Scope, visiting: Any) -> None:
    app = App()
    app.websocket("/")(scope.busy)
    async with visiting(app) as visitor:
        ws = await visitor.connect(engine="asyncio")
        await scope.opened.wait()
        sock = ws.transport.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        ws.transport.abort()
        async with asyncio.timeout(20):
            said = await scope.ended.get()
    assert said.startswith("the peer is gone: the stream ended without a closing handshake")


async def test_what_has_arrived_can_be_received_first(scope: Scope, visiting: Any) -> None:
    visit = after_a_visit(scope.left_messages, scope, visiting, "one", "two", close_timeout=1)
    async with visit as ended:
        assert await ended.get() == "one two"
        assert await ended.get() == "cancelled"


async def test_who_receives_is_told_instead(scope: Scope, visiting: Any) -> None:
    async with after_a_visit(scope.receiving, scope, visiting, "one", close_timeout=1000) as ended:
        assert await ended.get() == "tidied up"


@pytest.mark.parametrize("cancel", [True, False])
async def test_serve_does_so_when_told_to(cancel: bool) -> None:
    scope = Scope()
    options: dict[str, Any] = {"cancel_on_disconnect": True} if cancel else {}
    async with duologue.serve(scope.busy, "127.0.0.1", 0, close_timeout=0.3, **options) as server:
        port = server.sockets[0].getsockname()[1]
        async with duologue.connect(f"ws://127.0.0.1:{port}") as ws:
            await scope.opened.wait()
            await ws.close()
        if cancel:
            async with asyncio.timeout(20):
                assert "the peer is gone" in await scope.ended.get()
        else:
            await asyncio.sleep(0.5)
            assert scope.ended.empty()
            (task,) = server.all_connections.values()
            assert task is not None
            task.cancel()


async def test_closing_here_leaves_the_handler_alone() -> None:
    ended = asyncio.Event()

    async def handler(ws: Any) -> None:
        await ws.close()
        await ws.close(4000)  # changes nothing
        await asyncio.sleep(0.4)
        assert ws.close_sent.code == 1000
        ended.set()

    options: dict[str, Any] = {"cancel_on_disconnect": True, "close_timeout": 0.1}
    async with duologue.serve(handler, "127.0.0.1", 0, **options) as server:
        port = server.sockets[0].getsockname()[1]
        async with duologue.connect(f"ws://127.0.0.1:{port}"):
            async with asyncio.timeout(20):
                await ended.wait()


def test_drops_are_named() -> None:
    assert Drops._fields == ("newest", "oldest", "replaced", "unsent")
