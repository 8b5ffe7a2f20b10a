"""An ASGI application on our exchanges: it answers what our server, or an App, passes on.

What it is: :class:`ASGIHost`, one for each application and mount point; call it with an exchange.
What it must never know: links, and how requests are routed to it.

Source: ASGI specification 3.0.
"""

from __future__ import annotations

from typing import Any

from duologue.asgi.http import HTTPConversation
from duologue.asgi.scope import ASGIApplication, Scope, make_scope
from duologue.asgi.websocket import WebSocketConversation
from duologue.base.exceptions import ClientDisconnected
from duologue.server.exchanges import HTTPExchange
from duologue.server.terms import ConnectionOptions


class ASGIHost:
    """Answers exchanges with an ASGI application.

    ::

        host = ASGIHost(fastapi_app)
        async with duologue.asgi.serve(fastapi_app, port=8000): ...

    Args:
        app: an ASGI 3 application.
        state: of the application's lifespan; see :class:`~duologue.asgi.lifespan.Lifespan`.
        root_path: where the application is mounted, without a slash at the end.
        prepend_root_path: whether a proxy in front has taken ``root_path`` off each request's path,
            so that it is put back, as uvicorn does. With ``False`` the path still has it.
        terms: options of WebSocket connections; by default those of the server.
    """

    def __init__(
        self,
        app: ASGIApplication,
        *,
        state: dict[str, Any] | None = None,
        root_path: str = "",
        prepend_root_path: bool = True,
        terms: ConnectionOptions | None = None,
    ) -> None:
        self.app = app
        self.state = state
        self.root_path = root_path
        self.prepend_root_path = prepend_root_path
        self.terms = terms

    async def __call__(self, exchange: HTTPExchange) -> None:
        """Run the application on one request, to its end."""
        scope = make_scope(exchange, self.state, self.root_path, prepend=self.prepend_root_path)
        conversation = self.converse(exchange, scope)
        try:
            await self.app(scope, conversation.receive, conversation.send)
        except ClientDisconnected:
            # How applications learn that there is nobody left; nothing is wrong with that.
            if not conversation.client_gone:
                raise
            return
        conversation.check_end()

    def converse(
        self, exchange: HTTPExchange, scope: Scope
    ) -> HTTPConversation | WebSocketConversation:
        """Make what the application receives from and sends to."""
        if exchange.asks_upgrade:
            return WebSocketConversation(exchange, self.terms)
        return HTTPConversation(exchange)
