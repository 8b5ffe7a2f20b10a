"""ASGI servers in the test's own event loop: ours, and uvicorn with each WebSocket protocol."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator
from typing import Any

import uvicorn

import duologue.asgi

OURS = "duologue.asgi.uvicorn:Protocol"
UVICORN = ("websockets-sansio", "wsproto")
HOST = "duologue"
SERVERS = (HOST, OURS, *UVICORN)


@contextlib.asynccontextmanager
async def serving(app: Any, server: str, **options: Any) -> AsyncIterator[str]:
    """Serve ``app``; give ``host:port``.

    Args:
        app: the application.
        server: ``HOST``, or what uvicorn's option ``ws`` is to be.
        **options: of the server.
    """
    if server == HOST:
        async with duologue.asgi.serve(app, "127.0.0.1", 0, **options) as ours:
            yield "{}:{}".format(*ours.sockets[0].getsockname())
        return
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        sock.listen()
        options = {"log_config": None, "timeout_graceful_shutdown": 5} | options
        theirs = uvicorn.Server(uvicorn.Config(app, ws=server, **options))
        running = asyncio.create_task(theirs.serve(sockets=[sock]))
        while not theirs.started:
            assert not running.done(), running.result()
            await asyncio.sleep(0.001)
        try:
            yield "{}:{}".format(*sock.getsockname())
        finally:
            theirs.should_exit = True
            await running
