"""The threads API under test, reached through its documented import paths and nothing else."""

from __future__ import annotations

import importlib
from typing import Any

NAMES_BY_MODULE: dict[str, tuple[str, ...]] = {
    "sync.client": (
        "connect",
        "unix_connect",
        "reconnect",
        "unix_reconnect",
        "ClientConnection",
    ),
    "sync.server": (
        "serve",
        "unix_serve",
        "broadcast",
        "basic_auth",
        "Server",
        "ServerConnection",
    ),
    "sync.router": ("route", "unix_route", "Router"),
    "sync.connection": ("Connection",),
    "exceptions": (
        "ConcurrencyError",
        "ConnectionClosed",
        "ConnectionClosedError",
        "ConnectionClosedOK",
        "InvalidHandshake",
        "InvalidMessage",
        "InvalidState",
        "InvalidStatus",
        "InvalidURI",
        "ProtocolError",
        "SecurityError",
        "TooManyFragments",
    ),
    "http11": ("Request", "Response"),
    "datastructures": ("Headers",),
    "protocol": ("State",),
    "frames": ("CloseCode",),
}

_MODULE_OF = {name: module for module, names in NAMES_BY_MODULE.items() for name in names}


class SyncLibrary:
    """The threads API of a WebSocket package; its public names are attributes.

    Args:
        name: What to import, ``"websockets"`` or ``"duologue"``.
    """

    def __init__(self, name: str) -> None:
        self.name = name

    @property
    def ours(self) -> bool:
        """Whether it is duologue, for the few tests of documented differences."""
        return self.name == "duologue"

    def module(self, path: str) -> Any:
        """Import the submodule at ``path``, for example ``"sync.client"``."""
        return importlib.import_module(f"{self.name}.{path}")

    def __getattr__(self, name: str) -> Any:
        try:
            module = _MODULE_OF[name]
        except KeyError:
            raise AttributeError(f"{name} isn't in the table of documented names") from None
        return getattr(self.module(module), name)
