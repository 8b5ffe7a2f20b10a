"""Which way of carrying links serves which event loop."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import Callable
from typing import Any

import pytest

from duologue import connect, serve
from duologue.net.asyncio_link import AsyncioLink
from duologue.net.engine import backend, use_epoll
from duologue.net.loops import new_event_loop
from duologue.net.poller import BACKEND
from duologue.net.selector import EventLoop
from duologue.net.transport import LinkTransport
from duologue.testing import SimulatedNetwork, VirtualEventLoop, WatchedEventLoop

from .rig import LOOPS


class Patient(asyncio.SelectorEventLoop):
    """A loop that adds something of its own, but not to how connections are made."""


class Other(asyncio.SelectorEventLoop):
    """A loop with another way of connecting."""

    async def create_connection(self, *args: Any, **kwargs: Any) -> Any:
        return await super().create_connection(*args, **kwargs)


class OtherServer(asyncio.SelectorEventLoop):
    async def create_server(self, *args: Any, **kwargs: Any) -> Any:
        return await super().create_server(*args, **kwargs)


@pytest.mark.parametrize(
    ("factory", "able"),
    [
        *((factory, True) for factory in LOOPS.values()),
        (WatchedEventLoop, True),
        (Patient, True),
        (Other, False),
        (OtherServer, False),
        (VirtualEventLoop, False),
        (lambda: SimulatedNetwork().loop_factory(), False),
    ],
)
def test_auto_takes_the_best_that_works(factory: Callable[[], Any], able: bool) -> None:
    loop = factory()
    try:
        assert use_epoll(loop, "auto") is able
        assert use_epoll(loop, "asyncio") is False
        if able:
            assert use_epoll(loop, BACKEND) is True
        else:
            with pytest.raises(ValueError, match="needs asyncio's selector loop or uvloop"):
                use_epoll(loop, BACKEND)
        with pytest.raises(ValueError, match="one of auto, asyncio, epoll, kqueue, not 'select'"):
            use_epoll(loop, "select")
    finally:
        loop.close()


def test_other_platforms_have_asyncio(monkeypatch: pytest.MonkeyPatch) -> None:
    loop = asyncio.SelectorEventLoop()
    # As where the poller isn't built.
    monkeypatch.setitem(sys.modules, "duologue.net.poller", None)
    monkeypatch.setattr("sys.platform", "win32")
    assert use_epoll(loop, "auto") is False
    for engine in ("epoll", "kqueue"):
        with pytest.raises(ValueError, match=f"{engine}' can't be had on win32, which has no mec"):
            use_epoll(loop, engine)
    loop.close()
    other = new_event_loop()
    assert not isinstance(other, EventLoop)
    other.close()


def test_each_platform_has_one_mechanism() -> None:
    assert backend() == BACKEND
    absent = "kqueue" if BACKEND == "epoll" else "epoll"
    with (
        contextlib.closing(asyncio.SelectorEventLoop()) as loop,
        pytest.raises(ValueError, match=f"{absent}' can't be had on .*, which has {BACKEND}"),
    ):
        use_epoll(loop, absent)
    loop = new_event_loop()
    assert isinstance(loop, EventLoop)
    loop.close()


def test_kqueue_has_to_be_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("duologue.net.engine.backend", lambda: "kqueue")
    monkeypatch.setattr("duologue.net.loops.backend", lambda: "kqueue")
    with contextlib.closing(asyncio.SelectorEventLoop()) as loop:
        assert use_epoll(loop, "auto") is False
        assert use_epoll(loop, "kqueue") is True
    with contextlib.closing(new_event_loop()) as loop:
        assert not isinstance(loop, EventLoop)


@pytest.mark.parametrize("engine", ["auto", BACKEND, "asyncio"])
async def test_the_option_decides_on_both_ends(loop_factory: Any, engine: Any) -> None:
    kinds: list[bool] = []

    async def handler(connection: Any) -> None:
        kinds.append(isinstance(connection.transport, LinkTransport))
        await connection.send("hello")

    async with serve(handler, "127.0.0.1", 0, engine=engine) as server:
        port = server.sockets[0].getsockname()[1]
        async with connect(f"ws://127.0.0.1:{port}", engine=engine) as client:
            kinds.append(isinstance(client.transport, LinkTransport))
            assert await client.recv() == "hello"
    assert kinds == [engine != "asyncio"] * 2
    assert AsyncioLink is not None


async def test_what_cannot_be_is_refused(loop_factory: Any) -> None:
    async def handler(connection: Any) -> None: ...

    nonsense: Any = "nonsense"
    with pytest.raises(ValueError, match="engine must be one of"):
        await serve(handler, "127.0.0.1", 0, engine=nonsense)
    with pytest.raises(ValueError, match="engine must be one of"):
        await connect("ws://127.0.0.1:1/", engine=nonsense)
