"""Connecting to a host by name: all its addresses, the quickest wins (RFC 8305, Happy Eyeballs)."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from duologue.base.types import PathLike
from duologue.net.tls import dial_tls, take_tls_options

if TYPE_CHECKING:
    from duologue.net.socket_link import SocketLink
    from duologue.net.tls_link import TlsLink

Address = tuple[int, int, int, str, Any]

ATTEMPT_DELAY = 0.25
"""Seconds before the next address is tried beside one that hasn't answered (RFC 8305 section 8)."""


def dials_itself(loop: asyncio.AbstractEventLoop) -> bool:
    """Whether a loop connects in a way of its own, over a simulated network, say.

    asyncio's and uvloop's only offer sockets, which :func:`dial` makes the same with both.
    """
    made = getattr(type(loop), "create_connection", None)
    return not (
        made is asyncio.BaseEventLoop.create_connection
        or type(loop).__module__.partition(".")[0] == "uvloop"
    )


def interleave(addresses: Sequence[Address], first: int = 1) -> list[Address]:
    """Order addresses so that families take turns, beginning with the resolver's first choice.

    Args:
        addresses: as the resolver ordered them.
        first: how many addresses of the first family begin.
    """
    families: dict[int, list[Address]] = {}
    for address in addresses:
        families.setdefault(address[0], []).append(address)
    mixed: list[Address] = []
    if families:
        favourites = families[addresses[0][0]]
        mixed += favourites[: first - 1]
        del favourites[: first - 1]
        if not favourites:
            del families[addresses[0][0]]
    while families:
        for family in list(families):
            mixed.append(families[family].pop(0))
            if not families[family]:
                del families[family]
    return mixed


def _literal(host: str, port: int, family: int, proto: int) -> list[Address]:
    """What a resolver would say of an address, which needs no thread to ask one in."""
    if proto not in (0, socket.IPPROTO_TCP) or not isinstance(port, int):
        return []
    for kind, address in (
        (socket.AF_INET, (host, port)),
        (socket.AF_INET6, (host, port, 0, 0)),
    ):
        if family not in (0, kind):
            continue
        try:
            socket.inet_pton(kind, host)
        except (OSError, ValueError):
            continue
        return [(kind, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", address)]
    return []


async def _attempt(
    loop: asyncio.AbstractEventLoop, address: Address, local: Sequence[Address]
) -> socket.socket:
    """Connect to one address."""
    family, kind, proto, _, target = address
    sock = socket.socket(family, kind, proto)
    try:
        sock.setblocking(False)
        if local:
            _bind(sock, [each for each in local if each[0] == family])
        await loop.sock_connect(sock, target)
    except BaseException:
        sock.close()
        raise
    return sock


def _bind(sock: socket.socket, local: Sequence[Address]) -> None:
    failure = OSError("local_addr has no address of the family to connect to")
    for address in local:
        try:
            sock.bind(address[4])
            return
        except OSError as exc:
            failure = exc
    raise failure


async def dial(
    loop: asyncio.AbstractEventLoop,
    host: str,
    port: int,
    *,
    family: int = 0,
    proto: int = 0,
    flags: int = 0,
    local_addr: tuple[str, int] | None = None,
    happy_eyeballs_delay: float | None = ATTEMPT_DELAY,
    interleave: int | None = 1,
    all_errors: bool = False,
) -> socket.socket:
    """Connect a TCP socket; options are those of asyncio's ``create_connection``.

    Args:
        loop: resolves names and connects.
        host: name or address.
        port: TCP port.
        family: address family, any by default.
        proto: for ``getaddrinfo``.
        flags: for ``getaddrinfo``.
        local_addr: local host and port to connect from.
        happy_eyeballs_delay: seconds before the next address is tried beside one that hasn't
            answered; ``None`` waits until it has failed.
        interleave: how many addresses of the resolver's first family come before the families
            take turns; 0 or ``None`` leaves the resolver's order.
        all_errors: raise an :exc:`ExceptionGroup` of all failures.

    Returns:
        A connected, non-blocking socket with Nagle's algorithm off.

    Raises:
        socket.gaierror: If the name can't be resolved; names it.
        OSError: If no address can be connected to; of several failures the last one, naming all.
    """
    resolve = loop.getaddrinfo
    wanted: dict[str, Any] = {
        "family": family,
        "type": socket.SOCK_STREAM,
        "proto": proto,
        "flags": flags,
    }
    addresses: list[Address]
    try:
        addresses = _literal(host, port, family, proto) or list(await resolve(host, port, **wanted))
    except socket.gaierror as exc:
        # Its own text doesn't say which name it was.
        raise socket.gaierror(exc.errno, f"{exc.strerror}: {host}") from None
    local: Sequence[Address] = ()
    if local_addr is not None:
        local = await resolve(*local_addr, **wanted)
    if not addresses:
        raise OSError(f"getaddrinfo({host!r}) returned no addresses")
    if interleave:
        addresses = _interleave(addresses, interleave)
    try:
        sock = await _race(loop, addresses, local, happy_eyeballs_delay)
    except ExceptionGroup as failures:
        if all_errors:
            raise
        raise _combined(failures.exceptions) from None
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return sock


# Within dial() the name is the option's, as asyncio has it.
_interleave = interleave


def _combined(failures: Sequence[Exception]) -> Exception:
    """One exception that tells all failures."""
    last = failures[-1]
    if len(failures) == 1 or not isinstance(last, OSError):
        return last
    return OSError(last.errno, "; ".join(str(failure) for failure in failures))


async def _race(
    loop: asyncio.AbstractEventLoop,
    addresses: list[Address],
    local: Sequence[Address],
    delay: float | None,
) -> socket.socket:
    """Try addresses, each a little later than the one before or when that fails."""
    nobody = "no address could be connected to"
    if len(addresses) == 1:
        try:
            return await _attempt(loop, addresses[0], local)
        except Exception as exc:
            raise ExceptionGroup(nobody, [exc]) from None
    waiting = list(addresses)
    running: set[asyncio.Task[socket.socket]] = set()
    losers: set[asyncio.Task[socket.socket]] = set()
    failures: list[Exception] = []
    try:
        while waiting or running:
            if waiting:
                task = loop.create_task(_attempt(loop, waiting.pop(0), local))
                running.add(task)
                losers.add(task)
            done, running = await asyncio.wait(
                running,
                timeout=delay if waiting else None,
                return_when=asyncio.FIRST_COMPLETED,
            )
            for task in done:
                failure = task.exception()
                if failure is None:
                    losers.discard(task)
                    return task.result()
                if not isinstance(failure, Exception):
                    raise failure
                failures.append(failure)
    finally:
        for task in losers:
            task.cancel()
            task.add_done_callback(_close_result)
    raise ExceptionGroup(nobody, failures)


def refuse_options(options: dict[str, Any]) -> None:
    """Raise :exc:`TypeError` for options that mean nothing to a socket or a path."""
    for name in options:
        raise TypeError(f"unexpected option {name!r}")


async def dial_link(
    loop: asyncio.AbstractEventLoop,
    *,
    sock: socket.socket | None = None,
    unix: bool = False,
    path: PathLike | None = None,
    host: str = "",
    port: int = 0,
    **options: Any,
) -> SocketLink | TlsLink:
    """Connect a link of the engine's own.

    Args:
        loop: the event loop.
        sock: a connected socket to take over instead of connecting one.
        unix: whether to connect to the Unix socket at ``path``.
        path: of a Unix socket.
        host: see :func:`dial`.
        port: see :func:`dial`.
        **options: see :func:`dial` and :func:`~duologue.net.tls.take_tls_options`.

    Returns:
        A link that begins to read when told to.

    Raises:
        OSError: If the connection can't be made.
        ssl.SSLError: If the TLS handshake fails.
        ValueError: If an option can't have its value.
        TypeError: If an option isn't known or has the wrong type.
    """
    # Compiled on Linux only.
    from duologue.net.socket_link import SocketLink

    tls = take_tls_options(options)
    if sock is not None or unix:
        refuse_options(options)
    if sock is not None:
        sock.setblocking(False)
    elif unix:
        sock = await _dial_unix(loop, path)
    else:
        sock = await dial(loop, host, port, **options)
    link = SocketLink(loop, sock)
    return link if tls is None else await dial_tls(loop, link, tls)


async def _dial_unix(loop: asyncio.AbstractEventLoop, path: PathLike | None) -> socket.socket:
    if path is None:
        raise ValueError("no path and sock were specified")
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        sock.setblocking(False)
        await loop.sock_connect(sock, os.fspath(path))
    except BaseException:
        sock.close()
        raise
    return sock


def _close_result(task: asyncio.Task[socket.socket]) -> None:
    """Close a socket that connected although another was quicker."""
    if not task.cancelled() and task.exception() is None:
        task.result().close()
