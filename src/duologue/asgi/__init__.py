"""ASGI in both directions: our server hosts applications, and others' servers host ours.

``duologue.asgi.host`` runs an application on our HTTP exchanges, ``duologue.asgi.serve`` is a
server of it, ``duologue.asgi.guest`` is the other way round, and ``duologue.asgi.uvicorn`` gives
uvicorn our protocol.

Sources: the ASGI specification 3.0 with its HTTP and WebSocket message formats 2.5 and the
lifespan protocol 2.0.
"""

from __future__ import annotations

from duologue.asgi.host import ASGIHost
from duologue.asgi.serving import ASGIServer, serve

__all__ = ["ASGIHost", "ASGIServer", "serve"]
