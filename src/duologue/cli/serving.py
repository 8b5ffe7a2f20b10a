"""Running a server until it is asked to end: what ``serve`` and ``demo`` have in common."""

from __future__ import annotations

import argparse
import asyncio
import ssl
from collections.abc import Callable
from typing import Any

from duologue.asyncio.server import serve
from duologue.cli import listening
from duologue.cli.failure import Failure, system_text
from duologue.cli.targets import Service
from duologue.net.loops import new_event_loop
from duologue.net.signals import stop_requested

__all__ = ["run_until_stopped"]


def run_until_stopped(
    service: Service,
    arguments: argparse.Namespace,
    announce: Callable[[str], object],
    *,
    tls: ssl.SSLContext | None = None,
    scheme: str = "ws",
    **options: Any,
) -> None:
    """Serves until SIGINT or SIGTERM, then closes all connections with code 1001.

    Args:
        service: What to serve.
        arguments: Where to listen, see :mod:`duologue.cli.listening`.
        announce: Called with the URL once the server listens, before anything else is printed.
        tls: TLS settings; ``None`` for no TLS.
        scheme: Scheme of the URL, without the ``s`` that TLS adds.
        **options: Passed to :func:`duologue.asyncio.server.serve`.

    Raises:
        Failure: If nothing can listen there.
    """
    with (
        listening.listener(arguments) as place,
        asyncio.Runner(loop_factory=new_event_loop) as runner,
    ):
        options |= place
        if service.process_request is not None:
            options["process_request"] = service.process_request
        if tls is not None:
            options["ssl"] = tls
            scheme += "s"
        runner.run(_serve(service, arguments, announce, scheme, options))


async def _serve(
    service: Service,
    arguments: argparse.Namespace,
    announce: Callable[[str], object],
    scheme: str,
    options: dict[str, Any],
) -> None:
    with stop_requested() as stop:
        try:
            server = await serve(service.handler, **options)
        except OSError as error:
            place = listening.describe(arguments)
            raise Failure(f"cannot listen on {place}: {system_text(error)}") from error
        try:
            sockets = list(server.sockets)
            announce(listening.url(scheme, arguments, sockets))
            name = sockets[0].getsockname()
            if service.listening is not None and isinstance(name, tuple):
                service.listening(name[1])
            await stop.wait()
        finally:
            server.close()
            await server.wait_closed()
