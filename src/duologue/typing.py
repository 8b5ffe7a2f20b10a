"""Types of the public signatures; names are those of `websockets.typing`."""

from __future__ import annotations

from duologue.base.types import (
    BytesLike,
    ConnectionOption,
    Data,
    DataLike,
    ExtensionHeader,
    ExtensionName,
    ExtensionParameter,
    LoggerLike,
    Origin,
    PathLike,
    StatusLike,
    Subprotocol,
    UpgradeProtocol,
)

__all__ = [
    "BytesLike",
    "ConnectionOption",
    "Data",
    "DataLike",
    "ExtensionHeader",
    "ExtensionName",
    "ExtensionParameter",
    "LoggerLike",
    "Origin",
    "PathLike",
    "StatusLike",
    "Subprotocol",
    "UpgradeProtocol",
]
