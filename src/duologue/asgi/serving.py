"""``serve``: our server for one ASGI application, as uvicorn is one."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

from duologue.asgi.host import ASGIHost
from duologue.asgi.lifespan import Lifespan, LifespanMode
from duologue.asgi.scope import ASGIApplication
from duologue.asgi.standing import no_handler
from duologue.server.access import ACCESS_LOGGER
from duologue.server.serving import Server
from duologue.server.serving import serve as serve_exchanges


class ASGIServer(Server):
    """What :func:`serve` returns: a :class:`~duologue.Server` around a lifespan.

    Attributes:
        lifespan: the application's.
        answer: runs the application on each request.
    """

    lifespan: Lifespan
    answer: ASGIHost

    async def _before_listening(self) -> None:
        await self.lifespan.startup()

    async def _after_closing(self) -> None:
        await self.lifespan.shutdown()


def serve(
    app: ASGIApplication,
    host: str | Sequence[str] | None = None,
    port: int | None = None,
    *,
    root_path: str = "",
    lifespan: LifespanMode = "auto",
    drain_timeout: float | None = 30.0,
    access_log: bool = True,
    **options: Any,
) -> ASGIServer:
    """Serve an ASGI application on ``host`` and ``port``: HTTP/1.1, WebSocket and lifespan.

    ::

        async with duologue.asgi.serve(app, "127.0.0.1", 8000) as server:
            await server.serve_forever()

    Args:
        app: an ASGI 3 application.
        host: interfaces to listen on, as :meth:`asyncio.loop.create_server` takes them.
        port: TCP port; 0 lets the operating system choose.
        root_path: path under which a proxy in front publishes the application, and which it takes
            off each request.
        lifespan: ``"on"``, ``"off"``, or ``"auto"`` to do without if the application knows none.
        drain_timeout: seconds that requests under way have to be answered once the server closes,
            and connections' handlers to return; then they are cancelled. ``None`` for any time.
        access_log: whether a line for each answer is written to the logger ``duologue.access``, at
            level INFO.
        **options: those of :func:`~duologue.serve`, for HTTP (``limits``, ``server_header``), for
            WebSocket (``max_size``, ``compression``, ``ping_interval``, ...) and for listening
            (``ssl``, ``sock``, ``engine``, ...). Those that decide about handshakes belong to the
            application and are refused.

    Returns:
        An :class:`ASGIServer`, to be awaited or entered.

    Raises:
        TypeError: If an option isn't for ASGI applications.
        ASGIError: When entered, if the application's startup fails.
    """
    refused = _THE_APPLICATIONS & options.keys()
    if refused:
        raise TypeError(f"an ASGI application decides itself about: {', '.join(sorted(refused))}")
    spanning = Lifespan(app, lifespan)
    state = None if lifespan == "off" else spanning.state
    answer = ASGIHost(app, state=state, root_path=root_path)
    kind = functools.partial(_make_server, spanning, drain_timeout)
    options |= {"respond": answer, "access_logger": ACCESS_LOGGER if access_log else None}
    server = serve_exchanges(no_handler, host, port, kind=kind, **options)
    assert isinstance(server, ASGIServer)
    server.answer = answer
    return server


_THE_APPLICATIONS = {
    "handler",
    "origins",
    "subprotocols",
    "select_subprotocol",
    "process_request",
    "process_response",
    "create_connection",
}


def _make_server(lifespan: Lifespan, drain_timeout: float | None, *arguments: Any) -> ASGIServer:
    server = ASGIServer(*arguments)
    server.lifespan = lifespan
    server.drain_timeout = drain_timeout
    return server
