"""Peers that are Node programs, driven over standard input and output (``tests/peers``)."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
from base64 import b64decode, b64encode
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

from .peer import PATIENCE, Peer, background

PEERS_FOLDER = Path(__file__).parents[1] / "peers"
MAX_LINE = 64 * 1024 * 1024


class NodePeer(Peer):
    """An end run by ``tests/peers/<name>.mjs``."""

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        self._process = await asyncio.create_subprocess_exec(
            "node",
            str(PEERS_FOLDER / f"{self.name}.mjs"),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            limit=MAX_LINE,
            env={**os.environ, **self._tls_environment()},
        )
        try:
            async with background(self._listen_to_reports()):
                yield
        finally:
            await reap(self._process)

    def _tls_environment(self) -> dict[str, str]:
        if self.tls is None:
            return {}
        return {
            "NODE_EXTRA_CA_CERTS": str(self.tls.authority),
            "PEER_CERTIFICATE": str(self.tls.certificate),
        }

    async def _listen_to_reports(self) -> None:
        assert self._process.stdout is not None
        async for line in self._process.stdout:
            report = json.loads(line)
            if "base64" in report:
                report["data"] = b64decode(report.pop("base64"))
            elif "text" in report:
                report["data"] = report.pop("text")
            self.report(report.pop("is"), **report)
        self.report("gone", status=await self._process.wait())

    async def _order(self, do: str, **details: Any) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"do": do, **details}).encode() + b"\n")
        await self._process.stdin.drain()

    async def listen(self, *, subprotocols: Sequence[str], deflate: bool) -> int:
        await self._order("listen", subprotocols=list(subprotocols), deflate=deflate)
        port = (await self.next("listening")).port
        assert isinstance(port, int)
        return port

    async def connect(self, url: str, *, subprotocols: Sequence[str], deflate: bool) -> None:
        await self._order("connect", url=url, subprotocols=list(subprotocols), deflate=deflate)

    async def send(self, message: str | bytes) -> None:
        if isinstance(message, str):
            await self._order("send", text=message)
        else:
            await self._order("send", base64=b64encode(message).decode())

    async def send_fragments(self, parts: Sequence[str] | Sequence[bytes]) -> None:
        if isinstance(parts[0], str):
            await self._order("fragments", texts=list(parts))
        else:
            encoded = [b64encode(part).decode() for part in parts if isinstance(part, bytes)]
            await self._order("fragments", base64s=encoded)

    async def ping(self, data: bytes) -> None:
        await self._order("ping", base64=b64encode(data).decode())

    async def close(self, code: int | None, reason: str) -> None:
        details = {} if code is None else {"code": code, "reason": reason}
        await self._order("close", **details)

    async def drop(self) -> None:
        await self._order("drop")


async def reap(process: asyncio.subprocess.Process) -> None:
    """End a child politely (its input ends), then by force; return when it is gone."""
    if process.stdin is not None:
        process.stdin.close()
    try:
        async with asyncio.timeout(PATIENCE / 3):
            await process.wait()
    except TimeoutError:
        process.kill()
        await process.wait()


@contextlib.asynccontextmanager
async def piped(*command: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """Run a command whose streams are pipes; it has ended afterwards."""
    process = await asyncio.create_subprocess_exec(
        *command,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(PATIENCE):
            yield process
    finally:
        await reap(process)


class Ws(NodePeer):
    """npm ``ws``."""

    name = "ws"
    secures = True


class Undici(NodePeer):
    """npm ``undici``: a second implementation of the browsers' WebSocket."""

    name = "undici"
    secures = True
    roles = ("client",)
    deflate_optional = False
    fragments = ()
    pings = False
    drops = False


class NodejsWebSocket(NodePeer):
    """npm ``nodejs-websocket``, a small and lenient server and client."""

    name = "nodejs-websocket"
    deflates = False
    fragments = (bytes,)
    ends_tcp = False


class WebSocketNode(NodePeer):
    """npm ``websocket``."""

    name = "websocket-node"
    deflates = False
    closes_empty = False
    mirrors_close = False
