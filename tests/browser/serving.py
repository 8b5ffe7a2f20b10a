"""Serves the fixture pages and a WebSocket handler on one port."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from http import HTTPStatus
from pathlib import Path
from typing import Any

from .subject import Request, Response, serve

PAGES = Path(__file__).parent / "pages"
MAX_SIZE = 16 * 1024 * 1024


def page(connection: Any, request: Request) -> Response | None:
    """Answer a request for a page with it; let upgrades pass."""
    if "Upgrade" in request.headers:
        return None
    path = PAGES / Path(request.path).name
    if not path.is_file():
        missing: Response = connection.respond(HTTPStatus.NOT_FOUND, "no such page\n")
        return missing
    response: Response = connection.respond(HTTPStatus.OK, path.read_text(encoding="utf-8"))
    del response.headers["Content-Type"]
    response.headers["Content-Type"] = "text/html; charset=utf-8"
    return response


@contextlib.asynccontextmanager
async def site(handler: Any, **options: Any) -> AsyncIterator[int]:
    """Run our server with the pages of this folder; yields its port."""
    options = {"max_size": MAX_SIZE, "process_request": page, **options}
    async with serve(handler, "127.0.0.1", 0, **options) as server:
        yield next(iter(server.sockets)).getsockname()[1]


class Echo:
    """A handler that sends every message back and remembers how connections went.

    Attributes:
        received: All messages, in order.
        ends: Code and reason of every ended connection.
    """

    def __init__(self) -> None:
        self.received: list[str | bytes] = []
        self.ends: list[tuple[int | None, str | None]] = []

    async def __call__(self, connection: Any) -> None:
        try:
            async for message in connection:
                self.received.append(message)
                await connection.send(message)
        finally:
            self.ends.append((connection.close_code, connection.close_reason))
