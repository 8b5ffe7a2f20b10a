"""Talking to applications that are served: raw HTTP, and WebSockets."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import pytest

import duologue
from duologue.wire.http11 import Response, ResponseParser


class Visitor:
    """Visits an application on this machine."""

    def __init__(self, server: duologue.Server) -> None:
        name = server.sockets[0].getsockname()
        self.port = name[1] if isinstance(name, tuple) else 0

    @contextlib.asynccontextmanager
    async def link(self, **options: Any) -> AsyncIterator[Link]:
        async with asyncio.timeout(20):
            streams = await asyncio.open_connection("127.0.0.1", self.port, **options)
            try:
                yield Link(*streams)
            finally:
                streams[1].close()
                with contextlib.suppress(OSError):
                    await streams[1].wait_closed()

    async def ask(
        self, method: str, target: str, *fields: str, body: bytes = b"", before: bytes = b""
    ) -> Response:
        """Ask one thing on a link of its own."""
        async with self.link() as link:
            link.write(before + head(method, target, *fields, body=body))
            return await link.answer(method)

    def connect(self, path: str = "/", **options: Any) -> Any:
        return duologue.connect(f"ws://127.0.0.1:{self.port}{path}", **options)


class Link:
    """One connection that speaks HTTP."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer
        self._rest = b""

    def write(self, octets: bytes) -> None:
        self.writer.write(octets)

    async def answer(self, method: str = "GET") -> Response:
        parser = ResponseParser(max_body=None, head_only=method == "HEAD")
        data, self._rest = self._rest, b""
        while (response := parser.feed(data)) is None:
            data = await self.reader.read(65536)
            if not data:
                response = parser.feed_eof()
                assert response is not None
                return response
        self._rest = parser.rest
        return response


def head(method: str, target: str, *fields: str, body: bytes = b"") -> bytes:
    lines = [f"{method} {target} HTTP/1.1"]
    if not any(field.lower().startswith("host:") for field in fields):
        lines.append("Host: localhost")
    lines += fields
    if body:
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + body


@pytest.fixture
def visiting() -> Any:
    @contextlib.asynccontextmanager
    async def visit(app: duologue.App, **options: Any) -> AsyncIterator[Visitor]:
        async with app.serving("127.0.0.1", 0, **options) as server:
            yield Visitor(server)

    return visit
