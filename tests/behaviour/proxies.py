"""Proxies in the test's own event loop: HTTP CONNECT, also over TLS, and SOCKS.

They do what is asked of them and remember what that was.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import ipaddress
import ssl
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@dataclass
class Running:
    """A proxy that listens on a loopback port."""

    port: int
    asked: list[Any] = field(default_factory=list)
    """What clients wanted: heads of CONNECT requests, or names, ports and users of SOCKS."""
    tunnels: int = 0
    """Tunnels that were opened."""

    def url(self, scheme: str = "http", userinfo: str = "") -> str:
        return f"{scheme}://{userinfo}127.0.0.1:{self.port}"


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while octets := await reader.read(65536):
            writer.write(octets)
            await writer.drain()
        if writer.can_write_eof():
            writer.write_eof()
        else:
            writer.close()
    except (ConnectionError, ssl.SSLError):
        writer.transport.abort()


async def _join(
    running: Running,
    host: str,
    port: int,
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    answer: bytes,
) -> None:
    """Connect to the server, say so, and carry octets both ways."""
    there_reader, there_writer = await asyncio.open_connection(host, port)
    running.tunnels += 1
    writer.write(answer)
    try:
        await asyncio.gather(_copy(reader, there_writer), _copy(there_reader, writer))
    finally:
        there_writer.transport.abort()


@contextlib.asynccontextmanager
async def listening(
    handler: Callable[[Running, asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]],
    tls: ssl.SSLContext | None = None,
) -> AsyncIterator[Running]:
    """Listen on a loopback port; every connection is over afterwards."""
    tasks: set[asyncio.Task[None]] = set()
    running = Running(0)

    async def accepted(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        with contextlib.suppress(
            ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError
        ):
            await handler(running, reader, writer)
        writer.transport.abort()

    server = await asyncio.start_server(accepted, "127.0.0.1", 0, ssl=tls)
    running.port = server.sockets[0].getsockname()[1]
    try:
        yield running
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)
        await server.wait_closed()


def http_proxy(
    *,
    tls: ssl.SSLContext | None = None,
    credentials: tuple[str, str] | None = None,
    answer: bytes = b"HTTP/1.1 200 Connection established\r\n\r\n",
    names: dict[str, str] | None = None,
) -> contextlib.AbstractAsyncContextManager[Running]:
    """An HTTP proxy.

    Args:
        tls: TLS with clients.
        credentials: user name and password that it wants.
        answer: what it says when the tunnel is there.
        names: addresses of host names.
    """
    expected = None
    if credentials is not None:
        expected = "Basic " + base64.b64encode(":".join(credentials).encode()).decode()

    async def handle(
        running: Running, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        running.asked.append(head)
        lines = head.split("\r\n")
        headers = dict(line.split(": ", 1) for line in lines[1:] if line)
        if headers.get("Proxy-Authorization") != expected and expected is not None:
            writer.write(
                b"HTTP/1.1 407 Proxy Authentication Required\r\n"
                b'Proxy-Authenticate: Basic realm="test"\r\nContent-Length: 3\r\n\r\nno\n'
            )
            await writer.drain()
            return
        method, target, _ = lines[0].split(" ")
        assert method == "CONNECT"
        host, _, port = target.rpartition(":")
        host = (names or {}).get(host, host.strip("[]"))
        await _join(running, host, int(port), reader, writer, answer)

    return listening(handle, tls)


def answering(octets: bytes, *, close: bool) -> contextlib.AbstractAsyncContextManager[Running]:
    """A proxy that answers every CONNECT request with ``octets`` and opens no tunnel."""

    async def handle(
        running: Running, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        running.asked.append((await reader.readuntil(b"\r\n\r\n")).decode())
        writer.write(octets)
        await writer.drain()
        if not close:
            await reader.read()

    return listening(handle)


def socks_proxy(
    *,
    credentials: tuple[str, str] | None = None,
    reply: int | None = None,
    names: dict[str, str] | None = None,
) -> contextlib.AbstractAsyncContextManager[Running]:
    """A SOCKS proxy: versions 4, 4a and 5 (RFC 1928, RFC 1929).

    Args:
        credentials: user name and password that it wants, of version 5.
        reply: what it refuses with, instead of opening a tunnel.
        names: addresses of host names.
    """

    async def five(
        running: Running, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        methods = await reader.readexactly((await reader.readexactly(1))[0])
        user = None
        if credentials is None:
            writer.write(b"\x05\x00")
        else:
            if 2 not in methods:
                writer.write(b"\x05\xff")
                return
            writer.write(b"\x05\x02")
            await reader.readexactly(1)
            given = [
                (await reader.readexactly((await reader.readexactly(1))[0])).decode()
                for _ in range(2)
            ]
            user = given[0]
            writer.write(b"\x01\x00" if tuple(given) == credentials else b"\x01\x01")
            if tuple(given) != credentials:
                return
        _, _, _, kind = await reader.readexactly(4)
        if kind == 3:
            host = (await reader.readexactly((await reader.readexactly(1))[0])).decode()
        else:
            host = str(ipaddress.ip_address(await reader.readexactly(4 if kind == 1 else 16)))
        (port,) = struct.unpack("!H", await reader.readexactly(2))
        running.asked.append((host, port, user))
        if reply is not None:
            writer.write(bytes([5, reply, 0, 1, 0, 0, 0, 0, 0, 0]))
            return
        granted = b"\x05\x00\x00\x01\x00\x00\x00\x00\x00\x00"
        await _join(running, (names or {}).get(host, host), port, reader, writer, granted)

    async def four(
        running: Running, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        _, port, address = struct.unpack("!BHI", await reader.readexactly(7))
        user = (await reader.readuntil(b"\0"))[:-1].decode() or None
        host = str(ipaddress.IPv4Address(address))
        if 0 < address < 256:
            host = (await reader.readuntil(b"\0"))[:-1].decode()
        running.asked.append((host, port, user))
        if reply is not None:
            writer.write(bytes([0, reply]) + bytes(6))
            return
        granted = b"\x00\x5a" + bytes(6)
        await _join(running, (names or {}).get(host, host), port, reader, writer, granted)

    async def handle(
        running: Running, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        version = (await reader.readexactly(1))[0]
        await (five if version == 5 else four)(running, reader, writer)
        await writer.drain()

    return listening(handle)
