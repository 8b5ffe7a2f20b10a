"""Echo with a coroutine handler: duologue, websockets and picows.websockets have the same API."""

from __future__ import annotations

import importlib
from typing import Any

from common import MAX_SIZE, argument_parser, our_compression, run, tls_context, tuned

LIBRARIES = {
    "duologue": "duologue",
    "websockets": "websockets.asyncio.server",
    "picows.websockets": "picows.websockets",
}


def make_handler(library: Any) -> Any:
    """Return the handler; it looks at the path once, before the first message."""
    everybody: set[Any] = set()

    async def echo(ws: Any) -> None:
        async for message in ws:
            await ws.send(message)

    async def broadcast(ws: Any) -> None:
        everybody.add(ws)
        try:
            async for message in ws:
                library.broadcast(everybody, message)
        finally:
            everybody.discard(ws)

    async def feed(ws: Any) -> None:
        message = await ws.recv()
        while True:
            await ws.send(message)

    routes = {"/broadcast": broadcast, "/feed": feed}

    async def handler(ws: Any) -> None:
        await routes.get(ws.request.path, echo)(ws)

    return handler


async def main(arguments: Any) -> None:
    """Serve until cancelled."""
    library = importlib.import_module(LIBRARIES[arguments.library])
    options: dict[str, Any] = {"max_size": MAX_SIZE}
    if arguments.library == "duologue":
        options |= our_compression(arguments)
    elif not arguments.deflate:
        options["compression"] = None
    if arguments.engine:
        options["engine"] = arguments.engine
    if arguments.tuned:
        options |= tuned()
    ssl = tls_context(arguments.tls)
    where: dict[str, Any] = {"host": "127.0.0.1", "port": arguments.port}
    async with library.serve(make_handler(library), **where, ssl=ssl, **options) as server:
        await server.serve_forever()


if __name__ == "__main__":
    parser = argument_parser(__doc__ or "")
    parser.add_argument("--library", choices=LIBRARIES, default="duologue")
    parser.add_argument("--engine", help="duologue's: asyncio or epoll")
    parser.add_argument("--tuned", action="store_true", help="see common.tuned")
    parsed = parser.parse_args()
    run(main(parsed), parsed.loop)
