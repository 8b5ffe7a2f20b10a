"""A client's end of a connection."""

from __future__ import annotations

from duologue.connection.connection import Connection
from duologue.connection.json import JSONMessages
from duologue.wire.http11 import Request, Response


class ClientConnection(Connection, JSONMessages):
    """A connection that :func:`~duologue.connect` opened."""

    request: Request
    """Request of the opening handshake."""
    response: Response
    """Response of the opening handshake."""
