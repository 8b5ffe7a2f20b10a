"""What an ASGI application is told of a request: the scope, and the versions we speak.

Pure; knows nothing of what comes and goes afterwards.

Source: ASGI HTTP and WebSocket message format 2.5, "connection scope".
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any
from urllib.parse import quote, unquote

from duologue.protocol.handshake import offered_subprotocols
from duologue.server.exchanges import HTTPExchange, own_headers
from duologue.wire.headers import Headers

Scope = MutableMapping[str, Any]
Event = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Event]]
Send = Callable[[Event], Awaitable[None]]
ASGIApplication = Callable[[Scope, Receive, Send], Awaitable[None]]

ASGI_VERSION = "3.0"
SPEC_VERSION = "2.5"
LIFESPAN_VERSION = "2.0"
EXTENSIONS: dict[str, dict[str, Any]] = {"websocket.http.response": {}}


def make_scope(
    exchange: HTTPExchange, state: dict[str, Any] | None, root_path: str, *, prepend: bool
) -> Scope:
    """Build the scope of a request.

    Args:
        exchange: the request.
        state: of the lifespan; the application gets a shallow copy, ``None`` if it has none.
        root_path: where the application is mounted.
        prepend: whether ``root_path`` was taken off the request's path by a proxy, so that it is
            put back; else the path has it.
    """
    raw_path, _, query = split_target(exchange.request.path)
    path = unquote(raw_path)
    if prepend and root_path:
        path, raw_path = root_path + path, root_path + raw_path
    if outer := exchange.root_path:
        path, raw_path, root_path = outer + path, quote(outer) + raw_path, outer + root_path
    websocket = exchange.asks_upgrade
    scope: Scope = {
        "type": "websocket" if websocket else "http",
        "asgi": {"version": ASGI_VERSION, "spec_version": SPEC_VERSION},
        "http_version": exchange.http_version,
        "scheme": _SCHEMES[exchange.scheme] if websocket else exchange.scheme,
        "path": path,
        "raw_path": raw_path.encode("latin-1"),
        "query_string": query.encode("latin-1"),
        "root_path": root_path,
        "headers": raw_headers(exchange.request.headers),
        "client": exchange.client,
        "server": exchange.server,
    }
    if state is not None:
        scope["state"] = state.copy()
    if websocket:
        scope["subprotocols"] = _subprotocols(exchange.request.headers)
        scope["extensions"] = {name: dict(facts) for name, facts in EXTENSIONS.items()}
    else:
        scope["method"] = exchange.request.method
        scope["extensions"] = {}
    return scope


_SCHEMES = {"http": "ws", "https": "wss"}


def split_target(target: str) -> tuple[str, str, str]:
    """Split a request target into path, ``"?"`` and query; an absolute URL loses its origin."""
    if not target.startswith("/") and "://" in target:
        # RFC 9112 section 3.2.2: servers must accept the form that proxies are sent.
        _, _, rest = target.partition("://")
        slash = min((at for at in (rest.find("/"), rest.find("?")) if at >= 0), default=-1)
        target = "/" if slash < 0 else rest[slash:]
        if target.startswith("?"):
            target = "/" + target
    return target.partition("?")


def raw_headers(headers: Headers) -> list[tuple[bytes, bytes]]:
    """Header fields as ASGI has them: octets, names in lower case."""
    return [
        (name.lower().encode("latin-1"), value.encode("latin-1"))
        for name, value in headers.raw_items()
    ]


def text_headers(headers: Any) -> Headers:
    """Turn the header fields of an application's event into ours.

    Raises:
        ValueError: If one can't be sent.
    """
    return own_headers(
        [(bytes(name).decode("latin-1"), bytes(value).decode("latin-1")) for name, value in headers]
    )


def _subprotocols(headers: Headers) -> list[str]:
    try:
        return [str(each) for each in offered_subprotocols(headers)]
    except Exception:
        # Malformed: accepting will say so.
        return []
