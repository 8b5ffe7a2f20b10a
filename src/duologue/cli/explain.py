"""Why a connection could not be opened, in one line for the person at the terminal.

Only words: nothing is decided here. What the server has sent may be part of the line; whoever
prints it must escape it.
"""

from __future__ import annotations

import socket
import ssl
from http import HTTPStatus

from duologue.base.exceptions import ResponseInfo
from duologue.cli.failure import system_text
from duologue.exceptions import (
    InvalidHandshake,
    InvalidHeader,
    InvalidMessage,
    InvalidStatus,
    InvalidUpgrade,
)

__all__ = ["BODY_SHOWN", "reason"]

BODY_SHOWN = 500
"""Characters of a refusal's body that are shown: enough for an error message, not for a page."""


def reason(error: BaseException) -> str:
    """Returns why :func:`duologue.asyncio.client.connect` has failed.

    Args:
        error: What it has raised.
    """
    if isinstance(error, InvalidHandshake):
        return _handshake(error)
    if isinstance(error, OSError):
        return _network(error)
    return str(error) or type(error).__name__


def _network(error: OSError) -> str:
    if isinstance(error, socket.gaierror):
        return f"the host name can't be resolved: {system_text(error)}"
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"the server's certificate can't be trusted: {error.verify_message}"
    if isinstance(error, ssl.SSLError):
        why = (error.reason or str(error)).lower().replace("_", " ")
        return f"the TLS handshake failed: {why}"
    if isinstance(error, TimeoutError) and not error.errno:
        return str(error) or "timed out"
    if isinstance(error, ConnectionResetError):
        return "the server closed the connection without an answer"
    return system_text(error) or type(error).__name__


def _handshake(error: InvalidHandshake) -> str:
    if isinstance(error, InvalidStatus):
        return _refused(error.response)
    if isinstance(error, InvalidUpgrade):
        return f"the server answered without opening a WebSocket: {error}"
    if isinstance(error, InvalidHeader) and error.name == "Sec-WebSocket-Accept":
        return f"the server's answer is not to our request: {error}"
    if isinstance(error, InvalidMessage):
        if isinstance(error.__cause__, (EOFError, ConnectionResetError)):
            return "the server closed the connection without an answer"
        cause = "" if error.__cause__ is None else f" ({error.__cause__})"
        return f"the server did not answer in HTTP: {error}{cause}"
    return str(error) or type(error).__name__


def _refused(response: ResponseInfo) -> str:
    try:
        phrase = response.reason_phrase or HTTPStatus(response.status_code).phrase
    except ValueError:
        phrase = ""
    line = f"the server refused with HTTP {response.status_code} {phrase}".rstrip()
    location = response.headers.get_all("Location")
    if location:
        line += f", Location: {location[0]}"
    body = " ".join(bytes(response.body or b"").decode(errors="replace").split())
    if len(body) > BODY_SHOWN:
        body = body[:BODY_SHOWN] + " …"
    return f"{line}: {body}" if body else line
