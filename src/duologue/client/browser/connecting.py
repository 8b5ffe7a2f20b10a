"""How a browser's socket connects: as :class:`duologue.connect` does, but for what a page can't.

No redirect is followed, credentials of the URL are sent only to a server that asks for them, and
one that was offered subprotocols must choose one (WHATWG WebSockets section 2, "establish a
WebSocket connection").

To one server sockets connect one after the other, in the order in which they were made (RFC 6455
section 4.1, step 2). A server is what an origin names here, and each event loop has its own order.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from typing import Any
from urllib.parse import unquote
from weakref import WeakValueDictionary

from duologue.base.exceptions import InvalidStatus, SecurityError
from duologue.base.limits import DEFAULT_LIMITS, Limits
from duologue.base.types import Subprotocol
from duologue.client.browser.arguments import is_blocked
from duologue.client.connecting import connect
from duologue.client.connection import ClientConnection
from duologue.wire.grammar import build_authorization_basic
from duologue.wire.headers import Headers
from duologue.wire.uri import URL

__all__ = ["BROWSER_LIMITS", "BrowserConnect"]

BROWSER_LIMITS: Limits = replace(
    DEFAULT_LIMITS,
    max_size=16 * 2**20,
    max_outbox=256 * 2**20,
    open_timeout=20.0,
    ping_interval=None,
)
"""Bounds of browser sockets where they are given no others.

Browsers have hardly any bounds, so that pages count on none: messages may have 16 MiB; 256 MiB may
wait to be sent, since ``send()`` can't wait; the opening handshake may take 20 seconds, as in
Firefox; and nothing pings.
"""


# Whose turn it is to connect to a server; kept by those who connect or wait.
_turns: WeakValueDictionary[tuple[int, str], asyncio.Lock] = WeakValueDictionary()


class BrowserConnect(connect):
    """Connects one socket; awaited once.

    Args:
        url: of the socket.
        protocols: subprotocols to offer.
        limits: every bound.
        **options: others of :class:`duologue.connect`.
    """

    _require_subprotocol = True

    def __init__(
        self,
        url: URL,
        protocols: Sequence[Subprotocol],
        *,
        limits: Limits = BROWSER_LIMITS,
        **options: Any,
    ) -> None:
        self._url = url
        plain = replace(url, username="", password="", fragment=None)
        super().__init__(plain.href, subprotocols=protocols or None, limits=limits, **options)
        self._settings.any_close_code = True

    def process_redirect(self, exc: Exception) -> Exception | str:
        """Follow none."""
        return exc

    async def connect(self) -> ClientConnection:
        """Open the connection."""
        if is_blocked(self._url):
            raise SecurityError(f"port {self._url.port} is blocked, as browsers have it")
        async with self._turn():
            try:
                return await super().connect()
            except InvalidStatus as exc:
                if not self._answer_challenge(exc):
                    raise
            return await super().connect()

    def _turn(self) -> asyncio.Lock:
        server = id(asyncio.get_running_loop()), self._url.origin
        return _turns.setdefault(server, asyncio.Lock())

    def _answer_challenge(self, refusal: InvalidStatus) -> bool:
        """Have the next request say who we are, if the server asks and the URL tells."""
        url, response = self._url, refusal.response
        challenges = response.headers.get_all("WWW-Authenticate")
        asked = any(challenge.lower().startswith("basic") for challenge in challenges)
        if response.status_code != 401 or not asked or not (url.username or url.password):
            return False
        uri, ws_uri, given = self._given
        headers = Headers(given or ())
        headers["Authorization"] = build_authorization_basic(
            unquote(url.username, errors="surrogateescape"),
            unquote(url.password, errors="surrogateescape"),
        )
        self._given = uri, ws_uri, headers
        return True
