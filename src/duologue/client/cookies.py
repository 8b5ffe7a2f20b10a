"""Cookies of the handshake, kept in a jar of the standard library (RFC 6265).

The jar's policy decides everything; this only shows it the request and the response as those of
the HTTP exchange that the handshake is (RFC 6455 section 4.1).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from duologue.wire.grammar import build_host
from duologue.wire.headers import Headers
from duologue.wire.http11 import Response
from duologue.wire.uri import WebSocketURI

if TYPE_CHECKING:
    import urllib.request
    from http.cookiejar import CookieJar


def _as_http(uri: WebSocketURI) -> urllib.request.Request:
    # Imported with http.cookiejar in any case, which the program must have done.
    import urllib.request

    scheme = "https" if uri.secure else "http"
    return urllib.request.Request(
        f"{scheme}://{build_host(uri.host, uri.port, uri.secure)}{uri.resource_name}"
    )


def add_cookies(jar: CookieJar, uri: WebSocketURI, headers: Headers) -> None:
    """Add the cookies that are for ``uri``, unless the program gives a ``Cookie`` header itself.

    Args:
        jar: where the cookies are.
        uri: where the request goes.
        headers: of the request.
    """
    if "Cookie" in headers:
        return
    request = _as_http(uri)
    jar.add_cookie_header(request)
    cookies = request.get_header("Cookie")
    if cookies is not None:
        headers["Cookie"] = cookies


class _Answer:
    """A response as the jar looks at it."""

    def __init__(self, response: Response) -> None:
        self._headers = response.headers

    def info(self) -> _Answer:
        return self

    def get_all(self, name: str, default: Any = None) -> Any:
        return self._headers.get_all(name) or default


def keep_cookies(jar: CookieJar, uri: WebSocketURI, response: Response) -> None:
    """Keep the cookies that a response sets, whatever its status.

    Args:
        jar: where to keep them.
        uri: what was asked for.
        response: what came.
    """
    if "Set-Cookie" in response.headers or "Set-Cookie2" in response.headers:
        jar.extract_cookies(_Answer(response), _as_http(uri))  # type: ignore[arg-type]
