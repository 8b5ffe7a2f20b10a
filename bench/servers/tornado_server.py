"""Echo with tornado."""

from __future__ import annotations

import asyncio
from typing import Any

from common import MAX_SIZE, argument_parser, run, tls_context
from tornado.httpserver import HTTPServer
from tornado.web import Application
from tornado.websocket import WebSocketHandler

everybody: set[WebSocketHandler] = set()


class Echo(WebSocketHandler):  # type: ignore[misc]
    """Sends every message back."""

    def open(self, *_: str, **__: str) -> None:
        """Turn off Nagle's algorithm, as tornado's documentation advises for small messages."""
        self.set_nodelay(True)

    def on_message(self, message: str | bytes) -> None:
        """Answer without waiting, as in tornado's own examples."""
        self.write_message(message, binary=isinstance(message, bytes))

    def get_compression_options(self) -> dict[str, Any] | None:
        """Compress when asked to."""
        return {} if self.settings["deflate"] else None


class Broadcast(Echo):
    """Sends every message to everybody."""

    def open(self, *_: str, **__: str) -> None:
        """Join."""
        super().open()
        everybody.add(self)

    def on_close(self) -> None:
        """Leave."""
        everybody.discard(self)

    def on_message(self, message: str | bytes) -> None:
        """Send to everybody."""
        for each in everybody:
            each.write_message(message, binary=isinstance(message, bytes))


async def main(arguments: Any) -> None:
    """Serve until cancelled."""
    application = Application(
        [("/broadcast", Broadcast), ("/.*", Echo)],
        websocket_max_message_size=MAX_SIZE,
        deflate=arguments.deflate,
        log_function=lambda _: None,
    )
    server = HTTPServer(application, ssl_options=tls_context(arguments.tls))
    server.listen(arguments.port, "127.0.0.1", backlog=1024)
    await asyncio.Event().wait()


if __name__ == "__main__":
    parsed = argument_parser(__doc__ or "").parse_args()
    run(main(parsed), parsed.loop)
