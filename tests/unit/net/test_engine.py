"""Which way of carrying links serves which event loop."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable
from typing import Any

import pytest

from duologue import connect, serve
from duologue.net.asyncio_link import AsyncioLink
from duologue.net.engine import use_epoll
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
        assert use_epoll(loop, "auto", False) is able
        assert use_epoll(loop, "auto", True) is False
        assert use_epoll(loop, "asyncio", False) is False
        assert use_epoll(loop, "asyncio", True) is False
        if able:
            assert use_epoll(loop, "epoll", False) is True
        else:
            with pytest.raises(ValueError, match="engine='epoll' needs Linux"):
                use_epoll(loop, "epoll", False)
        with pytest.raises(ValueError, match="no TLS"):
            use_epoll(loop, "epoll", True)
        with pytest.raises(ValueError, match="one of auto, asyncio, epoll, not 'kqueue'"):
            use_epoll(loop, "kqueue", False)
    finally:
        loop.close()


def test_other_platforms_have_asyncio(monkeypatch: pytest.MonkeyPatch) -> None:
    loop = asyncio.SelectorEventLoop()
    monkeypatch.setattr("sys.platform", "darwin")
    assert use_epoll(loop, "auto", False) is False
    with pytest.raises(ValueError, match="needs Linux"):
        use_epoll(loop, "epoll", False)
    loop.close()


@pytest.mark.parametrize("engine", ["auto", "epoll", "asyncio"])
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

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    with pytest.raises(ValueError, match="no TLS"):
        await serve(handler, "127.0.0.1", 0, engine="epoll", ssl=context)
    with pytest.raises(ValueError, match="no TLS"):
        await connect("wss://127.0.0.1:1/", engine="epoll")
    nonsense: Any = "nonsense"
    with pytest.raises(ValueError, match="engine must be one of"):
        await serve(handler, "127.0.0.1", 0, engine=nonsense)
    with pytest.raises(ValueError, match="engine must be one of"):
        await connect("ws://127.0.0.1:1/", engine=nonsense)
