"""Type aliases of the public signatures; names are those of `websockets.typing`.

This module must hold types only: nothing here has behaviour.
"""

from __future__ import annotations

import http
import logging
import os
from collections.abc import Sequence
from typing import Any, NewType

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

Data = str | bytes
"""A received message: `str` for a text message, `bytes` for a binary one (RFC 6455 section 5.6)."""

BytesLike = bytes | bytearray | memoryview
"""Anything accepted as the payload of a binary message."""

DataLike = str | bytes | bytearray | memoryview
"""Anything accepted as a message to send."""

LoggerLike = logging.Logger | logging.LoggerAdapter[Any]
"""Anything accepted as a logger."""

PathLike = str | bytes | os.PathLike[str] | os.PathLike[bytes]
"""Anything accepted as a path in the file system, such as that of a Unix socket."""

StatusLike = http.HTTPStatus | int
"""Anything accepted as an HTTP status code."""

Origin = NewType("Origin", str)
"""Value of an `Origin` header (RFC 6454 section 7)."""

Subprotocol = NewType("Subprotocol", str)
"""One item of a `Sec-WebSocket-Protocol` header (RFC 6455 section 11.3.4)."""

ExtensionName = NewType("ExtensionName", str)
"""Registered name of an extension (RFC 6455 section 9.1)."""

ExtensionParameter = tuple[str, str | None]
"""Name of an extension's parameter and its value; None stands for a parameter without value."""

ExtensionHeader = tuple[ExtensionName, Sequence[ExtensionParameter]]
"""One item of a `Sec-WebSocket-Extensions` header."""

ConnectionOption = NewType("ConnectionOption", str)
"""One item of a `Connection` header (RFC 9110 section 7.6.1)."""

UpgradeProtocol = NewType("UpgradeProtocol", str)
"""One item of an `Upgrade` header (RFC 9110 section 7.8)."""
