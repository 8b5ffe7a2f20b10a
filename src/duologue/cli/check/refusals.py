"""Why a server didn't open a WebSocket, and what software it is: an answer in, words out."""

from __future__ import annotations

from duologue.base.exceptions import InvalidHeader, InvalidUpgrade, NegotiationError
from duologue.cli import explain
from duologue.wire.http11 import Response

__all__ = ["compared", "invalid", "reason", "refused", "software"]

# What servers answer to a handshake whose Upgrade was lost on the way.
_UNFORWARDED = frozenset({200, 400, 404, 405, 426, 501, 505})
_UNAVAILABLE = frozenset({502, 503, 504})
_TOO_LONG = frozenset({414, 431})
_TLS_WANTED = (b"HTTPS port", b"HTTP request to an HTTPS server")
_TLS_ALERT = b"\x15\x03"
# HAProxy doesn't name itself, but all its own errors begin like this.
_HAPROXY = b"<html><body><h1>"

Words = tuple[str, tuple[str, ...]]


def refused(response: Response) -> Words:
    """Returns what to say of a status other than 101, to go after it, and topics of advice.

    Args:
        response: The answer.
    """
    status, body = response.status_code, bytes(response.body)
    if any(words in body for words in _TLS_WANTED):
        return "; the port speaks TLS: use wss instead of ws", ()
    if 300 <= status < 400:
        return "; browsers don't follow redirects of WebSockets", ()
    if status == 401:
        return "; it wants credentials: --auth USER:PASSWORD or -H 'Authorization: …'", ()
    if status == 403:
        return "; it may want a certain Origin (-o) or a cookie (-H 'Cookie: …')", ()
    if status in _TOO_LONG:
        return "; the request's head is too long for it", ("head",)
    if status in _UNAVAILABLE:
        return "; a proxy answers, and what is behind it doesn't", ("backend",)
    if status in _UNFORWARDED and status != 404:
        return "", ("upgrade",)
    return "", ()


def compared(response: Response, plain: Response | None) -> str:
    """Returns what to say if the upgrade made no difference to the server, to go after the status.

    Args:
        response: The answer to the handshake.
        plain: The answer to a plain GET, if there is one.
    """
    status = response.status_code
    if plain is None or status not in _UNFORWARDED or plain.status_code != status:
        return ""
    if status != 404:
        return "; the same as for a plain GET: Upgrade and Connection don't reach the server"
    if plain.body != response.body:
        return ""
    return (
        "; the same as for a plain GET: nothing is at this path, or a proxy on the way doesn't "
        "forward Upgrade"
    )


def invalid(cause: BaseException | None, octets: bytes) -> Words:
    """Returns what to say of an answer that is no refusal and no handshake, and topics of advice.

    Args:
        cause: What is wrong with it.
        octets: The answer.
    """
    if isinstance(cause, InvalidUpgrade):
        return f"101, but {cause}", ("upgrade",)
    if isinstance(cause, InvalidHeader) and cause.name.lower() == "sec-websocket-accept":
        return f"101, but not to our request: {cause}; a cache or a script may answer", ()
    if isinstance(cause, NegotiationError):
        return f"101, but {cause}", ()
    if octets.startswith(_TLS_ALERT):
        return "the port speaks TLS: use wss instead of ws", ()
    return reason(cause), ()


def reason(error: BaseException | None) -> str:
    """Returns why something failed."""
    if isinstance(error, TimeoutError) and str(error):
        return str(error)
    return "no answer" if error is None else explain.reason(error)


def software(response: Response) -> str:
    """Returns what a server says it is, empty if it doesn't say.

    Args:
        response: Any answer of it.
    """
    named = response.headers.get_all("Server") + response.headers.get_all("Via")
    if not named and bytes(response.body).startswith(_HAPROXY):
        return "HAProxy"
    return ", ".join(named)
