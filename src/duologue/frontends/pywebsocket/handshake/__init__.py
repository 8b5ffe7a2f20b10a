"""The opening handshake, and the exceptions by which handlers end it."""

from __future__ import annotations

from typing import Any

from duologue.frontends.pywebsocket.exceptions import (
    AbortedByUserException,
    HandshakeException,
    VersionException,
)
from duologue.frontends.pywebsocket.handshake import base, hybi

__all__ = [
    "AbortedByUserException",
    "HandshakeException",
    "VersionException",
    "base",
    "do_handshake",
    "hybi",
]


def do_handshake(request: Any, dispatcher: Any) -> None:
    """Judges a request, asks its handler, and sends the 101.

    Args:
        request: See :class:`~duologue.frontends.pywebsocket.request.Request`; gets what handlers
            find on it.
        dispatcher: Has the handlers.

    Raises:
        HandshakeException: If the request is no opening handshake, or is refused; with a status.
        VersionException: If it is of another version.
        AbortedByUserException: If the handler wants the connection to end without an answer.
    """
    hybi.do_handshake(request, dispatcher)
