"""``broadcast()``: one message to many, waiting for none."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from duologue.base.limits import Limits
from duologue.base.vocabulary import Opcode, State
from duologue.connection.broadcast import broadcast
from duologue.wire.frame import Frame

from .rig import rig, turns

pytestmark = pytest.mark.virtual_time


@pytest.mark.parametrize(
    "message, text, opcode",
    [
        ("é", None, Opcode.TEXT),
        ("é", False, Opcode.BINARY),
        ("é".encode(), None, Opcode.BINARY),
        (bytearray("é".encode()), True, Opcode.TEXT),
        (memoryview("é".encode()), None, Opcode.BINARY),
    ],
)
@pytest.mark.parametrize("clogged", [False, True])
async def test_everybody_gets_it(
    message: Any, text: bool | None, opcode: Opcode, clogged: bool
) -> None:
    with rig() as a, rig() as b, rig() as closing:
        closing.ws.start_close()
        if clogged:
            a.clog()
        broadcast([a.ws, b.ws, closing.ws], message, text=text)
        a.wire.drain()
        for r in (a, b):
            frame = (await r.heard())[-1]
            assert (frame.opcode, bytes(frame.data)) == (opcode, "é".encode())
        assert [each.opcode for each in await closing.heard()] == [Opcode.CLOSE]


async def test_the_set_may_change_meanwhile() -> None:
    with rig() as r:
        everybody = {r.ws}
        broadcast(everybody, "x")
        broadcast((each for each in everybody), "y")
        assert await r.heard_data() == [b"x", b"y"]


@pytest.mark.parametrize("wrong, error", [(1, TypeError), ("\ud800", UnicodeEncodeError)])
async def test_what_is_no_message_reaches_nobody(wrong: Any, error: type[Exception]) -> None:
    with rig() as r:
        with pytest.raises(error):
            broadcast([r.ws], wrong)
        assert await r.heard() == []


async def test_a_broadcast_waits_behind_a_fragmented_message() -> None:
    class Slow:
        async def __aiter__(self) -> Any:
            yield "a"
            await going_on

    with rig() as r:
        going_on = asyncio.get_running_loop().create_future()
        sending = asyncio.create_task(r.ws.send(Slow()))
        await turns()
        broadcast([r.ws], "b")
        going_on.set_result(None)
        await sending
        assert await r.heard_data() == [b"a", b"", b"b"]


async def test_slow_peers_are_given_up() -> None:
    with rig(limits=Limits(max_outbox=10_000)) as slow, rig() as fast:
        slow.clog()
        for _ in range(20):
            broadcast([slow.ws, fast.ws], b"x" * 1000)
        await turns()
        assert slow.ws.close_sent.code == 1013
        assert fast.ws.state is State.OPEN


class Broken:
    name = "x-broken"

    def encode(self, frame: Frame) -> Frame:
        raise LookupError("can't encode")


async def test_failures_are_logged_or_raised(caplog: pytest.LogCaptureFixture) -> None:
    with rig(extensions=([Broken()], [])) as bad, rig() as good:
        broadcast([bad.ws, good.ws], "1")
        assert "skipped broadcast: failed to write message: can't encode" in caplog.text
        with pytest.raises(ExceptionGroup, match="skipped broadcast") as caught:
            broadcast([bad.ws, good.ws], "2", raise_exceptions=True)
        (failure,) = caught.value.exceptions
        assert isinstance(failure.__cause__, LookupError)
        assert await good.heard_data() == [b"1", b"2"]
        bad.ws.extensions = []
