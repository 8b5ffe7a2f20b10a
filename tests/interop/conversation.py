"""Puts a duologue connection and another implementation's end on the two sides of one wire."""

from __future__ import annotations

import asyncio
import contextlib
import random
import ssl
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Any

import pytest

from .node_peers import NodejsWebSocket, NodePeer, Undici, WebSocketNode, Ws
from .peer import PATIENCE, Peer, TlsFiles
from .python_peers import Aiohttp, Websockets
from .subject import ServerConnection, connect, serve

PEERS: tuple[type[Peer], ...] = (
    Websockets,
    Aiohttp,
    Ws,
    Undici,
    NodejsWebSocket,
    WebSocketNode,
)
MAX_SIZE = 16 * 1024 * 1024
MIB = 1024 * 1024
UNICODE = "κόσμε – 对话 – 👩‍👩‍👧 – e\u0301 – \U0010ffff – \ufeff"
RANDOM_MIB = random.Random(6455).randbytes(MIB)


@dataclass(frozen=True)
class Pairing:
    """Which implementation the other end is, and which role it plays."""

    peer: type[Peer]
    role: str

    def __str__(self) -> str:
        return f"{self.peer.name}-{self.role}"


def pairings(**wanted: Any) -> pytest.MarkDecorator:
    """Parametrize ``pairing`` over all peers and their roles.

    Args:
        wanted: Attributes of :class:`Peer` (or ``role``) that the test needs; a peer takes part
            if its attribute equals the value, or contains it.
    """

    def has(pairing: Pairing, name: str, value: Any) -> bool:
        actual = pairing.role if name == "role" else getattr(pairing.peer, name)
        return value in actual if isinstance(actual, tuple) else bool(actual == value)

    possible = [Pairing(peer, role) for peer in PEERS for role in peer.roles]
    chosen = [one for one in possible if all(has(one, *want) for want in wanted.items())]
    return pytest.mark.parametrize(
        "pairing",
        [
            pytest.param(
                pairing,
                id=str(pairing),
                marks=[pytest.mark.needs_node] if issubclass(pairing.peer, NodePeer) else [],
            )
            for pairing in chosen
        ],
    )


@contextlib.asynccontextmanager
async def serving(handler: Any, **options: Any) -> AsyncIterator[int]:
    """Run our server on a port of the system's choice; yields the port."""
    async with serve(handler, "127.0.0.1", 0, **options) as server:
        yield next(iter(server.sockets)).getsockname()[1]


def _ssl_context(pairing: Pairing, tls: TlsFiles) -> ssl.SSLContext:
    if pairing.role == "server":
        return ssl.create_default_context(cafile=tls.authority)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tls.certificate)
    return context


@contextlib.asynccontextmanager
async def conversation(
    pairing: Pairing,
    *,
    path: str = "/",
    ours: Sequence[str] = (),
    theirs: Sequence[str] = (),
    their_deflate: bool = True,
    tls: TlsFiles | None = None,
    **options: Any,
) -> AsyncIterator[tuple[Any, Peer]]:
    """Open one connection; yields our end, open, and theirs, whose ``open`` report is waiting.

    Args:
        pairing: Who plays the other end.
        path: Request target.
        ours: Subprotocols that our end offers or supports.
        theirs: Subprotocols that the peer offers or supports.
        their_deflate: Whether the peer offers or accepts permessage-deflate.
        tls: Talk over TLS with these files.
        options: For our ``connect`` or ``serve``.
    """
    scheme = "ws" if tls is None else "wss"
    options = {"max_size": MAX_SIZE, "subprotocols": list(ours) or None, **options}
    if pairing.role == "server" and not pairing.peer.ends_tcp:
        options = {"close_timeout": 0.2, **options}
    if tls is not None:
        options = {"ssl": _ssl_context(pairing, tls), **options}
    peer = pairing.peer()
    peer.tls = tls
    async with peer.running():
        if pairing.role == "server":
            port = await peer.listen(subprotocols=theirs, deflate=their_deflate)
            async with connect(f"{scheme}://127.0.0.1:{port}{path}", **options) as connection:
                yield connection, peer
            return
        arrived: asyncio.Future[Any] = asyncio.get_running_loop().create_future()

        async def handler(connection: ServerConnection) -> None:
            arrived.set_result(connection)
            await connection.wait_closed()

        async with serving(handler, **options) as port:
            await peer.connect(
                f"{scheme}://127.0.0.1:{port}{path}", subprotocols=theirs, deflate=their_deflate
            )
            async with asyncio.timeout(PATIENCE):
                yield await arrived, peer
