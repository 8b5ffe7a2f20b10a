"""Where an application listens, and how: addresses, TLS, proxies in front, the whole life of it.

It turns options with the names of uvicorn into those of :func:`~duologue.serve`. It must never know
what is served.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import os
import socket
import ssl as ssl_module
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Sequence
from types import EllipsisType
from typing import TYPE_CHECKING, Any

from duologue.app.forwarded import TrustedProxies
from duologue.app.metrics import telling
from duologue.app.shutdown import Departure, leave
from duologue.net.activation import activated_sockets, inherited
from duologue.net.certificates import Certificate
from duologue.net.engine import Engine, use_epoll
from duologue.net.link import Link
from duologue.net.listening import somebody_listens
from duologue.net.preamble import ProxyPreambles
from duologue.server.access import ACCESS_LOGGER
from duologue.server.connection import ServerConnection
from duologue.server.exchanges import HTTPExchange
from duologue.server.serving import Server, serve

if TYPE_CHECKING:
    from duologue.app.application import App

__all__ = ["serving"]

HOST, PORT = "127.0.0.1", 8000
LOCAL = "127.0.0.1,::1,unix"
"""Proxies that are trusted by default: those on this machine, as by uvicorn."""


@contextlib.asynccontextmanager
async def serving(
    app: App,
    host: str | Sequence[str] | None = None,
    port: int | None = None,
    *,
    uds: str | os.PathLike[str] | None = None,
    fd: int | None = None,
    sock: socket.socket | Sequence[socket.socket] | None = None,
    ssl: ssl_module.SSLContext | None = None,
    ssl_certfile: str | os.PathLike[str] | None = None,
    ssl_keyfile: str | os.PathLike[str] | None = None,
    ssl_keyfile_password: str | None = None,
    ssl_ca_certs: str | os.PathLike[str] | None = None,
    ssl_cert_reqs: int | None = None,
    ssl_ciphers: str | None = None,
    ssl_reload_interval: float | None = 10.0,
    ssl_optional: bool = False,
    proxy_headers: bool = True,
    forwarded_allow_ips: str | Iterable[str] | None = None,
    proxy_protocol: bool = False,
    proxy_allow_ips: str | Iterable[str] = LOCAL,
    root_path: str = "",
    access_log: bool = True,
    server_header: bool = True,
    timeout_keep_alive: float | EllipsisType | None = ...,
    backlog: int = 2048,
    drain_timeout: float | None = 30.0,
    close_rate: float | None = 1000.0,
    retry_spread: float | None = 5.0,
    metrics: int | str | None = None,
    engine: Engine = "auto",
    listen: Callable[[Callable[[Link], None]], Awaitable[Any]] | None = None,
) -> AsyncIterator[Server]:
    """See :meth:`~duologue.App.serving`."""
    departure = Departure(close_rate, retry_spread)
    loop = asyncio.get_running_loop()
    trusted = _trusted_proxies(proxy_headers, forwarded_allow_ips)
    limits = app.limits
    if not isinstance(timeout_keep_alive, EllipsisType):
        limits = dataclasses.replace(limits, keep_alive_timeout=timeout_keep_alive)
    options: dict[str, Any] = {"engine": engine, "backlog": backlog}
    async with contextlib.AsyncExitStack() as stack:
        if ssl_certfile is not None:
            if ssl is not None:
                raise ValueError("ssl and ssl_certfile exclude each other")
            ssl = _context(ssl_ca_certs, ssl_cert_reqs, ssl_ciphers)
            certificate = Certificate(
                ssl, ssl_certfile, ssl_keyfile, ssl_keyfile_password, app.logger
            )
            if ssl_reload_interval is not None:
                stack.enter_context(_running(certificate.watch(ssl_reload_interval)))
        elif (ssl_keyfile, ssl_keyfile_password, ssl_ca_certs, ssl_cert_reqs, ssl_ciphers) != (
            (None,) * 5
        ):
            raise ValueError("options of TLS need ssl_certfile")
        if ssl is not None:
            options["ssl"] = ssl
        if ssl_optional:
            if ssl is None:
                raise ValueError("ssl_optional needs TLS: ssl or ssl_certfile")
            if not use_epoll(loop, engine):
                raise ValueError("ssl_optional needs the engine's own sockets (engine='epoll')")
            options["ssl_optional"] = True
        if proxy_protocol:
            if not use_epoll(loop, engine):
                raise ValueError("proxy_protocol needs the engine's own sockets (engine='epoll')")
            trusts = TrustedProxies(proxy_allow_ips, "proxy_allow_ips").trusts
            options["preambles"] = ProxyPreambles(loop, trusts, app.limits.open_timeout)
        # Before anybody can ask for something.
        await stack.enter_async_context(app.running())
        if listen is None:
            options |= stack.enter_context(_place(host, port, uds, fd, sock))
        _check_sockets(options, loop, engine)
        server = serve(
            _no_handler,
            respond=_respond(app, trusted, _checked(root_path)),
            limits=limits,
            server_header=app.server_header if server_header else None,
            access_logger=ACCESS_LOGGER if access_log else None,
            logger=app.logger,
            **options,
        )
        server.drain_timeout = drain_timeout
        if listen is not None:
            # Somewhere else altogether: on a network in memory, for tests.
            server.server = await listen(server.link_opened)
        await server
        app.tally.servers.append(server)
        try:
            async with _metrics(app, metrics):
                yield server
        finally:
            app.stopping = True
            await leave(server, departure, app.leaving_code)
            app.stopping = False
            app.tally.servers.remove(server)
            app.tally.lag.stop()


async def _no_handler(connection: ServerConnection) -> None:
    """Never called: exchanges run handlers themselves."""


def _respond(
    app: App, trusted: TrustedProxies | None, root_path: str
) -> Callable[[HTTPExchange], Awaitable[None]]:
    async def respond(exchange: HTTPExchange) -> None:
        exchange.root_path = root_path
        await app.handle(exchange, trusted)

    return respond


def _checked(root_path: str) -> str:
    if root_path and not root_path.startswith("/"):
        raise ValueError(f"root_path begins with a slash: {root_path!r}")
    return root_path.rstrip("/")


def _trusted_proxies(
    proxy_headers: bool, allowed: str | Iterable[str] | None
) -> TrustedProxies | None:
    if not proxy_headers:
        return None
    if allowed is None:
        allowed = os.environ.get("FORWARDED_ALLOW_IPS", LOCAL)
    return TrustedProxies(allowed)


def _context(
    ca_certs: str | os.PathLike[str] | None, cert_reqs: int | None, ciphers: str | None
) -> ssl_module.SSLContext:
    context = ssl_module.SSLContext(ssl_module.PROTOCOL_TLS_SERVER)
    context.set_alpn_protocols(["http/1.1"])
    if ca_certs is not None:
        context.load_verify_locations(os.fspath(ca_certs))
        context.verify_mode = ssl_module.CERT_REQUIRED
    if cert_reqs is not None:
        context.verify_mode = ssl_module.VerifyMode(cert_reqs)
    if ciphers is not None:
        context.set_ciphers(ciphers)
    return context


@contextlib.contextmanager
def _running(coroutine: Any) -> Iterator[None]:
    task = asyncio.get_running_loop().create_task(coroutine)
    try:
        yield
    finally:
        task.cancel()


@contextlib.asynccontextmanager
async def _metrics(app: App, metrics: int | str | None) -> AsyncIterator[None]:
    if metrics is None:
        yield
        return
    app.stats()  # which begins to watch the loop
    async with telling(metrics, lambda: {"1": dataclasses.asdict(app.stats())}) as place:
        app.logger.info("metrics at http://%s:%d/metrics", *place)
        yield


@contextlib.contextmanager
def _place(
    host: str | Sequence[str] | None,
    port: int | None,
    uds: str | os.PathLike[str] | None,
    fd: int | None,
    sock: socket.socket | Sequence[socket.socket] | None,
) -> Iterator[dict[str, Any]]:
    """Give the options that make ``serve()`` listen at a place."""
    tcp = host is not None or port is not None
    if tcp + (uds is not None) + (fd is not None) + (sock is not None) > 1:
        raise ValueError("host and port, uds, fd and sock exclude each other")
    if uds is not None:
        yield {"unix": True, "path": uds}
        _remove_socket(uds)
    elif fd is not None:
        yield {"sock": inherited(fd)}
    elif sock is not None:
        yield {"sock": sock if isinstance(sock, socket.socket) else _one_or_list(sock)}
    elif not tcp and (sockets := activated_sockets()):
        yield {"sock": _one_or_list(sockets)}
    else:
        yield {"host": HOST if host is None else host, "port": PORT if port is None else port}


def _one_or_list(sockets: Sequence[socket.socket]) -> socket.socket | list[socket.socket]:
    return sockets[0] if len(sockets) == 1 else list(sockets)


def _remove_socket(path: str | os.PathLike[str]) -> None:
    """Remove a Unix socket nobody listens on any more; another server may have taken the path."""
    if not somebody_listens(path):
        with contextlib.suppress(OSError):
            os.unlink(path)


def _check_sockets(
    options: dict[str, Any], loop: asyncio.AbstractEventLoop, engine: Engine
) -> None:
    if isinstance(options.get("sock"), list) and not use_epoll(loop, engine):
        raise ValueError("several inherited sockets need the engine's own (engine='epoll')")
