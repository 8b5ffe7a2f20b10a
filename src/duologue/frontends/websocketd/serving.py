"""Listening: every address that the options name, and the servers that only redirect.

:func:`run` serves until it is told to stop; then all sessions end, and their programs.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from typing import Any

from duologue.asyncio.server import Server, ServerConnection, serve
from duologue.datastructures import Headers
from duologue.frontends.unix import unix_listener
from duologue.frontends.websocketd.config import Config
from duologue.frontends.websocketd.log import Log
from duologue.frontends.websocketd.origins import split_host
from duologue.frontends.websocketd.site import Site
from duologue.frontends.websocketd.spawning import keep_descriptors
from duologue.http11 import Request, Response

__all__ = ["CannotListen", "open_servers", "run"]

HANDSHAKE_TIMEOUT = 10.0
"""Seconds for a request and its handshake."""


class CannotListen(Exception):
    """Nothing can listen there, or a certificate can't be used; the text names it."""


def _hosts(config: Config) -> tuple[str | None, ...]:
    if config.addresses:
        return tuple(address.strip("[]") for address in config.addresses)
    return (None,) if config.strict else ("127.0.0.1",)


def _shown(host: str | None) -> str:
    name = socket.gethostname() if host in (None, "") else str(host)
    return f"[{name}]" if ":" in name else name


async def open_servers(
    config: Config, site: Site, stack: contextlib.AsyncExitStack
) -> list[Server]:
    """Listens wherever the options say.

    Args:
        config: The options.
        site: What is served.
        stack: Closes the servers.

    Returns:
        The servers, those that only redirect left out.

    Raises:
        CannotListen: If that is impossible somewhere, or a certificate can't be used.
    """
    options: dict[str, Any] = {
        "respond": site.respond,
        "compression": None,
        "server_header": None,
        "max_size": config.max_size,
        "ping_interval": config.ping_interval,
        "ping_timeout": config.ping_interval,
        "open_timeout": HANDSHAKE_TIMEOUT,
    }
    if config.tls:
        options["ssl"] = _tls_context(config)
    for port in (config.port, config.redirect_port):
        if not 0 <= port <= 65535:
            raise CannotListen(f"listen on port {port}: a port is from 0 to 65535")
    servers = []
    if config.listen_tcp:
        for host in _hosts(config):
            server = await _listen(serve(_nobody, host, config.port, **options), host, config.port)
            servers.append(await stack.enter_async_context(server))
            _announce(config, site, host, server)
        for host in _hosts(config) if config.redirect_port else ():
            answer = {"process_request": _redirect(config), "server_header": None}
            redirect = serve(_nobody, host, config.redirect_port, **answer)
            server = await _listen(redirect, host, config.redirect_port)
            await stack.enter_async_context(server)
            where = f"http://{_shown(host)}:{config.redirect_port}/"
            site.log("info", "server", f"Starting redirect server   : {where}")
    if config.unix_socket is not None:
        sock = stack.enter_context(unix_listener(config.unix_socket))
        server = await _listen(serve(_nobody, sock=sock, **options), config.unix_socket, None)
        servers.append(await stack.enter_async_context(server))
        where = f"unix socket at {config.unix_socket}"
        site.log("info", "server", f"Starting WebSocket server   : {where}")
    return servers


async def _listen(server: Server, host: str | None, port: int | None) -> Server:
    try:
        return await server
    except OSError as error:
        where = host or "" if port is None else f"{host or ''}:{port}"
        raise CannotListen(f"listen on {where}: {error.strerror or error}") from error


def _tls_context(config: Config) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    what = f"certificate {config.cert} and key {config.key}"
    try:
        context.load_cert_chain(config.cert, config.key)
        if config.ca:
            what = f"authority {config.ca}"
            context.load_verify_locations(config.ca)
            context.verify_mode = ssl.CERT_REQUIRED
    except OSError as error:
        raise CannotListen(f"{what}: {error.strerror or error}") from error
    return context


def _announce(config: Config, site: Site, host: str | None, server: Server) -> None:
    port = server.sockets[0].getsockname()[1]
    secure = "s" if config.tls else ""
    where = f"{secure}://{_shown(host)}:{port}/"
    log = site.log
    if config.command or config.script_dir:
        log("info", "server", f"Starting WebSocket server   : ws{where}")
    if config.dev_console:
        log("info", "server", f"Developer console enabled   : http{where}")
    elif config.static_dir or config.cgi_dir:
        log("info", "server", f"Serving CGI or static files : http{where}")


async def _nobody(connection: ServerConnection) -> None:
    """Never called: who answers requests serves what opens."""


def _redirect(config: Config) -> Any:
    scheme = "https" if config.tls else "http"

    def process_request(connection: ServerConnection, request: Request) -> Response:
        values = request.headers.get_all("Host")
        host = split_host(values[0]) if values else None
        if host is None or not host[0]:
            return connection.respond(400, "Host is missing\n")
        location = f"{scheme}://{host[0]}:{config.port}/"
        headers = Headers([("Location", location), ("Content-Type", "text/html; charset=utf-8")])
        body = f'<a href="{location}">Moved Permanently</a>.\n\n'
        return Response(301, "Moved Permanently", headers, body.encode())

    return process_request


def _introduce(config: Config, log: Log) -> None:
    if config.command:
        program, *words = config.command
        log("info", "server", f"Serving using application   : {program} {' '.join(words)}")
    if config.script_dir:
        log("info", "server", f"Serving from directory      : {config.script_dir}")
    if config.static_dir:
        log("info", "server", f"Serving static content from : {config.static_dir}")
    if config.cgi_dir:
        log("info", "server", f"Serving CGI scripts from    : {config.cgi_dir}")
    if config.ca:
        log("info", "server", f"Mutual TLS enabled (client certificates by {config.ca})")


async def run(config: Config, log: Log, stop: asyncio.Event) -> None:
    """Serves until it is told to stop.

    Args:
        config: What, and how.
        log: Of the server.
        stop: Is set to end it; open connections are then closed with 1001.

    Raises:
        CannotListen: If nothing can listen where it was told to, or a certificate can't be used.
    """
    keep_descriptors()
    site = Site(config, log)
    _introduce(config, log)
    try:
        async with contextlib.AsyncExitStack() as stack:
            await open_servers(config, site, stack)
            await stop.wait()
    finally:
        await site.close()
