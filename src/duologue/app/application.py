"""``App``: routes for WebSocket and plain HTTP on one port, with the rules that keep both safe.

An application declares routes, and is served by :meth:`App.run`, inside of a program by
:meth:`App.serving`, or by any ASGI server, since it is an ASGI application too. What a request
becomes is decided in :mod:`duologue.app.dispatching`; this module only declares.

Invariants: what is wrong about a declaration is raised by it, not by a request; a connection runs
the same compiled path as one of ``serve()``: nothing here happens for each message.
"""

from __future__ import annotations

import contextlib
import inspect
import logging
import os
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from types import EllipsisType, SimpleNamespace
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from duologue.app.dispatching import Dispatcher
from duologue.app.forwarded import TrustedProxies
from duologue.app.guard.guard import Guard
from duologue.app.logs import LogConfig, configure_logging, set_up_logging
from duologue.app.options import HTTP, Options, limits_of, terms_of
from duologue.app.publishing import Publishing
from duologue.app.request import Request
from duologue.app.routes import (
    Bound,
    CreateConnection,
    HTTPRoute,
    Mount,
    Route,
    StaticRoute,
    Table,
    WebSocketRoute,
)
from duologue.app.routing import Pattern
from duologue.app.serving import serving
from duologue.app.static import StaticFiles
from duologue.app.stats import Stats, Tally, collect
from duologue.app.uvicorn_names import taken
from duologue.app.workers.running import check_workers, run_workers
from duologue.asgi.guest import Guest
from duologue.asgi.scope import Receive, Scope, Send
from duologue.base.types import LoggerLike
from duologue.base.vocabulary import CloseCode
from duologue.connection.endpoint import Endpoint
from duologue.hub.backplanes.interface import Backplane
from duologue.hub.hub import Hub
from duologue.net.loops import run
from duologue.net.signals import stop_requested
from duologue.server.exchanges import HTTPExchange
from duologue.server.terms import ConnectionOptions
from duologue.wire.headers import HeadersLike
from duologue.wire.http11 import SERVER
from duologue.wire.response import Response

if TYPE_CHECKING:
    from duologue.server.serving import Server

__all__ = ["App"]

Handler = TypeVar("Handler", bound=Callable[..., Any])
Lifespan = Callable[["App"], Any]


class App(Publishing):
    """An application: routes, what they share, and the rules for all of them.

    ::

        app = duologue.App()

        @app.websocket("/room/{name}")
        async def room(ws, name):
            async for text in ws:
                await ws.send(f"{name}: {text}")

        @app.get("/health")
        async def health(request):
            return duologue.Response("ok")

        app.run(port=8000)

    Options besides those below are the defaults of all routes: the bounds of
    :class:`~duologue.Limits` by name, ``limits`` for all of them, ``compression``, ``extensions``
    as in :func:`~duologue.serve`, and the rules of
    :class:`~duologue.app.guard.guard.Guard` (``origins``, ``allowed_hosts``, ``max_connections``,
    ``connect_rate``, ...).

    Args:
        lifespan: function that takes the application and returns an asynchronous context manager,
            or an asynchronous generator function that yields once; it begins before the first
            request and ends after the last one. A mapping that it yields becomes attributes of
            ``app.state``.
        health_path: answers ``ok`` to whoever asks whether the server lives, load balancers first
            of all: no rule is applied there, and while the server shuts down it is 503.
        server_header: value of the ``Server`` header, ``None`` for none.
        backplane: what joins its topics to those of other processes.
        logger: by default ``logging.getLogger("duologue.app")``.
        **options: see above.

    Attributes:
        guard: the rules for all routes.
        logger: where the application logs.
        worker: number of this process among several workers, from 1; one that replaces another has
            that one's number. ``None`` where there are none.
        stopping: whether it is about to end.
        leaving_code: close code of its connections when it ends.

    Raises:
        TypeError: If an option isn't known or has the wrong type.
        ValueError: If an option has a value that it can't have.
    """

    def __init__(
        self,
        *,
        lifespan: Lifespan | None = None,
        health_path: str | None = None,
        server_header: str | None = SERVER,
        backplane: Backplane | None = None,
        logger: LoggerLike | None = None,
        **options: Any,
    ) -> None:
        self._state = SimpleNamespace()
        self.logger = logger or logging.getLogger("duologue.app")
        self.server_header = server_header
        self.defaults = Options.take("App()", options)
        self.limits = limits_of([self.defaults])
        self._hub = Hub(backplane=backplane, limits=self.limits)
        self.guard = Guard(setting="App()", **self.defaults.guard)
        if inspect.isasyncgenfunction(lifespan):
            lifespan = contextlib.asynccontextmanager(lifespan)
        self._lifespan: Lifespan | None = lifespan
        self.table = Table()
        self._dispatcher = Dispatcher(self, self.table, health_path)
        self._routes: list[tuple[str, Route]] = []
        self._included: list[tuple[App, str]] = []
        self._parents: list[tuple[App, str]] = []
        self._guest = Guest(
            self.handle,
            startup=self._start,
            shutdown=self._stop,
            limits=self.limits,
            terms=terms_of([self.defaults], self.logger),
            logger=self.logger,
        )
        self._life = contextlib.AsyncExitStack()
        self.tally = Tally()
        self._guards: dict[tuple[int, ...], Guard] = {}
        self._terms: dict[tuple[int, ...], ConnectionOptions] = {}
        self.worker: int | None = None
        self.stopping = False
        self.leaving_code = CloseCode.GOING_AWAY
        if health_path is not None:
            self._add(health_path, HTTPRoute(["GET"], self._health, self.defaults))

    def __repr__(self) -> str:
        return f"<App with {len(self._routes)} routes>"

    # -- declaring

    def websocket(
        self,
        path: str,
        *,
        subprotocols: Sequence[str] | str | None = None,
        auth: Callable[..., Any] | None = None,
        on_request: Callable[..., Any] | None = None,
        create_connection: CreateConnection | None = None,
        **options: Any,
    ) -> Callable[[Handler], Handler]:
        """Declare who talks with WebSockets at a path.

        ::

            @app.websocket("/room/{name}", subprotocols=["chat.v2", "chat.v1"], max_size=65536)
            async def room(ws, name): ...

            @app.websocket("/echo")
            class Echo(duologue.Endpoint): ...

        Args:
            path: see :class:`~duologue.app.routing.Pattern`. Parameters that the handler takes are
                given by name; all are in ``ws.path_params``.
            subprotocols: which this handler speaks; the first that the client offers is chosen,
                and clients that offer none of them are for other handlers of the same path, else
                they get 404. ``None`` takes everybody and chooses none, ``[]`` takes those who
                offer none, ``"*"`` chooses whatever is offered first.
            auth: ``async (request) -> user``, which becomes ``ws.user_data``; see
                :mod:`duologue.app.guard`.
            on_request: ``async (request) -> None``, which may ``accept()`` or ``reject()`` the
                request itself.
            create_connection: subclass of :class:`~duologue.ServerConnection`, or a function that
                makes one; not under other servers.
            **options: instead of the application's, see :class:`App`.

        Returns:
            What takes the handler: a coroutine function, an :class:`~duologue.Endpoint` or a
            subclass of it, which is made once. The connection is closed with 1000 when a handler
            returns, with 1011 when it raises.

        Raises:
            ValueError: If the path can't be one, or has such a handler already.
        """
        Pattern(path)
        scope = Options.take(f'app.websocket("{path}")', options)

        def declare(handler: Handler) -> Handler:
            made: Any = handler
            if isinstance(handler, type) and issubclass(handler, Endpoint):
                made = handler()
            self._add(
                path, WebSocketRoute(made, subprotocols, scope, auth, on_request, create_connection)
            )
            return handler

        return declare

    def route(
        self, path: str, *, methods: Iterable[str] | None = None, **options: Any
    ) -> Callable[[Handler], Handler]:
        """Declare who answers plain HTTP at a path.

        Args:
            path: see :class:`~duologue.app.routing.Pattern`.
            methods: which; ``None`` for any that no other route of the path has. GET answers HEAD
                too; OPTIONS is answered with the methods there are unless a route has it.
            **options: instead of the application's, see :class:`App`: of the bounds only
                ``max_body`` (or all, as ``limits``), and of the rules ``allowed_hosts``.

        Returns:
            What takes the handler: a function or coroutine function of a
            :class:`~duologue.app.request.Request`, and of those parameters that it names. It
            returns a :class:`~duologue.Response`, text, octets, or a dict or list for JSON; it may
            raise :class:`~duologue.app.errors.HTTPError`.

        Raises:
            ValueError: If the path can't be one, or has a handler of the same method already.
        """
        Pattern(path)
        scope = Options.take(f'app.route("{path}")', options, HTTP)
        if isinstance(methods, str):
            raise TypeError(f"methods is a list of names, not {methods!r}")
        names = None if methods is None else list(methods)

        def declare(handler: Handler) -> Handler:
            self._add(path, HTTPRoute(names, handler, scope))
            return handler

        return declare

    def get(self, path: str, **options: Any) -> Callable[[Handler], Handler]:
        """Declare who answers GET, and HEAD; see :meth:`route`."""
        return self.route(path, methods=["GET"], **options)

    def head(self, path: str, **options: Any) -> Callable[[Handler], Handler]:
        """Declare who answers HEAD; see :meth:`route`."""
        return self.route(path, methods=["HEAD"], **options)

    def post(self, path: str, **options: Any) -> Callable[[Handler], Handler]:
        """Declare who answers POST; see :meth:`route`."""
        return self.route(path, methods=["POST"], **options)

    def put(self, path: str, **options: Any) -> Callable[[Handler], Handler]:
        """Declare who answers PUT; see :meth:`route`."""
        return self.route(path, methods=["PUT"], **options)

    def patch(self, path: str, **options: Any) -> Callable[[Handler], Handler]:
        """Declare who answers PATCH; see :meth:`route`."""
        return self.route(path, methods=["PATCH"], **options)

    def delete(self, path: str, **options: Any) -> Callable[[Handler], Handler]:
        """Declare who answers DELETE; see :meth:`route`."""
        return self.route(path, methods=["DELETE"], **options)

    def options(self, path: str, **options: Any) -> Callable[[Handler], Handler]:
        """Declare who answers OPTIONS; see :meth:`route`."""
        return self.route(path, methods=["OPTIONS"], **options)

    def static(
        self, prefix: str, directory: str | os.PathLike[str], *, headers: HeadersLike = ()
    ) -> None:
        """Serve the files of a directory: GET, HEAD, conditional requests and single ranges.

        Names that begin with a dot, and links that lead out of the directory, aren't there. For a
        directory its ``index.html`` is sent.

        Args:
            prefix: path below which they are.
            directory: in the file system.
            headers: more header fields of the answers.

        Raises:
            NotADirectoryError: If there is no such directory.
        """
        fields = list(Response(b"", 200, headers).headers.raw_items())
        self._add_below(prefix, StaticRoute(StaticFiles(directory), fields))

    def mount(self, prefix: str, application: Any) -> None:
        """Hand everything below a path that no other route takes to an ASGI application.

        Args:
            prefix: the path; ``"/"`` for all.
            application: FastAPI, Starlette, Django Channels, Litestar, Quart, ...
        """
        if not callable(application):
            raise TypeError(f"an ASGI application can be called: {application!r}")
        self._add_below(prefix, Mount(application))

    def include(self, other: App, *, prefix: str = "") -> None:
        """Take over the routes of another application, also those that it declares later.

        Its own options hold for them, before those of this one; its rules hold besides. Its
        lifespan is entered after this one's, and gets this application.

        Args:
            other: the application.
            prefix: path before all of its paths, such as ``"/api"``; may have parameters.

        Raises:
            ValueError: If a route exists already, the prefix can't be one, or one of the two is
                included in the other already.
        """
        if not isinstance(other, App):
            raise TypeError(f"include() takes an App, mount() an ASGI application, not {other!r}")
        if prefix:
            Pattern(prefix)
            if prefix.endswith("/"):
                raise ValueError(f"a prefix doesn't end with a slash: {prefix!r}")
        if other is self or other._contains(self):
            raise ValueError("an application can't be included in itself")
        for name, value in vars(other._state).items():
            vars(self.state).setdefault(name, value)
        self._included.append((other, prefix))
        other._parents.append((self, prefix))
        for path, route, scopes in other._all_routes():
            self._bind(prefix + path, route, (other, *scopes))

    def _contains(self, app: App) -> bool:
        return any(each is app or each._contains(app) for each, _ in self._included)

    def _all_routes(self) -> list[tuple[str, Route, tuple[App, ...]]]:
        """Routes of this application and those included in it, with the ones they come through."""
        own: list[tuple[str, Route, tuple[App, ...]]] = [
            (path, route, ()) for path, route in self._routes
        ]
        return own + [
            (prefix + path, route, (other, *through))
            for other, prefix in self._included
            for path, route, through in other._all_routes()
        ]

    def _add_below(self, prefix: str, route: StaticRoute | Mount) -> None:
        root = prefix.rstrip("/")
        if root:
            self._add(root, route)
        self._add(f"{root}/*", route)

    def _add(self, path: str, route: Route) -> None:
        self._bind(path, route, ())
        self._routes.append((path, route))

    def _bind(self, path: str, route: Route, through: tuple[App, ...]) -> None:
        """Put a route into the table, and into those of applications that include this one."""
        pattern = Pattern(path)
        scopes = [self.defaults, *(app.defaults for app in through), route.options]
        bound = Bound(route, pattern.text, self._guard_of(scopes), limits_of(scopes))
        if isinstance(route, WebSocketRoute | Mount):
            bound.terms = self._terms_of(scopes)
        if isinstance(route, Mount) and bound.terms is not None:
            bound.host = route.host(pattern, bound.terms)
        self.table.add(pattern, bound)
        for parent, prefix in self._parents:
            parent._bind(prefix + path, route, (self, *through))

    def _guard_of(self, scopes: Sequence[Options]) -> Guard:
        """The rules of all scopes; those of an included application are shared by its routes."""
        guard = self.guard
        key: tuple[int, ...] = ()
        for scope in scopes[1:]:
            if scope.guard:
                key = (*key, id(scope))
                if key not in self._guards:
                    self._guards[key] = guard.narrowed(setting=scope.setting, **scope.guard)
                guard = self._guards[key]
        return guard

    def _terms_of(self, scopes: Sequence[Options]) -> ConnectionOptions:
        """Everything about connections; routes without options of their own share it."""
        key = tuple(id(scope) for scope in scopes if scope.connection)
        if key not in self._terms:
            self._terms[key] = terms_of(scopes, self.logger)
        return self._terms[key]

    def _health(self, request: Request) -> Response:
        return Response("stopping\n", 503) if self.stopping else Response("ok\n")

    @property
    def state(self) -> SimpleNamespace:
        """Whatever the application wants to keep; one that is included has the other's."""
        return self._parents[0][0].state if self._parents else self._state

    # -- topics

    @property
    def topics(self) -> Hub:
        """The :class:`~duologue.hub.hub.Hub`; an application that is included has the other's."""
        return self._parents[0][0].topics if self._parents else self._hub

    # -- numbers

    def stats(self) -> Stats:
        """What this process has done and holds, in numbers; see :class:`~duologue.app.stats.Stats`.

        Costs a look at each open connection. The first call while the application is served begins
        to watch how late the event loop is.
        """
        if self.tally.servers:
            self.tally.lag.start()
        return collect(self.tally, self.topics)

    # -- serving

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Enter the lifespans: this application's, then those of included and mounted ones."""
        for path, each, _ in self._all_routes():
            if isinstance(each, HTTPRoute | WebSocketRoute) and each.call is not None:
                each.call.check(Pattern(path))
        routes = list(dict.fromkeys(route for _, route, _ in self._all_routes()))
        async with contextlib.AsyncExitStack() as stack:
            stack.callback(_forget_servers, routes)
            await stack.enter_async_context(self.topics)
            for app in self._with_included():
                if app._lifespan is not None:
                    found = await stack.enter_async_context(app._lifespan(self))
                    if isinstance(found, Mapping):
                        vars(self.state).update(found)
            for route in routes:
                if isinstance(route, Mount):
                    await stack.enter_async_context(route.running())
            yield

    def _with_included(self) -> list[App]:
        found: list[App] = [self]
        for other, _ in self._included:
            found += [app for app in other._with_included() if app not in found]
        return found

    def serving(
        self, host: str | Sequence[str] | None = None, port: int | None = None, **options: Any
    ) -> AbstractAsyncContextManager[Server]:
        """Serve inside of a program, or of a test.

        ::

            async with app.serving("127.0.0.1", 0) as server:
                port = server.sockets[0].getsockname()[1]

        Leaving the context closes connections with 1001 and waits for requests under way.

        Args:
            host: interfaces to listen on; default ``"127.0.0.1"``. ``""`` for all.
            port: TCP port; default 8000, 0 lets the operating system choose. Where neither host nor
                port is given, sockets handed over by systemd are taken.
            **options: instead of host and port: ``uds``, the path of a Unix socket, ``fd``, an
                inherited socket's descriptor, or ``sock``, a bound socket or several.

                TLS: ``ssl``, a context, or ``ssl_certfile``, ``ssl_keyfile``,
                ``ssl_keyfile_password``, ``ssl_ca_certs`` (clients must then show a certificate of
                theirs, unless ``ssl_cert_reqs`` says otherwise), ``ssl_ciphers``. Files that change
                are read again within ``ssl_reload_interval`` seconds (10; ``None`` for never).
                ``ssl_optional`` (false) serves connections without TLS on the same port, too: the
                first octet tells them apart.

                Proxies in front: ``proxy_headers`` (true) takes ``Forwarded`` and
                ``X-Forwarded-For``, ``-Proto`` and ``-Host`` from ``forwarded_allow_ips``:
                addresses, networks, ``"unix"``, ``"*"``; by default the environment's
                ``FORWARDED_ALLOW_IPS``, else this machine. ``proxy_protocol`` (false) expects the
                PROXY protocol, version 1 or 2, from ``proxy_allow_ips`` (this machine) and closes
                all other connections.

                The end: ``drain_timeout`` (30), seconds that requests and handlers have to end, and
                connections to send what waits in them; ``close_rate`` (1000), how many connections
                are closed in a second, and ``retry_spread`` (5), seconds over which their peers are
                asked to spread their coming back; see :class:`~duologue.app.shutdown.Departure`.

                ``metrics`` (``None``): a port, or ``"host:port"``, where ``GET /metrics`` tells
                the numbers of :meth:`stats` in the format of Prometheus. By a port alone this
                machine only is meant: everybody who can connect may read them.

                ``access_log`` (true) writes a line for each answer to the logger
                ``duologue.access``, at level INFO, in uvicorn's words. ``root_path`` is what a
                proxy in front takes off each path: it is in ``request.url``, and applications that
                are mounted find it in their scope. ``server_header`` (true), whether there is a
                ``Server`` header; ``timeout_keep_alive``, seconds between requests, in the place
                of the application's ``keep_alive_timeout``.

                ``backlog`` (2048), and ``engine`` as in :func:`~duologue.serve`. Of the options of
                ``uvicorn.run()`` those that are something else here are refused with what to say
                instead; ``timeout_graceful_shutdown`` is ``drain_timeout``.

        Returns:
            Asynchronous context manager of a :class:`~duologue.Server`.

        Raises:
            OSError: If nothing can listen there, or a file can't be read.
            ValueError: If options exclude each other or can't have their values.
            TypeError: If an option isn't known.
        """
        return serving(self, host, port, **taken(options))

    def run(
        self,
        host: str | Sequence[str] | None = None,
        port: int | None = None,
        *,
        workers: int | None = 1,
        worker_timeout: float | None = 30.0,
        log_level: str | int | None = "info",
        log_format: Literal["text", "json"] = "text",
        log_config: LogConfig | EllipsisType | None = ...,
        **options: Any,
    ) -> None:
        """Serve until SIGINT or SIGTERM, on the engine's event loop; a program's last line.

        Connections are then closed with 1001; a second signal ends the process at once.

        With several workers SIGHUP replaces them one after the other, and closes their connections
        with 1012. Topics span all of them, by the ``local`` backplane unless the application has
        another one. They are forked: open no sockets and start no threads before.

        Args:
            host: see :meth:`serving`.
            port: see :meth:`serving`.
            workers: how many processes serve; those that die are replaced.
            worker_timeout: seconds without a sign of life, because a handler blocks its event loop
                for instance, after which one of several workers is killed and replaced; ``None``
                for any time.
            log_level: least severe records to print on standard error, unless the program has set
                up logging itself; ``None`` sets up nothing.
            log_format: ``"json"`` for one JSON object a line.
            log_config: instead of the two: what :func:`logging.config.dictConfig` takes, the path
                of a ``.json`` file of that, or of a file for :func:`logging.config.fileConfig`;
                ``None`` sets up nothing.
            **options: see :meth:`serving`.

        Raises:
            SystemExit: If workers don't come to serve, or have to be killed in the end.
        """
        workers = 1 if workers is None else workers
        check_workers(workers)
        options = taken(options)
        if not isinstance(log_config, EllipsisType):
            configure_logging(log_config)
        elif log_level is not None:
            set_up_logging(log_level, log_format)

        if workers > 1:
            # What is wrong with the options is told here, not by each process.
            self.serving(host, port, **options)
            options |= {"worker_timeout": worker_timeout, "logger": self.logger}
            if code := run_workers(lambda: self, workers, host, port, **options):
                raise SystemExit(code)
            return

        async def main() -> None:
            with stop_requested() as stop:
                async with self.serving(host, port, **options):
                    await stop.wait()

        run(main())

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer as an ASGI application, under uvicorn, hypercorn, granian, Django, ..."""
        await self._guest(scope, receive, send)

    async def _start(self) -> None:
        """Begin as another server's guest."""
        async with contextlib.AsyncExitStack() as stack:
            await stack.enter_async_context(self.running())
            self._life = stack.pop_all()

    async def _stop(self) -> None:
        """End as another server's guest."""
        self.stopping = True
        await self._life.aclose()
        self.stopping = False

    # -- answering

    async def handle(self, exchange: HTTPExchange, proxies: TrustedProxies | None = None) -> None:
        """Answer one request, whatever carries it.

        Args:
            exchange: the request and the way to its answer.
            proxies: whose ``X-Forwarded-*`` headers count.
        """
        await self._dispatcher.answer(exchange, proxies)


def _forget_servers(routes: Iterable[Route]) -> None:
    for route in routes:
        if isinstance(route, WebSocketRoute):
            route.forget_server()
