"""Hubs that a backplane joins: presence, counts, compressed frames, gaps and failures."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator
from typing import Any

import pytest

from duologue.base.exceptions import BackplaneError
from duologue.base.limits import Limits
from duologue.hub.backplanes.bus import Bus
from duologue.hub.backplanes.local import LocalBackplane
from duologue.hub.backplanes.memory import Exchange, MemoryBackplane
from duologue.hub.hub import Hub
from duologue.hub.message import Message
from duologue.wire.deflate import PerMessageDeflate

from ..connection.rig import Rig, rig, turns


@contextlib.asynccontextmanager
async def together(count: int, **limits: Any) -> AsyncIterator[list[Hub]]:
    """Hubs on one exchange."""
    exchange = Exchange(Limits(**limits))
    async with contextlib.AsyncExitStack() as stack:
        yield [
            await stack.enter_async_context(Hub(backplane=MemoryBackplane(exchange)))
            for _ in range(count)
        ]


def member(stack: contextlib.ExitStack, hub: Hub, topic: str, presence: Any = None) -> Rig:
    """A connection that the hub has admitted, subscribed to a topic."""
    made = stack.enter_context(rig())
    hub.admit(made.ws)
    made.ws.subscribe(topic, presence=presence)
    return made


def infos(members: Any) -> list[Any]:
    return sorted(each.info for each in members)


@pytest.mark.virtual_time
async def test_presence_in_all_processes() -> None:
    with contextlib.ExitStack() as stack:
        async with together(3) as (a, b, c):
            ann, bob = member(stack, a, "room", "ann"), member(stack, b, "room", "bob")
            member(stack, b, "elsewhere", "zed")
            assert infos(await c.presence("room")) == ["ann", "bob"]
            assert [each.info for each in await b.presence("room")] == ["bob", "ann"]
            events: list[tuple[str, Any]] = []
            watch = c.watch("room", lambda event: events.append((event.kind, event.member.info)))
            assert watch.members == {}
            await watch.ready()
            assert infos(watch.members.values()) == ["ann", "bob"]
            assert watch.members[ann.ws.id.hex].process == a.backplane.name  # type: ignore[union-attr]
            assert events == []
            cid = member(stack, a, "room", "cid")
            ann.ws.unsubscribe("room")
            bob.ws.start_close()
            member(stack, c, "room", "dan")
            await turns()
            assert sorted(events) == sorted(
                [("join", "cid"), ("leave", "ann"), ("leave", "bob"), ("join", "dan")]
            )
            again = c.watch("room")
            assert infos(again.members.values()) == ["cid", "dan"]
            again.close()
            watch.close()
            cid.ws.unsubscribe("room")
            await turns()
            assert len(events) == 4
            assert not a._board.minds("room")


@pytest.mark.virtual_time
async def test_a_process_that_dies_takes_its_members_along() -> None:
    with contextlib.ExitStack() as stack:
        async with together(3) as (a, b, c):
            member(stack, a, "room", "ann")
            member(stack, b, "room", "bob")
            events: list[tuple[str, Any]] = []
            watch = c.watch("room", lambda event: events.append((event.kind, event.member.info)))
            await watch.ready()
            assert a._board.minds("room")
            assert b.backplane is not None
            b.backplane.abort()
            assert events == [("leave", "bob")]
            # One that watches and dies is told nothing any more.
            assert c.backplane is not None
            c.backplane.abort()
            assert not a._board.minds("room")


@pytest.mark.virtual_time
async def test_a_process_that_comes_later_is_told_who_watches() -> None:
    exchange = Exchange()
    with contextlib.ExitStack() as stack:
        async with Hub(backplane=MemoryBackplane(exchange)) as a:
            events: list[tuple[str, Any]] = []
            watch = a.watch("room", lambda event: events.append((event.kind, event.member.info)))
            await watch.ready()
            late = Hub()
            member(stack, late, "room", "ann")
            late.use(MemoryBackplane(exchange))
            async with late:
                await turns()
                assert events == [("join", "ann")]
                member(stack, late, "room", "bob")
                await turns()
                assert infos(watch.members.values()) == ["ann", "bob"]
                # The backplane knows the topics that were there before it.
                waiting = a.publish("room", "hello")
                assert await waiting == 1
            assert events[2:] == [("leave", "ann"), ("leave", "bob")]


@pytest.mark.virtual_time
async def test_who_is_there_again_changes_nothing() -> None:
    """A process says anew who is there after the bus was lost: only differences are events."""
    with contextlib.ExitStack() as stack:
        async with together(2) as (a, b):
            ann = member(stack, a, "room", "ann")
            events: list[tuple[str, Any]] = []
            watch = b.watch("room", lambda event: events.append((event.kind, event.member.info)))
            await watch.ready()
            assert a.backplane is not None
            b.peer_joined(a.backplane.name)
            await watch.ready()
            assert events == []
            # Changes that nobody could tell of.
            a._board._listeners.clear()
            ann.ws.unsubscribe("room")
            member(stack, a, "room", "bob")
            b.peer_joined(a.backplane.name)
            await watch.ready()
            assert events == [("leave", "ann"), ("join", "bob")]


@pytest.mark.virtual_time
async def test_a_callback_may_end_its_watch() -> None:
    with contextlib.ExitStack() as stack:
        async with together(2) as (a, b):
            for number in range(3):
                member(stack, a, "room", number)
            events: list[Any] = []

            def once(event: Any) -> None:
                events.append(event)
                watch.close()

            watch = b.watch("room", once)
            await watch.ready()
            assert a.backplane is not None
            a.backplane.abort()
            assert len(events) == 1


@pytest.mark.virtual_time
async def test_closing_a_watch_ends_waiting_for_it() -> None:
    async with together(2) as (a, _):
        watch = a.watch("room")
        waiting = asyncio.ensure_future(watch.ready())
        await asyncio.sleep(0)
        watch.close()
        await waiting


@pytest.mark.virtual_time
async def test_local_messages_stay_here() -> None:
    with contextlib.ExitStack() as stack:
        async with together(2) as (a, b):
            here, there = member(stack, a, "x"), member(stack, b, "x")
            a.publish("x", "only here", local=True)
            assert await here.heard_data() == [b"only here"]
            assert await a.publish("x", "all", exclude=here.ws) == 1
            await turns()
            assert await here.heard_data() == []
            assert await there.heard_data() == [b"all"]


@pytest.mark.virtual_time
async def test_what_fails_is_counted_and_logged(caplog: pytest.LogCaptureFixture) -> None:
    async with together(2, max_backlog=10) as (a, _):
        messages = [a.publish("x", "12345678") for _ in range(4)]
        assert await messages[0] == 1
        with pytest.raises(BackplaneError, match="max_backlog=10"):
            await messages[3]
        assert a.failures == 3
        # Once a second at most.
        assert caplog.text.count("were not published") == 1


async def test_what_is_published_before_the_start_fails_aloud(
    caplog: pytest.LogCaptureFixture,
) -> None:
    hub = Hub(backplane=MemoryBackplane(Exchange()))
    message = hub.publish("x", "1")
    with pytest.raises(BackplaneError, match="not started"):
        await message
    assert "1 messages were not published" in caplog.text


async def test_gaps_are_told(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    hub = Hub()
    told: list[str] = []

    @hub.on_gap
    def fails(reason: str) -> None:
        raise LookupError("oh")

    hub.on_gap(told.append)
    hub.missed("the bus was lost")
    assert (told, hub.gaps) == (["the bus was lost"], 1)
    assert "may have been missed: the bus was lost" in caplog.text
    assert "a gap callback failed" in caplog.text


@pytest.mark.parametrize("alike", [True, False])
async def test_one_process_compresses_for_all_that_compress_alike(alike: bool) -> None:
    async with Bus() as bus:
        a, b = (Hub(backplane=LocalBackplane(bus.path)) for _ in range(2))
        got: list[Message] = []
        deliver = b.deliver

        def spy(message: Message) -> None:
            got.append(message)
            deliver(message)

        b.deliver = spy  # type: ignore[method-assign]
        async with a, b:
            with contextlib.ExitStack() as stack:
                for hub, bits in ((a, 15), (b, 15 if alike else 12)):
                    each = stack.enter_context(rig())
                    each.ws.extensions = [PerMessageDeflate(True, True, 15, bits)]
                    each.peer.extensions = [PerMessageDeflate(True, True, bits, 15)]
                    hub.admit(each.ws)
                    each.ws.subscribe("x")
                await b.subscribers("x")
                sent = a.publish("x", "long " * 1000)
                assert sent.packed
                await sent
                async with asyncio.timeout(20):
                    while not got:
                        await asyncio.sleep(0)
                assert got[0].packed == sent.packed
                assert b"".join(await each.heard_data()) == b"long " * 1000
                assert got[0].prepared.frames == (0 if alike else 1)
                short = a.publish("x", "short")
                assert not short.packed
                await short
