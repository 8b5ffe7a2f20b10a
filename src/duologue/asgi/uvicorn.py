"""duologue as uvicorn's WebSocket protocol: ``uvicorn --ws duologue.asgi.uvicorn:Protocol``.

uvicorn listens, speaks HTTP, runs the application's lifespan and logs; from the opening handshake
on the connection is ours, on the transport that uvicorn hands over. All of its options that begin
with ``--ws-`` count.

What it must never know: anything of uvicorn but what it gives a protocol (its configuration and
state, whose names are used here), so that it needn't be installed to import this.

Invariant: a :class:`Protocol` is among ``server_state.connections`` from ``connection_made`` to
``connection_lost``, and its application's task among ``server_state.tasks``: uvicorn waits for both
when it ends.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Any
from urllib.parse import quote
from weakref import WeakKeyDictionary

from duologue.asgi.host import ASGIHost
from duologue.asgi.http import HTTPConversation
from duologue.asgi.scope import ASGIApplication, Event, Scope
from duologue.asgi.standing import standing_server
from duologue.asgi.websocket import WebSocketConversation
from duologue.base.vocabulary import CloseCode
from duologue.net.asyncio_link import AsyncioLink
from duologue.protocol.handshake import check_request
from duologue.server.exchanges import HTTPExchange
from duologue.server.link_exchange import LinkExchange
from duologue.server.serving import Server

_TRACE = 5


class Protocol(AsyncioLink):
    """What uvicorn makes for each opening handshake.

    Args:
        config: uvicorn's ``Config``.
        server_state: its ``ServerState``.
        app_state: state of the application's lifespan.
        _loop: ignored: it is the running one.
    """

    def __init__(
        self,
        config: Any,
        server_state: Any,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        if not config.loaded:
            config.load()
        self.config = config
        self.connections: set[Any] = server_state.connections
        self.conversation: WebSocketConversation | None = None
        self._logger = logging.getLogger("uvicorn.error")
        server = _server_of(config, server_state, app_state)
        super().__init__(server.reception.link_opened)

    # -- asyncio.Protocol, as uvicorn calls it

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the transport over."""
        self.connections.add(self)
        self._trace(transport, "made")
        super().connection_made(transport)

    def data_received(self, data: bytes) -> None:
        """Take the octets that uvicorn has read already; later ones come by ``get_buffer``."""
        while data:
            buffer = memoryview(self.get_buffer(len(data)))
            size = min(len(buffer), len(data))
            buffer[:size] = data[:size]
            self.buffer_updated(size)
            data = data[size:]

    def connection_lost(self, exc: Exception | None) -> None:
        """The transport is closed."""
        self.connections.discard(self)
        self._trace(self.transport, "lost")
        super().connection_lost(exc)

    def shutdown(self) -> None:
        """End because uvicorn ends: with 1012, or 500 if nothing was accepted yet."""
        if self.conversation is not None:
            self.conversation.shut_down(CloseCode.SERVICE_RESTART)
        else:
            self.transport.close()

    def _trace(self, transport: Any, what: str) -> None:
        if self._logger.isEnabledFor(_TRACE):
            client = transport.get_extra_info("peername")
            prefix = "{}:{} - ".format(*client[:2]) if isinstance(client, tuple) else ""
            self._logger.log(_TRACE, "%sWebSocket connection %s", prefix, what)


class _Host(ASGIHost):
    """uvicorn's application."""

    def __init__(self, app: ASGIApplication, config: Any, server_state: Any, state: Any) -> None:
        super().__init__(app, state=state, root_path=config.root_path)
        self._version = config.asgi_version
        self._server_state = server_state

    def converse(
        self, exchange: HTTPExchange, scope: Scope
    ) -> HTTPConversation | WebSocketConversation:
        if not exchange.asks_upgrade:
            # uvicorn took it for a handshake, and has no other use for its link: say what is wrong.
            check_request(exchange.request)
        scope["asgi"]["version"] = self._version
        assert isinstance(exchange, LinkExchange)
        conversation = _Conversation(exchange, scope, self._server_state)
        assert isinstance(exchange.link, Protocol)
        exchange.link.conversation = conversation
        return conversation


class _Conversation(WebSocketConversation):
    """Logs as uvicorn's own protocols do, and sends its headers."""

    def __init__(self, exchange: HTTPExchange, scope: Scope, server_state: Any) -> None:
        super().__init__(exchange, None)
        self._scope = scope
        self._server_state = server_state

    async def _answer(self, kind: str, event: Event) -> None:
        what = {"websocket.accept": "[accepted]", "websocket.close": "403"}.get(kind)
        if kind == "websocket.http.response.start":
            what = str(event["status"])
        if what is not None and not self.client_gone:
            self._log(what)
        await super()._answer(kind, event)

    async def _accept(self, event: Event) -> None:
        headers = [*self._server_state.default_headers, *(event.get("headers") or ())]
        await super()._accept({**event, "headers": headers})

    def _log(self, what: str) -> None:
        client, query = self._scope["client"], self._scope["query_string"].decode("ascii")
        path = quote(self._scope["path"]) + ("?" + query if query else "")
        logging.getLogger("uvicorn.error").info(
            '%s - "WebSocket %s" %s',
            "" if client is None else f"{client[0]}:{client[1]}",
            path,
            what,
        )


_servers: WeakKeyDictionary[Any, tuple[asyncio.AbstractEventLoop, Server]] = WeakKeyDictionary()


def _server_of(config: Any, server_state: Any, app_state: dict[str, Any]) -> Server:
    """Return what the protocols of one uvicorn server have in common."""
    loop = asyncio.get_running_loop()
    found = _servers.get(config)
    if found is not None and found[0] is loop:
        return found[1]
    server = standing_server(
        _Host(config.loaded_app, config, server_state, app_state),
        compression="deflate" if config.ws_per_message_deflate else None,
        max_size=config.ws_max_size,
        max_queue=config.ws_max_queue,
        ping_interval=config.ws_ping_interval or None,
        ping_timeout=config.ws_ping_timeout,
        server_header=None,
        logger=logging.getLogger("uvicorn.error"),
    )
    server.opening_tasks = server_state.tasks
    _servers[config] = (loop, server)
    return server
