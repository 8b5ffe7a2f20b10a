"""Each cause is recorded where it happens, the first one for good."""

from __future__ import annotations

import asyncio
import ssl

import pytest

from duologue.base.limits import Limits
from duologue.base.vocabulary import State
from duologue.client.connecting import connect
from duologue.connection.ending import Cause, Ending
from duologue.server.connection import ServerConnection
from duologue.server.serving import serve
from duologue.testing import VirtualEventLoop

from .rig import Rig, rig, turns


def test_endings_read_well() -> None:
    assert str(Ending(Cause.PEER_CLOSED)) == "the peer closed the connection"
    assert str(Ending(Cause.LIMIT, "max_size: 1")) == "the peer went over a limit: max_size: 1"


async def peer_closed(r: Rig) -> None:
    r.peer.send_close(1000, "bye")
    r.say()


async def closed_here(r: Rig) -> None:
    r.ws.start_close()


async def shutdown(r: Rig) -> None:
    r.ws.start_close(1001, "", Cause.SHUTDOWN)


async def protocol_fault(r: Rig) -> None:
    r.wire.feed(b"\xff\xff")


async def limit(r: Rig) -> None:
    r.text("x" * 2000)


async def ping_timeout(r: Rig) -> None:
    await asyncio.sleep(40.1)


async def write_stalled(r: Rig) -> None:
    r.clog()
    await asyncio.sleep(61)


async def outbox_full(r: Rig) -> None:
    r.clog()
    r.ws.send(b"x" * 3000)
    r.ws.send(b"x" * 3000)
    await turns()


async def memory_budget(r: Rig) -> None:
    r.clog()
    r.ws.send(b"x" * 200_000)


async def loop_blocked(r: Rig) -> None:
    loop = asyncio.get_running_loop()
    assert isinstance(loop, VirtualEventLoop)
    loop.clock.advance(25)
    r.peer.send_close(1011, "keepalive ping timeout")
    r.say()


async def tls_failed(r: Rig) -> None:
    r.wire.lose(ssl.SSLError("decryption failed"))


async def connection_lost(r: Rig) -> None:
    r.wire.lose(OSError("cable"))


@pytest.mark.virtual_time
@pytest.mark.parametrize(
    "cause, end, detail",
    [
        (Cause.PEER_CLOSED, peer_closed, "bye"),
        (Cause.CLOSED_HERE, closed_here, "1000"),
        (Cause.SHUTDOWN, shutdown, "1001"),
        (Cause.PROTOCOL_FAULT, protocol_fault, "opcode"),
        (Cause.LIMIT, limit, "max_size"),
        (Cause.PING_TIMEOUT, ping_timeout, "ping_timeout of 20.0 s"),
        (Cause.WRITE_STALLED, write_stalled, "write_timeout of 60.0 s"),
        (Cause.OUTBOX_FULL, outbox_full, "max_outbox of 5000"),
        (Cause.MEMORY_BUDGET, memory_budget, "memory_budget of 150000"),
        (Cause.LOOP_BLOCKED, loop_blocked, "for 5.0 s at least; then the peer closed with 1011"),
        (Cause.TLS_FAILED, tls_failed, "decryption failed"),
        (Cause.CONNECTION_LOST, connection_lost, "cable"),
    ],
)
async def test_causes(cause: Cause, end: object, detail: str) -> None:
    assert callable(end)
    limits = Limits(max_outbox=5000, memory_budget=150_000)
    with rig(max_size=1000, ping_interval=..., limits=limits) as r:
        await end(r)
        assert r.ws.ending is not None
        assert r.ws.ending.cause is cause
        assert detail in r.ws.ending.detail
        # What follows is a consequence.
        await asyncio.sleep(100)
        r.wire.lose(OSError("later"))
        assert r.ws.ending.cause is cause
        assert r.ws.state is State.CLOSED


async def test_a_handler_that_raises_is_a_cause() -> None:
    ended: list[ServerConnection] = []

    async def handler(ws: ServerConnection) -> None:
        ended.append(ws)
        raise LookupError("handler")

    async with serve(handler, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        async with connect(f"ws://127.0.0.1:{port}") as client:
            await client.wait_closed()
    assert ended[0].ending is not None
    assert ended[0].ending.cause is Cause.HANDLER_RAISED
    assert isinstance(ended[0].ending.exc, LookupError)
    assert client.ending is not None and client.ending.cause is Cause.PEER_CLOSED


def test_no_cause_is_left_out() -> None:
    (mark,) = (each for each in test_causes.pytestmark if each.name == "parametrize")
    # The others are in test_why.
    others = {Cause.HANDLER_RAISED, Cause.IDLE_CUT}
    assert {case[0] for case in mark.args[1]} | others == set(Cause)
