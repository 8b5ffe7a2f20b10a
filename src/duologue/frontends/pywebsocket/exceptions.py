"""What handlers may catch, and raise.

Where a pywebsocket3 of its own is installed, ours derive from its: helpers that imported that one
before catch ours as well.

=================================  ===============================================================
exception                          how a connection ends that nobody catches it on
=================================  ===============================================================
``AbortedByUserException``         nothing is sent, TCP is closed
``HandshakeException``             before the 101: an HTTP answer with its status, by default 400
``VersionException``               before the 101: 400 that names the supported versions
``DispatchException``              before the 101: an HTTP answer with its status, by default 404
``BadOperationException``          Close 1011
``InvalidFrameException``          Close 1002
``UnsupportedFrameException``      Close 1003
``InvalidUTF8Exception``           Close 1007
``MessageTooBigException``         Close 1009
``ConnectionTerminatedException``  nothing is sent: the peer is gone
=================================  ===============================================================

``HandshakeException`` and ``DispatchException`` raised by a handler's
``web_socket_do_extra_handshake`` make it a 403, whatever their status.
"""

from __future__ import annotations

import importlib
from typing import Any

from duologue.frontends.pywebsocket.names import installed

__all__ = [
    "AbortedByUserException",
    "BadOperationException",
    "ConnectionTerminatedException",
    "DispatchException",
    "ExtensionParsingException",
    "HandshakeException",
    "InvalidFrameException",
    "InvalidUTF8Exception",
    "MessageTooBigException",
    "UnsupportedFrameException",
    "VersionException",
]


def _original(module: str, name: str) -> Any:
    """Returns the exception of an installed pywebsocket3; ``Exception`` if there is none."""
    if not installed():
        return Exception
    try:
        return getattr(importlib.import_module(f"pywebsocket3.{module}"), name)
    except Exception:  # installed, but not usable with this Python
        return Exception


_Terminated: Any = _original("_stream_exceptions", "ConnectionTerminatedException")
_InvalidFrame: Any = _original("_stream_exceptions", "InvalidFrameException")
_BadOperation: Any = _original("_stream_exceptions", "BadOperationException")
_UnsupportedFrame: Any = _original("_stream_exceptions", "UnsupportedFrameException")
_InvalidUTF8: Any = _original("_stream_exceptions", "InvalidUTF8Exception")
_Aborted: Any = _original("handshake", "AbortedByUserException")
_Handshake: Any = _original("handshake", "HandshakeException")
_Version: Any = _original("handshake", "VersionException")
_Dispatch: Any = _original("dispatch", "DispatchException")
_ExtensionParsing: Any = _original("common", "ExtensionParsingException")


class ConnectionTerminatedException(_Terminated):  # type: ignore[misc]
    """The peer is gone, or did not answer in time."""


# With a pywebsocket3 installed its own InvalidFrameException is a base as well.
_FRAME_BASES: tuple[Any, ...] = (
    (ConnectionTerminatedException,)
    if _InvalidFrame is Exception
    else (ConnectionTerminatedException, _InvalidFrame)
)


class InvalidFrameException(*_FRAME_BASES):  # type: ignore[misc]
    """The peer broke the framing rules: masks, order of opcodes, control frames, Close bodies."""


class MessageTooBigException(ConnectionTerminatedException):
    """A message is larger than ``--max-size``; what follows it can't be read."""


class BadOperationException(_BadOperation):  # type: ignore[misc]
    """The handler asked for what can't be: a message after Close, bytes as text, a bad code."""


class UnsupportedFrameException(_UnsupportedFrame):  # type: ignore[misc]
    """A frame has a reserved bit or an unknown opcode; the next one can be received."""


class InvalidUTF8Exception(_InvalidUTF8):  # type: ignore[misc]
    """A text message is not UTF-8."""


class AbortedByUserException(_Aborted):  # type: ignore[misc]
    """Raised by handlers to end the connection at once."""


class HandshakeException(_Handshake):  # type: ignore[misc]
    """The opening handshake failed.

    Args:
        name: Why.
        status: HTTP status of the answer; ``None`` leaves it to the server.
    """

    def __init__(self, name: object, status: int | None = None) -> None:
        Exception.__init__(self, name)
        self.status = status


class VersionException(_Version):  # type: ignore[misc]
    """The client asked for another version of the protocol.

    Args:
        name: Why.
        supported_versions: What the answer's ``Sec-WebSocket-Version`` says.
    """

    def __init__(self, name: object, supported_versions: str = "") -> None:
        Exception.__init__(self, name)
        self.supported_versions = supported_versions


class DispatchException(_Dispatch):  # type: ignore[misc]
    """There is no handler, or it can't be used.

    Args:
        name: Why.
        status: HTTP status of the answer.
    """

    def __init__(self, name: object, status: int = 404) -> None:
        Exception.__init__(self, name)
        self.status = status


class ExtensionParsingException(_ExtensionParsing):  # type: ignore[misc]
    """A ``Sec-WebSocket-Extensions`` header can't be read."""

    def __init__(self, name: object) -> None:
        Exception.__init__(self, name)
