"""What tests of TLS links share: certificates, and a far end whose records are made by hand."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any

import trustme

from duologue.net.socket_link import SocketLink
from duologue.net.tls_link import TlsLink

from .rig import Owner, tcp_pair

NAME = "server.test"


@cache
def authority() -> trustme.CA:
    return trustme.CA()


def server_context() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority().issue_cert(NAME).configure_cert(context)
    return context


def client_context() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    authority().configure_trust(context)
    return context


class FarEnd:
    """The other end of a TLS link: what it sends and when is the test's to say."""

    def __init__(self, sock: socket.socket, context: ssl.SSLContext, server_side: bool) -> None:
        self.sock = sock
        self.loop = asyncio.get_running_loop()
        self.incoming = ssl.MemoryBIO()
        self.outgoing = ssl.MemoryBIO()
        self.tls = context.wrap_bio(
            self.incoming,
            self.outgoing,
            server_side=server_side,
            server_hostname=None if server_side else NAME,
        )

    async def _do(self, action: Callable[[], Any]) -> Any:
        while True:
            try:
                result = action()
            except ssl.SSLWantReadError:
                await self.flush()
                octets = await self.loop.sock_recv(self.sock, 1 << 16)
                if octets:
                    self.incoming.write(octets)
                else:
                    self.incoming.write_eof()
            else:
                await self.flush()
                return result

    async def flush(self) -> None:
        if self.outgoing.pending:
            await self.loop.sock_sendall(self.sock, self.outgoing.read())

    async def handshake(self) -> None:
        await self._do(self.tls.do_handshake)

    def records(self, *pieces: bytes) -> bytes:
        """Each piece in records of its own."""
        for piece in pieces:
            view = memoryview(piece)
            while view:
                view = view[self.tls.write(view) :]
        return self.outgoing.read()

    async def send(self, *pieces: bytes) -> None:
        await self.loop.sock_sendall(self.sock, self.records(*pieces))

    async def read(self, octets: int) -> bytes:
        """Read so many octets, or all that come before the close_notify."""
        got = bytearray()
        while len(got) < octets and (piece := await self._do(lambda: self.tls.read(1 << 16))):
            got += piece
        return bytes(got)

    def close_notify(self) -> bytes:
        with contextlib.suppress(ssl.SSLError):
            self.tls.unwrap()
        return self.outgoing.read()


class Session:
    """A TLS link, its owner and its far end; closed again on leaving."""

    def __init__(
        self,
        *,
        server_side: bool = True,
        kind: int = socket.AF_UNIX,
        ours: ssl.SSLContext | None = None,
        theirs: ssl.SSLContext | None = None,
        hostname: str | None = NAME,
        handshake_timeout: float = 30.0,
        shutdown_timeout: float = 30.0,
        attach: bool = True,
        **on: Callable[..., object],
    ) -> None:
        near, far = tcp_pair() if kind == socket.AF_INET else socket.socketpair()
        near.setblocking(False)
        far.setblocking(False)
        self.sock = far
        self.attach = attach
        self.owner = Owner(**on)
        self.failure: list[Exception] = []
        self.opened: list[TlsLink] = []
        self.inner = SocketLink(asyncio.get_running_loop(), near)
        self.link = TlsLink(
            asyncio.get_running_loop(),
            self.inner,
            ours or (server_context() if server_side else client_context()),
            self._opened,
            self._failed,
            server_side=server_side,
            server_hostname=None if server_side else hostname,
            handshake_timeout=handshake_timeout,
            shutdown_timeout=shutdown_timeout,
        )
        self.far = FarEnd(
            far, theirs or (client_context() if server_side else server_context()), not server_side
        )

    def _opened(self, link: TlsLink) -> None:
        self.opened.append(link)
        if self.attach:
            link.attach(self.owner)
        self.owner.changed.set()

    def _failed(self, exc: Exception) -> None:
        self.failure.append(exc)
        self.owner.changed.set()

    async def open(self) -> None:
        self.inner.begin()
        await self.far.handshake()
        await self.owner.until(lambda: self.opened)

    async def failed(self) -> Exception:
        await self.owner.until(lambda: self.failure)
        assert not self.opened
        (failure,) = self.failure
        return failure

    def close(self) -> None:
        self.sock.close()
        self.link.abort_link()


@contextlib.contextmanager
def session(**options: Any) -> Iterator[Session]:
    made = Session(**options)
    try:
        yield made
    finally:
        made.close()
