"""Where a conversation takes place: an event loop, a carrier of octets, and the link to it.

The matrix is link (the engine's own sockets, asyncio's transports) × loop × TLS; Unix sockets and
the simulated network stand beside it. What one end does without the engine is seen by the other.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import sys
import tempfile
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import trustme

from duologue import (
    ClientConnection,
    EventLoop,
    ServerConnection,
    connect,
    serve,
    unix_connect,
    unix_serve,
)
from duologue.net.engine import use_epoll
from duologue.testing import SimulatedNetwork, WatchedEventLoop

#: asyncio's own loop, the same in debug mode, uvloop's, and the engine's.
LOOPS = ["asyncio", "debug", "uvloop", "engine"]


def _engine_can() -> bool:
    """Whether the engine's own sockets carry connections here."""
    with contextlib.closing(asyncio.SelectorEventLoop()) as loop:
        try:
            return use_epoll(loop, "epoll")
        except ValueError:
            return False


def _venues() -> list[tuple[str, str, str]]:
    """Loop, carrier, engine; the simulated network has virtual time and is its own engine."""
    carriers = [("tcp", "asyncio"), ("tls", "asyncio")]
    carriers += [("tcp", "epoll"), ("tls", "epoll"), ("unix", "epoll")] * _engine_can()
    venues = [(loop, *carrier) for loop in LOOPS for carrier in carriers]
    venues += [(loop, "unix", "asyncio") for loop in ("asyncio", "uvloop")]
    venues += [(loop, "simulated", "auto") for loop in ("asyncio", "debug")]
    if sys.platform == "win32":  # neither uvloop nor Unix sockets in asyncio
        venues = [venue for venue in venues if venue[0] != "uvloop" and venue[1] != "unix"]
    if sys.platform != "linux":
        venues = [venue for venue in venues if venue[0] != "engine"]
    return venues


VENUES = _venues()


class Certificates:
    """A throw-away authority, a server's context and a client's that trusts it."""

    def __init__(self) -> None:
        authority = trustme.CA()
        self.server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert("server.test").configure_cert(self.server)
        self.client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        authority.configure_trust(self.client)


@dataclass
class Venue:
    """An event loop and a carrier; the simulated one delivers pieces of 1 to 7 octets."""

    loop: str
    carrier: str
    engine: str
    certificates: Certificates
    network: SimulatedNetwork = field(
        default_factory=lambda: SimulatedNetwork(seed=6455, split=(1, 7), delay=0.001)
    )

    def loop_factory(self) -> asyncio.AbstractEventLoop:
        """Make the loop that runs the test."""
        if self.loop == "uvloop":
            import uvloop

            return uvloop.new_event_loop()
        if self.loop == "engine":
            return EventLoop()
        simulated = self.carrier == "simulated"
        loop = self.network.loop_factory() if simulated else WatchedEventLoop()
        loop.set_debug(self.loop == "debug")
        loop.slow_callback_duration = 30.0  # a busy machine is no failure
        return loop

    @contextlib.asynccontextmanager
    async def served(self, handler: Any, **options: Any) -> AsyncIterator[Any]:
        """Serve; the way in is for :meth:`dial` and :meth:`open_streams`."""
        options.setdefault("engine", self.engine)
        if self.carrier == "unix":
            with tempfile.TemporaryDirectory() as folder:  # short: a path has 107 octets at most
                path = str(Path(folder) / "socket")
                async with unix_serve(handler, path, **options):
                    yield path
            return
        if self.carrier == "simulated":
            async with serve(handler, "server.test", 8000, **options):
                yield ("server.test", 8000)
            return
        if self.carrier == "tls":
            options["ssl"] = self.certificates.server
        async with serve(handler, "127.0.0.1", 0, **options) as server:
            yield server.sockets[0].getsockname()

    def dial(self, way: Any, **options: Any) -> connect:
        """Connect to what is served."""
        options.setdefault("engine", self.engine)
        if self.carrier == "unix":
            return unix_connect(way, **options)
        host, port = way
        if self.carrier == "tls":
            options |= {"ssl": self.certificates.client, "host": host}
            return connect(f"wss://server.test:{port}/", **options)
        return connect(f"ws://{host}:{port}/", **options)

    @contextlib.asynccontextmanager
    async def ends(
        self,
        *,
        client: dict[str, Any] | None = None,
        server: dict[str, Any] | None = None,
        **both: Any,
    ) -> AsyncIterator[tuple[ClientConnection, ServerConnection]]:
        """Open a connection and give both of its ends; options as for ``duologue.testing.pair``."""
        accepted: asyncio.Queue[ServerConnection] = asyncio.Queue()

        async def handler(connection: ServerConnection) -> None:
            accepted.put_nowait(connection)
            await connection.wait_closed()

        async with self.served(handler, **(both | (server or {}))) as way:
            async with self.dial(way, **(both | (client or {}))) as client_end:
                yield client_end, await accepted.get()

    def carry_whole(self) -> None:
        """Give up the tiny pieces: from now on a long message would only take long."""
        for link in self.network.links:
            link.change(split=(1, 60_000))

    # The same carriers for octets written by hand.

    async def open_streams(self, way: Any) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Connect plain streams to what is served."""
        if self.carrier == "unix":
            return await asyncio.open_unix_connection(way)
        if self.carrier == "tls":
            context, name = self.certificates.client, "server.test"
            return await asyncio.open_connection(*way, ssl=context, server_hostname=name)
        return await asyncio.open_connection(*way)

    @contextlib.asynccontextmanager
    async def streams_served(self, handler: Callable[..., Any]) -> AsyncIterator[Any]:
        """Serve plain streams; the way in is for :meth:`dial`."""
        if self.carrier == "unix":
            with tempfile.TemporaryDirectory() as folder:
                path = str(Path(folder) / "socket")
                async with await asyncio.start_unix_server(handler, path):
                    yield path
            return
        if self.carrier == "simulated":
            async with await asyncio.start_server(handler, "server.test", 8000):
                yield ("server.test", 8000)
            return
        context = self.certificates.server if self.carrier == "tls" else None
        async with await asyncio.start_server(handler, "127.0.0.1", 0, ssl=context) as server:
            yield server.sockets[0].getsockname()
