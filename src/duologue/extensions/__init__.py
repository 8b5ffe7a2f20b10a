"""Extensions of the protocol; names are those of `websockets.extensions`."""

from __future__ import annotations

from duologue.wire.extension import (
    ClientExtensionFactory,
    Extension,
    ServerExtensionFactory,
)

__all__ = [
    "ClientExtensionFactory",
    "Extension",
    "ServerExtensionFactory",
]
