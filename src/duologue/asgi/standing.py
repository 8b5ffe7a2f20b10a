"""A server that doesn't listen: others do, and hand us what they accept.

What uvicorn's protocol and the guest have in common: connections belong to a
:class:`~duologue.server.serving.Server`, which counts them, runs their handlers' ends and closes
them.
"""

from __future__ import annotations

from typing import Any

from duologue.server.exchanges import RequestHandler
from duologue.server.serving import Server, serve


class _Standing:
    """In the place of what listens."""

    def is_serving(self) -> bool:
        return True


def standing_server(handler: RequestHandler, **options: Any) -> Server:
    """Make a server for connections that come from elsewhere.

    Args:
        handler: answers exchanges.
        **options: of :func:`~duologue.serve`.
    """
    server = serve(no_handler, respond=handler, **options)
    standing: Any = _Standing()
    server.server = standing
    return server


async def no_handler(connection: object) -> None:
    """In the place of a handler of connections: exchanges hand them out."""
