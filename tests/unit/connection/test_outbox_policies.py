"""What becomes of messages for a peer that takes too little: every policy, from every side."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from duologue.base.accounts import accounts
from duologue.base.exceptions import ConnectionClosed
from duologue.base.limits import Limits
from duologue.base.vocabulary import State
from duologue.connection.broadcast import broadcast
from duologue.connection.ending import Cause
from duologue.connection.outbox import Drops
from duologue.connection.policies import NAMES, Overflow

from .rig import Rig, rig, turns

pytestmark = pytest.mark.virtual_time

#: Room for three messages of ten octets.
ROOM = 3 * (10 + 144)
LIMITS = Limits(max_outbox=ROOM)


def message(number: int) -> bytes:
    return b"%010d" % number


async def got(r: Rig) -> list[int]:
    """What arrives once the peer takes all, after what has clogged the link."""
    r.wire.drain()
    return [int(each) for each in (await r.heard_data())[1:]]


@pytest.mark.parametrize("way", ["send", "await", "broadcast"])
@pytest.mark.parametrize("where", ["settings", "connection", "message"])
@pytest.mark.parametrize(
    "overflow, left, drops",
    [
        ("drop_newest", [0, 1, 2], Drops(7, 0, 0, 0)),
        ("drop_oldest", [7, 8, 9], Drops(0, 7, 0, 0)),
        ("newest_per_key", [7, 8, 9], Drops(0, 7, 0, 0)),
    ],
)
async def test_policies_that_drop(
    way: str, where: str, overflow: Overflow, left: list[int], drops: Drops
) -> None:
    options: dict[str, Any] = {"overflow": overflow} if where == "settings" else {}
    own: dict[str, Any] = {"overflow": overflow} if where == "message" else {}
    before = accounts()
    with rig(limits=LIMITS, **options) as r:
        if where == "connection":
            r.ws.overflow = overflow
        r.clog()
        for number in range(10):
            if way == "broadcast":
                broadcast([r.ws], message(number), **own)
            elif way == "await":
                await asyncio.wait_for(r.ws.send(message(number), **own), 1)
            else:
                r.ws.send(message(number), **own)
        await turns()
        assert r.ws.state is State.OPEN
        assert r.ws.drops == drops
        assert await got(r) == left
    now = accounts()
    assert now.dropped_newest - before.dropped_newest == drops.newest
    assert now.dropped_oldest - before.dropped_oldest == drops.oldest


@pytest.mark.parametrize("way", ["send", "await", "broadcast"])
async def test_closing_at_once(way: str) -> None:
    with rig(limits=LIMITS, overflow="close") as r:
        r.clog()
        for number in range(3):
            await r.ws.send(message(number))
        assert r.ws.state is State.OPEN
        if way == "broadcast":
            broadcast([r.ws], message(3))
        else:
            refused = asyncio.ensure_future(r.ws.send(message(3)))
            await turns()
        assert r.ws.state is State.CLOSING
        r.wire.drain()
        await r.heard()
        assert r.peer.close_rcvd is not None and r.peer.close_rcvd.code == 1013
        why = r.ws.why
        assert why is not None and why.cause is Cause.OUTBOX_FULL
        assert (why.limit, why.value) == ("max_outbox", ROOM)
        assert r.ws.drops == Drops(0, 0, 0, 4)
        r.wire.lose()
        if way != "broadcast":
            with pytest.raises(ConnectionClosed):
                await refused


async def test_what_is_published_in_one_turn_is_bounded_at_once() -> None:
    """Nobody can await it later, unlike what was sent in this turn."""
    with rig(limits=LIMITS) as r:
        r.clog()
        sent = [r.ws.send(message(number)) for number in range(4)]
        broadcast([r.ws], message(0))
        assert r.ws.state is State.OPEN
        waiting = [asyncio.ensure_future(each) for each in sent]
        await turns()
        assert r.ws.state is State.OPEN
        for number in range(1, 3):
            broadcast([r.ws], message(number))
        assert r.ws.state is State.OPEN
        broadcast([r.ws], message(3))
        assert r.ws.state is State.CLOSING
        assert r.ws.why is not None and r.ws.why.cause is Cause.OUTBOX_FULL
        r.wire.lose()
        for each in waiting:
            with pytest.raises(ConnectionClosed):
                await each


async def test_waiting_is_the_default_and_awaited_sends_have_no_bound() -> None:
    with rig(limits=LIMITS) as r:
        assert r.ws.overflow == "wait"
        r.clog()
        waiting = [asyncio.ensure_future(r.ws.send(message(number))) for number in range(10)]
        await turns()
        assert r.ws.state is State.OPEN
        assert not any(each.done() for each in waiting)
        assert await got(r) == list(range(10))
        await asyncio.gather(*waiting)
        assert r.ws.drops == Drops(0, 0, 0, 0)


@pytest.mark.parametrize("overflow", NAMES)
async def test_a_key_keeps_the_newest_in_the_place_of_the_oldest(overflow: Overflow) -> None:
    with rig(overflow=overflow) as r:
        r.clog()
        first = r.ws.send(message(1), key="BTC")
        r.ws.send(message(2), key="ETH")
        r.ws.send(message(3))
        for number in range(4, 9):
            r.ws.send(message(number), key="BTC")
        assert r.ws.drops == Drops(0, 0, 5, 0)
        assert await got(r) == [8, 2, 3]
        await asyncio.wait_for(first, 1)
        # It was sent: the next one of its key has nothing to replace.
        r.clog()
        r.ws.send(message(9), key="BTC")
        assert await got(r) == [9]


async def test_a_replaced_message_that_is_awaited_waits_for_room_only() -> None:
    with rig() as r:
        r.clog()
        waiting = [asyncio.ensure_future(r.ws.send(message(n), key="k")) for n in range(3)]
        await turns()
        assert not any(each.done() for each in waiting)
        assert await got(r) == [2]
        await asyncio.gather(*waiting)


async def test_a_key_whose_message_was_taken_back() -> None:
    with rig() as r:
        r.clog()
        waiting = asyncio.ensure_future(r.ws.send(message(1), key="k"))
        r.ws.send(message(2))
        await turns()
        waiting.cancel()
        await turns()
        r.ws.send(message(3), key="k")
        assert await got(r) == [3, 2]


async def test_keys_that_can_be_none_are_refused_at_once() -> None:
    with rig() as r:
        with pytest.raises(TypeError):
            r.ws.send("x", key=[])
        with pytest.raises(TypeError):
            broadcast([r.ws], "x", key=[])  # type: ignore[arg-type]
        with pytest.raises(TypeError, match="whole messages"):
            r.ws.send(["a", "b"], key="k")
        for wrong in (
            lambda: r.ws.send("x", overflow="drop"),  # type: ignore[arg-type]
            lambda: broadcast([r.ws], "x", overflow="drop"),  # type: ignore[arg-type]
            lambda: setattr(r.ws, "overflow", "drop"),
            lambda: rig(overflow="drop").__enter__(),
        ):
            with pytest.raises(ValueError, match="overflow must be one of wait, drop_newest"):
                wrong()


async def test_messages_without_a_dropping_policy_are_never_dropped() -> None:
    with rig(limits=LIMITS, overflow="drop_oldest") as r:
        r.clog()
        for number in range(2):
            r.ws.send(message(number), overflow="wait")
        for number in range(2, 9):
            r.ws.send(message(number))
        assert await got(r) == [0, 1, 8]


async def test_a_message_that_must_not_be_dropped_makes_room_before_it_closes() -> None:
    with rig(limits=LIMITS, overflow="drop_oldest") as r:
        r.clog()
        for number in range(3):
            r.ws.send(message(number))
        r.ws.send(message(3), overflow="wait")
        await turns()
        assert r.ws.state is State.OPEN
        assert await got(r) == [1, 2, 3]


@pytest.mark.parametrize("overflow", ["drop_newest", "drop_oldest", "newest_per_key", "close"])
async def test_a_single_message_always_has_room(overflow: Overflow) -> None:
    with rig(limits=LIMITS, overflow=overflow) as r:
        r.clog()
        r.ws.send(b"0" * 4000)
        await turns()
        assert r.ws.state is State.OPEN and r.ws.drops == Drops(0, 0, 0, 0)
        assert await got(r) == [0]


async def test_without_a_limit_nothing_is_dropped() -> None:
    with rig(limits=Limits(max_outbox=None), overflow="drop_oldest") as r:
        r.clog()
        for number in range(1000):
            r.ws.send(message(number))
        assert await got(r) == list(range(1000))


async def test_what_is_dropped_takes_no_memory() -> None:
    """With a message at the head that may not be dropped, so that places can't just be taken."""
    with rig(limits=LIMITS, overflow="drop_oldest") as r:
        r.clog()
        awaited = asyncio.ensure_future(r.ws.send(message(0), overflow="wait"))
        await turns()
        held = accounts().octets
        for number in range(1, 20_001):
            r.ws.send(message(number), key=number % 7)
        assert accounts().octets - held <= ROOM
        assert await got(r) == [0, 19_998, 19_999, 20_000]
        await awaited
        assert accounts().octets <= held


async def test_others_have_their_turn_while_somebody_sends_without_waiting() -> None:
    with rig(limits=LIMITS, overflow="drop_newest") as r:
        r.clog()

        async def flood() -> None:
            while True:
                await r.ws.send(b"x")

        flooding = asyncio.ensure_future(flood())
        await turns()
        flooding.cancel()
        with pytest.raises(asyncio.CancelledError):
            await flooding


async def test_draining_can_be_awaited() -> None:
    with rig(overflow="drop_oldest") as r:
        await r.ws.drain()
        r.clog()
        r.ws.send("x")
        draining = asyncio.ensure_future(r.ws.drain())
        await turns()
        assert not draining.done()
        r.wire.drain()
        await draining
        r.clog()
        draining = asyncio.ensure_future(r.ws.drain())
        await turns()
        r.wire.lose()
        with pytest.raises(ConnectionClosed):
            await draining


async def test_what_the_end_leaves_unsent_is_counted() -> None:
    before = accounts().dropped_unsent
    with rig() as r:
        r.clog()
        for number in range(5):
            r.ws.send(message(number))
        r.wire.lose()
        assert r.ws.drops == Drops(0, 0, 0, 5)
    assert accounts().dropped_unsent == before + 5


async def test_a_fragmented_message_waits_its_turn_among_dropped_ones() -> None:
    with rig(limits=LIMITS, overflow="drop_oldest") as r:
        r.clog()
        parts = asyncio.ensure_future(r.ws.send([message(1), message(2)]))
        await turns()
        for number in range(3, 10):
            r.ws.send(message(number))
        r.wire.drain()
        await parts
        data = (await r.heard_data())[1:]
        assert data == [message(1), message(2), b"", message(7), message(8), message(9)]


async def test_a_thousand_stalled_peers_under_full_load_hold_what_they_may() -> None:
    """Each has its bound, and what all of them are sent is held once."""
    limits = Limits(max_outbox=16_384)
    rigs = [Rig(limits=limits, overflow="drop_oldest") for _ in range(1000)]
    payload = bytes(1000)
    try:
        for r in rigs:
            r.wire.limits = (0, 0)
            r.wire.stuck = True
            r.ws.send(b"clog")
        await turns()
        connections = [r.ws for r in rigs]
        most = 0
        for number in range(60):
            broadcast(connections, payload)
            await turns(1)
            if number == 20:
                most = accounts().octets
        # From when all are full on it stays the same.
        assert accounts().octets <= most + 2 * 1024
        assert all(r.ws.drops.oldest == 60 - 16_384 // 1144 for r in rigs)
    finally:
        for r in rigs:
            r.wire.lose()
