"""``route`` for threads: several handlers behind one server, chosen by path."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from duologue.base.types import PathLike
from duologue.server.router import Router as AsyncRouter
from duologue.server.router import make_router
from duologue.server.threads import ProcessRequest, Server, ServerConnection, serve
from duologue.wire.http11 import Request, Response

if TYPE_CHECKING:
    from werkzeug.routing import Map


class Router(AsyncRouter):
    """Chooses a handler for each request; ``route`` uses one.

    Args:
        url_map: :class:`werkzeug.routing.Map` whose endpoints are handlers.
        server_name: name of the server as clients see it; by default their ``Host`` header.
        url_scheme: ``"ws"`` or ``"wss"``, for redirects.
    """

    def handler(self, connection: ServerConnection) -> None:  # type: ignore[override]
        """Run the handler that was chosen, with the path's parameters as keyword arguments."""
        connection.handler(connection, **connection.handler_kwargs)


def route(
    url_map: Map,
    *args: Any,
    server_name: str | None = None,
    ssl: Any = None,
    create_router: Callable[[Map, str | None, str], Router] | None = None,
    **kwargs: Any,
) -> Server:
    """Serve several handlers, chosen by path, each connection with a thread of its own.

    Args:
        url_map: :class:`werkzeug.routing.Map` whose endpoints are handlers.
        *args: host and port, as in ``serve``.
        server_name: name of the server as clients see it; by default their ``Host`` header.
        ssl: TLS settings as in ``serve``; ``True`` if a proxy in front ends TLS.
        create_router: makes the ``Router``; set it to a subclass.
        **kwargs: options of ``serve``; ``process_request`` is asked first.

    Returns:
        A ``Server``.

    Raises:
        ImportError: If Werkzeug isn't installed.
    """
    router = make_router(create_router or Router, url_map, server_name, ssl, kwargs)
    choose: Any = router.route_request
    first: ProcessRequest | None = kwargs.pop("process_request", None)
    if first is None:
        return serve(router.handler, *args, process_request=choose, **kwargs)

    def process_request(connection: ServerConnection, request: Request) -> Response | None:
        response: Response | None = first(connection, request) or choose(connection, request)
        return response

    return serve(router.handler, *args, process_request=process_request, **kwargs)


def unix_route(url_map: Map, path: PathLike | None = None, **kwargs: Any) -> Server:
    """Serve several handlers on a Unix socket; see ``route`` and ``unix_serve``."""
    return route(url_map, unix=True, path=path, **kwargs)
