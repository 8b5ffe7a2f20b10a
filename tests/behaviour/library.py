"""The library under test, reached through its documented import paths and nothing else.

``Library("websockets").serve`` is ``websockets.asyncio.server.serve`` and
``Library("duologue").serve`` is ``duologue.asyncio.server.serve``: a test that receives a
:class:`Library` runs on either by changing the package name of its imports only.
"""

from __future__ import annotations

import importlib
from typing import Any, ClassVar

NAMES_BY_MODULE: dict[str, tuple[str, ...]] = {
    "asyncio.client": ("connect", "unix_connect", "ClientConnection"),
    "asyncio.server": (
        "serve",
        "unix_serve",
        "broadcast",
        "basic_auth",
        "Server",
        "ServerConnection",
    ),
    "asyncio.router": ("route", "unix_route", "Router"),
    "asyncio.connection": ("Connection",),
    "client": ("ClientProtocol", "backoff", "process_exception"),
    "server": ("ServerProtocol",),
    "protocol": ("Protocol", "Side", "State", "SEND_EOF"),
    "frames": ("Opcode", "CloseCode", "Frame", "Close"),
    "http11": ("Request", "Response", "USER_AGENT", "SERVER"),
    "datastructures": ("Headers", "HeadersLike", "MultipleValuesError"),
    "exceptions": (
        "WebSocketException",
        "ConnectionClosed",
        "ConnectionClosedOK",
        "ConnectionClosedError",
        "InvalidURI",
        "InvalidProxy",
        "InvalidHandshake",
        "SecurityError",
        "RequestLineTooLong",
        "StatusLineTooLong",
        "HeaderLineTooLong",
        "TooManyHeaders",
        "TooManyFragments",
        "ProxyError",
        "InvalidProxyMessage",
        "InvalidProxyStatus",
        "InvalidMessage",
        "InvalidMethod",
        "InvalidProtocol",
        "InvalidStatus",
        "InvalidHeader",
        "InvalidHeaderFormat",
        "InvalidHeaderValue",
        "InvalidOrigin",
        "InvalidUpgrade",
        "NegotiationError",
        "DuplicateParameter",
        "InvalidParameterName",
        "InvalidParameterValue",
        "ProtocolError",
        "PayloadTooBig",
        "InvalidState",
        "ConcurrencyError",
    ),
    "extensions": ("Extension", "ClientExtensionFactory", "ServerExtensionFactory"),
    "extensions.permessage_deflate": (
        "PerMessageDeflate",
        "ClientPerMessageDeflateFactory",
        "ServerPerMessageDeflateFactory",
        "enable_client_permessage_deflate",
        "enable_server_permessage_deflate",
    ),
    "headers": (
        "build_host",
        "parse_connection",
        "parse_upgrade",
        "parse_extension",
        "build_extension",
        "parse_subprotocol",
        "build_subprotocol",
        "validate_subprotocols",
        "build_www_authenticate_basic",
        "parse_authorization_basic",
        "build_authorization_basic",
    ),
    "uri": ("parse_uri", "WebSocketURI"),
    "proxy": ("Proxy", "get_proxy", "parse_proxy"),
    "typing": (
        "Data",
        "LoggerLike",
        "StatusLike",
        "Origin",
        "Subprotocol",
        "ExtensionName",
        "ExtensionParameter",
    ),
    "version": ("version",),
}


def modules_of(names_by_module: dict[str, tuple[str, ...]]) -> dict[str, str]:
    return {name: module for module, names in names_by_module.items() for name in names}


class Library:
    """A WebSocket package, by name; its public names are attributes.

    Args:
        name: What to import, ``"websockets"`` or ``"duologue"``.
    """

    modules: ClassVar[dict[str, str]] = modules_of(NAMES_BY_MODULE)
    """Where each documented name is."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.name!r})"

    def module(self, path: str) -> Any:
        """Import the submodule at ``path``, for example ``"asyncio.client"``."""
        return importlib.import_module(f"{self.name}.{path}")

    def __getattr__(self, name: str) -> Any:
        try:
            module = self.modules[name]
        except KeyError:
            raise AttributeError(f"{name} isn't in the table of documented names") from None
        return getattr(self.module(module), name)
