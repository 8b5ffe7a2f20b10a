"""Peers for the browser's sockets, and the log of what a socket's listeners saw."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from typing import Any

import pytest

from duologue import Event, WebSocket

GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # RFC 6455, section 1.3

Talk = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
Serve = Callable[[str, Talk | None], AbstractAsyncContextManager[str]]
Log = list[tuple[Any, ...]]

ACCEPTED = (
    "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    "Sec-WebSocket-Accept: {accept}\r\n\r\n"
)


async def end(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """End the stream once the peer has."""
    await reader.read()


@contextlib.asynccontextmanager
async def serve_raw(head: str, talk: Talk | None = None) -> AsyncIterator[str]:
    """Serve one connection by hand: ``head`` is the response, ``talk`` what comes after it."""
    failures: list[BaseException] = []
    ended = asyncio.Event()

    async def attend(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            request = await reader.readuntil(b"\r\n\r\n")
            found = re.search(rb"Sec-WebSocket-Key: (\S+)", request)
            assert found is not None
            accept = base64.b64encode(hashlib.sha1(found[1] + GUID).digest()).decode()
            writer.write(head.replace("{accept}", accept).encode())
            await (talk or end)(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        except BaseException as exc:
            failures.append(exc)
        finally:
            writer.close()
            ended.set()

    server = await asyncio.start_server(attend, "127.0.0.1", 0, limit=2**24)
    async with server:
        yield f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
        await ended.wait()
    assert not failures, failures


@pytest.fixture
def raw() -> Serve:
    return serve_raw


@pytest.fixture
def accepted() -> str:
    return ACCEPTED


def log_events(ws: WebSocket) -> Log:
    """Log each event: its type, readyState, and data or close code, reason and wasClean."""
    log: Log = []

    def note(event: Event) -> None:
        facts = ("data", "code", "reason", "wasClean")
        found = [getattr(event, name) for name in facts if hasattr(event, name)]
        log.append((event.type, ws.readyState, *found))

    for type in ("open", "message", "error", "close"):
        ws.addEventListener(type, note)
    return log


@pytest.fixture
def logged() -> Callable[[WebSocket], Log]:
    return log_events
