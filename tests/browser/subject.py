"""The one place that says whose ``serve`` the browser tests examine."""

from __future__ import annotations

from duologue.asyncio.server import ServerConnection, broadcast, serve
from duologue.http11 import Request, Response

__all__ = ["Request", "Response", "ServerConnection", "broadcast", "serve"]
