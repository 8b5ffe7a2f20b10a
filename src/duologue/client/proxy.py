"""Which proxy to go through, and what to ask an HTTP proxy for.

What it is: the proxy's address as a value, its choice from the environment, and the CONNECT
request. Names and choices are those of `websockets.proxy`. It must never connect.

Sources: RFC 9110 section 9.3.6 (CONNECT) and 11.7 (Proxy-Authorization); RFC 6455 section 4.1 step
3 and section 10.
"""

from __future__ import annotations

import os
import re
import sys
import urllib.parse
from dataclasses import dataclass

from duologue.base.exceptions import InvalidProxy
from duologue.wire.grammar import build_authorization_basic, build_host
from duologue.wire.headers import Headers
from duologue.wire.host import parse_host
from duologue.wire.http11 import USER_AGENT, Request
from duologue.wire.uri import WebSocketURI

__all__ = ["Proxy", "get_proxy", "parse_proxy", "prepare_connect_request"]

_DEFAULT_PORTS = {
    "http": 80,
    "https": 443,
    "socks4": 1080,
    "socks4a": 1080,
    "socks5": 1080,
    "socks5h": 1080,
}


# Errors are logged and sent around.
_password = re.compile(r"(//[^/@:]*):[^/@]*@")


@dataclass
class Proxy:
    """Address of a proxy.

    Attributes:
        scheme: ``"http"``, ``"https"``, ``"socks4"``, ``"socks4a"``, ``"socks5"`` or
            ``"socks5h"``. With ``socks4a`` and ``socks5h`` the proxy looks up the server's name.
        host: Host in lower case; an IPv6 address without brackets.
        port: TCP port, the default one if none is given: 80, 443 for ``https``, 1080 for SOCKS.
        username: User name, decoded; ``None`` without credentials.
        password: Password, decoded; ``None`` without credentials.
    """

    scheme: str
    host: str
    port: int
    username: str | None = None
    password: str | None = None

    @property
    def user_info(self) -> tuple[str, str] | None:
        """User name and password, ``None`` without them."""
        if self.username is None or self.password is None:
            return None
        return self.username, self.password

    @property
    def secure(self) -> bool:
        """Whether the connection to the proxy itself uses TLS."""
        return self.scheme == "https"

    @property
    def is_socks(self) -> bool:
        """Whether the proxy speaks SOCKS, not HTTP."""
        return self.scheme.startswith("socks")

    def __str__(self) -> str:
        """The address without credentials, for messages."""
        return (
            f"{self.scheme}://{build_host(self.host, self.port, False, always_include_port=True)}"
        )


def parse_proxy(proxy: str) -> Proxy:
    """Parse the address of a proxy.

    Args:
        proxy: Such as ``"http://user:password@proxy.example:3128"``.

    Returns:
        Its parts.

    Raises:
        InvalidProxy: If it can't be parsed, has another scheme, no host, more than an address, or
            a user name without a password. A password is not shown.
    """
    url = proxy
    proxy = _password.sub(r"\1:***@", proxy)
    try:
        parts = urllib.parse.urlsplit(url)
        port = parts.port
    except ValueError as exc:
        raise InvalidProxy(proxy, str(exc)) from None
    if parts.scheme not in _DEFAULT_PORTS:
        raise InvalidProxy(proxy, f"scheme {parts.scheme} isn't supported")
    if parts.hostname is None:
        raise InvalidProxy(proxy, "hostname isn't provided")
    if parts.path not in ("", "/"):
        raise InvalidProxy(proxy, "path is meaningless")
    if parts.query:
        raise InvalidProxy(proxy, "query is meaningless")
    if parts.fragment:
        raise InvalidProxy(proxy, "fragment is meaningless")
    if parts.username is not None and parts.password is None:
        raise InvalidProxy(proxy, "username provided without password")
    bracketed = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    try:
        host = parse_host(bracketed).strip("[]")
        username, password = (_decode(part) for part in (parts.username, parts.password))
    except ValueError as exc:
        raise InvalidProxy(proxy, str(exc)) from None
    return Proxy(parts.scheme, host, port or _DEFAULT_PORTS[parts.scheme], username, password)


def _decode(part: str | None) -> str | None:
    return None if part is None else urllib.parse.unquote(part, errors="strict")


def get_proxy(uri: WebSocketURI) -> str | None:
    """Choose the proxy that the system is configured to use for a server.

    For ``wss`` the first of ``wss_proxy``, ``socks_proxy`` and ``https_proxy`` counts, for ``ws``
    the first of ``ws_proxy``, ``socks_proxy``, ``https_proxy`` and ``http_proxy``; ``no_proxy``
    names hosts to connect to directly. They are read by :func:`urllib.request.getproxies` and
    :func:`urllib.request.proxy_bypass`, so that lower case wins over upper case, ``HTTP_PROXY``
    doesn't count in a CGI script, and on macOS and Windows the system's settings count where the
    environment has none. ``no_proxy`` takes names with all that end in them, addresses and ports,
    and ``*`` alone; it takes no networks such as ``10.0.0.0/8``.

    Args:
        uri: Where the connection shall lead.

    Returns:
        The proxy's address as configured, ``None`` to connect directly.
    """
    if not _may_be_configured():
        return None
    # Not at the top: it takes as long to import as everything else together.
    import urllib.request

    if urllib.request.proxy_bypass(f"{uri.host}:{uri.port}"):
        return None
    proxies = urllib.request.getproxies()
    for scheme in ("wss", "socks", "https") if uri.secure else ("ws", "socks", "https", "http"):
        proxy = proxies.get(scheme)
        if proxy is not None:
            # How the system's settings of macOS come.
            if scheme == "socks" and proxy.startswith("http://"):
                return "socks5h://" + proxy.removeprefix("http://")
            return proxy
    return None


def _may_be_configured() -> bool:
    """Whether it is worth asking: elsewhere than in the environment only these systems look."""
    if sys.platform in ("darwin", "win32"):
        return True
    return any(name.lower().endswith("_proxy") for name in os.environ)


def prepare_connect_request(
    proxy: Proxy,
    ws_uri: WebSocketURI,
    user_agent_header: str | None = USER_AGENT,
) -> bytes:
    """Build the request for a tunnel through an HTTP proxy.

    Args:
        proxy: The proxy, whose credentials the request carries.
        ws_uri: Where the tunnel shall lead.
        user_agent_header: Value of ``User-Agent``, ``None`` for none.

    Returns:
        The request's octets.
    """
    headers = Headers()
    headers["Host"] = build_host(ws_uri.host, ws_uri.port, ws_uri.secure)
    if user_agent_header is not None:
        headers["User-Agent"] = user_agent_header
    if proxy.user_info is not None:
        headers["Proxy-Authorization"] = build_authorization_basic(*proxy.user_info)
    target = build_host(ws_uri.host, ws_uri.port, ws_uri.secure, always_include_port=True)
    return Request(target, headers, "CONNECT").serialize()
