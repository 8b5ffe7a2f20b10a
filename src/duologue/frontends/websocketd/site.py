"""The web site of ``duologue run``: what answers requests and serves the WebSockets that open.

:meth:`Site.respond` is given each request; the site has the count of programs, too.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
from collections.abc import Mapping
from http import HTTPStatus

from duologue.app import answering
from duologue.asyncio.server import ServerConnection
from duologue.datastructures import Headers
from duologue.frontends.websocketd import cgi, console, deciding, environment, static
from duologue.frontends.websocketd.config import Config
from duologue.frontends.websocketd.hook import run_hook
from duologue.frontends.websocketd.log import Log
from duologue.frontends.websocketd.program import Program
from duologue.frontends.websocketd.session import Session
from duologue.frontends.websocketd.share import Shared
from duologue.frontends.websocketd.visit import Visit, wants_websocket
from duologue.frontends.websocketd.warden import Warden
from duologue.http11 import Response
from duologue.server.exchanges import HTTPExchange

__all__ = ["Site"]

LOOKUP_TIMEOUT = 5.0
"""Seconds that the search for a client's name may take."""

# Who sets these besides would contradict the handshake, which sets them itself.
_HANDSHAKE = ("connection", "upgrade", "sec-websocket-accept", "sec-websocket-extensions")


class Site:
    """All that is served.

    Args:
        config: What, and how.
        log: Of the server.
        environ: Our own environment.
    """

    def __init__(self, config: Config, log: Log, environ: Mapping[str, str] = os.environ) -> None:
        self.config = config
        self.log = log
        self.running = 0
        """Programs that run or are about to, that which all clients share left out."""
        self.warden = Warden()
        self._given = environment.passed(config.pass_env, environ)
        self._console = console.load() if config.dev_console else None
        self._shared = Shared(config, self._launch_shared, log) if config.share else None

    @property
    def full(self) -> bool:
        """Whether no further program may be started; the one that all share counts as one."""
        if self.config.max_forks is None:
            return False
        shared = self._shared is not None and self._shared.alive
        return self.running + shared >= self.config.max_forks

    # -- requests

    async def respond(self, exchange: HTTPExchange) -> None:
        """Answers a request, or serves the WebSocket that it asks for."""
        visit = _visit(exchange, self.config.tls)
        if self.config.reverse_lookup:
            visit.remote_host = await _look_up(visit.remote_address)
        # Who joins a program that runs starts none.
        joins = self._shared is not None and self._shared.alive and wants_websocket(visit.request)
        full = self.full and not joins
        decision = deciding.decide(self.config, visit, full)
        if isinstance(decision, deciding.Program):
            await self._open(exchange, visit, decision)
        elif isinstance(decision, deciding.Refusal):
            await exchange.respond(self._refuse(decision, visit))
        else:
            response = await self._answer(decision, visit, exchange)
            for name, value in (*self.config.headers, *self.config.headers_http):
                response.headers[name] = value
            await answering.send(exchange, response)

    async def _answer(
        self,
        decision: deciding.CgiScript | deciding.StaticFile | deciding.Console,
        visit: Visit,
        exchange: HTTPExchange,
    ) -> Response:
        log = self.log.about(url=visit.url)
        if isinstance(decision, deciding.Console):
            log("access", "http", "DEVCONSOLE")
            assert self._console is not None
            return self._console.answer()
        if isinstance(decision, deciding.StaticFile):
            log("access", "http", "STATIC")
            return await asyncio.to_thread(static.respond, decision.path, visit.path)
        log.known["cgiscript"] = decision.path
        log("access", "http", "CGI")
        self.running += 1
        try:
            return await cgi.run(visit, exchange.read, decision.path, self._given, log, self.warden)
        finally:
            self.running -= 1

    def _refuse(self, refusal: deciding.Refusal, visit: Visit) -> Response:
        log = self.log.about(url=visit.url)
        if refusal.status == HTTPStatus.TOO_MANY_REQUESTS:
            upgrade = wants_websocket(visit.request)
            text = "Max of possible forks already active, upgrade rejected"
            if not upgrade:
                text = "Fork not allowed since maxforks amount has been reached. CGI was not run."
            log("error", "http", text)
        if refusal.upgrade:
            log.known |= {"id": visit.id, "remote": visit.remote_host}
            more = {"command": refusal.command, "origin": refusal.origin}
            log.known |= {name: value for name, value in more.items() if value}
        for line in refusal.why:
            log("access", "session" if refusal.upgrade else "http", line)
        kind = "text/html" if refusal.status == HTTPStatus.MOVED_PERMANENTLY else "text/plain"
        headers = Headers([("Content-Type", f"{kind}; charset=utf-8"), *refusal.headers])
        if kind == "text/plain":
            headers["X-Content-Type-Options"] = "nosniff"
        if not refusal.upgrade:
            for name, value in (*self.config.headers, *self.config.headers_http):
                headers[name] = value
        phrase = HTTPStatus(refusal.status).phrase
        return Response(refusal.status, phrase, headers, refusal.body.encode())

    # -- WebSockets

    async def _open(self, exchange: HTTPExchange, visit: Visit, program: deciding.Program) -> None:
        """Open a WebSocket and serve it; its program takes a place from the start."""
        subprotocol, headers = self._added(visit)
        if self._shared is None:
            self.running += 1
        else:
            self._shared.coming += 1
        try:
            connection = await exchange.accept(subprotocol, headers)
            await self._serve(connection, visit, program)
        finally:
            if self._shared is None:
                self.running -= 1
            else:
                self._shared.coming -= 1

    def _added(self, visit: Visit) -> tuple[str | None, list[tuple[str, str]]]:
        """What the options add to a 101: a subprotocol, if it was offered, and header fields.

        A client that is told another one, or twice what the handshake says, would go away.
        """
        offered = ",".join(visit.headers.get_all("Sec-WebSocket-Protocol")).split(",")
        subprotocol, headers = None, []
        for name, value in (*self.config.headers, *self.config.headers_ws):
            if name.lower() == "sec-websocket-protocol":
                if value in (each.strip() for each in offered):
                    subprotocol = value
            elif name.lower() not in _HANDSHAKE:
                headers.append((name, value))
        return subprotocol, headers

    async def _serve(
        self, connection: ServerConnection, visit: Visit, program: deciding.Program
    ) -> None:
        log = self.log.about(
            url=visit.url,
            id=visit.id,
            remote=visit.remote_host,
            command=program.command[0],
        )
        variables = environment.variables(
            visit, program.script_name, program.path_info, self._given, strict=self.config.strict
        )
        self._show(variables, log)
        log.known["origin"] = _origin(visit)
        log("access", "session", "CONNECT")
        status: int | None = None
        try:
            if self._shared is not None:
                await self._shared.serve(connection, visit)
                return

            def launch(log: Log) -> Program:
                return self._launch(program.command, variables, log)

            status = await Session(connection, self.config, launch, log).run()
        finally:
            log("access", "session", "DISCONNECT")
            if self.config.exit_hook:
                await run_hook(self.config.exit_hook, variables, connection, status, log)

    def _show(self, variables: Mapping[str, str], log: Log) -> None:
        """Log the environment of a program."""
        if not log.shows("debug"):
            return
        for name, value in variables.items():
            kind = "Header variable" if name.startswith("HTTP_") else "Std. variable:"
            kind = "Parent envvar:" if name in self._given else kind
            log("debug", "env", f"{kind} {name}={value}")

    # -- programs

    def _launch(self, command: tuple[str, ...], variables: Mapping[str, str], log: Log) -> Program:
        return Program(command, variables, log, strict=self.config.strict, warden=self.warden)

    def _launch_shared(self, log: Log) -> Program:
        variables = {"SERVER_SOFTWARE": environment.SOFTWARE, **self._given}
        variables["GATEWAY_INTERFACE"] = "CGI/1.1"
        return self._launch(self.config.command, variables, log)

    async def close(self) -> None:
        """Ends what is left; all sessions are over by now."""
        if self._shared is not None:
            await self._shared.close()
        self.warden.close()


def _origin(visit: Visit) -> str:
    origin = visit.origin
    return "file:" if origin in (None, "", "null") else str(origin)


def _visit(exchange: HTTPExchange, tls: bool) -> Visit:
    host, port = exchange.client or ("", None)
    if port is None:
        return Visit(exchange.request, tls, "unix-socket", "")
    return Visit(exchange.request, tls, host, str(port))


async def _look_up(address: str) -> str:
    loop = asyncio.get_running_loop()
    with contextlib.suppress(OSError, TimeoutError):
        async with asyncio.timeout(LOOKUP_TIMEOUT):
            flags = socket.NI_NAMEREQD
            return (await loop.getnameinfo((address, 0), flags))[0]
    return address
