"""The end of a turn: one callback of the loop for all connections that have something to write."""

from __future__ import annotations

import asyncio
import gc
import weakref
from typing import Any

import pytest

from duologue.base.vocabulary import State
from duologue.connection.broadcast import broadcast
from duologue.connection.turn import known_turn

from .rig import Rig, rig, turns


@pytest.mark.virtual_time
async def test_one_callback_serves_all(monkeypatch: pytest.MonkeyPatch) -> None:
    loop = asyncio.get_running_loop()
    calls: list[Any] = []
    call_soon = loop.call_soon

    def counting(*arguments: Any, **options: Any) -> Any:
        calls.append(arguments[0])
        return call_soon(*arguments, **options)

    with rig() as a, rig() as b, rig() as c:
        monkeypatch.setattr(loop, "call_soon", counting)
        for number in range(3):
            broadcast([a.ws, b.ws, c.ws], str(number))
            a.ws.send("own")
        assert len(calls) == 1
        monkeypatch.undo()
        for r in (a, b, c):
            assert len(await r.heard_data()) == (6 if r is a else 3)
            assert r.wire.writes == 1


@pytest.mark.virtual_time
async def test_one_that_fails_does_not_stop_the_others() -> None:
    loop = asyncio.get_running_loop()
    reports: list[dict[str, Any]] = []
    loop.set_exception_handler(lambda _, context: reports.append(context))

    def refuse(data: Any) -> None:
        raise RuntimeError("no writing today")

    with rig() as good, rig() as bad, rig() as also_good:
        bad.wire.write = refuse  # type: ignore[method-assign]
        broadcast([good.ws, bad.ws, also_good.ws], "x")
        assert await good.heard_data() == await also_good.heard_data() == [b"x"]
        (report,) = reports
        assert str(report["exception"]) == "no writing today"
        broadcast([good.ws], "y")
        assert await good.heard_data() == [b"y"]


@pytest.mark.virtual_time
async def test_a_turn_of_its_own() -> None:
    """What is sent inside goes out together at the end of it, and not in the loop's turn."""
    with rig() as a, rig() as b:
        turn = known_turn(asyncio.get_running_loop())
        assert turn is not None

        def publish(text: str) -> str:
            broadcast([a.ws, b.ws], text)
            turn.run(broadcast, [a.ws], "inner")
            assert a.wire.writes == 0
            return text

        assert turn.run(publish, "outer") == "outer"
        assert (a.wire.writes, b.wire.writes) == (1, 1)
        # Who waits already goes on waiting for the loop.
        b.ws.send("before")
        turn.run(broadcast, [a.ws], "later")
        assert (a.wire.writes, b.wire.writes) == (1, 1)
        assert await a.heard_data() == [b"outer", b"inner", b"later"]
        assert await b.heard_data() == [b"outer", b"before"]
        with pytest.raises(ZeroDivisionError):
            turn.run(lambda: (broadcast([a.ws], "x"), 1 // 0))
        assert await a.heard_data() == [b"x"]


async def test_a_loop_without_connections() -> None:
    assert known_turn(asyncio.get_running_loop()) is None


def test_a_loop_closed_with_something_to_write_is_let_go() -> None:
    async def leave() -> weakref.ref[Any]:
        r = Rig()
        r.ws.send("never")
        assert r.ws.state is State.OPEN
        return weakref.ref(r.ws)

    loop = asyncio.new_event_loop()
    reference = loop.run_until_complete(leave())
    loop.close()
    gone = weakref.ref(loop)
    del loop
    gc.collect()
    assert reference() is None
    assert gone() is None


def test_a_second_loop_of_the_process_has_turns_of_its_own() -> None:
    async def talk() -> None:
        with rig() as r:
            r.ws.send("a")
            await turns()
            assert await r.heard_data() == [b"a"]

    for _ in range(3):
        asyncio.run(talk())
