"""Links to a host, carried by the engine's own sockets or by asyncio's transports.

Both do the same three things: connect to a host, take a connected socket over, and put TLS over a
link that leads to the server through a proxy. Nothing here knows HTTP or WebSocket.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, cast

from duologue.base.types import PathLike
from duologue.net.asyncio_link import AsyncioLink
from duologue.net.dialling import dial, dial_link, dials_itself
from duologue.net.link import Link
from duologue.net.tls import dial_tls, take_tls_options

if TYPE_CHECKING:
    from duologue.net.socket_link import SocketLink
    from duologue.net.tls_link import TlsLink

Opened = Callable[[Link], None]
Options = dict[str, Any]


class EngineCarrier:
    """Links of the engine's own.

    Args:
        loop: the event loop.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop

    async def take_socket(self, sock: socket.socket, tls: Options, opened: Opened) -> Link:
        """Make a link of a connected socket; ``opened`` must give it an owner."""
        return _begin(await dial_link(self._loop, sock=sock, **tls), opened)

    async def connect_path(self, path: PathLike | None, tls: Options, opened: Opened) -> Link:
        """Connect to a Unix socket."""
        return _begin(await dial_link(self._loop, unix=True, path=path, **tls), opened)

    async def connect_host(
        self,
        host: str,
        port: int,
        options: Options,
        tls: Options,
        opened: Opened,
        connected: Callable[[], None],
    ) -> Link:
        """Connect to a host; ``options`` are those of :func:`~duologue.net.dialling.dial`.

        ``connected`` is called when the host was reached and TLS begins, if there is any.
        """
        sock = await dial(self._loop, host, port, **options)
        if tls.get("ssl"):
            connected()
        return await self.take_socket(sock, tls, opened)

    async def secure(self, link: Link, tls: Options, opened: Opened) -> Link:
        """Put TLS over a link of this carrier's that is paused."""
        session = take_tls_options(dict(tls))
        assert session is not None
        link = cast("SocketLink | TlsLink", link)
        return _begin(await dial_tls(self._loop, link, session), opened)


def _begin(link: SocketLink | TlsLink, opened: Opened) -> Link:
    """Give a link of the engine's its owner, then let it read."""
    opened(link)
    link.begin()
    return link


class AsyncioCarrier:
    """Links over asyncio's transports.

    Args:
        loop: the event loop.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop

    async def take_socket(self, sock: socket.socket, tls: Options, opened: Opened) -> Link:
        """Make a link of a connected socket; ``opened`` must give it an owner."""
        _, link = await self._loop.create_connection(lambda: AsyncioLink(opened), sock=sock, **tls)
        return link

    async def connect_path(self, path: PathLike | None, tls: Options, opened: Opened) -> Link:
        """Connect to a Unix socket."""
        _, link = await self._loop.create_unix_connection(
            lambda: AsyncioLink(opened),
            path,  # type: ignore[arg-type]
            **tls,
        )
        return link

    async def connect_host(
        self,
        host: str,
        port: int,
        options: Options,
        tls: Options,
        opened: Opened,
        connected: Callable[[], None],
    ) -> Link:
        """Connect to a host; ``options`` are those of :func:`~duologue.net.dialling.dial`.

        ``connected`` is called when the host was reached and TLS begins, if there is any.
        """
        if dials_itself(self._loop):
            _, link = await self._loop.create_connection(
                lambda: AsyncioLink(opened), host, port, **options, **tls
            )
            return link
        sock = await dial(self._loop, host, port, **options)
        if tls.get("ssl"):
            connected()
        return await self.take_socket(sock, tls, opened)

    async def secure(self, link: Link, tls: Options, opened: Opened) -> Link:
        """Put TLS over a link of this carrier's that is paused."""
        session = take_tls_options(dict(tls))
        assert session is not None and isinstance(link, AsyncioLink)
        over = AsyncioLink(opened)
        # start_tls pauses the transport before anything can be read, and resumes it.
        link.resume()
        times = {name: tls[name] for name in tls if name.endswith("_timeout")}
        try:
            transport = await self._loop.start_tls(
                link.transport,
                over,
                session.context,
                server_hostname=session.server_hostname,
                **times,
            )
        except TypeError as exc:
            # CPython before 3.11.8 and 3.12.2 trips over a failure inside TLS (gh-113214).
            if isinstance(exc.__context__, OSError):
                raise exc.__context__ from None
            raise
        if transport is None or transport.is_closing():
            # Nobody is told any more: the protocol had no owner yet.
            raise ConnectionResetError("the peer ended the connection after the TLS handshake")
        over.connection_made(transport)
        return over


Carrier = EngineCarrier | AsyncioCarrier
