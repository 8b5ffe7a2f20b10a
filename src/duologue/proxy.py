"""Proxies: their addresses and their choice; names are those of `websockets.proxy`."""

from __future__ import annotations

from duologue.client.proxy import (
    Proxy,
    get_proxy,
    parse_proxy,
    prepare_connect_request,
)

__all__ = [
    "Proxy",
    "get_proxy",
    "parse_proxy",
    "prepare_connect_request",
]
