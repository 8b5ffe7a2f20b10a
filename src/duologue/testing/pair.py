"""Two open connections that talk to each other in memory, after a real opening handshake.

What this module is: ``serve()`` and ``connect()`` joined by a simulated network, on any event loop.
What it must never know: how connections work; it uses what applications use.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

from duologue.base.limits import DEFAULT_LIMITS
from duologue.client.carrying import Opened
from duologue.client.connecting import connect
from duologue.client.connection import ClientConnection
from duologue.client.reaching import Reaching
from duologue.net.asyncio_link import AsyncioLink
from duologue.net.link import Link
from duologue.server.connection import ServerConnection
from duologue.server.serving import serve
from duologue.wire.uri import WebSocketURI

from .loop import SimulatedLoop
from .network import SimulatedNetwork

__all__ = ["Connecting", "pair"]


class _Reaching(Reaching):
    """Reaches servers over a simulated network, whatever loop runs."""

    def __init__(self, network: SimulatedNetwork) -> None:
        super().__init__(None, "asyncio", {}, DEFAULT_LIMITS, None)
        self._network = network

    async def open_link(self, uri: WebSocketURI, opened: Opened) -> Link:
        _, link = await self._network.create_connection(
            lambda: AsyncioLink(opened), uri.host, uri.port
        )
        return link


class Connecting(connect):
    """``connect()`` over a simulated network."""

    def __init__(self, network: SimulatedNetwork, uri: str, **options: Any) -> None:
        super().__init__(uri, **options)
        self._reaching = _Reaching(network)


@contextlib.asynccontextmanager
async def pair(
    uri: str = "ws://server.test/",
    *,
    network: SimulatedNetwork | None = None,
    client: dict[str, Any] | None = None,
    server: dict[str, Any] | None = None,
    **both: Any,
) -> AsyncIterator[tuple[ClientConnection, ServerConnection]]:
    """Open a connection in memory and give both of its ends; both are closed in the end.

    ::

        async with pair(subprotocols=["chat.v1"]) as (client, server):
            await client.send("hello")
            assert await server.recv() == "hello"

    Args:
        uri: what the client connects to; its name and port exist in ``network`` only.
        network: what joins the ends; by default the one of a running :class:`SimulatedLoop`, else
            a fresh one without delay. On a loop with a real clock its delays are real.
        client: options of ``connect()`` for the client only.
        server: options of ``serve()`` for the server only.
        **both: options for both ends.

    Yields:
        The client's connection and the server's.

    Raises:
        ValueError: ``uri`` asks for TLS, or an option has a value that it can't have.
        InvalidHandshake: the options make the opening handshake fail.
    """
    if network is None:
        loop = asyncio.get_running_loop()
        own = loop.network if isinstance(loop, SimulatedLoop) else None
        network = own if isinstance(own, SimulatedNetwork) else SimulatedNetwork()
    opening = Connecting(network, uri, **(both | (client or {})))
    if opening.ws_uri.secure:
        raise ValueError(f"a pair in memory has no TLS: {uri!r} must begin with ws://")
    accepted: asyncio.Queue[ServerConnection] = asyncio.Queue()

    async def handler(connection: ServerConnection) -> None:
        accepted.put_nowait(connection)
        await connection.wait_closed()

    listening = serve(handler, **(both | (server or {})))
    listening.server = await network.create_server(  # type: ignore[assignment]
        lambda: AsyncioLink(listening.link_opened), opening.ws_uri.host, opening.ws_uri.port
    )
    async with listening:
        async with opening as client_end:
            yield client_end, await accepted.get()
