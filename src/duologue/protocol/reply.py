"""The HTTP answers a server gives on its own account: refusals, and the date they carry.

What it is: pure functions from a reason (a status and a text, or an exception) to a
`Response`. What it must never know: who asked, over what transport, and
what happens to the connection afterwards.

Invariants: every response has `Date`, `Content-Length`, `Content-Type` and
`Connection: close`; a body never reveals more than the peer's own mistake (an unexpected
exception becomes a plain 500).

Sources: RFC 6455 §4.2.2 and §4.4, RFC 9110 §15.5 and §15.6, §5.6.7 (dates).
"""

from __future__ import annotations

import functools
import http
import time

from duologue.base.exceptions import (
    BodyTooLarge,
    InvalidHandshake,
    InvalidHeader,
    InvalidHeaderValue,
    InvalidMessage,
    InvalidMethod,
    InvalidOrigin,
    InvalidProtocol,
    InvalidUpgrade,
    RequestLineTooLong,
    SecurityError,
)
from duologue.base.types import StatusLike
from duologue.wire.headers import Headers
from duologue.wire.http11 import Response

__all__ = ["explain", "http_date", "rejection", "respond", "status_for"]

_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS = (
    *("Jan", "Feb", "Mar", "Apr", "May", "Jun"),
    *("Jul", "Aug", "Sep", "Oct", "Nov", "Dec"),
)

VERSION_HEADER = "Sec-WebSocket-Version"


@functools.lru_cache(maxsize=4)
def _format_second(second: int) -> str:
    year, month, day, hour, minute, sec, weekday, _, _ = time.gmtime(second)
    clock = f"{hour:02}:{minute:02}:{sec:02}"
    return f"{_DAYS[weekday]}, {day:02} {_MONTHS[month - 1]} {year:04} {clock} GMT"


def http_date(now: float | None = None) -> str:
    """Format a point in time as an IMF-fixdate (RFC 9110 §5.6.7), in English in every locale.

    Args:
        now: Seconds since the epoch; the present when left out.

    Returns:
        For example `Sun, 06 Nov 1994 08:49:37 GMT`.
    """
    return _format_second(int(time.time() if now is None else now))


def respond(status: StatusLike, text: str) -> Response:
    """Build a plain-text answer that ends the HTTP connection.

    Args:
        status: Status code known to `http.HTTPStatus`.
        text: Body, encoded as UTF-8.

    Returns:
        A response with `Date`, `Connection: close`, `Content-Length` and `Content-Type`;
        headers may be added to it before it is sent.

    Raises:
        ValueError: If `status` isn't a registered status code.
    """
    known = http.HTTPStatus(status)
    body = text.encode()
    headers = Headers(
        [
            ("Date", http_date()),
            ("Connection", "close"),
            ("Content-Length", str(len(body))),
            ("Content-Type", "text/plain; charset=utf-8"),
        ]
    )
    return Response(known.value, known.phrase, headers, body)


def explain(exc: BaseException) -> str:
    """Put an exception and everything it was raised from into one line."""
    parts = []
    cause: BaseException | None = exc
    while cause is not None:
        if text := str(cause):
            parts.append(text)
        cause = cause.__cause__
    return "; ".join(parts)


def _concerns_version(exc: BaseException) -> bool:
    return isinstance(exc, InvalidHeader) and exc.name.lower() == VERSION_HEADER.lower()


def status_for(exc: BaseException) -> int:
    """Choose the HTTP status that answers a request refused with `exc`.

    The `InvalidMessage` around a parser's complaint answers with the status of that complaint.
    Anything that isn't the peer's fault is 500.
    """
    if isinstance(exc, InvalidMessage) and exc.__cause__ is not None:
        inner = status_for(exc.__cause__)
        return inner if inner != 500 else 400
    match exc:
        case InvalidOrigin():
            return 403
        case InvalidMethod():
            return 405
        case InvalidProtocol():
            return 505
        case InvalidUpgrade():
            return 426
        case RequestLineTooLong():
            return 414
        case BodyTooLarge():
            return 413
        case SecurityError():
            return 431
        case NotImplementedError():
            return 501
        case InvalidHeaderValue() if _concerns_version(exc):
            return 426
        case InvalidHandshake():
            return 400
    return 500


def rejection(exc: BaseException) -> Response:
    """Build the HTTP answer for a request that was refused.

    403 for an origin, 405 with `Allow` for a method, 505 for an HTTP version, 426 with `Upgrade`
    where a WebSocket handshake was expected, 426 with `Sec-WebSocket-Version: 13` for another
    version of the protocol (RFC 6455 §4.4), 414 and 431 for heads over a limit, 413 for bodies over
    one, 501 for an unknown
    transfer coding, 400 for every other mistake of the peer, 500 for ours.

    Args:
        exc: Why the request is refused.

    Returns:
        A response that closes the connection; its body names the reason, except with 500.
    """
    status = status_for(exc)
    if status == 500:
        return respond(status, "Internal server error: the server's log says why.\n")
    text = f"Request refused: {explain(exc)}.\n"
    if isinstance(exc, InvalidUpgrade):
        text += "\nThis address speaks WebSocket. Open it with a WebSocket client.\n"
    response = respond(status, text)
    if status == 405:
        response.headers["Allow"] = "GET"
    if status == 426:
        # RFC 9110 §7.8: who sends Upgrade must also list it in Connection.
        del response.headers["Connection"]
        response.headers["Connection"] = "close, Upgrade"
        response.headers["Upgrade"] = "websocket"
    if _concerns_version(exc):
        response.headers[VERSION_HEADER] = "13"
    return response
