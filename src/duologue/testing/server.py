"""Servers of the simulated network: :class:`asyncio.Server` as documented, without a socket.

What this module must never know: how a server is found, WebSocket.

Invariants: a closed server accepts nothing; ``wait_closed`` returns after the last connection's
``connection_lost`` has been called.
"""

from __future__ import annotations

import asyncio
import errno
import socket
from collections.abc import Callable
from typing import Any

from .link import SimulatedLink
from .transport import SimulatedTransport

__all__ = ["Address", "SimulatedServer", "SimulatedSocket"]

Address = tuple[str, int] | str


class SimulatedSocket:
    """What ``get_extra_info("socket")`` and ``server.sockets`` give: addresses, but no file."""

    def __init__(self, name: Address, peer: Address | None) -> None:
        self.family = socket.AddressFamily.AF_INET
        if isinstance(name, str):
            self.family = getattr(socket.AddressFamily, "AF_UNIX", self.family)
        self.type = socket.SocketKind.SOCK_STREAM
        self.proto = 0 if isinstance(name, str) else socket.IPPROTO_TCP
        self._name = name
        self._peer = peer
        self._options: dict[tuple[int, int], int] = {}

    def __repr__(self) -> str:
        return f"<SimulatedSocket {self._name} -> {self._peer}>"

    def getsockname(self) -> Address:
        """Return the address of this end."""
        return self._name

    def getpeername(self) -> Address:
        """Return the address of the other end.

        Raises:
            OSError: the socket listens.
        """
        if self._peer is None:
            raise OSError(errno.ENOTCONN, "Socket is not connected")
        return self._peer

    def fileno(self) -> int:
        """Return -1: there is no file."""
        return -1

    def setsockopt(self, level: int, option: int, value: int) -> None:
        """Remember an option, to no other effect."""
        self._options[level, option] = value

    def getsockopt(self, level: int, option: int, length: int = 0) -> int:
        """Return an option that was set, else 0.

        Raises:
            OSError: octets are asked for (``length``), which no option here has.
        """
        if length:
            raise OSError(errno.ENOPROTOOPT, "Protocol not available")
        return self._options.get((level, option), 0)


class SimulatedServer(asyncio.AbstractServer):
    """A listening server of a :class:`SimulatedNetwork`, used as :class:`asyncio.Server` is."""

    def __init__(
        self,
        on_close: Callable[[], None],
        loop: asyncio.AbstractEventLoop,
        factory: Callable[[], asyncio.BaseProtocol],
        addresses: list[Address],
    ) -> None:
        self._on_close = on_close
        self._loop = loop
        self._factory = factory
        self._addresses = addresses
        self._serving = False
        self._closed = False
        self._transports: dict[SimulatedTransport, None] = {}  # in the order of their coming
        self._waiters: list[asyncio.Future[None]] = []
        self._forever: asyncio.Future[None] | None = None

    @property
    def sockets(self) -> tuple[SimulatedSocket, ...]:
        """The listening sockets; empty once closed."""
        return () if self._closed else tuple(SimulatedSocket(a, None) for a in self._addresses)

    def get_loop(self) -> asyncio.AbstractEventLoop:
        """Return the loop the server lives on."""
        return self._loop

    def is_serving(self) -> bool:
        """Say whether connections are accepted."""
        return self._serving

    async def start_serving(self) -> None:
        """Begin to accept connections; may be called twice.

        Raises:
            RuntimeError: the server is closed.
        """
        self.open()

    def open(self) -> None:
        """Begin to accept connections, as :meth:`start_serving` does without a coroutine.

        Raises:
            RuntimeError: the server is closed.
        """
        if self._closed:
            raise RuntimeError(f"server {self!r} is closed")
        self._serving = True

    async def serve_forever(self) -> None:
        """Accept connections until cancelled, which closes the server.

        Raises:
            RuntimeError: the server is closed, or another call is running.
        """
        if self._forever is not None:
            raise RuntimeError(f"server {self!r} is already being awaited on serve_forever()")
        await self.start_serving()
        self._forever = self._loop.create_future()
        try:
            await self._forever
        finally:
            self._forever = None
            self.close()
            await self.wait_closed()

    def close(self) -> None:
        """Accept no more connections; those that stand live on. May be called twice."""
        if self._closed:
            return
        self._closed = True
        self._serving = False
        self._on_close()
        if self._forever is not None and not self._forever.done():
            self._forever.cancel()
        self._wake_waiters()

    def close_clients(self) -> None:
        """Close the transports of all connections."""
        for transport in list(self._transports):
            transport.close()

    def abort_clients(self) -> None:
        """Abort the transports of all connections."""
        for transport in list(self._transports):
            transport.abort()

    async def wait_closed(self) -> None:
        """Wait until the server is closed and its last connection has ended."""
        if self._closed and not self._transports:
            return
        waiter = self._loop.create_future()
        self._waiters.append(waiter)
        await waiter

    def _wake_waiters(self) -> None:
        if self._transports:
            return
        waiters, self._waiters = self._waiters, []
        for waiter in waiters:
            if not waiter.done():
                waiter.set_result(None)

    def accept(self, link: SimulatedLink, extra: dict[str, Any]) -> SimulatedTransport:
        """Make the server's end of a new connection; the network calls it.

        Raises:
            ConnectionResetError: the protocol factory failed; the loop's exception handler knows.
        """
        try:
            protocol = self._factory()
        except Exception as exc:
            context = {"message": "protocol factory of a server failed", "exception": exc}
            self._loop.call_exception_handler(context)
            reset = ConnectionResetError(errno.ECONNRESET, "Connection reset by peer")
            raise reset from None
        transport = SimulatedTransport(
            self._loop, protocol, link.to_server, link.to_client, extra, on_lost=self._lost
        )
        self._transports[transport] = None
        return transport

    def _lost(self, transport: SimulatedTransport) -> None:
        del self._transports[transport]
        if self._closed:
            self._wake_waiters()
