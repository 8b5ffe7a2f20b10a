"""Routes: what an application has declared, and the table in which a request finds its own.

Pure but for what routes hold. The table must never run anything.

Precedence is µWebSockets': the path first (:mod:`duologue.app.routing`), then routes of the
request's method before those of any; handshakes go to WebSocket routes before all others. Among
WebSocket routes of the same path the client's first subprotocol that one of them speaks decides, as
in WebSocket-Node's router.
"""

from __future__ import annotations

import contextlib
import inspect
import itertools
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from duologue.app.guard.guard import Guard
from duologue.app.options import Options
from duologue.app.routing import Pattern, Router
from duologue.app.static import StaticFiles
from duologue.asgi.host import ASGIHost
from duologue.asgi.lifespan import Lifespan
from duologue.asgi.scope import ASGIApplication
from duologue.base.limits import Limits
from duologue.base.types import Subprotocol
from duologue.connection.connection import Callbacks
from duologue.connection.endpoint import Endpoint
from duologue.server.connection import ServerConnection
from duologue.server.terms import ConnectionOptions
from duologue.wire.grammar import validate_subprotocols

__all__ = ["Bound", "HTTPRoute", "Mount", "StaticRoute", "Table", "WebSocketRoute"]

Params = Mapping[str, Any]
CreateConnection = Callable[[Any, Any], ServerConnection]
READING = frozenset({"GET", "HEAD"})


class Call:
    """A handler, and which of a path's parameters it wants as keyword arguments.

    Attributes:
        wanted: those that it takes, ``None`` for any.
        needed: those that it can't do without.

    Raises:
        TypeError: If it can't be called with a request, or a connection.
    """

    __slots__ = ("function", "is_coroutine", "needed", "wanted")

    def __init__(self, function: Callable[..., Any]) -> None:
        if not callable(function):
            raise TypeError(f"a handler is a function or an Endpoint, not {function!r}")
        self.function = function
        self.is_coroutine = inspect.iscoroutinefunction(function)
        self.wanted: frozenset[str] | None = None
        self.needed: frozenset[str] = frozenset()
        try:
            found = list(inspect.signature(function).parameters.values())
        except ValueError:
            return
        if not found or found[0].kind in (
            inspect.Parameter.KEYWORD_ONLY,
            inspect.Parameter.VAR_KEYWORD,
        ):
            raise TypeError(f"a handler takes the request or connection first: {function!r}")
        named = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
        self.needed = frozenset(
            each.name for each in found[1:] if each.kind in named and each.default is each.empty
        )
        if not any(each.kind is each.VAR_KEYWORD for each in found):
            self.wanted = frozenset(each.name for each in found[1:] if each.kind in named)

    def __call__(self, subject: Any, params: Params) -> Any:
        if not params or self.wanted is None:
            return self.function(subject, **params)
        return self.function(
            subject, **{name: value for name, value in params.items() if name in self.wanted}
        )

    def check(self, pattern: Pattern) -> None:
        """Judge a whole path, which included applications learn of last.

        Raises:
            TypeError: If it lacks a parameter that the handler needs.
        """
        if missing := self.needed.difference(pattern.names):
            names = ", ".join(sorted(missing))
            raise TypeError(f"{self.function!r} takes {names}, which {pattern.text} doesn't give")


class HTTPRoute:
    """A handler of plain HTTP.

    Attributes:
        methods: which it answers; ``None`` for any.
    """

    def __init__(
        self, methods: Iterable[str] | None, handler: Callable[..., Any], options: Options
    ) -> None:
        self.methods = None if methods is None else frozenset(name.upper() for name in methods)
        if self.methods is not None and not self.methods:
            raise ValueError("a route answers at least one method")
        self.call = Call(handler)
        self.options = options

    def kinds(self) -> Iterable[str]:
        """What may exist once for each pattern."""
        return ["any"] if self.methods is None else self.methods


class WebSocketRoute:
    """A handler of WebSocket connections.

    Attributes:
        subprotocols: which it speaks, lower-case; ``None`` for requests with or without, of which
            none is chosen; empty for requests without only.
        any_subprotocol: whether it takes the first that the client offers.
        endpoint: the handler, if it is one.
        call: the handler, if it is a coroutine function.
        auth: finds out who asks, before the handshake is answered.
        on_request: decides about each request itself.
        create_connection: makes its connections, if not the usual way.
    """

    methods = frozenset({"GET"})

    def __init__(
        self,
        handler: Callable[..., Awaitable[None]] | Endpoint,
        subprotocols: Sequence[str] | str | None,
        options: Options,
        auth: Callable[..., Any] | None,
        on_request: Callable[..., Any] | None,
        create_connection: CreateConnection | None = None,
    ) -> None:
        self.any_subprotocol = subprotocols == "*"
        self.subprotocols: tuple[str, ...] | None = None
        if subprotocols is not None and not self.any_subprotocol:
            if isinstance(subprotocols, str):
                raise TypeError('subprotocols is a list of names, or "*" for any')
            validate_subprotocols([Subprotocol(name) for name in subprotocols])
            self.subprotocols = tuple(name.lower() for name in subprotocols)
        self._handler = handler
        self.endpoint: Callbacks | None = None
        self.forget_server()
        self.call = None if isinstance(handler, Endpoint) else Call(handler)
        if self.call is not None and not _is_coroutine_function(handler):
            raise TypeError(f"a WebSocket handler is a coroutine function, not {handler!r}")
        self.options = options
        self.auth = auth
        self.on_request = on_request
        self.create_connection = create_connection

    def forget_server(self) -> None:
        """Let go the server that an endpoint's callbacks were last used by."""
        if isinstance(self._handler, Endpoint):
            self.endpoint = Callbacks(self._handler, Endpoint)

    def kinds(self) -> Iterable[str]:
        """What may exist once for each pattern."""
        if self.any_subprotocol:
            return ["ws *"]
        if self.subprotocols is None:
            return ["ws"]
        return [f"ws {name}" for name in self.subprotocols] or ["ws none"]

    def speaks(self, subprotocol: str) -> bool:
        """Whether the route is for requests that offer this."""
        if self.any_subprotocol:
            return True
        return self.subprotocols is not None and subprotocol.lower() in self.subprotocols


class StaticRoute:
    """Files of a directory."""

    methods = frozenset({"GET"})

    def __init__(self, files: StaticFiles, headers: Sequence[tuple[str, str]]) -> None:
        self.files = files
        self.headers = headers
        self.options = Options("app.static()", {}, {})

    def kinds(self) -> Iterable[str]:
        """What may exist once for each pattern."""
        return ["GET"]


class Mount:
    """An application of another kind, which answers everything below a path.

    Attributes:
        application: an ASGI application.
        hosts: what runs it, at each path that leads to it.
    """

    methods = None

    def __init__(self, application: ASGIApplication) -> None:
        self.application = application
        self.hosts: list[ASGIHost] = []
        self.options = Options("app.mount()", {}, {})

    def kinds(self) -> Iterable[str]:
        """What may exist once for each pattern."""
        return ["mount"]

    def host(self, pattern: Pattern, terms: ConnectionOptions) -> ASGIHost:
        """Make what runs it at a path.

        Raises:
            ValueError: If the path has parameters.
        """
        if not all(isinstance(segment, str) for segment in pattern.segments):
            raise ValueError(
                f"an application is mounted at a path without parameters: {pattern.text}"
            )
        root_path = pattern.text.removesuffix("/*").rstrip("/")
        made = ASGIHost(self.application, root_path=root_path, prepend_root_path=False, terms=terms)
        self.hosts.append(made)
        return made

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """The application's lifespan, if it has one."""
        lifespan = Lifespan(self.application)
        await lifespan.startup()
        for host in self.hosts:
            host.state = lifespan.state
        try:
            yield
        finally:
            await lifespan.shutdown()


Route = HTTPRoute | WebSocketRoute | StaticRoute | Mount


@dataclass(slots=True)
class Bound:
    """A route in the table of an application, with what holds for it there.

    Attributes:
        route: the route.
        pattern: its whole path.
        guard: who may come.
        limits: of its requests.
        terms: of its connections.
        host: what runs it, if it is mounted.
    """

    route: Route
    pattern: str
    guard: Guard
    limits: Limits
    terms: ConnectionOptions | None = None
    host: ASGIHost | None = None


@dataclass(slots=True)
class NoRoute:
    """Nothing answers a request.

    Attributes:
        methods: those which would be answered; empty if the path leads nowhere.
        websocket: whether a WebSocket is to be had there.
    """

    methods: frozenset[str]
    websocket: bool = False


class Table:
    """All routes of an application, those of included ones among them."""

    def __init__(self) -> None:
        self._http: Router[Bound] = Router()
        self._websocket: Router[Bound] = Router()
        self._known: set[tuple[str, str]] = set()

    def add(self, pattern: Pattern, bound: Bound) -> None:
        """Register a route.

        Raises:
            ValueError: If there is one for the same already.
        """
        keys = [(pattern.text, key) for key in bound.route.kinds()]
        for text, key in keys:
            if (text, key) in self._known:
                raise ValueError(f"there is a route for {key} {text} already")
        self._known.update(keys)
        if not isinstance(bound.route, WebSocketRoute):
            self._http.add(pattern, bound)
        if isinstance(bound.route, WebSocketRoute | Mount):
            self._websocket.add(pattern, bound)

    def http(self, method: str, path: str) -> tuple[Bound, Params] | NoRoute:
        """Find the route of a request that is no handshake."""
        for bound in self._http.exact(path):
            methods = bound.route.methods
            if methods is not None and method in methods:
                return bound, {}
        found = self._http.find(path)
        # Behind a mounted application, which takes all methods, nothing is looked at.
        mounts = (at for at, (bound, _) in enumerate(found) if isinstance(bound.route, Mount))
        found = found[: next(mounts, len(found)) + 1]
        for wanted in ("HEAD", "GET") if method == "HEAD" else (method,):
            for match in found:
                if wanted in (match[0].route.methods or ()):
                    return match
        for match in found:
            if match[0].route.methods is None:
                return match
        methods = frozenset[str]().union(*(each.route.methods or () for each, _ in found))
        return NoRoute(methods, bool(self._websocket.find(path)))

    def websocket(
        self, path: str, offered: Sequence[str]
    ) -> tuple[Bound, Params, str | None] | NoRoute:
        """Find the route of a handshake.

        Args:
            path: of the request.
            offered: subprotocols, in the client's order.

        Returns:
            The route, the path's parameters, and the subprotocol that was chosen.
        """
        exact = self._websocket.exact(path)
        if exact and (chosen := _by_subprotocol([(bound, {}) for bound in exact], offered)):
            return chosen
        found = self._websocket.find(path)
        for _, group in itertools.groupby(found, key=lambda match: match[0].pattern):
            chosen = _by_subprotocol(list(group), offered)
            if chosen is not None:
                return chosen
        return NoRoute(frozenset(), bool(found))


def _by_subprotocol(
    group: list[tuple[Bound, Params]], offered: Sequence[str]
) -> tuple[Bound, Params, str | None] | None:
    for subprotocol in offered:
        for bound, params in group:
            if isinstance(bound.route, WebSocketRoute) and bound.route.speaks(subprotocol):
                return bound, params, subprotocol
    for bound, params in group:
        route = bound.route
        if isinstance(route, Mount) or _takes_any(route, offered):
            return bound, params, None
    return None


def _takes_any(route: Route, offered: Sequence[str]) -> bool:
    """Whether a route is for requests of which no subprotocol is chosen."""
    if not isinstance(route, WebSocketRoute):
        return False
    if route.any_subprotocol:
        return True
    return route.subprotocols is None or (not route.subprotocols and not offered)


def _is_coroutine_function(handler: Any) -> bool:
    called = getattr(handler, "__call__", None)  # noqa: B004 -- an object with an async __call__ will do
    return inspect.iscoroutinefunction(handler) or inspect.iscoroutinefunction(called)
