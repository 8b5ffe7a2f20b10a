"""Whether to follow a redirect, and what goes with it. Nothing here connects."""

from __future__ import annotations

from duologue.base.exceptions import InvalidStatus, SecurityError
from duologue.wire.headers import Headers, HeadersLike
from duologue.wire.uri import WebSocketURI, parse_uri, parse_url

REDIRECTS = frozenset({300, 301, 302, 303, 307, 308})
# What is for one server only. A Host that the program has set names that server too.
CREDENTIALS = frozenset({"authorization", "cookie", "proxy-authorization", "host"})


def same_origin(one: WebSocketURI, other: WebSocketURI) -> bool:
    """Whether scheme, host and port are the same (RFC 6454 section 5)."""
    return (one.secure, one.host, one.port) == (other.secure, other.host, other.port)


def find_target(exc: Exception, uri: str) -> tuple[str, WebSocketURI] | None:
    """Find where a refusal redirects to.

    Args:
        exc: why the handshake failed.
        uri: what was asked for.

    Returns:
        The URI to ask for instead, as text and parsed; ``None`` if this is no redirect.

    Raises:
        InvalidURI: If it redirects to something that is no WebSocket URI.
    """
    if not isinstance(exc, InvalidStatus) or exc.response.status_code not in REDIRECTS:
        return None
    location = exc.response.headers.get_all("Location")
    if len(location) != 1:
        return None
    # A fragment is for whoever shows a page (RFC 9110 section 10.2.2).
    target = parse_url(location[0], uri).href.partition("#")[0]
    return target, parse_uri(target)


def check_target(now: WebSocketURI, then: WebSocketURI, target: str) -> None:
    """Refuse a redirect to a weaker place.

    Raises:
        SecurityError: If it leads from ``wss`` to ``ws``.
    """
    if now.secure and not then.secure:
        raise SecurityError(f"cannot follow redirect to non-secure URI {target}")


def without_credentials(headers: HeadersLike | None) -> HeadersLike | None:
    """Leave out of ``headers`` what another origin must not see."""
    if headers is None:
        return None
    return Headers(
        [
            (name, value)
            for name, value in Headers(headers).raw_items()
            if name.lower() not in CREDENTIALS
        ]
    )
