"""What the ASGI tests share: a server of an application, and a client of octets."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import duologue.asgi

from .strict import StrictApplication


class Served:
    """An application that is being served.

    Attributes:
        strict: what judges the server.
        netloc: ``host:port``.
    """

    def __init__(self, strict: StrictApplication, server: Any) -> None:
        self.strict = strict
        self.server = server
        self.address = server.sockets[0].getsockname()[:2]
        self.netloc = "{}:{}".format(*self.address)

    async def ask(self, octets: bytes) -> bytes:
        """Send octets, and return all that comes until the server closes."""
        reader, writer = await asyncio.open_connection(*self.address)
        writer.write(octets)
        try:
            return await asyncio.wait_for(reader.read(), 20)
        except ConnectionError:
            return b""
        finally:
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()

    async def get(self, target: str = "/", **headers: str) -> bytes:
        """Ask for a target; return the answer."""
        lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        head = f"GET {target} HTTP/1.1\r\nHost: h\r\nConnection: close\r\n{lines}\r\n"
        return await self.ask(head.encode())


@contextlib.asynccontextmanager
async def serving(app: Any, **options: Any) -> AsyncIterator[Served]:
    """Serve an application that judges the server; fail if the server breaks the specification."""
    strict = StrictApplication(app)
    options.setdefault("lifespan", "off")
    async with duologue.asgi.serve(strict, "127.0.0.1", 0, **options) as server:
        yield Served(strict, server)
    if strict.breaches:
        raise strict.breaches[0]
