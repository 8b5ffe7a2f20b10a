"""Dispatch on the request's path for threads; names are those of `websockets.sync.router`."""

from __future__ import annotations

from duologue.server.threads_router import (
    Router,
    route,
    unix_route,
)

__all__ = [
    "Router",
    "route",
    "unix_route",
]
