"""Listening on the engine's own sockets, behind the names of :class:`asyncio.Server`."""

from __future__ import annotations

import asyncio
import functools
import os
import socket
import stat
import sys
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from duologue.base.types import PathLike
from duologue.net.dialling import refuse_options
from duologue.net.preamble import Opened, SharedPort
from duologue.net.tls import Handshakes, TlsOptions, take_tls_options

if TYPE_CHECKING:
    from duologue.net.link import Link

BACKLOG = 100
"""Connections that wait in the kernel to be accepted, as in asyncio."""

TLS_HANDSHAKE = 0x16
"""Content type of the record that a TLS connection begins with (RFC 8446, section 5.1)."""


class Preambles(Protocol):
    """Reads the octets before a link's own, such as those of the PROXY protocol."""

    def accept(self, link: Any, opened: Callable[[Any], None]) -> None:
        """Own a link that was just accepted, and pass it on to ``opened`` afterwards."""

    def close(self) -> None:
        """Break off what is under way."""


class EngineServer:
    """What listens for the engine; the part of :class:`asyncio.Server` that servers use.

    Args:
        loop: the event loop.
        sockets: bound sockets, which become the server's.
        opened: called with each new link; must give it an owner.
        backlog: connections that wait in the kernel.
        tls: of each connection, which is then opened when its handshake is done.
        preambles: reads what comes before everything else on each connection.
        tls_optional: whether ``tls`` is only of connections that begin with a TLS record.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        sockets: Iterable[socket.socket],
        opened: Callable[[Link], None],
        backlog: int = BACKLOG,
        tls: TlsOptions | None = None,
        preambles: Preambles | None = None,
        tls_optional: bool = False,
    ) -> None:
        # Compiled on Linux only.
        from duologue.net.listener import Listener

        self._loop = loop
        self._sockets = list(sockets)
        self._handshakes = None if tls is None else Handshakes(loop, tls, opened)
        accept: Opened = opened if self._handshakes is None else self._handshakes.accept
        self._shared = None
        if tls is not None and tls_optional:
            choose = functools.partial(_with_or_without_tls, accept, opened)
            self._shared = SharedPort(loop, choose, tls.handshake_timeout)
            accept = self._shared.accept
        self._preambles = preambles
        if preambles is not None:
            accept = functools.partial(preambles.accept, opened=accept)
        self._listeners = [Listener(loop, sock, accept) for sock in self._sockets]
        self._backlog = backlog
        self._serving = False

    @property
    def sockets(self) -> tuple[socket.socket, ...]:
        """Sockets that the server listens on; none once it is closed."""
        return tuple(self._sockets)

    def get_loop(self) -> asyncio.AbstractEventLoop:
        """The event loop that the server belongs to."""
        return self._loop

    def is_serving(self) -> bool:
        """Whether connections are accepted."""
        return self._serving

    async def start_serving(self) -> None:
        """Begin to accept connections; again changes nothing."""
        if self._serving or not self._sockets:
            return
        self._serving = True
        for sock, listener in zip(self._sockets, self._listeners, strict=True):
            sock.listen(self._backlog)
            listener.start()

    def close(self) -> None:
        """Stop listening; connections live on, TLS handshakes under way don't."""
        self._serving = False
        for listener in self._listeners:
            listener.close()
        for sock in self._sockets:
            sock.close()
        self._sockets = []
        if self._preambles is not None:
            self._preambles.close()
        if self._shared is not None:
            self._shared.close()
        if self._handshakes is not None:
            self._handshakes.close()

    async def wait_closed(self) -> None:
        """Return; connections are not the server's to wait for."""


def _with_or_without_tls(tls: Opened, plain: Opened, octets: bytes) -> Opened:
    return tls if octets[0] == TLS_HANDSHAKE else plain


async def bind(
    loop: asyncio.AbstractEventLoop,
    host: str | Sequence[str] | None,
    port: int | None,
    *,
    family: int = socket.AF_UNSPEC,
    flags: int = socket.AI_PASSIVE,
    reuse_address: bool | None = None,
    reuse_port: bool | None = None,
) -> list[socket.socket]:
    """Bind TCP sockets as :meth:`asyncio.loop.create_server` does.

    Args:
        loop: resolves names.
        host: interface, several, or ``None`` and ``""`` for all.
        port: TCP port, 0 or ``None`` for one that is free.
        family: address family, any by default.
        flags: for ``getaddrinfo``.
        reuse_address: default true where that is safe.
        reuse_port: let several sockets share the port.

    Returns:
        Bound sockets, not listening yet.

    Raises:
        OSError: If a name can't be resolved or an address can't be bound to.
    """
    hosts: list[str | None]
    if host is None or host == "":
        hosts = [None]
    elif isinstance(host, str):
        hosts = [host]
    else:
        hosts = list(host)
    found = await asyncio.gather(
        *(
            loop.getaddrinfo(each, port or 0, family=family, type=socket.SOCK_STREAM, flags=flags)
            for each in hosts
        )
    )
    addresses = list(dict.fromkeys(address for each in found for address in each))
    sockets: list[socket.socket] = []
    try:
        for kind, type_, proto, _, address in addresses:
            try:
                sock = socket.socket(kind, type_, proto)
            except OSError:
                # The resolver knows an address family that this machine doesn't have.
                continue
            sockets.append(sock)
            sock.setblocking(False)
            if reuse_address or (reuse_address is None and sys.platform != "win32"):
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if reuse_port:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            if kind == socket.AF_INET6:
                sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            try:
                sock.bind(address)
            except OSError as exc:
                name = "{} port {}".format(*address[:2])
                raise OSError(exc.errno, f"cannot listen on {name}: {exc.strerror}") from None
    except BaseException:
        for sock in sockets:
            sock.close()
        raise
    if not sockets:
        raise OSError(f"no address to listen on for {host!r}")
    return sockets


def somebody_listens(path: PathLike) -> bool:
    """Whether a Unix socket is in use; what can't be found out counts as if it were."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        # So that a full backlog isn't waited for.
        probe.setblocking(False)
        try:
            probe.connect(os.fspath(path))
        except ConnectionRefusedError:
            return False
        except OSError:
            pass
    return True


def bind_unix(path: PathLike) -> socket.socket:
    """Bind a Unix socket, in place of one that was left behind; never of one that is in use.

    Args:
        path: in the file system.

    Returns:
        The bound socket, not listening yet.

    Raises:
        OSError: If the path can't be bound to.
    """
    path = os.fspath(path)
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    sock.setblocking(False)
    try:
        if os.fsencode(path)[:1] != b"\0":
            try:
                if stat.S_ISSOCK(os.stat(path).st_mode) and not somebody_listens(path):
                    os.remove(path)
            except FileNotFoundError:
                pass
        sock.bind(path)
    except OSError as exc:
        sock.close()
        why = exc.strerror or str(exc)
        raise OSError(exc.errno, f"cannot listen on {os.fsdecode(path)}: {why}") from None
    return sock


async def listen(
    loop: asyncio.AbstractEventLoop,
    opened: Callable[[Link], None],
    host: str | Sequence[str] | None,
    port: int | None,
    *,
    sock: socket.socket | Sequence[socket.socket] | None = None,
    unix: bool = False,
    path: PathLike | None = None,
    backlog: int = BACKLOG,
    start_serving: bool = True,
    preambles: Preambles | None = None,
    ssl_optional: bool = False,
    **options: Any,
) -> EngineServer:
    """Listen on the engine's own sockets; options are those of asyncio's ``create_server``.

    Args:
        loop: the event loop.
        opened: called with each new link; must give it an owner.
        host: see :func:`bind`.
        port: see :func:`bind`.
        sock: a bound socket to listen on instead, or several.
        unix: whether to listen on a Unix socket at ``path``.
        path: of the Unix socket.
        backlog: connections that wait in the kernel to be accepted.
        start_serving: ``False`` to bind only.
        preambles: reads what comes before everything else on each connection.
        ssl_optional: with ``ssl``, whether connections without TLS are welcome on the same port.
            Clients must speak first, as they do in HTTP.
        **options: see :func:`bind` and :func:`~duologue.net.tls.take_tls_options`.

    Returns:
        The server.

    Raises:
        OSError: If an address can't be listened on.
        ValueError: If ``sock`` is combined with an address, or an option can't have its value.
        TypeError: If an option isn't known or has the wrong type.
    """
    tls = take_tls_options(options, server_side=True)
    if ssl_optional and tls is None:
        raise ValueError("ssl_optional is only meaningful with ssl")
    if sock is not None:
        if host is not None or port is not None or path is not None:
            raise ValueError("sock can not be combined with host, port or path")
        refuse_options(options)
        sockets = [sock] if isinstance(sock, socket.socket) else list(sock)
        for each in sockets:
            each.setblocking(False)
    elif unix:
        if path is None:
            raise ValueError("path was not specified, and no sock specified")
        refuse_options(options)
        sockets = [bind_unix(path)]
    else:
        sockets = await bind(loop, host, port, **options)
    server = EngineServer(loop, sockets, opened, backlog, tls, preambles, ssl_optional)
    if start_serving:
        try:
            await server.start_serving()
        except BaseException:
            server.close()
            raise
    return server
