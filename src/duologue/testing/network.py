"""A network in memory: names, servers and connections, with trouble made on purpose.

Give its loop to :class:`asyncio.Runner` and a program that serves and connects by name runs on it
unchanged, in virtual time, with every delay, split, stall and cut repeated by the same seed::

    network = SimulatedNetwork(seed=7, delay=0.05, split=(1, 7))
    with asyncio.Runner(loop_factory=network.loop_factory) as runner:
        runner.run(main())    # serve(handler, "server.test", 80), connect("ws://server.test/")

What this module is: the counterparts of ``loop.create_server`` and ``loop.create_connection``,
their Unix forms and ``loop.getaddrinfo``. What it must never know: WebSocket, TLS (which needs
real sockets; asking for it is an error).

Invariants: a name has one address for the network's life; the first name gets 10.0.0.2, the next
10.0.0.3 and so on, clients are 10.0.0.1; nothing touches a real socket.
"""

from __future__ import annotations

import asyncio
import errno
import functools
import ipaddress
import random
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

from .conditions import Conditions
from .link import SimulatedLink
from .loop import SimulatedLoop
from .server import Address, SimulatedServer, SimulatedSocket
from .transport import SimulatedTransport

__all__ = ["SimulatedNetwork"]

CLIENT_ADDRESS = "10.0.0.1"
EVERY_ADDRESS = "0.0.0.0"
EPHEMERAL_PORT = 49_152  # RFC 6335, section 6

P = TypeVar("P", bound=asyncio.BaseProtocol)


class SimulatedNetwork:
    """Servers and clients that find each other by name, in memory.

    Args:
        seed: where all chance comes from; the same seed gives the same run.
        conditions: fields of :class:`~duologue.testing.Conditions` for new connections.

    Attributes:
        conditions: what new connections get; may be replaced at any time.
        links: every connection so far, oldest first; turn them to make trouble.

    Raises:
        ValueError: a condition is out of its range.
    """

    def __init__(self, seed: int = 0, **conditions: Any) -> None:
        self.conditions = Conditions(**conditions)
        self.links: list[SimulatedLink] = []
        self._chance = random.Random(seed)
        self._servers: dict[Address, SimulatedServer] = {}
        self._addresses: dict[str, str] = {"localhost": "127.0.0.1"}
        self._silent: set[str] = set()
        self._next_port = EPHEMERAL_PORT

    def loop_factory(self) -> SimulatedLoop:
        """Return a fresh event loop on virtual time, connected to this network."""
        return SimulatedLoop(self)

    def address_of(self, host: str) -> str:
        """Return the address of a name, giving it one when it is new.

        An address names itself; the empty name is every address.
        """
        if not host:
            return EVERY_ADDRESS
        name = host.strip("[]").lower().rstrip(".")
        try:
            return str(ipaddress.ip_address(name))
        except ValueError:
            free = ipaddress.IPv4Address(CLIENT_ADDRESS) + len(self._addresses)
            return self._addresses.setdefault(name, str(free))

    def silence(self, host: str) -> None:
        """Make a host swallow every attempt to connect, as a firewall does that drops packets."""
        self._silent.add(self.address_of(host))

    async def create_server(
        self,
        protocol_factory: Callable[[], asyncio.BaseProtocol],
        host: str | Iterable[str] | None = None,
        port: int | None = None,
        *,
        start_serving: bool = True,
    ) -> SimulatedServer:
        """Listen, as :meth:`asyncio.loop.create_server` does.

        Args:
            protocol_factory: called for each connection.
            host: a name or an address, or several; ``None`` and ``""`` mean every name.
            port: ``None`` and 0 mean a free port, starting from 49152.
            start_serving: whether to accept at once.

        Raises:
            OSError: the address is in use.
        """
        hosts = [host] if isinstance(host, str) else list(host or [""])
        port = port or self._free_port()
        addresses: list[Address] = [(self.address_of(name), port) for name in hosts]
        return self._listen(protocol_factory, addresses, start_serving)

    async def create_unix_server(
        self,
        protocol_factory: Callable[[], asyncio.BaseProtocol],
        path: Any,
        *,
        start_serving: bool = True,
    ) -> SimulatedServer:
        """Listen at a path, as :meth:`asyncio.loop.create_unix_server` does."""
        return self._listen(protocol_factory, [str(path)], start_serving)

    async def create_connection(
        self, protocol_factory: Callable[[], P], host: str, port: int
    ) -> tuple[SimulatedTransport, P]:
        """Connect, as :meth:`asyncio.loop.create_connection` does; it takes one round trip.

        Raises:
            ConnectionRefusedError: nobody listens there.
        ConnectionResetError: the server's protocol factory failed.
        """
        address = self.address_of(host)
        here = (CLIENT_ADDRESS, self._free_port())
        if address in self._silent:
            await asyncio.get_running_loop().create_future()
        return await self._connect(protocol_factory, (address, port), here)

    async def create_unix_connection(
        self, protocol_factory: Callable[[], P], path: Any
    ) -> tuple[SimulatedTransport, P]:
        """Connect to a path, as :meth:`asyncio.loop.create_unix_connection` does.

        Raises:
            ConnectionRefusedError: nobody listens there.
        """
        return await self._connect(protocol_factory, str(path), "")

    def _free_port(self) -> int:
        self._next_port += 1
        return self._next_port - 1

    def _listen(
        self,
        factory: Callable[[], asyncio.BaseProtocol],
        addresses: list[Address],
        start_serving: bool,
    ) -> SimulatedServer:
        forget = functools.partial(self._forget_server, addresses)
        server = SimulatedServer(forget, asyncio.get_running_loop(), factory, addresses)
        for address in addresses:
            if address in self._servers:
                raise OSError(errno.EADDRINUSE, f"address {address} is already in use")
        self._servers.update(dict.fromkeys(addresses, server))
        if start_serving:
            server.open()
        return server

    def _forget_server(self, addresses: list[Address]) -> None:
        for address in addresses:
            del self._servers[address]

    def _find_server(self, address: Address) -> SimulatedServer | None:
        server = self._servers.get(address)
        if server is None and not isinstance(address, str):
            server = self._servers.get((EVERY_ADDRESS, address[1]))
        return server if server is not None and server.is_serving() else None

    async def _connect(
        self, factory: Callable[[], P], address: Address, here: Address
    ) -> tuple[SimulatedTransport, P]:
        loop = asyncio.get_running_loop()
        link = SimulatedLink(loop, self._chance, self.conditions)
        await asyncio.sleep(self._one_way())
        server = self._find_server(address)
        if server is None:
            await asyncio.sleep(self._one_way())
            raise ConnectionRefusedError(errno.ECONNREFUSED, f"nobody listens at {address}")
        there = server.accept(link, self._extra(address, here))
        transport = SimulatedTransport(
            loop, asyncio.Protocol(), link.to_client, link.to_server, self._extra(here, address)
        )
        link.join(client=transport, server=there)
        self.links.append(link)
        loop.call_soon(there.start)
        try:
            await asyncio.sleep(self._one_way())
        except asyncio.CancelledError:
            transport.abort()
            raise
        protocol = factory()
        transport.set_protocol(protocol)
        transport.start()
        return transport, protocol

    def _one_way(self) -> float:
        delay = self.conditions.delay
        return delay if not isinstance(delay, tuple) else self._chance.uniform(*delay)

    def _extra(self, name: Address, peer: Address) -> dict[str, Any]:
        return {"sockname": name, "peername": peer, "socket": SimulatedSocket(name, peer)}
