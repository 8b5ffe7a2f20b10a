"""The threads API under test, reached through its documented import paths and nothing else."""

from __future__ import annotations

from ..library import Library, modules_of

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


class SyncLibrary(Library):
    """The threads API of a WebSocket package; its public names are attributes."""

    modules = modules_of(NAMES_BY_MODULE)

    @property
    def ours(self) -> bool:
        """Whether it is duologue, for the few tests of documented differences."""
        return self.name == "duologue"
