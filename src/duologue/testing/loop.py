"""The event loop on virtual time whose servers and connections live on a simulated network.

What this module must never know: WebSocket, how the network does its work.

Invariant: nothing but a socket given by the caller (``sock=``) is ever real.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Iterable
from typing import Any, Protocol, TypeVar

from .clock import PATIENCE, SETTLE, VirtualClock, VirtualEventLoop

__all__ = ["SimulatedLoop"]

P = TypeVar("P", bound=asyncio.BaseProtocol)


class Network(Protocol):
    """What the loop needs of a network."""

    def address_of(self, host: str) -> str:
        """Resolve a name."""

    async def create_connection(
        self, protocol_factory: Callable[[], P], host: str, port: int
    ) -> tuple[asyncio.Transport, P]:
        """Connect to a name."""

    async def create_unix_connection(
        self, protocol_factory: Callable[[], P], path: Any
    ) -> tuple[asyncio.Transport, P]:
        """Connect to a path."""

    async def create_server(
        self,
        protocol_factory: Callable[[], asyncio.BaseProtocol],
        host: str | Iterable[str] | None,
        port: int | None,
        *,
        start_serving: bool,
    ) -> asyncio.AbstractServer:
        """Listen at a name."""

    async def create_unix_server(
        self,
        protocol_factory: Callable[[], asyncio.BaseProtocol],
        path: Any,
        *,
        start_serving: bool,
    ) -> asyncio.AbstractServer:
        """Listen at a path."""


class SimulatedLoop(VirtualEventLoop):
    """A loop on virtual time whose servers and connections live on a simulated network.

    A real socket given with ``sock=`` is used as it is.

    Args:
        network: the network to live on.
        clock: see :class:`VirtualEventLoop`, as ``settle`` and ``patience``.
    """

    def __init__(
        self,
        network: Network,
        clock: VirtualClock | None = None,
        *,
        settle: float = SETTLE,
        patience: float = PATIENCE,
    ) -> None:
        super().__init__(clock, settle=settle, patience=patience)
        self.network = network

    async def create_connection(
        self,
        protocol_factory: Callable[[], P],
        host: str | None = None,
        port: int | None = None,
        **options: Any,
    ) -> tuple[asyncio.Transport, P]:
        """Connect over the network.

        Raises:
            ConnectionRefusedError: nobody listens there.
            ValueError: TLS was asked for, or no address was given.
        """
        if options.get("sock") is not None:
            return await super().create_connection(protocol_factory, **options)
        refuse_tls(options)
        if host is None or port is None:
            raise ValueError(f"host and port are needed to connect, got {host!r} and {port!r}")
        return await self.network.create_connection(protocol_factory, host, port)

    async def create_server(  # type: ignore[override]
        self,
        protocol_factory: Callable[[], asyncio.BaseProtocol],
        host: str | Iterable[str] | None = None,
        port: int | None = None,
        *,
        start_serving: bool = True,
        **options: Any,
    ) -> asyncio.AbstractServer:
        """Listen on the network.

        Raises:
            OSError: the address is in use.
            ValueError: TLS was asked for.
        """
        if options.get("sock") is not None:
            return await super().create_server(
                protocol_factory, start_serving=start_serving, **options
            )
        refuse_tls(options)
        return await self.network.create_server(
            protocol_factory, host, port, start_serving=start_serving
        )

    async def create_unix_connection(
        self, protocol_factory: Callable[[], P], path: Any = None, **options: Any
    ) -> tuple[asyncio.Transport, P]:
        """Connect to a path of the network; errors as :meth:`create_connection`."""
        if options.get("sock") is not None:
            return await super().create_unix_connection(protocol_factory, path, **options)
        refuse_tls(options)
        return await self.network.create_unix_connection(protocol_factory, path)

    async def create_unix_server(  # type: ignore[override]
        self,
        protocol_factory: Callable[[], asyncio.BaseProtocol],
        path: Any = None,
        *,
        start_serving: bool = True,
        **options: Any,
    ) -> asyncio.AbstractServer:
        """Listen at a path of the network; errors as :meth:`create_server`."""
        if options.get("sock") is not None:
            return await super().create_unix_server(
                protocol_factory, path, start_serving=start_serving, **options
            )
        refuse_tls(options)
        return await self.network.create_unix_server(
            protocol_factory, path, start_serving=start_serving
        )

    async def getaddrinfo(  # type: ignore[override]
        self, host: str | None, port: int | str | None, **_: Any
    ) -> list[tuple[int, int, int, str, tuple[str, int]]]:
        """Resolve a name of the network; every name exists."""
        address = self.network.address_of(host or "")
        kind = (socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "")
        return [(*kind, (address, int(port or 0)))]


def refuse_tls(options: dict[str, Any]) -> None:
    """Raise :exc:`ValueError` if options of a connection or server ask for TLS."""
    if options.get("ssl"):
        raise ValueError("the simulated network carries no TLS (ssl=); use real sockets for it")
