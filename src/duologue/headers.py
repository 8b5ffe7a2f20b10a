"""Grammar of the handshake's headers; names are those of `websockets.headers`."""

from __future__ import annotations

from duologue.wire.grammar import (
    build_authorization_basic,
    build_extension,
    build_extension_list,
    build_host,
    build_subprotocol,
    build_subprotocol_list,
    build_www_authenticate_basic,
    parse_authorization_basic,
    parse_connection,
    parse_extension,
    parse_extension_list,
    parse_subprotocol,
    parse_subprotocol_list,
    parse_upgrade,
    validate_subprotocols,
)

__all__ = [
    "build_authorization_basic",
    "build_extension",
    "build_extension_list",
    "build_host",
    "build_subprotocol",
    "build_subprotocol_list",
    "build_www_authenticate_basic",
    "parse_authorization_basic",
    "parse_connection",
    "parse_extension",
    "parse_extension_list",
    "parse_subprotocol",
    "parse_subprotocol_list",
    "parse_upgrade",
    "validate_subprotocols",
]
