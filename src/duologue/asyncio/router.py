"""Dispatch on the request's path; names are those of `websockets.asyncio.router`."""

from __future__ import annotations

from duologue.server.router import (
    Router,
    route,
    unix_route,
)

__all__ = [
    "Router",
    "route",
    "unix_route",
]
