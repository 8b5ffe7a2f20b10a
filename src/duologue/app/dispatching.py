"""What becomes of a request: rules, then routes, then an answer or a connection.

It must never know how routes were declared, nor what carries requests.

Invariants: no handler runs before the rules are asked; every request is answered, or its peer is
gone; what counts towards a rule is released exactly when its connection is gone.

Sources: RFC 9110 sections 9 and 15.
"""

from __future__ import annotations

import asyncio
import inspect
from types import EllipsisType
from typing import TYPE_CHECKING, Any

from duologue.app import answering
from duologue.app.errors import HTTPError
from duologue.app.forwarded import TrustedProxies
from duologue.app.guard.guard import Admission, Facts, Guard, Refusal
from duologue.app.guard.upgrade import UpgradeRequest
from duologue.app.request import Request
from duologue.app.results import as_response
from duologue.app.routes import (
    Bound,
    HTTPRoute,
    NoRoute,
    StaticRoute,
    Table,
    WebSocketRoute,
)
from duologue.app.routing import split_path
from duologue.base.exceptions import InvalidHeader, InvalidUpgrade
from duologue.protocol.handshake import offered_subprotocols
from duologue.protocol.reply import rejection
from duologue.server.connection import ServerConnection
from duologue.server.exchanges import HTTPExchange
from duologue.wire.headers import HeadersLike
from duologue.wire.response import Response

if TYPE_CHECKING:
    from duologue.app.application import App

__all__ = ["Dispatcher"]


class Dispatcher:
    """Answers the requests of an application.

    Args:
        app: the application.
        table: its routes.
        health_path: where no rule is applied.
    """

    def __init__(self, app: App, table: Table, health_path: str | None) -> None:
        self._app = app
        self._table = table
        self._health_path = health_path

    async def answer(self, exchange: HTTPExchange, proxies: TrustedProxies | None) -> None:
        """Answer one request.

        Args:
            exchange: the request and the way to its answer.
            proxies: whose headers about the client count.
        """
        request = Request(exchange, self._app)
        if proxies is not None:
            believe(proxies, request)
        if exchange.asks_upgrade:
            await self._upgrade(exchange, request)
        else:
            await self._respond(exchange, request)

    async def _admit(self, guard: Guard, request: Request) -> Admission | None:
        """Ask the rules; answer, and return ``None``, if one of them forbids the request."""
        exchange = request.exchange
        facts = Facts.of(exchange, request.host or None)
        now = asyncio.get_running_loop().time()
        outcome = guard.admit(facts, now)
        if isinstance(outcome, Refusal):
            guard.log(self._app.logger, facts, outcome, now)
            await exchange.respond(Response(outcome.body, outcome.status, outcome.headers))
            return None
        return outcome

    # -- plain HTTP

    async def _respond(self, exchange: HTTPExchange, request: Request) -> None:
        found = self._table.http(request.method, request.raw_path)
        if self._health_path is None or request.raw_path != self._health_path:
            guard = self._app.guard if isinstance(found, NoRoute) else found[0].guard
            admission = await self._admit(guard, request)
            if admission is None:
                return
            admission.release()
        if isinstance(found, NoRoute):
            await exchange.respond(_nothing(request, found))
            return
        bound, request.path_params = found
        exchange.max_body = bound.limits.max_body
        if isinstance(bound.route, HTTPRoute):
            with self._app.tally.handling():
                await _call(exchange, request, bound.route)
        elif isinstance(bound.route, StaticRoute):
            await _send_static(exchange, request, bound, bound.route)
        elif bound.host is not None:
            await bound.host(exchange)

    # -- handshakes

    async def _upgrade(self, exchange: HTTPExchange, request: Request) -> None:
        offered = offered_subprotocols(request.headers)
        found = self._table.websocket(request.raw_path, offered)
        if isinstance(found, NoRoute):
            if found.websocket:
                await self._refuse_subprotocol(request)
            else:
                # As in µWebSockets: what isn't for a WebSocket route may be for another one.
                await self._respond(exchange, request)
            return
        bound, request.path_params, subprotocol = found
        admission = await self._admit(bound.guard, request)
        if admission is None:
            return
        if bound.host is not None:
            with admission:
                await bound.host(exchange)
        elif isinstance(bound.route, WebSocketRoute):
            await Handshake(request, bound.route, bound, subprotocol, admission).run()

    async def _refuse_subprotocol(self, request: Request) -> None:
        admission = await self._admit(self._app.guard, request)
        if admission is not None:
            admission.release()
            text = "No handler is available for the given request.\n"
            await request.exchange.respond(Response(text, 404))


class Handshake:
    """A handshake that the rules have let in, up to the end of its handler.

    Args:
        request: the handshake.
        route: whose it is.
        bound: what holds for the route.
        subprotocol: which the route chose.
        admission: what it counts for.
    """

    def __init__(
        self,
        request: Request,
        route: WebSocketRoute,
        bound: Bound,
        subprotocol: str | None,
        admission: Admission,
    ) -> None:
        self._request = request
        self._route = route
        self._bound = bound
        self._subprotocol = subprotocol
        self._admission = admission
        self._opened = False

    async def run(self) -> None:
        """Decide, accept, and run the handler if it is a coroutine function."""
        try:
            connection = await self._decide()
        finally:
            if not self._opened:
                self._admission.release()
        if connection is not None and self._route.call is not None:
            await self._route.call(connection, self._request.path_params)

    async def _decide(self) -> ServerConnection | None:
        route, request = self._route, self._request
        if route.auth is None and route.on_request is None:
            return await self.accept()
        timeout = self._bound.limits.open_timeout
        upgrade = UpgradeRequest(request.exchange, request.app, self.accept, timeout)
        upgrade.host, upgrade.path_params = request.host, request.path_params
        await upgrade.run(route.on_request, route.auth)
        return upgrade.connection

    async def accept(
        self,
        subprotocol: str | EllipsisType | None = ...,
        headers: HeadersLike = (),
        user_data: Any = None,
    ) -> ServerConnection:
        """Answer with 101, as the route has it.

        Args:
            subprotocol: one that was offered, ``None`` for none, ``...`` for the route's choice.
            headers: more header fields.
            user_data: the connection's.
        """
        create = self._route.create_connection
        own: dict[str, Any] = {} if create is None else {"create_connection": create}
        connection = await self._request.exchange.accept(
            self._subprotocol if isinstance(subprotocol, EllipsisType) else subprotocol,
            headers,
            user_data,
            endpoint=self._route.endpoint,
            terms=self._bound.terms,
            prepare=self._prepare,
            # Most rules count nothing, and each attribute of a connection takes memory.
            gone=self._admission.release if self._admission.counts else None,
            **own,
        )
        # From now on the admission is released with the connection.
        self._opened = True
        self._request.app.tally.connections += 1
        return connection

    def _prepare(self, connection: ServerConnection) -> None:
        self._request.app.topics.admit(connection)
        if self._request.forwarded:
            vars(connection)["client"] = self._request.client
        if self._request.path_params:
            connection.path_params = self._request.path_params


async def _call(exchange: HTTPExchange, request: Request, route: HTTPRoute) -> None:
    try:
        value = route.call(request, request.path_params)
        if inspect.isawaitable(value):
            value = await value
        response = as_response(value)
    except HTTPError as exc:
        response = exc.response
    except InvalidHeader as exc:
        # Of an answer that it made: not the client's fault.
        raise ValueError(str(exc)) from exc
    await answering.send(exchange, response)


def _nothing(request: Request, found: NoRoute) -> Response:
    """The answer where no handler answers."""
    methods = found.methods | ({"GET"} if found.websocket else set())
    if not methods:
        if request.target == "*" and request.method == "OPTIONS":
            return answering.options(())
        return answering.not_found()
    if request.method == "OPTIONS":
        return answering.options(methods)
    if found.websocket and request.method in ("GET", "HEAD"):
        return rejection(InvalidUpgrade("Upgrade", None))
    return answering.method_not_allowed(methods)


async def _send_static(
    exchange: HTTPExchange, request: Request, bound: Bound, route: StaticRoute
) -> None:
    segments = split_path(request.raw_path) or []
    # The prefix may have parameters: the path has as many segments before the file's.
    depth = bound.pattern.removesuffix("/*").count("/")
    found = route.files.find(segments[depth:] or [""])
    if found is None:
        await exchange.respond(answering.not_found())
    elif found.slash or len(segments) == depth:
        query = f"?{request.query_string}" if request.query_string else ""
        await exchange.respond(Response.redirect(f"{request.raw_path}/{query}", 308))
    else:
        try:
            await answering.send_file(exchange, found.path, route.headers)
        except (FileNotFoundError, PermissionError):
            await exchange.respond(answering.not_found())


def believe(proxies: TrustedProxies, request: Request) -> None:
    """Put what trusted proxies say in the place of what the socket says."""
    exchange = request.exchange
    if not proxies.concern(exchange.request.headers):
        return
    if not proxies.trusts(exchange.client[0] if exchange.client and exchange.client[1] else None):
        return
    said = proxies.read(exchange.request.headers)
    if said.client is not None:
        exchange.client = said.client
        request.forwarded = True
    if said.scheme is not None:
        exchange.scheme = said.scheme
    if said.host is not None:
        request.host = said.host
