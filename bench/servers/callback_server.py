"""Echo with callbacks: duologue's Endpoint, no task per connection."""

from __future__ import annotations

from typing import Any

from common import MAX_SIZE, argument_parser, our_compression, run, tls_context, tuned

import duologue


class Echo(duologue.Endpoint):  # type: ignore[misc]
    """Sends every message back."""

    def __init__(self) -> None:
        self.everybody: set[Any] = set()

    def on_open(self, ws: Any) -> None:
        """Remember who wants broadcasts."""
        if ws.request.path == "/broadcast":
            self.everybody.add(ws)

    def on_message(self, ws: Any, message: str | bytes) -> None:
        """Answer at once; what is sent goes out at the end of the batch."""
        if ws in self.everybody:
            duologue.broadcast(self.everybody, message)
        else:
            ws.send(message)

    def on_close(self, ws: Any, *_: Any) -> None:
        """Forget the connection."""
        self.everybody.discard(ws)


async def main(arguments: Any) -> None:
    """Serve until cancelled."""
    options: dict[str, Any] = {"max_size": MAX_SIZE, "ssl": tls_context(arguments.tls)}
    options |= our_compression(arguments)
    if arguments.engine:
        options["engine"] = arguments.engine
    if arguments.tuned:
        options |= tuned()
    async with duologue.serve(Echo(), "127.0.0.1", arguments.port, **options) as server:
        await server.serve_forever()


if __name__ == "__main__":
    parser = argument_parser(__doc__ or "")
    parser.add_argument("--engine", help="asyncio or epoll")
    parser.add_argument("--tuned", action="store_true", help="see common.tuned")
    parsed = parser.parse_args()
    run(main(parsed), parsed.loop)
