"""What connections share, and what each gets of its own once it needs it."""

from __future__ import annotations

import asyncio
import gc
import logging
import sys
from typing import Any

import pytest

from duologue.base.limits import Limits
from duologue.base.vocabulary import Side
from duologue.connection.connection import Callbacks, Connection
from duologue.connection.endpoint import Endpoint
from duologue.connection.settings import Settings

from .rig import rig


async def test_a_limit_that_is_changed_is_changed_for_one_connection() -> None:
    settings = Settings.resolve(Side.SERVER, Limits(), max_size=10)
    one, other = Connection(settings), Connection(settings)
    one.max_message_size = 20
    one.logger = logging.getLogger("one")
    assert (one.max_message_size, other.max_message_size) == (20, 10)
    assert other.logger is settings.logger is not one.logger
    assert Connection(settings).max_message_size == 10


def test_connections_of_another_loop_have_that_loop() -> None:
    settings = Settings.resolve(Side.SERVER, Limits())

    async def loop_of_a_connection() -> bool:
        return Connection(settings).loop is asyncio.get_running_loop()

    assert asyncio.run(loop_of_a_connection())
    assert asyncio.run(loop_of_a_connection())


async def test_facts_of_one_connection_are_not_anothers() -> None:
    settings = Settings.resolve(Side.SERVER, Limits())
    one, other = Connection(settings), Connection(settings)
    exc = OSError()
    one.subprotocol, one.origin, one.handshake_exc, one.connection_exc = "a", "b", exc, exc  # type: ignore[assignment]
    one.parser_exc = exc
    assert (one.subprotocol, one.origin, one.handshake_exc, one.connection_exc) == (
        "a", "b", exc, exc,
    )  # fmt: skip
    assert one.parser_exc is exc
    facts = (other.subprotocol, other.origin, other.handshake_exc, other.connection_exc)
    assert facts == (None, None, None, None)
    assert other.parser_exc is None


async def test_attributes_can_be_set() -> None:
    settings = Settings.resolve(Side.SERVER, Limits())
    one, other = Connection(settings), Connection(settings)
    one.user = "me"  # type: ignore[attr-defined]
    assert one.user == "me"  # type: ignore[attr-defined]
    assert vars(one) == {"user": "me"}
    assert vars(other) == {}


async def test_each_server_hears_of_its_own_connections() -> None:
    settings = Settings.resolve(Side.SERVER, Limits())
    callbacks = Callbacks(Endpoint(), Endpoint)
    heard: list[tuple[str, Any]] = []
    connections = [Connection(settings) for _ in range(3)]
    a, b = (lambda ws: heard.append(("a", ws))), (lambda ws: heard.append(("b", ws)))
    for connection, when_gone in zip(connections, (a, b, a), strict=True):
        connection.serve_endpoint(callbacks, when_gone)
    for connection in connections:
        connection.abandon()
    assert heard == list(zip("aba", connections, strict=True))


async def test_what_a_dead_connection_held_is_nothing_to_the_next() -> None:
    with rig(max_queue=None) as r:
        r.text(*["x" * 100] * 5)
    del r
    gc.collect()
    with rig(limits=Limits(max_queue_bytes=50)) as r:
        r.text("x" * 10)
        assert not r.wire.paused
        assert await r.ws.recv() == "x" * 10


async def test_a_message_waits_in_no_ring_of_its_own_for_long() -> None:
    with rig(max_queue=None) as r:
        for many in (1, 16, 17, 100, 3):
            r.text(*map(str, range(many)))
            assert [await r.ws.recv() for _ in range(many)] == [str(i) for i in range(many)]


async def test_recv_is_no_future_to_those_who_ask() -> None:
    with rig() as r:
        assert not asyncio.isfuture(r.ws.recv())
        task = asyncio.ensure_future(r.ws.recv())
        assert isinstance(task, asyncio.Task)
        await asyncio.sleep(0)
        r.text("a")
        assert await task == "a"
        waiting = asyncio.gather(asyncio.wait_for(r.ws.recv(), 5), asyncio.sleep(0))
        await asyncio.sleep(0)
        r.text("b")
        assert (await waiting)[0] == "b"


async def test_one_iterator_waits_again_after_a_cancellation() -> None:
    with rig() as r:
        messages = aiter(r.ws)
        for text in "ab":
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0):
                    await anext(messages)
            task = asyncio.ensure_future(anext(messages))
            await asyncio.sleep(0)
            r.text(text)
            assert await task == text


async def test_a_cancellation_says_why() -> None:
    with rig() as r:
        task = asyncio.ensure_future(r.ws.recv())
        await asyncio.sleep(0)
        task.cancel("enough")
        with pytest.raises(asyncio.CancelledError) as caught:
            await task
        assert caught.value.args == ("enough",)


async def test_an_idle_connection_is_small() -> None:
    with rig() as r:
        r.text("a")
        await r.ws.recv()
        # A bound, so that nobody makes it twice as large without noticing.
        assert sys.getsizeof(r.ws) <= 352
