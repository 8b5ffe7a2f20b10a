"""``route``: several handlers behind one server, chosen by path with Werkzeug's URL maps."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, TypeVar
from urllib.parse import urlsplit

from duologue.base.types import PathLike
from duologue.server.connection import ServerConnection
from duologue.server.opening import ProcessRequest
from duologue.server.serving import Server, serve
from duologue.wire.http11 import Request, Response

try:
    from werkzeug.exceptions import NotFound
    from werkzeug.routing import Map, RequestRedirect
except ImportError:

    def require_werkzeug() -> None:
        """Raise for want of it."""
        raise ImportError("route() requires werkzeug: install duologue[router]")

else:

    def require_werkzeug() -> None:
        """It is there."""


class Router:
    """Chooses a handler for each request; :func:`route` uses one.

    Args:
        url_map: :class:`werkzeug.routing.Map` whose endpoints are handlers.
        server_name: name of the server as clients see it; by default their ``Host`` header.
        url_scheme: ``"ws"`` or ``"wss"``, for redirects.
    """

    def __init__(
        self, url_map: Map, server_name: str | None = None, url_scheme: str = "ws"
    ) -> None:
        self.url_map = url_map
        self.server_name = server_name
        self.url_scheme = url_scheme
        for rule in self.url_map.iter_rules():
            rule.websocket = True

    def get_server_name(self, connection: ServerConnection, request: Request) -> str:
        """The server's name for this request."""
        return self.server_name or request.headers["Host"]

    def redirect(self, connection: ServerConnection, url: str) -> Response:
        """The answer to a request that belongs elsewhere."""
        response = connection.respond(302, f"Found at {url}")
        response.headers["Location"] = url
        return response

    def not_found(self, connection: ServerConnection) -> Response:
        """The answer to a request that belongs nowhere."""
        return connection.respond(404, "Not Found")

    def route_request(self, connection: ServerConnection, request: Request) -> Response | None:
        """Choose the handler; a ``process_request``."""
        adapter = self.url_map.bind(
            server_name=self.get_server_name(connection, request), url_scheme=self.url_scheme
        )
        target = urlsplit(request.path)
        try:
            handler, arguments = adapter.match(path_info=target.path, query_args=target.query)
        except RequestRedirect as redirect:
            return self.redirect(connection, redirect.new_url)
        except NotFound:
            return self.not_found(connection)
        connection.handler, connection.handler_kwargs = handler, arguments
        return None

    async def handler(self, connection: ServerConnection) -> None:
        """Run the handler that was chosen, with the path's parameters as keyword arguments."""
        await connection.handler(connection, **connection.handler_kwargs)


RouterT = TypeVar("RouterT", bound=Router)


def make_router(
    create_router: Callable[[Map, str | None, str], RouterT],
    url_map: Map,
    server_name: str | None,
    ssl: Any,
    options: dict[str, Any],
) -> RouterT:
    """Make the router of a server, and put ``ssl`` in the server's options if it is its own TLS.

    Raises:
        ImportError: If Werkzeug isn't installed.
    """
    require_werkzeug()
    if ssl is not None and ssl is not True:
        options["ssl"] = ssl
    return create_router(url_map, server_name, "ws" if ssl is None else "wss")


def route(
    url_map: Map,
    *args: Any,
    server_name: str | None = None,
    ssl: Any = None,
    create_router: Callable[[Map, str | None, str], Router] | None = None,
    **kwargs: Any,
) -> Server:
    """Serve several handlers, chosen by path.

    Args:
        url_map: :class:`werkzeug.routing.Map` whose endpoints are handlers.
        *args: host and port, as in :func:`serve`.
        server_name: name of the server as clients see it; by default their ``Host`` header.
        ssl: TLS settings as in :func:`serve`; ``True`` if a proxy in front ends TLS.
        create_router: makes the :class:`Router`; set it to a subclass.
        **kwargs: options of :func:`serve`; ``process_request`` is asked first.

    Returns:
        A :class:`Server`.

    Raises:
        ImportError: If Werkzeug isn't installed.
    """
    router = make_router(create_router or Router, url_map, server_name, ssl, kwargs)
    first: ProcessRequest | None = kwargs.pop("process_request", None)
    if first is None:
        return serve(router.handler, *args, process_request=router.route_request, **kwargs)

    async def process_request(connection: ServerConnection, request: Request) -> Response | None:
        response = first(connection, request)
        if inspect.isawaitable(response):
            response = await response
        return response or router.route_request(connection, request)

    return serve(router.handler, *args, process_request=process_request, **kwargs)


def unix_route(url_map: Map, path: PathLike | None = None, **kwargs: Any) -> Server:
    """Serve several handlers on a Unix socket; see :func:`route` and :func:`unix_serve`."""
    return route(url_map, unix=True, path=path, **kwargs)
