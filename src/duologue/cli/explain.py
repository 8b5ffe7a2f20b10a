"""Why a connection could not be opened, in one line for the person at the terminal.

Only words: nothing is decided here. What the server has sent may be part of the line; whoever
prints it must escape it.
"""

from __future__ import annotations

import re
import socket
import ssl
from http import HTTPStatus

from duologue.base.exceptions import ResponseInfo
from duologue.cli.failure import system_text
from duologue.client.redirects import REDIRECTS
from duologue.exceptions import (
    InvalidHandshake,
    InvalidHeader,
    InvalidMessage,
    InvalidProxy,
    InvalidProxyMessage,
    InvalidProxyStatus,
    InvalidStatus,
    InvalidUpgrade,
    ProxyError,
)

__all__ = ["BODY_SHOWN", "reason", "without_password"]

BODY_SHOWN = 500
"""Characters of a refusal's body that are shown: enough for an error message, not for a page."""


_PASSWORD = re.compile(r"(?<=://)([^/?#@:]*):[^/?#]*(?=@)")


def without_password(url: str) -> str:
    """Returns a URL for showing: what is printed ends up in logs and in questions to others.

    Args:
        url: Any URL, also a wrong one.
    """
    return _PASSWORD.sub(r"\1:***", url)


def reason(error: BaseException) -> str:
    """Returns why :func:`duologue.asyncio.client.connect` has failed.

    Args:
        error: What it has raised.
    """
    if isinstance(error, ProxyError):
        return _proxy(error)
    if isinstance(error, InvalidHandshake):
        return _handshake(error)
    if isinstance(error, InvalidProxy):
        return f"the system is configured to use a proxy that can't be: {error}"
    if isinstance(error, OSError):
        return _network(error) + _way(error)
    return str(error) or type(error).__name__


def _way(error: BaseException) -> str:
    """Names the proxy, if there is one: it is likely to be the cause."""
    notes: list[str] = getattr(error, "__notes__", [])
    return "".join(f" ({note})" for note in notes if " proxy " in note)


def _proxy(error: ProxyError) -> str:
    if isinstance(error, InvalidProxyStatus):
        return f"the proxy refused with {_answer(error.response)}{_way(error)}"
    if isinstance(error, InvalidProxyMessage):
        if isinstance(error.__cause__, (EOFError, ConnectionError)):
            return f"the proxy closed the connection without an answer{_way(error)}"
        cause = "" if error.__cause__ is None else f" ({error.__cause__})"
        return f"the proxy did not answer in HTTP: {error}{cause}{_way(error)}"
    return f"{error}{_way(error)}"


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
        if isinstance(error.__cause__, ssl.SSLError):  # about our certificate, with TLS 1.3
            return _network(error.__cause__)
        if isinstance(error.__cause__, (EOFError, ConnectionError)):
            return "the server closed the connection without an answer"
        cause = "" if error.__cause__ is None else f" ({error.__cause__})"
        return f"the server did not answer in HTTP: {error}{cause}"
    return str(error) or type(error).__name__


def _refused(response: ResponseInfo) -> str:
    location = response.headers.get_all("Location")
    if location and response.status_code in REDIRECTS:
        return f"the server redirects to {location[0]}, which -L follows: {_answer(response)}"
    return f"the server refused with {_answer(response)}"


def _answer(response: ResponseInfo) -> str:
    try:
        phrase = response.reason_phrase or HTTPStatus(response.status_code).phrase
    except ValueError:
        phrase = ""
    line = f"HTTP {response.status_code} {phrase}".rstrip()
    body = " ".join(bytes(response.body or b"").decode(errors="replace").split())
    if len(body) > BODY_SHOWN:
        body = body[:BODY_SHOWN] + " …"
    return f"{line}: {body}" if body else line
